"""The fourteen Bravais lattices: free parameters, centrings, indices, and the lattice of a given basis.

A lattice's free parameters p are the distinct entries of its reciprocal metric, metric = p @ metric_map. So 1/d² is
linear in them, and as many indexed lines as parameters give a cell by one small matrix inverse.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.cells import Cell, cell_from_direct_metric, direct_metric_from_cell
from alphadiffract_plugin.crystal.reflections import quadratic_form
from alphadiffract_plugin.crystal.symmetry import (
    crystal_system_from_space_group,
    lattice_family,
    symbol_from_space_group,
)

_METRIC_OF_PARAMETERS = {
    "cubic": [[1, 1, 1, 0, 0, 0]],
    "tetragonal": [[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]],
    "hexagonal": [[1, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]],
    "orthorhombic": np.eye(6)[:3],
    "monoclinic": np.eye(6)[[0, 1, 2, 4]],
    "triclinic": np.eye(6),
}
_MULTIPLICITY = {"cubic": 48, "tetragonal": 16, "hexagonal": 24, "orthorhombic": 8, "monoclinic": 4, "triclinic": 2}


@dataclass(frozen=True)
class Lattice:
    """One Bravais lattice."""

    family: str
    """Symmetry of the conventional axes, see :func:`symmetry.lattice_family`."""
    centring: str
    """P, C, I, F or R."""

    @property
    def metric_map(self) -> Floats:
        """Rows: reciprocal metric of each free parameter, shape (p, 6); metric = parameters @ metric_map."""
        return np.array(_METRIC_OF_PARAMETERS[self.family], float)

    @functools.cached_property
    def _parameter_map(self) -> Floats:
        return np.linalg.pinv(self.metric_map)

    @property
    def free(self) -> int:
        """Number of free cell parameters."""
        return len(self.metric_map)

    @property
    def points(self) -> int:
        """Lattice points in the conventional cell."""
        return 1 + len(centring_translations(self.centring))

    @property
    def multiplicity(self) -> int:
        """Number of indices hkl with the same 1/d² in general position: the order of the lattice's point group.

        It is 12 for the lattice R and 24 for the hexagonal lattice P.
        """
        return 12 if self.centring == "R" else _MULTIPLICITY[self.family]

    def design(self, hkl: Ints) -> Floats:
        """1/d² = design @ parameters, shape (H, p), of indices of shape (H, 3)."""
        return quadratic_form(hkl) @ self.metric_map.T

    def parameters(self, metric: Floats) -> Floats:
        """Free parameters, shape (..., p), of reciprocal metrics of shape (..., 6) that have this symmetry, or nearly."""
        return metric @ self._parameter_map

    @functools.cache  # noqa: B019 - the fourteen lattices live as long as the process
    def indices(self, longest: int) -> Ints:
        """Allowed indices with distinct 1/d² and h² + k² + l² ≤ ``longest``, lowest first, shape (H, 3)."""
        reach = int(np.sqrt(longest)) + 1
        grid = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
        grid = grid[np.any(grid != 0, 1)]
        grid = grid[centred(grid, self.centring)]
        size = (grid**2).sum(1)
        grid = grid[size <= longest]
        grid = grid[np.lexsort((*(-grid.T), (grid**2).sum(1)))]
        _, first = np.unique(self.design(grid).round(6), axis=0, return_index=True)
        distinct: Ints = grid[np.sort(first)]
        return distinct

    @functools.cache  # noqa: B019
    def assignments(self) -> np.ndarray:
        """Inverse designs of low-index assignments, shape (T, p, p): parameters = inverse @ (1/d² of p lines).

        The lines are taken in ascending order of angle; every order of the indices is there once, axes that
        symmetry lets one rename are not renamed twice.
        """
        tuples = self._index_tuples()
        design = self.design(tuples.reshape(-1, 3)).reshape(*tuples.shape[:2], self.free)
        regular = np.abs(np.linalg.det(design)) > 0.5
        inverse = np.linalg.inv(design[regular])
        keys = np.array([self._canonical(block) for block in inverse.round(6)]) if self.free == 3 else inverse.round(6)
        _, first = np.unique(keys.reshape(len(keys), -1), axis=0, return_index=True)
        return inverse[np.sort(first)]

    def _canonical(self, inverse: np.ndarray) -> np.ndarray:
        rows = [0, 1] if self.centring == "C" else [0, 1, 2]
        fixed = [i for i in range(3) if i not in rows]
        order = sorted(rows, key=lambda i: tuple(inverse[i]))
        return inverse[[*order, *fixed]]

    def _index_tuples(self) -> np.ndarray:
        if self.family == "monoclinic":
            return self._monoclinic_tuples()
        longest = {"cubic": 27, "tetragonal": 13, "hexagonal": 11, "orthorhombic": 6}[self.family]
        if self.centring != "P" and self.family != "cubic":
            longest = {"tetragonal": 18, "hexagonal": 19, "orthorhombic": 11 if self.centring != "C" else 9}[
                self.family
            ]
        low = self.indices(longest)
        return np.array(list(itertools.permutations(low, self.free)))

    def _monoclinic_tuples(self) -> np.ndarray:
        """Quadruples of low indices in every order, one of those that a change of axes in the h0l plane joins."""
        grid = np.array(list(itertools.product(range(-3, 4), range(4), range(-2, 3))))
        h, k, l = grid.T  # noqa: E741
        size = h * h + l * l + 0.5 * k * k
        if self.centring == "C":
            size = 0.6 * h * h + l * l + 0.35 * k * k
        one_of_pair = (l > 0) | ((l == 0) & (h > 0)) | ((l == 0) & (h == 0) & (k > 0))
        low = np.flatnonzero(one_of_pair & centred(grid, self.centring))
        low = low[np.argsort(size[low], kind="stable")][:26]
        fours = np.array(list(itertools.combinations(low, 4)))
        fours = fours[np.argsort(size[fours].sum(1), kind="stable")]
        fours = fours[np.abs(np.linalg.det(self.design(grid[fours].reshape(-1, 3)).reshape(-1, 4, 4))) > 0.5]
        fours = fours[_first_of_each_plane_basis(grid[fours], 2 if self.centring == "C" else 1)][:2000]
        return grid[fours][:, list(itertools.permutations(range(4)))].reshape(-1, 4, 3)


def _first_of_each_plane_basis(fours: np.ndarray, even: int) -> np.ndarray:
    """Positions of the quadruples, shape (N, 4, 3), that no basis change (h, l) turns into an earlier one.

    ``even`` is 2 where h must keep its parity, as for C centring.
    """
    keys = []
    for u, v, w, x in itertools.product((-1, 0, 1), (-even, 0, even), (-1, 0, 1), (-1, 0, 1)):
        if abs(u * x - v * w) != 1:
            continue
        h, l = u * fours[..., 0] + v * fours[..., 2], w * fours[..., 0] + x * fours[..., 2]  # noqa: E741
        flip = np.where((l < 0) | ((l == 0) & (h < 0)), -1, 1)
        code = np.sort(((h * flip + 50) * 100 + fours[..., 1]) * 100 + l * flip, axis=1)
        keys.append(code @ np.array([10**18, 10**12, 10**6, 1], dtype=object))
    _, first = np.unique(np.min(keys, axis=0), return_index=True)
    return np.sort(first)


LATTICES = tuple(
    Lattice(family, centring)
    for family, letters in (
        ("cubic", "PIF"),
        ("hexagonal", "PR"),
        ("tetragonal", "PI"),
        ("orthorhombic", "PCIF"),
        ("monoclinic", "PC"),
        ("triclinic", "P"),
    )
    for centring in letters
)
"""The fourteen Bravais lattices, in the order in which they are searched."""


@functools.cache
def centring_translations(letter: str) -> tuple[tuple[float, float, float], ...]:
    """Lattice translations besides the origin of a centring letter, from gemmi (R: obverse, hexagonal axes)."""
    import gemmi

    operations = gemmi.SpaceGroup("R 3:H" if letter == "R" else f"{letter} 1").operations()
    return tuple((x / 24, y / 24, z / 24) for x, y, z in operations.cen_ops if (x, y, z) != (0, 0, 0))


def centred(hkl: Ints, letter: str) -> Bools:
    """Which indices a centring letter allows, shape (H,)."""
    allowed = np.ones(len(hkl), dtype=bool)
    for shift in centring_translations(letter):
        phase = hkl @ np.array(shift)
        allowed &= np.abs(phase - np.round(phase)) < 1e-6
    return allowed


_PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, 0.5], [0, -0.5, 0.5]]),
    "B": np.array([[0.5, 0, 0.5], [0, 1, 0], [-0.5, 0, 0.5]]),
    "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
"""Rows: primitive basis vectors in terms of the conventional ones. gemmi's ``centred_to_primitive`` spans the same
lattices with other vectors; these are kept because the trained networks were made with them."""


def primitive_basis(cell: Cell, letter: str) -> Floats:
    """Rows: primitive basis vectors in Å, shape (3, 3), of a centred conventional cell."""
    basis: Floats = _PRIMITIVE[letter] @ np.linalg.cholesky(direct_metric_from_cell(cell))
    return basis


@dataclass(frozen=True)
class BravaisCell:
    """The conventional cell of a lattice."""

    family: str
    """Symmetry of the conventional axes, see :func:`symmetry.lattice_family`."""
    centring: str
    """P, C, I, F or R."""
    cell: Cell
    """Conventional cell in Å and degrees, exact in its symmetry."""


_GROUPS_OF_LATTICES = frozenset((2, 10, 12, 47, 65, 69, 71, 123, 139, 166, 191, 221, 225, 229))
"""The space groups of the fourteen lattices of single points."""


def bravais_from_basis(basis: Floats, relative_tolerance: float) -> BravaisCell:
    """The conventional cell of the highest symmetry that a lattice has within a tolerance, found by spglib.

    Parameters
    ----------
    basis : primitive basis vectors as rows in Å, shape (3, 3).
    relative_tolerance : how far lattice points may move, as a fraction of the shortest reduced edge.
    """
    import spglib

    reduced = spglib.niggli_reduce(basis, eps=1e-5)
    reduced = basis if reduced is None else np.asarray(reduced)
    reach = relative_tolerance * float(np.linalg.norm(reduced, axis=1).min())
    found = spglib.get_symmetry_dataset((reduced.tolist(), [[0.0, 0.0, 0.0]], [1]), symprec=reach)
    if found is None or found.number not in _GROUPS_OF_LATTICES:
        return BravaisCell("triclinic", "P", cell_from_direct_metric(reduced @ reduced.T))
    family = lattice_family(crystal_system_from_space_group(found.number))
    lattice = np.asarray(found.std_lattice)
    cell = cell_from_direct_metric(lattice @ lattice.T)
    return BravaisCell(family, symbol_from_space_group(found.number)[0], cell)
