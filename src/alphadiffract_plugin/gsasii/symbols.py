"""Space group symbols and phases in GSAS-II, checked by the operations and reflections that GSAS-II makes of them.

GSAS-II reads a symbol in its own way, and reports nothing where it takes another group, setting or origin than was
meant: it drops ``:1``, and its ``StandardizeSpcName`` makes ``P 2/c`` of ``P2_1/c``. So a symbol is accepted only if
GSAS-II makes the operations of gemmi's table from it, and a phase only if it has the cell, the group and the
reflections that were asked for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.symmetry import Operations
from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.recipes.recipe_records import cell_from_numbers
from alphadiffract_plugin.recipes.structure_recipe import operations_from_sgdata
from alphadiffract_plugin.records import Candidate, Cell

SAME_CELL = 1e-6
"""Two cells are the same if no parameter differs by more than this fraction: far more than rounding, far less than an
esd."""

SYMMETRIC = 1e-4
"""The operations of the group may change the metric of a cell by this fraction, since people write cells with four
decimals."""

COMPARED = 30
"""Approximate number of distinct reflections of a phase that are compared."""

REPORT = "do not use this phase; report it as a fault of this program, with the cell and the space group"


def check_symbol(symbol: str, space_group: int) -> None:
    """Refuse a symbol from which GSAS-II does not make the operations of the standard setting of a group.

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
    """The operations that GSAS-II makes from a symbol; None if it does not know the symbol."""
    with installation.quiet():
        fault, group = installation.module("GSASIIspc").SpcGroup(symbol)
    return None if fault else operations_from_group(group)


def operations_from_group(group: dict[str, Any]) -> Operations:
    """The operations of a GSAS-II space group (``SGData``), every centring translation with every rotation."""
    rotations, shifts = operations_from_sgdata(group)
    return rotations.round().astype(int), np.round(24 * shifts).astype(int) % 24


def check_phase(phase: Any, candidate: Candidate) -> None:
    """Refuse a G2Phase that does not have the cell, the space group and the reflections of a candidate.

    GSAS-II itself takes any six numbers for a cell, and any cell for any group.

    Raises
    ------
    GSASIIError : the phase is another crystal than the candidate, or not a crystal.
    """
    cell, operations = cell_of_phase(phase), operations_of_phase(phase)
    _check_group(operations, phase.data["General"]["SGData"]["SpGrp"], candidate.space_group)
    check_cell(phase)
    if not np.allclose(cell, candidate.cell, rtol=SAME_CELL, atol=0):
        raise GSASIIError(f"phase {phase.name} has another cell than was asked for: {cell}", fix=REPORT)
    # the sphere of radius 1/d holds 4 pi V / (3 d^3) indices, of which the operations make about as many equivalent
    reach = (3 * COMPARED * len(operations[0]) / (4 * math.pi * candidate.volume)) ** (2 / 3)
    ours, theirs = crystal.allowed_inv_d2(cell, candidate.space_group, reach), lines_of_phase(phase, reach)
    if not (_all_among(ours, theirs) and _all_among(theirs, ours)):
        raise GSASIIError(
            f"GSAS-II allows other reflections in phase {phase.name} than the International Tables", fix=REPORT
        )


def lines_of_phase(phase: Any, inv_d2_max: float) -> Floats:
    """1/d² in 1/Å², ascending, of the reflections that GSAS-II generates for a phase, as in its first Le Bail fit."""
    a, group = installation.module("GSASIIlattice").cell2A(list(cell_of_phase(phase))), phase.data["General"]["SGData"]
    with installation.quiet():
        rows = installation.module("GSASIIpwd").getHKLpeak(inv_d2_max**-0.5, group, a)
    return np.sort(crystal.quadratic_form(rows[:, :3]) @ np.array(a)[[0, 1, 2, 5, 4, 3]])


def check_cell(phase: Any) -> None:
    """Refuse a G2Phase whose cell is impossible, or does not have the symmetry of its space group.

    Raises
    ------
    GSASIIError : it is so.
    """
    cell, name = cell_of_phase(phase), phase.data["General"]["SGData"]["SpGrp"]
    fix = "give the phase the cell again, in the setting of its symbol"
    metric = crystal.direct_metric_from_cell(cell)
    if not (np.isfinite(cell).all() and min(cell) > 0 and np.linalg.det(metric) > 0):
        raise GSASIIError(f"the cell of phase {phase.name} is impossible: {cell}", fix=fix)
    rotations, _ = operations_of_phase(phase)
    turned = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    if np.abs(turned - metric).max() > SYMMETRIC * metric.max():
        raise GSASIIError(f"the cell of phase {phase.name} does not have the symmetry of {name}: {cell}", fix=fix)


def operations_of_phase(phase: Any) -> Operations:
    """The operations of the space group of a G2Phase."""
    return operations_from_group(phase.data["General"]["SGData"])


def cell_of_phase(phase: Any) -> Cell:
    """The cell of a G2Phase in Å and degrees."""
    return cell_from_numbers(phase.data["General"]["Cell"][1:7])


def as_set(operations: Operations) -> frozenset[tuple[int, ...]]:
    """Operations as a set, in which their order does not matter."""
    rotations, shifts = operations
    return frozenset(map(tuple, np.hstack([rotations.reshape(-1, 9), shifts % 24]).tolist()))


def _all_among(some: Floats, others: Floats) -> bool:
    """Whether each value is among the others, except the last five per cent, whose partners may lie beyond the end."""
    some = some[some < 0.95 * max(some.max(), others.max())]
    return bool((np.abs(some[:, None] - others).min(1) < 1e-6 * some).all())


def _check_group(operations: Operations, symbol: str, space_group: int) -> None:
    if as_set(operations) != as_set(crystal.operations_from_space_group(space_group)):
        raise GSASIIError(
            f"GSAS-II does not take {symbol!r} for space group {space_group} in its standard setting",
            fix=f"write {crystal.symbol_from_space_group(space_group)}",
        )
