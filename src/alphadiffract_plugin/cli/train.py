"""The command ``train``: a network from the settings in one TOML file; ``torchrun`` starts it on many GPUs."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin.errors import OutputError, SettingsError, TrainingError

if TYPE_CHECKING:
    from alphadiffract_plugin.models.training.config import RunSettings


def train(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings of the run; see examples/train_tiny.toml.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="RUN", help="Folder of the run; runs/FILE if not given."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in that folder.")] = False,
    minutes: Annotated[float | None, typer.Option(help="Stop after so many minutes; --resume continues later.")] = None,
    instrument: Annotated[
        Path | None,
        typer.Option(metavar="FILE.instprm", help="Train for the wavelength and widths of this instrument."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print sizes, memory and time, and write nothing.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where torch computes: auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a network on simulated patterns.

    Many GPUs: torchrun --nproc-per-node 8 -m alphadiffract_plugin train --config FILE.toml -o RUN
    """
    require_lightning()
    folder = output or (Path("runs") / config.stem if config else None)
    if folder is None:
        raise SettingsError("neither settings nor a run were named", fix="give --config FILE.toml, or -o RUN --resume")
    if device not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"there is no device {device!r}", fix="choose auto, cpu or cuda")
    if minutes is not None and not minutes > 0:
        raise SettingsError(f"--minutes is {minutes:g}", fix="give a number above 0")
    settings = _resumed(config, folder, instrument) if resume else _fresh(config, instrument)
    if dry_run:
        from alphadiffract_plugin.models.training.dry_run import needs

        print(needs(settings, device=device))
        return
    _train(settings, folder, resume=resume, device=device, minutes=minutes)


def _train(settings: RunSettings, folder: Path, *, resume: bool, device: str, minutes: float | None) -> None:
    from alphadiffract_plugin.models.training.session import train
    from alphadiffract_plugin.progress import say

    outcome = train(settings, folder, resume=resume, device=device, minutes=minutes)
    if outcome.first:
        seen = f"{outcome.done.patterns:,} of {settings.training.patterns:,} patterns seen"
        again = f"to continue: alphadiffract-plugin train -o {folder} --resume"
        if outcome.end == "interrupted":
            say(f"{seen}; {again}", "interrupted:", "bold red")
        elif outcome.end == "time":
            say(f"this session's {minutes or settings.training.minutes:g} minutes are over, {seen}; {again}")
        if outcome.end != "interrupted":
            print(folder / "model")
    if outcome.end == "interrupted":
        raise typer.Exit(130)


def _fresh(config: Path | None, instrument: Path | None) -> RunSettings:
    from alphadiffract_plugin.models.training.config import read

    if config is None:
        raise SettingsError("a new run needs settings", fix="give --config FILE.toml, or --resume")
    return read(config, instrument=instrument)


def _resumed(config: Path | None, folder: Path, instrument: Path | None) -> RunSettings:
    """The settings that the run began with; those that may change come from ``config`` where one is given."""
    from alphadiffract_plugin.models.training.config import difference, read

    before = folder / "run.toml"
    if not before.is_file():
        raise OutputError(
            "this is not the folder of a run", fix="begin one with --config, without --resume", where=folder
        )
    if config is None and instrument is not None:
        raise SettingsError(
            "a run can only continue with the instrument that it began with",
            fix="leave out --instrument, or begin a new run with --config FILE.toml --instrument FILE.instprm",
            where=folder,
        )
    old = read(before)
    if config is None:
        return old
    new = read(config, instrument=instrument)
    changed = difference(old, new)
    if changed:
        raise SettingsError(
            f"this run began with other settings: {changed}",
            fix="leave out --config to continue as it began, or begin a new run (start_from takes its weights)",
            where=config,
        )
    shards = dataclasses.replace(new.training, shards=old.training.shards)
    return dataclasses.replace(new, training=shards)


def require_lightning() -> None:
    """Refuse to train without the packages that the extra ``train`` installs."""
    missing = [name for name in ("lightning", "pyarrow") if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"training needs {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed",
            fix="pip install 'alphadiffract-plugin[train]'",
        )
