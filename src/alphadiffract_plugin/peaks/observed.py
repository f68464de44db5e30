"""The lines that cells are tested against: how sure each is, and what it says for a cell that explains it."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta, inv_d2_per_degree
from alphadiffract_plugin.records import Peaks

_SIGMA = 0.03
"""Systematic uncertainty of a position as a fraction of its FWHM, added to its esd: asymmetry, overlap."""


@dataclass(frozen=True)
class Observed:
    """The lines that cells are tested against, as plain arrays."""

    two_theta: np.ndarray
    """Positions in degrees, shape (n,)."""
    sigma: np.ndarray
    """Uncertainties in degrees, shape (n,)."""
    spurious: np.ndarray
    """Prior probability that the line belongs to something else, shape (n,)."""
    height: np.ndarray
    """Heights over that of the third strongest line, at most 1, shape (n,)."""
    wavelength: float
    """Wavelength in Å."""

    def inv_d2(self, zero_shift: float = 0.0) -> np.ndarray:
        """1/d² in 1/Å² after taking off a zero shift in degrees, shape (n,)."""
        return inv_d2_from_two_theta(self.two_theta - zero_shift, self.wavelength)

    def inv_d2_per_degree(self) -> np.ndarray:
        """Derivative of 1/d² by two_theta, in 1/Å² per degree, shape (n,)."""
        return inv_d2_per_degree(self.two_theta, self.wavelength)


def observed_from_peaks(peaks: Peaks, lines: int, *, every: bool = False) -> Observed:
    """The lowest ``lines`` peaks; weak ones are more likely to be spurious (impurities, noise, the tube's own lines).

    The weakest are passed over for stronger ones at higher angles unless ``every`` one is asked for.
    """
    spurious = spurious_probability(peaks)
    use = np.sort(np.argsort(peaks.two_theta + 200.0 * ((spurious > 0.5) & (not every)), kind="stable")[:lines])
    return Observed(
        two_theta=peaks.two_theta[use],
        sigma=np.hypot(peaks.two_theta_esd[use], _SIGMA * peaks.fwhm[use] + 0.001),
        spurious=spurious[use],
        height=relative_height(peaks)[use],
        wavelength=peaks.wavelength,
    )


def spurious_probability(peaks: Peaks) -> np.ndarray:
    """Probability that each line belongs to no reflection of the main phase, shape (P,).

    Weak, insignificant and low-angle lines are more often impurities, noise or the tube's own. A logistic regression
    on lines of measured patterns with known cells, by ``bench/fit_spurious.py``.
    """
    constant, *factors = spurious_weights()
    return np.clip(1 / (1 + np.exp(-(constant + spurious_features(peaks) @ np.array(factors)))), 0.01, 0.97)


@functools.cache
def spurious_weights() -> tuple[float, ...]:
    """The constant and the coefficients of :func:`spurious_features` in that logit."""
    return tuple(json.loads(files("alphadiffract_plugin").joinpath("data/spurious.json").read_text())["weights"])


def spurious_features(peaks: Peaks) -> np.ndarray:
    """Logarithms of each line's relative height, significance, and 3.56 Å / d, shape (P, 3)."""
    significance = np.clip(peaks.significance, 4, 60)
    return np.log(np.column_stack([relative_height(peaks), significance, 3.56 * np.sqrt(peaks.inv_d2)]))


def relative_height(peaks: Peaks) -> np.ndarray:
    """Heights over that of the third strongest line, 0.001 to 1, shape (P,)."""
    height = peaks.area / peaks.fwhm
    return np.clip(height / np.sort(height)[-min(3, len(height))], 1e-3, 1)


def line_likelihood_ratio(observed: Observed, off: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of each line: ``off`` degrees from a calculated one, over there by chance.

    Parameters
    ----------
    off : two_theta(observed) − two_theta(nearest calculated) in degrees, shape (..., n).
    density : calculated lines per degree at each line, shape (..., n).
    """
    return np.log((1 - observed.spurious) * line_likelihood(observed, off) / density + observed.spurious)


def line_likelihood(observed: Observed, off: np.ndarray) -> np.ndarray:
    """Probability density per degree of each line to be found ``off`` degrees from where it is calculated."""
    return 0.75 * _normal(off, observed.sigma) + 0.25 * _normal(off, 4 * observed.sigma)


def _normal(off: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (off / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
