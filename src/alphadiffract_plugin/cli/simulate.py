"""``simulate``: patterns as a network is fed with them in training, as files and as a sheet of pictures."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin.errors import SettingsError

if TYPE_CHECKING:
    from alphadiffract_plugin.models.simulation.effects import Effects


class Format(str, enum.Enum):
    """How patterns are written."""

    xye = "xye"
    npz = "npz"


def simulate(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder for the patterns.")],
    structures: Annotated[
        list[Path] | None, typer.Argument(metavar="STRUCTURES", help="Structure files: .parquet or .cif.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Patterns of those structures, which are drawn in turn.")] = 12,
    random: Annotated[int, typer.Option(min=0, metavar="N", help="Patterns of crystals made up at random.")] = 0,
    effects: Annotated[
        str, typer.Option(metavar="NAME_OR_TOML", help="laboratory, paper, ideal, or a TOML file of training.")
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

    from alphadiffract_plugin.evaluation import simulated as report
    from alphadiffract_plugin.models.grid import COMPACT_GRID as grid
    from alphadiffract_plugin.output import check_absent, check_folder, make_folder

    if not structures and not random:
        raise SettingsError("there is nothing to simulate", fix="name structure files, or give --random N")
    check_folder(output)
    check_absent([output], overwrite=overwrite)
    settings = chosen_effects(effects, instrument)
    measured_panels = [report.measured_panel(path, wavelength) for path in measured or ()]
    generator = torch.Generator().manual_seed(seed)
    made = report.simulated_patterns(
        *report.crystals_of(structures or [], count, random, generator), settings, generator
    )
    make_folder(output)
    report.remove_earlier(output)
    if form is Format.npz:
        report.write_npz(made, output / "patterns.npz")
    else:
        report.write_xye(made, output)
    report.write_truth(made, output / "truth.csv")
    shown = report.write_sheet(made, measured_panels, output / "sheet.png")
    print(
        f"{len(made.id)} patterns from {grid.two_theta_min:g} to {grid.two_theta_max:g} degrees at {grid.wavelength} Å"
    )
    print(f"{output / 'sheet.png'} shows {shown} of them; {output / 'truth.csv'} tells their cells")


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
        raise SettingsError(f"no preset of effects {name!r}", fix=f"choose {', '.join(PRESETS)}, or give a .toml file")
    if name in PRESETS:
        return effects_of(Document({"effects": {"preset": name}}, "", Path(name)), instrument)
    return effects_of(Document.read(Path(name)), instrument)
