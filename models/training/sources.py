"""Sources of line lists: structures, random crystals, or both; and batches of their patterns.

What a source draws depends on the generator, the step and the shard alone. So a resumed run continues as if it had not
stopped, and processes can share a batch without communication.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from alphadiffract_plugin.arrays import Floats

from .. import lattice
from ..grid import Grid, Normalisation
from ..simulation import patterns as simulate
from ..simulation.effects import Effects
from ..simulation.lines import LineTable
from ..simulation.records import LineList
from ..structures.columns import ORIGINS, SPLITS
from .records import Batch

ORIGIN_WEIGHT = {"experiment": 2.0, "dft_known": 1.5, "dft": 1.0, "dft_hypothetical": 0.4, "experiment_mof": 0.4}
"""Relative frequency of structures by origin, before the space groups are balanced. The values were chosen by hand:
measured patterns are of crystals that exist."""
SYSTEM_WEIGHT = (2.0, 1.3, 1.2, 1.0, 1.0, 0.8, 0.8)
"""Relative frequency of the crystal systems, triclinic first. The values were chosen by hand: low symmetry is rarer
among these structures than among measured minerals."""
CHUNKS = 8
"""Number of parts of a pool, which are replaced one after the other."""


class Source(Protocol):
    """A source of line lists."""

    def turn(self, step: int, shard: int) -> None:
        """Prepare for a shard of a step; called before :meth:`draw`."""

    def draw(self, n: int, generator: torch.Generator) -> LineList:
        """The lines of n crystals; ``generator`` is on the device of the lines."""
        ...


class TableSource:
    """Structures as line lists on a device; those of the train split are drawn, balanced over the space groups."""

    def __init__(self, table: LineTable, device: torch.device, *, temper: float = 0.7) -> None:
        self.table, self.device = table, device
        self.hkl = torch.as_tensor(table.hkl, device=device)
        self.intensity = torch.as_tensor(table.intensity, device=device)
        self.start = torch.as_tensor(table.start, device=device)
        self.most = int(np.diff(table.start).max())
        self.space_group = torch.as_tensor(table.space_group.astype(np.int64) - 1, device=device)
        metric = torch.as_tensor(table.reciprocal_metric)
        self.basis = torch.linalg.cholesky(metric).float().to(device)
        self.weights = torch.as_tensor(drawing_weights(table, temper), device=device)

    def turn(self, step: int, shard: int) -> None:
        """Nothing depends on the step."""

    def draw(self, n: int, generator: torch.Generator) -> LineList:
        """The lines of n structures of the train split, drawn with replacement."""
        return self.lines(torch.multinomial(self.weights, n, replacement=True, generator=generator))

    def lines(self, which: Tensor) -> LineList:
        """The lines of the structures with these indices, shape (N,)."""
        start, count = self.start[which], self.start[which + 1] - self.start[which]
        slot = torch.arange(self.most, device=self.device)
        line = (start[:, None] + slot).clamp_max(len(self.intensity) - 1)
        intensity = self.intensity[line] * (slot < count[:, None])
        return LineList(self.hkl[line].float(), intensity, self.basis[which], self.space_group[which])


def drawing_weights(table: LineTable, temper: float) -> Floats:
    """Probability of drawing each structure, 0 outside the train split, shape (S,)."""
    weight = np.array([ORIGIN_WEIGHT[name] for name in ORIGINS])[table.origin]
    weight = weight * (table.split == SPLITS.index("train"))
    frequency = np.bincount(table.space_group, weights=weight, minlength=231)[table.space_group]
    weight = weight * np.maximum(frequency, 5) ** (temper - 1)
    weight = weight * np.array(SYSTEM_WEIGHT)[lattice.system_of_group()[table.space_group - 1]]
    drawing: Floats = weight / max(weight.sum(), 1e-30)
    return drawing


class RandomSource:
    """Random crystals: a pool for each shard, of which the oldest part is replaced in turn."""

    def __init__(
        self,
        make: Callable[[int, torch.Generator], LineList],
        device: torch.device,
        *,
        pool: int,
        steps: int,
        seed: int,
    ) -> None:
        """``make`` makes the lines of n crystals; a part of the pool is replaced every ``steps`` steps."""
        self.make, self.device, self.seed, self.steps = make, device, seed, steps
        self.size = max(1, pool // CHUNKS)
        self.chunks: dict[tuple[int, int], LineList] = {}
        self.pool: dict[int, tuple[int, LineList]] = {}
        self.shard = 0

    def turn(self, step: int, shard: int) -> None:
        """Fill the pool of the shard as it is at that step."""
        first, self.shard = step // self.steps, shard
        if self.pool.get(shard, (-1,))[0] == first:
            return
        wanted = [(shard, first + i) for i in range(CHUNKS)]
        kept = {key: chunk for key, chunk in self.chunks.items() if key[0] != shard or key in wanted}
        self.chunks = kept | {key: self._chunk(*key) for key in wanted if key not in kept}
        self.pool[shard] = first, joined([self.chunks[key] for key in wanted])

    def draw(self, n: int, generator: torch.Generator) -> LineList:
        """The lines of n crystals of the pool, drawn with replacement."""
        lines = self.pool[self.shard][1]
        which = torch.randint(len(lines.intensity), (n,), generator=generator, device=self.device)
        return lines.take(which)

    def _chunk(self, shard: int, number: int) -> LineList:
        return self.make(self.size, generator_of(self.device, self.seed, number, shard, 1))


@dataclass(frozen=True)
class MixedSource:
    """Crystals of two sources; each is of the second with a given probability."""

    first: Source
    """Such as structures."""
    second: Source
    """Such as random crystals."""
    share: float
    """Probability of the second source, 0 to 1."""

    def turn(self, step: int, shard: int) -> None:
        """Prepare both."""
        self.first.turn(step, shard)
        self.second.turn(step, shard)

    def draw(self, n: int, generator: torch.Generator) -> LineList:
        """The lines of n crystals: of n pairs, one of each source, one is kept; so nothing waits for a GPU."""
        both = joined([self.first.draw(n, generator), self.second.draw(n, generator)])
        second = torch.rand(n, generator=generator, device=both.hkl.device) < self.share
        which = torch.arange(n, device=both.hkl.device) + n * second
        return both.take(which)


def joined(parts: Sequence[LineList]) -> LineList:
    """The crystals of several records in one, padded to the largest number of lines."""
    most = max(part.intensity.shape[1] for part in parts)
    return LineList(
        hkl=torch.cat([pad(part.hkl, (0, 0, 0, most - part.hkl.shape[1])) for part in parts]),
        intensity=torch.cat([pad(part.intensity, (0, most - part.intensity.shape[1])) for part in parts]),
        basis=torch.cat([part.basis for part in parts]),
        space_group=torch.cat([part.space_group for part in parts]),
    )


def generator_of(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator on a device, seeded by these numbers, each at least 0."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator(device).manual_seed(seed)


def batch(
    source: Source, grid: Grid, normalisation: Normalisation, effects: Effects, n: int, generator: torch.Generator
) -> Batch:
    """N patterns of a source, with their crystals."""
    return simulated(source.draw(n, generator), grid, normalisation, effects, generator)


def simulated(
    lines: LineList, grid: Grid, normalisation: Normalisation, effects: Effects, generator: torch.Generator
) -> Batch:
    """The patterns of crystals whose cells are strained first."""
    kind = torch.as_tensor(lattice.type_of_group(), device=lines.basis.device)[lines.space_group]
    lines = simulate.strain(lines, effects, generator)
    y, coverage = simulate.simulate(lines, grid, effects, generator)
    x = torch.stack((scaled(y, coverage, normalisation), coverage), 1)
    return Batch(x=x, space_group=lines.space_group, parameters=true_parameters(lines.basis, kind), basis=lines.basis)


def scaled(y: Tensor, coverage: Tensor, normalisation: Normalisation) -> Tensor:
    """Intensities (N, L), scaled like those of a measured pattern; see :class:`..grid.Normalisation`."""
    y = y.clamp_min(normalisation.floor)
    if normalisation.subtract_minimum:
        y = y - torch.where(coverage > 0, y, torch.inf).amin(1, keepdim=True)
    y = y * coverage
    y = y / y.amax(1, keepdim=True).clamp_min(1e-9)
    return normalisation.top * (y.sqrt() if normalisation.square_root else y)


def true_parameters(basis: Tensor, kind: Tensor) -> Tensor:
    """The free parameters q (N, 6) of reciprocal bases (N, 3, 3) of lattice types (N,); see :mod:`..lattice`."""
    lower = torch.linalg.cholesky((basis @ basis.transpose(1, 2)).double())
    d = lower.diagonal(dim1=1, dim2=2)
    ratios = torch.stack((lower[:, 1, 0] / d[:, 0], lower[:, 2, 0] / d[:, 0], lower[:, 2, 1] / d[:, 1]), 1)
    tie, constant, _ = (torch.as_tensor(a, device=basis.device) for a in lattice.ties())
    p = torch.cat((d.log(), ratios), 1) - constant[kind]
    return torch.einsum("nij,nj->ni", torch.linalg.pinv(tie)[kind], p).float()
