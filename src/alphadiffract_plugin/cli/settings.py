"""The command ``settings``: every setting with its values, its default and its meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def list_settings() -> None:
    """List every setting: its key, the values that it may have, its default and its meaning.

    Change one with --set KEY=VALUE, or several in a TOML file that --config names: a key such as search.volume_max
    stands there as volume_max below the line [search].
    """
    from alphadiffract_plugin.report.tables import print_report

    print_report(settings_report())


def settings_report() -> Iterator[RenderableType]:
    """The table of all settings."""
    from alphadiffract_plugin.report.tables import styled_table
    from alphadiffract_plugin.settings import every_setting

    table = styled_table("settings")
    for column in ("key", "values", "default", "meaning"):
        table.add_column(column, no_wrap=column == "key")
    for info in every_setting().values():
        table.add_row(info.key, info.wanted, info.default_in_words, info.meaning.replace("``", ""))
    yield table
