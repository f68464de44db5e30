"""Train a network: a plain loop over steps, for one process or, launched by ``torchrun``, for many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .run_folder import RunFolder
from .trainer import TERMS, Progress, Trainer


def run(
    trainer: Trainer,
    folder: RunFolder,
    *,
    seconds: float,
    interrupted: Callable[[], bool],
    validate: Callable[[nn.Module], list[dict[str, Any]]],
    report: Callable[[Progress, dict[str, float], list[dict[str, Any]] | None], None],
) -> str:
    """Step until the budget is spent (``done``), the session's ``seconds`` are (``time``), or it is ``interrupted``.

    Only the first process writes: a row a step, validations, and a checkpoint every few minutes and at the end. A
    checkpoint holds weights whose next loss and gradient are known to be numbers; going on from it repeats that step.

    Raises
    ------
    TrainingError : a loss or gradient is no number; the weights and the last checkpoint are those before it.
    OutputError : something cannot be written; the last checkpoint is intact.
    """
    training, fabric, done = trainer.settings.training, trainer.fabric, trainer.done
    began = saved = time.monotonic()
    first, before, outcome = done.step, done.seconds, "done"

    def judge(losses: dict[str, float]) -> None:
        rows = validate(trainer.average)
        if rows:
            folder.append(folder.validation, [{"step": done.step, "patterns": done.patterns} | row for row in rows])
        report(done, losses, rows)

    upcoming = trainer.draw(done.step) if done.patterns < training.patterns else None
    losses, judged = {}, done.step
    while done.patterns < training.patterns:
        rate = trainer.rate()
        terms, norm = trainer.learn(upcoming)
        if done.patterns + training.batch < training.patterns:
            upcoming = trainer.draw(done.step + 1)  # a GPU works on while the losses come back
        late = bool(seconds) and done.step > first and time.monotonic() - began > seconds
        flags = torch.tensor([float(interrupted()), float(late)], device=terms.device)
        *values, stop, late = fabric.all_reduce(torch.cat((terms, flags)), reduce_op="mean").tolist()
        if not all(map(math.isfinite, (*values, norm.item()))):
            raise trainer.refuse(done.step + 1, rate)
        if stop or late:
            outcome = "interrupted" if stop else "time"
            break
        if fabric.is_global_zero and time.monotonic() - saved > 60 * training.checkpoint_minutes:
            folder.save(trainer.state())
            saved = time.monotonic()
        trainer.update(rate)
        done.seconds = before + time.monotonic() - began
        if fabric.is_global_zero:
            losses = dict(zip(TERMS, values, strict=True))
            told = {"step": done.step, "patterns": done.patterns, "seconds": round(done.seconds, 3)}
            folder.append(folder.log, [told | {"learning_rate": rate} | losses])
            report(done, losses, None)
            if done.patterns // training.validate_every > (done.patterns - training.batch) // training.validate_every:
                judge(losses)
                judged = done.step
    if fabric.is_global_zero:
        if outcome != "interrupted" and judged < done.step:
            judge(losses)
        folder.save(trainer.state())
    fabric.barrier()
    return outcome
