"""Refuse a .gpx or .instprm that would run something when GSAS-II opens it.

GSAS-II loads a project by ``pickle``, which calls whatever the file names, and runs the ``CorrectionCode`` of an
instrument-parameter file. Here a project is read with stand-ins in place of all that it names: nothing of it runs,
nothing of numpy or GSAS-II is made. What it may name was measured on the projects of GSAS-II's tutorials and on new
ones of GSAS-II 5.7.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alphadiffract_plugin import inert_pickle
from alphadiffract_plugin.errors import InputError, UntrustedFileError

_HARMONIC = re.compile(r"[-+]?[Cc]\(?[-\d, ]+\)?[cs]?")
"""Name of a spherical harmonic, such as C(4,0,1): GSAS-II evaluates it."""

_FORMULA = re.compile(r"(?!.*(__|\)\s*\())[\w\s.,:;+*/()-]*", re.S)
_CALLS = re.compile(r"([\w.]+)\s*\(")
_MATHEMATICS = frozenset({"sin", "cos", "tan", "sind", "cosd", "tand", "sqrt", "exp", "log", "abs"})

_DO_NOT = (
    "do not open it; if you know who made it and why, "
    "alphadiffract_plugin.gsasii.open_project(path, allow_code=True) opens it all the same"
)


def check_file(path: str | Path) -> None:
    """Refuse a .gpx or .instprm that would run something; see :func:`check_gpx` and :func:`check_instprm`.

    Raises
    ------
    UntrustedFileError : it would.
    InputError : it is neither, damaged, or cannot be read.
    """
    checks = {".gpx": check_gpx, ".instprm": check_instprm}
    if Path(path).suffix.lower() not in checks:
        raise InputError("this is neither .gpx nor .instprm", mend="give a file that GSAS-II saved", where=path)
    checks[Path(path).suffix.lower()](path)


def check_gpx(path: str | Path) -> None:
    """Refuse a GSAS-II project that would run something when it is opened; nothing in it is run.

    Looked at besides: what GSAS-II evaluates later of the multipliers of constraints and of the names of spherical
    harmonics. Other formulas of a project (of pseudo-variables, say) are kept in objects that are refused.

    Raises
    ------
    UntrustedFileError : it names anything but ``inert_pickle.ALLOWED``, uses other tricks of pickle, or holds a
        formula that is no arithmetic.
    InputError : it is no GSAS-II project, is truncated, or cannot be read.
    """
    path = Path(path)
    content = _content(path)
    if not content:
        raise InputError("this file is empty", mend="copy the project again", where=path)
    try:
        for begin, part in inert_pickle.parts(content):
            _check_part(part, begin, path)
    except inert_pickle.RefusedError as refused:
        raise _untrusted(refused.what, refused.position, path) from None
    except inert_pickle.DamagedError as damaged:
        raise _no_project(damaged.position, path) from damaged


def check_instprm(path: str | Path, *, allow_code: bool = False) -> None:
    """Refuse instrument parameters that hold ``CorrectionCode``, which GSAS-II would run.

    Raises
    ------
    UntrustedFileError : they do, unless ``allow_code``.
    InputError : this is no instrument-parameter file of GSAS-II, or cannot be read.
    """
    path = Path(path)
    lines = _content(path).decode("utf-8", errors="replace").splitlines()
    if not lines or "GSAS-II" not in lines[0]:
        raise InputError(
            "this is no GSAS-II instrument-parameter file: its first line does not say GSAS-II",
            mend="save it again in GSAS-II: Instrument Parameters, Operations, Save profile",
            where=path,
        )
    if not allow_code:
        check_no_code(lines, path)


def check_no_code(lines: Sequence[str], path: Path) -> None:
    """Refuse these lines of an instrument-parameter file if one of them, no comment, holds ``CorrectionCode``.

    Raises
    ------
    UntrustedFileError : one does; it is named.
    """
    for number, line in enumerate(lines, start=1):
        if not line.startswith("#") and is_code(line):
            raise UntrustedFileError(
                "this file holds CorrectionCode, which GSAS-II would run",
                mend="delete that line, after reading what it does",
                where=path,
                line=number,
            )


def is_code(text: str) -> bool:
    """Whether ``CorrectionCode`` stands in the text, however it is spaced: GSAS-II takes blanks out."""
    return "correctioncode" in re.sub(r"\s", "", text).lower()


def open_project(path: str | Path, *, allow_code: bool = False) -> Any:
    """Open a GSAS-II project that was checked first.

    Parameters
    ----------
    path : the .gpx file.
    allow_code : open it unchecked. It may then do anything that you may do.

    Returns
    -------
    The G2Project.

    Raises
    ------
    UntrustedFileError, InputError : see :func:`check_gpx`.
    GSASIIError : GSAS-II is not there, or cannot open the project.
    """
    from alphadiffract_plugin.errors import GSASIIError
    from alphadiffract_plugin.gsasii import quiet, scriptable

    if not allow_code:
        check_gpx(path)
    with quiet():
        try:
            return scriptable().G2Project(gpxfile=str(path))
        except GSASIIError:
            raise
        except Exception as error:  # whatever it is: the file is no project, or of another GSAS-II
            raise GSASIIError(
                f"GSAS-II cannot open this project: {error}", mend="open and save it in the GUI first", where=path
            ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"this file cannot be read: {error.strerror}", mend="check the path and its permissions", where=path
        ) from error


def _check_part(part: Any, begin: int, path: Path) -> None:
    """Refuse a part that is no item of a project: a list of [name, data], and formulas that are no arithmetic."""
    if not (isinstance(part, list) and part and all(isinstance(one, (list, tuple)) and len(one) == 2 for one in part)):
        raise _no_project(begin, path)
    if not all(isinstance(name, str) for name, _ in part):
        raise _no_project(begin, path)
    for text in _multipliers(part[0][1]) if part[0][0] == "Constraints" else ():
        if not _FORMULA.fullmatch(text) or not set(_CALLS.findall(text)) <= _MATHEMATICS:
            raise _untrusted(f"multiplies by {text[:60]!r}, which GSAS-II would evaluate", begin, path)
    for name in _harmonics(part):
        if not _HARMONIC.fullmatch(name):
            raise _untrusted(f"holds {name[:60]!r}, which GSAS-II would evaluate", begin, path)


def _harmonics(data: Any) -> Iterator[str]:
    """The names of spherical harmonics, and the directions beside them, wherever in a part they stand.

    Each container is entered once, however they are tangled.
    """
    seen: set[int] = set()
    todo = [data]
    while todo:
        item = todo.pop()
        if id(item) in seen or not isinstance(item, (dict, list, tuple)):
            continue
        seen.add(id(item))
        todo += item.values() if isinstance(item, dict) else item
        if isinstance(item, dict):
            for key in ("Pref.Ori.", "SH Coeff", "SHC"):
                for one in item[key] if isinstance(item.get(key), (list, tuple)) else ():
                    if isinstance(one, dict):
                        yield from (str(name) for name in one)
                    elif key == "Pref.Ori." and isinstance(one, list):
                        yield from (f"C({text})" for text in one if isinstance(text, str) and text.strip())


def _multipliers(constraints: Any) -> Iterator[str]:
    """The texts among the multipliers of constraints: [[multiplier, variable], ..., value, varied, kind]."""
    for kind in constraints.values() if isinstance(constraints, dict) else ():
        for constraint in kind if isinstance(kind, list) else ():
            for term in constraint if isinstance(constraint, list) else ():
                if isinstance(term, (list, tuple)) and term and isinstance(term[0], str):
                    yield term[0]


def _untrusted(what: str, position: int, path: Path) -> UntrustedFileError:
    return UntrustedFileError(
        f"this project {what} (at byte {position}): opening it could run code", mend=_DO_NOT, where=path
    )


def _no_project(begin: int, path: Path) -> InputError:
    if begin == 0:
        return InputError("this is no GSAS-II project", mend="give a .gpx file that GSAS-II saved", where=path)
    return InputError(
        f"this project is damaged after byte {begin}",
        mend="copy it again, or take the newest backup beside it (NAME.bak0.gpx)",
        where=path,
    )
