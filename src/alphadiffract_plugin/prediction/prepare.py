"""Prepare: a histogram onto the grid that a network was trained on.

The way between wavelengths goes through d: sin θ(model) = λ(model) / λ · sin θ, with θ half of two_theta. Heights stay
as they are: what the change of axis does to a line's area, the Lorentz factors 1/(sin²θ cos θ) of the two wavelengths
undo exactly; only polarisation is left, and the network has learned to live with that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.errors import InputError, RadiationError

if TYPE_CHECKING:
    from alphadiffract_plugin.models.grid import Grid, Normalisation
    from alphadiffract_plugin.records import Histogram

LEAST_COVERAGE = 0.1
"""A histogram must cover this share of the model's grid."""
BACKGROUND_WINDOW = 1.5
"""Half width in degrees of Cu Kα1 two_theta, at 40°, of the window of the background: wider than any line."""


GAP = 8
"""Neighbouring points further apart than so many steps, of the pattern and of the grid, have a gap between them."""


def prepare(histogram: Histogram, grid: Grid, normalisation: Normalisation) -> np.ndarray:
    """The network's input, shape (2, L): intensity (0 where not measured), and coverage, 1 where measured, else 0.

    Raises
    ------
    RadiationError : neutrons; the network knows X-ray intensities only.
    InputError : the histogram covers too little of the model's grid, or holds no line there.
    """
    if histogram.radiation != "xray":
        raise RadiationError(
            f"the network was trained on X-ray intensities; this histogram is of {histogram.radiation}s",
            fix="use an indexer without the network, e.g. `--indexer gsasii`",
            where=histogram.source or None,
        )
    intensity, coverage = resample(histogram, grid)
    if coverage.mean() < LEAST_COVERAGE:
        raise InputError(
            f"the pattern covers {100 * coverage.mean():.0f} % of the network's range, d from "
            f"{d_spacing(grid.two_theta_max, grid.wavelength):.2f} to "
            f"{d_spacing(grid.two_theta_min, grid.wavelength):.2f} Å",
            fix="check the wavelength; or measure more of that range",
            where=histogram.source or None,
        )
    measured = coverage > 0
    intensity[measured] -= background(intensity[measured], grid)
    return np.stack([normalise(intensity, measured, normalisation, histogram), coverage])


def d_spacing(two_theta: float, wavelength: float) -> float:
    """Spacing d in Å of an angle in degrees at a wavelength in Å (Bragg)."""
    return wavelength / (2 * np.sin(np.radians(two_theta / 2)))


def convert_two_theta(two_theta: np.ndarray, wavelength: float, to_wavelength: float) -> np.ndarray:
    """Angles in degrees of the same d at another wavelength; NaN where that wavelength cannot reach d."""
    sine = to_wavelength / wavelength * np.sin(np.radians(np.asarray(two_theta, float) / 2))
    return 2 * np.degrees(np.arcsin(np.where(sine < 1, sine, np.nan)))


def resample(histogram: Histogram, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Intensity and coverage on the grid, each of shape (L,): the mean over each grid cell of the joined-up points.

    The mean is exact: a finely measured pattern is averaged, a coarse one interpolated. A region that was left out
    (see ``GAP``) is not covered.
    """
    x = convert_two_theta(histogram.two_theta, histogram.wavelength, grid.wavelength)
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
    """The slowly varying part, by SNIP (Ryan et al. 1988) of pybaselines; shape as given."""
    from pybaselines import Baseline

    cu_width = convert_two_theta(np.array([40 - BACKGROUND_WINDOW, 40 + BACKGROUND_WINDOW]), 1.540593, grid.wavelength)
    half_window = max(3, round(float(np.diff(cu_width)[0]) / 2 / grid.step))
    smooth = max(1, half_window // 16)
    return Baseline().snip(
        intensity, max_half_window=half_window, decreasing=True, smooth_half_window=smooth, filter_order=2
    )[0]


def normalise(
    intensity: np.ndarray, measured: np.ndarray, normalisation: Normalisation, histogram: Histogram
) -> np.ndarray:
    """Intensities (L,) scaled as the model's config says, 0 where not measured."""
    y = np.maximum(intensity[measured], normalisation.floor)
    if normalisation.subtract_minimum:
        y = y - y.min()
    if not y.max() > 0:
        raise InputError(
            "no line stands above the background in the network's range",
            fix="check the file's columns, the wavelength and the background",
            where=histogram.source or None,
        )
    y = y / y.max()
    scaled = np.zeros_like(intensity)
    scaled[measured] = normalisation.top * (np.sqrt(y) if normalisation.square_root else y)
    return scaled
