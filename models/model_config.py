"""The ``config.json`` of a model folder, in our own format or in that of released OpenAlphaDiffract models."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import ModelError
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from . import lattice
from .grid import OPEN_GRID, OPEN_NORMALISATION, Grid, Normalisation

FORMAT = 1
"""Version of the format of ``config.json``."""
ARCHITECTURES = ("compact", "open")
"""Architectures that :func:`.checkpoint.build` can build."""
FROM_WHERE = "give a folder with config.json and model.safetensors, or a name from `alphadiffract-plugin models list`"


def read_config(folder: Path) -> dict[str, Any]:
    """The content of ``config.json`` of a model folder.

    Raises
    ------
    ModelError : the folder or the file is missing, or the file is no JSON object.
    """
    file = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise ModelError("there is no such model folder", fix=FROM_WHERE, where=folder)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError("the model has no config.json", fix=FROM_WHERE, where=file) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"this file is not valid JSON ({error})", fix="download or copy the model again", where=file
        ) from error
    if not isinstance(config, dict):
        raise ModelError("this file is not the config of a model", fix=FROM_WHERE, where=file)
    return config


@dataclass(frozen=True)
class ParsedConfig:
    """What a ``config.json`` says of a network."""

    architecture: str
    """One of ``ARCHITECTURES``."""
    network: dict[str, Any]
    """The fields of the architecture's config."""
    grid: Grid
    """Where its input lies."""
    normalisation: Normalisation
    """How its input is scaled."""


def parse_config(config: dict[str, Any], weights: Mapping[str, Any], folder: Path) -> ParsedConfig:
    """The network that a config describes, in our format or in that of a released OpenAlphaDiffract model.

    Parameters
    ----------
    config : what :func:`read_config` returned.
    weights : the weights by name: a released config does not say whether they include the GEMD distances.
    folder : the model folder, for error messages.

    Raises
    ------
    ModelError : the config has neither format or a later version of ours, or its input grid is impossible.
    """
    try:
        if "architecture" in config:
            if config["format"] != FORMAT:
                raise ModelError(
                    f"config.json has format {config['format']}, but this version reads format {FORMAT}",
                    fix="use the version of alphadiffract-plugin that wrote it, or a newer one",
                    where=folder / "config.json",
                )
            if config["architecture"] in ARCHITECTURES:
                _refuse_other_classes(config, folder / "config.json")
            architecture, settings = config["architecture"], config["network"]
            grid, normalisation = Grid(**config["grid"]), Normalisation(**config["normalisation"])
            if not 0.01 < config.get("temperature", 1.0) < 100:
                raise ValueError(f"temperature is {config['temperature']}, not between 0.01 and 100")
        else:
            architecture, settings = "open", _released_settings(config, gemd="gemd_distance_matrix" in weights)
            grid, normalisation = _released_input(config)
        _check_input(grid, normalisation)
        return ParsedConfig(architecture, settings, grid, normalisation)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"this config is neither of this package nor of OpenAlphaDiffract: {type(error).__name__} {error}",
            fix=FROM_WHERE,
            where=folder / "config.json",
        ) from error


def _refuse_other_classes(config: dict[str, Any], where: Path) -> None:
    """Refuse a network whose classes differ from ours, or stand in another order."""
    types = list(lattice.LATTICE_TYPES) if config["architecture"] == "compact" else []
    ours = {"crystal_systems": list(CRYSTAL_SYSTEMS), "first_space_group": 1, "lattice_types": types}
    for name, value in ours.items():
        if config[name] != value:
            raise ModelError(
                f"{name} is not {value}, so the outputs of the network would be assigned to wrong classes",
                fix="train the network again with this version",
                where=where,
            )


def _check_input(grid: Grid, normalisation: Normalisation) -> None:
    """Raise TypeError or ValueError for a field of the wrong type, or a value that no input can have."""
    for record in (grid, normalisation):
        for f in dataclasses.fields(record):
            value: Any = getattr(record, f.name)
            allowed: tuple[type, ...] = {"float": (int, float), "int": (int,), "bool": (bool,)}[str(f.type)]
            if not isinstance(value, allowed) or (isinstance(value, bool) and f.type != "bool"):
                raise TypeError(f"{f.name} is {value!r}, not {f.type}")
            if not math.isfinite(getattr(record, f.name)):
                raise ValueError(f"{f.name} is {value}")
    if not (grid.wavelength > 0 and 0 < grid.two_theta_min < grid.two_theta_max < 180 and grid.length > 1):
        raise ValueError(f"no pattern can lie on {grid}")
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
    """The grid of the paper, and the scaling that the released config gives."""
    preprocessing = config["preprocessing"]
    low, high = preprocessing["normalize_range"]
    if low != 0:
        raise KeyError(f"normalize_range starts at {low}, not at 0")
    grid = dataclasses.replace(OPEN_GRID, length=preprocessing["input_length"])
    return grid, dataclasses.replace(OPEN_NORMALISATION, top=float(high))
