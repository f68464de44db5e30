"""An index of measured patterns, one CSV row each: where it lies, how it was measured, what is known of the crystal."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import AlphaDiffractError, InputError
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

COLUMNS = ("path", "wavelength_A", "radiation", "space_group_number", "crystal_system")
"""What an index must have; ``kalpha2_ratio``, ``sg_alternatives``, ``niggli``, ``tier`` and ``family`` may be there."""
SCORED = ("A", "B-sg-only")
"""Tiers that count: cell and space group known, and space group alone."""
RADIATIONS = ("xray", "neutron")


def read_index(path: Path) -> list[dict[str, str]]:
    """The scored rows of an index, with a ``tier`` each; see ``COLUMNS``.

    Raises
    ------
    InputError : the file is missing, empty, lacks a column or value, or names a pattern that is not there.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"the index cannot be read: {told}", fix="name a CSV file", where=path) from error
    lacking = [name for name in COLUMNS if not rows or name not in rows[0]]
    if lacking:
        fix = f"give a CSV file with the columns {', '.join(COLUMNS)}; docs/training.md says what they hold"
        raise InputError(f"this index lacks {', '.join(lacking)}" if rows else "no row is there", fix=fix, where=path)
    for line, row in enumerate(rows, 2):
        row["tier"] = row.get("tier") or ("A" if row.get("niggli") else "B-sg-only")
        for name, (is_wrong, fix) in CHECKS.items():
            if is_wrong(row):
                raise InputError(f"{name} is {row.get(name)!r}", fix=fix, where=path, line=line)
        if not (path.parent / (row["path"] or "")).is_file():
            raise InputError(
                f"there is no pattern {row['path']}",
                fix="give its path from the folder of the index",
                where=path,
                line=line,
            )
    scored = [row for row in rows if row["tier"] in SCORED]
    if not scored:
        fix = f"give a row the tier {' or '.join(SCORED)}, or leave it empty"
        raise InputError("none of its rows is of a tier that is scored", fix=fix, where=path)
    return scored


def _no_group(words: str) -> bool:
    """Whether a number that should be of a space group is none; several are parted by blanks, commas or semicolons."""
    try:
        return not all(1 <= float(word) <= 230 for word in words.replace(";", " ").replace(",", " ").split())
    except ValueError:
        return True


def _no_cell(row: dict[str, str]) -> bool:
    try:
        return true_cell(row).shape != (6,)
    except ValueError:
        return True


def _no_wavelength(row: dict[str, str]) -> bool:
    from alphadiffract_plugin.radiation import radiation_from_text

    try:
        radiation_from_text(wavelength_of(row))
    except (AlphaDiffractError, TypeError):
        return True
    return False


CHECKS: dict[str, tuple[Callable[[dict[str, str]], bool], str]] = {
    "space_group_number": (
        lambda row: not (row["space_group_number"] or "").strip().isdecimal() or _no_group(row["space_group_number"]),
        "give a whole number from 1 to 230",
    ),
    "sg_alternatives": (
        lambda row: _no_group(row.get("sg_alternatives") or ""),
        "give numbers from 1 to 230, parted by blanks, or nothing",
    ),
    "crystal_system": (
        lambda row: (row["crystal_system"] or "").lower() not in CRYSTAL_SYSTEMS,
        f"give the name of a crystal system: {', '.join(CRYSTAL_SYSTEMS)}",
    ),
    "niggli": (_no_cell, "give six numbers parted by blanks, or nothing"),
    "wavelength_A": (_no_wavelength, "give one number in Å, or Kα1/Kα2, and their ratio in kalpha2_ratio"),
    "radiation": (lambda row: row["radiation"] not in RADIATIONS, f"give one of {', '.join(RADIATIONS)}"),
}
"""What may be wrong with the value of a column, and how to fix it."""


def true_groups(row: dict[str, str]) -> set[int]:
    """The space groups that count as right."""
    others = (row.get("sg_alternatives") or "").replace(";", " ").replace(",", " ").split()
    return {int(row["space_group_number"])} | {int(float(word)) for word in others}


def true_cell(row: dict[str, str]) -> np.ndarray:
    """The Niggli cell in Å and degrees, shape (6,); NaN where the tier knows none."""
    known = row["tier"].startswith("A") and row.get("niggli")
    return np.array([float(word) for word in row["niggli"].split()]) if known else np.full(6, np.nan)


def wavelength_of(row: dict[str, str]) -> str:
    """The wavelength of a row, or the doublet with its ratio, as ``--wavelength`` takes it."""
    doublet = "/" in row["wavelength_A"] and row.get("kalpha2_ratio")
    return f"{row['wavelength_A']}/{row['kalpha2_ratio']}" if doublet else row["wavelength_A"]
