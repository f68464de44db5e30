"""``train --dry-run``: the memory and the time that a run will need, from a few of its steps; nothing is written."""

from __future__ import annotations

import sys
import time

import torch

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from .config import RunSettings
from .data import open_data
from .session import clock, make_fabric, threads, with_shards
from .trainer import Trainer

WARM = 2
"""Number of steps before the timing begins, in which memory is allocated and kernels are compiled."""
STEPS, SECONDS = 30, 20.0
"""Number of steps that are timed, and seconds after which no further one is."""
SAMPLE = 512
"""Largest number of structures whose lines are calculated for a dry run."""


def needs(settings: RunSettings, *, device: str) -> str:
    """A text on the size, data, memory and time of a run, measured on this machine with this process alone."""
    fabric = make_fabric(settings, device)
    settings = with_shards(settings, fabric.world_size)
    shards = settings.training.shards
    data = open_data(settings, fabric.device, shards=shards, cache=None, sample=SAMPLE)
    trainer = Trainer(settings, data, fabric, shards)
    trainer.initialise()
    trainer.launch()
    spent = {"simulation": 0.0, "forward and backward": 0.0, "optimisers": 0.0}
    steps, began = 0, time.monotonic()
    while steps < WARM + 1 or (steps < WARM + STEPS and time.monotonic() - began < SECONDS):
        with threads(settings.training.threads):
            times = step_seconds(trainer)
        steps += 1
        if steps > WARM:
            for name, seconds in zip(spent, times, strict=True):
                spent[name] += seconds
    step = sum(spent.values()) / (steps - WARM)
    pace = settings.training.batch / step
    parameters = sum(p.numel() for p in trainer.network.parameters())
    state = [v for o in trainer.optimisers for s in o.state.values() for v in s.values() if torch.is_tensor(v)]
    stored = sum(t.numel() * t.element_size() for t in state) + 2 * 4 * parameters
    shares = ", ".join(f"{name} {100 * t / sum(spent.values()):.0f} %" for name, t in spent.items())
    rows = {
        "network": f"{settings.architecture}, {parameters:,} parameters, input of {settings.grid.length:,} points",
        "structures": _structures(settings, data.structures),
        "batch": f"{settings.training.batch} patterns in {shards} shard{'s' * (shards != 1)}, "
        f"{settings.training.patterns / settings.training.batch:,.0f} steps",
        "device": f"{fabric.device}, {trainer.precision}, {fabric.world_size} process(es)",
        "memory": f"{_memory(fabric.device)} at the peak",
        "checkpoint": f"{stored / 2**20:,.0f} MiB",
        "a step": f"{1e3 * step:,.0f} ms: {shares}",
        "pace": f"{pace:,.0f} patterns/s, {clock(1e6 / pace)} for 1,000,000 patterns",
        "whole run": f"{clock(settings.training.patterns / pace)} for {settings.training.patterns:,} patterns, "
        "without calculating lines and validation",
    }
    return "\n".join(f"{name:<12}{value}" for name, value in rows.items())


def step_seconds(trainer: Trainer) -> tuple[float, ...]:
    """Take a step and wait for each part: seconds of simulation, of forward and backward pass, and of optimisers."""
    marks = [now(trainer.device)]
    drawn = trainer.draw(trainer.done.step)
    marks.append(now(trainer.device))
    trainer.learn(drawn)
    marks.append(now(trainer.device))
    trainer.update(trainer.rate())
    marks.append(now(trainer.device))
    return tuple(after - before for before, after in zip(marks[:-1], marks[1:], strict=True))


def now(device: torch.device) -> float:
    """Seconds on a monotonic clock, once the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()


def _structures(settings: RunSettings, counts: tuple[int, ...]) -> str:
    """A text on the number of structures to train on, and the share of random crystals."""
    random = f"{100 * settings.data.random:.0f} % of the patterns are of random crystals"
    if not sum(counts):
        return random
    systems = ", ".join(f"{name} {count:,}" for name, count in zip(CRYSTAL_SYSTEMS, counts, strict=True))
    return f"{sum(counts):,} in the train split ({systems}); {random}"


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of the GPU"
    if sys.platform == "win32":
        return "not measured on Windows"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB"
