"""An index of measured patterns of known crystals: a CSV file with one row a pattern, read in this one place.

A row says how the pattern was measured (:class:`Measurement`, all that a method may see) and what is known of the
crystal. ``docs/training.md`` lists the columns.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alphadiffract_plugin.crystal.cells import is_cell
from alphadiffract_plugin.errors import InputError, WavelengthError
from alphadiffract_plugin.radiation import radiation_from_text
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Cell

CELL_COLUMNS = ("a", "b", "c", "alpha", "beta", "gamma")
"""Columns of the conventional cell."""
RADIATIONS = ("xray", "neutron")
FIX = {
    "wavelength_A": "give one number in Å, or Kα1/Kα2, and their ratio in kalpha2_ratio",
    "radiation": f"give one of {', '.join(RADIATIONS)}",
    "space_group_number": "give a whole number from 1 to 230",
    "sg_alternatives": "give numbers from 1 to 230 separated by blanks, or nothing",
    "crystal_system": f"give the name of a crystal system: {', '.join(CRYSTAL_SYSTEMS)}",
    "niggli": "give the six numbers of a cell in Å and degrees, separated by blanks, or nothing",
    "a": f"give the six numbers of a cell in Å and degrees in {', '.join(CELL_COLUMNS)}, or leave them empty",
}
"""How to correct the value of a column."""


@dataclass(frozen=True)
class Measurement:
    """How a pattern was measured: all that may be known of it before it is answered."""

    id: str
    """What the pattern is called in the index; empty if the index does not name its patterns."""
    path: Path
    """The file; the index gives it relative to its own folder."""
    wavelength: str
    """In Å as ``--wavelength`` takes it: one number, or Kα1/Kα2, with their ratio where it is known."""
    radiation: str
    """``xray`` or ``neutron``; empty if the index does not say."""


@dataclass(frozen=True)
class BenchmarkRow:
    """One pattern of an index, and what is known of its crystal."""

    measurement: Measurement
    """How it was measured."""
    line: int
    """Line of the index, counted from 1."""
    tier: str
    """How much is known, as the index says; where it does not, ``A`` with a Niggli cell and else ``B-sg-only``."""
    source: str
    """Where the pattern was found; empty if the index does not say."""
    family: str
    """Collection that it belongs to; empty if the index does not say."""
    space_group: int | None
    """International number, 1 to 230."""
    alternatives: tuple[int, ...]
    """Further space groups that count as right."""
    crystal_system: str
    """One of ``records.CRYSTAL_SYSTEMS``; empty if the index does not say."""
    cell: Cell | None
    """Conventional cell in Å and degrees."""
    niggli: Cell | None
    """Niggli-reduced cell in Å and degrees."""

    @property
    def id(self) -> str:
        """What the pattern is called."""
        return self.measurement.id

    @property
    def groups(self) -> set[int]:
        """Every space group that counts as right."""
        return {*self.alternatives, *(() if self.space_group is None else (self.space_group,))}


@dataclass(frozen=True)
class BenchmarkIndex:
    """A whole index."""

    path: Path
    """The CSV file."""
    sha256: str
    """Of its bytes."""
    columns: tuple[str, ...]
    """Names of its columns."""
    rows: tuple[BenchmarkRow, ...]
    """Its patterns, in the order of the file; at least one."""


def read_index(path: Path, columns: Sequence[str] = (), *, filled: bool = False) -> BenchmarkIndex:
    """The patterns of an index.

    Parameters
    ----------
    path : the CSV file.
    columns : columns that must be there.
    filled : whether each row must have a value in each of them.

    Raises
    ------
    InputError : the file cannot be read, has no rows, lacks a column or a value, or a value is not what its column
        holds; with the line.
    """
    try:
        content = path.read_bytes()
        table = csv.DictReader(content.decode("utf-8-sig").splitlines())
        lines, found = list(table), tuple(table.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not a CSV file in UTF-8"
        raise InputError(
            f"the benchmark index cannot be read: {reason}", fix="name the CSV file of an index", where=path
        ) from error
    lacking = [name for name in columns if name not in found]
    if lacking:
        needed = ", ".join(columns)
        raise InputError(
            f"this index has no column {', '.join(lacking)}",
            fix=f"give a CSV file with the columns {needed}; docs/training.md says what they hold",
            where=path,
        )
    if not lines:
        raise InputError("this index holds no rows", fix="name an index with one row a pattern", where=path)
    rows = []
    for number, values in enumerate(lines, 2):
        for name in columns if filled else ():
            if not (values[name] or "").strip():
                fix = FIX.get(name, f"give {name} in every row")
                raise InputError(f"{name} is empty", fix=fix, where=path, line=number)
        rows.append(row_from_values(values, path, number))
    return BenchmarkIndex(path, hashlib.sha256(content).hexdigest(), found, tuple(rows))


def row_from_values(values: Mapping[str, str | None], index: Path, line: int) -> BenchmarkRow:
    """The record of one row of the CSV file.

    Raises
    ------
    InputError : a value is not what its column holds.
    """

    def text(name: str) -> str:
        return (values.get(name) or "").strip()

    def wrong(name: str, value: str) -> InputError:
        return InputError(f"{name} is {value!r}", fix=FIX[name], where=index, line=line)

    def groups(name: str) -> tuple[int, ...]:
        try:
            numbers = [float(word) for word in text(name).replace(";", " ").replace(",", " ").split()]
        except ValueError:
            raise wrong(name, text(name)) from None
        if not all(1 <= number <= 230 and number.is_integer() for number in numbers):
            raise wrong(name, text(name))
        return tuple(map(int, numbers))

    def cell(name: str, words: Sequence[str]) -> Cell | None:
        if not any(words):
            return None
        try:
            found = tuple(float(word) for word in words)
        except ValueError:
            raise wrong(name, " ".join(words)) from None
        if len(found) != 6 or not is_cell(np.array(found)):
            raise wrong(name, " ".join(words))
        return found

    wavelength = text("wavelength_A")
    if "/" in wavelength and text("kalpha2_ratio"):
        wavelength = f"{wavelength}/{text('kalpha2_ratio')}"
    if wavelength:
        try:
            radiation_from_text(wavelength)
        except WavelengthError:
            raise wrong("wavelength_A", text("wavelength_A")) from None
    for name, known in (("radiation", RADIATIONS), ("crystal_system", CRYSTAL_SYSTEMS)):
        if text(name) and text(name).lower() not in known:
            raise wrong(name, text(name))
    six = [text(name) for name in CELL_COLUMNS]
    space_groups = groups("space_group_number")
    if len(space_groups) > 1:
        raise wrong("space_group_number", text("space_group_number"))
    niggli = cell("niggli", text("niggli").split())
    return BenchmarkRow(
        measurement=Measurement(text("id"), index.parent / text("path"), wavelength, text("radiation").lower()),
        line=line,
        tier=text("tier") or ("A" if niggli else "B-sg-only"),
        source=text("source"),
        family=text("family"),
        space_group=space_groups[0] if space_groups else None,
        alternatives=groups("sg_alternatives"),
        crystal_system=text("crystal_system").lower(),
        cell=cell("a", six) if all(six) else None,
        niggli=niggli,
    )
