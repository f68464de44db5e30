"""Train the compact network on simulated patterns.

    python -m alphadiffract_plugin.models.train --structures main.parquet more.parquet --minutes 60 --out runs/first

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
from torch import Tensor

from . import lattice, simulate
from .compact_network import CompactConfig, CompactNetwork, loss, set_lattice_scale
from .grid import COMPACT_GRID, Grid
from .lines import ORIGINS, SPLITS, LineTable, pack

ORIGIN_WEIGHT = {"experiment": 2.0, "dft_known": 1.5, "dft": 1.0, "dft_hypothetical": 0.4, "experiment_mof": 0.4}
"""How often a structure is drawn, before the space groups are balanced."""
SYSTEM_WEIGHT = (2.0, 1.3, 1.2, 1.0, 1.0, 0.8, 0.8)
"""Low symmetry is rarer among these structures than among measured minerals."""
TEMPER = 0.7
"""A space group of natural frequency f is drawn as f to this power: 1 is natural, 0 uniform."""


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


class Crystals:
    """Structures on the device, drawn as batches of patterns."""

    def __init__(self, table: LineTable, grid: Grid, device: torch.device) -> None:
        self.table, self.grid, self.device = table, grid, device
        self.hkl = torch.as_tensor(table.hkl, device=device)
        self.intensity = torch.as_tensor(table.intensity, device=device)
        self.start = torch.as_tensor(table.start, device=device)
        self.group = torch.as_tensor(table.space_group - 1, device=device)
        self.system = torch.as_tensor(lattice.system_of_group(), device=device)[self.group]
        self.kind = torch.as_tensor(lattice.type_of_group(), device=device)[self.group]
        self.basis = simulate.reciprocal_basis(torch.as_tensor(table.reciprocal_metric, device=device)).float()

    def weights(self) -> Tensor:
        """Drawing weight of each structure, 0 outside of the train split, shape (S,)."""
        weight = np.array([ORIGIN_WEIGHT[name] for name in ORIGINS])[self.table.origin]
        weight = weight * (self.table.split == SPLITS.index("train"))
        frequency = np.bincount(self.table.space_group, weights=weight, minlength=231)[self.table.space_group]
        weight = weight * np.maximum(frequency, 5) ** (TEMPER - 1)
        weight = weight * np.array(SYSTEM_WEIGHT)[lattice.system_of_group()[self.table.space_group - 1]]
        return torch.as_tensor(weight / weight.sum())

    def patterns(
        self, which: Tensor, effects: simulate.Effects, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Network inputs (N, 2, L), space groups 0..229 (N,) and true lattice parameters (N, 6)."""
        start, count = self.start[which], self.start[which + 1] - self.start[which]
        slot = torch.arange(int(count.max()), device=self.device)
        line = (start[:, None] + slot).clamp_max(len(self.intensity) - 1)
        intensity = self.intensity[line] * (slot < count[:, None])
        system = self.system[which]
        basis = simulate.strain_cells(self.basis[which], system, effects, generator)
        y, coverage = simulate.simulate(self.hkl[line].float(), intensity, basis, system, self.grid, effects, generator)
        return torch.stack((y.sqrt(), coverage), 1), self.group[which], true_parameters(basis, self.kind[which])


def true_parameters(basis: Tensor, kind: Tensor) -> Tensor:
    """The free parameters q (N, 6) of reciprocal bases (N, 3, 3) of lattice types (N,); see :mod:`.lattice`."""
    lower = torch.linalg.cholesky((basis @ basis.transpose(1, 2)).double())
    d = lower.diagonal(dim1=1, dim2=2)
    ratios = torch.stack((lower[:, 1, 0] / d[:, 0], lower[:, 2, 0] / d[:, 0], lower[:, 2, 1] / d[:, 1]), 1)
    tie, constant, _ = (torch.as_tensor(a, device=basis.device) for a in lattice.ties())
    p = torch.cat((d.log(), ratios), 1) - constant[kind]
    return torch.einsum("nij,nj->ni", torch.linalg.pinv(tie)[kind], p).float()


def stratified(table: LineTable, split: str, each: int, seed: int) -> np.ndarray:
    """Indices of up to ``each`` structures of every crystal system in a split, without MOFs and invented ones."""
    rng = np.random.default_rng(seed)
    real = (table.split == SPLITS.index(split)) & (table.origin <= ORIGINS.index("dft"))
    system = lattice.system_of_group()[table.space_group - 1]
    chosen = [rng.permutation(np.flatnonzero(real & (system == s)))[:each] for s in range(7)]
    return np.concatenate(chosen)


@torch.no_grad()
def validate(network: CompactNetwork, crystals: Crystals, which: np.ndarray, *, seed: int) -> list[dict[str, float]]:
    """Accuracy per crystal system, and over all as the last: system, n, top-1 system, top-1 and top-5 group, spread.

    ``volume_error`` is the median of |ln V(predicted) − ln V(true)| given the true lattice type.
    """
    network.eval()
    generator = torch.Generator(crystals.device).manual_seed(seed)
    tie = torch.as_tensor(lattice.ties()[0], dtype=torch.float32, device=crystals.device)
    found = []
    for part in torch.as_tensor(which, device=crystals.device).split(64):
        x, group, q = crystals.patterns(part, simulate.Effects(), generator)
        answer = network(x)
        p = answer.space_group_logits.softmax(-1)
        member = torch.nn.functional.one_hot(crystals.system.new_tensor(lattice.system_of_group()), 7).float()
        kind = crystals.kind[part]
        error = torch.einsum("nij,nj->ni", tie[kind], answer.lattice_mean[torch.arange(len(part)), kind] - q)
        system = crystals.system[part]
        top = p.topk(5).indices == group[:, None]
        hits = ((p @ member).argmax(-1) == system, top[:, 0], top.any(1), error[:, :3].sum(1).abs())
        found.append(torch.stack([system.float(), *(h.float() for h in hits)], 1))
    network.train()
    table = torch.cat(found).cpu().numpy()
    rows = [(name, table[table[:, 0] == s]) for s, name in enumerate(lattice.SYSTEM_LETTERS)] + [("all", table)]
    return [
        {
            "system": name,
            "n": len(t),
            "crystal_system@1": t[:, 1].mean(),
            "space_group@1": t[:, 2].mean(),
            "space_group@5": t[:, 3].mean(),
            "volume_error": float(np.median(t[:, 4])),
        }
        for name, t in rows
        if len(t)
    ]


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
    from . import checkpoint

    provenance = {"patterns_seen": seen, "minutes": plan.minutes, "seed": plan.seed, "batch": plan.batch}
    return checkpoint.save(network, COMPACT_GRID, out / "model", provenance=provenance)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m alphadiffract_plugin.models.train", description=__doc__)
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
