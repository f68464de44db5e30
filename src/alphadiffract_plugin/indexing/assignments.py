"""Low-index assignments: which indices the first lines may have, as ready matrix inverses.

So many lines with indices as the lattice has free parameters give a cell: parameters = inverse @ (1/d² of the lines).
The tables are made once for each process.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.crystal.bravais import Lattice, centred

_LONGEST = {"cubic": 27, "tetragonal": 13, "hexagonal": 11, "orthorhombic": 6}
_LONGEST_CENTRED = {"cubic": 27, "tetragonal": 18, "hexagonal": 19, "orthorhombic": 11}
"""Largest h² + k² + l² that the first lines of a lattice may have."""
_ENOUGH = 5000
"""So many sets of four, the lowest first, hold two thousand that differ."""


@functools.cache
def assignments(lattice: Lattice, index_range: float = 1.0, quadruples: tuple[int, int] = (26, 2000)) -> Floats:
    """Inverse designs of low-index assignments, shape (T, p, p).

    The lines are taken in ascending order of angle; every order of the indices is there once, axes that symmetry lets
    one rename are not renamed twice.

    Parameters
    ----------
    index_range : factor of the largest h² + k² + l².
    quadruples : for monoclinic lattices, so many low indices, and sets of four of them at most.
    """
    if lattice.family == "monoclinic":
        return _monoclinic(lattice, *quadruples)
    longest = (_LONGEST if lattice.centring == "P" else _LONGEST_CENTRED)[lattice.family]
    if (lattice.family, lattice.centring) == ("orthorhombic", "C"):
        longest = 9
    low = lattice.design(lattice.indices(int(longest * index_range)))
    order = np.array(list(itertools.permutations(range(len(low)), lattice.free)))
    inverse = _inverses(low[order])
    keys = (inverse * 1e5).round().astype(np.int64)
    if lattice.free == 3:
        renamed = 2 if lattice.centring == "C" else 3
        keys[:, :renamed] = _rows_in_order(keys[:, :renamed])
    return inverse[_first_of_each(keys.reshape(len(keys), -1))]


def _inverses(design: Floats) -> Floats:
    """Inverses of those designs, shape (N, p, p), whose determinant is not 0; designs are whole numbers."""
    return np.linalg.inv(design[np.abs(np.linalg.det(design)) > 0.5]).astype(np.float64)


def _rows_in_order(keys: Ints) -> Ints:
    """The rows of each matrix, shape (N, r, c), in ascending order."""
    hashed = keys @ np.array([1, 2097143, 4398042316799])[: keys.shape[2]]
    return np.take_along_axis(keys, hashed.argsort(1)[:, :, None], 1)


def _first_of_each(keys: Ints) -> Ints:
    """Places of the first of each different row of whole numbers, shape (N, c)."""
    order = np.lexsort(keys.T)
    changed = np.append(True, np.any(np.diff(keys[order], axis=0) != 0, axis=1))
    return np.sort(np.minimum.reduceat(order, np.flatnonzero(changed)))


def _monoclinic(lattice: Lattice, indices: int, most: int) -> Floats:
    """Inverses for quadruples of low indices in every order, one of those that a change of axes in h0l joins."""
    grid = np.array(list(itertools.product(range(-3, 4), range(4), range(-2, 3))))
    h, k, l = grid.T  # noqa: E741
    size = h * h + l * l + 0.5 * k * k
    if lattice.centring == "C":
        size = 0.6 * h * h + l * l + 0.35 * k * k
    one_of_pair = (l > 0) | ((l == 0) & (h > 0)) | ((l == 0) & (h == 0) & (k > 0))
    low = np.flatnonzero(one_of_pair & centred(grid, lattice.centring))
    low = low[np.argsort(size[low], kind="stable")][:indices]
    fours = low[np.array(list(itertools.combinations(range(len(low)), 4)))]
    fours = fours[np.argsort(size[fours].sum(1), kind="stable")]
    for some in (fours[: _ENOUGH * most // 2000], fours):
        regular = some[np.abs(np.linalg.det(lattice.design(grid[some]))) > 0.5]
        different = regular[_first_of_each_plane_basis(grid[regular], 2 if lattice.centring == "C" else 1)]
        if len(different) >= most:
            break
    inverse = _inverses(lattice.design(grid[different[:most]]))
    orders = np.array(list(itertools.permutations(range(4))))
    return inverse[:, :, orders].transpose(0, 2, 1, 3).reshape(-1, 4, 4)


def _first_of_each_plane_basis(fours: Ints, even: int) -> Ints:
    """Positions of the quadruples, shape (N, 4, 3), that no basis change (h, l) turns into an earlier one.

    ``even`` is 2 where h must keep its parity, as for C centring.
    """
    least = np.full(len(fours), np.iinfo(np.int64).max)
    for u, v, w, x in itertools.product((-1, 0, 1), (-even, 0, even), (-1, 0, 1), (-1, 0, 1)):
        if abs(u * x - v * w) != 1:
            continue
        h, l = u * fours[..., 0] + v * fours[..., 2], w * fours[..., 0] + x * fours[..., 2]  # noqa: E741
        flip = np.where((l < 0) | ((l == 0) & (h < 0)), -1, 1)
        code = np.sort((h * flip + 16) << 8 | fours[..., 1] << 5 | (l * flip + 8), axis=1)
        np.minimum(least, code @ (1 << np.array([39, 26, 13, 0])), out=least)
    return np.sort(np.unique(least, return_index=True)[1])
