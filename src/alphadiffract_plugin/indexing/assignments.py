"""Assignments of low indices to the first lines, as inverses of their design matrices.

As many indexed lines as the lattice has free parameters give a cell: parameters = inverse @ (1/d² of the lines). The
tables are made once in each process.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.crystal.bravais import Lattice, centred

_LONGEST = {"cubic": 27, "tetragonal": 13, "hexagonal": 11, "orthorhombic": 6}
_LONGEST_CENTRED = {"cubic": 27, "tetragonal": 18, "hexagonal": 19, "orthorhombic": 11}
"""Largest h² + k² + l² of the indices that are assigned; chosen by hand."""
_ENOUGH = 5000
"""So many sets of four indices, the lowest first, contain two thousand that are not equivalent."""


@functools.cache
def assignments(lattice: Lattice, index_range: float = 1.0, quadruples: tuple[int, int] = (26, 2000)) -> Floats:
    """Inverse design matrices of low-index assignments, shape (T, p, p).

    There is one for each ordered choice of p low-index reflections, which are assigned to lines in ascending order of
    angle. Of choices that differ only by an equivalent permutation of the axes there is one.

    Parameters
    ----------
    index_range : factor of the largest h² + k² + l².
    quadruples : for monoclinic lattices, the number of low indices, and the largest number of sets of four of them.
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
    """Inverses of the design matrices, shape (N, p, p), that have one; their determinants are integers."""
    return np.linalg.inv(design[np.abs(np.linalg.det(design)) > 0.5]).astype(np.float64)


def _rows_in_order(keys: Ints) -> Ints:
    """The rows of each matrix, shape (N, r, c), in ascending order."""
    hashed = keys @ np.array([1, 2097143, 4398042316799])[: keys.shape[2]]
    return np.take_along_axis(keys, hashed.argsort(1)[:, :, None], 1)


def _first_of_each(keys: Ints) -> Ints:
    """Positions of the first of each different row of integers, shape (N, c)."""
    order = np.lexsort(keys.T)
    changed = np.append(True, np.any(np.diff(keys[order], axis=0) != 0, axis=1))
    return np.sort(np.minimum.reduceat(order, np.flatnonzero(changed)))


def _monoclinic(lattice: Lattice, indices: int, most: int) -> Floats:
    """Inverses for sets of four low indices in every order; of sets related by a change of a and c there is one."""
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
    """Positions of the sets of four indices, shape (N, 4, 3), to which no change of a and c maps an earlier one.

    ``even`` is 2 where h must stay even or odd, as for the centring C, and 1 otherwise.
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
