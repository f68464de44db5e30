"""How a settings record is made: what a field may hold is written once, beside its default, and checked from there."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import numbers
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.json_record import Record

Value = TypeVar("Value")


@dataclass(frozen=True)
class Allowed:
    """The values that a setting may have; a number must be finite as well."""

    unit: str = ""
    """Unit of the value, empty for a number or a text without one."""
    least: float | None = None
    """The smallest value allowed."""
    above: float | None = None
    """The value must be larger than this."""
    most: float | None = None
    """The largest value allowed."""
    choices: tuple[str, ...] = ()
    """The texts allowed; any text where this is empty."""
    none: str = ""
    """What None means, for a setting that may be None."""

    def holds(self, value: float) -> bool:
        """Whether a number lies in the range."""
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and math.isfinite(value)  # last: it fails for a whole number of hundreds of digits
        )

    @property
    def range(self) -> str:
        """The range in words, with the unit: ``from 5 to 30``, ``above 0 Å³``."""
        bounds = {"of at least": self.least, "above": self.above, "of at most": self.most}
        if self.least is not None and self.most is not None:
            bounds = {"from": self.least, "to": self.most}
        elif self.above is not None and self.most is not None:
            bounds = {"above": self.above, "and at most": self.most}
        words = [f"{word} {_in_full(bound)}" for word, bound in bounds.items() if bound is not None]
        return " ".join([*words, *([self.unit] if self.unit else [])])


def _in_full(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _shown(value: object) -> str:
    """A wrong value as Python writes it, but not at any length."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:50]}..."


def setting(
    default: Value,
    *,
    unit: str = "",
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    none: str = "",
) -> Value:
    """A field of a settings record: its default, and the values that it may have (see :class:`Allowed`)."""
    return field(default=default, metadata={"allowed": Allowed(unit, least, above, most, choices, none)})


@dataclass(frozen=True)
class SettingInfo:
    """What is known of one setting."""

    key: str
    """Its name on the command line and in a TOML file: ``search.volume_max``."""
    kind: type
    """``int``, ``float``, ``str`` or ``bool``."""
    optional: bool
    """Whether it may also be None (``none`` on the command line)."""
    default: Any
    """Its default."""
    allowed: Allowed
    """The values that it may have."""
    record: type[Any]
    """The settings record that it belongs to."""

    @property
    def meaning(self) -> str:
        """What it does, in full sentences: the docstring below the field."""
        docstrings = _docstrings(self.record)  # type: ignore[arg-type]  # mypy does not count a class as hashable
        return docstrings.get(self.key.rpartition(".")[2], "")

    @property
    def default_in_words(self) -> str:
        """The default as it is written on the command line, with its meaning if it is none: ``none (no limit)``."""
        if self.default is None:
            return f"none ({self.allowed.none})"
        return str(self.default).lower() if self.kind is bool else str(self.default)

    @property
    def wanted(self) -> str:
        """The type and the range in words: ``a whole number from 5 to 30``."""
        if self.allowed.choices:
            *others, last = self.allowed.choices
            words = f"{', '.join(others)} or {last}"
        else:
            names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
            words = " ".join(part for part in (names[self.kind], self.allowed.range) if part)
        return f"{words}, or none" if self.optional else words

    def checked(self, value: object) -> Any:
        """The value itself, a number as ``int`` or ``float``.

        Raises
        ------
        SettingsError : it is of another type, or out of range.
        """
        if value is None and self.optional:
            return None
        kind = {int: numbers.Integral, float: numbers.Real}.get(self.kind, self.kind)
        right = isinstance(value, kind) and (self.kind is bool or not isinstance(value, bool))
        if right and self.kind in (int, float):
            right = self.allowed.holds(typing.cast(float, value))
        if not right or (self.allowed.choices and value not in self.allowed.choices):
            raise SettingsError(
                f"{self.key} is {_shown(value)}", fix=f"give {self.wanted} (the default is {self.default_in_words})"
            )
        return self.kind(value)


@dataclass(frozen=True, eq=False)
class StepSettings(Record):
    """The settings of one step, a section of all settings; its fields are checked when a record is made."""

    _section: ClassVar[str]

    def __init_subclass__(cls, *, section: str = "") -> None:
        cls._section = section

    def __post_init__(self) -> None:
        for info in settings_of(type(self)):  # type: ignore[arg-type]  # mypy does not count a class as hashable
            name = info.key.rpartition(".")[2]
            object.__setattr__(self, name, info.checked(getattr(self, name)))


@functools.cache
def settings_of(record: type[StepSettings]) -> tuple[SettingInfo, ...]:
    """What is known of the settings of one record, in the order of its fields; sections in it are left out."""
    hints = typing.get_type_hints(record)
    section = f"{record._section}." if record._section else ""
    return tuple(
        SettingInfo(
            key=f"{section}{f.name}",
            kind=next(kind for kind in _options(hints[f.name]) if kind is not type(None)),
            optional=type(None) in _options(hints[f.name]),
            default=f.default,
            allowed=f.metadata["allowed"],
            record=record,
        )
        for f in dataclasses.fields(record)
        if "allowed" in f.metadata
    )


def _options(hint: Any) -> tuple[type, ...]:
    """The types of a union such as ``float | None``; otherwise the type alone."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


@functools.cache
def _docstrings(record: type[Any]) -> dict[str, str]:
    """The docstring below each field of a record, on one line."""

    def pairs() -> Iterator[tuple[str, str]]:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(record))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for before, after in zip(body, body[1:], strict=False):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    yield before.target.id, " ".join(str(after.value.value).split())

    return dict(pairs())
