"""Tables in which some columns are text, such as the date and time of each point at a beamline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from alphadiffract_plugin.errors import InputError

_SEPARATORS = (r"\s*,\s*", r"\s*;\s*", r"\s*\t\s*", r"\s+")
_COLUMNS_MIN = 3
"""Two numbers a point, and at least one column of text."""


class MixedTable(NamedTuple):
    """The columns of numbers of a table that has columns of text too."""

    rows: list[tuple[int, list[float]]]
    """The number of each line, counted from 1, and its numbers."""
    names: list[str]
    """The names of these columns."""


def mixed_table(
    lines: Sequence[str], names_of: Callable[[str, int], list[str]], wanted: Sequence[str], path: Path
) -> MixedTable | None:
    """The columns of numbers of a table with text in others; None if the lines are no such table.

    Parameters
    ----------
    lines : of the file.
    names_of : the names of a number of columns in the line of a heading; empty if it does not name them.
    wanted : a pattern for the name of each column that must be there and be numbers.
    path : the file, for messages.

    Raises
    ------
    InputError : columns are text, and no heading names the others, or a wanted one is text; names them.
    """
    for separator in _SEPARATORS:
        split = [re.split(separator, line.strip().replace('"', "")) if line.strip() else [] for line in lines]
        width = Counter(len(words) for words in split if words).most_common(1)
        if not width or width[0][0] < _COLUMNS_MIN:
            continue
        columns = width[0][0]
        headings = (i for i, line in enumerate(lines) if _names_all(names_of(line, columns), wanted))
        rows_of_two = (i for i, words in enumerate(split) if len(words) == columns and _number_count(words) > 1)
        start = next((i + 1 for i in headings), next(rows_of_two, len(split)))
        if start + 1 >= len(split):
            continue
        rows = [(i + 1, words) for i, words in enumerate(split) if i >= start and words]
        if any(len(words) != columns for _, words in rows):
            continue
        numeric = [j for j in range(columns) if all(_is_number(words[j]) for _, words in rows)]
        names = names_of(lines[start - 1], columns) if start else []
        _refuse_text(rows, numeric, names, wanted, path)
        table = [(number, [float(words[j]) for j in numeric]) for number, words in rows]
        return MixedTable(table, [names[j] for j in numeric])
    return None


def _refuse_text(
    rows: list[tuple[int, list[str]]], numeric: list[int], names: list[str], wanted: Sequence[str], path: Path
) -> None:
    """Refuse a table whose wanted columns are not named, or are text."""
    number, first = rows[0]
    for pattern in wanted:
        found = next((j for j, name in enumerate(names) if re.match(pattern, name, re.I)), None)
        if found is None:
            text = [j for j in range(len(first)) if j not in numeric]
            shown = ", ".join(f"column {j + 1} ({first[j]!r})" for j in text)
            raise InputError(
                f"some columns are text, and no heading names two_theta and intensity: {shown}",
                fix="keep the columns two_theta, intensity and esd, or name them so in the line above the numbers",
                where=path,
                line=number,
            )
        if found not in numeric:
            bad = next((line, words[found]) for line, words in rows if not _is_number(words[found]))
            raise InputError(
                f"the column {names[found]!r} is text here: {bad[1]!r}",
                fix="give the number, or delete the line",
                where=path,
                line=bad[0],
            )


def _names_all(names: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(any(re.match(pattern, name, re.I) for name in names) for pattern in wanted)


def _number_count(words: Sequence[str]) -> int:
    return sum(_is_number(word) for word in words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
