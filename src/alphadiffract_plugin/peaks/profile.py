"""Peak shapes on a measured axis: pseudo-Voigts of unit area, skewed at low angles, Kα1 and Kα2 together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.peaks.runs import Runs

REACH = 7.0
"""Half-width of the window in which a profile is drawn, in units of its FWHM."""


@dataclass(frozen=True)
class Shape:
    """The peak shape of one histogram as a function of two_theta.

    FWHM² = u tan²θ + v tanθ + w in degrees² (Caglioti, Paoletti & Ricci 1958); the mixing goes with tanθ. Axial
    divergence skews a line by the factor 1 + s · 2z exp(-z²), z the distance in FWHM and s the asymmetry times
    cot 2θ, which leaves its area alone (Bérar & Baldinozzi 1993, J. Appl. Cryst. 26, 128).
    """

    u: float
    """tan² term in degrees²."""
    v: float
    """tan term in degrees²."""
    w: float
    """Constant term in degrees²."""
    eta: float
    """Lorentzian fraction of the pseudo-Voigt at θ = 0, 0 to 1."""
    wavelengths: tuple[float, ...]
    """Wavelengths in Å; positions refer to the first."""
    kalpha2_ratio: float
    """Intensity of the second wavelength over the first."""
    eta_slope: float = 0.0
    """Change of the Lorentzian fraction with tanθ; it stays within 0 and 1."""
    asymmetry: float = 0.0
    """Skewness over cot 2θ; negative for tails towards low angles."""

    def fwhm(self, two_theta: np.ndarray) -> np.ndarray:
        """Full width at half maximum in degrees at such angles (degrees)."""
        t = np.tan(np.radians(np.asarray(two_theta) / 2))
        squared = self.u * t * t + self.v * t + self.w
        return np.sqrt(np.maximum(squared, 0.2 * self.w + 1e-8))

    def mixing(self, two_theta: np.ndarray) -> np.ndarray:
        """Lorentzian fraction at such angles (degrees)."""
        return np.clip(self.eta + self.eta_slope * np.tan(np.radians(np.asarray(two_theta) / 2)), 0, 1)

    def skewness(self, two_theta: np.ndarray) -> np.ndarray:
        """Factor of 2z exp(-z²) at such angles (degrees), at most one, so that no profile is negative."""
        return np.clip(self.asymmetry * cot_two_theta(two_theta), -1, 1)


def cot_two_theta(two_theta: np.ndarray) -> np.ndarray:
    """Cot 2θ of angles in degrees."""
    return 1 / np.tan(np.radians(np.clip(two_theta, 0.1, 179.9)))


@dataclass(frozen=True)
class Profiles:
    """Profiles of R lines on N points, and their derivatives, each a matrix of shape (N, R) with the same runs.

    Derivatives that were not asked for have no columns. The formula is that of :func:`run_kernels.draw`.
    """

    value: Runs
    """Unit-area profile in 1/degree."""
    by_position: Runs
    """Derivative by the line's two_theta, in 1/degree²."""
    by_log_width: Runs
    """Derivative by the logarithm of the line's FWHM, in 1/degree."""
    by_eta: Runs
    """Derivative by the Lorentzian fraction, in 1/degree."""
    by_skewness: Runs
    """Derivative by the skewness, in 1/degree."""


def profiles(
    two_theta: np.ndarray,
    position: np.ndarray,
    shape: Shape,
    fwhm: np.ndarray | None = None,
    reach: float = REACH,
    derivatives: str = "all",
) -> Profiles:
    """Draw lines at ``position`` (degrees, shape (R,)) on the points ``two_theta`` (degrees, ascending, shape (N,)).

    ``fwhm`` (degrees, shape (R,)) takes the place of the shape's own where it is given; a line is drawn from ``reach``
    times its FWHM below Kα1 to as much above Kα2. ``derivatives`` are "all", that by the "position", or "none".
    """
    from alphadiffract_plugin.peaks.run_kernels import draw

    position = np.asarray(position, float)
    width = shape.fwhm(position) if fwhm is None else fwhm
    centres, shares = [position], np.ones(1)
    if len(shape.wavelengths) > 1 and shape.kalpha2_ratio > 0:
        sine = np.sin(np.radians(position / 2)) * shape.wavelengths[1] / shape.wavelengths[0]
        centres.append(2 * np.degrees(np.arcsin(np.minimum(sine, 1.0))))
        shares = np.array([1.0, shape.kalpha2_ratio]) / (1 + shape.kalpha2_ratio)
    ends = np.stack([centres[0] - reach * width, centres[-1] + reach * width])
    first, last = np.searchsorted(two_theta, np.sort(ends, axis=0))
    count = last - first
    offset = np.cumsum(count) - count
    parts = {"none": 1, "position": 2, "all": 5}[derivatives]
    x = np.array(two_theta, float)
    form = np.stack(centres), shares, width, shape.mixing(position), shape.skewness(position)
    out = np.zeros((5 if form[-1].any() else parts, count.sum()))
    draw(x, first, offset, count, *form, len(out), out, np.zeros((2, count.max(initial=0))))
    whole = [Runs(len(x), first, count, offset, part) for part in out[:parts]]
    value, by_position, by_log_width, by_eta, by_skewness = whole + [whole[0][np.zeros(0, int)]] * (5 - parts)
    return Profiles(value, by_position, by_log_width, by_eta, by_skewness)
