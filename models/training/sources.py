"""Packed structures on the device, drawn as batches of simulated patterns with their true answers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import lattice
from ..grid import Grid
from ..simulation import patterns as simulate
from ..simulation.lines import ORIGINS, SPLITS, LineTable

ORIGIN_WEIGHT = {"experiment": 2.0, "dft_known": 1.5, "dft": 1.0, "dft_hypothetical": 0.4, "experiment_mof": 0.4}
"""How often a structure is drawn, before the space groups are balanced."""
SYSTEM_WEIGHT = (2.0, 1.3, 1.2, 1.0, 1.0, 0.8, 0.8)
"""Low symmetry is rarer among these structures than among measured minerals."""
TEMPER = 0.7
"""A space group of natural frequency f is drawn as f to this power: 1 is natural, 0 uniform."""


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
    """The free parameters q (N, 6) of reciprocal bases (N, 3, 3) of lattice types (N,); see :mod:`..lattice`."""
    lower = torch.linalg.cholesky((basis @ basis.transpose(1, 2)).double())
    d = lower.diagonal(dim1=1, dim2=2)
    ratios = torch.stack((lower[:, 1, 0] / d[:, 0], lower[:, 2, 0] / d[:, 0], lower[:, 2, 1] / d[:, 1]), 1)
    tie, constant, _ = (torch.as_tensor(a, device=basis.device) for a in lattice.ties())
    p = torch.cat((d.log(), ratios), 1) - constant[kind]
    return torch.einsum("nij,nj->ni", torch.linalg.pinv(tie)[kind], p).float()
