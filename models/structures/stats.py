"""What structure files hold, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from .. import lattice
from .columns import ORIGINS, SPLITS
from .leaks import filtered_against
from .table import unpack

if TYPE_CHECKING:
    import pyarrow

FEW = 10
"""A space group with fewer structures is told as one with few."""


@dataclass(frozen=True)
class Statistics:
    """Counts over structure files."""

    files: dict[str, int]
    """Structures of each file."""
    structures: int
    """Of all."""
    origins: dict[str, dict[str, int]]
    """Origin, then crystal system: how many; origins without structures left out."""
    splits: dict[str, dict[str, int]]
    """Split, then crystal system: how many."""
    groups_missing: tuple[int, ...]
    """Space groups without a structure."""
    groups_few: dict[int, int]
    """Space groups with fewer than ``FEW`` structures, and how many these are."""
    sites_median: float
    """Atomic positions in the conventional cell."""
    sites_most: int
    """The largest such number."""
    repeated: int
    """Structures whose id is there already."""
    filtered: dict[str, list[dict]]
    """File, then the benchmarks it was filtered against: index, sha256, rows, removed."""


def statistics(tables: dict[Path, pyarrow.Table]) -> Statistics:
    """Counts over checked tables, each with the file it came from."""
    parts = [unpack(table) for table in tables.values()]
    group, origin, split = (np.concatenate([getattr(p, n) for p in parts]) for n in ("space_group", "origin", "split"))
    identity = np.concatenate([part.id for part in parts])
    sites = np.concatenate([np.add.reduceat(part.multiplicity, part.start[:-1]) for part in parts])
    system = lattice.system_of_group()[group - 1]
    per_group = np.bincount(group, minlength=231)

    def counted(index: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, int]]:
        table = np.zeros((len(names), 7), int)
        np.add.at(table, (index, system), 1)
        return {
            name: dict(zip(CRYSTAL_SYSTEMS, row.tolist(), strict=True))
            for name, row in zip(names, table, strict=True)
            if row.any()
        }

    return Statistics(
        files={str(path): len(part) for path, part in zip(tables, parts, strict=True)},
        structures=len(group),
        origins=counted(origin, ORIGINS),
        splits=counted(split, SPLITS),
        groups_missing=tuple((np.flatnonzero(per_group[1:] == 0) + 1).tolist()),
        groups_few={int(g): int(n) for g, n in enumerate(per_group) if 0 < n < FEW},
        sites_median=float(np.median(sites)),
        sites_most=int(sites.max()),
        repeated=len(identity) - len(np.unique(identity)),
        filtered={str(path): filtered_against(table.schema.metadata) for path, table in tables.items()},
    )
