"""Options that several commands share, and what they become: a pattern that is read, settings that are checked."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from alphadiffract_plugin.readers.selection import Selection
    from alphadiffract_plugin.records import Histogram, Peaks
    from alphadiffract_plugin.settings import PeakSettings, Settings


class Device(str, enum.Enum):
    """Where the network computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Positions(str, enum.Enum):
    """What the positions of a list are."""

    two_theta = "two_theta"
    d = "d"
    inv_d2 = "inv_d2"


class Radiation(str, enum.Enum):
    """What was scattered."""

    xray = "xray"
    neutron = "neutron"


WavelengthOption = Annotated[
    str | None,
    typer.Option(
        help="Wavelength in Å (1.5406), as a doublet (1.5405/1.5443/0.5), by name (CuKa, CuKa1, MoKa ...) or as an "
        ".instprm file; needed where the pattern file does not hold it."
    ),
]
RadiationOption = Annotated[
    Radiation | None, typer.Option(help="Kind of radiation; needed for neutrons where the file does not say so.")
]
RangeOption = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW-HIGH", help="Use this range of the positions alone, such as 10-80 (degrees)."),
]
ExcludeOption = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Ignore lines and ranges: 26.6,44.7-45.2. Ranges are cut out, a line with its Kα2 as it was fitted.",
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace output that is already there.")]
RietveldOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.cif",
        help="Go on from the Le Bail fit to a Rietveld refinement with the atoms of this structure; needs the seeder "
        "gsasii.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Read settings from this file; see the command 'settings'.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as search.volume_max=800; may be repeated, and overrides --config. The "
        "command 'settings' lists all.",
    ),
]


def settings_from_options(config: Path | None, assignments: list[str] | None, **named: Any) -> Settings:
    """The settings of one run: the defaults, then ``--config``, then ``--set``, then options of their own.

    Parameters
    ----------
    config, assignments : what ``--config`` and ``--set`` gave.
    named : the values of options of their own by key, a double underscore for the dot; None where one was not given.

    Raises
    ------
    SettingsError : a key is unknown, or a value out of range.
    """
    from alphadiffract_plugin.settings import Settings
    from alphadiffract_plugin.settings_file import changes_from_assignments, changes_from_toml

    changes = changes_from_toml(config) if config else {}
    changes |= changes_from_assignments(assignments or ())
    changes |= {key.replace("__", "."): value for key, value in named.items() if value is not None}
    return Settings().changed(changes)


def check_rietveld(structure: Path | None, seeder: str | None) -> str | None:
    """The path of ``--rietveld`` as a setting, after a look at the file; None if it was not given.

    Raises
    ------
    SettingsError : the seeder that was chosen does not refine.
    InputError : the file cannot be read, or has no atoms.
    """
    from alphadiffract_plugin.errors import SettingsError

    if structure is None:
        return None
    if seeder != "gsasii":
        raise SettingsError(
            "--rietveld needs the seeder gsasii",
            fix="add --seed gsasii; or make a bundle without it, and run its make_rietveld.py FILE.cif",
        )
    from alphadiffract_plugin.gsasii.structures import structure_from_cif

    structure_from_cif(structure)
    return str(structure)


def pattern_from_options(
    path: Path,
    wavelength: str | None,
    radiation: Radiation | None,
    selection: Selection | None = None,
    settings: PeakSettings | None = None,
) -> Histogram:
    """The pattern of a file, read with ``--wavelength`` and ``--radiation``; raises as ``histogram_from_file``.

    With a selection, the part of it that ``--range`` and ``--exclude`` leave; raises as ``part_of_pattern``.
    """
    from alphadiffract_plugin.load import histogram_from_file

    histogram = histogram_from_file(path, wavelength=wavelength, radiation=radiation.value if radiation else None)
    if selection is None or settings is None or selection.is_everything:
        return histogram
    from alphadiffract_plugin.part_of_pattern import part_of_pattern

    return part_of_pattern(histogram, selection, settings)


def lines_from_options(path: Path, wavelength: str | None, kind: str | None, selection: Selection) -> Peaks:
    """The lines of a list, read with ``--wavelength`` and ``--peaks-in``; raises as ``peaks_from_file``."""
    from alphadiffract_plugin.load import peaks_from_file

    return peaks_from_file(path, wavelength=wavelength, kind=kind, selection=selection)
