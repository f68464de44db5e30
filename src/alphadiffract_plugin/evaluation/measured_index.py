"""Which rows of a benchmark index count in the figures of a network, and what is right for each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alphadiffract_plugin import benchmark_index
from alphadiffract_plugin.benchmark_index import BenchmarkRow
from alphadiffract_plugin.errors import InputError

COLUMNS = ("path", "wavelength_A", "radiation", "space_group_number", "crystal_system")
"""Columns that an index must have, with a value in each row."""
SCORED = ("A", "B-sg-only")
"""Tiers that count: cell and space group known, and space group alone."""


def scored_rows(path: Path) -> list[BenchmarkRow]:
    """The rows of an index whose tier counts.

    Raises
    ------
    InputError : see :func:`.benchmark_index.read_index`; or a pattern is not there, or no row counts.
    """
    index = benchmark_index.read_index(path, COLUMNS, filled=True)
    for row in index.rows:
        if not row.measurement.path.is_file():
            raise InputError(
                f"there is no pattern {row.measurement.path}",
                fix="give its path relative to the folder of the index",
                where=path,
                line=row.line,
            )
    scored = [row for row in index.rows if row.tier in SCORED]
    if not scored:
        raise InputError(
            "no row of this index is of a tier that is scored",
            fix=f"give a row the tier {' or '.join(SCORED)}, or leave its tier empty",
            where=path,
        )
    return scored


def true_cell(row: BenchmarkRow) -> np.ndarray:
    """The Niggli cell in Å and degrees, shape (6,); NaN where the tier says that the cell is not known."""
    return np.array(row.niggli if row.niggli and row.tier.startswith("A") else (np.nan,) * 6)
