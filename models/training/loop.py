"""Train a network: a plain loop over steps, for one process or, launched by ``torchrun``, for many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from .run_folder import RunFolder
from .trainer import TERMS, Progress, Trainer

Rows = list[dict[str, Any]]
"""The rows of a validation, one a crystal system."""
Validate = Callable[[nn.Module], Rows]
Report = Callable[[Progress, dict[str, float], Rows | None], None]


def run(
    trainer: Trainer,
    folder: RunFolder,
    *,
    seconds: float,
    interrupted: Callable[[], bool],
    validate: Validate,
    report: Report,
) -> str:
    """Train until all patterns are seen (``done``), the session has lasted ``seconds`` (``time``), or ``interrupted``.

    Only the first process writes: a row a step, validations, and a checkpoint every few minutes and at the end. The
    loss and the gradient of the next step are known to be finite before a checkpoint is written; a run that goes on
    from it repeats that step.

    Raises
    ------
    TrainingError : a loss or gradient is NaN or infinite; the weights and the last checkpoint are those before it.
    OutputError : a file cannot be written; the last checkpoint is intact.
    """
    training, done = trainer.settings.training, trainer.done
    began, before, first = time.monotonic(), done.seconds, done.step
    writer = _Writer(trainer, folder, validate, report)
    upcoming = trainer.draw(done.step) if done.patterns < training.patterns else None
    outcome = "done"
    while upcoming is not None:
        rate = trainer.rate()
        terms, norm = trainer.learn(upcoming)
        more = done.patterns + training.batch < training.patterns
        upcoming = trainer.draw(done.step + 1) if more else None  # a GPU works on this while the losses come back
        late = bool(seconds) and done.step > first and time.monotonic() - began > seconds
        losses, stopped, late = _over_all_processes(trainer, terms, stopped=interrupted(), late=late)
        if not all(map(math.isfinite, (*losses.values(), norm.item()))):
            raise trainer.not_finite(done.step + 1, rate)
        if stopped or late:
            outcome = "interrupted" if stopped else "time"
            break
        writer.checkpoint_if_due()
        trainer.update(rate)
        done.seconds = before + time.monotonic() - began
        writer.after_step(rate, losses)
    writer.at_the_end(validate=outcome != "interrupted")
    trainer.fabric.barrier()
    return outcome


def _over_all_processes(
    trainer: Trainer, terms: Tensor, *, stopped: bool, late: bool
) -> tuple[dict[str, float], bool, bool]:
    """The mean terms of the loss by name, and whether any process was interrupted, or is out of time."""
    flags = torch.tensor([float(stopped), float(late)], device=terms.device)
    mean = cast(Tensor, trainer.fabric.all_reduce(torch.cat((terms, flags)), reduce_op="mean"))  # a tensor for a tensor
    *values, any_stopped, any_late = mean.tolist()
    return dict(zip(TERMS, values, strict=True)), bool(any_stopped), bool(any_late)


class _Writer:
    """What the first process of a run writes and shows; the others do nothing here."""

    def __init__(self, trainer: Trainer, folder: RunFolder, validate: Validate, report: Report) -> None:
        self.trainer, self.folder, self.validate, self.report = trainer, folder, validate, report
        self.speaks = trainer.fabric.is_global_zero
        self.saved = time.monotonic()
        self.validated = trainer.done.step
        self.losses: dict[str, float] = {}

    def checkpoint_if_due(self) -> None:
        """Save a checkpoint if the last one is older than the settings say."""
        if self.speaks and time.monotonic() - self.saved > 60 * self.trainer.settings.training.checkpoint_minutes:
            self.folder.save(self.trainer.state())
            self.saved = time.monotonic()

    def after_step(self, rate: float, losses: dict[str, float]) -> None:
        """Log a step, and validate if the number of patterns has passed a multiple of ``validate_every``."""
        if not self.speaks:
            return
        self.losses = losses
        done, training = self.trainer.done, self.trainer.settings.training
        row = {"step": done.step, "patterns": done.patterns, "seconds": round(done.seconds, 3)}
        self.folder.append(self.folder.log, [row | {"learning_rate": rate} | losses])
        self.report(done, losses, None)
        if done.patterns // training.validate_every > (done.patterns - training.batch) // training.validate_every:
            self._validate()

    def at_the_end(self, *, validate: bool) -> None:
        """Validate the last weights if that is wanted and was not done, and save the last checkpoint."""
        if self.speaks:
            if validate and self.validated < self.trainer.done.step:
                self._validate()
            self.folder.save(self.trainer.state())

    def _validate(self) -> None:
        done = self.trainer.done
        self.validated = done.step
        rows = self.validate(self.trainer.average)
        if rows:
            about = {"step": done.step, "patterns": done.patterns}
            self.folder.append(self.folder.validation, [about | row for row in rows])
        self.report(done, self.losses, rows)
