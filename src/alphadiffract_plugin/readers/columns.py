"""Plain text: columns of two_theta, intensity and esd (xy, xye, csv, dat, txt, chi), or start-step-stop blocks.

Columns are separated by blanks, tabs, commas or semicolons. Decimal commas are read where the file has no decimal
points. Comments begin with ``#``, ``!``, ``'``, ``;``, ``%`` or ``//``, or lie between ``/*`` and ``*/``. Lines of text
may come before the numbers, never between them. A third column is the esd, unless a heading names the columns
otherwise. Columns of text, such as dates, are left out where a heading names two_theta and intensity. A table whose
two_theta goes back holds several ranges, which are merged where they continue each other. Blocks are those of FullProf
(INSTRM 0), DBWS and PSI: a line ``start step stop``, then the intensities row after row, then perhaps as many esds.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.readers.heading import radiation_in_heading, wavelengths_in_heading
from alphadiffract_plugin.readers.mixed import mixed_table
from alphadiffract_plugin.readers.ranges import merged, ranges_of_table
from alphadiffract_plugin.readers.reading import NotReadError, Reading

_COMMENT = ("#", "!", "'", ";", "%", "//")
_NAMES = {
    "two_theta": r"(2|two)[\s_*-]*th|2θ|t?tth|ttheta|angle|pos\b|x$",
    "intensity": r"i$|int|counts?\b|cts|cps|y$|y_?obs|i_?obs|obs|psd",
    "esd": r"e$|esd|sig|err|std|s\.?u\.?$|unc|dy|di$",
}
_AXES = {
    "time of flight": r"time[\s-]*of[\s-]*flight|tof\b|µs\b|micro-?sec",
    "Q": r"q\b|q_(nm|a)",
    "d": r"d\b|d[\s_-]*spac",
}
_LABEL = re.compile(r"^[\s#!'%/;]*(?:the\s+)?(?:x[\s-]*(?:axis|unit)[^:=]*[:=]\s*)?", re.I)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_BLOCK = re.compile(rf"\s*({_NUMBER})[\s,]+({_NUMBER})[\s,]+({_NUMBER})(?=[\s,]|$)")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+[\s;]+[-+]?\d")

Row = tuple[int, list[float]]
"""The number of a line, counted from 1, and the numbers in it; the list is empty for a line of text."""


def reading_from_text(text: str, path: Path) -> Reading:
    """The pattern in such a text.

    Raises
    ------
    InputError : there is no table of numbers, or text or a missing number inside it; names the line.
    RadiationError : the heading says that the axis is a time of flight.
    """
    lines = text.splitlines()
    rows, comments = _rows(lines)
    block = _from_block(lines, rows, path)
    if block is not None:
        return block
    mixed = None
    if sum(len(values) > 1 for _, values in rows) < 0.1 * len(rows):
        mixed = mixed_table(lines, column_names, (_NAMES["two_theta"], _NAMES["intensity"]), path)
        rows = mixed.rows if mixed else rows
    start = _first_row(rows, path)
    width = len(rows[start][1])
    _refuse_ragged(rows[start:], width, lines, path)
    heading = [lines[n - 1] for n in sorted(comments + [n for n, _ in rows[:start]]) if n < rows[start][0]]
    _refuse_other_axis(heading, path)
    table = np.array([values for _, values in rows[start:]])
    if mixed:
        heading = [line for line in lines[: rows[0][0] - 1] if line.strip()]
    names = mixed.names if mixed else column_names(heading[-1], width) if heading else []
    two_theta, intensity, esd, remark = _chosen_columns(table, names, path)
    wavelengths, ratio = wavelengths_in_heading(heading)
    numbers: Ints | None = np.array([n for n, _ in rows[start:]])
    ranges = ranges_of_table(two_theta, intensity, esd)
    if ranges:
        pattern = merged(ranges, "text", path)
        two_theta, intensity, esd, numbers = pattern.two_theta, pattern.intensity, pattern.esd, None
        remark += f", {len(ranges)} ranges merged"
    return Reading(
        two_theta=two_theta,
        intensity=intensity,
        esd=esd,
        lines=numbers,
        reader="text columns" + remark,
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        radiation=radiation_in_heading(heading),
        where=path,
    )


def _rows(lines: list[str]) -> tuple[list[Row], list[int]]:
    """Every line that is neither blank nor comment, as numbers; and the numbers of the comment lines."""
    sample = [line for line in lines[:400] if line[:1] not in _COMMENT]
    commas = sum(bool(_DECIMAL_COMMA.match(line)) and "." not in line for line in sample) > len(sample) / 2
    separators = re.compile(r"[\s;]+" if commas else r"[\s,;]+")
    rows: list[Row] = []
    comments: list[int] = []
    inside = False
    for number, line in enumerate(lines, start=1):
        line = line.strip().replace('"', "")
        if inside or line.startswith(_COMMENT) or line.startswith("/*"):
            comments.append(number)
            inside = (inside or line.startswith("/*")) and "*/" not in line
            continue
        line = line.split("#")[0].strip(" ,;\t")
        if line:
            tokens = separators.split(line.replace(",", ".") if commas else line)
            try:
                rows.append((number, [float(token) for token in tokens]))
            except ValueError:
                rows.append((number, []))
    return rows, comments


def _first_row(rows: list[Row], path: Path) -> int:
    """Index of the first row of the table: two numbers or more, and as many in the next row."""
    widths = [len(values) for _, values in rows]
    for index, width in enumerate(widths):
        if width >= 2 and (index + 1 == len(widths) or widths[index + 1] == width):
            return index
    if not any(widths):
        raise NotReadError(
            "no row of numbers was found in this text",
            fix="give rows of two_theta, intensity and perhaps esd, and nothing else",
            where=path,
        )
    if widths.count(1) > len(widths) / 2:
        raise InputError(
            "this file has one column",
            fix="give two_theta in the first column and intensity in the second",
            where=path,
            line=rows[widths.index(1)][0],
        )
    raise NotReadError(
        "no table of numbers was found in this text",
        fix="give one row per point: two_theta, intensity and perhaps esd",
        where=path,
    )


def _refuse_ragged(rows: list[Row], width: int, lines: list[str], path: Path) -> None:
    for number, values in rows:
        if not values:
            shown = lines[number - 1].strip()[:40]
            raise InputError(
                f"this line among the numbers is text: {shown!r}",
                fix="delete the line or start it with #",
                where=path,
                line=number,
            )
        if len(values) != width:
            raise InputError(
                f"this row has {len(values)} numbers, the rows above have {width}",
                fix="give every row the same columns; check whether the file is cut off",
                where=path,
                line=number,
            )


def _refuse_other_axis(heading: list[str], path: Path) -> None:
    """Refuse a table if the last line of its heading, or the label of its axis, names another axis than two_theta."""
    labels = heading[-1:] + [line for line in heading if re.search(r"x[\s-]*axis", line, re.I)]
    labels += [line for line in heading[1:2] if not line.startswith(_COMMENT)]
    for label in labels:
        for axis, words in _AXES.items():
            if re.match(words, _LABEL.sub("", label), re.I):
                kind = RadiationError if axis == "time of flight" else InputError
                raise kind(
                    f"the first column is {axis}, not two_theta: {label.strip()[:60]!r}",
                    fix="give a pattern of one wavelength over two_theta in degrees",
                    where=path,
                )


def _chosen_columns(table: Floats, names: list[str], path: Path) -> tuple[Floats, Floats, Floats | None, str]:
    """two_theta, intensity, esd or None, and a remark that is added to the name of the reader."""
    width = table.shape[1]
    found = {
        role: next((i for i, name in enumerate(names) if re.match(words, name, re.I)), None)
        for role, words in _NAMES.items()
    }
    if found["two_theta"] is not None and found["intensity"] is not None:
        esd = found["esd"]
        return (
            table[:, found["two_theta"]],
            table[:, found["intensity"]],
            table[:, esd] if esd is not None else None,
            ", chosen by their headings",
        )
    if width > 3:
        raise InputError(
            f"there are {width} columns and no heading that names them",
            fix="keep three columns: two_theta, intensity and esd",
            where=path,
        )
    two_theta, intensity = table[:, 0], table[:, 1]
    if width == 2:
        return two_theta, intensity, None, ""
    strong = intensity >= np.nanpercentile(intensity, 99)  # at strong points an esd is far below the intensity
    if np.nanmedian(table[strong, 2]) > 0.5 * np.nanmedian(intensity[strong]):
        return two_theta, intensity, None, ", the third left out: too large for an esd"
    return two_theta, intensity, table[:, 2], ""


def column_names(line: str, width: int) -> list[str]:
    """The names of so many columns in a line of a heading; empty if it has more or fewer words."""
    line = line.strip().lstrip("#!'%/; ").replace('"', "")
    for separators in (r"[\t,;]+", r"\s{2,}", r"\s+"):
        names = [name.strip() for name in re.split(separators, line) if name.strip()]
        if len(names) == width:
            return names
    return []


def _from_block(lines: list[str], rows: list[Row], path: Path) -> Reading | None:
    """The pattern of a start-step-stop block; None if there is none with the right number of values."""
    for index, line in enumerate(lines[:8]):
        match = _BLOCK.match(line)
        if not match:
            continue
        start, step, stop = (float(value) for value in match.groups())
        if not (1e-4 <= step <= 2 and 0 < stop - start < 360):
            continue
        points = round((stop - start) / step) + 1
        body: list[tuple[int, float]] = []
        widths = set()
        for number, values in rows:
            if number > index + 1:
                if not values:
                    break
                widths.add(len(values))
                body += [(number, value) for value in values]
        if points < 10 or len(body) not in (points, 2 * points) or (len(body) == 2 * points and widths == {2}):
            continue
        block = np.array([value for _, value in body])
        wavelengths, ratio = wavelengths_in_heading(lines[: index + 1])
        return Reading(
            two_theta=start + step * np.arange(points, dtype=np.float64),
            intensity=block[:points],
            esd=block[points:] if len(block) > points else None,
            lines=np.array([number for number, _ in body[:points]]),
            reader="start-step-stop block",
            wavelengths=wavelengths,
            kalpha2_ratio=ratio,
            radiation=radiation_in_heading(lines[: index + 1]),
            where=path,
        )
    return None
