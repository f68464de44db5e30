"""Normal equations of many line profiles, a band, and of a few background columns that overlap with all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.peaks.runs import Band


@dataclass(frozen=True)
class Bordered:
    """A symmetric positive matrix [[A, B], [Bᵀ, C]] of R + K rows, A a band, factored to be solved with.

    With Y = A⁻¹ B and the Schur complement S = C - Bᵀ Y, the background's part of a solution is
    S⁻¹ (r₂ - Yᵀ r₁) and that of the lines A⁻¹ r₁ - Y times it. All is scaled to a unit diagonal, to which
    ``held`` is added.
    """

    scale: Floats
    """Square roots of the diagonal, shape (R + K,)."""
    lower: Floats
    """Cholesky factor of scaled A; see ``kernels.factor``."""
    first: Ints
    """First column of each of its rows, shape (R,)."""
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


def bordered(lines: Band, shared: Floats, background: Floats, held: float) -> Bordered:
    """Factor the blocks A, B of shape (R, K) and C of shape (K, K), with ``held`` times the diagonal added."""
    from alphadiffract_plugin.whole_pattern.kernels import factor, solve

    size = len(lines.low)
    scale = np.sqrt(np.maximum(np.concatenate([lines.diagonal, np.diag(background)]), 1e-30))
    lower, first = factor(lines.lower, lines.low, np.arange(size), 1 / scale[:size], held)
    border = np.ascontiguousarray(shared / scale[:size, None] / scale[size:])
    through = solve(lower, first, border)
    corner = background / scale[size:, None] / scale[size:] + held * np.eye(len(background))
    return Bordered(scale, lower, first, through, corner - border.T @ through)
