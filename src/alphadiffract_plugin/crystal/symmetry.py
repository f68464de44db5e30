"""Space groups: crystal system, symbol, operations and systematic absences, from gemmi's tables."""

from __future__ import annotations

import functools

import numpy as np

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

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
