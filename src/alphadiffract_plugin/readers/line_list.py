"""Lists of diffraction lines: text columns, numbers pasted from elsewhere, or the JSON of an answer.

The positions are two_theta in degrees, d in Å, or 1/d² in 1/Å², beside them perhaps intensities and standard
uncertainties of the positions. A heading says what the columns are; without one, the order of the positions does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.readers.columns import column_names
from alphadiffract_plugin.readers.heading import wavelengths_in_heading
from alphadiffract_plugin.readers.reading import opened_for_reading

KINDS = {"two_theta": "degrees", "d": "Å", "inv_d2": "1/Å²"}
"""What the positions of a list may be, and their units."""
_NAMES = {
    "esd": r".*esd|.*sig(ma)?\b|.*err(or)?\b|.*unc|s\.?u\.?$|u\(",
    "inv_d2": r"inv[\s_-]*d|1\s*/\s*d|d\*\^?2|d\^?-2|q\s*=\s*1\s*/\s*d|q\s*\(\s*1\s*/\s*d",
    "d": r"d\b|d[\s_]*[(\[]|d[\s_-]*(obs|spac|value|exp)",
    "two_theta": r"(2|two)[\s_*-]*th|2θ|t?tth|angle\b|pos(\b|ition)",
    "intensity": r"i\b|i[\s_]*[/(%]|i_?(rel|obs|net)|int|rel|height|area|counts?\b|cts",
    "fwhm": r"fwhm|width",
    "significance": r"signif",
}
"""What the name of a column begins with, tried in this order."""
_VALUE = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\((\d+)\))?")
_LARGEST_D = 50.0
"""Positions without a heading that descend from at most this are d in Å; those that begin higher may be angles."""
_LEAST_ANGLE = 5.0
"""Positions without a heading that ascend to more than this are two_theta in degrees; others may be 1/d²."""
_SMALL_ESD = 0.005
"""A second column without a heading is an uncertainty if all of it is below this share of the positions."""


@dataclass(frozen=True)
class LineList:
    """Lines as a file or a person gives them."""

    positions: Floats
    """Positions in the unit of ``kind``, shape (P,), in any order."""
    kind: str
    """One of ``KINDS``."""
    intensity: Floats | None = None
    """Heights or areas, shape (P,); None where there are none."""
    esd: Floats | None = None
    """Standard uncertainties of the positions, shape (P,); None where there are none."""
    step: float = 0.0
    """The last decimal place of the positions, such as 0.01; 0 where it is not known."""
    fwhm: Floats | None = None
    """Full widths at half maximum in degrees, shape (P,)."""
    significance: Floats | None = None
    """Area of each line over its standard uncertainty, shape (P,)."""
    wavelength: float | None = None
    """Wavelength in Å; None where the list does not say."""
    where: Path | str | None = None
    """The file."""

    def part(self, keep: Bools | Ints) -> LineList:
        """The lines of a mask, shape (P,), or of indices, in their order."""
        arrays = ("positions", "intensity", "esd", "fwhm", "significance")
        parts: dict[str, Any] = {name: value[keep] for name in arrays if (value := getattr(self, name)) is not None}
        return replace(self, **parts)


def line_list_from_file(path: Path, kind: str | None = None) -> LineList:
    """The lines in a file.

    Parameters
    ----------
    path : text, or the JSON of an answer, of its ``peaks``, or of a list of numbers.
    kind : what the positions are, where the file does not say.

    Raises
    ------
    InputError : no list of lines is in the file, or it does not say what the positions are; names file and line.
    """
    with opened_for_reading(path):
        data = path.read_bytes()
    if b"\x00" in data:
        raise InputError(
            "this is a binary file, not a list of lines",
            fix="give text: one line a row, its position, and perhaps its intensity and the esd of the position",
            where=path,
        )
    text = data.decode("utf-8-sig", errors="replace")
    document = _document(text)
    if document is not None:
        return _from_document(document, path, kind)
    return _from_text(text, path, kind)


def _document(text: str) -> Any:
    """The JSON in the text; also of a key with its list, as it stands in a longer document. None if there is none."""
    body = text.strip().rstrip(",")
    for candidate in (body, "{" + body + "}"):
        try:
            found = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(found, (dict, list)):
            return found
    return None


def _from_document(document: Any, path: Path, kind: str | None) -> LineList:
    if isinstance(document, dict) and isinstance(document.get("peaks"), dict):
        document = document["peaks"]
    if isinstance(document, list):
        table = np.array(document, dtype=object)
        try:
            values = table.astype(float)
        except (TypeError, ValueError) as error:
            raise _no_list(path) from error
        columns = [values] if values.ndim == 1 else list(values.T) if values.ndim == 2 else []
        if not columns or not len(columns[0]):
            raise _no_list(path)
        return _from_columns(columns, [], path, kind, 0.0, None)
    names = [name for name in KINDS if name in document]
    if len(names) != 1:
        raise _no_list(path)
    roles = {"intensity": "area", "esd": f"{names[0]}_esd", "fwhm": "fwhm", "significance": "significance"}
    found = {role: document.get(role, document.get(key)) for role, key in roles.items()}
    try:
        arrays: dict[str, Any] = {
            key: np.asarray(value, dtype=float) for key, value in found.items() if value is not None
        }
        positions = np.asarray(document[names[0]], dtype=float)
        wavelength = None if document.get("wavelength") is None else float(document["wavelength"])
    except (TypeError, ValueError) as error:
        raise _no_list(path) from error
    for key, value in arrays.items():
        if value.shape != positions.shape or positions.ndim != 1:
            raise InputError(
                f"{names[0]} has {positions.size} values, {roles[key]} has {value.size}",
                fix=f"delete the same entries in both, or leave {roles[key]} out; --exclude also drops lines",
                where=path,
            )
    return LineList(positions, names[0], wavelength=wavelength, where=path, **arrays)


def _from_text(text: str, path: Path, kind: str | None) -> LineList:
    heading: list[str] = []
    rows: list[tuple[int, list[re.Match[str]]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [word for word in re.split(r"[\s,;]+", line.split("#")[0].strip(" \t,;[]")) if word]
        matches = [match for word in words if (match := _VALUE.fullmatch(word))]
        if words and len(matches) == len(words):
            rows.append((number, matches))
        elif line.strip(" \t,;[]"):
            if rows and words:
                raise InputError(
                    f"this line among the numbers is text: {line.strip()[:40]!r}",
                    fix="delete the line or start it with #",
                    where=path,
                    line=number,
                )
            heading.append(line)
    if not rows:
        raise _no_list(path)
    width = len(rows[0][1])
    ragged = next(((number, len(words)) for number, words in rows if len(words) != width), None)
    if ragged:
        raise InputError(
            f"this row has {ragged[1]} numbers, the rows above have {width}",
            fix="give every row the same columns, one line a row",
            where=path,
            line=ragged[0],
        )
    columns = [np.array([float(words[j][1]) for _, words in rows]) for j in range(width)]
    names = column_names(heading[-1], width) if heading else []
    if heading and heading[-1].lstrip().startswith("#") and not any(_role(name) in KINDS for name in names):
        names = []
    wavelengths, _ = wavelengths_in_heading([line for line in heading if re.search("wave|lambda|λ", line, re.I)])
    first = [words[0] for _, words in rows]
    found = _from_columns(columns, names, path, kind, _last_place(match[1] for match in first), _bracketed(first))
    return replace(found, wavelength=wavelengths[0] if wavelengths else None)


def _from_columns(
    columns: list[Floats], names: list[str], path: Path, kind: str | None, step: float, esd: Floats | None
) -> LineList:
    """The list with the roles that the names of its columns give, or the usual ones without names."""
    roles = _roles(names, path) if names else _usual_roles(columns, path)
    named = [role for role in KINDS if role in roles]
    positions = columns[roles[named[0]] if named else roles["position"]]
    if kind is not None and named and kind != named[0]:
        raise InputError(
            f"the heading says {named[0]}, and {kind} was given",
            fix="leave the unit out, or correct the heading",
            where=path,
        )
    chosen: dict[str, Any] = {
        role: columns[roles[role]] for role in ("intensity", "esd", "fwhm", "significance") if role in roles
    }
    chosen.setdefault("esd", esd)  # in brackets behind the positions
    if roles.get(named[0] if named else "position") != 0:
        step = 0.0
    return LineList(
        positions, kind or (named[0] if named else _guessed(positions, path)), step=step, where=path, **chosen
    )


def _roles(names: list[str], path: Path) -> dict[str, int]:
    """The column of each role that a heading names."""
    roles: dict[str, int] = {}
    for column, name in enumerate(names):
        role = _role(name)
        if role is not None:
            roles.setdefault(role, column)
    if not any(kind in roles for kind in KINDS):
        raise InputError(
            f"none of the columns {', '.join(names)} is a position",
            fix="name the column of the positions two_theta, d or inv_d2 (1/d²)",
            where=path,
        )
    return roles


def _role(name: str) -> str | None:
    return next((role for role, words in _NAMES.items() if re.match(words, name.strip(), re.I)), None)


def _usual_roles(columns: list[Floats], path: Path) -> dict[str, int]:
    """Position, intensity and esd, or position and a second column that is one of these."""
    if len(columns) > 3:
        raise InputError(
            f"there are {len(columns)} columns and no heading that names them",
            fix="name them in the line above: two_theta, d or inv_d2, intensity, esd",
            where=path,
        )
    if len(columns) == 2 and np.all((columns[1] > 0) & (columns[1] < _SMALL_ESD * np.abs(columns[0]))):
        return {"position": 0, "esd": 1}
    return dict(zip(("position", "intensity", "esd"), range(len(columns)), strict=False))


def _guessed(positions: Floats, path: Path) -> str:
    """What positions without a heading are: descending ones d, ascending ones two_theta if they are large."""
    steps = np.diff(positions)
    if len(steps) and np.all(steps <= 0) and positions[0] <= _LARGEST_D:
        return "d"
    if np.all(steps >= 0) and np.max(positions, initial=0.0) > _LEAST_ANGLE:
        return "two_theta"
    raise InputError(
        "this list does not say whether its positions are two_theta, d or 1/d²",
        fix="write two_theta, d or inv_d2 in the line above the numbers, or give --peaks-in",
        where=path,
    )


def _last_place(numbers: Any) -> float:
    """The last decimal place that any of these numbers has, such as 0.01 for ``5.20``."""
    return float(10.0 ** -max(len(number.partition(".")[2]) if "e" not in number.lower() else 6 for number in numbers))


def _bracketed(matches: list[re.Match[str]]) -> Floats | None:
    """Uncertainties in brackets, ``8.123(4)``; None unless every position has one."""
    if not all(match[2] for match in matches):
        return None
    return np.array([float(match[2]) * _last_place([match[1]]) for match in matches])


def _no_list(path: Path) -> InputError:
    return InputError(
        "no list of lines was found in this file",
        fix="give one line a row: its position, and perhaps its intensity and the esd of the position; or the JSON of "
        "an answer",
        where=path,
    )
