"""A model folder: ``config.json``, ``model.safetensors`` and ``card.md``.

``config.json`` rebuilds the network and says where and how its input lies; see ``FORMAT`` and :func:`save`. A folder
of a released OpenAlphaDiffract model (arXiv:2603.23367) loads unchanged: what its config lacks, its grid and its
wavelength, is filled in from the paper. An ensemble is a folder whose subfolders ``member-*`` are model folders.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import ModelError
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from . import lattice
from .grid import COMPACT_NORMALISATION, OPEN_NORMALISATION, Grid, Normalisation
from .model_config import ARCHITECTURES, FORMAT, FROM_WHERE, parse_config, read_config

if TYPE_CHECKING:
    from torch import nn
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

LATTICE_CONVENTION = {
    "compact": "free parameters of the Cholesky factor of the conventional cell's reciprocal metric, per lattice type",
    "open": "Niggli-reduced cell: a, b, c in angstrom, alpha, beta, gamma in degrees",
}


@dataclass(frozen=True)
class Model:
    """A network with all that is needed to use it."""

    name: str
    """Name of its folder."""
    architecture: str
    """One of ``ARCHITECTURES``."""
    network: nn.Module
    """In evaluation mode, float32, on the CPU."""
    grid: Grid
    """Where its input lies."""
    normalisation: Normalisation
    """How its input is scaled."""
    config: dict[str, Any]
    """``config.json`` as it stands."""


def build(architecture: str, settings: Mapping[str, Any], *, where: Path | None = None) -> nn.Module:
    """An untrained network of an architecture and the fields of its config.

    Raises
    ------
    ModelError : the architecture is unknown, or a field is unknown or of the wrong kind.
    """
    from .compact_network import CompactConfig, CompactNetwork
    from .open_network import OpenConfig, OpenNetwork

    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"unknown architecture {architecture!r}",
            fix=f"known are {', '.join(ARCHITECTURES)}; a newer alphadiffract-plugin may know more",
            where=where,
        )
    config_class, network_class = {"compact": (CompactConfig, CompactNetwork), "open": (OpenConfig, OpenNetwork)}[
        architecture
    ]
    if not isinstance(settings, Mapping):
        raise ModelError("the field network of its config is no object", fix=FROM_WHERE, where=where)
    try:
        config = config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
        return network_class(config)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ModelError(f"its config makes no {architecture} network: {error}", fix=FROM_WHERE, where=where) from error


def save(
    network: nn.Module,
    grid: Grid,
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    normalisation: Normalisation | None = None,
    half: bool = False,
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder (made if need be); the weights as float16 if ``half``.

    ``provenance`` says how the weights came to be; the versions used now are added to it. ``calibration`` holds the
    ``temperature`` of its probabilities and how that was found; None for 1.
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
    """The model folders of an ensemble, by name; a model folder itself is the one member of its own."""
    return tuple(sorted(path for path in Path(folder).glob("member-*") if path.is_dir())) or (Path(folder),)


def load_members(folder: Path) -> tuple[Model, ...]:
    """The model of a folder, or the models of an ensemble, which all take the same input.

    Raises
    ------
    ModelError : one does not load, see :func:`load`, or differs from the first in architecture, grid or normalisation.
    """
    models = tuple(load(member) for member in members(folder))
    for member, model in zip(members(folder)[1:], models[1:], strict=True):
        for name in ("architecture", "grid", "normalisation"):
            if getattr(model, name) != getattr(models[0], name):
                raise ModelError(
                    f"the {name} of its members differ: {getattr(models[0], name)} and {getattr(model, name)}",
                    fix="an ensemble's members take the same input: keep alike ones together, or train this one again",
                    where=member,
                )
    return models


def load(folder: Path) -> Model:
    """The model of a folder, strictly: every weight there, none left over, every shape as the config says.

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
        raise ModelError("the weights are missing", fix=FROM_WHERE, where=file)
    try:
        weights = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"this is no whole safetensors file ({error})", fix="fetch or copy the model again", where=file
        ) from error
    architecture, settings, grid, normalisation = parse_config(config, weights, folder)
    network = build(architecture, settings, where=folder / "config.json")
    if network.config.input_length != grid.length:
        raise ModelError(
            f"the network takes {network.config.input_length} points, its grid has {grid.length}",
            fix="take the config.json that came with the weights",
            where=folder / "config.json",
        )
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()}, strict=True)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"the weights don't fit the config: {(lines[1] if len(lines) > 1 else lines[0]).strip()}",
            fix="take config.json and model.safetensors from the same model",
            where=file,
        ) from error
    if not all(torch.isfinite(p).all() for p in network.parameters()):
        raise ModelError("some weights are not finite", fix="fetch or copy the model again", where=file)
    return Model(folder.name, architecture, network.eval(), grid, normalisation, config)


def weights_sha256(folder: Path) -> str:
    """Of the weights of one model folder."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
