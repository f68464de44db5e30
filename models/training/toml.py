"""TOML to frozen dataclasses and back; every fault is told with its file, line, section and how to fix it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alphadiffract_plugin.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Document:
    """A TOML file that was read."""

    values: dict[str, Any]
    """Its tables."""
    text: str
    """As it stands in the file; lines are counted in it."""
    path: Path
    """Where it came from."""

    @classmethod
    def read(cls, path: Path) -> Document:
        """The document of a file.

        Raises
        ------
        SettingsError : the file cannot be read or is no TOML.
        """
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        try:
            text = Path(path).read_text(encoding="utf-8")
            return cls(tomllib.loads(text), text, Path(path))
        except (OSError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or "it is no text"
            raise SettingsError(
                f"the settings cannot be read: {told}",
                fix="give a TOML file such as examples/train_tiny.toml",
                where=path,
            ) from error
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            raise SettingsError(
                f"this is no TOML: {error}",
                fix="write `key = value` lines below [section] lines",
                where=path,
                line=int(found[1]) if found else None,
            ) from error

    def line(self, section: str, key: str = "") -> int | None:
        """Where a key of a section, or the section itself, stands; counted from 1, None if it is not found."""
        here = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
            here = header[1] if header else here
            named = re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) if key else header
            if here == section and named:
                return number
        return None

    def refuse(self, what: str, fix: str, section: str, key: str = "") -> SettingsError:
        """The error to raise for a key of a section."""
        return SettingsError(what, fix=fix, where=self.path, line=self.line(section, key))

    def table(self, section: str) -> dict[str, Any]:
        """The keys of a section; empty if it is not there."""
        value = self.values.get(section, {})
        if not isinstance(value, dict):
            raise self.refuse(
                f"{section} is {value!r}, no section", f"write [{section}], and its keys below", "", section
            )
        return dict(value)

    def know(self, known: Iterable[str], given: Iterable[str], section: str = "") -> None:
        """Refuse names that are not known, with the nearest that is; of sections where ``section`` is empty."""
        known = list(known)
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                what = f"[{section}] knows no {name!r}" if section else f"there is no section or key {name!r}"
                at = (section, name) if section else (name, "") if self.line(name) else ("", name)
                raise self.refuse(what, f"{hint}known are {', '.join(known)}", *at)

    def record(
        self,
        cls: type[T],
        section: str,
        table: Mapping[str, Any] | None = None,
        base: T | None = None,
        *,
        check_types: bool = True,
    ) -> T:
        """A dataclass of the keys of a section, checked by name and type; what is not given is as in ``base``.

        A class that checks its types itself, and raises SettingsError, needs no ``check_types``.
        """
        table = self.table(section) if table is None else table
        kinds = typing.get_type_hints(cls) if check_types else {}
        fields = [f.name for f in dataclasses.fields(cls) if f.init]
        self.know(fields, table, section)
        given = dict(table)
        if check_types:
            given = {key: self._typed(value, kinds[key], section, key) for key, value in table.items()}
        try:
            return dataclasses.replace(base, **given) if base is not None else cls(**given)
        except SettingsError as error:
            key = next((name for name in table if re.search(rf"\b{re.escape(name)}\b", error.what)), "")
            raise self.refuse(f"[{section}] {error.what}", error.fix, section, key) from error

    def _typed(self, value: Any, kind: Any, section: str, key: str) -> Any:
        try:
            return typed(value, kind)
        except TypeError as error:
            raise self.refuse(f"[{section}] {key} is {value!r}", f"give {error}", section, key) from None


def typed(value: Any, kind: Any) -> Any:
    """A TOML value as a field of that type: lists become tuples, whole numbers floats where wanted.

    Raises
    ------
    TypeError : it is none; the message names what is wanted.
    """
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        options = [part for part in parts if part is not type(None)]
        for part in options:
            try:
                return typed(value, part)
            except TypeError as error:
                last = error
        raise last
    if origin is tuple:
        wanted = parts[:1] * len(value) if parts[-1:] == (...,) and isinstance(value, list) else parts
        if not isinstance(value, list) or len(value) != len(wanted):
            raise TypeError("a list" if parts[-1:] == (...,) else f"a list of {len(parts)}")
        return tuple(typed(item, part) for item, part in zip(value, wanted, strict=True))
    if origin is dict or kind is dict:
        if not isinstance(value, dict):
            raise TypeError("a table")
        return {name: typed(item, parts[1]) for name, item in value.items()} if parts else value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    names = {float: "a number", int: "a whole number", str: "a text in quotes", bool: "true or false"}
    raise TypeError(names.get(kind, f"{kind}"))


def written(values: Mapping[str, Any]) -> str:
    """Plain values, and tables of them, as TOML text; None is left out."""
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
