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

_DTYPE = re.compile(r"[?biufcO]\d*")
"""Elements of arrays: truth, numbers, objects; no texts, which no project of GSAS-II holds, and nothing with fields."""

_VARIABLE_FIELDS = frozenset({"phase", "histogram", "name", "atom"})

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


def inside(data: Any) -> Iterator[Any]:
    """Everything within, itself first, each container once, however they are tangled; of a dict, keys and values."""
    seen: set[int] = set()
    todo = [data]
    while todo:
        item = todo.pop()
        if isinstance(item, (dict, list, tuple, set, frozenset, _StandIn)):
            if id(item) in seen:
                continue
            seen.add(id(item))
            if isinstance(item, dict):
                todo += item.keys()
                todo += item.values()
            else:
                todo += item.states if isinstance(item, _StandIn) else item
        yield item


def is_number(item: Any) -> bool:
    """Whether this is a plain number, a scalar of numpy, or None; no text, and nothing that holds more."""
    return type(item) in (bool, int, float, complex, type(None)) or (
        isinstance(item, _StandIn) and type(item).__name__ == "scalar"
    )


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
        if kind == "scalar" and not (
            isinstance(arguments[0], _StandIn) and type(arguments[0]).__name__ == "dtype" and arguments[0].holds_numbers
        ):
            raise RefusedError("holds a scalar that is no number")
        if kind == "_reconstructor" and [getattr(one, "__name__", one) for one in arguments] != _VARIABLE:
            raise RefusedError("rebuilds what is no variable")
        made = object.__new__(cls)
        made.arguments, made.states = arguments, []
        made.holds_numbers = kind == "dtype" and arguments[0][0] != "O"
        return made

    def __init__(self, *arguments: Any) -> None:
        """Nothing: ``__new__`` has them, and pickle does not always come here."""

    def __setstate__(self, state: Any) -> None:
        """Where pickle fills what it made."""
        kind = type(self).__name__
        if kind == "dtype":
            flags = (0,) if self.holds_numbers else (63,)
            usual = isinstance(state, tuple) and len(state) == 8 and state[2:5] == (None,) * 3 and state[7] in flags
        else:
            usual = isinstance(state, _STATES.get(kind, ())) and _is_flat(state)
        if not usual:
            raise RefusedError(f"gives {kind} a state that GSAS-II would not")
        self.states.append(state)


def _is_flat(state: tuple | dict) -> bool:
    """Whether the elements of an array of objects, or the fields of a variable, hold nothing in their turn."""
    if isinstance(state, dict):
        held = list(state.values())
    else:
        held = [each for one in state if isinstance(one, list) for each in one]
    known = not isinstance(state, dict) or state.keys() <= _VARIABLE_FIELDS
    return known and not any(isinstance(one, (dict, list, tuple, set, frozenset, type)) for one in held)
