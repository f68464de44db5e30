"""Settings that a person writes: ``KEY=VALUE`` on the command line, and TOML files with a section for each step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.setting_fields import SettingInfo
from alphadiffract_plugin.settings import LISTED, check_keys, every_setting
from alphadiffract_plugin.toml_file import TomlFile


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
    file = TomlFile.read(path)
    changes: dict[str, Any] = {}
    for name, value in file.values.items():
        changes |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        try:
            check_keys([key])
            changes[key] = every_setting()[key].checked(value)
        except SettingsError as error:
            raise SettingsError(error.what, fix=error.fix, where=path, line=file.line(section, name)) from error
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
