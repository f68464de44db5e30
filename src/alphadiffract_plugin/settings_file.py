"""Settings that a person writes: ``KEY=VALUE`` on the command line, and TOML files with a section for each step."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.setting_fields import SettingInfo
from alphadiffract_plugin.settings import LISTED, check_keys, every_setting


def changes_from_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """The values of ``KEY=VALUE`` texts such as ``search.volume_max=800``, for :meth:`Settings.changed`.

    Raises
    ------
    SettingsError : a text has no ``=``, a key is unknown, or a value is of the wrong type or out of range.
    """
    changes = {}
    for text in assignments:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise SettingsError(
                f"{text!r} does not set anything", fix=f"write KEY=VALUE, such as search.volume_max=800; {LISTED}"
            )
        check_keys([key])
        info = every_setting()[key]
        changes[key] = info.checked(_value(value, info))
    return changes


def changes_from_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file by key, for :meth:`Settings.changed`; ``[search]`` holds ``volume_max = 800``.

    Raises
    ------
    SettingsError : the file cannot be read or is not TOML; a key is unknown, or a value of the wrong type or out of
        range. The message names file and line.
    """
    text = _text(path)
    changes: dict[str, Any] = {}
    for name, value in _parsed(text, path).items():
        inner = {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        changes |= inner
    for key, value in changes.items():
        try:
            check_keys([key])
            changes[key] = every_setting()[key].checked(value)
        except SettingsError as error:
            raise SettingsError(error.what, fix=error.fix, where=path, line=_line(text, key)) from error
    return changes


def _value(text: str, info: SettingInfo) -> Any:
    """The text as the type of the setting; the text itself where it cannot be read as that."""
    if info.optional and text.lower() == "none":
        return None
    if info.kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return info.kind(text)
    except ValueError:
        return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings cannot be read: {getattr(error, 'strerror', None) or 'this is not a text file'}",
            fix="give a TOML file, such as one with the lines [search] and volume_max = 800",
            where=path,
        ) from error


def _parsed(text: str, path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise SettingsError(
            f"this is not TOML: {error}",
            fix="write lines such as volume_max = 800 below a line such as [search]",
            where=path,
            line=int(found[1]) if found else None,
        ) from error


def _line(text: str, key: str) -> int | None:
    """The line of a key, counted from 1; None if it is not found, as in an inline table."""
    section, _, name = key.rpartition(".")
    here = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        here = header[1] if header else here
        if here == section and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line):
            return number
    return None
