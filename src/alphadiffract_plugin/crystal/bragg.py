"""Bragg's law, λ = 2 d sin θ, in the forms that the other modules use.

Angles are two_theta in degrees, wavelengths and d in Å, ``inv_d2`` is 1/d² in 1/Å².
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alphadiffract_plugin.arrays import Floats


def inv_d2_from_two_theta(two_theta: npt.ArrayLike, wavelength: float) -> Floats:
    """1/d² = (2 sin θ / λ)² in 1/Å²."""
    return (2 * np.sin(np.radians(np.asarray(two_theta, dtype=float) / 2)) / wavelength) ** 2


def d_from_two_theta(two_theta: npt.ArrayLike, wavelength: float) -> Floats:
    """Spacing d = λ / (2 sin θ) in Å."""
    return wavelength / (2 * np.sin(np.radians(np.asarray(two_theta, dtype=float) / 2)))


def two_theta_from_inv_d2(inv_d2: npt.ArrayLike, wavelength: float) -> Floats:
    """2θ in degrees of 1/d² in 1/Å²; NaN where no angle of this wavelength reaches it."""
    sine = np.sqrt(np.asarray(inv_d2, dtype=float)) * wavelength / 2
    return 2 * np.degrees(np.arcsin(np.where(sine <= 1, sine, np.nan)))


def two_theta_at_wavelength(two_theta: npt.ArrayLike, wavelength: float, new_wavelength: float) -> Floats:
    """2θ in degrees at which a line stands with another wavelength; NaN where no angle of that reaches it."""
    sine = new_wavelength / wavelength * np.sin(np.radians(np.asarray(two_theta, dtype=float) / 2))
    return 2 * np.degrees(np.arcsin(np.where(sine < 1, sine, np.nan)))


def kalpha2_two_theta(two_theta: npt.ArrayLike, kalpha1: float, kalpha2: float) -> Floats:
    """2θ in degrees of the Kα2 components of lines whose Kα1 is at ``two_theta``; 180 where no angle reaches them."""
    sine = np.sin(np.radians(np.asarray(two_theta, dtype=float) / 2)) * kalpha2 / kalpha1
    return np.asarray(2 * np.degrees(np.arcsin(np.minimum(sine, 1.0))))


def inv_d2_per_degree(two_theta: npt.ArrayLike, wavelength: float) -> Floats:
    """Derivative of 1/d² by two_theta, in 1/Å² per degree: 2 sin 2θ / λ² · π / 180."""
    per_degree: Floats = 2 * np.sin(np.radians(np.asarray(two_theta, dtype=float))) / wavelength**2 * np.pi / 180
    return per_degree
