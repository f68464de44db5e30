"""The command ``simulate``: patterns as in the training of a network, as files and as a sheet of pictures."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin.cli.options import OverwriteOption
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
    count: Annotated[int, typer.Option(min=1, help="Number of patterns of those structures, taken in turn.")] = 12,
    random: Annotated[int, typer.Option(min=0, metavar="N", help="Number of patterns of random crystals.")] = 0,
    effects: Annotated[
        str, typer.Option(metavar="NAME_OR_TOML", help="Effects: laboratory, paper, ideal, or a TOML file for 'train'.")
    ] = "laboratory",
    instrument: Annotated[
        Path | None, typer.Option(metavar="FILE.instprm", help="Use wavelength and widths of this instrument.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATTERN", help="Show this measured pattern too; may be repeated."),
    ] = None,
    wavelength: Annotated[str | None, typer.Option(help="Wavelength of the measured patterns, as for 'index'.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="One text file a pattern (xye), or all in one (npz).")
    ] = Format.xye,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patterns.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Simulate patterns of crystals, to look at them or to test an indexer.

    Writes the patterns, truth.csv (space group and cell of each) and sheet.png.
    """
    import torch

    from alphadiffract_plugin.evaluation import simulated as report
    from alphadiffract_plugin.models.grid import COMPACT_GRID as grid
    from alphadiffract_plugin.output import check_absent, check_folder, make_folder

    if not structures and not random:
        raise SettingsError("no crystals were named", fix="name structure files, or give --random N")
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
    print(f"{output / 'sheet.png'} shows {shown} of them; {output / 'truth.csv'} lists their cells")


def chosen_effects(name: str, instrument: Path | None) -> Effects:
    """The effects of a preset or of the ``[effects]`` section of a TOML file, for an instrument if one is given.

    Raises
    ------
    SettingsError : there is no such preset or file, or a setting in it is out of range.
    """
    from alphadiffract_plugin.models.simulation.effects import PRESETS
    from alphadiffract_plugin.models.training.config import effects_of
    from alphadiffract_plugin.models.training.toml import Document

    if name not in PRESETS and not name.endswith(".toml"):
        raise SettingsError(f"no preset of effects {name!r}", fix=f"choose {', '.join(PRESETS)}, or give a .toml file")
    if name in PRESETS:
        return effects_of(Document({"effects": {"preset": name}}, "", Path(name)), instrument)
    return effects_of(Document.read(Path(name)), instrument)
