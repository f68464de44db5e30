"""A model folder: ``config.json``, ``model.safetensors`` and ``card.md``.

``config.json`` rebuilds the network and says where and how its input lies; see ``FORMAT`` and :func:`save`. A folder
of a released OpenAlphaDiffract model (arXiv:2603.23367) loads unchanged: what its config lacks, its grid and its
wavelength, is filled in from the paper. An ensemble is a folder whose subfolders ``member-*`` are model folders.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import ModelError
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from . import lattice
from .grid import COMPACT_NORMALISATION, OPEN_GRID, OPEN_NORMALISATION, Grid, Normalisation

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
"""Version of ``config.json``."""
ARCHITECTURES = ("compact", "open")
LATTICE_CONVENTION = {
    "compact": "free parameters of the Cholesky factor of the conventional cell's reciprocal metric, per lattice type",
    "open": "Niggli-reduced cell: a, b, c in angstrom, alpha, beta, gamma in degrees",
}
_FROM_WHERE = "give a folder with config.json and model.safetensors, or a name from `alphadiffract-plugin models list`"


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
            mend=f"known are {', '.join(ARCHITECTURES)}; a newer alphadiffract-plugin may know more",
            where=where,
        )
    config_class, network_class = {"compact": (CompactConfig, CompactNetwork), "open": (OpenConfig, OpenNetwork)}[
        architecture
    ]
    if not isinstance(settings, Mapping):
        raise ModelError("the field network of its config is no object", mend=_FROM_WHERE, where=where)
    try:
        config = config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
        return network_class(config)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ModelError(
            f"its config makes no {architecture} network: {error}", mend=_FROM_WHERE, where=where
        ) from error


def save(
    network: nn.Module,
    grid: Grid,
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    normalisation: Normalisation | None = None,
    half: bool = False,
) -> Path:
    """Write a model folder (made if need be); the weights as float16 if ``half``.

    ``provenance`` says how the weights came to be; the versions used now are added to it.
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
                    mend="an ensemble's members take the same input: keep alike ones together, or train this one again",
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
        raise ModelError("the weights are missing", mend=_FROM_WHERE, where=file)
    try:
        weights = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"this is no whole safetensors file ({error})", mend="fetch or copy the model again", where=file
        ) from error
    architecture, settings, grid, normalisation = _understand(config, weights, folder)
    network = build(architecture, settings, where=folder / "config.json")
    if network.config.input_length != grid.length:
        raise ModelError(
            f"the network takes {network.config.input_length} points, its grid has {grid.length}",
            mend="take the config.json that came with the weights",
            where=folder / "config.json",
        )
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()}, strict=True)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"the weights don't fit the config: {(lines[1] if len(lines) > 1 else lines[0]).strip()}",
            mend="take config.json and model.safetensors from the same model",
            where=file,
        ) from error
    if not all(torch.isfinite(p).all() for p in network.parameters()):
        raise ModelError("some weights are not finite", mend="fetch or copy the model again", where=file)
    return Model(folder.name, architecture, network.eval(), grid, normalisation, config)


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder.

    Raises
    ------
    ModelError : the folder or the file is missing, or the file is no JSON object.
    """
    file = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise ModelError("no such model folder", mend=_FROM_WHERE, where=folder)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError("config.json is missing", mend=_FROM_WHERE, where=file) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"this is no JSON ({error})", mend="fetch or copy the model again", where=file) from error
    if not isinstance(config, dict):
        raise ModelError("this is no model config", mend=_FROM_WHERE, where=file)
    return config


def _understand(
    config: dict[str, Any], weights: Mapping[str, Any], folder: Path
) -> tuple[str, dict[str, Any], Grid, Normalisation]:
    """Architecture, its settings, grid and normalisation from our own config or a released one's."""
    try:
        if "architecture" in config:
            if config["format"] != FORMAT:
                raise ModelError(
                    f"config.json is of format {config['format']}; {FORMAT} is known",
                    mend="use the alphadiffract-plugin that wrote it, or a newer one",
                    where=folder / "config.json",
                )
            if config["architecture"] in ARCHITECTURES:
                _refuse_other_classes(config, folder / "config.json")
            architecture, settings = config["architecture"], config["network"]
            grid, normalisation = Grid(**config["grid"]), Normalisation(**config["normalisation"])
        else:
            architecture, settings = "open", _released_settings(config, gemd="gemd_distance_matrix" in weights)
            grid, normalisation = _released_input(config)
        _check_input(grid, normalisation)
        return architecture, settings, grid, normalisation
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"this is neither a config of ours nor one of OpenAlphaDiffract: {type(error).__name__} {error}",
            mend=_FROM_WHERE,
            where=folder / "config.json",
        ) from error


def _refuse_other_classes(config: dict[str, Any], where: Path) -> None:
    """Refuse a network whose classes stand in another order than ours, or are other ones."""
    types = list(lattice.LATTICE_TYPES) if config["architecture"] == "compact" else []
    ours = {"crystal_systems": list(CRYSTAL_SYSTEMS), "first_space_group": 1, "lattice_types": types}
    for name, value in ours.items():
        if config[name] != value:
            raise ModelError(
                f"{name} is not {value}: its answers would be misread",
                mend="train the network with the classes of this version",
                where=where,
            )


def _check_input(grid: Grid, normalisation: Normalisation) -> None:
    """Raise TypeError or ValueError for a field of another type, or a value that no input can have."""
    for record in (grid, normalisation):
        for f in dataclasses.fields(record):
            value = getattr(record, f.name)
            allowed = {"float": (int, float), "int": (int,), "bool": (bool,)}[f.type]
            if not isinstance(value, allowed) or (isinstance(value, bool) and f.type != "bool"):
                raise TypeError(f"{f.name} is {value!r}, no {f.type}")
            if not math.isfinite(value):
                raise ValueError(f"{f.name} is {value}")
    if not (grid.wavelength > 0 and 0 < grid.two_theta_min < grid.two_theta_max < 180 and grid.length > 1):
        raise ValueError(f"no patterns lie on {grid}")
    if not normalisation.top > 0:
        raise ValueError(f"top is {normalisation.top}, not above 0")


def _released_settings(config: dict[str, Any], *, gemd: bool) -> dict[str, Any]:
    """The fields of ``OpenConfig`` from the config of a released OpenAlphaDiffract model."""
    backbone, heads, tasks = config["backbone"], config["heads"], config["tasks"]
    return {
        "input_length": config["preprocessing"]["input_length"],
        "channels": backbone["channels"],
        "kernel_sizes": backbone["kernel_sizes"],
        "strides": backbone["strides"],
        "drop_path": backbone["drop_path_rate"],
        "head_dropout": heads["head_dropout"],
        "cs_hidden": heads["cs_hidden"],
        "sg_hidden": heads["sg_hidden"],
        "lp_hidden": heads["lp_hidden"],
        "lp_bounds_min": tasks["lp_bounds_min"],
        "lp_bounds_max": tasks["lp_bounds_max"],
        "gemd": gemd,
    }


def _released_input(config: dict[str, Any]) -> tuple[Grid, Normalisation]:
    """The paper's grid, and the scaling that the released config gives."""
    preprocessing = config["preprocessing"]
    low, high = preprocessing["normalize_range"]
    if low != 0:
        raise KeyError(f"normalize_range starts at {low}, not at 0")
    grid = dataclasses.replace(OPEN_GRID, length=preprocessing["input_length"])
    return grid, dataclasses.replace(OPEN_NORMALISATION, top=float(high))
