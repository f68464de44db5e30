"""Tables of structure files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS
from alphadiffract_plugin.report.tables import styled_table

if TYPE_CHECKING:
    from collections import Counter

    from rich.console import RenderableType
    from rich.table import Table

    from alphadiffract_plugin.models.structures.stats import Statistics


def statistics_report(statistics: Statistics) -> Iterator[RenderableType]:
    """Structures by origin and by split in each crystal system, and the space groups with few structures."""
    from alphadiffract_plugin.models.structures.stats import FEW

    files = len(statistics.files)
    where = "1 file" if files == 1 else f"{files} files"
    yield _by_system(f"{statistics.structures:,} structures in {where}, by origin", "origin", statistics.origins)
    yield _by_system("by split", "split", statistics.splits)
    missing = ", ".join(map(str, statistics.groups_missing)) or "none"
    few = ", ".join(f"{group} ({count})" for group, count in statistics.groups_few.items()) or "none"
    yield f"Space groups without a structure: {missing}."
    yield f"Space groups with fewer than {FEW}: {few}."
    yield f"Positions in the conventional cell: median {statistics.sites_median:g}, most {statistics.sites_most}."
    if statistics.repeated:
        yield f"{statistics.repeated:,} structures repeat the id of another."
    for path, notes in statistics.filtered.items():
        for note in notes:
            name, removed = note["index"], note["removed"]
            yield f"{path}: filtered against {name} (sha256 {note['sha256'][:12]}), {removed} removed."
        if not notes:
            yield f"{path}: not filtered against a benchmark."


def rejected_report(reasons: Counter[str], total: int) -> Table:
    """Number of structures that were left out for each reason."""
    table = styled_table(f"{sum(reasons.values()):,} of {total:,} left out")
    table.add_column("reason")
    table.add_column("structures", justify="right")
    for reason, count in reasons.most_common():
        table.add_row(reason, f"{count:,}")
    return table


def _by_system(title: str, what: str, counts: dict[str, dict[str, int]]) -> Table:
    table = styled_table(title)
    table.add_column(what)
    for name in (*CRYSTAL_SYSTEMS, "all"):
        table.add_column(name, justify="right")
    total = {system: sum(row[system] for row in counts.values()) for system in CRYSTAL_SYSTEMS}
    for name, row in (*counts.items(), ("all", total)):
        values = [row[system] for system in CRYSTAL_SYSTEMS]
        table.add_row(name, *(f"{value:,}" for value in (*values, sum(values))))
    return table
