"""The part of a pattern to which every cell is fitted, and the weights of its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta
from alphadiffract_plugin.peaks.find_peaks import PeakFit
from alphadiffract_plugin.peaks.observed import Observed, observed_from_peaks
from alphadiffract_plugin.peaks.profile import profiles
from alphadiffract_plugin.peaks.runs import Runs
from alphadiffract_plugin.records import Histogram

_MOST_LINES = 45
"""The fit ends after this line; chosen by hand."""
_MISFIT = 0.04
"""Model error as a fraction of the intensity, since the peak shape is no better known; chosen by hand."""
_TRUST = 0.35
"""Factor of the weights: neighbouring points have the same model errors, so each counts as less than one observation;
chosen by hand."""


@dataclass(frozen=True)
class PatternData:
    """The part of the pattern to which every cell is fitted: N points, L found lines.

    The weight of a point is w = 0.35 / (f (σ² + (0.04 m)²)), where σ is its noise, m the intensity of the found lines
    there, and f the mean of (net - m)² / (σ² + (0.04 m)²), but at least 1.
    """

    x: Floats
    """two_theta in degrees, shape (N,)."""
    net: Floats
    """Intensity less background in counts, shape (N,)."""
    background: Floats
    """Background in counts, shape (N,)."""
    weight: Floats
    """The weights w, shape (N,)."""
    noise: Floats
    """Standard uncertainty of the intensity in counts, shape (N,)."""
    peak_fit: PeakFit
    """All lines of the pattern, with their shape."""
    position: Floats
    """two_theta in degrees of the lines in the range, shape (L,)."""
    width: Floats
    """Their FWHM in degrees, shape (L,)."""
    line_profiles: Runs
    """Profiles of those lines, shape (N, L)."""
    observed: Observed
    """Positions and uncertainties of those lines, with their probabilities to be spurious."""
    density: Floats
    """Reflections per degree at each line of a cell with one reflection in the range, shape (L,).

    It is proportional to the derivative of d⁻³ by two_theta, since the number of reflections up to 1/d is to d⁻³.
    """
    best_misfit: float
    """Weighted sum of squares of the residual of the found lines alone."""
    total: float
    """Area of all those lines in counts × degrees."""


def points_fitted(histogram: Histogram, peak_fit: PeakFit) -> int:
    """Number of points that are fitted: those up to the 45th line."""
    peaks = peak_fit.peaks
    last = min(len(peaks), _MOST_LINES) - 1
    return int(np.searchsorted(histogram.two_theta, peaks.two_theta[last] + 4 * peaks.fwhm[last]))


def pattern_data(histogram: Histogram, peak_fit: PeakFit) -> PatternData:
    """The pattern up to its 45th line, averaged to about six points per FWHM."""
    peaks = peak_fit.peaks
    last = min(len(peaks), _MOST_LINES) - 1
    stop = points_fitted(histogram, peak_fit)
    x = histogram.two_theta[:stop]
    thin = max(1, int(np.median(peaks.fwhm) / 6 / np.median(np.diff(x))))
    net = (histogram.intensity - peak_fit.background)[:stop]
    noise = peak_fit.noise[:stop]
    if thin > 1:
        whole = stop // thin * thin
        x, net = (a[:whole].reshape(-1, thin).mean(1) for a in (x, net))
        noise = np.sqrt((noise[:whole].reshape(-1, thin) ** 2).mean(1) / thin)
    drawn = profiles(x, peaks.two_theta[: last + 1], peak_fit.shape, derivatives="none")
    model = drawn.value @ peaks.area[: last + 1]
    variance = noise**2 + (_MISFIT * model) ** 2
    excess = max(1.0, float(np.mean((net - model) ** 2 / variance)))
    observed = observed_from_peaks(peaks, last + 1, every=True)
    shape_of_density = np.sqrt(observed.inv_d2()) * observed.inv_d2_per_degree()
    whole_range = float(np.sqrt(inv_d2_from_two_theta(x[-1], peaks.wavelength))) ** 3 / 1.5
    return PatternData(
        x=x,
        net=net,
        background=np.interp(x, histogram.two_theta, peak_fit.background),
        weight=_TRUST / excess / variance,
        noise=noise,
        peak_fit=peak_fit,
        position=peaks.two_theta[: last + 1].copy(),
        width=peak_fit.shape.fwhm(peaks.two_theta[: last + 1]),
        line_profiles=drawn.value,
        observed=observed,
        density=shape_of_density / whole_range,
        best_misfit=float((_TRUST / excess * (net - model) ** 2 / variance).sum()),
        total=float(peaks.area[: last + 1].sum()),
    )
