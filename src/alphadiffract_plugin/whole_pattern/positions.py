"""Where the reflections of a lattice lie on the measured axis, and how they move with the cell and its shifts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import two_theta_from_inv_d2

ZERO_PRIOR = 0.02
"""Standard deviation in degrees of the zero shift of a goniometer."""
DISPLACEMENT_PRIOR = 0.06
"""Standard deviation in degrees of the shift at 2θ = 0 by a displaced sample, which goes with cos θ."""


@dataclass(frozen=True)
class ReflectionPositions:
    """Where the reflections of one lattice lie, as a function of cell, zero shift and sample displacement."""

    design: Floats
    """1/d² = design @ parameters, shape (R, p)."""
    wavelength: float
    """In Å."""
    parameters: Floats
    """Free parameters of the reciprocal metric in 1/Å², shape (p,)."""
    zero_shift: float
    """In degrees."""
    displacement: float
    """Shift in degrees at θ = 0; it goes with cos θ."""

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
        """Intensity expected of each reflection, up to a factor, shape (R,).

        Multiplicity times Lorentz and polarisation factor times that of displacements, with B = 2 Å².
        """
        theta = np.radians(np.clip(self.two_theta, 1, 178) / 2)
        lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        return np.asarray(multiplicity * lorentz * np.exp(-4 * (np.sin(theta) / self.wavelength) ** 2))

    def moved(self, shift: Floats) -> ReflectionPositions:
        """The positions after a step of least squares, of bounded length."""
        largest = self.parameters.max()
        zero, displacement = np.clip(shift[-2:], -0.05, 0.05)
        return replace(
            self,
            parameters=self.parameters + np.clip(shift[:-2] / largest, -0.003, 0.003) * largest,
            zero_shift=self.zero_shift + float(zero),
            displacement=self.displacement + float(displacement),
        )
