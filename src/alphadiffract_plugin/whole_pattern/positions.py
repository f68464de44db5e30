"""Positions of the reflections of a lattice, as a function of the cell, the zero shift and the sample displacement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import two_theta_from_inv_d2

ZERO_PRIOR = 0.02
"""Standard deviation in degrees of zero shifts: of a well-aligned goniometer; chosen by hand."""
DISPLACEMENT_PRIOR = 0.06
"""Standard deviation in degrees of the shift by a displaced sample at θ = 0; chosen by hand."""


def shift_stiffness(value: Floats | float, spread: Floats | float) -> Floats:
    """Stiffness 1 / s² of the prior of a shift in 1/degrees², where s is its spread, or a third of the shift if larger.

    A large shift that the lines show is thus held to zero no harder than one of three spreads. With the fixed spread
    the cell would take over a part of the shift.
    """
    return np.asarray(1 / np.maximum(spread, np.abs(value) / 3) ** 2)


@dataclass(frozen=True)
class ReflectionPositions:
    """Positions of the R reflections of one lattice.

    two_theta = 2 arcsin(λ/2 · √(design @ parameters)) + zero_shift + displacement · cos θ, where θ is that of the cell.
    """

    design: Floats
    """Matrix whose product with the parameters is 1/d², shape (R, p)."""
    wavelength: float
    """Wavelength in Å."""
    parameters: Floats
    """Free parameters of the reciprocal metric in 1/Å², shape (p,)."""
    zero_shift: float
    """Shift of all reflections in degrees."""
    displacement: float
    """Shift by a displaced sample in degrees, at θ = 0."""

    @property
    def _inv_d2(self) -> Floats:
        return np.asarray(np.clip(self.design @ self.parameters, 1e-6, (1.999 / self.wavelength) ** 2))

    @property
    def two_theta(self) -> Floats:
        """two_theta in degrees, shape (R,)."""
        two_theta = two_theta_from_inv_d2(self._inv_d2, self.wavelength)
        return two_theta + self.zero_shift + self.displacement * np.cos(np.radians(two_theta / 2))

    @property
    def jacobian(self) -> Floats:
        """Derivatives of ``two_theta`` by the free parameters, zero shift and displacement, shape (R, p + 2)."""
        sine = np.sqrt(self._inv_d2) * self.wavelength / 2
        cosine = np.sqrt(1 - sine**2)
        by_inv_d2 = np.degrees(self.wavelength**2 / (4 * sine * cosine))
        return np.column_stack([self.design * by_inv_d2[:, None], np.ones(len(sine)), cosine])

    def expected(self, multiplicity: Floats) -> Floats:
        """Expected intensity of each reflection, up to a common factor, shape (R,).

        It is the multiplicity times the Lorentz and polarisation factor times exp(-2 B sin²θ / λ²), with B = 2 Å²
        (chosen by hand).
        """
        theta = np.radians(np.clip(self.two_theta, 1, 178) / 2)
        lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        return np.asarray(multiplicity * lorentz * np.exp(-4 * (np.sin(theta) / self.wavelength) ** 2))

    def moved(self, shift: Floats) -> ReflectionPositions:
        """The positions after a step of the parameters, the zero shift and the displacement, shape (p + 2,).

        No parameter moves by more than 0.3 % of the largest, and no shift by more than 0.05 degrees.
        """
        largest = self.parameters.max()
        zero, displacement = np.clip(shift[-2:], -0.05, 0.05)
        return replace(
            self,
            parameters=self.parameters + np.clip(shift[:-2] / largest, -0.003, 0.003) * largest,
            zero_shift=self.zero_shift + float(zero),
            displacement=self.displacement + float(displacement),
        )
