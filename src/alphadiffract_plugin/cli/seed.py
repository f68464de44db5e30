"""The command ``seed``: from an answer that was written earlier to the start of a refinement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alphadiffract_plugin import registry
from alphadiffract_plugin.cli.options import (
    ConfigOption,
    OverwriteOption,
    RadiationOption,
    RietveldOption,
    SetOption,
    WavelengthOption,
    check_rietveld,
    pattern_from_options,
    settings_from_options,
)
from alphadiffract_plugin.progress import say


def seed(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="What 'index --json' or '-o' wrote.")],
    pattern: Annotated[Path, typer.Argument(metavar="PATTERN", help="The pattern that the result belongs to.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Write NAME/SEEDER/ here.")],
    seed: Annotated[str, typer.Option(metavar="NAME", help="What to make; 'plugins' lists the seeders.")] = "bundle",
    rietveld: RietveldOption = None,
    wavelength: WavelengthOption = None,
    radiation: RadiationOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Start a refinement from an answer that 'index' wrote earlier."""
    from alphadiffract_plugin.cli.seeding import (
        answer_from_file,
        check_able,
        check_belongs,
        check_seeds,
        seed_into,
        seed_line,
    )

    settings = settings_from_options(config, assignments, seed__rietveld=check_rietveld(rietveld, seed))
    seeder = registry.plugins().seeder(seed)
    answer = answer_from_file(result)
    name = pattern.stem
    check_able([seeder])
    check_seeds(output, name, [seeder], overwrite=overwrite)
    histogram = pattern_from_options(pattern, wavelength, radiation)
    check_belongs(answer, histogram, result)
    if answer.histogram != histogram.name:
        say(f"the answer is that of {answer.histogram}, and is used for {histogram.name}", "note:", "yellow")
    report = seed_into(output, name, seeder, histogram, answer, settings, overwrite=overwrite)
    print(seed_line(report))
    for note in report.notes:
        say(note, "note:", "yellow")
