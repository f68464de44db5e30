"""Wyckoff positions for the atoms of random crystals, chosen so that no crystal has more symmetry than its group."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .symmetry import DENOMINATOR, default_settings, operations
from .wyckoff import MOST, table

if TYPE_CHECKING:
    from .random_settings import RandomSettings

COPIES = 6
"""Most atoms on one Wyckoff position with free coordinates."""
ATTEMPTS = 12
"""Times that positions are drawn for a crystal; its largest number of atoms grows by a third at each."""


@dataclass(frozen=True)
class Positions:
    """The Wyckoff positions of the 230 groups, padded to 27, the largest number."""

    multiplicity: Tensor
    """0 where padded, int64, (230, 27)."""
    base: Tensor
    """One point of each, float64, (230, 27, 3)."""
    free: Tensor
    """Directions in which it may move, as rows, zeros beyond ``freedom``; float64, (230, 27, 3, 3)."""
    freedom: Tensor
    """0 (a point) to 3 (general), int64, (230, 27)."""
    polar: Tensor
    """Whether one atom alone there has more symmetry than the group, (230, 27)."""
    too_symmetric: Tensor
    """Sets of positions, as bits, whose symmetry is higher than that of the group; padded by 0; int64, (230, J)."""
    centring: Tensor
    """Lattice points of the conventional cell, int64, (230,)."""


@dataclass(frozen=True)
class Sites:
    """The sites of N crystals, padded to S; sites without free coordinates come first."""

    group: Tensor
    """0 to 229, (N,)."""
    used: Tensor
    """Whether a site is occupied, bool, (N, S)."""
    multiplicity: Tensor
    """Images in the conventional cell, int64, (N, S)."""
    base: Tensor
    """One point of each position, float64, (N, S, 3)."""
    free: Tensor
    """Directions in which it may move, as rows, float64, (N, S, 3, 3)."""
    freedom: Tensor
    """Number of these directions, int64, (N, S)."""


@functools.cache
def positions(device: str) -> Positions:
    """The Wyckoff positions on a device."""
    groups = table()
    most = max(len(g.too_symmetric) for g in groups)
    pad = [[*g.positions, *[None] * (MOST - len(g.positions))] for g in groups]
    count = [[len(p.free) if p else 0 for p in row] for row in pad]
    zero = [0, 0, 0]
    operation = operations()
    found = Positions(
        multiplicity=torch.tensor([[p.multiplicity if p else 0 for p in row] for row in pad]),
        base=torch.tensor([[p.base if p else zero for p in row] for row in pad]).double() / DENOMINATOR,
        free=torch.tensor([[[*(p.free if p else []), zero, zero, zero][:3] for p in row] for row in pad]).double(),
        freedom=torch.tensor(count),
        polar=torch.tensor([[bool(p and p.polar) for p in row] for row in pad]),
        too_symmetric=torch.tensor([[*g.too_symmetric, *[0] * (most - len(g.too_symmetric))] for g in groups]),
        centring=1 + (operation.centring[torch.as_tensor(default_settings()) - 1] != 0).any(-1).sum(1),
    )
    return Positions(*(getattr(found, f.name).to(device) for f in fields(found)))


def draw_sizes(group: Tensor, settings: RandomSettings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Wanted number of sites (N,) and largest number of atoms in the cell (N,) of crystals of the groups (N,)."""

    def log_uniform(low: float, high: float) -> Tensor:
        u = torch.rand(len(group), generator=generator, device=group.device)
        return (math.log(low) + math.log(high / low) * u).exp()

    centring = positions(str(group.device)).centring[group]
    return log_uniform(*settings.sites).long(), log_uniform(*settings.atoms) * centring


def choose_sites(
    group: Tensor, sizes: tuple[Tensor, Tensor], settings: RandomSettings, generator: torch.Generator
) -> Sites:
    """Sites for crystals of the groups (N,), with the sizes of :func:`draw_sizes` where that is possible.

    Where :data:`ATTEMPTS` choices all have too much symmetry, the crystal gets three atoms in general position.
    """
    every = positions(str(group.device))
    n, most = len(group), int(settings.sites[1])
    wanted, budget = sizes
    chosen = torch.zeros(n, most, dtype=torch.long, device=group.device)
    used = torch.zeros(n, most, dtype=torch.bool, device=group.device)
    bad = torch.ones(n, dtype=torch.bool, device=group.device)
    for _ in range(ATTEMPTS):
        new, new_used = _attempt(group, wanted, budget, most, settings, generator)
        chosen, used = torch.where(bad[:, None], new, chosen), torch.where(bad[:, None], new_used, used)
        bad = _too_symmetric(group, chosen, used)
        budget, wanted = budget * torch.where(bad, 4 / 3, 1.0), wanted.clamp_min(2)
    general = (every.multiplicity[group] > 0).sum(1, keepdim=True) - 1
    chosen = torch.where(bad[:, None], general, chosen)
    used = torch.where(bad[:, None], torch.arange(most, device=group.device) < min(3, most), used)

    order = torch.where(used, every.freedom[group[:, None], chosen], 9).argsort(dim=1, stable=True)
    chosen, used = chosen.gather(1, order), used.gather(1, order)
    row = group[:, None]
    return Sites(
        group=group,
        used=used,
        multiplicity=every.multiplicity[row, chosen],
        base=every.base[row, chosen],
        free=every.free[row, chosen],
        freedom=every.freedom[row, chosen],
    )


def _attempt(
    group: Tensor, wanted: Tensor, budget: Tensor, most: int, settings: RandomSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Positions (N, most) in random order, none of them twice, and whether the budget of atoms allows each."""
    every = positions(str(group.device))
    multiplicity = every.multiplicity[group]
    smallest = multiplicity.masked_fill(multiplicity == 0, 10_000).amin(1)
    budget = torch.maximum(budget, smallest.float())
    weight = multiplicity.float().clamp_min(1).pow(-settings.special)
    weight = weight * ((multiplicity > 0) & (multiplicity <= budget[:, None]))
    copies = torch.arange(COPIES, device=group.device)
    weight = weight[:, :, None] * ((copies == 0) | (every.freedom[group][:, :, None] > 0))
    weight = weight.flatten(1)
    noise = torch.rand(weight.shape, generator=generator, device=group.device).clamp_min(1e-9)
    score = torch.where(weight > 0, noise.log() / weight.clamp_min(1e-9), -torch.inf)  # Efraimidis & Spirakis 2006
    score, place = score.topk(most, dim=1)
    chosen = place // COPIES
    size = multiplicity.gather(1, chosen)
    used = torch.zeros_like(chosen, dtype=torch.bool)
    total = torch.zeros_like(budget)
    count = torch.zeros_like(wanted)
    for slot in range(most):
        fits = (total + size[:, slot] <= budget) & (count < wanted) & torch.isfinite(score[:, slot])
        used[:, slot] = fits
        total, count = total + fits * size[:, slot], count + fits
    return chosen, used


def _too_symmetric(group: Tensor, chosen: Tensor, used: Tensor) -> Tensor:
    """Whether crystals with these positions have more symmetry than their groups, shape (N,)."""
    every = positions(str(group.device))
    bit = torch.where(used, torch.ones_like(chosen) << chosen, 0)
    held = torch.zeros(len(group), dtype=torch.long, device=group.device)
    for slot in range(chosen.shape[1]):
        held = held | bit[:, slot]
    inside = ((held[:, None] & ~every.too_symmetric[group]) == 0).any(1)
    alone = (used.sum(1) == 1) & (every.polar[group[:, None], chosen] & used).any(1)
    return inside | alone
