"""How good a compact network is on simulated patterns, crystal system by crystal system.

python -m alphadiffract_plugin.models.training.validation --model default --structures runs/first/lines.npz --split test
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from .. import catalogue, checkpoint, lattice
from ..compact_network import CompactNetwork
from ..simulation import patterns as simulate
from ..simulation.lines import ORIGINS, SPLITS, LineTable
from .sources import Crystals


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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of this module's docstring: a Markdown table."""
    parser = argparse.ArgumentParser(
        prog="python -m alphadiffract_plugin.models.training.validation", description=__doc__
    )
    parser.add_argument("--model", default="default", help="name or folder of a compact model")
    parser.add_argument("--structures", type=Path, required=True, help="packed lines (.npz) from training")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--each", type=int, default=250, help="structures per crystal system at most")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    model = checkpoint.load(catalogue.resolve(chosen.model))
    table = LineTable.load(chosen.structures)
    crystals = Crystals(table, model.grid, torch.device("cpu"))
    rows = validate(
        model.network, crystals, stratified(table, chosen.split, chosen.each, chosen.seed), seed=chosen.seed
    )
    names = dict(zip(lattice.SYSTEM_LETTERS, CRYSTAL_SYSTEMS, strict=True)) | {"all": "all"}
    print("| system | n | crystal system, top 1 | space group, top 1 | top 5 | median volume error |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        shares = [f"{100 * row[key]:.1f} %" for key in ("crystal_system@1", "space_group@1", "space_group@5")]
        volume = 100 * np.expm1(row["volume_error"])
        print(f"| {names[row['system']]} | {row['n']} | {' | '.join(shares)} | {volume:.0f} % |")


if __name__ == "__main__":
    main()
