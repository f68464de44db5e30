"""Preparation of a histogram: resampled to the grid of a network, background subtracted, scaled.

Positions are converted to the wavelength of the grid through d: sin θ(grid) = λ(grid) / λ · sin θ, with θ half of
two_theta. Heights stay as they are. The change of the axis changes the area of a line just as the ratio of the Lorentz
factors 1/(sin²θ cos θ) at the two wavelengths does, so that only the polarisation differs; the network is trained with
such differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal.bragg import d_from_two_theta, two_theta_at_wavelength
from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.peaks.filters import snip

if TYPE_CHECKING:
    from alphadiffract_plugin.models.grid import Grid, Normalisation
    from alphadiffract_plugin.records import Histogram

LEAST_COVERAGE = 0.1
"""Share of the grid that a histogram must cover at least."""
BACKGROUND_WINDOW = 1.5
"""Half width of the window of the background subtraction, in degrees at 40° and Cu Kα1; it is wider than any line."""


GAP = 8
"""Points that are more than so many steps of the pattern and of the grid apart have a gap between them."""


def prepare(histogram: Histogram, grid: Grid, normalisation: Normalisation) -> np.ndarray:
    """The input of the network, shape (2, L): intensity (0 where not measured) and coverage (1 where measured, else 0).

    Raises
    ------
    RadiationError : the histogram was measured with neutrons, and the network is trained on X-ray intensities.
    InputError : the histogram covers too little of the grid, or has no line there.
    """
    if histogram.radiation != "xray":
        raise RadiationError(
            f"the network is trained on X-ray intensities, but this histogram was measured with {histogram.radiation}s",
            fix="use an indexer without the network, such as `--indexer gsasii`",
            where=histogram.source or None,
        )
    intensity, coverage = resample(histogram, grid)
    if coverage.mean() < LEAST_COVERAGE:
        raise InputError(
            f"the pattern covers {100 * coverage.mean():.0f} % of the network's range, d from "
            f"{d_from_two_theta(grid.two_theta_max, grid.wavelength):.2f} to "
            f"{d_from_two_theta(grid.two_theta_min, grid.wavelength):.2f} Å",
            fix="check the wavelength, or measure more of that range",
            where=histogram.source or None,
        )
    measured = coverage > 0
    intensity[measured] -= background(intensity[measured], grid)
    return np.stack([normalise(intensity, measured, normalisation, histogram), coverage])


def resample(histogram: Histogram, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Intensity and coverage on the grid, shape (L,) each.

    The intensity is the exact mean over each step of the grid of the pattern, interpolated linearly: a fine pattern is
    averaged, a coarse one interpolated. A gap in the pattern (see ``GAP``) is not covered.
    """
    x = two_theta_at_wavelength(histogram.two_theta, histogram.wavelength, grid.wavelength)
    x, y = x[np.isfinite(x)], histogram.intensity[np.isfinite(x)]
    centres = np.linspace(grid.two_theta_min, grid.two_theta_max, grid.length)
    if len(x) < 2:
        return np.zeros(grid.length), np.zeros(grid.length)
    edges = np.append(centres - grid.step / 2, centres[-1] + grid.step / 2)
    area = np.concatenate([[0.0], np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2)])
    inside = np.clip(edges, x[0], x[-1])
    left = np.clip(np.searchsorted(x, inside, "right") - 1, 0, len(x) - 2)
    run = inside - x[left]
    slope = (y[left + 1] - y[left]) / (x[left + 1] - x[left])
    upto = area[left] + y[left] * run + slope * run**2 / 2
    coverage = ((centres >= x[0]) & (centres <= x[-1])).astype(float)
    steps = np.diff(x)
    gap = steps > GAP * max(np.median(steps), grid.step)
    coverage[gap[np.clip(np.searchsorted(x, centres, "right") - 1, 0, len(x) - 2)]] = 0
    width = np.maximum(np.diff(inside), 1e-12)
    return np.where(coverage > 0, np.diff(upto) / width, 0.0), coverage


def background(intensity: np.ndarray, grid: Grid) -> np.ndarray:
    """The smooth background, by the SNIP method of Ryan et al. (1988), shape (L,)."""
    window = [40 - BACKGROUND_WINDOW, 40 + BACKGROUND_WINDOW]
    cu_width = two_theta_at_wavelength(window, 1.540593, grid.wavelength)
    half_window = max(3, round(float(np.diff(cu_width)[0]) / 2 / grid.step))
    return snip(intensity, half_window, max(1, half_window // 16))


def normalise(
    intensity: np.ndarray, measured: np.ndarray, normalisation: Normalisation, histogram: Histogram
) -> np.ndarray:
    """Intensities (L,) scaled as the config of the model says, 0 where not measured."""
    y = np.maximum(intensity[measured], normalisation.floor)
    if normalisation.subtract_minimum:
        y = y - y.min()
    if not y.max() > 0:
        raise InputError(
            "no line stands above the background in the range of the network",
            fix="check the columns of the file, the wavelength and the background",
            where=histogram.source or None,
        )
    y = y / y.max()
    scaled = np.zeros_like(intensity)
    scaled[measured] = normalisation.top * (np.sqrt(y) if normalisation.square_root else y)
    return scaled
