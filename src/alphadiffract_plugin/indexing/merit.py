"""Figures of merit of an indexed powder pattern, as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta, two_theta_from_inv_d2


@dataclass(frozen=True)
class Merit:
    """How well calculated lines explain observed ones."""

    m20: float
    """de Wolff (1968), J. Appl. Cryst. 1, 108: M = Q_N / (2 <|ΔQ|> N_calc), Q = 1/d²."""
    f20: float
    """Smith & Snyder (1979), J. Appl. Cryst. 12, 60: F = N / (<|Δ2θ|> N_calc)."""
    lines_used: int
    """Number N of indexed lines to which both figures refer, at most 20."""
    calculated: int
    """Number of distinct calculated lines up to the last of them."""


def merit_of_lines(
    *, observed_two_theta: Floats, calculated_inv_d2: Floats, wavelength: float, tolerance: Floats | float
) -> Merit:
    """Figures of merit over the first 20 observed lines that a cell indexes; 0 if it indexes none.

    Parameters
    ----------
    observed_two_theta : degrees, ascending, after subtraction of the zero shift, shape (N,).
    calculated_inv_d2 : distinct allowed 1/d² in 1/Å², ascending, reaching beyond the last observed line.
    wavelength : in Å.
    tolerance : largest distance in degrees from a calculated line of an indexed one; one for all, or shape (N,).
    """
    calculated = two_theta_from_inv_d2(calculated_inv_d2, wavelength)
    reachable = np.isfinite(calculated)
    calculated, calculated_inv_d2 = calculated[reachable], calculated_inv_d2[reachable]
    if len(calculated) == 0 or len(observed_two_theta) == 0:
        return Merit(0.0, 0.0, 0, len(calculated))
    nearest = np.abs(observed_two_theta[:, None] - calculated[None]).argmin(1)
    off = observed_two_theta - calculated[nearest]
    indexed = np.flatnonzero(np.abs(off) <= tolerance)[:20]
    if len(indexed) == 0:
        return Merit(0.0, 0.0, 0, len(calculated))
    observed = inv_d2_from_two_theta(observed_two_theta[indexed], wavelength)
    mean_q = max(np.abs(observed - calculated_inv_d2[nearest[indexed]]).mean(), 1e-9)
    mean_angle = max(np.abs(off[indexed]).mean(), 1e-6)
    possible = int(nearest[indexed].max()) + 1
    return Merit(
        m20=float(observed[-1] / (2 * mean_q * possible)),
        f20=float(len(indexed) / (mean_angle * possible)),
        lines_used=len(indexed),
        calculated=possible,
    )
