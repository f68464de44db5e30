"""Train the compact network on simulated patterns.

    python -m alphadiffract_plugin.models.training.loop --structures FILE... --minutes 60 --out runs/first

Lines are packed once into ``OUT/lines.npz`` (or give such a file in place of parquet files); a checkpoint is written
every two minutes and training resumes from it; ``OUT/log.csv`` holds the losses and the validation, stratified by
crystal system; ``OUT/model`` is the finished model folder. A plain loop for one device.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..compact_network import CompactConfig, CompactNetwork, loss, set_lattice_scale
from ..grid import COMPACT_GRID
from ..simulation import patterns as simulate
from ..simulation.lines import LineTable, pack
from .sources import Crystals, true_parameters
from .validation import stratified, validate


@dataclass(frozen=True)
class Plan:
    """How to train."""

    minutes: float
    """Wall-clock minutes, over all resumptions."""
    seed: int = 20261121
    """Seed of the weights and of the simulation."""
    batch: int = 48
    """Patterns a step."""
    learning_rate: float = 1.2e-3
    """Peak of the schedule: warm-up over the first 2 %, then a half cosine to 1 % of it."""
    weight_decay: float = 0.02
    """Of both optimisers."""
    average: float = 0.999
    """Decay of the running average of the weights, which is what is kept."""
    threads: int = 1
    """CPU threads."""
    save_every: float = 2.0
    """Minutes between checkpoints."""
    validate_every: float = 6.0
    """Minutes between validations."""


def train(table: LineTable, plan: Plan, out: Path, config: CompactConfig | None = None) -> Path:
    """Train until the time is up, resuming if ``out`` holds a checkpoint; returns the model folder."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crystals = Crystals(table, COMPACT_GRID, device)
    network = CompactNetwork(config or CompactConfig(input_length=COMPACT_GRID.length)).to(device)
    set_lattice_scale(
        network, true_parameters(crystals.basis, crystals.kind).cpu().numpy(), crystals.kind.cpu().numpy()
    )
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(plan.average)
    )
    optimisers = _optimisers(network, plan)
    generator = torch.Generator(device).manual_seed(plan.seed)
    seen, spent = _resume(out, network, average, optimisers, generator)
    weights, held_out = crystals.weights(), stratified(table, "val", 60, plan.seed)
    chooser = torch.Generator().manual_seed(plan.seed + seen)
    total, running, saved, validated, began = plan.minutes * 60, [], spent, spent, time.monotonic() - spent
    while (spent := time.monotonic() - began) < total:
        done = spent / total
        rate = plan.learning_rate * min(1.0, done / 0.02) * max(0.01, 0.5 * (1 + math.cos(math.pi * done)))
        for group in (group for optimiser in optimisers for group in optimiser.param_groups):
            group["lr"] = rate
        which = torch.multinomial(weights, plan.batch, replacement=True, generator=chooser).to(device)
        x, space_group, q = crystals.patterns(which, simulate.Effects(), generator)
        with torch.autocast(device.type, torch.bfloat16):
            answer = network(x)
        value = loss(answer, space_group, q)
        network.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        for optimiser in optimisers:
            optimiser.step()
        average.update_parameters(network)
        seen += plan.batch
        running.append(value.item())
        if len(running) == 200:
            speed = seen / (time.monotonic() - began)
            print(
                f"{spent / 60:6.1f} min  {seen:8d} patterns  {speed:6.1f}/s  loss {np.mean(running):.3f}",
                file=sys.stderr,
            )
            running.clear()
        if spent - saved > plan.save_every * 60:
            saved = spent
            _save(out, network, average, optimisers, generator, seen, spent)
        if spent - validated > plan.validate_every * 60:
            validated = spent
            _log(out, spent, seen, validate(average.module, crystals, held_out, seed=plan.seed))
    _save(out, network, average, optimisers, generator, seen, spent)
    _log(out, spent, seen, validate(average.module, crystals, held_out, seed=plan.seed))
    return _finish(out, average.module, plan, seen)


def _optimisers(network: CompactNetwork, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks (torch 2.9 or newer), from which they learn more; AdamW for all else."""
    usual = {"lr": plan.learning_rate, "weight_decay": plan.weight_decay}
    if not hasattr(torch.optim, "Muon"):
        return [torch.optim.AdamW(network.parameters(), **usual)]
    inner = {name: p for name, p in network.named_parameters() if name.startswith("body") and p.ndim == 2}
    rest = [p for name, p in network.named_parameters() if name not in inner]
    muon = torch.optim.Muon(inner.values(), adjust_lr_fn="match_rms_adamw", **usual)
    return [torch.optim.AdamW(rest, **usual), muon]


def _save(out: Path, network, average, optimisers, generator, seen: int, spent: float) -> None:  # noqa: ANN001
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "generator": generator.get_state(),
        "seen": seen,
        "spent": spent,
    }
    torch.save(state, out / "checkpoint.part")
    (out / "checkpoint.part").replace(out / "checkpoint.pt")


def _resume(out: Path, network, average, optimisers, generator) -> tuple[int, float]:  # noqa: ANN001
    if not (out / "checkpoint.pt").exists():
        return 0, 0.0
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    for optimiser, stored in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(stored)
    generator.set_state(state["generator"])
    return state["seen"], state["spent"]


def _log(out: Path, spent: float, seen: int, rows: list[dict[str, float]]) -> None:
    fresh = not (out / "log.csv").exists()
    with open(out / "log.csv", "a", newline="") as handle:
        writer = csv.DictWriter(handle, ["minutes", "patterns", *rows[0]])
        if fresh:
            writer.writeheader()
        for row in rows:
            writer.writerow({"minutes": round(spent / 60, 1), "patterns": seen} | row)
    print(
        "  ".join(f"{r['system']} {r['crystal_system@1']:.2f}/{r['space_group@1']:.2f}" for r in rows), file=sys.stderr
    )


def _finish(out: Path, network: CompactNetwork, plan: Plan, seen: int) -> Path:
    from .. import checkpoint

    provenance = {"patterns_seen": seen, "minutes": plan.minutes, "seed": plan.seed, "batch": plan.batch}
    return checkpoint.save(network, COMPACT_GRID, out / "model", provenance=provenance)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m alphadiffract_plugin.models.training.loop", description=__doc__)
    parser.add_argument("--structures", nargs="+", type=Path, required=True, help="parquet files, or one packed .npz")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=Plan.threads)
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    packed = chosen.structures[0] if chosen.structures[0].suffix == ".npz" else chosen.out / "lines.npz"
    if not packed.exists():
        pack(chosen.structures).save(packed)
    plan = Plan(minutes=chosen.minutes, seed=chosen.seed, threads=chosen.threads)
    print(train(LineTable.load(packed), plan, chosen.out))


if __name__ == "__main__":
    main()
