"""A model folder: ``config.json``, ``model.safetensors`` and ``card.md``.

``config.json`` holds all that is needed to rebuild the network and to prepare its input; see :func:`save`. A folder
of a released OpenAlphaDiffract model (arXiv:2603.23367) loads unchanged: what its config lacks, its grid and its
wavelength, is taken from the paper. An ensemble is a folder whose subfolders ``member-*`` are model folders.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.errors import ModelError
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from . import lattice
from .grid import COMPACT_NORMALISATION, OPEN_NORMALISATION, Grid, Normalisation
from .model_config import ARCHITECTURES, FORMAT, FROM_WHERE, parse_config, read_config

if TYPE_CHECKING:
    from .compact_forward import CompactForward
    from .compact_network import CompactNetwork
    from .open_network import OpenNetwork

    Network = CompactNetwork | OpenNetwork

LATTICE_CONVENTION = {
    "compact": "free parameters of the Cholesky factor of the conventional cell's reciprocal metric, per lattice type",
    "open": "Niggli-reduced cell: a, b, c in angstrom, alpha, beta, gamma in degrees",
}


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to use it."""

    name: str
    """The name of its folder."""
    architecture: str
    """One of ``ARCHITECTURES``."""
    network: Network
    """In evaluation mode, float32, on the CPU."""
    grid: Grid
    """Where its input lies."""
    normalisation: Normalisation
    """How its input is scaled."""
    config: dict[str, Any]
    """``config.json`` as it stands."""


@dataclass(frozen=True)
class ForwardModel:
    """A trained compact network that numpy evaluates, with all that is needed to use it."""

    architecture: str
    """``compact``."""
    network: CompactForward
    """Its equations with its weights."""
    grid: Grid
    """Where its input lies."""
    normalisation: Normalisation
    """How its input is scaled."""
    config: dict[str, Any]
    """``config.json`` as it stands."""


def build(architecture: str, settings: Mapping[str, Any], *, where: Path | None = None) -> Network:
    """An untrained network, from its architecture and the fields of its config.

    Raises
    ------
    ModelError : the architecture is unknown, or a field is unknown or of the wrong kind.
    """
    from .compact_config import CompactConfig
    from .compact_network import CompactNetwork
    from .open_network import OpenConfig, OpenNetwork

    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"there is no architecture {architecture!r}",
            fix=f"choose one of {', '.join(ARCHITECTURES)}; a newer alphadiffract-plugin may have more",
            where=where,
        )
    if not isinstance(settings, Mapping):
        raise ModelError("the field network of the config is not an object", fix=FROM_WHERE, where=where)
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    try:
        if architecture == "compact":
            return CompactNetwork(CompactConfig(**fields))
        return OpenNetwork(OpenConfig(**fields))
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ModelError(
            f"no {architecture} network can be built from the config: {error}", fix=FROM_WHERE, where=where
        ) from error


def save(
    network: Network,
    grid: Grid,
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    normalisation: Normalisation | None = None,
    half: bool = False,
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder, with the weights as float16 if ``half``.

    ``provenance`` says how the weights were made; the versions of torch and Python are added to it. ``calibration``
    holds the ``temperature`` of the probabilities and how it was found; without it the temperature is 1.
    """
    import torch
    from safetensors.torch import save as packed

    architecture = type(network).__name__.removesuffix("Network").lower()
    usual = {"compact": COMPACT_NORMALISATION, "open": OPEN_NORMALISATION}[architecture]
    config = {
        "format": FORMAT,
        "architecture": architecture,
        "network": dataclasses.asdict(network.config),
        "grid": dataclasses.asdict(grid),
        "normalisation": dataclasses.asdict(normalisation or usual),
        "crystal_systems": list(CRYSTAL_SYSTEMS),
        "first_space_group": 1,
        "lattice_convention": LATTICE_CONVENTION[architecture],
        "lattice_types": list(lattice.LATTICE_TYPES) if architecture == "compact" else [],
        **({"temperature": calibration["temperature"], "calibration": dict(calibration)} if calibration else {}),
        "provenance": dict(provenance) | {"torch": torch.__version__, "python": platform.python_version()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    (folder / "model.safetensors").write_bytes(packed(weights))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def members(folder: Path) -> tuple[Path, ...]:
    """The model folders of an ensemble, sorted by name; for a model folder, itself alone."""
    return tuple(sorted(path for path in Path(folder).glob("member-*") if path.is_dir())) or (Path(folder),)


def load_members(folder: Path) -> tuple[Model, ...]:
    """The model of a folder, or the models of an ensemble, all of which take the same input.

    Raises
    ------
    ModelError : one does not load, see :func:`load`, or differs from the first in architecture, grid or normalisation.
    """
    models = tuple(load(member) for member in members(folder))
    for member, model in zip(members(folder)[1:], models[1:], strict=True):
        for name in ("architecture", "grid", "normalisation"):
            if getattr(model, name) != getattr(models[0], name):
                raise ModelError(
                    f"its {name} is {getattr(model, name)}, that of the first member {getattr(models[0], name)}",
                    fix="combine only models of the same architecture, grid and normalisation",
                    where=member,
                )
    return models


def load(folder: Path) -> Model:
    """The model of a folder; its weights must be exactly those that the network of its config has.

    Raises
    ------
    ModelError : a file is missing or corrupt, or config and weights don't fit each other.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    config = read_config(folder)
    file = folder / "model.safetensors"
    if not file.is_file():
        raise ModelError("there is no file of weights", fix=FROM_WHERE, where=file)
    try:
        weights = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"this is not a complete safetensors file ({error})", fix="download or copy the model again", where=file
        ) from error
    parsed = parse_config(config, weights, folder)
    network = build(parsed.architecture, parsed.network, where=folder / "config.json")
    if network.config.input_length != parsed.grid.length:
        raise ModelError(
            f"the network takes {network.config.input_length} points, but its grid has {parsed.grid.length}",
            fix="use the config.json that came with the weights",
            where=folder / "config.json",
        )
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()}, strict=True)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"the weights do not fit the config: {(lines[1] if len(lines) > 1 else lines[0]).strip()}",
            fix="use config.json and model.safetensors of the same model",
            where=file,
        ) from error
    if not all(torch.isfinite(p).all() for p in network.parameters()):
        raise ModelError("some weights are NaN or infinite", fix="download or copy the model again", where=file)
    return Model(folder.name, parsed.architecture, network.eval(), parsed.grid, parsed.normalisation, config)


def load_without_torch(folder: Path) -> tuple[ForwardModel, ...]:
    """The members of a model folder as numpy evaluates them; none if one is not compact or not as it should be.

    Then :func:`load_members` loads them with torch, or says what is wrong.
    """
    models = tuple(_forward_model(member) for member in members(folder))
    whole = tuple(model for model in models if model is not None)
    first = whole[0] if whole else None
    alike = all((model.grid, model.normalisation) == (first.grid, first.normalisation) for model in whole if first)
    return whole if alike and len(whole) == len(models) else ()


def _forward_model(folder: Path) -> ForwardModel | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from .compact_config import CompactConfig
    from .compact_forward import CompactForward, weight_shapes

    try:
        config = read_config(folder)
        weights = {name: array.astype(np.float32) for name, array in load_file(folder / "model.safetensors").items()}
        parsed = parse_config(config, weights, folder)
        if parsed.architecture != "compact":
            return None
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in parsed.network.items()
        }
        sizes = CompactConfig(**fields)
        if {name: array.shape for name, array in weights.items()} != weight_shapes(sizes):
            return None
    except (ModelError, SafetensorError, OSError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return None
    if sizes.input_length != parsed.grid.length or not all(np.isfinite(array).all() for array in weights.values()):
        return None
    return ForwardModel("compact", CompactForward(sizes, weights), parsed.grid, parsed.normalisation, config)


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights file of a model folder, in hexadecimal."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
