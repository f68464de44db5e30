"""What a Le Bail fit starts from: flags, widths of the measured lines, and a background at the level between the lines.

Within the reach of GSAS-II's profiles, Le Bail intensities take up whatever the background leaves above it. A
background that is too low by only the noise gives absent reflections intensity. So it must be near the truth before the
first intensities are extracted. This file needs numpy, ``recipe_records.py`` and ``lebail_steps.py``;
``lebail_recipe.py`` calls it first, and a bundle carries a copy.
"""

from __future__ import annotations

import math

import numpy as np

from alphadiffract_plugin.recipes.lebail_steps import LeBailFit, filled
from alphadiffract_plugin.recipes.recipe_records import Floats, FoundLines

BACKGROUND_TERMS = 6
"""Chebyshev terms of the background."""

OFF_LINES = 4.0
"""Points farther than this number of line widths from every found line belong to the background ..."""

OFF_LEAST = 0.1
"""... provided that they are at least this fraction of all points."""


def prepare(fit: LeBailFit, zero_shift: float, lines: FoundLines | None) -> None:
    """Clear every refinement flag of histogram and phase, and set the starting values; see ``fit_by_lebail``."""
    for value in (*fit.instrument.values(), *fit.sample.values()):
        if isinstance(value, list) and value and isinstance(value[-1], bool):
            value[-1] = False  # also that of the histogram's scale, which would be degenerate with the intensities
    fit.phase.data["General"]["Cell"][0] = False
    for width in ("Size", "Mustrain"):
        fit.coupling[width][2] = [False] * len(fit.coupling[width][2])
    fit.coupling["Size"][1][0], fit.coupling["Mustrain"][1][0] = 10.0, 0.0  # 10 µm and none: they widen next to nothing
    if fit.by_sample and lines is not None:
        _start_broadening(fit, lines)
    if (
        "Shift" in fit.sample
    ):  # in µm; GSAS-II (GetReflPos) moves a line by -0.36 cos θ Shift / (π radius in mm) degrees
        degrees = zero_shift - fit.instrument["Zero"][1]
        fit.sample["Shift"][0] = -degrees * math.pi * fit.sample["Gonio. radius"] / 0.36
    else:
        fit.instrument["Zero"][1] = zero_shift
    fit.histogram.data["Background"][0][1] = False
    set_background(fit, lines)
    fit.phase.set_refinements({"LeBail": True})
    fit.begin()


def _start_broadening(fit: LeBailFit, lines: FoundLines) -> None:
    """Start size and microstrain from the median excess of the measured widths over those of the instrument.

    Half of the excess is given to each; the conversion is that of ``LeBailFit.widths``.
    """
    theta = np.radians(lines.two_theta / 2)
    excess = np.median(100 * (lines.fwhm - fit.instrument_fwhm(theta)) * np.cos(theta))
    if excess <= 0:
        return
    sine = np.median(np.sin(theta))
    fit.coupling["Size"][1][0] = float(np.clip(1.8 * fit.wavelength / (math.pi * excess / 2), 0.001, 10.0))
    fit.coupling["Mustrain"][1][0] = float(excess / 2 / sine * math.pi / 0.018)


def set_background(fit: LeBailFit, lines: FoundLines | None) -> None:
    """Set the background within the limits of the histogram to its starting values; its refinement flag stays.

    GSAS-II's polynomial spans the limits. So this must be called again after a change of the limits.
    """
    data = fit.histogram.data
    x, y, weight = (filled(column) for column in data["data"][1][:3])
    low, high = data["Limits"][1]
    inside = (x >= low) & (x <= high) & (weight > 0)
    terms = start_background(x[inside], y[inside], weight[inside] ** -0.5, BACKGROUND_TERMS, lines)
    data["Background"][0] = ["chebyschev-1", data["Background"][0][1], BACKGROUND_TERMS, *terms]


def start_background(x: Floats, y: Floats, esd: Floats, terms: int, lines: FoundLines | None) -> list[float]:
    """Chebyshev coefficients of the background.

    Parameters
    ----------
    x, y, esd : two_theta in degrees, intensities and their esds, of the points that count.
    terms : number of coefficients.
    lines : the found lines, or None.
    """
    low = lower_envelope(x, y, esd, terms)
    if lines is None:
        return low
    last = float(lines.two_theta.max())
    off = x <= last
    for two_theta, fwhm in zip(lines.two_theta, lines.fwhm, strict=True):
        off &= np.abs(x - two_theta) > OFF_LINES * fwhm
    return level_off_lines(x, y, esd, low, off, beyond=x > last) if off.mean() > OFF_LEAST else low


def level_off_lines(
    x: Floats, y: Floats, esd: Floats, low: list[float], off: np.ndarray, beyond: np.ndarray
) -> list[float]:
    """Chebyshev coefficients of the weighted mean level at the points ``off``, without the points that rise above it.

    Beyond the last found line, at the points ``beyond``, there may be lines that were not searched for. There the
    background follows the lower envelope, whose coefficients are ``low``.
    """
    place = 2 * (x - x[0]) / (x[-1] - x[0]) - 1
    y = np.where(beyond, np.polynomial.chebyshev.chebval(place, low), y)
    for _ in range(5):
        used = off | beyond
        coefficients = np.polynomial.chebyshev.chebfit(place[used], y[used], len(low) - 1, w=1 / esd[used])
        above = (y - np.polynomial.chebyshev.chebval(place, coefficients)) / esd
        off = off & (above <= 3 * 1.4826 * np.median(np.abs(above[off])) + 1e-9)
    return [float(value) for value in coefficients]


def lower_envelope(x: Floats, y: Floats, esd: Floats, terms: int) -> list[float]:
    """Chebyshev coefficients of the low values of a pattern whose lines are everywhere or not known.

    In each of 60 blocks the 20th percentile is taken, plus 0.84 esds: of pure noise (normal distribution) it lies so
    far below the mean.
    """
    size = max(1, len(x) // 60)
    blocks = slice(0, len(x) // size * size)
    middle = x[blocks].reshape(-1, size).mean(axis=1)
    low = np.percentile(y[blocks].reshape(-1, size), 20, axis=1)
    low += 0.84 * np.percentile(esd[blocks].reshape(-1, size), 20, axis=1)
    place = 2 * (middle - x[0]) / (x[-1] - x[0]) - 1
    flat = np.ones(len(low), dtype=bool)
    for _ in range(6):
        degree = min(terms, int(flat.sum())) - 1
        coefficients = np.polynomial.chebyshev.chebfit(place[flat], low[flat], degree)
        above = low - np.polynomial.chebyshev.chebval(place, coefficients)
        flat = above <= 2 * 1.4826 * np.median(np.abs(above[flat])) + 1e-9
    return [float(value) for value in coefficients] + [0.0] * (terms - len(coefficients))
