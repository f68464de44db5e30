"""Refuse a .gpx or .instprm that would run something when GSAS-II opens it.

GSAS-II loads a project by ``pickle``, which calls whatever the file names, and runs the ``CorrectionCode`` of an
instrument-parameter file. Here a project is read with stand-ins in place of all that it names: nothing of it runs,
nothing of numpy or GSAS-II is made. What it may name was measured on the projects of GSAS-II's tutorials and on new
ones of GSAS-II 5.7.9.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import InputError, UntrustedFileError

ALLOWED = frozenset(
    {"_codecs encode", "numpy dtype", "numpy ndarray"}
    | {f"numpy.{core}.multiarray {name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
    | {f"numpy.{ma} {name}" for ma in ("ma", "ma.core") for name in ("MaskedArray", "_mareconstruct")}
    | {"GSASIIobj G2VarObj", "GSASII.GSASIIobj G2VarObj"}
    | {"copy_reg _reconstructor", "copyreg _reconstructor", "__builtin__ object", "builtins object"}
)
"""Module and name of all that a project may name: arrays and their scalars, and the variables of constraints."""

_NEVER = frozenset({"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX"})
"""Instructions of pickle that no project of GSAS-II holds, and that reach beyond what it names."""

_DTYPE = re.compile(r"[?biufcSUO]\d*")
"""Elements of arrays: truth, numbers, texts, objects; nothing with fields."""

_STATES = {"_reconstruct": tuple, "_mareconstruct": tuple, "_reconstructor": dict, "G2VarObj": dict}
_VARIABLE = ["G2VarObj", "object", None]
_HARMONIC = re.compile(r"[-+]?[Cc]\(?[-\d, ]+\)?[cs]?")
"""Name of a spherical harmonic, such as C(4,0,1): GSAS-II evaluates it."""

_FORMULA = re.compile(r"(?!.*(__|\)\s*\())[\w\s.,:;+*/()-]*")
_CALLS = re.compile(r"([\w.]+)\s*\(")
_MATHEMATICS = frozenset({"sin", "cos", "tan", "sind", "cosd", "tand", "sqrt", "exp", "log", "abs"})

_DO_NOT = (
    "do not open it; if you know who made it and why, "
    "alphadiffract_plugin.trust.open_project(path, allow_code=True) opens it all the same"
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
    UntrustedFileError : it names anything but :data:`ALLOWED`, uses other tricks of pickle, or holds a formula that
        is no arithmetic.
    InputError : it is no GSAS-II project, is truncated, or cannot be read.
    """
    path = Path(path)
    content = _content(path)
    if not content:
        raise InputError("this file is empty", mend="copy the project again", where=path)
    begin = 0
    while begin < len(content):
        end = _end_of_part(content, begin, path)
        _check_part(_part(content[begin:end], begin, path), begin, path)
        begin = end


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


def _end_of_part(content: bytes, begin: int, path: Path) -> int:
    """Where the pickle that begins here ends: its instructions are read, none is followed."""
    stream = io.BytesIO(content)
    stream.seek(begin)
    try:
        for instruction, argument, position in pickletools.genops(stream):
            name = instruction.name
            if name in _NEVER:
                raise _untrusted(f"reaches outside itself by {name}", position, path)
            if name == "GLOBAL" and argument not in ALLOWED:
                raise _untrusted(f"names {argument.replace(' ', '.')}, which is no data", position, path)
            if name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(content):
                raise _untrusted("asks for a store larger than itself", position, path)
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise _no_project(begin, path) from error
    return stream.tell()


class _StandIn:
    """Stands for what a project would make: checks what it is given, and does nothing."""

    def __new__(cls, *arguments: Any) -> _StandIn:
        """Where pickle makes something; ``arguments`` are those of the original."""
        kind = cls.__name__
        if kind in ("ndarray", "MaskedArray", "object"):
            raise _Refused(f"makes a bare {kind}")
        if kind == "encode" and arguments[1:] not in (("latin1",), ("latin-1",)):
            raise _Refused(f"encodes as {arguments[1:]!r}")
        if kind == "dtype" and not (arguments and isinstance(arguments[0], str) and _DTYPE.fullmatch(arguments[0])):
            raise _Refused(f"holds an array of {arguments[:1]!r}")
        if kind == "_reconstructor" and [getattr(one, "__name__", one) for one in arguments] != _VARIABLE:
            raise _Refused("rebuilds what is no variable")
        made = object.__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *arguments: Any) -> None:
        """Nothing: ``__new__`` has them, and pickle does not always come here."""

    def __setstate__(self, state: Any) -> None:
        """Where pickle fills what it made."""
        kind = type(self).__name__
        if kind == "dtype":
            flags = (63,) if self.arguments[0].startswith("O") else (0, 8)
            usual = isinstance(state, tuple) and len(state) == 8 and state[2:5] == (None,) * 3 and state[7] in flags
        else:
            usual = isinstance(state, _STATES.get(kind, ()))
        if not usual:
            raise _Refused(f"gives {kind} a state that GSAS-II would not")


class _Refused(Exception):
    """What a stand-in will not do, in words that go on after 'this project'."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in ALLOWED:
            raise _Refused(f"names {module}.{name}, which is no data")
        return type(name, (_StandIn,), {})


def _part(content: bytes, begin: int, path: Path) -> Any:
    """One pickle, with stand-ins in place of all that it names."""
    stream = io.BytesIO(content)
    try:
        part = _Reader(stream, encoding="latin-1").load()
    except _Refused as refused:
        raise _untrusted(str(refused), begin, path) from None
    except Exception as error:  # a damaged or forged pickle raises anything
        raise _no_project(begin, path) from error
    if stream.tell() != len(content):
        raise _no_project(begin, path)
    return part


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
