"""Where a network's inputs lie and how they are scaled; both stand in a model folder's ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Points equally spaced in two_theta at one wavelength."""

    wavelength: float
    """Å."""
    two_theta_min: float
    """First point, degrees."""
    two_theta_max: float
    """Last point, degrees."""
    length: int
    """Number of points."""

    @property
    def step(self) -> float:
        """Degrees between points."""
        return (self.two_theta_max - self.two_theta_min) / (self.length - 1)


@dataclass(frozen=True)
class Normalisation:
    """What is done to background-free intensities, in this order."""

    floor: float = 0.0
    """Intensities below are raised to it."""
    subtract_minimum: bool = False
    """Whether the smallest measured intensity becomes 0."""
    top: float = 1.0
    """The largest measured intensity becomes this."""
    square_root: bool = True
    """Whether the square root is taken at the end: weak lines matter."""


COMPACT_GRID = Grid(wavelength=1.540593, two_theta_min=5.0, two_theta_max=80.0, length=4096)
"""Of ``compact``: Cu Kα1, d from 17.66 to 1.198 Å."""
COMPACT_NORMALISATION = Normalisation()

OPEN_GRID = Grid(wavelength=0.6199, two_theta_min=5.0, two_theta_max=20.0, length=8192)
"""Of AlphaDiffract (arXiv:2603.23367): 20 keV, d from 7.106 to 1.785 Å. Its released config lacks it."""
OPEN_NORMALISATION = Normalisation(subtract_minimum=True, top=100.0, square_root=False)
