"""Simulated patterns as files, with the space groups and cells of their crystals, and as a sheet of plots."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.models.grid import COMPACT_GRID, COMPACT_NORMALISATION
from alphadiffract_plugin.output import write_text, write_whole

if TYPE_CHECKING:
    import pyarrow
    import torch

    from alphadiffract_plugin.models.simulation.effects import Effects
    from alphadiffract_plugin.models.simulation.records import Atoms
    from alphadiffract_plugin.models.simulation.sheet import Panel

COUNTS = 10_000
"""Intensity at the maximum of a pattern that is written as ``.xye``."""
SHOWN = 24
"""Largest number of simulated patterns on the sheet."""


@dataclass(frozen=True)
class Simulated:
    """N patterns on the grid of ``compact`` (L points), and the space groups and cells of their crystals."""

    id: list[str]
    """Name of each crystal."""
    space_group: np.ndarray
    """1 to 230, shape (N,)."""
    cell: np.ndarray
    """Conventional cells after the strain, in the setting of the crystal, in Å and degrees, shape (N, 6)."""
    intensity: np.ndarray
    """0 to 1, shape (N, L)."""
    coverage: np.ndarray
    """1 where measured, else 0, shape (N, L)."""


def two_theta() -> np.ndarray:
    """The grid in degrees, shape (L,)."""
    return np.linspace(COMPACT_GRID.two_theta_min, COMPACT_GRID.two_theta_max, COMPACT_GRID.length)


def write_xye(made: Simulated, folder: Path) -> None:
    """Write the measured range of each pattern as ``.xye``, numbered from 1, with :data:`COUNTS` at the maximum.

    Raises
    ------
    OutputError : a file cannot be written.
    """
    from alphadiffract_plugin import load
    from alphadiffract_plugin.records import Histogram

    x, names = two_theta(), xye_names(len(made.intensity))
    for name, y, seen in zip(names, made.intensity, made.coverage, strict=True):
        kept = seen > 0
        counts = np.round(COUNTS * y[kept], 3)
        histogram = Histogram(np.round(x[kept], 6), counts, None, (COMPACT_GRID.wavelength,))
        load.write_xye(histogram, folder / name)


def xye_names(count: int) -> list[str]:
    """The names of the files of ``count`` patterns."""
    return [f"{number:0{len(str(count))}d}.xye" for number in range(1, count + 1)]


def remove_earlier(folder: Path) -> None:
    """Remove the patterns that an earlier run wrote to a folder; its ``truth.csv`` says how many there are.

    Raises
    ------
    OutputError : a file cannot be removed.
    """
    try:
        with open(folder / "truth.csv", newline="", encoding="utf-8") as file:
            count = len(list(csv.DictReader(file)))
    except (OSError, UnicodeDecodeError, csv.Error):
        return
    for path in [folder / "patterns.npz", *(folder / name for name in xye_names(count))]:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot be replaced: {error.strerror}", fix="choose another place", where=path
            ) from error


def write_npz(made: Simulated, path: Path) -> None:
    """Write all patterns, their crystals, ``two_theta`` and ``wavelength`` to one ``.npz`` file.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    arrays: dict[str, Any] = {"two_theta": two_theta(), "wavelength": COMPACT_GRID.wavelength}
    arrays |= {"id": np.array(made.id), "space_group": made.space_group, "cell": made.cell}
    arrays |= {"intensity": made.intensity.astype(np.float32), "coverage": made.coverage.astype(np.uint8)}
    write_whole(path, lambda scratch: np.savez_compressed(scratch, **arrays))


def write_truth(made: Simulated, path: Path) -> None:
    """Write the space group and the cell of each pattern as CSV.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "id", "space_group", "a", "b", "c", "alpha", "beta", "gamma"])
    for number, (name, group, cell) in enumerate(zip(made.id, made.space_group, made.cell, strict=True), 1):
        writer.writerow([number, name, group, *(f"{value:.5f}" for value in cell)])
    write_text(path, text.getvalue())


def write_sheet(made: Simulated, measured: Sequence[Panel], path: Path) -> int:
    """Write a sheet of plots of the first :data:`SHOWN` patterns and of measured ones; returns how many of ours.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    from alphadiffract_plugin.models.simulation.sheet import save_sheet

    panels = [_panel(made, i) for i in range(min(SHOWN, len(made.id)))]
    write_whole(path, lambda scratch: save_sheet([*panels, *measured], scratch))
    return len(panels)


def measured_panel(path: Path, wavelength: str | None) -> Panel:
    """A measured pattern on the same axis with its background subtracted, as a network gets it.

    Raises
    ------
    AlphaDiffractError : the file cannot be read, or the pattern cannot be put on the grid.
    """
    from alphadiffract_plugin.load import histogram_from_file
    from alphadiffract_plugin.models.simulation.sheet import Panel
    from alphadiffract_plugin.prediction.prepare import prepare

    linear = dataclasses.replace(COMPACT_NORMALISATION, square_root=False)
    intensity, coverage = prepare(histogram_from_file(path, wavelength=wavelength), COMPACT_GRID, linear)
    return Panel(two_theta(), np.where(coverage > 0, intensity, np.nan), f"measured: {path.stem}", measured=True)


def _panel(made: Simulated, index: int) -> Panel:
    from alphadiffract_plugin.crystal.symmetry import symbol_from_space_group
    from alphadiffract_plugin.models.simulation.sheet import Panel

    cell, coverage = made.cell[index], made.coverage[index]
    lengths, angles = " ".join(f"{v:.2f}" for v in cell[:3]), " ".join(f"{v:.1f}" for v in cell[3:])
    title = f"{made.id[index]}  {symbol_from_space_group(int(made.space_group[index]))}  {lengths}  {angles}"
    return Panel(two_theta(), np.where(coverage > 0, made.intensity[index], np.nan), title)


BATCH = 128
"""Number of patterns that are simulated at a time."""


def crystals_of(
    files: list[Path], count: int, random: int, generator: torch.Generator
) -> tuple[list[str], list[Atoms]]:
    """Names and atoms of ``count`` structures in random order, repeated if there are fewer, and of random crystals."""
    import torch

    from alphadiffract_plugin.models.simulation.lines import atoms_from_structures
    from alphadiffract_plugin.models.structures.table import unpack

    names: list[str] = []
    found: list[Atoms] = []
    if files:
        structures = unpack(_table(files))
        order = torch.randperm(len(structures), generator=generator)
        which = order.repeat(-(-count // len(order)))[:count].numpy()
        names += [str(name) for name in structures.id[which]]
        found.append(atoms_from_structures(structures, which))
    if random:
        from alphadiffract_plugin.models.simulation.random_crystals import random_crystals

        names += [f"random:{i}" for i in range(1, random + 1)]
        found.append(random_crystals(random, generator))
    return names, found


def _table(files: list[Path]) -> pyarrow.Table:
    """The structures of parquet files and CIFs."""
    import pyarrow as pa

    from alphadiffract_plugin.errors import StructureError
    from alphadiffract_plugin.models.structures import build, table

    cifs = [path for path in files if path.suffix.lower() == ".cif"]
    others = [path for path in files if path not in cifs]
    tables = [table.read_table(others)] if others else []
    if cifs:
        built = build.build([one for path in cifs for one in build.cifs_in(path, "experiment")], workers=1)
        if built.rejected:
            fault = built.rejected[0]
            raise StructureError(
                f"this crystal cannot be simulated: {fault.reason} {fault.detail}".rstrip(),
                fix="correct the CIF, or leave it out",
                where=fault.file,
            )
        tables.append(build.table_from_rows(built.rows))
    return pa.concat_tables(tables, promote_options="permissive")


def simulated_patterns(
    names: list[str], crystals: list[Atoms], effects: Effects, generator: torch.Generator
) -> Simulated:
    """One pattern of each crystal, whose cell is strained first."""
    import torch

    from alphadiffract_plugin import progress
    from alphadiffract_plugin.models import lattice
    from alphadiffract_plugin.models.simulation import patterns
    from alphadiffract_plugin.models.simulation.axes import standard_changes
    from alphadiffract_plugin.models.simulation.structure_factors import lines_from_atoms
    from alphadiffract_plugin.models.training.sources import joined

    lines = patterns.strain(joined([lines_from_atoms(atoms) for atoms in crystals]), effects, generator)
    back = torch.cat([torch.linalg.inv(standard_changes(atoms.metric, atoms.space_group)) for atoms in crystals])
    metric = back @ torch.linalg.inv((lines.basis @ lines.basis.mT).double()) @ back.mT
    made = []
    for part in progress.track(torch.split(torch.arange(len(names)), BATCH), "simulating"):
        made.append(patterns.simulate(lines.take(part), COMPACT_GRID, effects, generator))
    intensity, coverage = (torch.cat(column).double().numpy() for column in zip(*made, strict=True))
    cells = lattice.cell_from_metric(metric.numpy())
    return Simulated(names, (lines.space_group + 1).numpy(), cells, intensity, coverage)
