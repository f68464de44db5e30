"""Checks of a table of structures: an error names the file, the structure and how to fix it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.arrays import Bools
from alphadiffract_plugin.crystal.cells import is_cell
from alphadiffract_plugin.errors import StructureError

from .columns import ATOM_COLUMNS, BUILD, CELL, COLUMNS, HEAVIEST, ORIGINS, SPLITS

if TYPE_CHECKING:
    import pyarrow
    from spglib import SpaceGroupType

AGAIN = "remove the row, or make the file again by 'alphadiffract-plugin structures build'"
MOST_OCCUPANCY = 1.05
"""Largest occupancy: refined ones may exceed 1 a little."""


def checked(table: pyarrow.Table, path: Path) -> pyarrow.Table:
    """The table, with the types that :func:`.table.unpack` needs.

    Raises
    ------
    StructureError : a column is missing, has the wrong type or missing values, or a value is out of range.
    """
    missing = [name for name in (*COLUMNS, *ATOM_COLUMNS) if name not in table.column_names]
    if missing:
        raise StructureError(f"the table has no column {', '.join(missing)}", fix=BUILD, where=path)
    if not len(table):
        raise StructureError("the table holds no structures", fix="name another file", where=path)
    table = _typed(table, path)
    for describe, bad in _faults(table):
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            more = f" ({int(bad.sum())} such structures)" if bad.sum() > 1 else ""
            raise StructureError(f"{table['id'][first].as_py()}: {describe(first)}{more}", fix=AGAIN, where=path)
    return table


def _typed(table: pyarrow.Table, path: Path) -> pyarrow.Table:
    """The table, if its columns can be converted to the types that :func:`.table.unpack` reads, and have no gaps."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole, real = pa.int64(), pa.float64()
    kinds = dict.fromkeys(("id", "origin", "split"), pa.string()) | {"sg": whole, "hall": whole}
    for name in (*COLUMNS, *ATOM_COLUMNS):
        column = table[name]
        try:
            if name in ATOM_COLUMNS:
                read = pc.list_flatten(column).cast(whole if name in ("elem", "mult") else real)
            else:
                read = column.cast(kinds.get(name, real))
        except (pa.ArrowException, NotImplementedError) as error:
            what = f"the column {name} has the type {column.type}, which cannot be converted"
            raise StructureError(what, fix=BUILD, where=path) from error
        if column.null_count or read.null_count:
            raise StructureError(f"the column {name} has missing values", fix=BUILD, where=path)
    return table


Fault = tuple[Callable[[int], str], Bools]
"""What to say of a row, and which rows have the fault."""


def _faults(table: pyarrow.Table) -> list[Fault]:
    """Every possible fault."""
    import pyarrow.compute as pc

    value = {name: table[name].to_numpy() for name in COLUMNS}
    counts = np.stack([pc.list_value_length(table[name]).to_numpy() for name in ATOM_COLUMNS])
    ragged = (counts != counts[0]).any(0)
    faults: list[Fault] = [
        (lambda i: f"its lists {', '.join(ATOM_COLUMNS)} differ in length", ragged),
        (lambda i: "the structure has no atoms", counts[0] == 0),
    ]
    if ragged.any() or (counts[0] == 0).any():
        return faults
    group, hall = value["sg"].astype(int), value["hall"].astype(int)
    groups = np.append(group_of_hall(), 0)
    hall_known = np.where((hall >= 1) & (hall <= 530), hall, 531)
    cell = np.stack([value[name].astype(float) for name in CELL], 1)
    return [
        *faults,
        (
            lambda i: f"the origin {value['origin'][i]!r} is not one of {', '.join(ORIGINS)}",
            ~np.isin(value["origin"], ORIGINS),
        ),
        (
            lambda i: f"the split {value['split'][i]!r} is not one of {', '.join(SPLITS)}",
            ~np.isin(value["split"], SPLITS),
        ),
        (lambda i: f"there is no space group {group[i]}", (group < 1) | (group > 230)),
        (lambda i: f"the Hall number {hall[i]} is not of space group {group[i]}", groups[hall_known - 1] != group),
        (lambda i: f"the cell {' '.join(f'{x:g}' for x in cell[i])} is impossible", ~is_cell(cell)),
        *_atom_faults(table, counts[0]),
    ]


def _atom_faults(table: pyarrow.Table, counts: np.ndarray) -> list[Fault]:
    import pyarrow.compute as pc

    atom = {name: pc.list_flatten(table[name]).to_numpy() for name in ATOM_COLUMNS}
    start = np.concatenate(([0], np.cumsum(counts)[:-1]))

    def rows(bad: Bools) -> Bools:
        return np.asarray(np.logical_or.reduceat(bad, start))

    number, occupancy = atom["elem"].astype(int), atom["occ"].astype(float)
    return [
        (lambda i: f"an atomic number is not between 1 and {HEAVIEST}", rows((number < 1) | (number > HEAVIEST))),
        (
            lambda i: f"an occupancy is not between 0 and {MOST_OCCUPANCY}",
            rows(~((occupancy > 0) & (occupancy <= MOST_OCCUPANCY))),
        ),
        (lambda i: "a coordinate is NaN or infinite", rows(~np.isfinite(atom["x"] + atom["y"] + atom["z"]))),
        (lambda i: "a multiplicity is below 1", rows(atom["mult"].astype(int) < 1)),
    ]


def _setting(hall: int) -> SpaceGroupType:
    import spglib

    found = spglib.get_spacegroup_type(hall)
    if found is None:
        raise ValueError(f"spglib has no setting with the Hall number {hall}")
    return found


@functools.cache
def group_of_hall() -> np.ndarray:
    """Space group of Hall numbers 1 to 530, shape (530,)."""
    return np.array([_setting(hall).number for hall in range(1, 531)])


@functools.cache
def centring_of_hall() -> np.ndarray:
    """Centring letter of the settings with Hall numbers 1 to 530, shape (530,); P for rhombohedral axes."""

    def letter(hall: int) -> str:
        kind = _setting(hall)
        return "P" if kind.choice == "R" else kind.hall_symbol.lstrip("-")[0]

    return np.array([letter(hall) for hall in range(1, 531)])
