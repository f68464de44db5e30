"""Filters over the points of a pattern, continued by reflection at its ends: Gaussian, mean, maximum, SNIP background.

They are written in numpy, so that no signal-processing library need be imported, which takes longer than filtering.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints


def smoothed(y: Floats, sigma: float, *, curvature: bool = False) -> Floats:
    """A pattern, or its second derivative, smoothed by a Gaussian of ``sigma`` points, shape as given.

    The Gaussian is cut at 4 sigma and normalised; its second derivative is (t²/σ⁴ - 1/σ²) times it.
    """
    reach = int(4.0 * sigma + 0.5)
    t = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 / sigma**2 * t**2)
    kernel /= kernel.sum()
    if curvature:
        kernel = kernel * (t**2 / sigma**4 - 1 / sigma**2)
    smooth: Floats = np.convolve(np.pad(y, reach, mode="symmetric"), kernel, "valid")
    return smooth


def moving_mean(y: Floats, size: int) -> Floats:
    """Moving mean of ``size`` points around each point, of an even number one more before it; shape as given."""
    if size == 1:
        return y
    around = np.pad(y, (size // 2, size - size // 2 - 1), mode="symmetric")
    first = np.cumsum(around[:size])[-1:]
    total: Floats = np.cumsum(np.concatenate([first, around[size:] - around[:-size]]))
    return total / size


def moving_maximum(y: Floats, reach: int) -> Floats:
    """Largest value within ``reach`` points of each point, shape as given."""
    found, width, whole = np.pad(y, reach, mode="symmetric"), 1, 2 * reach + 1
    while width < whole:
        step = min(width, whole - width)
        found = np.maximum(found[:-step], found[step:])
        width += step
    return found


def snip(y: Floats, half_window: int, smoothing: int) -> Floats:
    """Background by the peak clipping of Ryan et al. (1988), Nucl. Instrum. Methods B 34, 396; shape as given.

    The half-width of the window goes from ``half_window`` points down to one (Morháč & Matoušek 2008, Appl. Spectrosc.
    62, 91). Each time, a point above the mean of the two points at that distance is lowered to this mean; every other
    point becomes the mean of ``smoothing`` points on either side of it. Before, the pattern is continued at both ends
    by straight lines through its first and last ``half_window`` points.
    """
    widest = min(half_window, (len(y) - 1) // 2)
    at = np.arange(len(y) + 2 * widest)
    before = np.polynomial.Polynomial.fit(at[widest : 2 * widest], y[:widest], 1)(at[:widest])
    behind = np.polynomial.Polynomial.fit(at[-2 * widest : -widest], y[-widest:], 1)(at[-widest:])
    level = np.concatenate([before, y, behind])
    for half in range(widest, 0, -1):
        middle = (level[: -2 * half] + level[2 * half :]) / 2
        smooth = moving_mean(level, 2 * smoothing + 1)[half:-half]
        level[half:-half] = np.where(level[half:-half] > middle, middle, smooth)
    return level[widest:-widest]


def local_maxima(y: Floats) -> Ints:
    """Points higher than both neighbours, and the middle of plateaus that are; the ends are never among them."""
    steps = np.diff(y)
    changes = np.flatnonzero(steps)
    turns = np.flatnonzero((steps[changes[:-1]] > 0) & (steps[changes[1:]] < 0))
    return (changes[turns] + 1 + changes[turns + 1]) // 2


def prominences(y: Floats, tops: Ints) -> Floats:
    """Prominence of each top: its height above the higher of the two lowest points between it and higher points."""
    from alphadiffract_plugin.peaks.run_kernels import valleys

    height = np.empty(len(tops))
    valleys(np.array(y, float), tops, height)
    return y[tops] - height


def half_widths(y: Floats, tops: Ints) -> Floats:
    """Full width in points of each top at half its prominence, interpolated linearly between points."""
    width = np.empty(len(tops))
    for n, (top, level) in enumerate(zip(tops, y[tops] - 0.5 * prominences(y, tops), strict=True)):
        left = top - int(np.argmax(y[top::-1] <= level))
        right = top + int(np.argmax(y[top:] <= level))
        width[n] = (right - _part(y[right], y[right - 1], level)) - (left + _part(y[left], y[left + 1], level))
    return width


def _part(low: float, high: float, level: float) -> float:
    return (level - low) / (high - low) if low < level else 0.0
