"""What a Le Bail fit starts from: flags, widths of the measured lines, a background at the level away from the lines.

Le Bail intensities gather up, over the whole reach of GSAS-II's profiles, what a background leaves above it: one too
low by the noise alone gives absent reflections intensity. So it must start near the truth, before the first
intensities. This file needs numpy and ``lebail_steps.py``; ``lebail_recipe.py`` begins with it, and a bundle carries a
copy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.lebail_steps import Fit

BACKGROUND_TERMS = 6
"""Chebyshev terms of the background."""

OFF_LINES = 4.0
"""Points farther than so many widths from every found line belong to the background ..."""

OFF_LEAST = 0.1
"""... if they are at least this part of all."""


def prepare(fit: Fit, zero_shift: float, peaks: dict[str, Any] | None) -> None:
    """Clear every flag of histogram and phase, and set the starting values; see ``fit_by_lebail``."""
    for value in (*fit.instrument.values(), *fit.sample.values()):
        if isinstance(value, list) and value and isinstance(value[-1], bool):
            value[-1] = False  # among them the histogram's scale, which Le Bail intensities take over
    fit.phase.data["General"]["Cell"][0] = False
    for width in ("Size", "Mustrain"):
        fit.coupling[width][2] = [False] * len(fit.coupling[width][2])
    fit.coupling["Size"][1][0], fit.coupling["Mustrain"][1][0] = 10.0, 0.0  # widths of nearly nothing
    if fit.by_sample and peaks:
        _start_broadening(fit, np.array(peaks["two_theta"]), np.array(peaks["fwhm"]))
    if "Shift" in fit.sample:
        degrees = zero_shift - fit.instrument["Zero"][1]
        fit.sample["Shift"][0] = -degrees * math.pi * fit.sample["Gonio. radius"] / 0.36
    else:
        fit.instrument["Zero"][1] = zero_shift
    fit.histogram.data["Background"][0][1] = False
    set_background(fit, peaks)
    fit.phase.set_refinements({"LeBail": True})
    fit.begin()


def _start_broadening(fit: Fit, two_theta: np.ndarray, fwhm: np.ndarray) -> None:
    """Start size and microstrain from what the measured lines are wider than the instrument."""
    theta = np.radians(two_theta / 2)
    excess = np.median(100 * (fwhm - fit.instrument_fwhm(theta)) * np.cos(theta))
    if excess <= 0:
        return
    angle = np.median(np.sin(theta))
    fit.coupling["Size"][1][0] = float(np.clip(1.8 * fit.wavelength / (math.pi * excess / 2), 0.001, 10.0))
    fit.coupling["Mustrain"][1][0] = float(excess / 2 / angle * math.pi / 0.018)


def set_background(fit: Fit, peaks: dict[str, Any] | None) -> None:
    """Start the background within the limits of the histogram; whether it is refined stays.

    GSAS-II's polynomial spans these limits: after a change of them it must start anew.
    """
    data = fit.histogram.data
    x, y, weight = (np.ma.filled(np.ma.asarray(column, dtype=float), 0.0) for column in data["data"][1][:3])
    low, high = data["Limits"][1]
    inside = (x >= low) & (x <= high) & (weight > 0)
    terms = start_background(x[inside], y[inside], weight[inside] ** -0.5, BACKGROUND_TERMS, peaks)
    data["Background"][0] = ["chebyschev-1", data["Background"][0][1], BACKGROUND_TERMS, *terms]


def start_background(
    x: np.ndarray, y: np.ndarray, esd: np.ndarray, terms: int, peaks: dict[str, Any] | None
) -> list[float]:
    """Chebyshev coefficients of the background.

    Parameters
    ----------
    x, y, esd : two_theta in degrees, intensities and their esds, of points that count.
    terms : number of coefficients.
    peaks : found lines (``two_theta``, ``fwhm`` in degrees), or None.
    """
    low = lower_envelope(x, y, esd, terms)
    if not peaks or len(peaks["two_theta"]) == 0:
        return low
    off = x <= max(peaks["two_theta"])
    for two_theta, fwhm in zip(peaks["two_theta"], peaks["fwhm"], strict=True):
        off &= np.abs(x - two_theta) > OFF_LINES * fwhm
    return level_off_lines(x, y, esd, low, off, beyond=x > max(peaks["two_theta"])) if off.mean() > OFF_LEAST else low


def level_off_lines(
    x: np.ndarray, y: np.ndarray, esd: np.ndarray, low: list[float], off: np.ndarray, beyond: np.ndarray
) -> list[float]:
    """Chebyshev coefficients of the weighted mean level at the points ``off``, without what stands out of them.

    Behind the last found line, at the points ``beyond``, lines may be that nobody looked for: there it follows the
    lower envelope, of coefficients ``low``.
    """
    place = 2 * (x - x[0]) / (x[-1] - x[0]) - 1
    y = np.where(beyond, np.polynomial.chebyshev.chebval(place, low), y)
    for _ in range(5):
        used = off | beyond
        coefficients = np.polynomial.chebyshev.chebfit(place[used], y[used], len(low) - 1, w=1 / esd[used])
        above = (y - np.polynomial.chebyshev.chebval(place, coefficients)) / esd
        off = off & (above <= 3 * 1.4826 * np.median(np.abs(above[off])) + 1e-9)
    return [float(value) for value in coefficients]


def lower_envelope(x: np.ndarray, y: np.ndarray, esd: np.ndarray, terms: int) -> list[float]:
    """Chebyshev coefficients of the low values of a pattern, where lines are everywhere or not known.

    The 20th percentile of pure noise lies 0.84 esds below its mean, and so much is added.
    """
    size = max(1, len(x) // 60)
    blocks = slice(0, len(x) // size * size)
    middle = x[blocks].reshape(-1, size).mean(axis=1)
    low = np.percentile(y[blocks].reshape(-1, size), 20, axis=1)
    low += 0.84 * np.percentile(esd[blocks].reshape(-1, size), 20, axis=1)
    place = 2 * (middle - x[0]) / (x[-1] - x[0]) - 1
    flat = np.ones(len(low), dtype=bool)
    for _ in range(6):
        coefficients = np.polynomial.chebyshev.chebfit(place[flat], low[flat], min(terms, flat.sum()) - 1)
        above = low - np.polynomial.chebyshev.chebval(place, coefficients)
        flat = above <= 2 * 1.4826 * np.median(np.abs(above[flat])) + 1e-9
    return [float(value) for value in coefficients] + [0.0] * (terms - len(coefficients))
