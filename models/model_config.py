"""``config.json`` of a model folder, read and understood: our own, or that of a released OpenAlphaDiffract model."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import ModelError
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from . import lattice
from .grid import OPEN_GRID, OPEN_NORMALISATION, Grid, Normalisation

FORMAT = 1
"""Version of ``config.json``."""
ARCHITECTURES = ("compact", "open")
"""Those that :func:`.checkpoint.build` knows."""
FROM_WHERE = "give a folder with config.json and model.safetensors, or a name from `alphadiffract-plugin models list`"


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder.

    Raises
    ------
    ModelError : the folder or the file is missing, or the file is no JSON object.
    """
    file = Path(folder) / "config.json"
    if not Path(folder).is_dir():
        raise ModelError("no such model folder", fix=FROM_WHERE, where=folder)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError("config.json is missing", fix=FROM_WHERE, where=file) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"this is no JSON ({error})", fix="fetch or copy the model again", where=file) from error
    if not isinstance(config, dict):
        raise ModelError("this is no model config", fix=FROM_WHERE, where=file)
    return config


def parse_config(
    config: dict[str, Any], weights: Mapping[str, Any], folder: Path
) -> tuple[str, dict[str, Any], Grid, Normalisation]:
    """Architecture, the fields of its config, grid and normalisation, from our own config or a released one's.

    Parameters
    ----------
    config : what :func:`read_config` found.
    weights : by name; a released config does not say whether the network holds the distances of GEMD.
    folder : where the config lies, for messages.

    Raises
    ------
    ModelError : the config is neither ours nor a released one, of another format, or its input makes no sense.
    """
    try:
        if "architecture" in config:
            if config["format"] != FORMAT:
                raise ModelError(
                    f"config.json is of format {config['format']}; {FORMAT} is known",
                    fix="use the alphadiffract-plugin that wrote it, or a newer one",
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
        return architecture, settings, grid, normalisation
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"this is neither a config of ours nor one of OpenAlphaDiffract: {type(error).__name__} {error}",
            fix=FROM_WHERE,
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
                fix="train the network with the classes of this version",
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
