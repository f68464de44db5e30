"""Background and noise of a histogram."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.peaks.filters import moving_mean, snip
from alphadiffract_plugin.records import Histogram


def background_of(histogram: Histogram) -> Floats:
    """Smooth background in counts, shape (N,), by the filter of :func:`filters.snip`.

    It is made on points averaged over 0.02 degrees, with a widest window of 1.2 degrees to either side.
    """
    x, y = histogram.two_theta, histogram.intensity
    step = np.median(np.diff(x))
    thin = max(1, int(0.02 / step))
    coarse = moving_mean(y, thin)[::thin]
    half = max(5, int(1.2 / (step * thin)))
    low = snip(coarse, half, max(1, half // 8))
    return np.interp(x, x[::thin], low)


def noise_of(histogram: Histogram, net: Floats) -> Floats:
    """Standard uncertainty of each intensity in counts, shape (N,): that of the file, else from the points' scatter.

    The scatter is that of the third differences of neighbouring points. Its typical value in the weaker points is the
    floor, which may change along the pattern: it is large where a high background was subtracted before. The stronger
    points add a counting term: σ² = floor² + gain · I.
    """
    if histogram.esd is not None:
        return np.asarray(np.maximum(histogram.esd, np.median(histogram.esd) * 1e-3))
    x, y = histogram.two_theta, histogram.intensity
    scatter = np.abs(y[3:] - 3 * y[2:-1] + 3 * y[1:-2] - y[:-3]) / np.sqrt(20)
    mean = np.maximum((y[3:] + y[2:-1] + y[1:-2] + y[:-3]) / 4, 0)
    moving = scatter > 0
    least = 1e-4 * max(float(np.ptp(y)), 1e-30)
    if moving.sum() < 20:
        return np.full(len(y), 20 * least)
    blocks = np.array_split(np.arange(len(scatter)), max(4, int((x[-1] - x[0]) / 2.0)))
    centres = np.array([x[block].mean() for block in blocks])
    floors = np.array([_quiet_scatter(scatter[block], mean[block]) for block in blocks])
    floor = np.interp(x, centres, np.maximum(floors, least))
    strong = moving & (mean > 4 * np.median(mean[moving]))
    gain = np.median(scatter[strong] ** 2 / mean[strong]) * 0.5 if strong.sum() > 30 else 0.0
    return np.asarray(np.sqrt(floor**2 + gain * np.maximum(y, 0)))


def _quiet_scatter(scatter: Floats, mean: Floats) -> float:
    """Typical scatter of the weaker half of some points, without clipped ones, which do not scatter at all."""
    moving = scatter > 0
    if moving.sum() < 5:
        return 0.0
    quiet = moving & (mean <= np.quantile(mean[moving], 0.6))
    return 1.48 * float(np.median(scatter[quiet]))


def quiet_level(x: Floats, net: Floats, noise: Floats) -> Floats:
    """Mean net intensity between the lines, shape (N,): the background filter follows the lower edge of the noise."""
    blocks = np.array_split(np.arange(len(x)), max(4, int((x[-1] - x[0]) / 4.0)))
    level = []
    for block in blocks:
        low = net[block]
        for _ in range(4):
            low = low[low < np.median(low) + 2.5 * np.median(noise[block])]
            if len(low) < 5:
                break
        level.append(min(float(np.median(low)), 1.5 * float(np.median(noise[block]))) if len(low) >= 5 else 0.0)
    return np.asarray(np.maximum(np.interp(x, [x[block].mean() for block in blocks], level), 0))
