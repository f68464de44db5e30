"""The lines that cells are tested against: how probable each is to be spurious, and how likely at its position."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta, inv_d2_per_degree
from alphadiffract_plugin.radiation import KALPHA, KBETA, TUNGSTEN
from alphadiffract_plugin.records import Peaks

_COPPER, _ORDINARY_WIDTH = KALPHA["Cu"][0], 0.12
"""Wavelength in Å and FWHM in degrees to which windows in degrees refer."""
_SATELLITE = 0.9
"""Least probability to be spurious of a line where a stronger one has its Kβ or tungsten satellite."""
_SAME_ANODE = 3e-4
"""Largest relative difference of a wavelength from that of a tube whose satellites are looked for."""
_NEAR_SATELLITE = 0.35
"""Largest distance of a line from the place of a satellite, as a fraction of its FWHM; chosen by hand."""
_SATELLITE_HEIGHT = {"Kβ": 0.25, "W Lα": 0.10}
"""Largest height of a satellite relative to its Kα line: Kβ without a filter, and a tube with much tungsten."""
_SPURIOUS_STRONG = 0.2
"""Largest probability to be spurious of the strongest lines, where these alone are indexed."""
_SIGMA = 0.03
"""Systematic uncertainty of a position as a fraction of its FWHM, from asymmetry and overlap, added in quadrature to
its esd; chosen by hand."""


@dataclass(frozen=True)
class Observed:
    """The lines that cells are tested against, as plain arrays."""

    two_theta: Floats
    """Positions in degrees, shape (n,)."""
    sigma: Floats
    """Uncertainties in degrees, shape (n,)."""
    spurious: Floats
    """Prior probability that no reflection of the main phase is at the line, shape (n,)."""
    height: Floats
    """Heights relative to that of the third strongest line, at most 1, shape (n,)."""
    wavelength: float
    """Wavelength in Å."""

    scale: float
    """Factor of all windows and shifts in degrees; 1 for lines of ordinary width, see :func:`width_scale`."""

    def inv_d2(self, zero_shift: float = 0.0) -> Floats:
        """1/d² in 1/Å² after subtraction of a zero shift in degrees, shape (n,)."""
        return inv_d2_from_two_theta(self.two_theta - zero_shift, self.wavelength)

    def inv_d2_per_degree(self) -> Floats:
        """Derivative of 1/d² by two_theta, in 1/Å² per degree, shape (n,)."""
        return inv_d2_per_degree(self.two_theta, self.wavelength)


def observed_from_peaks(peaks: Peaks, lines: int, *, every: bool = False) -> Observed:
    """The peaks of lowest angle with their uncertainties and their probabilities to be spurious.

    Parameters
    ----------
    peaks : all peaks of a histogram.
    lines : number of peaks that are taken.
    every : take the first peaks as they come; otherwise a peak that is rather spurious than not is taken only if there
        are not enough others.
    """
    spurious = spurious_probability(peaks)
    use = np.sort(np.argsort(peaks.two_theta + 200.0 * ((spurious > 0.5) & (not every)), kind="stable")[:lines])
    return _observed(peaks, use, spurious)


def _observed(peaks: Peaks, use: Ints, spurious: Floats) -> Observed:
    return Observed(
        two_theta=peaks.two_theta[use],
        sigma=np.hypot(peaks.two_theta_esd[use], _SIGMA * peaks.fwhm[use] + 0.001),
        spurious=spurious[use],
        height=relative_height(peaks)[use],
        wavelength=peaks.wavelength,
        scale=width_scale(peaks),
    )


def strong_lines(peaks: Peaks, lines: int) -> Observed:
    """The lines of the largest areas, in ascending order of angle, which are trusted: those of a strong phase.

    Lines where a stronger one may have a satellite are left out.
    """
    real = np.flatnonzero(~satellites(peaks))
    use = np.sort(real[np.argsort(-peaks.area[real], kind="stable")[:lines]])
    return _observed(peaks, use, np.minimum(spurious_probability(peaks), _SPURIOUS_STRONG))


def width_scale(peaks: Peaks) -> float:
    """Factor by which windows and shifts in degrees differ from those for copper radiation and lines of 0.12°.

    It is the median FWHM over 0.12°, at most 4, and at least the wavelength over that of Cu Kα or 1, whichever is
    smaller: at short wavelengths lines lie closer, and the shifts of a laboratory diffractometer need not be searched.
    """
    least = min(1.0, peaks.wavelength / _COPPER)
    return float(np.clip(np.median(peaks.fwhm) / _ORDINARY_WIDTH, least, 4.0))


def spurious_probability(peaks: Peaks) -> Floats:
    """Probability that each line belongs to no reflection of the main phase, shape (P,).

    Weak, insignificant and low-angle lines are more often due to impurities, noise or other wavelengths of the tube.
    The probability is a logistic regression on :func:`spurious_features`, fitted by ``bench/fit_spurious.py`` to the
    lines of measured patterns with known cells, and kept between 0.01 and 0.97.
    """
    constant, *factors = spurious_weights()
    usual = np.clip(1 / (1 + np.exp(-(constant + spurious_features(peaks) @ np.array(factors)))), 0.01, 0.97)
    return np.asarray(np.where(satellites(peaks), np.maximum(usual, _SATELLITE), usual))


def satellites(peaks: Peaks) -> Bools:
    """Which lines may be the Kβ or the tungsten Lα line of a stronger Kα line of the same planes, shape (P,).

    By Bragg's law the sines of their angles have the ratio of the wavelengths. Only wavelengths of X-ray tubes have
    satellites, of tungsten only those of copper tubes are looked for.
    """
    found = np.zeros(len(peaks), bool)
    anodes = [a for a, (first, _) in KALPHA.items() if abs(peaks.wavelength / first - 1) < _SAME_ANODE and a in KBETA]
    if not anodes:
        return found
    height, sine = peaks.area / peaks.fwhm, np.sin(np.radians(peaks.two_theta / 2))
    of_lines = [("Kβ", KBETA[anodes[0]])] + ([("W Lα", TUNGSTEN)] if anodes[0] == "Cu" else [])
    for name, wavelength in of_lines:
        place = np.degrees(2 * np.arcsin(sine * wavelength / peaks.wavelength))
        near = np.abs(peaks.two_theta[:, None] - place) < _NEAR_SATELLITE * peaks.fwhm[:, None]
        found |= (near & (height[:, None] < _SATELLITE_HEIGHT[name] * height)).any(1)
    return found


@functools.cache
def spurious_weights() -> tuple[float, ...]:
    """The constant and the coefficients of :func:`spurious_features` in that logit."""
    return tuple(json.loads(files("alphadiffract_plugin").joinpath("data/spurious.json").read_text())["weights"])


def spurious_features(peaks: Peaks) -> Floats:
    """Logarithms of each line's relative height, significance, and 3.56 Å / d, shape (P, 3).

    The length only sets where the third is zero.
    """
    significance = np.clip(peaks.significance, 4, 60)
    return np.asarray(np.log(np.column_stack([relative_height(peaks), significance, 3.56 * np.sqrt(peaks.inv_d2)])))


def relative_height(peaks: Peaks) -> Floats:
    """Heights relative to that of the third strongest line, 0.001 to 1, shape (P,)."""
    height = peaks.area / peaks.fwhm
    return np.asarray(np.clip(height / np.sort(height)[-min(3, len(height))], 1e-3, 1))


def line_likelihood_ratio(observed: Observed, off: Floats, density: Floats) -> Floats:
    """Log-likelihood ratio of each line: at its distance from a calculated line, against at a random position.

    With L of :func:`line_likelihood` and the probability s that the line is spurious it is ln((1 - s) L / density + s).

    Parameters
    ----------
    off : two_theta(observed) − two_theta(nearest calculated) in degrees, shape (..., n).
    density : calculated lines per degree at each line, shape (..., n).
    """
    return np.asarray(np.log((1 - observed.spurious) * line_likelihood(observed, off) / density + observed.spurious))


def line_likelihood(observed: Observed, off: Floats) -> Floats:
    """Probability density L per degree of each line to be found ``off`` degrees from its calculated position.

    It is a normal distribution of the uncertainty for three lines in four, and one four times as wide for the others,
    so that single outliers do not rule out a cell. Both numbers were chosen by hand.
    """
    return 0.75 * _normal(off, observed.sigma) + 0.25 * _normal(off, 4 * observed.sigma)


def _normal(off: Floats, sigma: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * (off / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma))
