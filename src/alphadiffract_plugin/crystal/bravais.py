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
        return np.linalg.pinv(self.metric_map).astype(np.float64)

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
        """Free parameters, shape (..., p), of the metrics of this lattice nearest to those of shape (..., 6)."""
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
