"""The settings of random crystals, and how often each space group is drawn."""

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
    """What random crystals are like; (low, high) are the ends of a log-uniform distribution."""

    sites: tuple[float, float] = (2.0, 14.9)
    """Number of atoms in the asymmetric unit, rounded down."""
    atoms: tuple[float, float] = (4.0, 100.0)
    """Largest number of atoms in the primitive cell; it is exceeded where the group has no position that small."""
    special: float = 0.5
    """Exponent p: a Wyckoff position of multiplicity m is chosen with a probability proportional to m^(-p)."""
    elements: int = 5
    """Largest number of elements, not counting those of atoms without free coordinates."""
    partial: float = 0.08
    """Share of the sites that are partially occupied, by 0.3 to 1."""
    b_iso: tuple[float, float] = (0.05, 0.8)
    """Displacement factor B of each atom, Å²; the simulation adds an overall one."""
    density: float = 0.12
    """Standard deviation of ln(volume) about the sum of the atomic volumes."""
    axes: float = 0.35
    """Standard deviation of the logarithm of each axial ratio."""
    beta: tuple[float, float] = (90.5, 125.0)
    """Monoclinic angle, degrees."""
    contact: float = 0.55
    """Least distance of two atoms over the sum of the radii of spheres of their atomic volumes."""
    trials: int = 12
    """Places that are tried for each atom."""
    expand: float = 0.9
    """A crystal is drawn again if its cell edges would have to expand by more than 1 over this."""
    redraw: int = 4
    """How often a crystal is drawn again at most; then the one with most room of all draws expands."""


def prior_from_name(name: str | Path) -> Tensor:
    """Probability of each space group, float64, shape (230,).

    Parameters
    ----------
    name : ``flat``; ``natural``, the frequency among known structures with half a structure added to each group; or a
        JSON file that holds a list of 230 weights.

    Raises
    ------
    SettingsError : there is no such file, or it does not hold such a list.
    """
    if name == "flat":
        return torch.full((230,), 1 / 230, dtype=torch.float64)
    if name == "natural":
        document = json.loads(files("alphadiffract_plugin").joinpath("data/space_group_frequency.json").read_text())
        weights = np.sum(list(document["counts"].values()), 0) + 0.5
        return torch.as_tensor(weights / weights.sum())
    fix = 'give "flat", "natural", or the name of a JSON file that holds a list of 230 weights'
    try:
        weights = np.array(json.loads(Path(name).read_text(encoding="utf-8")), float)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the prior {str(name)!r} is neither flat nor natural nor a file that can be read", fix=fix
        ) from error
    except (ValueError, TypeError) as error:
        raise SettingsError("this file does not hold a JSON list of numbers", fix=fix, where=name) from error
    if weights.shape != (230,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
        raise SettingsError(
            "this file must hold 230 weights, none of them negative and not all of them 0", fix=fix, where=name
        )
    return torch.as_tensor(weights / weights.sum())
