"""Space group symbols as GSAS-II takes them, checked by the operations that it makes of them, and the way back.

GSAS-II reads a symbol in its own way and says nothing where it takes another group, setting or origin than was meant:
it drops ``:1``, and its ``StandardizeSpcName`` makes ``P 2/c`` of ``P2_1/c``. So a symbol counts as understood only if
its operations are those of gemmi's table, and a phase only if it has the cell, group and reflections asked for.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal.extinction import Setting
from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.records import Candidate, Cell

SAME_CELL = 1e-6
"""Two numbers of a cell are the same if they differ by less of themselves."""

SYMMETRIC = 1e-4
"""An operation of the group may change the metric of a cell by so much of it: people write cells with four decimals."""

COMPARED = 30
"""About so many distinct reflections of a phase are compared."""

Operations = tuple[np.ndarray, np.ndarray]
"""Rotations (n, 3, 3) and translations (n, 3) in twenty-fourths of all operations, with every centring."""


def find_setting(name: int | str) -> Any:
    """The gemmi.SpaceGroup of an international number (standard setting) or of a Hermann-Mauguin symbol.

    Blanks and underscores do not matter; ``:1``, ``:2``, ``:H`` and ``:R`` choose origin and axes, which are origin 2
    and hexagonal axes otherwise, as in GSAS-II: ``P2_1/n``, ``P m c n``, ``R -3 m:R``, ``F d -3 m:1``, ``C m c e``.

    Raises
    ------
    GSASIIError : there is none of that name.
    """
    import gemmi

    if isinstance(name, int):
        found = gemmi.get_spacegroup_reference_setting(name) if 1 <= name <= 230 else None
    else:
        found = gemmi.find_spacegroup_by_name(name.replace("_", ""), prefer="2H")
    if found is None:
        raise GSASIIError(
            f"{name!r} names no space group",
            fix="give a number from 1 to 230 or a Hermann-Mauguin symbol such as P 1 21/n 1",
        )
    return found


def setting_from_hall_number(hall_number: int) -> Any:
    """The gemmi.SpaceGroup of one of spglib's 530 settings.

    Raises
    ------
    GSASIIError : there is no such number.
    """
    import gemmi
    import spglib

    if not 1 <= hall_number <= 530:
        raise GSASIIError(f"no Hall number {hall_number}", fix="give one from 1 to 530, as spglib counts settings")
    hall = spglib.get_spacegroup_type(hall_number).hall_symbol
    return gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))


def symbol_from_setting(setting: Any) -> str:
    """The shortest symbol of which GSAS-II makes exactly the operations of a gemmi.SpaceGroup.

    Raises
    ------
    GSASIIError : there is none; GSAS-II knows origin 2 alone, for one.
    """
    return _symbol_of_hall(setting.hall, setting.hm, setting.ext)


@functools.cache
def _symbol_of_hall(hall: str, symbol: str, extension: str) -> str:
    import gemmi

    wanted = _as_set(crystal.operations_of(gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))))
    lattice, *axes = symbol.split()
    short = " ".join([lattice, *(axis for axis in axes if axis != "1")])
    names = [symbol + " R"] if extension == "R" else [short, symbol]
    for name in names:
        operations = operations_from_symbol(name)
        if operations is not None and _as_set(operations) == wanted:
            return name
    if extension == "1":
        raise GSASIIError(
            f"GSAS-II takes {symbol} with its origin in the inversion centre (origin 2) whatever the symbol says",
            fix=f"move the atoms to the setting {symbol}:2",
        )
    raise GSASIIError(
        f"GSAS-II has no symbol for the setting {symbol} ({hall})",
        fix="transform cell and atoms to the standard setting of the group",
    )


def check_symbol(symbol: str, space_group: int) -> None:
    """Nothing, if GSAS-II makes of a symbol the operations of the standard setting of a group.

    Raises
    ------
    GSASIIError : it does not know the symbol, or takes it for something else.
    """
    operations = operations_from_symbol(symbol)
    if operations is None:
        raise GSASIIError(
            f"GSAS-II knows no space group {symbol!r}",
            fix="write the symbol with blanks between the axes, such as P n m a",
        )
    _check_group(operations, symbol, space_group)


def operations_from_symbol(symbol: str) -> Operations | None:
    """What GSAS-II makes of a symbol; None if it does not know it."""
    with installation.quiet():
        fault, group = installation.module("GSASIIspc").SpcGroup(symbol)
    return None if fault else operations_from_group(group)


def operations_from_group(group: dict[str, Any]) -> Operations:
    """The operations of a GSAS-II space group (``SGData``)."""
    half = np.array([rotation for rotation, _ in group["SGOps"]]), np.array([shift for _, shift in group["SGOps"]])
    centring = np.array(group["SGCen"])
    rotations, shifts = (np.concatenate([part, -part]) if group["SGInv"] else part for part in half)
    shifts = (shifts[:, None] + centring).reshape(-1, 3)
    return np.repeat(rotations, len(centring), axis=0).round().astype(int), np.round(24 * shifts).astype(int) % 24


def setting_of_phase(phase: Any) -> Setting:
    """Number, symbol and axes of the space group of a G2Phase, told from its operations.

    Raises
    ------
    GSASIIError : the operations are no space group, or none of gemmi's 564 settings.
    """
    import gemmi
    import spglib

    name, operations = phase.data["General"]["SGData"]["SpGrp"], _operations_of_phase(phase)
    found = spglib.get_spacegroup_type_from_symmetry(operations[0], operations[1] / 24)
    settings = [one for one in gemmi.spacegroup_table() if found is not None and one.number == found.number]
    grid = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    alike = [
        (_as_set(theirs) != _as_set(operations), place)
        for place, theirs in enumerate(map(crystal.operations_of, settings))
        if {key[:9] for key in _as_set(theirs)} == {key[:9] for key in _as_set(operations)}
        and (crystal.extinct(grid, theirs) == crystal.extinct(grid, operations)).all()
    ]
    if not alike:
        raise GSASIIError(f"the operations of {name} are no setting of a space group", fix="look at the phase")
    setting = settings[min(alike)[1]]  # of the same origin, if there is one
    return Setting(setting.number, name, np.array(setting.basisop.rot) / setting.basisop.DEN)


def standard_cell_of_phase(phase: Any) -> tuple[int, Cell]:
    """Space group number and cell (Å, degrees) of a G2Phase in the standard setting that a seeded phase would have.

    Raises
    ------
    GSASIIError : as :func:`setting_of_phase`, or cell and group do not belong together.
    """
    _check_cell(phase)
    setting = setting_of_phase(phase)
    return setting.space_group, setting.standard_cell(_cell_of_phase(phase))


def check_phase(phase: Any, candidate: Candidate) -> None:
    """Nothing, if a G2Phase has the cell, the space group and the reflections of a candidate.

    GSAS-II itself takes any six numbers for a cell, and any cell for any group.

    Raises
    ------
    GSASIIError : the phase is another crystal than the candidate, or none.
    """
    cell, operations = _cell_of_phase(phase), _operations_of_phase(phase)
    _check_group(operations, phase.data["General"]["SGData"]["SpGrp"], candidate.space_group)
    _check_cell(phase)
    if not np.allclose(cell, candidate.cell, rtol=SAME_CELL, atol=0):
        raise GSASIIError(f"phase {phase.name} has another cell than asked for: {cell}", fix="tell us")
    reach = (3 * COMPARED * len(operations[0]) / (4 * math.pi * candidate.volume)) ** (2 / 3)
    ours, theirs = crystal.allowed_inv_d2(cell, candidate.space_group, reach), lines_of_phase(phase, reach)
    if not (_all_among(ours, theirs) and _all_among(theirs, ours)):
        raise GSASIIError(f"GSAS-II allows other reflections in phase {phase.name} than we do", fix="tell us")


def lines_of_phase(phase: Any, inv_d2_max: float) -> np.ndarray:
    """1/d² in 1/Å², ascending, of the reflections that GSAS-II generates for a phase: those of its first Le Bail."""
    a, group = installation.module("GSASIIlattice").cell2A(list(_cell_of_phase(phase))), phase.data["General"]["SGData"]
    with installation.quiet():
        rows = installation.module("GSASIIpwd").getHKLpeak(inv_d2_max**-0.5, group, a)
    return np.sort(crystal.quadratic_form(rows[:, :3]) @ np.array(a)[[0, 1, 2, 5, 4, 3]])


def _all_among(some: np.ndarray, others: np.ndarray) -> bool:
    """Whether each value, but the last few per cent, has a like among others."""
    some = some[some < 0.95 * max(some.max(), others.max())]
    return bool((np.abs(some[:, None] - others).min(1) < 1e-6 * some).all())


def _check_group(operations: Operations, symbol: str, space_group: int) -> None:
    if _as_set(operations) != _as_set(crystal.operations_from_space_group(space_group)):
        raise GSASIIError(
            f"GSAS-II does not take {symbol!r} for space group {space_group} in its standard setting",
            fix=f"write {crystal.symbol_from_space_group(space_group)}",
        )


def _check_cell(phase: Any) -> None:
    cell, name = _cell_of_phase(phase), phase.data["General"]["SGData"]["SpGrp"]
    fix = "give the phase the cell again, in the setting of its symbol"
    metric = crystal.direct_metric_from_cell(cell)
    if not (np.isfinite(cell).all() and min(cell) > 0 and np.linalg.det(metric) > 0):
        raise GSASIIError(f"the cell of phase {phase.name} is none: {cell}", fix=fix)
    rotations, _ = _operations_of_phase(phase)
    turned = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    if np.abs(turned - metric).max() > SYMMETRIC * metric.max():
        raise GSASIIError(f"the cell of phase {phase.name} does not have the symmetry of {name}: {cell}", fix=fix)


def _operations_of_phase(phase: Any) -> Operations:
    return operations_from_group(phase.data["General"]["SGData"])


def _cell_of_phase(phase: Any) -> Cell:
    return tuple(float(value) for value in phase.data["General"]["Cell"][1:7])


def _as_set(operations: Operations) -> frozenset[tuple[int, ...]]:
    rotations, shifts = operations
    return frozenset(map(tuple, np.hstack([rotations.reshape(-1, 9), shifts % 24]).tolist()))
