"""A TOML file of settings as it was read, with the lines of its keys for messages."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import SettingsError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class TomlFile:
    """A TOML file that was read."""

    values: dict[str, Any]
    """Its tables."""
    text: str
    """Its text, in which lines are counted."""
    path: Path
    """The file."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of a file.

        Raises
        ------
        SettingsError : the file cannot be read or is not TOML.
        """
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        try:
            text = Path(path).read_text(encoding="utf-8-sig")  # Windows' Editor begins a file with a byte order mark
            return cls(tomllib.loads(text), text, Path(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise SettingsError(
                f"the settings cannot be read: {reason}",
                fix="give a TOML file with lines `key = value` below lines [section]",
                where=path,
            ) from error
        except ValueError as error:  # TOMLDecodeError, or a whole number of thousands of digits
            found = re.search(r"line (\d+)", str(error))
            raise SettingsError(
                f"this file is not TOML: {error}",
                fix="write lines `key = value` below lines [section]",
                where=path,
                line=int(found[1]) if found else None,
            ) from error

    def line(self, section: str, key: str = "") -> int | None:
        """The line of a key of a section, or of the section itself, counted from 1; None if it is not found."""
        here = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
            here = header[1] if header else here
            named = re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) if key else header
            if here == section and named:
                return number
        return None
