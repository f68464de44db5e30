"""Peak shapes on a measured axis: unit-area pseudo-Voigts, Kα1 and Kα2 together, as sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_array

_REACH = 7.0
"""Half-width of the window in which a profile is drawn, in units of its FWHM."""


@dataclass(frozen=True)
class Shape:
    """The peak shape of one histogram as a function of two_theta.

    FWHM² = u tan²θ + v tanθ + w in degrees² (Caglioti, Paoletti & Ricci 1958), one mixing parameter.
    """

    u: float
    """tan² term in degrees²."""
    v: float
    """tan term in degrees²."""
    w: float
    """Constant term in degrees²."""
    eta: float
    """Lorentzian fraction of the pseudo-Voigt, 0 to 1."""
    wavelengths: tuple[float, ...]
    """Wavelengths in Å; positions refer to the first."""
    kalpha2_ratio: float
    """Intensity of the second wavelength over the first."""

    def fwhm(self, two_theta: np.ndarray) -> np.ndarray:
        """Full width at half maximum in degrees at such angles (degrees)."""
        t = np.tan(np.radians(np.asarray(two_theta) / 2))
        squared = self.u * t * t + self.v * t + self.w
        return np.sqrt(np.maximum(squared, 0.2 * self.w + 1e-8))


@dataclass(frozen=True)
class Profiles:
    """Profiles of R lines on N points, and their derivatives, each a sparse matrix of shape (N, R)."""

    value: csc_array
    """Unit-area profile in 1/degree."""
    by_position: csc_array
    """Derivative by the line's two_theta, in 1/degree²."""
    by_log_width: csc_array
    """Derivative by the logarithm of the line's FWHM, in 1/degree."""
    by_eta: csc_array
    """Derivative by the Lorentzian fraction, in 1/degree."""


def profiles(two_theta: np.ndarray, position: np.ndarray, shape: Shape, fwhm: np.ndarray | None = None) -> Profiles:
    """Draw lines at ``position`` (degrees, shape (R,)) on the points ``two_theta`` (degrees, ascending, shape (N,)).

    ``fwhm`` (degrees, shape (R,)) takes the place of the shape's own where it is given.
    """
    from scipy.sparse import csc_array

    position = np.asarray(position, float)
    width = shape.fwhm(position) if fwhm is None else fwhm
    parts = [_windows(two_theta, position, width, shape.eta)]
    weights = [1.0]
    if len(shape.wavelengths) > 1 and shape.kalpha2_ratio > 0:
        sine = np.sin(np.radians(position / 2)) * shape.wavelengths[1] / shape.wavelengths[0]
        second = 2 * np.degrees(np.arcsin(np.minimum(sine, 1.0)))
        parts.append(_windows(two_theta, second, width, shape.eta))
        weights = [1 / (1 + shape.kalpha2_ratio), shape.kalpha2_ratio / (1 + shape.kalpha2_ratio)]
    rows = np.concatenate([part[0] for part in parts])
    columns = np.concatenate([part[1] for part in parts])

    def matrix(which: int) -> csc_array:
        data = np.concatenate([weight * part[which] for weight, part in zip(weights, parts, strict=True)])
        return csc_array((data, (rows, columns)), shape=(len(two_theta), len(position)))

    return Profiles(matrix(2), matrix(3), matrix(4), matrix(5))


def _windows(x: np.ndarray, position: np.ndarray, fwhm: np.ndarray, eta: float) -> tuple[np.ndarray, ...]:
    first = np.searchsorted(x, position - _REACH * fwhm)
    count = np.searchsorted(x, position + _REACH * fwhm) - first
    columns = np.repeat(np.arange(len(position)), count)
    rows = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    width = fwhm[columns]
    t = (x[rows] - position[columns]) / width
    gauss = np.sqrt(4 * np.log(2) / np.pi) / width * np.exp(-4 * np.log(2) * t * t)
    lorentz = 2 / np.pi / width / (1 + 4 * t * t)
    value = (1 - eta) * gauss + eta * lorentz
    slope = (1 - eta) * gauss * 8 * np.log(2) * t + eta * lorentz * 8 * t / (1 + 4 * t * t)
    return rows, columns, value, slope / width, slope * t - value, lorentz - gauss
