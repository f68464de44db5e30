"""How good a network is on simulated patterns, crystal system by crystal system."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .. import lattice
from ..niggli import niggli_from_parameters, niggli_from_reciprocal
from ..open_network import OpenAnswer, OpenNetwork
from ..structures.table import ORIGINS, SPLITS
from .figures import Judged, by_system
from .records import Batch

if TYPE_CHECKING:
    from ..structures.table import Structures


def stratified(structures: Structures, split: str, each: int, seed: int) -> np.ndarray:
    """Indices of up to ``each`` structures of every crystal system in a split, without MOFs and invented ones.

    ``structures`` may be anything with ``space_group``, ``origin`` and ``split`` as ``Structures`` has them.
    """
    rng = np.random.default_rng(seed)
    real = (structures.split == SPLITS.index(split)) & (structures.origin <= ORIGINS.index("dft"))
    system = lattice.system_of_group()[structures.space_group - 1]
    return np.concatenate([rng.permutation(np.flatnonzero(real & (system == s)))[:each] for s in range(7)])


@torch.no_grad()
def judge(network: nn.Module, batches: Iterable[Batch]) -> Judged:
    """Answers of a network of either architecture to batches on its device; it is left in the mode that it was in."""
    training = network.training
    network.eval()
    parts = [_judge(network, batch) for batch in batches]
    network.train(training)
    return Judged(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def validate(network: nn.Module, batches: Iterable[Batch]) -> list[dict[str, float | str]]:
    """One row per crystal system, and ``all`` as the last: shares, 0 to 1, of right answers.

    ``hops`` is the mean distance of the first space group from the true one, ``ece`` the calibration error of its
    probability, ``volume_error`` the median of |ln V(first lattice) − ln V(true)| of primitive cells.
    """
    return [
        {
            "system": name,
            "n": row["n"],
            **{key: row[key]["percent"] / 100 for key in ("crystal_system@1", "space_group@1", "space_group@5")},
            "hops": row["hops_mean"],
            "ece": row["calibration"]["space_group"]["ece"],
            "volume_error": row["lattice"]["volume_error"],
        }
        for name, row in by_system(judge(network, batches)).items()
    ]


def _judge(network: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
    device = batch.x.device
    kinds = torch.as_tensor(lattice.type_of_group(), device=device)
    systems = torch.as_tensor(lattice.system_of_group(), device=device)
    answer = network(batch.x[:, 0] if isinstance(network, OpenNetwork) else batch.x)
    if isinstance(answer, OpenAnswer):
        groups, system = answer.sg_logits.double().softmax(-1), answer.cs_logits.double().softmax(-1)
        cell = answer.lp
    else:
        groups = answer.space_group_logits.double().softmax(-1)
        system = groups @ nn.functional.one_hot(systems, 7).double()
        kind = (groups @ nn.functional.one_hot(kinds, len(lattice.LATTICE_TYPES)).double()).argmax(-1)
        cell = niggli_from_parameters(answer.lattice_mean[torch.arange(len(kind), device=device), kind], kind)
    return {
        "space_group": groups.cpu().numpy(),
        "crystal_system": system.cpu().numpy(),
        "cell": cell.double().cpu().numpy(),
        "true_space_group": nn.functional.one_hot(batch.space_group, 230).bool().cpu().numpy(),
        "true_crystal_system": systems[batch.space_group].cpu().numpy(),
        "true_cell": niggli_from_reciprocal(batch.basis, kinds[batch.space_group]).double().cpu().numpy(),
    }
