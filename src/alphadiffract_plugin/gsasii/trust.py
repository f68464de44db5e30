"""Refuse a .gpx or .instprm that would run code when GSAS-II opens it or refines.

GSAS-II loads a project by ``pickle``, which calls whatever the file names, and runs the ``CorrectionCode`` of an
instrument-parameter file. Here a project is read with stand-ins in place of everything that it names: nothing of it
runs, and no object of numpy or GSAS-II is made. What a project may name was determined from the projects of GSAS-II's
tutorials and from new ones of GSAS-II 5.7.9.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import InputError, UntrustedFileError
from alphadiffract_plugin.gsasii import inert_pickle
from alphadiffract_plugin.readers.instprm import check_no_code, lines_as_gsasii
from alphadiffract_plugin.readers.reading import opened_for_reading

_HARMONIC = re.compile(r"[-+]?[Cc]\(?[-\d, ]+\)?[cs]?")
"""Name of a spherical harmonic, such as C(4,0,1): GSAS-II evaluates it."""

_FORMULA = re.compile(
    r"((\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?(?![\w.])"
    r"|(np\.)?(((arc)?(sin|cos|tan)d?|sqrt|exp|log|abs)\(|pi\b)"
    r"|[-+*/() ])*",
    re.ASCII,
)
"""Arithmetic with numbers. Names of parameters are not allowed: GSAS-II replaces them by the texts of their values."""

_OPERATION = re.compile(r"[^+]*(\+[-\d,.\s]*)*")
"""A symmetry operation and the cell it leads to, such as -2+0,0,1: GSAS-II evaluates what follows the plus."""

_LIKE_OPERATION = re.compile(r"\s*-?[\d_]+\s*\+")
"""The beginning of a text in a phase that GSAS-II may take for such an operation."""

_ALGORITHM = re.compile(r"[\w /-]*")
"""Name of the algorithm of a structure search by annealing."""

_COORDINATE = re.compile(r"[^@]*|[-+*/.@\d() ]*")
"""An atom's coordinate in a PDFfit model, such as 0.5-@12: GSAS-II evaluates it if it has a parameter in it."""

_DEFORMATION = re.compile(r"(?!.*D\().*|D\([-\d, ]+\)[cs]?", re.S)
"""A term of a deformed electron density, such as D(2,0), or a text that GSAS-II does not evaluate."""

_DO_NOT = (
    "do not open it; if you know who made it and why, "
    "alphadiffract_plugin.gsasii.open_project(path, allow_code=True) opens it without this check"
)


def check_file(path: str | Path) -> None:
    """Refuse a .gpx or .instprm that would run code; see :func:`check_gpx` and :func:`check_instprm`.

    Raises
    ------
    UntrustedFileError : it would run code.
    InputError : it is neither of them, damaged, or cannot be read.
    """
    checks = {".gpx": check_gpx, ".instprm": check_instprm}
    if Path(path).suffix.lower() not in checks:
        raise InputError("this file is neither .gpx nor .instprm", fix="give a file that GSAS-II saved", where=path)
    checks[Path(path).suffix.lower()](path)


def check_gpx(path: str | Path) -> None:
    """Refuse a GSAS-II project that would run code when it is opened; nothing in it is run.

    The texts that GSAS-II evaluates later are checked too: multipliers of constraints, names of spherical harmonics,
    symmetry operations and the others of :data:`_EVALUATED`. Further formulas of a project, such as those of
    pseudo-variables, are kept in objects that are refused.

    Raises
    ------
    UntrustedFileError : it names anything outside ``inert_pickle.ALLOWED``, uses other features of pickle that run
        code, or holds a formula that is not plain arithmetic.
    InputError : it is not a GSAS-II project, is truncated, or cannot be read.
    """
    path = Path(path)
    content = _content(path)
    if not content:
        raise InputError("this file is empty", fix="copy the project again", where=path)
    try:
        for begin, part in inert_pickle.parts(content):
            _check_part(part, begin, path)
    except inert_pickle.RefusedError as refused:
        raise _untrusted(refused.what, refused.position, path) from None
    except inert_pickle.DamagedError as damaged:
        raise _no_project(damaged.position, path) from damaged


def check_instprm(path: str | Path) -> None:
    """Refuse instrument parameters that hold ``CorrectionCode``, which GSAS-II would run.

    Raises
    ------
    UntrustedFileError : they hold it.
    InputError : this is not an instrument-parameter file of GSAS-II, or cannot be read.
    """
    path = Path(path)
    lines = lines_as_gsasii(_content(path).decode("utf-8", errors="replace"))
    if "GSAS-II" not in lines[0]:
        raise InputError(
            "this is not a GSAS-II instrument-parameter file: its first line does not say GSAS-II",
            fix="save it again in GSAS-II: Instrument Parameters, Operations, Save profile",
            where=path,
        )
    check_no_code(lines, path)


def _content(path: Path) -> bytes:
    with opened_for_reading(path):
        return path.read_bytes()


def _check_part(part: Any, begin: int, path: Path) -> None:
    """Refuse a part that is not a list of [name, data], as projects consist of, or that holds a forbidden formula."""
    if not (isinstance(part, list) and part and all(isinstance(one, (list, tuple)) and len(one) == 2 for one in part)):
        raise _no_project(begin, path)
    if not all(isinstance(name, str) for name, _ in part):
        raise _no_project(begin, path)
    for fault in _formulas(part):
        raise _untrusted(f"{fault}, which GSAS-II would evaluate", begin, path)


def _formulas(part: list[Any]) -> Iterator[str]:
    """The contents of a part that GSAS-II evaluates although they are not allowed, in words."""
    kind, held = part[0][0], [data for _, data in part]  # all of them: a later one may replace the first one's data
    if kind == "Constraints":
        multipliers = (one for data in held for one in _multipliers(data))
        yield from (f"multiplies by {_shown(one)}" for one in multipliers if not _is_formula(one))
    if kind == "Restraints":  # without the names of the phases, which may be any text
        held = [one for data in held for one in (data.values() if isinstance(data, dict) else [data])]
    for item in inert_pickle.inside(held):
        if isinstance(item, type):
            yield f"holds the class {item.__name__}"
        for text, allowed in _evaluated_texts(kind, item):
            if not _is(allowed, text):
                yield f"holds {_shown(text)}"


def _evaluated_texts(kind: str, item: Any) -> Iterator[tuple[Any, re.Pattern[str]]]:
    """Each text that GSAS-II evaluates of an item in a part of a kind, with the pattern that it must match."""
    if isinstance(item, dict):
        for key in _EVALUATED.keys() & item.keys():
            texts_of, allowed = _EVALUATED[key]
            yield from ((text, allowed) for text in texts_of(item[key]))
    elif isinstance(item, str) and (kind == "Restraints" or (kind == "Phases" and _LIKE_OPERATION.match(item))):
        yield item, _OPERATION


def _shown(item: Any) -> str:
    return repr(item[:60]) if isinstance(item, str) else f"a {type(item).__name__}"


def _is(pattern: re.Pattern[str], item: Any) -> bool:
    return isinstance(item, str) and pattern.fullmatch(item) is not None


def _is_formula(item: Any) -> bool:
    return inert_pickle.is_number(item) or _is(_FORMULA, item)


def _texts(item: Any) -> Iterator[str]:
    """Every text inside, however deep."""
    return (one for one in inert_pickle.inside(item) if isinstance(one, str))


def _harmonics(listed: Any) -> Iterator[Any]:
    """The names of spherical harmonics and the directions beside them, and everything that should not be there."""
    if not isinstance(listed, (list, tuple)):
        yield listed
        return
    for one in listed:
        if isinstance(one, dict):
            yield from one
        elif isinstance(one, (list, tuple)):
            texts = (text for text in one if not inert_pickle.is_number(text))
            yield from (f"C({text})" if isinstance(text, str) else text for text in texts if text != "")
        elif not (isinstance(one, str) or inert_pickle.is_number(one)):
            yield one


def _multipliers(constraints: Any) -> Iterator[Any]:
    """The multipliers of {kind: [[[multiplier, variable], ..., value, varied, kind]]}, and what is of another form."""
    if not isinstance(constraints, dict):
        yield constraints
        return
    for name, constraint_list in constraints.items():
        if (
            isinstance(constraint_list, dict) and name == "_Explain"
        ):  # notes of a person, which GSAS-II does not evaluate
            continue
        for constraint in _listed(constraint_list):
            for term in _listed(constraint):
                if isinstance(term, (list, tuple)):
                    yield term[0] if term else None
                elif not (isinstance(term, str) or inert_pickle.is_number(term)):
                    yield term


_EVALUATED: dict[str, tuple[Callable[[Any], Iterable[Any]], re.Pattern[str]]] = {
    "Pref.Ori.": (_harmonics, _HARMONIC),
    "SH Coeff": (_harmonics, _HARMONIC),
    "SHC": (_harmonics, _HARMONIC),
    "Algorithm": (_texts, _ALGORITHM),
    "AtomConstr": (_texts, _COORDINATE),
    "Deformations": (_texts, _DEFORMATION),
}
"""Keys of a project whose texts GSAS-II evaluates: how to find the texts in the value, and what they may be."""


def _listed(item: Any) -> Sequence[Any]:
    """The items of a list; anything else as the only item."""
    return item if isinstance(item, (list, tuple)) else (item,)


def _untrusted(what: str, position: int, path: Path) -> UntrustedFileError:
    return UntrustedFileError(
        f"this project {what} (at byte {position}): opening it could run code", fix=_DO_NOT, where=path
    )


def _no_project(begin: int, path: Path) -> InputError:
    if begin == 0:
        return InputError("this is not a GSAS-II project", fix="give a .gpx file that GSAS-II saved", where=path)
    return InputError(
        f"this project is damaged after byte {begin}",
        fix="copy it again, or take the newest backup beside it (NAME.bak0.gpx)",
        where=path,
    )
