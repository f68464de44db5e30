"""The command ``plugins``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alphadiffract_plugin.hooks import RietveldPlugins


def plugins_report(plugins: RietveldPlugins) -> Iterator[RenderableType]:
    """Who offers what, by name; and what is broken, with the reason."""
    from alphadiffract_plugin.report.tables import styled_table

    for title, offers in (("indexers", plugins.indexers), ("seeders", plugins.seeders)):
        table = styled_table(title)
        for column in ("name", "from plugin", "what it does"):
            table.add_column(column)
        for offer in offers.values():
            table.add_row(offer.name, plugins.provider(offer), offer.summary)
        yield table
    if plugins.broken:
        table = styled_table("broken plugins (the others work)")
        for column in ("plugin", "reason"):
            table.add_column(column)
        for name, reason in sorted(plugins.broken.items()):
            table.add_row(name, reason)
        yield table
