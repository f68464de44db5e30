"""Peak shapes: pseudo-Voigt functions of unit area, skewed at low angles, with Kα1 and Kα2 as one line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import kalpha2_two_theta
from alphadiffract_plugin.peaks.runs import Runs

REACH = 7.0
"""Half-width of the window in which a profile is calculated, in units of its FWHM. Beyond it a Lorentzian has less than
0.5 % of its height left."""


@dataclass(frozen=True)
class Shape:
    """The peak shape of one histogram as a function of two_theta.

    FWHM² = u tan²θ + v tanθ + w in degrees² (Caglioti, Paoletti & Ricci 1958, Nucl. Instrum. 3, 223). The Lorentzian
    fraction of the pseudo-Voigt is linear in tanθ. Axial divergence skews a line: its profile is multiplied by
    1 + s · 2z exp(-z²), where z is the distance from its position in FWHM and s = asymmetry · cot 2θ. That does not
    change its area (Bérar & Baldinozzi 1993, J. Appl. Cryst. 26, 128).
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
    """Change of the Lorentzian fraction per unit of tanθ; the fraction is kept within 0 and 1."""
    asymmetry: float = 0.0
    """Skewness s divided by cot 2θ; negative for tails towards low angles."""

    def fwhm(self, two_theta: Floats) -> Floats:
        """Full width at half maximum in degrees at such angles (degrees)."""
        t = np.tan(np.radians(np.asarray(two_theta) / 2))
        squared = self.u * t * t + self.v * t + self.w
        fwhm: Floats = np.sqrt(np.maximum(squared, 0.2 * self.w + 1e-8))
        return fwhm

    def mixing(self, two_theta: Floats) -> Floats:
        """Lorentzian fraction at such angles (degrees)."""
        return np.clip(self.eta + self.eta_slope * np.tan(np.radians(np.asarray(two_theta) / 2)), 0, 1)

    def skewness(self, two_theta: Floats) -> Floats:
        """Factor s of :class:`Shape` at such angles (degrees), at most one, so that no profile is negative."""
        return np.clip(self.asymmetry * cot_two_theta(two_theta), -1, 1)

    @property
    def is_doublet(self) -> bool:
        """Whether each line has a Kα2 component."""
        return len(self.wavelengths) > 1 and self.kalpha2_ratio > 0

    def kalpha2(self, two_theta: Floats) -> Floats:
        """Where the Kα2 components of lines at such angles stand (degrees); 180 where no angle reaches them."""
        return kalpha2_two_theta(two_theta, self.wavelengths[0], self.wavelengths[1])

    def components(self, two_theta: Floats) -> tuple[Floats, Floats]:
        """Positions of the K components of each line in degrees, shape (K, ...), and their shares of its area, (K,)."""
        if not self.is_doublet:
            return np.stack([two_theta]), np.ones(1)
        shares = np.array([1.0, self.kalpha2_ratio]) / (1 + self.kalpha2_ratio)
        return np.stack([two_theta, self.kalpha2(two_theta)]), shares


def cot_two_theta(two_theta: Floats) -> Floats:
    """Cot 2θ of angles in degrees."""
    return 1 / np.tan(np.radians(np.clip(two_theta, 0.1, 179.9)))


@dataclass(frozen=True)
class Profiles:
    """Profiles of R lines on N points, and their derivatives, as matrices of shape (N, R) with the same runs.

    Derivatives that were not requested have no columns. The equations are those of :func:`run_kernels.draw`.
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
    two_theta: Floats,
    position: Floats,
    shape: Shape,
    reach: float = REACH,
    derivatives: str = "all",
) -> Profiles:
    """Profiles of R lines on N points.

    Parameters
    ----------
    two_theta : the points in degrees, ascending, shape (N,).
    position : where the lines (Kα1) stand in degrees, shape (R,).
    shape : the peak shape.
    reach : a line is calculated from so many times its FWHM below Kα1 to as much above Kα2.
    derivatives : "all" of them, only that by "position", or "none".
    """
    from alphadiffract_plugin.peaks.run_kernels import draw

    position = np.asarray(position, float)
    width = shape.fwhm(position)
    centres, shares = shape.components(position)
    ends = np.stack([centres[0] - reach * width, centres[-1] + reach * width])
    first, last = np.searchsorted(two_theta, np.sort(ends, axis=0))
    count = last - first
    offset = np.cumsum(count) - count
    parts = {"none": 1, "position": 2, "all": 5}[derivatives]
    x = np.array(two_theta, float)
    form = centres, shares, width, shape.mixing(position), shape.skewness(position)
    out = np.zeros((5 if form[-1].any() else parts, count.sum()))
    draw(x, first, offset, count, *form, len(out), out, np.zeros((2, count.max(initial=0))))
    whole = [Runs(len(x), first, count, offset, part) for part in out[:parts]]
    value, by_position, by_log_width, by_eta, by_skewness = whole + [whole[0][np.zeros(0, int)]] * (5 - parts)
    return Profiles(value, by_position, by_log_width, by_eta, by_skewness)
