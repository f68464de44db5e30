"""Cells, reciprocal metrics, lattices and space groups: the exact crystallography that every step shares.

A reciprocal metric is the row ``(A, B, C, D, E, F)`` of 1/d² = A h² + B k² + C l² + D kl + E hl + F hk, in 1/Å².
Symmetry comes from gemmi's tables and spglib; no table is typed in here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Cell

_LAST_GROUP = (2, 15, 74, 142, 167, 194, 230)


def crystal_system_from_space_group(number: int) -> str:
    """Name of the crystal system of an international number; raises ValueError outside 1 to 230."""
    if not 1 <= number <= 230:
        raise ValueError(f"no space group {number}: numbers go from 1 to 230")
    return CRYSTAL_SYSTEMS[int(np.searchsorted(_LAST_GROUP, number))]


@functools.cache
def symbol_from_space_group(number: int) -> str:
    """Short Hermann-Mauguin symbol of the standard setting, blanks between the axes: ``P 21/c``, ``R -3 m``.

    Monoclinic groups are b unique, rhombohedral ones on hexagonal axes. GSAS-II takes these symbols as they are.
    """
    import gemmi

    symbol = gemmi.get_spacegroup_reference_setting(number).hm
    lattice, *axes = symbol.split()
    if crystal_system_from_space_group(number) == "monoclinic":
        axes = [axis for axis in axes if axis != "1"]
    return " ".join([lattice, *axes])


def metric_from_cell(cell: Cell) -> np.ndarray:
    """Reciprocal metric (A, B, C, D, E, F) in 1/Å², shape (6,), of a cell in Å and degrees."""
    g = np.linalg.inv(direct_metric_from_cell(cell))
    return np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])


def direct_metric_from_cell(cell: Cell) -> np.ndarray:
    """Metric tensor of the direct lattice in Å², shape (3, 3)."""
    a, b, c, *angles = cell
    ca, cb, cg = np.cos(np.radians(angles))
    return np.array([[a * a, a * b * cg, a * c * cb], [a * b * cg, b * b, b * c * ca], [a * c * cb, b * c * ca, c * c]])


def tensor_from_metric(metric: np.ndarray) -> np.ndarray:
    """Symmetric tensor of the reciprocal lattice in 1/Å², shape (..., 3, 3), of metrics of shape (..., 6)."""
    a, b, c, d, e, f = np.moveaxis(np.asarray(metric, float), -1, 0)
    rows = [[a, f / 2, e / 2], [f / 2, b, d / 2], [e / 2, d / 2, c]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def cell_from_direct_metric(g: np.ndarray) -> Cell:
    """Cell in Å and degrees of a direct metric tensor in Å², shape (3, 3)."""
    a, b, c = np.sqrt(np.diag(g))
    cosines = np.clip([g[1, 2] / (b * c), g[0, 2] / (a * c), g[0, 1] / (a * b)], -1, 1)
    return tuple(float(x) for x in (a, b, c, *np.degrees(np.arccos(cosines))))


def cell_from_metric(metric: np.ndarray) -> Cell:
    """Cell in Å and degrees of a reciprocal metric of shape (6,)."""
    return cell_from_direct_metric(np.linalg.inv(tensor_from_metric(metric)))


def quadratic_form(hkl: np.ndarray) -> np.ndarray:
    """(h², k², l², kl, hl, hk) of indices, shape (H, 3) to (H, 6): its product with a metric is 1/d²."""
    h, k, l = np.moveaxis(np.asarray(hkl, float), -1, 0)  # noqa: E741
    return np.stack([h * h, k * k, l * l, k * l, h * l, h * k], -1)


def indices_within(metric: np.ndarray, inv_d2_max: float, limit: int = 20000) -> np.ndarray:
    """Indices of one half of reciprocal space with 1/d² ≤ ``inv_d2_max``, ascending in 1/d², shape (H, 3).

    Friedel mates are left out: the first index that is not zero, counted from l, is positive. At most ``limit``
    indices are returned, those of smallest 1/d².
    """
    edge = np.sqrt(np.diag(np.linalg.inv(tensor_from_metric(metric))))
    top = np.minimum(np.floor(edge * np.sqrt(inv_d2_max) + 1e-9).astype(int), 60)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in top), indexing="ij"), -1).reshape(-1, 3)
    h, k, l = grid.T  # noqa: E741
    grid = grid[(l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))]
    value = quadratic_form(grid) @ metric
    order = np.argsort(value, kind="stable")
    return grid[order[: min(limit, int(np.searchsorted(value[order], inv_d2_max, "right")))]]


@functools.cache
def operations_from_space_group(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Operations of the standard setting; see :func:`operations_of`."""
    import gemmi

    return operations_of(gemmi.get_spacegroup_reference_setting(number))


def operations_of(group: object) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (n, 3, 3) and translations (n, 3) in twenty-fourths, integers, of a gemmi.SpaceGroup.

    Every centring translation is combined with every rotation.
    """
    ops = group.operations()
    rotations = np.array([np.array(op.rot) // op.DEN for op in ops.sym_ops])
    shifts = np.array([op.tran for op in ops.sym_ops])
    centring = np.array(ops.cen_ops)
    return (
        np.repeat(rotations, len(centring), axis=0),
        ((shifts[:, None] + centring[None]) % 24).reshape(-1, 3),
    )


def extinct(hkl: np.ndarray, operations: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Which indices are systematically absent, shape (H,).

    An index is absent if an operation maps it onto itself with a phase that is no multiple of 2π
    (International Tables A, 1.6.3).
    """
    rotations, shifts = operations
    mapped = np.einsum("hi,nij->nhj", hkl, rotations)
    fixed = (mapped == hkl[None]).all(-1)
    return (fixed & ((shifts @ hkl.T) % 24 != 0)).any(0)


def lines(cell: Cell, space_group: int, inv_d2_max: float) -> np.ndarray:
    """Distinct allowed 1/d² in 1/Å² up to ``inv_d2_max``, ascending, of a cell in the standard setting."""
    metric = metric_from_cell(cell)
    hkl = indices_within(metric, inv_d2_max)
    value = quadratic_form(hkl[~extinct(hkl, operations_from_space_group(space_group))]) @ metric
    return value[np.diff(value, prepend=-1) > 1e-7] if len(value) else value


def two_theta_from_inv_d2(inv_d2: np.ndarray, wavelength: float) -> np.ndarray:
    """Diffraction angle in degrees of 1/d² in 1/Å²; NaN beyond the reach of the wavelength (Å)."""
    sine = np.sqrt(np.asarray(inv_d2, float)) * wavelength / 2
    return 2 * np.degrees(np.arcsin(np.where(sine <= 1, sine, np.nan)))


CENTRING_TRANSLATIONS = {
    "P": (),
    "A": ((0, 0.5, 0.5),),
    "B": ((0.5, 0, 0.5),),
    "C": ((0.5, 0.5, 0),),
    "I": ((0.5, 0.5, 0.5),),
    "F": ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)),
}
"""Lattice translations besides the origin of each centring letter (R: obverse, hexagonal axes)."""


def centred(hkl: np.ndarray, letter: str) -> np.ndarray:
    """Which indices a centring letter allows, shape (H,)."""
    allowed = np.ones(len(hkl), bool)
    for shift in CENTRING_TRANSLATIONS[letter]:
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


def primitive_basis(cell: Cell, letter: str) -> np.ndarray:
    """Rows: primitive basis vectors in Å, shape (3, 3), of a centred conventional cell."""
    return _PRIMITIVE[letter] @ np.linalg.cholesky(direct_metric_from_cell(cell))


@dataclass(frozen=True)
class BravaisCell:
    """The conventional cell of a lattice."""

    family: str
    """triclinic, monoclinic, orthorhombic, tetragonal, hexagonal or cubic: the symmetry of the metric's axes."""
    centring: str
    """P, C, I, F or R."""
    cell: Cell
    """Conventional cell in Å and degrees, exact in its symmetry."""


_LATTICE_OF_GROUP = {
    2: ("triclinic", "P"),
    10: ("monoclinic", "P"),
    12: ("monoclinic", "C"),
    47: ("orthorhombic", "P"),
    65: ("orthorhombic", "C"),
    69: ("orthorhombic", "F"),
    71: ("orthorhombic", "I"),
    123: ("tetragonal", "P"),
    139: ("tetragonal", "I"),
    166: ("hexagonal", "R"),
    191: ("hexagonal", "P"),
    221: ("cubic", "P"),
    225: ("cubic", "F"),
    229: ("cubic", "I"),
}


def bravais_from_basis(basis: np.ndarray, relative_tolerance: float) -> BravaisCell:
    """The most symmetric conventional cell that a primitive lattice fits within a tolerance, found by spglib.

    Parameters
    ----------
    basis : primitive basis vectors as rows in Å, shape (3, 3).
    relative_tolerance : how far lattice points may move, as a fraction of the shortest reduced edge.
    """
    import spglib

    reduced = spglib.niggli_reduce(basis, eps=1e-5)
    reduced = basis if reduced is None else reduced
    reach = relative_tolerance * np.linalg.norm(reduced, axis=1).min()
    found = spglib.get_symmetry_dataset((reduced, [[0.0, 0.0, 0.0]], [1]), symprec=reach)
    if found is None or found.number not in _LATTICE_OF_GROUP:
        return BravaisCell("triclinic", "P", cell_from_direct_metric(reduced @ reduced.T))
    family, centring = _LATTICE_OF_GROUP[found.number]
    lattice = found.std_lattice
    return BravaisCell(family, centring, cell_from_direct_metric(lattice @ lattice.T))
