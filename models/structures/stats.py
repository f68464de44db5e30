"""Numbers of structures in structure files, by origin, split and symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from .. import lattice
from .columns import ORIGINS, SPLITS
from .leaks import filtered_against
from .table import unpack

if TYPE_CHECKING:
    import pyarrow

FEW = 10
"""Space groups with fewer structures are listed."""


@dataclass(frozen=True)
class Statistics:
    """Counts over structure files."""

    files: dict[str, int]
    """Number of structures of each file."""
    structures: int
    """Number of structures of all files."""
    origins: dict[str, dict[str, int]]
    """Numbers by origin and crystal system, without origins that do not occur."""
    splits: dict[str, dict[str, int]]
    """Numbers by split and crystal system."""
    groups_missing: tuple[int, ...]
    """Space groups without a structure."""
    groups_few: dict[int, int]
    """Numbers of the space groups with fewer than ``FEW`` structures."""
    sites_median: float
    """Median number of atomic positions in the conventional cell."""
    sites_most: int
    """Largest number of atomic positions."""
    repeated: int
    """Number of structures whose id occurs before."""
    filtered: dict[str, list[dict[str, Any]]]
    """By file, the benchmarks that it was filtered against: index, sha256, rows, removed."""


def statistics(tables: dict[Path, pyarrow.Table]) -> Statistics:
    """The numbers of checked tables, given by their files."""
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
