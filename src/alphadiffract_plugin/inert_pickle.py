"""Read a pickle of GSAS-II with stand-ins in place of all that it names: nothing runs, nothing real is made."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Iterator
from typing import Any

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


class RefusedError(Exception):
    """The pickle does what no project of GSAS-II does; in words that go on after 'this project'."""

    def __init__(self, what: str, position: int = 0) -> None:
        self.what, self.position = what, position
        super().__init__(what)


class DamagedError(Exception):
    """No whole pickle stands from here on."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(position)


def parts(content: bytes) -> Iterator[tuple[int, Any]]:
    """Each of the pickles that stand one behind the other: where it begins, and what it holds, with stand-ins.

    Raises
    ------
    RefusedError : one names anything but :data:`ALLOWED`, or uses other tricks of pickle.
    DamagedError : what is there is no pickle, or none that ends.
    """
    begin = 0
    while begin < len(content):
        end = _end(content, begin)
        yield begin, _part(content[begin:end], begin)
        begin = end


def _end(content: bytes, begin: int) -> int:
    """Where the pickle that begins here ends: its instructions are read, none is followed."""
    stream = io.BytesIO(content)
    stream.seek(begin)
    try:
        for instruction, argument, position in pickletools.genops(stream):
            name = instruction.name
            if name in _NEVER:
                raise RefusedError(f"reaches outside itself by {name}", position)
            if name == "GLOBAL" and argument not in ALLOWED:
                raise RefusedError(f"names {argument.replace(' ', '.')}, which is no data", position)
            if name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(content):
                raise RefusedError("asks for a store larger than itself", position)
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise DamagedError(begin) from error
    return stream.tell()


def _part(content: bytes, begin: int) -> Any:
    stream = io.BytesIO(content)
    try:
        part = _Reader(stream, encoding="latin-1").load()
    except RefusedError as refused:
        raise RefusedError(refused.what, begin) from None
    except Exception as error:  # a damaged or forged pickle raises anything
        raise DamagedError(begin) from error
    if stream.tell() != len(content):
        raise DamagedError(begin)
    return part


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in ALLOWED:
            raise RefusedError(f"names {module}.{name}, which is no data")
        return type(name, (_StandIn,), {})


class _StandIn:
    """Stands for what a project would make: checks what it is given, and does nothing."""

    def __new__(cls, *arguments: Any) -> _StandIn:
        """Where pickle makes something; ``arguments`` are those of the original."""
        kind = cls.__name__
        if kind in ("ndarray", "MaskedArray", "object"):
            raise RefusedError(f"makes a bare {kind}")
        if kind == "encode" and arguments[1:] not in (("latin1",), ("latin-1",)):
            raise RefusedError(f"encodes as {arguments[1:]!r}")
        if kind == "dtype" and not (arguments and isinstance(arguments[0], str) and _DTYPE.fullmatch(arguments[0])):
            raise RefusedError(f"holds an array of {arguments[:1]!r}")
        if kind == "_reconstructor" and [getattr(one, "__name__", one) for one in arguments] != _VARIABLE:
            raise RefusedError("rebuilds what is no variable")
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
            raise RefusedError(f"gives {kind} a state that GSAS-II would not")
