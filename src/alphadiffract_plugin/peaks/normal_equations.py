"""Normal equations of least squares for parameters of different units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats


@dataclass(frozen=True)
class NormalEquations:
    """Equations N x = r, scaled to a unit diagonal: N = S M S with the diagonal matrix S.

    A multiple of the unit matrix that is added to M damps a step alike in parameters of every unit, and keeps the
    equations regular where two parameters do the same.
    """

    matrix: Floats
    """M, shape (P, P)."""
    scale: Floats
    """Diagonal of S, shape (P,)."""

    def solve(self, right: Floats, damping: float) -> Floats:
        """The solution x of S (M + damping · 1) S x = right, shape (P,)."""
        step = np.linalg.solve(self.matrix + damping * np.eye(len(self.scale)), right / self.scale)
        return np.asarray(step / self.scale)

    def covariance(self, damping: float = 1e-9) -> Floats:
        """The inverse of S (M + damping · 1) S, shape (P, P)."""
        inverse = np.linalg.inv(self.matrix + damping * np.eye(len(self.scale)))
        return np.asarray(inverse / np.outer(self.scale, self.scale))


def normal_equations(normal: Floats) -> NormalEquations:
    """The equations of a symmetric matrix N, shape (P, P)."""
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-30))
    return NormalEquations(normal / np.outer(scale, scale), scale)
