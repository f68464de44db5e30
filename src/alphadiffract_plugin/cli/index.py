"""The command ``index``: from patterns to ranked cells and space groups."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin import registry
from alphadiffract_plugin.cli.options import (
    ConfigOption,
    Device,
    ExcludeOption,
    OverwriteOption,
    Positions,
    RadiationOption,
    RangeOption,
    RietveldOption,
    SetOption,
    WavelengthOption,
    check_rietveld,
    lines_from_options,
    pattern_from_options,
    settings_from_options,
)
from alphadiffract_plugin.progress import say

if TYPE_CHECKING:
    from alphadiffract_plugin.hooks import Seeder


def index(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Measured constant-wavelength patterns.")
    ] = None,
    peaks: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Index a list of lines in place of a pattern: text with positions in two_theta, d or 1/d², perhaps "
            "intensities and esds; or the JSON of an answer. May be repeated.",
        ),
    ] = None,
    peaks_in: Annotated[
        Positions | None,
        typer.Option("--peaks-in", help="What the positions of the list are; needed where it does not say."),
    ] = None,
    within: RangeOption = None,
    exclude: ExcludeOption = None,
    wavelength: WavelengthOption = None,
    radiation: RadiationOption = None,
    indexer: Annotated[
        str, typer.Option(metavar="NAME", help="What indexes; 'plugins' lists the indexers.")
    ] = "alphadiffract",
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_DIR", help="The network, 'default' if not given; see 'models list'."),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to make below -o DIR; 'plugins' lists the seeders. Without it: the bundle, and a GSAS-II "
            "project where GSAS-II is installed.",
        ),
    ] = None,
    rietveld: RietveldOption = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write NAME.json, NAME.png and NAME/SEEDER/ here."),
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the answer as JSON; '-' for standard output.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write one line of JSON a pattern; '-' for standard output.")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where the network computes; auto if not given.")] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    overwrite: OverwriteOption = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Patterns indexed at the same time, a core each; all cores if not given."
        ),
    ] = None,
    number_of_threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            metavar="N",
            help="Cores for one pattern: its lattices are searched at the same time. That saves a few per cent of the "
            "time; for many patterns use --jobs. OMP_NUM_THREADS if not given, else 1.",
        ),
    ] = None,
) -> None:
    """Find the cell and space group of measured patterns, or of lists of lines.

    Prints the ranked candidates; of several patterns, the first answer of each.
    """
    from alphadiffract_plugin import threads
    from alphadiffract_plugin.cli.batch import Batch
    from alphadiffract_plugin.cli.jobs import number_of_processes
    from alphadiffract_plugin.cli.lists import ListTask
    from alphadiffract_plugin.cli.task import STDOUT, Outputs, Task
    from alphadiffract_plugin.readers.selection import selection_from_text
    from alphadiffract_plugin.report.tables import overview, print_report, result_report, stdout

    paths = _files_or_lists(files or [], peaks or [], indexer, seed)
    if seed and output is None:
        raise typer.BadParameter("a seed needs a folder: give -o DIR", param_hint="--seed")
    settings = settings_from_options(
        config,
        assignments,
        network__model=model,
        network__device=device.value if device else None,
        seed__rietveld=check_rietveld(rietveld, seed),
    )
    chosen = registry.plugins().indexer(indexer)
    seeders = (registry.plugins().seeder(seed),) if seed else _usual_seeders() if output else ()
    optional = frozenset() if seed else frozenset({"gsasii"})
    outputs = Outputs(output, json, jsonl, seeders, optional, overwrite)
    part = selection_from_text(within, exclude)
    notes = () if part.is_everything else (f"Only a part of the lines or points was used: {part}.",)
    load = functools.partial(
        pattern_from_options, wavelength=wavelength, radiation=radiation, selection=part, settings=settings.peaks
    )
    task = Task(chosen, load, settings, outputs, notes)
    if peaks:
        kind = peaks_in.value if peaks_in else None
        lines = functools.partial(lines_from_options, wavelength=wavelength, kind=kind, selection=part)
        task = ListTask(chosen, load, settings, outputs, notes, lines)
    batch = Batch(task, number_of_processes(task, jobs) if len(paths) > 1 else 1)
    with threads.limited(number_of_threads):
        answers = batch.run(paths)
    if STDOUT not in (json, jsonl):
        print_report(result_report(answers[0][1], stdout().width) if len(paths) == 1 else [overview(answers)])
    if batch.seeded and not seed and len(seeders) == 1:
        say("GSAS-II was not found: a bundle was made, but no .gpx project; 'doctor' says how to install GSAS-II")
    if batch.failed:
        say(f"{len(batch.failed)} of {len(paths)} {'lists' if peaks else 'patterns'} failed")
        raise typer.Exit(2)


def _files_or_lists(files: list[Path], peaks: list[Path], indexer: str, seed: str | None) -> list[Path]:
    """The files of the one kind that was given; anything that does not go with it is refused."""
    if bool(files) == bool(peaks):
        raise typer.BadParameter(
            "give patterns, or lists of lines with --peaks, and not both"
            if files
            else "give a pattern as FILE, or a list of lines with --peaks",
            param_hint="FILE",
        )
    if peaks and indexer != "alphadiffract":
        raise typer.BadParameter(f"the indexer {indexer} takes no list of lines", param_hint="--peaks")
    if peaks and seed:
        raise typer.BadParameter(
            "a refinement needs a pattern: index the list with --json, then 'seed ANSWER.json PATTERN'",
            param_hint="--seed",
        )
    return files or peaks


def _usual_seeders() -> tuple[Seeder, ...]:
    from alphadiffract_plugin.gsasii import installation

    names = ("bundle",) if installation.find() is None else ("bundle", "gsasii")
    return tuple(registry.plugins().seeder(name) for name in names)
