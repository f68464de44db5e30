"""The commands ``evaluate`` and ``release``: how good a network is, and a model folder of it for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin.cli.options import OverwriteOption

if TYPE_CHECKING:
    from alphadiffract_plugin.evaluation.evaluate import Section


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, its folder, or the folder of a run.")],
    structures: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Structure file (.parquet) whose patterns are simulated; may be repeated."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Simulate the structures of this run, with its effects."),
    ] = None,
    benchmark: Annotated[
        Path | None, typer.Option(metavar="INDEX.csv", help="An index of measured patterns; see docs/training.md.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write JSON, Markdown and pictures here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of Markdown.")] = False,
    split: Annotated[str, typer.Option(help="Which structures are simulated: train, val or test.")] = "val",
    effects: Annotated[
        str,
        typer.Option(metavar="PRESET", help="Effects for --structures: laboratory, paper or ideal."),
    ] = "laboratory",
    each: Annotated[int, typer.Option(min=1, help="Use at most so many structures of each crystal system.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 20261121,
    device: Annotated[str, typer.Option(help="Where torch computes: auto, cpu or cuda.")] = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Measure how good a network is, on simulated and on measured patterns.

    Gives the accuracy by crystal system with 95 % intervals, the calibration, the distance of wrong space groups from
    the right ones on the graph of maximal subgroups, and the errors of the cell.
    """
    import json

    from alphadiffract_plugin.errors import SettingsError
    from alphadiffract_plugin.evaluation import report as report
    from alphadiffract_plugin.evaluation.evaluate import on_index
    from alphadiffract_plugin.evaluation.members import model_folder
    from alphadiffract_plugin.output import check_absent, check_folder

    kinds = [*(["simulated"] if structures or run else []), *(["measured"] if benchmark else [])]
    if not kinds or (structures and run):
        raise SettingsError(
            "no patterns were named" if not kinds else "--structures and --run exclude each other",
            fix="give --structures FILE or --run RUN for simulated patterns, --benchmark INDEX.csv for measured ones",
        )
    if output:
        check_folder(output)
        check_absent([output / name for name in report.names_of(kinds)], overwrite=overwrite)
    folder, name = model_folder(model)
    sections = []
    if structures or run:
        sections.append(_simulated(folder, structures, run, effects, split=split, each=each, seed=seed, device=device))
    if benchmark:
        sections.append(on_index(folder, benchmark, device=device, seed=seed))
    evaluation = report.document(name, folder, sections)
    print(json.dumps(evaluation, indent=1, allow_nan=False) if as_json else report.markdown(evaluation), end="")
    if output:
        report.write(evaluation, output)


def release(
    sources: Annotated[
        list[str], typer.Argument(metavar="RUN_OR_MODEL", help="Runs or models; several become an ensemble.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Write the model folder DIR/NAME.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the model.")],
    evaluation: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder that 'evaluate -o' wrote for these weights; its figures enter the card."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="INDEX.csv", help="Calibrate the probabilities on these measured patterns."),
    ] = None,
) -> None:
    """Make one model folder of runs or models, with a card that says what was measured of it."""
    from alphadiffract_plugin.errors import SettingsError
    from alphadiffract_plugin.evaluation import release as packing
    from alphadiffract_plugin.output import check_folder

    if name in ("", ".", "..", "default") or "/" in name or "\\" in name or name.startswith("member-"):
        raise SettingsError(f"{name!r} cannot be the name of a model", fix="give a plain name, such as mine-2026-11")
    check_folder(output)
    print(packing.release(sources, output / name, evaluation=evaluation, calibrate=calibrate))


def _simulated(
    folder: Path,
    structures: list[Path] | None,
    run: Path | None,
    preset: str,
    *,
    split: str,
    each: int,
    seed: int,
    device: str,
) -> Section:
    """The section on simulated patterns: of structure files, of the structures of a run, or of its random crystals."""
    from alphadiffract_plugin.errors import OutputError, SettingsError
    from alphadiffract_plugin.evaluation.evaluate import on_random, on_structures
    from alphadiffract_plugin.models.simulation.effects import PRESETS

    if run is None:
        if preset not in PRESETS:
            raise SettingsError(f"there is no preset of effects {preset!r}", fix=f"choose one of {', '.join(PRESETS)}")
        return on_structures(
            folder, structures or [], PRESETS[preset], split=split, each=each, seed=seed, device=device
        )
    from alphadiffract_plugin.models.training.config import read

    if not (run / "run.toml").is_file():
        raise OutputError("this is not the folder of a run", fix="give the folder that `train -o` made", where=run)
    settings = read(run / "run.toml")
    if not settings.data.structures:
        return on_random(folder, settings, each=each, seed=seed, device=device)
    files = [Path(name) for name in settings.data.structures]
    return on_structures(folder, files, settings.effects, split=split, each=each, seed=seed, device=device)
