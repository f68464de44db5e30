"""Screen millions of cells of a Bravais lattice by looking up which lines they explain.

A cell follows from low indices of as many of the first lines as there are free parameters, by one small matrix product
(:mod:`assignments`). Triclinic cells are combined from zones (:mod:`zones`). A table over 1/d² then has, as bits, the
lines that each calculated line explains. On the CPU compiled loops do this (:mod:`screen_kernels`, which has the
equations), on a GPU torch.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints, Singles, Words
from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.crystal.cells import metric_determinant
from alphadiffract_plugin.indexing.assignments import assignments
from alphadiffract_plugin.indexing.effort import Effort
from alphadiffract_plugin.indexing.zones import cells_of_zones, zones_of_lines
from alphadiffract_plugin.peaks.observed import Observed
from alphadiffract_plugin.settings import SearchSettings

if TYPE_CHECKING:
    import torch

_WINDOW = 0.045
"""Half-width in degrees of the window in which a line of ordinary width counts as explained, besides its uncertainty;
chosen by hand."""
_CHUNK = 1 << 16
"""Cells that torch screens at a time."""
_ROUNDING = 1e-4
"""Added to each bound of the score, so that rounding in single precision does not make it too low."""
_SKEW = 1.05
"""Largest ratio of a monoclinic cross term to the smaller of the squares A and C; it is 1 for a reduced cell."""


@dataclass(frozen=True)
class Sieve:
    """What the screening of the cells of a lattice needs, as small arrays in single precision."""

    limits: Singles
    """Smallest and largest parameters in 1/Å², and in the last column determinants in 1/Å⁶, shape (2, p + 1)."""
    skew: Singles
    """(factor, fold): a monoclinic cross term is at most factor · min(fold · A, C), shape (2,)."""
    design: Singles
    """Design matrix of low indices: 1/d² = parameters @ design, shape (p, H)."""
    table: Words
    """For each interval of 1/d² the lines that a calculated line there explains, as bits."""
    scale: float
    """Number of intervals per 1/Å²."""
    chance: Singles
    """For each line the expected number of calculated lines in its window per Å³, ln(1 - s) and ln s, shape (3, n),
    where s is the probability that it is spurious."""

    def worth(self) -> tuple[Singles, int]:
        """Upper bounds of what each line adds to the score, by interval of the determinant, and the first interval.

        See :mod:`screen_kernels`. What an explained line adds increases with the determinant.
        """
        from alphadiffract_plugin.indexing.screen_kernels import INTERVAL_BITS

        first, last = (int(end) >> INTERVAL_BITS for end in self.limits[:, -1].view(np.int32))
        ends = (np.arange(first + 1, last + 2, dtype=np.int32) << INTERVAL_BITS).view(np.float32).astype(float)
        expected, hit, miss = self.chance.astype(float)
        explained = hit - miss - np.log(-np.expm1(-expected / np.sqrt(ends)[:, None])) + _ROUNDING
        none = np.full(len(ends), miss.sum())
        padding = np.zeros((len(ends), -len(miss) % 4))
        return np.column_stack([explained, padding, none]).astype(np.float32), first


def screen_cells(
    observed: Observed, lattice: Lattice, zero: float, settings: SearchSettings, effort: Effort, device: str = "cpu"
) -> Floats:
    """Free parameters of the cells with the best scores for a zero shift in degrees, best first, shape (K, p)."""
    inv_d2 = observed.inv_d2(zero)
    sieve = _sieve(observed, inv_d2, lattice, settings, effort)
    most, distinct = dict(effort.held)[lattice.free], dict(effort.refined)[lattice.free]
    screen = _screen_by_kernel if device == "cpu" else _screen_by_torch
    parameters, score = screen(observed, inv_d2, lattice, sieve, most, effort, device)
    parameters = np.ascontiguousarray(parameters[np.lexsort((*parameters.T, -score))])
    from alphadiffract_plugin.indexing.distinct_kernels import first_of_each_cell

    return parameters[first_of_each_cell(parameters, distinct)].astype(float)


def _screen_by_kernel(
    observed: Observed, inv_d2: Floats, lattice: Lattice, sieve: Sieve, most: int, effort: Effort, _: str
) -> tuple[Singles, Singles]:
    """The best cells, at most ``most``, shape (K, p), and their scores, by compiled loops."""
    from alphadiffract_plugin.indexing.screen_kernels import screen_assignments, screen_zones

    held = (sieve.design, sieve.table, sieve.scale, sieve.chance, *sieve.worth(), most)
    if lattice.family == "triclinic":
        zones = zones_of_lines(observed, inv_d2, _window(observed, inv_d2), effort.axes, effort.zones)
        squares, cross = zones.squares.astype(np.float32), zones.cross.astype(np.float32)
        kept, score, count = screen_zones(squares, cross, zones.count, sieve.limits, *held)
    else:
        chosen = _chosen_lines(observed, lattice, effort)
        lines = inv_d2[chosen].astype(np.float32).reshape(-1, lattice.free)
        metric_map = lattice.metric_map.astype(np.float32)
        inverse = _inverse_in_blocks(lattice, effort.index_range, effort.quadruples)
        kept, score, count = screen_assignments(inverse, lines, metric_map, sieve.limits, sieve.skew, *held)
    return kept[:count], score[:count]


def _screen_by_torch(
    observed: Observed, inv_d2: Floats, lattice: Lattice, sieve: Sieve, most: int, effort: Effort, device: str
) -> tuple[Singles, Singles]:
    """The same as :func:`_screen_by_kernel`, by torch on a device."""
    import torch

    table, design, chance = (torch.tensor(a, device=device) for a in (sieve.table, sieve.design, sieve.chance))
    best_score, best = torch.zeros(0, device=device), torch.zeros((0, lattice.free), device=device)
    for proposed in _proposals(observed, inv_d2, lattice, effort, device):
        parameters, volume = _plausible(proposed, lattice, sieve)
        if len(parameters) == 0:
            continue
        score = torch.cat([best_score, _screening_score(parameters @ design, volume, table, sieve.scale, chance)])
        best_score, order = torch.topk(score, min(most, len(score)))
        best = torch.cat([best, parameters])[order]
    return best.cpu().numpy(), best_score.cpu().numpy()


def largest_volume(lattice: Lattice, settings: SearchSettings) -> float:
    """Largest volume of a conventional cell in Å³: that of the settings, for centred cells half as much again."""
    return settings.largest_volume * (1 if lattice.points == 1 else 1.5)


def _sieve(observed: Observed, inv_d2: Floats, lattice: Lattice, settings: SearchSettings, effort: Effort) -> Sieve:
    """What the screening of the cells of a lattice needs for lines at these 1/d²."""
    limits = np.tile([[1 / settings.length_max**2], [np.inf]], lattice.free + 1)
    if lattice.free <= 3:
        limits[1] = 0.25 * lattice.points
    limits[:, -1] = (
        max(1e-12, largest_volume(lattice, settings) ** -2),
        (settings.volume_min * lattice.points) ** -2.0,
    )
    table, scale = _line_table(observed, inv_d2)
    return Sieve(
        limits=np.ascontiguousarray(limits, np.float32),
        skew=np.array([_SKEW, 2 if lattice.centring == "C" else 1], np.float32),
        design=np.ascontiguousarray(lattice.design(_screening_indices(lattice, effort.index_range)).T, np.float32),
        table=table,
        scale=scale,
        chance=_chance(observed, inv_d2, lattice),
    )


@functools.cache
def _inverse_in_blocks(lattice: Lattice, index_range: float, quadruples: tuple[int, int]) -> Singles:
    """The inverse assignments of a lattice in the layout of :func:`screen_kernels.screen_assignments`."""
    from alphadiffract_plugin.indexing.screen_kernels import BLOCK

    inverse = assignments(lattice, index_range, quadruples).reshape(-1, lattice.free**2).astype(np.float32)
    blocks = np.zeros((-(-len(inverse) // BLOCK), BLOCK, lattice.free**2), np.float32)
    blocks.reshape(-1, lattice.free**2)[: len(inverse)] = inverse
    return np.ascontiguousarray(blocks.transpose(0, 2, 1)).reshape(len(blocks), -1)


@functools.cache
def _screening_indices(lattice: Lattice, index_range: float) -> Ints:
    """The low indices with which a screened cell may explain lines, shape (H, 3)."""
    longest = {"cubic": 60, "tetragonal": 40, "hexagonal": 40, "orthorhombic": 25, "monoclinic": 18, "triclinic": 12}
    return lattice.indices(int(longest[lattice.family] * index_range))


def _window(observed: Observed, inv_d2: Floats) -> Floats:
    """Half-width in 1/Å² within which each line counts as explained, shape (n,)."""
    reach: Floats = (_WINDOW * observed.scale + observed.sigma) * observed.inv_d2_per_degree() + 0.0012 * inv_d2
    return reach


def _line_table(observed: Observed, inv_d2: Floats) -> tuple[Words, float]:
    """For each interval of 1/d² the observed lines in whose window it is, as bits; and the intervals per 1/Å²."""
    window = _window(observed, inv_d2)
    bins = 1 << 14
    scale = bins / (inv_d2.max() + 3 * window.max())
    table = np.zeros(bins + 1, np.int32)
    for i, (low, high) in enumerate(zip((inv_d2 - window) * scale, (inv_d2 + window) * scale, strict=True)):
        table[max(0, int(low)) : int(high) + 1] |= np.int32(1 << i)
    table[-1] = 0
    return table, scale


def _chance(observed: Observed, inv_d2: Floats, lattice: Lattice) -> Singles:
    """The rows of :attr:`Sieve.chance`; the number of lines is per Å³ of the conventional cell."""
    window = _window(observed, inv_d2)
    density = 2 * np.pi * np.sqrt(inv_d2) / (lattice.points * lattice.multiplicity)
    hit, miss = np.log(1 - observed.spurious), np.log(observed.spurious)
    return np.stack([2 * window * density, hit, miss]).astype(np.float32)


def _chosen_lines(observed: Observed, lattice: Lattice, effort: Effort) -> Ints:
    """All choices of p of the first trusted lines, where p is the number of free parameters, shape (C, p)."""
    trusted = np.flatnonzero(observed.spurious < 0.5)[: dict(effort.first_lines)[lattice.free]]
    return np.array(list(itertools.combinations(trusted, lattice.free)), int).reshape(-1, lattice.free)


def _proposals(
    observed: Observed, inv_d2: Floats, lattice: Lattice, effort: Effort, device: str
) -> Iterator[torch.Tensor]:
    """Free parameters of the cells of all low-index assignments, in chunks of at most 65536, shape (B, p)."""
    import torch

    if lattice.family == "triclinic":
        zones = zones_of_lines(observed, inv_d2, _window(observed, inv_d2), effort.axes, effort.zones)
        yield from cells_of_zones(zones, _CHUNK, device)
        return
    inverse = torch.tensor(
        assignments(lattice, effort.index_range, effort.quadruples), dtype=torch.float32, device=device
    )
    chosen = _chosen_lines(observed, lattice, effort)
    q = torch.tensor(inv_d2, dtype=torch.float32, device=device)
    step = max(1, _CHUNK // len(inverse))
    for begin in range(0, len(chosen), step):
        lines = q[torch.tensor(chosen[begin : begin + step], device=device)]
        yield torch.einsum("tij,cj->cti", inverse, lines).reshape(-1, lattice.free)


def _plausible(parameters: torch.Tensor, lattice: Lattice, sieve: Sieve) -> tuple[torch.Tensor, torch.Tensor]:
    """The cells of allowed volume and edges whose cross term is not too large, and their volumes in Å³."""
    import torch

    least, largest = torch.tensor(sieve.limits, device=parameters.device)
    squares = parameters[:, :3]
    good = (squares > least[:-1][:3]).all(1) & (squares < largest[:-1][:3]).all(1)
    if lattice.free == 4:
        a, _, c, e = parameters.unbind(1)
        factor, fold = sieve.skew.tolist()
        good &= e.abs() <= factor * torch.minimum(fold * a, c)
    parameters = parameters[good]
    metric = parameters @ torch.tensor(lattice.metric_map, dtype=torch.float32, device=parameters.device)
    determinant = metric_determinant(*metric.unbind(1))
    good = (determinant > least[-1]) & (determinant < largest[-1])
    return parameters[good], determinant[good].rsqrt()


def _screening_score(
    inv_d2: torch.Tensor, volume: torch.Tensor, table: torch.Tensor, scale: float, chance: torch.Tensor
) -> torch.Tensor:
    """Score of each cell, shape (B,), from its calculated 1/d², shape (B, H); see :mod:`screen_kernels`."""
    import torch

    index = (inv_d2 * scale).clamp(0, len(table) - 1).to(torch.int32)
    bits = table[index]
    while bits.shape[1] > 1:
        half = bits.shape[1] // 2
        paired = bits[:, :half] | bits[:, half : 2 * half]
        bits = paired if bits.shape[1] % 2 == 0 else torch.cat([paired, bits[:, -1:]], 1)
    explained = (bits >> torch.arange(chance.shape[1], dtype=torch.int32, device=bits.device)) & 1
    expected, hit, miss = chance
    by_chance = 1 - torch.exp(-expected * volume[:, None])
    return torch.where(explained.bool(), hit - torch.log(by_chance), miss).sum(1)
