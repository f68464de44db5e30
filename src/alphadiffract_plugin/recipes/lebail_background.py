"""Where a Le Bail fit starts its background: at the level between the lines, anchored over the whole pattern.

Within the reach of GSAS-II's profiles, Le Bail intensities take up whatever the background leaves above it. A
background that is too low by only the noise gives absent reflections intensity. So it must be near the truth before the
first intensities are extracted. And a polynomial goes anywhere where no point holds it. Therefore the pattern is cut
into blocks, every block gets a level, also one full of lines, and the background function is fitted to the levels of
all blocks. It never starts below zero.

This file needs numpy and ``recipe_records.py``; ``lebail_start.py`` calls it, and a bundle carries a copy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.recipes.recipe_records import Floats, FoundLines

BLOCKS = 60
"""Number of blocks of equally many points."""

OFF_LINES = 4.0
"""Points farther than this number of line widths from every found line belong to the background ..."""

OFF_LEAST = 0.1
"""... provided that they are at least this fraction of all points, or else the low values count everywhere."""

SEARCHED = 3.0
"""A stretch beyond the last found line of less than this number of spacings between lines was searched: only a line
cut off by the end was missed in it."""

BLOCK_LEAST = 3
"""A block with fewer such points gets its level from its neighbours."""

PUSHES = 15
"""Number of fits in which a background that is below zero somewhere is pushed up there."""

INTERPOLATED = ("lin interpolate", "inv interpolate", "log interpolate")
"""GSAS-II's background functions that are straight between nodes; their coefficients are the values at the nodes."""


@dataclass(frozen=True)
class BackgroundFunction:
    """One of GSAS-II's background functions over a range of two_theta; it is linear in its coefficients."""

    kind: str
    """GSAS-II's name, such as ``chebyschev-1``."""
    terms: int
    """Number of coefficients."""
    first: float
    """two_theta in degrees where the range begins."""
    last: float
    """two_theta in degrees where it ends."""
    wavelength: float
    """Wavelength in Å, for the power series."""

    def columns(self, x: Floats) -> Floats:
        """What each coefficient multiplies at the angles ``x`` in degrees, shape (len(x), terms).

        As in ``GSASIIpwd.getBackground``. Raises ValueError for a function that is not known.
        """
        order = np.arange(self.terms)
        place = np.clip(2 * (x - self.first) / (self.last - self.first) - 1, -1, 1)[:, None]
        if self.kind == "chebyschev-1":
            return np.asarray(np.cos(order * np.arccos(place)))
        if self.kind == "chebyschev":
            return np.asarray(place**order)
        if self.kind == "cosine":
            return np.asarray(np.cos(np.pi * x[:, None] * order / self.last))
        if self.kind in INTERPOLATED:
            ascending = np.argsort(self.nodes())
            nodes, values = self.nodes()[ascending], np.eye(self.terms)[:, ascending]
            return np.stack([np.interp(x, nodes, one) for one in values], axis=1)
        factorial = np.array([math.factorial(int(number)) for number in order], dtype=float)
        square = (4 * math.pi * np.sin(np.radians(x / 2)) / self.wavelength)[:, None] ** 2  # Q² in Å⁻²
        if self.kind == "Q^2 power series":
            return np.asarray(square**order / factorial)
        if self.kind == "Q^-2 power series":
            return np.asarray(square ** (-order) * factorial)
        raise ValueError(f"GSAS-II's background function {self.kind} is not known")

    def nodes(self) -> Floats:
        """two_theta in degrees of the nodes of an interpolated function, in GSAS-II's order.

        For ``inv interpolate`` that is the lower end, the inner nodes from high to low angles, and the upper end.
        """
        if self.kind == "inv interpolate":
            inner = 1 / np.linspace(1 / self.last, 1 / self.first, self.terms)[1:-1]
            return np.array([self.first, *inner, self.last][: self.terms])
        if self.kind == "log interpolate":
            return np.asarray(np.exp(np.linspace(math.log(self.first), math.log(self.last), self.terms)))
        return np.linspace(self.first, self.last, self.terms)

    def with_terms(self, terms: int) -> BackgroundFunction:
        """The same function with another number of coefficients."""
        return BackgroundFunction(self.kind, terms, self.first, self.last, self.wavelength)


@dataclass(frozen=True)
class Levels:
    """The level of the background in blocks of a pattern."""

    x: Floats
    """two_theta in degrees of the middle of each block."""
    level: Floats
    """Intensity there, never below zero."""
    points: Floats
    """Number of points that this rests on; 1 where it was taken from the neighbours."""
    esd: Floats
    """Standard uncertainty of a point in the block."""


def start_background(
    x: Floats,
    y: Floats,
    esd: Floats,
    function: BackgroundFunction,
    lines: FoundLines | None,
    extra: Floats | None = None,
) -> list[float]:
    """Coefficients of the background.

    Parameters
    ----------
    x, y, esd : two_theta in degrees, intensities and their esds, of the points that count.
    function : of which the coefficients are wanted.
    lines : the found lines, or None; those outside of the range do not count.
    extra : what background peaks and Debye terms of the user add at each point; None for nothing.
    """
    levels = background_levels(x, y if extra is None else y - extra, esd, lines)
    if extra is not None:
        low = np.interp(levels.x, x, extra)
        return anchored(function, levels, least=-low)
    return anchored(function, levels)


def background_levels(x: Floats, y: Floats, esd: Floats, lines: FoundLines | None) -> Levels:
    """The level in every block: the mean of the points off the lines, or the low values, or that of the neighbours.

    Far beyond the last found line there may be lines that were not searched for; there the low values count. At the
    very end a line may be cut off that could not be found; there it is the level of the neighbours.
    """
    levels = lower_envelope(x, y, esd)
    if lines is None:
        return levels
    inside = (lines.two_theta >= x[0]) & (lines.two_theta <= x[-1])
    if not inside.any():
        return levels
    last = float(lines.two_theta[inside].max())
    spacing = float(np.median(np.diff(np.append(x[0], np.sort(lines.two_theta[inside])))[-10:]))
    unsearched = last if x[-1] - last > SEARCHED * spacing else math.inf
    off = x <= last
    for two_theta, fwhm in zip(lines.two_theta[inside], lines.fwhm[inside], strict=True):
        off &= np.abs(x - two_theta) > OFF_LINES * fwhm
    return _off_lines(x, y, esd, off, unsearched, levels) if off.mean() > OFF_LEAST else levels


def lower_envelope(x: Floats, y: Floats, esd: Floats) -> Levels:
    """Levels from the low values of a pattern whose lines are everywhere or not known.

    In each block the 20th percentile is taken, plus 0.84 esds: of pure noise (normal distribution) it lies so far below
    the mean. Blocks that rise above a smooth curve through the others are full of lines: they get the level of their
    neighbours, if that is lower.
    """
    block = _blocks(x)
    count = block[-1] + 1
    middle, low, noise = np.zeros(count), np.zeros(count), np.zeros(count)
    for number in range(count):
        here = block == number
        middle[number] = x[here].mean()
        noise[number] = np.median(esd[here])
        low[number] = np.percentile(y[here], 20) + 0.84 * np.percentile(esd[here], 20)
    flat = np.ones(count, dtype=bool)
    place = 2 * (middle - x[0]) / max(x[-1] - x[0], 1e-9) - 1
    for _ in range(6):
        coefficients = np.polynomial.chebyshev.chebfit(place[flat], low[flat], min(6, int(flat.sum())) - 1)
        above = low - np.polynomial.chebyshev.chebval(place, coefficients)
        flat = above <= 2 * 1.4826 * np.median(np.abs(above[flat])) + 1e-9
    return _filled(middle, low, np.where(flat, 3.0, 0.0), noise, low)


def _off_lines(x: Floats, y: Floats, esd: Floats, off: np.ndarray, unsearched: float, envelope: Levels) -> Levels:
    """Levels from the weighted mean of the points ``off`` the lines, without the points that rise above the rest.

    Beyond the angle ``unsearched`` they are those of the envelope.
    """
    block = _blocks(x)
    count = block[-1] + 1
    middle, beyond = envelope.x, envelope.x > unsearched
    weight = esd**-2.0
    levels = envelope
    for _ in range(5):
        points = np.bincount(block[off], minlength=count).astype(float)
        total = np.bincount(block[off], weight[off], minlength=count)
        mean = np.bincount(block[off], (weight * y)[off], minlength=count) / np.maximum(total, 1e-300)
        known = (points >= BLOCK_LEAST) & ~beyond
        level = np.where(known, mean, envelope.level)
        points = np.where(known, points, np.where(beyond, envelope.points, 0.0))
        levels = _filled(middle, level, points, envelope.esd, envelope.level)
        function = BackgroundFunction("chebyschev-1", 6, float(x[0]), float(x[-1]), 1.0)
        smooth = function.columns(x) @ np.array(anchored(function, levels))
        above = (y - smooth) / esd
        off = off & (above <= 3 * 1.4826 * np.median(np.abs(above[off])) + 1e-9) if off.any() else off
    return levels


def anchored(function: BackgroundFunction, levels: Levels, least: Floats | None = None) -> list[float]:
    """Coefficients of a function fitted to levels, nowhere below ``least`` (zero) between the ends of the range.

    If no such fit is found with all coefficients, the last ones are set to zero, one after the other. The nodes of an
    interpolated function are set to the levels there instead.
    """
    grid = np.linspace(function.first, function.last, 601)
    floor = np.full(len(grid), 0.01 * float(np.median(levels.esd)))  # the grid is not every point
    if least is not None:
        floor += np.interp(grid, levels.x, least)
    for terms in range(min(function.terms, len(levels.x)), 0, -1):
        solution = _fitted_above(function.with_terms(terms), levels, grid, floor)
        if solution is not None:
            return [*map(float, solution), *[0.0] * (function.terms - terms)]
        if function.kind in INTERPOLATED:
            return [float(value) for value in np.interp(function.nodes(), levels.x, levels.level)]
    highest = max(float(np.max(floor)), float(np.mean(levels.level)))
    return [highest, *[0.0] * (function.terms - 1)]


def _fitted_above(function: BackgroundFunction, levels: Levels, grid: Floats, floor: Floats) -> Floats | None:
    """Coefficients fitted to levels with growing weight on the floor where the fit is below it.

    None if the fit stays below, or rises over twice the highest level.

    What is left below the floor in the end, if less than half the noise of a point, lifts the whole function.
    """
    weight = np.sqrt(levels.points) / levels.esd
    columns, at_grid = function.columns(levels.x), function.columns(grid)
    scale = np.sqrt((columns**2).sum(axis=0)) + 1e-300  # powers of Q differ by orders of magnitude
    penalty = np.zeros(len(grid))
    highest = 2 * levels.level.max() + 3 * np.median(levels.esd)
    for _ in range(PUSHES):
        rows = np.concatenate([columns * weight[:, None], at_grid * penalty[:, None]]) / scale
        wanted = np.concatenate([levels.level * weight, floor * penalty])
        solution = np.linalg.lstsq(rows, wanted, rcond=None)[0] / scale
        drawn = at_grid @ solution
        below = floor - drawn
        if drawn.max() > highest:
            return None
        if below.max() <= 0:
            return np.asarray(solution)
        penalty += np.where(below > 0, weight.max(), 0.0)
    lift = below.max() * (1 + 1e-6)
    if lift > 0.5 * np.median(levels.esd):
        return None
    solution[slice(None) if function.kind in INTERPOLATED else 0] += lift
    return np.asarray(solution)


def _blocks(x: Floats) -> np.ndarray:
    """The number of the block that each point belongs to."""
    return (
        np.minimum(np.arange(len(x)) * BLOCKS // max(len(x), 1), len(x) - 1) if len(x) > BLOCKS else np.arange(len(x))
    )


def _filled(x: Floats, level: Floats, points: Floats, esd: Floats, most: Floats) -> Levels:
    """Levels where blocks without points get that of their neighbours, but at most ``most``; none is below zero."""
    known = points > 0
    if known.any() and not known.all():
        level = np.where(known, level, np.minimum(np.interp(x, x[known], level[known]), most))
    return Levels(x, np.maximum(level, 0.0), np.maximum(points, 1.0), esd)
