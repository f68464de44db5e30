"""Simulate patterns as a laboratory measures them, with known cells, for fitting and choosing without measured ones.

    python bench/simulate_patterns.py STRUCTURES.parquet -o PATTERNS.npz [--count N] [--seed S]

Structures are drawn by crystal system (:data:`SHARES`), six of ten of them measured ones where there are so many, and
strained at random. Sample and instrument vary as in the preset ``laboratory`` of the simulation, with copper Kα
doublets throughout, more impurities and more foreign lines (:data:`EFFECTS`). ``known_patterns`` reads the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alphadiffract_plugin.records import Histogram

SHARES = {
    "cubic": 0.20,
    "tetragonal": 0.13,
    "hexagonal": 0.09,
    "trigonal": 0.12,
    "orthorhombic": 0.23,
    "monoclinic": 0.18,
    "triclinic": 0.05,
}
"""Share of the patterns of each crystal system: about that of collections of minerals."""
MEASURED = 0.6
"""Share of the structures that are of measured origin, as far as there are so many."""
EFFECTS = {
    "kalpha2_share": 1.0,
    "synchrotron_share": 0.0,
    "cut_share": 0.15,
    "cut_low": (0.0, 0.1),
    "cut_high": (0.0, 0.3),
    "impurity_share": 0.4,
    "impurity": (0.005, 0.3),
    "foreign_share": 0.3,
    "foreign": (0.01, 0.15),
    "noise": (0.001, 0.02),
}
"""Effects that differ from the preset ``laboratory``."""
FIRST, LAST, STEP = 5.0, 90.0, 0.02
"""Range and step of the patterns in degrees."""
COUNTS = 10_000.0
"""Intensity at the maximum of each pattern."""
BATCH = 100
"""Structures that are simulated at a time."""
D_MIN = 1.08
"""Smallest d in Å of the lines: a little below that at the upper end."""


@dataclass(frozen=True)
class KnownPattern:
    """A simulated pattern and its crystal."""

    id: str
    """Number of the pattern in its file, and name of the structure."""
    histogram: Histogram
    """The pattern."""
    space_group: int
    """1 to 230."""
    cell: tuple[float, ...]
    """Conventional cell in Å and degrees."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATTERNS.npz")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    made = simulated(args.structures, args.count, args.seed)
    np.savez(args.output, **made, seed=args.seed)
    print(f"{len(made['id'])} patterns of {args.structures.name}, seed {args.seed}: {args.output}")
    return 0


def simulated(structures: Path, count: int, seed: int) -> dict[str, np.ndarray]:
    """Intensities and coverage, shape (N, L), cells, shape (N, 6), space groups and names of N patterns."""
    import torch

    from alphadiffract_plugin.models import lattice
    from alphadiffract_plugin.models.grid import Grid
    from alphadiffract_plugin.models.simulation import patterns
    from alphadiffract_plugin.models.simulation.axes import standard_changes
    from alphadiffract_plugin.models.simulation.effects import PRESETS
    from alphadiffract_plugin.models.simulation.lines import atoms_from_structures
    from alphadiffract_plugin.models.simulation.structure_factors import lines_from_atoms
    from alphadiffract_plugin.models.structures.table import read_table, unpack
    from alphadiffract_plugin.progress import track
    from alphadiffract_plugin.radiation import KALPHA

    torch.set_num_threads(1)
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    table = read_table([structures])
    known = unpack(table)
    drawn = rng.permutation(drawn_structures(table, count, rng))
    effects = dataclasses.replace(PRESETS["laboratory"], wavelength=KALPHA["Cu"][0], **EFFECTS)
    grid = Grid(KALPHA["Cu"][0], FIRST, LAST, round((LAST - FIRST) / STEP) + 1)
    parts: list[tuple[np.ndarray, ...]] = []
    for batch in track(np.array_split(drawn, -(-len(drawn) // BATCH)), "simulating"):
        atoms = atoms_from_structures(known, batch)
        lines = patterns.strain(lines_from_atoms(atoms, d_min=D_MIN), effects, generator)
        back = torch.linalg.inv(standard_changes(atoms.metric, atoms.space_group))
        metric = back @ torch.linalg.inv((lines.basis @ lines.basis.mT).double()) @ back.mT
        intensity, coverage = patterns.simulate(lines, grid, effects, generator)
        cells = lattice.cell_from_metric(metric.numpy())
        parts.append((intensity.numpy(), coverage.numpy() > 0, cells, known.space_group[batch], known.id[batch]))
    names = ("intensity", "coverage", "cell", "space_group", "id")
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return dict(zip(names, (columns[0].astype(np.float32), *columns[1:4], columns[4].astype(str)), strict=True))


def drawn_structures(table, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a table of structures, by crystal system, measured ones preferred."""
    system, origin = (np.array(table[name].to_pylist()) for name in ("crystal_system", "origin"))
    rows: list[int] = []
    for name, share in SHARES.items():
        many = round(count * share)
        measured, calculated = (np.flatnonzero((system == name) & (origin == o)) for o in ("experiment", "dft_known"))
        first = min(round(MEASURED * many), len(measured))
        rows += rng.choice(measured, first, replace=False).tolist()
        rows += rng.choice(calculated, min(many - first, len(calculated)), replace=False).tolist()
    return np.array(rows)


def known_patterns(path: Path) -> Iterator[KnownPattern]:
    """The patterns of a file that this program wrote."""
    from alphadiffract_plugin.radiation import KALPHA, KALPHA2_RATIO
    from alphadiffract_plugin.records import Histogram

    with np.load(path) as stored:
        made = {name: stored[name] for name in stored.files}
    two_theta = np.round(np.linspace(FIRST, LAST, made["intensity"].shape[1]), 4)
    for i, name in enumerate(made["id"]):
        seen = made["coverage"][i]
        counts = np.round(COUNTS * made["intensity"][i][seen].astype(float), 1)
        histogram = Histogram(two_theta[seen], counts, None, KALPHA["Cu"], kalpha2_ratio=KALPHA2_RATIO, name="pattern")
        yield KnownPattern(f"{i}-{name}", histogram, int(made["space_group"][i]), tuple(made["cell"][i].tolist()))


if __name__ == "__main__":
    sys.exit(main())
