"""``simulate``: patterns as a network is fed with them in training, as files and as a sheet of pictures."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

    from alphadiffract_plugin.models.simulation.effects import Effects
    from alphadiffract_plugin.models.simulation.records import Lines
    from alphadiffract_plugin.models.simulation.sheet import Panel

COUNTS = 10_000
"""Intensity at the maximum of a pattern that is written as a file."""
SHOWN = 24
"""Most simulated patterns on the sheet."""
BATCH = 128
"""Patterns that are made at a time."""


class Format(str, enum.Enum):
    """How patterns are written."""

    xye = "xye"
    npz = "npz"


def simulate(
    structures: Annotated[
        list[Path] | None, typer.Argument(metavar="STRUCTURES", help="Structure files: .parquet or .cif.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder for the patterns.")] = ...,
    count: Annotated[int, typer.Option(min=1, help="Patterns of those structures, which are drawn in turn.")] = 12,
    random: Annotated[int, typer.Option(min=0, metavar="N", help="Patterns of crystals made up at random.")] = 0,
    effects: Annotated[
        str, typer.Option(metavar="NAME_OR_TOML", help="laboratory, paper, still, or a TOML file of training.")
    ] = "laboratory",
    instrument: Annotated[
        Path | None, typer.Option(metavar="FILE.instprm", help="Wavelength and widths of this instrument.")
    ] = None,
    measured: Annotated[
        list[Path] | None, typer.Option(metavar="PATTERN", help="Show this pattern on the sheet; may be repeated.")
    ] = None,
    wavelength: Annotated[str | None, typer.Option(help="Of the measured patterns, as 'index' takes it.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="One text file a pattern (xye), or all in one (npz).")
    ] = Format.xye,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patterns.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace output that is already there.")] = False,
) -> None:
    """Simulate patterns of crystals, to look at or to try an indexer on.

    Writes the patterns, truth.csv (space group and cell of each) and sheet.png.
    """
    import torch

    from alphadiffract_plugin.models.grid import COMPACT_GRID as grid
    from alphadiffract_plugin.models.simulation.sheet import save_sheet
    from alphadiffract_plugin.output import check_absent, check_folder, make_folder, write_whole

    if not structures and not random:
        raise SettingsError("there is nothing to simulate", mend="name structure files, or give --random N")
    check_folder(output)
    check_absent([output], overwrite=overwrite)
    settings = chosen_effects(effects, instrument)
    panels = [_measured_panel(path, wavelength) for path in measured or ()]
    generator = torch.Generator().manual_seed(seed)
    names, lines = _crystals(structures or [], count, random, generator)
    cells, intensity, coverage = _patterns(lines, settings, generator)
    groups = (lines.space_group + 1).numpy()
    make_folder(output)
    if form is Format.npz:
        write_whole(output / "patterns.npz", lambda path: _write_npz(path, names, groups, cells, intensity, coverage))
    else:
        _write_xye(output, settings, intensity, coverage)
    _write_truth(output / "truth.csv", names, groups, cells)
    shown = [_panel(names[i], groups[i], cells[i], intensity[i], coverage[i]) for i in range(min(SHOWN, len(names)))]
    write_whole(output / "sheet.png", lambda path: save_sheet(shown + panels, path))
    print(f"{len(names)} patterns from {grid.two_theta_min:g} to {grid.two_theta_max:g} degrees at {grid.wavelength} Å")
    print(f"{output / 'sheet.png'} shows {len(shown)} of them; {output / 'truth.csv'} tells their cells")


def chosen_effects(name: str, instrument: Path | None) -> Effects:
    """The effects of a preset or of the ``[effects]`` section of a TOML file, with one's own instrument if given.

    Raises
    ------
    SettingsError : no such preset or file, or a setting of it makes no sense.
    """
    from alphadiffract_plugin.models.simulation.effects import PRESETS
    from alphadiffract_plugin.models.training.config import effects_of
    from alphadiffract_plugin.models.training.toml import Document

    if name not in PRESETS and not name.endswith(".toml"):
        raise SettingsError(f"no preset of effects {name!r}", mend=f"choose {', '.join(PRESETS)}, or give a .toml file")
    if name in PRESETS:
        return effects_of(Document({"effects": {"preset": name}}, "", Path(name)), instrument)
    return effects_of(Document.read(Path(name)), instrument)


def _crystals(files: list[Path], count: int, random: int, generator: object) -> tuple[list[str], Lines]:
    """Names and lines: ``count`` structures of the files in random order, again and again, then random crystals."""
    import dataclasses

    import torch

    from alphadiffract_plugin.models.simulation.lines import atoms_from_structures
    from alphadiffract_plugin.models.simulation.records import Lines
    from alphadiffract_plugin.models.simulation.structure_factors import lines_from_atoms
    from alphadiffract_plugin.models.structures.table import unpack

    names: list[str] = []
    found: list[Lines] = []
    if files:
        structures = unpack(_table(files))
        order = torch.randperm(len(structures), generator=generator)
        which = order.repeat(-(-count // len(order)))[:count].numpy()
        names += [str(name) for name in structures.id[which]]
        found.append(lines_from_atoms(atoms_from_structures(structures, which)))
    if random:
        from alphadiffract_plugin.models.simulation.random_crystals import random_lines

        names += [f"random:{i}" for i in range(1, random + 1)]
        found.append(random_lines(random, generator))
    columns = [[getattr(lines, field.name) for lines in found] for field in dataclasses.fields(Lines)]
    return names, Lines(*map(torch.cat, columns))


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
                mend="mend the CIF, or leave it out",
                where=fault.file,
            )
        tables.append(build.table_from_rows(built.rows))
    return pa.concat_tables(tables, promote_options="permissive")


def _patterns(lines: Lines, effects: Effects, generator: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells as simulated (N, 6), intensity and coverage (N, L)."""
    import dataclasses

    import numpy as np
    import torch

    from alphadiffract_plugin import progress
    from alphadiffract_plugin.models import lattice
    from alphadiffract_plugin.models.grid import COMPACT_GRID
    from alphadiffract_plugin.models.simulation import patterns
    from alphadiffract_plugin.models.simulation.records import Lines

    lines = patterns.strain(lines, effects, generator)
    metric = torch.linalg.inv((lines.basis @ lines.basis.mT).double())
    made = []
    for part in progress.track(torch.arange(len(metric)).split(BATCH), "simulating"):
        some = Lines(*(getattr(lines, field.name)[part] for field in dataclasses.fields(Lines)))
        made.append(patterns.simulate(some, COMPACT_GRID, effects, generator))
    intensity, coverage = (torch.cat(column).double().numpy() for column in zip(*made, strict=True))
    return np.asarray(lattice.cell_from_metric(metric.numpy())), intensity, coverage


def _two_theta() -> np.ndarray:
    import numpy as np

    from alphadiffract_plugin.models.grid import COMPACT_GRID as grid

    return np.linspace(grid.two_theta_min, grid.two_theta_max, grid.length)


def _write_xye(folder: Path, effects: Effects, intensity: np.ndarray, coverage: np.ndarray) -> None:
    """One file a pattern, numbered from 1: what was measured of it, with the counts that its noise goes with."""
    import numpy as np

    from alphadiffract_plugin.load import write_xye
    from alphadiffract_plugin.models.grid import COMPACT_GRID
    from alphadiffract_plugin.records import Histogram

    two_theta, digits = _two_theta(), len(str(len(intensity)))
    for number, (y, seen) in enumerate(zip(intensity, coverage, strict=True), 1):
        kept = seen > 0
        counts = np.round(COUNTS * y[kept], 3)
        histogram = Histogram(np.round(two_theta[kept], 6), counts, None, (COMPACT_GRID.wavelength,))
        write_xye(histogram, folder / f"{number:0{digits}d}.xye")


def _write_npz(path: Path, names: list[str], groups: np.ndarray, cells: np.ndarray, *made: np.ndarray) -> None:
    import numpy as np

    from alphadiffract_plugin.models.grid import COMPACT_GRID

    columns = {"id": np.array(names), "space_group": groups, "cell": cells}
    columns |= {"intensity": made[0].astype(np.float32), "coverage": made[1].astype(np.uint8)}
    with open(path, "wb") as file:
        np.savez_compressed(file, two_theta=_two_theta(), wavelength=COMPACT_GRID.wavelength, **columns)


def _write_truth(path: Path, names: list[str], groups: np.ndarray, cells: np.ndarray) -> None:
    import csv
    import io

    from alphadiffract_plugin.output import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "id", "space_group", "a", "b", "c", "alpha", "beta", "gamma"])
    for number, row in enumerate(zip(names, groups, cells, strict=True), 1):
        writer.writerow([number, row[0], row[1], *(f"{value:.5f}" for value in row[2])])
    write_text(path, text.getvalue())


def _panel(name: str, group: int, cell: np.ndarray, intensity: np.ndarray, coverage: np.ndarray) -> Panel:
    import numpy as np

    from alphadiffract_plugin.crystal import symbol_from_space_group
    from alphadiffract_plugin.models.simulation.sheet import Panel

    lengths, angles = " ".join(f"{v:.2f}" for v in cell[:3]), " ".join(f"{v:.1f}" for v in cell[3:])
    title = f"{name}  {symbol_from_space_group(int(group))}  {lengths}  {angles}"
    return Panel(_two_theta(), np.where(coverage > 0, intensity, np.nan), title)


def _measured_panel(path: Path, wavelength: str | None) -> Panel:
    """A measured pattern on the same axis, its background removed, as a network is fed with it."""
    import dataclasses

    import numpy as np

    from alphadiffract_plugin.load import histogram_from_file
    from alphadiffract_plugin.models.grid import COMPACT_GRID, COMPACT_NORMALISATION
    from alphadiffract_plugin.models.simulation.sheet import Panel
    from alphadiffract_plugin.prepare import prepare

    linear = dataclasses.replace(COMPACT_NORMALISATION, square_root=False)
    intensity, coverage = prepare(histogram_from_file(path, wavelength=wavelength), COMPACT_GRID, linear)
    return Panel(_two_theta(), np.where(coverage > 0, intensity, np.nan), f"measured: {path.stem}", measured=True)
