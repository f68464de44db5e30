"""One session of a run, from the settings to the model folder: processes, signals and the progress bar."""

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
"""Name of the folder beside the run that holds packed lines, for all runs there."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a session ended."""

    end: str
    """``done``, ``time`` (the minutes of the session are over) or ``interrupted``."""
    done: Progress
    """How far the run has progressed."""
    first: bool
    """Whether this is the first of the processes, the only one that prints."""


def train(
    settings: RunSettings, path: Path, *, resume: bool, device: str = "auto", minutes: float | None = None
) -> Outcome:
    """Begin a run in a folder, or continue the one that it holds.

    Parameters
    ----------
    settings : of the run; only those of ``config.MAY_CHANGE`` may differ where a run is continued.
    path : the folder of the run; packed lines are kept beside it.
    resume : continue from the checkpoint.
    device : ``auto``, ``cpu`` or ``cuda``.
    minutes : length of this session, in place of that in the settings; 0 for no limit.

    Raises
    ------
    OutputError : the folder already holds a run, or cannot be written.
    SettingsError : the shards cannot be shared evenly among the processes.
    StructureError : the structures cannot be read, or leak.
    TrainingError : the loss is NaN or infinite, or the checkpoint is damaged.
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
    """The Fabric of Lightning for this process and the others that ``torchrun`` started."""
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning.fabric.strategies.ddp import DDPStrategy

    for name in ("lightning.fabric", "lightning.pytorch"):  # their messages are no help to a user
        logging.getLogger(name).setLevel(logging.WARNING)
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            "torch finds no CUDA device", fix="choose auto or cpu; `alphadiffract-plugin doctor` lists what it finds"
        )
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
        precision="32-true",  # the trainer sets mixed precision itself, because Fabric would round the patterns too
        plugins=[TorchElasticEnvironment() if torchrun else LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def with_shards(settings: RunSettings, processes: int) -> RunSettings:
    """The settings with a number of shards, by default that of the processes.

    Raises
    ------
    SettingsError : the shards cannot be shared evenly among the processes.
    """
    training = dataclasses.replace(settings.training, shards=settings.training.shards or processes)
    if training.shards % processes:
        raise SettingsError(
            f"shards = {training.shards} cannot be shared evenly among {processes} processes",
            fix=f"start a number of processes that divides {training.shards}, or begin a run with other shards",
        )
    return dataclasses.replace(settings, training=training)


def validated(network: nn.Module, settings: RunSettings, data: Data, device: torch.device) -> list[dict[str, Any]]:
    """The rows of a validation; none where no structure is in the validation split."""
    batches = list(validation_batches(settings, data, device))
    if not batches:
        progress.say("no structure is in the validation split, so there is no validation", "note:", "yellow")
        return []
    return validate(network, batches)


@contextmanager
def interruptions() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGINT or SIGTERM was received; a second signal ends the process at once."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def note(number: int, frame: object) -> None:
        came.set()
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch compute with so many CPU threads within the context; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def reporting(settings: RunSettings, done: Progress, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """A progress bar with patterns/s, the loss and the time left, and a line for each validation, on stderr."""
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:4.1f} %  {task.fields[state]}"))
    total, before, spent = settings.training.patterns, done.patterns, done.seconds
    bar = Bar(*columns, console=progress.console(), disable=quiet or not progress.console().is_terminal, transient=True)

    def report(now: Progress, losses: dict[str, float], rows: list[dict[str, Any]] | None) -> None:
        pace = (now.patterns - before) / max(now.seconds - spent, 1e-9)
        left = clock(max(0, total - now.patterns) / pace)
        state = f"{pace:,.0f} patterns/s  loss {losses['total']:.3f}  {left} to go"
        bar.update(task, completed=now.patterns, state=state)
        if rows:
            row = rows[-1]
            progress.say(
                f"{now.patterns:,} of {total:,} patterns  {state}  validation: crystal system "
                f"{100 * row['crystal_system@1']:.1f} %, space group {100 * row['space_group@1']:.1f} %, "
                f"among 5 {100 * row['space_group@5']:.1f} %"
            )

    with bar:
        task = bar.add_task("", total=total, completed=before, state="")
        yield report


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, such as 1:02:03."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
