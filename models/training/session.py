"""One session of a run, from the settings to the model folder: processes, signals, what a person sees."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from alphadiffract_plugin import progress
from alphadiffract_plugin.errors import SettingsError

from .config import RunSettings
from .data import Data, open_data, validation_batches
from .loop import run
from .run_folder import RunFolder
from .trainer import Progress, Trainer
from .validation import validate

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CACHE = "packed"
"""Folder beside the run, for the packed lines of all runs there."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a session ended."""

    end: str
    """``done``, ``time`` (the session's minutes are over) or ``interrupted``."""
    done: Progress
    """How far the run has come."""
    first: bool
    """Whether this is the first of the processes, which speaks for all."""


def train(
    settings: RunSettings, path: Path, *, resume: bool, device: str = "auto", minutes: float | None = None
) -> Outcome:
    """Begin a run in a folder, or go on with the one that it holds.

    Parameters
    ----------
    settings : of the run; where it is resumed, those it began with but for what may change.
    path : the run's folder; packed lines are kept beside it.
    resume : go on from the checkpoint.
    device : ``auto``, ``cpu`` or ``cuda``.
    minutes : of this session, in place of those in the settings; 0 for no end but that of the budget.

    Raises
    ------
    OutputError : the folder holds a run, or something cannot be written.
    SettingsError : the processes cannot share the shards.
    StructureError : the structures cannot be read, or leak.
    TrainingError : the loss is no number, or the checkpoint is damaged.
    """
    fabric = make_fabric(settings, device)
    folder = RunFolder(path)
    if fabric.is_global_zero and not resume:
        folder.refuse_a_second_run()
    settings = with_shards(settings, fabric.world_size)
    shards = settings.training.shards
    with fabric.rank_zero_first():
        data = open_data(settings, fabric.device, shards=shards, cache=path.parent / CACHE)
    state = folder.load() if resume else None
    trainer = Trainer(settings, data, fabric, shards)
    if state:
        trainer.resume(state)
    else:
        trainer.initialise()
    trainer.launch()
    if fabric.is_global_zero:
        if not resume:
            folder.begin(settings)
        folder.forget_after(trainer.done.step)
    watch = reporting(settings, trainer.done, quiet=not fabric.is_global_zero)
    with interruptions() as interrupted, watch as report, threads(settings.training.threads):
        end = run(
            trainer,
            folder,
            seconds=60 * (settings.training.minutes if minutes is None else minutes),
            interrupted=interrupted,
            validate=lambda network: validated(network, settings, data, fabric.device),
            report=report,
        )
    if fabric.is_global_zero and end != "interrupted":
        folder.write_model(trainer.average, settings, trainer.provenance())
    return Outcome(end, trainer.done, fabric.is_global_zero)


def make_fabric(settings: RunSettings, device: str) -> Fabric:
    """Lightning's Fabric for this process and the others that ``torchrun`` started."""
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
    from lightning.fabric.strategies import DDPStrategy

    for name in ("lightning.fabric", "lightning.pytorch"):  # what they say of themselves helps nobody
        logging.getLogger(name).setLevel(logging.WARNING)
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("torch finds no CUDA device here", fix="choose auto or cpu; `doctor` says what was found")
    gpu = device != "cpu" and torch.cuda.is_available()
    torch.set_float32_matmul_precision("high")
    torchrun = TorchElasticEnvironment.detect()
    world = int(os.environ["WORLD_SIZE"]) if torchrun else 1
    each = int(os.environ.get("LOCAL_WORLD_SIZE", world)) if torchrun else 1
    weights = dataclasses.asdict(settings.loss).values()
    fabric = Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=each,
        num_nodes=world // each,
        strategy=DDPStrategy(find_unused_parameters=not all(weights)) if world > 1 else "auto",
        precision="32-true",  # mixed precision is the loop's own: Fabric would round the patterns too
        plugins=[TorchElasticEnvironment() if torchrun else LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def with_shards(settings: RunSettings, processes: int) -> RunSettings:
    """The settings with the number of shards settled.

    Raises
    ------
    SettingsError : shards cannot be shared by so many processes.
    """
    training = dataclasses.replace(settings.training, shards=settings.training.shards or processes)
    if training.shards % processes:
        raise SettingsError(
            f"{processes} processes cannot share shards {training.shards}",
            fix=f"launch as many processes as divide {training.shards}, or begin a run with another number of shards",
        )
    return dataclasses.replace(settings, training=training)


def validated(network: nn.Module, settings: RunSettings, data: Data, device: torch.device) -> list[dict[str, Any]]:
    """The rows of a validation; none where no structure is held out."""
    batches = list(validation_batches(settings, data, device))
    if not batches:
        progress.say("no structure is held out for validation, so the network is not judged", "note:", "yellow")
        return []
    return validate(network, batches)


@contextmanager
def interruptions() -> Iterator[Callable[[], bool]]:
    """A function that tells whether SIGINT or SIGTERM has come; a second one ends the process at once."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def note(number: int, frame: object) -> None:
        came.set()
        signal.signal(number, before[number])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Torch computes with so many CPU threads meanwhile; 0 leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def reporting(settings: RunSettings, done: Progress, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """A bar with patterns/s, the loss and the time to go, and a line a validation; all on stderr."""
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:4.1f} %  {task.fields[told]}"))
    total, before, spent = settings.training.patterns, done.patterns, done.seconds
    bar = Bar(*columns, console=progress.console(), disable=quiet or not progress.console().is_terminal, transient=True)

    def report(now: Progress, losses: dict[str, float], rows: list[dict[str, Any]] | None) -> None:
        pace = (now.patterns - before) / max(now.seconds - spent, 1e-9)
        left = clock(max(0, total - now.patterns) / pace)
        told = f"{pace:,.0f} patterns/s  loss {losses['total']:.3f}  {left} to go"
        bar.update(task, completed=now.patterns, told=told)
        if rows:
            row = rows[-1]
            progress.say(
                f"{now.patterns:,} of {total:,} patterns  {told}  validation: crystal system "
                f"{100 * row['crystal_system@1']:.1f} %, space group {100 * row['space_group@1']:.1f} %, "
                f"among 5 {100 * row['space_group@5']:.1f} %"
            )

    with bar:
        task = bar.add_task("", total=total, completed=before, told="")
        yield report


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
