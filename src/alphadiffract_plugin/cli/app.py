"""The command line: results on stdout, everything else on stderr; errors caught once, here.

Exit codes: 0 done, 2 an error whose message says how to fix it, 130 interrupted.
"""

from __future__ import annotations

import enum
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin import __version__
from alphadiffract_plugin.errors import AlphaDiffractError
from alphadiffract_plugin.hooks import PluginError
from alphadiffract_plugin.progress import say
from alphadiffract_plugin.registry import plugins

if TYPE_CHECKING:
    from alphadiffract_plugin.hooks import Seeder
    from alphadiffract_plugin.records import Histogram

NAME = "alphadiffract-plugin"


class Device(str, enum.Enum):
    """Where torch computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Radiation(str, enum.Enum):
    """What was scattered."""

    xray = "xray"
    neutron = "neutron"


WavelengthOption = Annotated[
    str | None,
    typer.Option(
        help="In Å (1.5406), as a doublet (1.5405/1.5443/0.5), by name (CuKa, CuKa1, MoKa ...) or an .instprm file; "
        "needed where the file does not hold it."
    ),
]
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
RadiationOption = Annotated[Radiation | None, typer.Option(help="Needed for neutrons where the file does not say so.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace output that is already there.")]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process; ``argv`` without the program's name, None for ``sys.argv``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        application()(args=argv, prog_name=NAME)
    except (AlphaDiffractError, PluginError) as error:
        say(str(error), "error:", "bold red")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as leaving:  # typer makes the first into the second
        if isinstance(leaving, SystemExit) and leaving.code != INTERRUPTED:
            raise
        say("what is written whole so far stays", "interrupted:", "bold red")
        sys.exit(INTERRUPTED)


def application() -> typer.Typer:
    """The commands of this package and of every plugin."""
    app = typer.Typer(
        name=NAME, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, callback=_top
    )
    app.command("index")(index)
    app.command("seed")(seed)
    app.command("plugins")(list_plugins)
    app.command("doctor")(doctor)
    from alphadiffract_plugin.cli.models import models

    app.add_typer(models, name="models")
    plugins().add_commands(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{NAME} {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """From a measured powder pattern to a ranked cell and space group, and a seeded GSAS-II refinement."""


def index(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Measured constant-wavelength patterns.")],
    wavelength: WavelengthOption = None,
    radiation: RadiationOption = None,
    indexer: Annotated[str, typer.Option(metavar="NAME", help="Who answers; see 'plugins'.")] = "alphadiffract",
    model: Annotated[str, typer.Option(metavar="NAME_OR_DIR", help="The network; see 'models list'.")] = "default",
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to seed below -o DIR; see 'plugins'. Without it: the bundle, and a GSAS-II project where "
            "GSAS-II is installed.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write NAME.json, NAME.png and NAME/SEEDER/ here."),
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="The answer as JSON; '-' for standard output.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option(metavar="FILE", help="One JSON line a pattern; '-' for standard output.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where torch computes.")] = Device.auto,
    overwrite: OverwriteOption = False,
) -> None:
    """Find the cell and space group of measured patterns.

    Prints the ranked candidates, the first answer of each where several patterns are given.
    """
    from alphadiffract_plugin.cli.batch import STDOUT, Batch, Outputs
    from alphadiffract_plugin.report.tables import overview, print_report, result_report, stdout
    from alphadiffract_plugin.settings import NetworkSettings, SeedSettings, Settings

    if seed and output is None:
        raise typer.BadParameter("a seed needs a folder: give -o DIR", param_hint="--seed")
    chosen = plugins().indexer(indexer)
    seeders = (plugins().seeder(seed),) if seed else _usual_seeders() if output else ()
    optional = frozenset() if seed else frozenset({"gsasii"})
    batch = Batch(
        indexer=chosen,
        load=lambda path: _load(path, wavelength, radiation),
        settings=Settings(
            network=NetworkSettings(model=model, device=device.value), seed=SeedSettings(overwrite=overwrite)
        ),
        outputs=Outputs(output, json, jsonl, seeders, optional, overwrite),
    )
    answers = batch.run(files)
    if STDOUT not in (json, jsonl):
        print_report(result_report(answers[0][1], stdout().width) if len(files) == 1 else [overview(answers)])
    if batch.seeded and not seed and len(seeders) == 1:
        say(f"GSAS-II was not found: the bundle is there, no .gpx ('{NAME} doctor' tells how to get it)")
    if batch.failed:
        say(f"{len(batch.failed)} of {len(files)} patterns failed")
        raise typer.Exit(2)


def seed(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="What 'index --json' or '-o' wrote.")],
    pattern: Annotated[Path, typer.Argument(metavar="PATTERN", help="The pattern that the result belongs to.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Write NAME/SEEDER/ here.")],
    seed: Annotated[str, typer.Option(metavar="NAME", help="What to seed; see 'plugins'.")] = "bundle",
    wavelength: WavelengthOption = None,
    radiation: RadiationOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Start a refinement from an answer that 'index' wrote earlier."""
    from alphadiffract_plugin.cli.seeding import answer_from_file, check_belongs, check_seeds, seed_into, seed_line
    from alphadiffract_plugin.settings import SeedSettings, Settings

    seeder = plugins().seeder(seed)
    answer = answer_from_file(result)
    name = pattern.stem
    check_seeds(output, name, [seeder], overwrite=overwrite)
    histogram = _load(pattern, wavelength, radiation)
    check_belongs(answer, histogram, result)
    if answer.histogram != histogram.name:
        say(f"the answer is that of {answer.histogram}; it seeds {histogram.name}", "note:", "yellow")
    report = seed_into(output, name, seeder, histogram, answer, Settings(seed=SeedSettings(overwrite=overwrite)))
    print(seed_line(report))
    for note in report.notes:
        say(note, "note:", "yellow")


def list_plugins() -> None:
    """List the indexers and seeders by name, the plugins they come from, and plugins that are broken."""
    from alphadiffract_plugin.cli.plugins import plugins_report
    from alphadiffract_plugin.report.tables import print_report

    print_report(plugins_report(plugins()))


def doctor(
    gsasii: Annotated[
        bool, typer.Option("--gsasii", help="Also make, save and open a small project with GSAS-II (seconds).")
    ] = False,
) -> None:
    """Say what was found of Python, torch, CUDA, GSAS-II, models and plugins, each with how to fix it."""
    from alphadiffract_plugin.cli.doctor import doctor_report, examine
    from alphadiffract_plugin.report.tables import print_report

    print_report(doctor_report(examine(plugins(), gsasii=gsasii)))


def _load(path: Path, wavelength: str | None, radiation: Radiation | None) -> Histogram:
    from alphadiffract_plugin.load import histogram_from_file

    return histogram_from_file(path, wavelength=wavelength, radiation=radiation.value if radiation else None)


def _usual_seeders() -> tuple[Seeder, ...]:
    from alphadiffract_plugin.gsasii import find

    names = ("bundle",) if find() is None else ("bundle", "gsasii")
    return tuple(plugins().seeder(name) for name in names)
