"""Normal equations of many line profiles, which make a band, and of a few background terms that overlap with all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.peaks.runs import Band


@dataclass(frozen=True)
class Bordered:
    """The factors of a symmetric positive matrix [[A, B], [Bᵀ, C]] of R + K rows, in which A is a band.

    With Y = A⁻¹ B and the Schur complement S = C - Bᵀ Y, the solution (x₁, x₂) for the right-hand side (r₁, r₂) is
    x₂ = S⁻¹ (r₂ - Yᵀ r₁) and x₁ = A⁻¹ r₁ - Y x₂. The matrix is scaled to a unit diagonal, to which ``ridge`` is added.
    """

    scale: Floats
    """Square roots of the diagonal, shape (R + K,)."""
    lower: Floats
    """Cholesky factor of scaled A, from ``kernels.factor``."""
    first: Ints
    """First column of each row of the factor, shape (R,)."""
    through: Floats
    """Y, scaled, shape (R, K)."""
    schur: Floats
    """S, scaled, shape (K, K)."""

    def solve(self, right: Floats) -> Floats:
        """The solution for right-hand sides of shape (R + K,) or (R + K, m)."""
        from alphadiffract_plugin.whole_pattern.kernels import solve

        lines = len(self.lower)
        scaled = right.reshape(len(right), -1) / self.scale[:, None]
        background = np.linalg.solve(self.schur, scaled[lines:] - self.through.T @ scaled[:lines])
        of_lines = solve(self.lower, self.first, np.ascontiguousarray(scaled[:lines])) - self.through @ background
        return (np.concatenate([of_lines, background]) / self.scale[:, None]).reshape(right.shape)


def bordered(lines: Band, shared: Floats, background: Floats, ridge: float) -> Bordered:
    """Factor the matrix of the blocks A, B of shape (R, K) and C of shape (K, K)."""
    from alphadiffract_plugin.whole_pattern.kernels import factor, solve

    size = len(lines.low)
    scale = np.sqrt(np.maximum(np.concatenate([lines.diagonal, np.diag(background)]), 1e-30))
    lower, first = factor(lines.lower, lines.low, np.arange(size), 1 / scale[:size], ridge)
    border = np.ascontiguousarray(shared / scale[:size, None] / scale[size:])
    through = solve(lower, first, border)
    corner = background / scale[size:, None] / scale[size:] + ridge * np.eye(len(background))
    return Bordered(scale, lower, first, through, corner - border.T @ through)
