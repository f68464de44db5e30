"""How good a network is on simulated patterns, crystal system by crystal system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn

from .. import lattice
from ..niggli import niggli_from_parameters, niggli_from_reciprocal
from ..open_network import OpenAnswer, OpenNetwork
from ..structures.columns import ORIGINS, SPLITS
from .figures import Evaluated, by_system
from .records import Batch

if TYPE_CHECKING:
    from ..grid import Grid, Normalisation
    from ..simulation.effects import Effects
    from ..structures.table import Structures

PATTERNS = 64
"""Number of patterns that are simulated and evaluated at a time."""


class Classified(Protocol):
    """Structures, or their lines, with arrays of shape (S,) as :class:`..structures.table.Structures` has them."""

    @property
    def space_group(self) -> np.ndarray:
        """1 to 230."""

    @property
    def origin(self) -> np.ndarray:
        """Index into ``ORIGINS``."""

    @property
    def split(self) -> np.ndarray:
        """Index into ``SPLITS``."""


def stratified(structures: Classified, split: str, each: int, seed: int) -> np.ndarray:
    """Indices of up to ``each`` structures of every crystal system in a split, without hypothetical ones and MOFs."""
    rng = np.random.default_rng(seed)
    real = (structures.split == SPLITS.index(split)) & (structures.origin <= ORIGINS.index("dft"))
    system = lattice.system_of_group()[structures.space_group - 1]
    return np.concatenate([rng.permutation(np.flatnonzero(real & (system == s)))[:each] for s in range(7)])


def held_out(
    structures: Structures,
    which: np.ndarray,
    grid: Grid,
    normalisation: Normalisation,
    effects: Effects,
    *,
    seed: int,
    device: torch.device,
) -> Iterator[Batch]:
    """One pattern of each of these structures (indices, shape (N,)); the same for the same arguments."""
    from ..simulation.lines import atoms_from_structures
    from ..simulation.structure_factors import d_min_of_grid, lines_from_atoms
    from .sources import generator_of, simulated

    mixed = np.random.default_rng(seed).permutation(
        which
    )  # so that impurities, other crystals of the batch, are of any system
    for number, first in enumerate(range(0, len(mixed), PATTERNS)):
        atoms = atoms_from_structures(structures, mixed[first : first + PATTERNS], device)
        lines = lines_from_atoms(atoms, d_min=d_min_of_grid(grid))
        yield simulated(lines, grid, normalisation, effects, generator_of(device, seed, number))


@torch.no_grad()
def run_networks(networks: Sequence[nn.Module], batches: Iterable[Batch]) -> Evaluated:
    """The averaged predictions of networks of one architecture for batches on their device, against the truth."""
    training = [network.training for network in networks]
    for network in networks:
        network.eval()
    parts = [_run_batch(networks, batch) for batch in batches]
    for network, mode in zip(networks, training, strict=True):
        network.train(mode)
    return Evaluated(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def validate(network: nn.Module, batches: Iterable[Batch]) -> list[dict[str, float | str]]:
    """One row for each crystal system, and ``all`` as the last, with the shares of right answers, 0 to 1.

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
        for name, row in by_system(run_networks([network], batches)).items()
    ]


def _run_batch(networks: Sequence[nn.Module], batch: Batch) -> dict[str, np.ndarray]:
    device = batch.x.device
    kinds = torch.as_tensor(lattice.type_of_group(), device=device)
    systems = torch.as_tensor(lattice.system_of_group(), device=device)
    taken = batch.x[:, 0] if isinstance(networks[0], OpenNetwork) else batch.x
    answers = [network(taken) for network in networks]

    def mean(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(values).double().mean(0)

    if isinstance(answers[0], OpenAnswer):
        groups = mean([answer.sg_logits.softmax(-1) for answer in answers])
        system = mean([answer.cs_logits.softmax(-1) for answer in answers])
        cell = mean([answer.lp for answer in answers])
    else:
        groups = mean([answer.space_group_logits.softmax(-1) for answer in answers])
        system = groups @ nn.functional.one_hot(systems, 7).double()
        kind = (groups @ nn.functional.one_hot(kinds, len(lattice.LATTICE_TYPES)).double()).argmax(-1)
        q = mean([answer.lattice_mean for answer in answers])
        cell = niggli_from_parameters(q[torch.arange(len(kind), device=device), kind], kind)
    return {
        "space_group": groups.cpu().numpy(),
        "crystal_system": system.cpu().numpy(),
        "cell": cell.double().cpu().numpy(),
        "true_space_group": nn.functional.one_hot(batch.space_group, 230).bool().cpu().numpy(),
        "true_crystal_system": systems[batch.space_group].cpu().numpy(),
        "true_cell": niggli_from_reciprocal(batch.basis, kinds[batch.space_group]).double().cpu().numpy(),
    }
