"""Settings of random crystals, and the prior of their space groups."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alphadiffract_plugin.errors import SettingsError


@dataclass(frozen=True)
class RandomSettings:
    """What random crystals are like; (low, high) pairs are drawn log-uniformly."""

    sites: tuple[float, float] = (2.0, 14.9)
    """Atoms of the asymmetric unit, rounded down."""
    atoms: tuple[float, float] = (4.0, 100.0)
    """Most atoms of the primitive cell; more where the group has no position so small."""
    special: float = 0.5
    """A position of multiplicity m is chosen in proportion to m to the minus this."""
    elements: int = 5
    """Most kinds of elements, but for atoms that sit on points."""
    partial: float = 0.08
    """Share of the sites that are not fully occupied: from 0.3 to 1."""
    b_iso: tuple[float, float] = (0.05, 0.8)
    """Displacement factor B of each atom, Å²; the simulation adds an overall one."""
    density: float = 0.12
    """Standard deviation of ln(volume) about the sum of the atomic volumes."""
    axes: float = 0.35
    """Standard deviation of the logarithm of each axial ratio."""
    beta: tuple[float, float] = (90.5, 125.0)
    """Monoclinic angle, degrees."""
    contact: float = 0.55
    """Two atoms come no closer than this times the sum of the radii of spheres of their atomic volumes."""
    trials: int = 12
    """Places that are tried for each atom."""
    expand: float = 0.9
    """A crystal whose cell would have to expand by more than one over this is drawn again."""
    redraw: int = 4
    """So often; then the roomiest of the draws expands."""


def prior_from_name(name: str | Path) -> Tensor:
    """Probability of each space group, float64, shape (230,).

    Parameters
    ----------
    name : ``flat``, ``natural`` (as frequent as among known structures, none rarer than half a structure in all), or a
        JSON file that holds 230 weights.

    Raises
    ------
    SettingsError : there is no such file, or it holds no such list.
    """
    if name == "flat":
        return torch.full((230,), 1 / 230, dtype=torch.float64)
    if name == "natural":
        document = json.loads(files("alphadiffract_plugin").joinpath("data/space_group_frequency.json").read_text())
        weights = np.sum(list(document["counts"].values()), 0) + 0.5
        return torch.as_tensor(weights / weights.sum())
    fix = 'say "flat", "natural", or name a JSON file that holds a list of 230 weights'
    try:
        weights = np.array(json.loads(Path(name).read_text(encoding="utf-8")), float)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the prior {str(name)!r} is no file that can be read", fix=fix) from error
    except (ValueError, TypeError) as error:
        raise SettingsError("this is no JSON list of numbers", fix=fix, where=name) from error
    if weights.shape != (230,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
        raise SettingsError("these are not 230 weights, none negative and one positive", fix=fix, where=name)
    return torch.as_tensor(weights / weights.sum())
