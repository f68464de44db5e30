"""Predict: what a network, or an ensemble, says of a histogram and of slightly shifted and noisy copies of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.crystal.bravais import primitive_basis
from alphadiffract_plugin.crystal.cells import direct_metric_from_cell
from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.prediction.prepare import prepare
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Histogram, LatticeProposal, Prediction

if TYPE_CHECKING:
    from alphadiffract_plugin.models.checkpoint import Model
    from alphadiffract_plugin.models.grid import Grid, Normalisation
    from alphadiffract_plugin.settings import Settings

SHIFT = 0.03
"""Largest shift of a copy, in degrees of the model's two_theta."""
NOISE = 0.01
"""Standard deviation of the noise of a copy, as a share of the largest input."""
BATCH = 64
"""Copies that go through the network at once."""
LEAST_WEIGHT = 1e-3
"""Lattices of smaller probability are not proposed."""
DRAWS = 64
"""Cells drawn to find the spread of a proposal."""


def predict(histogram: Histogram, settings: Settings) -> Prediction:
    """What the network says of one histogram; the same for the same histogram and settings.

    Raises
    ------
    ModelError : there is no such model, or its folder is corrupt.
    SettingsError : the device does not exist.
    RadiationError, InputError : the histogram is not for this network; see :func:`prepare.prepare`.
    """
    return predict_many([histogram], settings)[0]


def predict_many(histograms: Sequence[Histogram], settings: Settings) -> list[Prediction]:
    """What the network says of each histogram, all in the same batches; raises as :func:`predict`."""
    import torch

    from alphadiffract_plugin import threads
    from alphadiffract_plugin.models import catalogue

    threads.limit_torch()
    folder = catalogue.resolve(settings.network.model)
    models, device = loaded(folder, _changed(folder), settings.network.device)
    model = models[0]
    copies = settings.network.augmentations
    inputs = np.concatenate(
        [
            augment(
                prepare(histogram, model.grid, model.normalisation),
                model.grid,
                model.normalisation,
                copies,
                np.random.default_rng(settings.random_seed),
            )
            for histogram in histograms
        ]
    )
    says = {"compact": _compact_says, "open": _open_says}[model.architecture]
    with torch.inference_mode():
        parts = [[says(member, torch.from_numpy(part).to(device)) for member in models] for part in _split(inputs)]
    answers = {  # (members, histograms * copies, ...)
        key: np.concatenate([np.stack([said[key] for said in part]) for part in parts], axis=1) for key in parts[0][0]
    }
    temperature = float(model.config.get("temperature", 1.0))
    said_of = [{key: value[:, i : i + copies] for key, value in answers.items()} for i in range(0, len(inputs), copies)]
    return [_prediction(folder.name, model.architecture, said, temperature) for said in said_of]


def tempered(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities p, shape (..., C), as p^(1/T) / Σ p^(1/T), in the same order: see ``calibrate``."""
    raised = (probability / probability.max(-1, keepdims=True)) ** (1 / temperature)
    return raised / raised.sum(-1, keepdims=True)


@functools.lru_cache(maxsize=4)
def loaded(folder: Path, changed: tuple[int, ...], device: str) -> tuple[tuple[Model, ...], Any]:
    """The members of a model folder on its device, kept for the next call; ``changed`` is when its files changed."""
    from alphadiffract_plugin.models import checkpoint

    chosen = choose_device(device)
    models = checkpoint.load_members(folder)
    for model in models:
        model.network.to(chosen)
    return models, chosen


def _changed(folder: Path) -> tuple[int, ...]:
    """When config and weights of each member last changed, in ns; 0 for one that is not there."""
    from alphadiffract_plugin.models.checkpoint import members

    files = [part / name for part in members(folder) for name in ("config.json", "model.safetensors")]
    return tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in files)


def choose_device(name: str) -> Any:
    """The torch.device of ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    SettingsError : there is no such device here.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("torch finds no CUDA device here", fix="choose auto or cpu; `doctor` says what was found")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def augment(
    x: np.ndarray, grid: Grid, normalisation: Normalisation, copies: int, rng: np.random.Generator
) -> np.ndarray:
    """The input (2, L) as it is, and further copies with a small shift and noise: (copies, 2, L), float32."""
    stack = np.repeat(x[None], copies, axis=0)
    points = np.arange(grid.length)
    for copy in stack[1:]:
        shifted = np.interp(points + rng.uniform(-SHIFT, SHIFT) / grid.step, points, x[0])
        noisy = shifted + normalisation.top * NOISE * rng.standard_normal(grid.length)
        copy[0] = np.clip(noisy, 0, normalisation.top) * x[1]
    return stack.astype(np.float32)


def _split(inputs: np.ndarray) -> list[np.ndarray]:
    return [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)]


def _compact_says(model: Model, x: Any) -> dict[str, np.ndarray]:
    """Probabilities of groups and systems, (N, 230) and (N, 7); means and variances of q, (N, 15, 6)."""
    answer = model.network(x)
    groups = answer.space_group_logits.double().softmax(-1).cpu().numpy()
    return {
        "groups": groups,
        "systems": systems_from_groups(groups),
        "mean": answer.lattice_mean.double().cpu().numpy(),
        "variance": answer.lattice_sigma.double().square().cpu().numpy(),
    }


def systems_from_groups(groups: np.ndarray) -> np.ndarray:
    """Probabilities of the crystal systems, shape (..., 7), from those of the groups, shape (..., 230)."""
    from alphadiffract_plugin.models.lattice import system_of_group

    return groups @ np.eye(7)[system_of_group()]


def _open_says(model: Model, x: Any) -> dict[str, np.ndarray]:
    """Probabilities of groups and systems, (N, 230) and (N, 7), by heads of their own; Niggli cells (N, 6)."""
    answer = model.network(x[:, 0])
    return {
        "groups": answer.sg_logits.double().softmax(-1).cpu().numpy(),
        "systems": answer.cs_logits.double().softmax(-1).cpu().numpy(),
        "cell": answer.lp.double().cpu().numpy(),
    }


def _prediction(name: str, architecture: str, answers: dict[str, np.ndarray], temperature: float) -> Prediction:
    """One prediction from the answers of all members to all copies of one histogram, each (members, copies, ...)."""
    of_members = answers["groups"].mean(1)
    said = {key: value.reshape(-1, *value.shape[2:]) for key, value in answers.items()}
    groups, systems = tempered(of_members.mean(0), temperature), said["systems"].mean(0)
    if architecture == "compact":
        systems = systems_from_groups(groups)
        lattices = _lattices_by_type(groups, said["mean"], said["variance"])
    else:
        first = int(systems.argmax())
        cell, spread = said["cell"].mean(0), said["cell"].std(0)
        lattices = [LatticeProposal(CRYSTAL_SYSTEMS[first], _six(cell), _six(spread), float(systems[first]))]
    return Prediction(
        crystal_system_probability=systems,
        space_group_probability=groups,
        lattices=tuple(lattices),
        member_space_group_probability=of_members,
        model=name,
    )


def _lattices_by_type(groups: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> list[LatticeProposal]:
    """One proposal per lattice type, the most probable first.

    The means over members and copies and, by the law of total variance, the spread over them and within each.
    """
    from alphadiffract_plugin.models import lattice

    weight = np.bincount(lattice.type_of_group(), weights=groups, minlength=len(lattice.LATTICE_TYPES))
    centre, sigma = mean.mean(0), np.sqrt(variance.mean(0) + mean.var(0)) * lattice.ties()[2]
    proposals = []
    for kind in np.argsort(-weight, kind="stable"):
        if weight[kind] < LEAST_WEIGHT and proposals:
            break
        cell, spread = niggli_cell(centre[kind], sigma[kind], int(kind))
        system = CRYSTAL_SYSTEMS[lattice.system_of_type()[kind]]
        proposals.append(LatticeProposal(system, cell, spread, float(weight[kind])))
    return proposals


def niggli_cell(q: np.ndarray, sigma: np.ndarray, kind: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Niggli-reduced cell and its standard deviations (Å, degrees) of free parameters (6,) of one lattice type.

    The spread is that of cells drawn from independent normal ``q``, all reduced by the same change of axes.
    """
    import spglib

    from alphadiffract_plugin.models import lattice

    conventional = lattice.cell_from_parameters(q[None], kind)[0]
    basis = primitive_basis(tuple(conventional), lattice.LATTICE_TYPES[kind][1])
    reduced = spglib.niggli_reduce(basis)
    reduced = basis if reduced is None else reduced
    change = reduced @ np.linalg.inv(primitive_basis(tuple(conventional), "P"))
    draws = q + sigma * np.random.default_rng(0).standard_normal((DRAWS, 6))
    metrics = np.stack([direct_metric_from_cell(cell) for cell in lattice.cell_from_parameters(draws, kind)])
    cells = lattice.cell_from_metric(change @ metrics @ change.T)
    return _six(lattice.cell_from_metric((reduced @ reduced.T)[None])[0]), _six(cells.std(0))


def _six(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
