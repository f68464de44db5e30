"""Matrices whose columns are each non-zero on one run of points only, such as those of line profiles.

The kernels are always called with contiguous arrays that own their memory, so that each is compiled only once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints


@dataclass(frozen=True)
class Runs:
    """A matrix of shape (N, R) whose columns each have one run of non-zero points."""

    points: int
    """Number of rows, N."""
    first: Ints
    """First point of each run, shape (R,)."""
    count: Ints
    """Points of each run, shape (R,)."""
    offset: Ints
    """Where the values of each run begin in ``value``, shape (R,)."""
    value: Floats
    """The values of all runs, shape (n,)."""

    @property
    def shape(self) -> tuple[int, int]:
        """N and R."""
        return self.points, len(self.first)

    def __matmul__(self, factor: Floats) -> Floats:
        """The product with a vector (R,) or a matrix (R, k)."""
        from alphadiffract_plugin.peaks.run_kernels import times

        rows = np.array(np.reshape(factor, (len(self.first), -1)).T, float, order="C")
        product = np.zeros((len(rows), self.points))
        times(self.first, self.count, self.offset, self.value, rows, product)
        return product.T.reshape(self.points, *np.shape(factor)[1:])

    def dot(self, columns: Floats) -> Floats:
        """Product of the transposed matrix with a vector (N,) or a matrix (N, k)."""
        from alphadiffract_plugin.peaks.run_kernels import dots

        rows = np.array(np.reshape(columns, (self.points, -1)).T, float, order="C")
        product = np.empty((len(rows), len(self.first)))
        dots(self.first, self.count, self.offset, self.value, rows, product)
        return product.T.reshape(len(self.first), *np.shape(columns)[1:])

    def scaled(self, factor: Floats) -> Runs:
        """Each column times its factor, shape (R,)."""
        if not len(self.first):
            return self
        whole = np.empty_like(self.value)
        order = np.argsort(self.offset, kind="stable")
        whole[:] = self.value * np.repeat(factor[order], self.count[order])
        return replace(self, value=whole)

    def __getitem__(self, columns: Ints | Bools) -> Runs:
        """Some of the columns, by their numbers or a mask; the values are shared."""
        return replace(self, first=self.first[columns], count=self.count[columns], offset=self.offset[columns])

    def beside(self, other: Runs) -> Runs:
        """The columns of this matrix, then those of another."""
        return Runs(
            self.points,
            np.concatenate([self.first, other.first]),
            np.concatenate([self.count, other.count]),
            np.concatenate([self.offset, other.offset + len(self.value)]),
            np.concatenate([self.value, other.value]),
        )

    def reach(self) -> Ints:
        """The first column that each overlaps with, shape (R,), not decreasing; columns in the order of their runs."""
        ends = np.maximum.accumulate(self.first + self.count)
        low = np.minimum(np.searchsorted(ends, self.first, "right"), np.arange(len(self.first)))
        return np.minimum.accumulate(low[::-1])[::-1].copy()

    def gram(self, weight: Floats) -> Band:
        """Inner products of the columns, the points weighted with ``weight``, shape (N,)."""
        from alphadiffract_plugin.peaks.run_kernels import gram

        low = self.reach()
        half = int((np.arange(len(low)) - low).max(initial=0))
        lower = np.zeros((len(low), half + 1))
        room = np.empty(self.count.max(initial=0))
        gram(self.first, self.count, self.offset, self.value, weight, low, room, lower)
        return Band(lower, low)

    def toarray(self) -> Floats:
        """The full matrix."""
        return self @ np.eye(len(self.first))


@dataclass(frozen=True)
class Band:
    """A symmetric matrix (R, R) that is zero far from its diagonal."""

    lower: Floats
    """Element (j, i) with i ≤ j is at [j, i - j + B], shape (R, B + 1)."""
    low: Ints
    """Of each row the first column that is not zero, shape (R,), not decreasing."""

    @property
    def diagonal(self) -> Floats:
        """Shape (R,)."""
        return self.lower[:, -1]

    def toarray(self) -> Floats:
        """The full matrix."""
        size, half = len(self.lower), self.lower.shape[1] - 1
        full = np.zeros((size, size + half))
        for back in range(half + 1):
            rows = np.arange(size)
            full[rows, rows - back + half] = self.lower[:, half - back]
        full = full[:, half:]
        return full + np.tril(full, -1).T
