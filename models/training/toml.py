"""TOML files as frozen dataclasses, and back; every error gives the file, the line, the section and how to fix it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.toml_file import TomlFile

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class Document(TomlFile):
    """A TOML file of a training run."""

    def error(self, what: str, fix: str, section: str, key: str = "") -> SettingsError:
        """The error to raise for a key of a section."""
        return SettingsError(what, fix=fix, where=self.path, line=self.line(section, key))

    def table(self, section: str) -> dict[str, Any]:
        """The keys of a section; empty if there is no such section."""
        value = self.values.get(section, {})
        if not isinstance(value, dict):
            raise self.error(
                f"{section} is {value!r}, but must be a section", f"write [{section}], and its keys below", "", section
            )
        return dict(value)

    def check_names(self, known: Iterable[str], given: Iterable[str], section: str = "") -> None:
        """Raise SettingsError for an unknown key of a section, or an unknown section, with the nearest known name."""
        known = list(known)
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                what = f"[{section}] has no key {name!r}" if section else f"there is no section or key {name!r}"
                place = (section, name) if section else (name, "") if self.line(name) else ("", name)
                raise self.error(what, f"{hint}the known ones are {', '.join(known)}", *place)

    def record(
        self,
        cls: type[T],
        section: str,
        table: Mapping[str, Any] | None = None,
        base: T | None = None,
        *,
        check_types: bool = True,
    ) -> T:
        """A dataclass with the keys of a section, checked by name and type; ``base`` gives the other values.

        A class that checks its types itself, and raises SettingsError, is called with ``check_types=False``.
        """
        given = dict(self.table(section) if table is None else table)
        self.check_names([field.name for field in dataclasses.fields(cls) if field.init], given, section)
        if check_types:
            kinds = typing.get_type_hints(cls)
            given = {key: self._typed(value, kinds[key], section, key) for key, value in given.items()}
        try:
            return cls(**given) if base is None else dataclasses.replace(base, **given)
        except SettingsError as error:
            key = next((name for name in given if re.search(rf"\b{re.escape(name)}\b", error.what)), "")
            raise self.error(f"[{section}] {error.what}", error.fix, section, key) from error

    def _typed(self, value: Any, kind: Any, section: str, key: str) -> Any:
        try:
            return typed(value, kind)
        except TypeError as error:
            raise self.error(f"[{section}] {key} is {value!r}", f"give {error}", section, key) from None


KINDS = {float: "a number", int: "a whole number", str: "a text in quotes", bool: "true or false"}
"""What messages call the types of settings."""


def typed(value: Any, kind: Any) -> Any:
    """A TOML value as a field of a type of ``KINDS``, or as a tuple of one: lists become tuples, integers floats.

    Raises
    ------
    TypeError : the value has another type; the message names what is needed.
    """
    parts = typing.get_args(kind)
    if not parts:
        return _typed_one(value, kind)
    any_length = parts[-1] is ...
    if not isinstance(value, list) or not (any_length or len(value) == len(parts)):
        raise TypeError("a list" if any_length else f"a list of {len(parts)}")
    kinds = parts[:1] * len(value) if any_length else parts
    return tuple(_typed_one(item, part) for item, part in zip(value, kinds, strict=True))


def _typed_one(value: Any, kind: Any) -> Any:
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    raise TypeError(KINDS[kind])


def written(values: Mapping[str, Any]) -> str:
    """Plain values, and tables of them, as TOML; values that are None are left out."""
    plain = {k: v for k, v in values.items() if not isinstance(v, Mapping) and v is not None}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for name, table in values.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_value(value)}" for key, value in table.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items()) + "}"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
