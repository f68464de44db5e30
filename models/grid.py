"""Where the input of a network lies and how it is scaled; ``config.json`` of a model folder holds both."""

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
    """How intensities are scaled once the background is subtracted, in the order of the fields."""

    floor: float = 0.0
    """Lower intensities are raised to this value."""
    subtract_minimum: bool = False
    """Whether the smallest measured intensity is subtracted."""
    top: float = 1.0
    """Value to which the largest measured intensity is scaled."""
    square_root: bool = True
    """Whether the square root of the intensities relative to the largest is taken, which raises weak lines."""


COMPACT_GRID = Grid(wavelength=1.540593, two_theta_min=5.0, two_theta_max=80.0, length=4096)
"""Grid of ``compact``: Cu Kα1, d from 17.66 to 1.198 Å."""
COMPACT_NORMALISATION = Normalisation()

OPEN_GRID = Grid(wavelength=0.6199, two_theta_min=5.0, two_theta_max=20.0, length=8192)
"""Grid of AlphaDiffract (arXiv:2603.23367): 20 keV, d from 7.106 to 1.785 Å; its released config does not give it."""
OPEN_NORMALISATION = Normalisation(subtract_minimum=True, top=100.0, square_root=False)
