"""Predictions of a network, or an ensemble, averaged over a histogram and slightly shifted and noisy copies of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.arrays import Floats, Singles
from alphadiffract_plugin.crystal.bravais import primitive_basis
from alphadiffract_plugin.crystal.cells import direct_metric_from_cell
from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.prediction.prepare import prepare
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Cell, Histogram, LatticeProposal, Prediction

if TYPE_CHECKING:
    from alphadiffract_plugin.models.checkpoint import ForwardModel, Model
    from alphadiffract_plugin.models.compact_forward import CompactForward
    from alphadiffract_plugin.models.grid import Grid, Normalisation
    from alphadiffract_plugin.settings import Settings

SHIFT = 0.03
"""Largest shift of a copy, in degrees of the model's two_theta."""
NOISE = 0.01
"""Standard deviation of the noise of a copy, relative to the largest input."""
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "C:/Windows/System32/nvcuda.dll")
"""What a system has that has a GPU for torch: the devices of NVIDIA on Linux, of Windows' own Linux, and of AMD; the
library of NVIDIA on Windows."""
BATCH = 64
"""Number of copies that go through the network at a time."""
LEAST_WEIGHT = 1e-3
"""Lattice types of smaller probability are left out."""
DRAWS = 64
"""Number of cells drawn to calculate the spread of a lattice."""


def predict(histogram: Histogram, settings: Settings) -> Prediction:
    """The prediction for one histogram; it is the same for the same histogram and settings.

    Raises
    ------
    ModelError : there is no such model, or its folder is damaged.
    SettingsError : the device does not exist.
    RadiationError, InputError : the network cannot take the histogram; see :func:`prepare.prepare`.
    """
    return predict_many([histogram], settings)[0]


def predict_many(histograms: Sequence[Histogram], settings: Settings) -> list[Prediction]:
    """The predictions for several histograms, which go through the network together; raises as :func:`predict`."""
    from alphadiffract_plugin.models import catalogue

    folder = catalogue.resolve(settings.network.model)
    models, device = loaded(folder, _changed(folder), settings.network.device)
    first, copies = models[0], settings.network.augmentations

    def inputs_of(histogram: Histogram) -> np.ndarray:
        x = prepare(histogram, first.grid, first.normalisation)
        return augment(x, first.grid, first.normalisation, copies, np.random.default_rng(settings.random_seed))

    outputs = _outputs(models, device, np.concatenate([inputs_of(histogram) for histogram in histograms]))
    temperature = float(first.config.get("temperature", 1.0))
    return [
        _prediction(
            folder.name,
            first.architecture,
            {key: value[:, copies * i : copies * (i + 1)] for key, value in outputs.items()},
            temperature,
        )
        for i in range(len(histograms))
    ]


def _outputs(models: Sequence[Model | ForwardModel], device: str, inputs: Singles) -> dict[str, np.ndarray]:
    """The outputs of all members for inputs (N, 2, L), by name, each of shape (members, N, ...)."""
    from alphadiffract_plugin.models.checkpoint import ForwardModel, Model

    batches = [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)]
    by_numpy = [model for model in models if isinstance(model, ForwardModel)]
    if by_numpy:
        parts = [[_forward_output(model.network, batch) for model in by_numpy] for batch in batches]
    else:
        parts = _outputs_of_torch([model for model in models if isinstance(model, Model)], device, batches)
    return {
        key: np.concatenate([np.stack([output[key] for output in part]) for part in parts], axis=1)
        for key in parts[0][0]
    }


def _outputs_of_torch(models: Sequence[Model], device: str, batches: Sequence[Singles]) -> list[list[dict[str, Any]]]:
    """The outputs of each member for each batch, by torch on the device."""
    import torch

    from alphadiffract_plugin import threads

    threads.limit_torch()
    output_of = {"compact": _compact_output, "open": _open_output}[models[0].architecture]
    with torch.inference_mode():
        return [[output_of(model, torch.from_numpy(batch).to(device)) for model in models] for batch in batches]


def tempered(probability: np.ndarray, temperature: float) -> Floats:
    """Probabilities p^(1/T) / Σ p^(1/T), from probabilities p of shape (..., C); see ``evaluation.calibrate``."""
    raised: Floats = (probability / probability.max(-1, keepdims=True)) ** (1 / temperature)
    normalised: Floats = raised / raised.sum(-1, keepdims=True)
    return normalised


@functools.lru_cache(maxsize=4)
def loaded(folder: Path, changed: tuple[int, ...], device: str) -> tuple[tuple[Model | ForwardModel, ...], str]:
    """The members of a model folder and their device, kept for the next call as long as ``changed`` is the same."""
    from alphadiffract_plugin.models import checkpoint

    chosen = choose_device(device)
    by_numpy = checkpoint.load_without_torch(folder) if chosen == "cpu" else ()
    if by_numpy:
        return by_numpy, chosen
    models = checkpoint.load_members(folder)
    for model in models:
        model.network.to(chosen)
    return models, chosen


def _changed(folder: Path) -> tuple[int, ...]:
    """When config and weights of each member last changed, in ns; 0 for a file that is not there."""
    from alphadiffract_plugin.models.checkpoint import members

    files = [part / name for part in members(folder) for name in ("config.json", "model.safetensors")]
    return tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)


def choose_device(name: str) -> str:
    """``cpu`` or ``cuda``, of ``auto``, ``cpu`` or ``cuda``. Torch is asked only where the system has a GPU's driver.

    Raises
    ------
    SettingsError : there is no such device here.
    """
    there = name != "cpu" and _has_gpu()
    if name == "cuda" and not there:
        raise SettingsError(
            "torch finds no CUDA device", fix="choose auto or cpu; `alphadiffract-plugin doctor` lists what it finds"
        )
    return "cuda" if there else "cpu"


def _has_gpu() -> bool:
    """Whether torch finds a GPU; importing torch is left out where the system has no driver of one."""
    if not any(Path(driver).exists() for driver in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def augment(
    x: np.ndarray, grid: Grid, normalisation: Normalisation, copies: int, rng: np.random.Generator
) -> np.ndarray:
    """The input (2, L), and copies of it with a small shift and noise, together (copies, 2, L), float32."""
    stack = np.repeat(x[None], copies, axis=0)
    points = np.arange(grid.length)
    for copy in stack[1:]:
        shifted = np.interp(points + rng.uniform(-SHIFT, SHIFT) / grid.step, points, x[0])
        noisy = shifted + normalisation.top * NOISE * rng.standard_normal(grid.length)
        copy[0] = np.clip(noisy, 0, normalisation.top) * x[1]
    return stack.astype(np.float32)


def _forward_output(network: CompactForward, x: Singles) -> dict[str, np.ndarray]:
    """As :func:`_compact_output`, of a network that numpy evaluates."""
    output = network(x)
    groups = softmax(output.space_group_logits.astype(float))
    return {
        "groups": groups,
        "systems": systems_from_groups(groups),
        "mean": output.lattice_mean.astype(float),
        "variance": output.lattice_sigma.astype(float) ** 2,
    }


def softmax(logits: Floats) -> Floats:
    """Probabilities exp(x) / Σ exp(x) over the last axis."""
    raised: Floats = np.exp(logits - logits.max(-1, keepdims=True))
    normalised: Floats = raised / raised.sum(-1, keepdims=True)
    return normalised


def _compact_output(model: Model, x: Any) -> dict[str, np.ndarray]:
    """Probabilities of groups and systems, (N, 230) and (N, 7); means and variances of q, (N, 15, 6)."""
    answer = model.network(x)
    groups = answer.space_group_logits.double().softmax(-1).cpu().numpy()
    return {
        "groups": groups,
        "systems": systems_from_groups(groups),
        "mean": answer.lattice_mean.double().cpu().numpy(),
        "variance": answer.lattice_sigma.double().square().cpu().numpy(),
    }


def systems_from_groups(groups: np.ndarray) -> Floats:
    """Probabilities of the crystal systems, shape (..., 7), from those of the space groups, shape (..., 230)."""
    from alphadiffract_plugin.models.lattice import system_of_group

    systems: Floats = groups @ np.eye(7)[system_of_group()]
    return systems


def _open_output(model: Model, x: Any) -> dict[str, np.ndarray]:
    """Probabilities of groups and systems, (N, 230) and (N, 7), of separate heads; Niggli cells (N, 6)."""
    answer = model.network(x[:, 0])
    return {
        "groups": answer.sg_logits.double().softmax(-1).cpu().numpy(),
        "systems": answer.cs_logits.double().softmax(-1).cpu().numpy(),
        "cell": answer.lp.double().cpu().numpy(),
    }


def _prediction(name: str, architecture: str, outputs: dict[str, np.ndarray], temperature: float) -> Prediction:
    """One prediction from the outputs of all members for all copies of one histogram, each (members, copies, ...)."""
    of_members = outputs["groups"].mean(1)
    every = {key: value.reshape(-1, *value.shape[2:]) for key, value in outputs.items()}
    groups, systems = tempered(of_members.mean(0), temperature), every["systems"].mean(0)
    if architecture == "compact":
        systems = systems_from_groups(groups)
        lattices = _lattices_by_type(groups, every["mean"], every["variance"])
    else:
        first = int(systems.argmax())
        cell, spread = every["cell"].mean(0), every["cell"].std(0)
        lattices = [LatticeProposal(CRYSTAL_SYSTEMS[first], _six(cell), _six(spread), float(systems[first]))]
    return Prediction(
        crystal_system_probability=systems,
        space_group_probability=groups,
        lattices=tuple(lattices),
        member_space_group_probability=of_members,
        model=name,
    )


def _lattices_by_type(groups: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> list[LatticeProposal]:
    """One lattice of each type, the most probable first: the means over members and copies.

    The variance is that of the means plus the mean of the variances (law of total variance).
    """
    from alphadiffract_plugin.models import lattice

    weight = np.bincount(lattice.type_of_group(), weights=groups, minlength=len(lattice.LATTICE_TYPES))
    centre, sigma = mean.mean(0), np.sqrt(variance.mean(0) + mean.var(0)) * lattice.ties()[2]
    proposals: list[LatticeProposal] = []
    for kind in np.argsort(-weight, kind="stable"):
        if weight[kind] < LEAST_WEIGHT and proposals:
            break
        cell, spread = niggli_cell(centre[kind], sigma[kind], int(kind))
        system = CRYSTAL_SYSTEMS[lattice.system_of_type()[kind]]
        proposals.append(LatticeProposal(system, cell, spread, float(weight[kind])))
    return proposals


def niggli_cell(q: np.ndarray, sigma: np.ndarray, kind: int) -> tuple[Cell, Cell]:
    """Niggli-reduced cell and its standard deviations (Å, degrees), from free parameters (6,) of one lattice type.

    The standard deviations are those of cells with normally distributed, independent ``q``, all reduced by the same
    change of axes.
    """
    import spglib

    from alphadiffract_plugin.models import lattice

    conventional = _six(lattice.cell_from_parameters(q[None], kind)[0])
    basis = primitive_basis(conventional, lattice.LATTICE_TYPES[kind][1])
    reduced = spglib.niggli_reduce(basis)
    reduced = basis if reduced is None else reduced
    change = reduced @ np.linalg.inv(primitive_basis(conventional, "P"))
    draws = q + sigma * np.random.default_rng(0).standard_normal((DRAWS, 6))
    metrics = np.stack([direct_metric_from_cell(_six(cell)) for cell in lattice.cell_from_parameters(draws, kind)])
    cells = lattice.cell_from_metric(change @ metrics @ change.T)
    return _six(lattice.cell_from_metric((reduced @ reduced.T)[None])[0]), _six(cells.std(0))


def _six(values: np.ndarray) -> Cell:
    a, b, c, alpha, beta, gamma = (float(value) for value in values)
    return a, b, c, alpha, beta, gamma
