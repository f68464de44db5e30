"""The command ``plugins``: what can be chosen by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alphadiffract_plugin.hooks import RietveldPlugins


def list_plugins() -> None:
    """List the indexers and seeders by name, the plugins that they come from, and plugins that do not work."""
    from alphadiffract_plugin import registry
    from alphadiffract_plugin.report.tables import print_report

    print_report(plugins_report(registry.plugins()))


def plugins_report(plugins: RietveldPlugins) -> Iterator[RenderableType]:
    """The indexers and seeders by name with their plugins; and plugins that do not work, with the reason."""
    from alphadiffract_plugin.report.tables import styled_table

    for title, offers in (("indexers", plugins.indexers), ("seeders", plugins.seeders)):
        table = styled_table(title)
        for column in ("name", "from plugin", "what it does"):
            table.add_column(column)
        for offer in offers.values():
            table.add_row(offer.name, plugins.provider(offer), offer.summary)
        yield table
    if plugins.broken:
        table = styled_table("plugins that do not work (the others do)")
        for column in ("plugin", "reason"):
            table.add_column(column)
        for name, reason in sorted(plugins.broken.items()):
            table.add_row(name, reason)
        yield table
