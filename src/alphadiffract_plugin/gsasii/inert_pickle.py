"""Read a pickle of GSAS-II with stand-ins in place of everything that it names, so that nothing of it runs."""

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
"""Module and name of everything that a project may name: arrays and their scalars, and variables of constraints."""

_NEVER = frozenset({"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX"})
"""Instructions of pickle that reach objects other than by name; no project of GSAS-II holds them."""

_DTYPE = re.compile(r"[?biufcO]\d*")
"""Types of array elements: truth values, numbers, objects. No texts and no fields: no project of GSAS-II holds them."""

_VARIABLE_FIELDS = frozenset({"phase", "histogram", "name", "atom"})
"""Fields of a variable of constraints (``G2VarObj``)."""

_STATES: dict[str, type] = {"_reconstruct": tuple, "_mareconstruct": tuple, "_reconstructor": dict, "G2VarObj": dict}
"""Type of the state by which pickle fills each kind of object."""

_VARIABLE = ["G2VarObj", "object", None]
"""Arguments by which pickle rebuilds a variable of constraints."""


class RefusedError(Exception):
    """The pickle does what no project of GSAS-II does; ``what`` completes a sentence that begins 'this project'."""

    def __init__(self, what: str, position: int = 0) -> None:
        self.what, self.position = what, position
        super().__init__(what)


class DamagedError(Exception):
    """From this position on there is no complete pickle."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(position)


def parts(content: bytes) -> Iterator[tuple[int, Any]]:
    """Each pickle of a file that holds one after another: where it begins, and its content with stand-ins.

    Raises
    ------
    RefusedError : one names anything outside :data:`ALLOWED`, or uses other features of pickle that run code.
    DamagedError : the bytes are not a pickle, or one that does not end.
    """
    begin = 0
    while begin < len(content):
        end = _end(content, begin)
        yield begin, _part(content[begin:end], begin)
        begin = end


def _end(content: bytes, begin: int) -> int:
    """Where the pickle that begins here ends. Its instructions are read, and none is executed."""
    stream = io.BytesIO(content)
    stream.seek(begin)
    try:
        for instruction, argument, where in pickletools.genops(stream):
            name, position = instruction.name, where or 0
            if name in _NEVER:
                raise RefusedError(f"reaches outside itself by {name}", position)
            if name == "GLOBAL" and argument not in ALLOWED:
                raise RefusedError(f"names {str(argument).replace(' ', '.')}, which is not data", position)
            if name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > len(content):
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
    except Exception as error:  # a damaged or malicious pickle raises exceptions of any kind
        raise DamagedError(begin) from error
    if stream.tell() != len(content):
        raise DamagedError(begin)
    return part


def inside(data: Any) -> Iterator[Any]:
    """Everything inside an object, itself first; of a dict keys and values. Each container comes only once."""
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
    """Whether this is a plain number, a scalar of numpy, or None."""
    return type(item) in (bool, int, float, complex, type(None)) or (
        isinstance(item, _StandIn) and type(item).__name__ == "scalar"
    )


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in ALLOWED:
            raise RefusedError(f"names {module}.{name}, which is not data")
        return type(name, (_StandIn,), {})


class _StandIn:
    """Stands for an object that a project would make: it checks its arguments and its state, and does nothing."""

    arguments: tuple[Any, ...]
    """Of the original."""
    states: list[Any]
    """The states that pickle filled it with."""
    holds_numbers: bool
    """Whether it is a dtype of numbers."""

    def __new__(cls, *arguments: Any) -> _StandIn:
        """Called where pickle makes an object; ``arguments`` are those of the original."""
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
            raise RefusedError("holds a scalar that is not a number")
        if kind == "_reconstructor" and [getattr(one, "__name__", one) for one in arguments] != _VARIABLE:
            raise RefusedError("rebuilds an object that is not a variable")
        made = object.__new__(cls)
        made.arguments, made.states = arguments, []
        made.holds_numbers = kind == "dtype" and arguments[0][0] != "O"
        return made

    def __init__(self, *arguments: Any) -> None:
        """Do nothing: ``__new__`` took the arguments, and pickle does not always call this."""

    def __setstate__(self, state: Any) -> None:
        """Called where pickle fills an object that it made."""
        kind = type(self).__name__
        if kind == "dtype":
            flags = (0,) if self.holds_numbers else (63,)
            usual = isinstance(state, tuple) and len(state) == 8 and state[2:5] == (None,) * 3 and state[7] in flags
        else:
            expected = _STATES.get(kind)
            usual = expected is not None and isinstance(state, expected) and _is_flat(state)
        if not usual:
            raise RefusedError(f"gives {kind} a state that GSAS-II would not")
        self.states.append(state)


def _is_flat(state: Any) -> bool:
    """Whether the elements of an array of objects, or the fields of a variable, are not containers themselves."""
    if isinstance(state, dict):
        held = list(state.values())
    else:
        held = [each for one in state if isinstance(one, list) for each in one]
    known = not isinstance(state, dict) or state.keys() <= _VARIABLE_FIELDS
    return known and not any(isinstance(one, (dict, list, tuple, set, frozenset, type)) for one in held)
