"""Tables of results on the terminal, with uncertainties in parentheses."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from alphadiffract_plugin.crystal.symmetry import symbol_from_space_group
from alphadiffract_plugin.records import Candidate, IndexingResult
from alphadiffract_plugin.uncertainty import LEAST_ESD, value_with_esd

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


SHOWN = 10
"""Number of candidates in the table."""
_ANGLES_SHOWN = 5
"""Number of unexplained lines whose angles stand below the table."""
WIDE = 132
"""Width of the terminal in characters from which each of the six cell parameters has a column of its own."""


def cell_parameters(candidate: Candidate) -> list[str]:
    """The six cell parameters with uncertainties; one that symmetry makes equal to another is written like that one."""
    known: dict[float, float] = {}
    for value, esd in zip(candidate.cell, candidate.cell_esd, strict=True):
        if esd > LEAST_ESD:
            known.setdefault(round(value, 6), esd)
    return [
        value_with_esd(value, esd if esd > LEAST_ESD or i > 2 else known.get(round(value, 6), esd))
        for i, (value, esd) in enumerate(zip(candidate.cell, candidate.cell_esd, strict=True))
    ]


def number(value: float, decimals: int) -> str:
    """The value with so many decimals, ``<0.001`` if it would be rounded to zero, a dash if it is not finite."""
    if 0 < value < 0.5 * 10**-decimals:
        return f"<{10**-decimals:.{decimals}f}"
    return f"{value:.{decimals}f}" if math.isfinite(value) else "-"


def result_report(result: IndexingResult, width: int) -> Iterator[RenderableType]:
    """The answer for one pattern: the ranked table, the space groups with the same line positions, the notes.

    Parameters
    ----------
    result : the answer.
    width : of the terminal in characters; where it is narrow the cell stands in one column.
    """
    if result.candidates:
        yield _ranked(result, width, result.candidates[:SHOWN])
        if len(result.candidates) > SHOWN:
            yield f"{len(result.candidates) - SHOWN} more in the JSON output."
        yield from groups_alike(result.candidates[0])
        if result.candidates[0].has_cell and result.peaks is not None:
            yield f"Lines that the first cell does not explain: {unexplained_lines(result.candidates[0])}."
    else:
        yield f"{result.histogram}: no cell explains the lines of this pattern."
    yield from (f"note: {note}" for note in result.notes)


def _wavelengths(result: IndexingResult) -> str:
    """The wavelength, or both of a doublet: ``Kα1 1.54059 + Kα2 1.54443 Å``."""
    if len(result.wavelengths) == 2:
        return "Kα1 {:.6g} + Kα2 {:.6g} Å".format(*result.wavelengths)
    return f"{result.wavelength:.6g} Å"


def unexplained_lines(candidate: Candidate) -> str:
    """How many of the lines found a cell does not explain, and where the first few are: ``2 (at 20.10, 31.44°)``."""
    where = ", ".join(f"{angle:.2f}" for angle in candidate.unindexed[:_ANGLES_SHOWN])
    if len(candidate.unindexed) > _ANGLES_SHOWN:
        where += " ..."
    return f"{len(candidate.unindexed)} (at {where}°)" if where else "none"


def _ranked(result: IndexingResult, width: int, candidates: Sequence[Candidate]) -> Table:
    wide = width >= WIDE
    table = styled_table(f"{result.histogram}  ({result.indexer}, {_wavelengths(result)})")
    table.add_column("rank", justify="right")
    if wide:
        table.add_column("crystal system")
    table.add_column("space group")
    for name in ("a", "b", "c", "alpha", "beta", "gamma") if wide else ("a b c / alpha beta gamma",):
        table.add_column(name, no_wrap=wide)
    for name in ("volume", "M20", "Rwp %", "probability" if wide else "prob."):
        table.add_column(name, justify="right")
    for rank, candidate in enumerate(candidates, 1):
        cell = cell_parameters(candidate)
        table.add_row(
            str(rank),
            *([candidate.crystal_system] if wide else []),
            f"{candidate.space_group_symbol} ({candidate.space_group})",
            *(cell if wide else ["\n".join((" ".join(cell[:3]), " ".join(cell[3:])))]),
            number(candidate.volume, 2 if wide else 1),
            number(candidate.m20, 1),
            number(candidate.rwp, 2),
            number(candidate.probability, 3),
            style="bold" if rank == 1 else "",
        )
    return table


def groups_alike(candidate: Candidate) -> Iterator[str]:
    """A sentence on the other space groups with the same line positions; nothing if there are none."""
    others = [group for group in candidate.same_extinctions if group != candidate.space_group]
    if others:
        named = ", ".join(f"{symbol_from_space_group(group)} ({group})" for group in others)
        yield (
            f"Groups with the same line positions as {candidate.space_group_symbol} ({candidate.space_group}): {named}."
        )


def overview(results: Sequence[tuple[str, IndexingResult]]) -> Table:
    """The first answer of each of several patterns, one row a pattern."""
    table = styled_table(
        "first answer of 1 pattern" if len(results) == 1 else f"first answers of {len(results)} patterns"
    )
    for name in ("pattern", "space group", "a", "b", "c", "alpha", "beta", "gamma"):
        table.add_column(name)
    for name in ("M20", "Rwp %", "unexplained", "probability"):
        table.add_column(name, justify="right")
    for name, result in results:
        if not result.candidates:
            table.add_row(name, "no answer")
            continue
        first = result.candidates[0]
        group = f"{first.space_group_symbol} ({first.space_group})"
        unexplained = str(len(first.unindexed)) if first.has_cell else "-"
        figures = (number(first.m20, 1), number(first.rwp, 2), unexplained, number(first.probability, 3))
        table.add_row(name, group, *cell_parameters(first), *figures)
    return table


def stdout() -> Console:
    """The console on stdout: as wide as the terminal, or wide enough for every table without a terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 140
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_report(parts: Iterable[RenderableType]) -> None:
    """Print the parts of a report on stdout; sentences are not wrapped."""
    from rich.table import Table

    console = stdout()
    for part in parts:
        console.print(part, soft_wrap=not isinstance(part, Table))


def styled_table(title: str) -> Table:
    """An empty table in the style of this program."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
