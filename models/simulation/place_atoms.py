"""Coordinates for the atoms of random crystals: within its Wyckoff position, each atom lies far from the others."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from .. import lattice
from .choose_sites import Sites
from .symmetry import DENOMINATOR, all_operations, default_settings

if TYPE_CHECKING:
    from .random_settings import RandomSettings

SAME = 1e-4
"""Images closer than this, in Å, are one atom."""
FAR = 9.9
"""Upper limit of the closeness, which a single atom in a large cell reaches."""
CHUNK = 300_000
"""Distances that are calculated at a time, which limits the memory."""
OBLIQUE = ("triclinic", "monoclinic", "trigonal", "hexagonal")
"""Crystal systems whose axes are not all at right angles."""


@functools.cache
def _operations(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """All operations of the 230 groups: R (230, 192, 3, 3), t (230, 192, 3), float64, and their number (230,)."""
    rotation, translation = torch.zeros(230, 192, 3, 3).double(), torch.zeros(230, 192, 3).double()
    count = torch.zeros(230, dtype=torch.long)
    for group, hall in enumerate(default_settings()):
        turns, shifts = all_operations(int(hall))
        count[group] = len(turns)
        rotation[group, : len(turns)] = torch.as_tensor(turns).double()
        translation[group, : len(turns)] = torch.as_tensor(shifts).double() / DENOMINATOR
    return rotation.to(device), translation.to(device), count.to(device)


def place_atoms(
    sites: Sites, metric: Tensor, radius: Tensor, settings: RandomSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The best of the random places for each atom, one atom after the other, and how much room they leave.

    Parameters
    ----------
    sites : of N crystals, S each.
    metric : direct metrics in Å², float64, (N, 3, 3).
    radius : of a sphere of the atomic volume, Å, (N, S).
    settings : ``contact`` and ``trials`` are used.
    generator : on the device of the sites.

    Returns
    -------
    position : fractional, float64, (N, S, 3).
    closeness : shortest distance of a crystal over the least that is allowed for the pair, (N,).
    """
    n, most = sites.used.shape
    device = metric.device
    step = torch.rand(n, most, settings.trials, 3, generator=generator, device=device, dtype=torch.float64)
    tried = sites.base[:, :, None] + step @ sites.free  # (N, S, T, 3)
    rotation, translation, count = _operations(str(device))
    position, closeness = torch.zeros(n, most, 3, dtype=torch.float64, device=device), torch.ones(n, device=device)
    for which, oblique in _alike(sites, settings.trials):
        group = sites.group[which]
        operations = int(count[group[0]])
        slots = int(sites.used[which].sum(1).max())
        position[which, :slots], closeness[which] = _placed(
            tried[which, :slots],
            sites.used[which, :slots],
            radius[which, :slots] * settings.contact,
            metric[which].float(),
            (rotation[group, :operations], translation[group, :operations]),
            oblique,
        )
    return position, closeness


def _alike(sites: Sites, trials: int) -> Iterator[tuple[Tensor, bool]]:
    """Crystals (indices) of one number of operations, of right or of oblique axes, and which of the two.

    Those with as many sites stand together, at most about :data:`CHUNK` distances at a time.
    """
    device = sites.group.device
    operations = _operations(str(device))[2][sites.group]
    systems = torch.tensor([name in OBLIQUE for name in CRYSTAL_SYSTEMS], device=device)
    oblique = systems[torch.as_tensor(lattice.system_of_group(), device=device)[sites.group]]
    count = sites.used.sum(1)
    order = ((operations * 2 + oblique) * 100 + count).argsort(stable=True)
    kind = (operations * 2 + oblique)[order]
    chunk = (trials * operations[order] * 4 * count[order]).cumsum(0) // CHUNK
    _, lengths = torch.unique_consecutive(chunk + kind * 100_000, return_counts=True)
    for which in torch.split(order, lengths.tolist()):
        yield which, bool(oblique[which[0]])


def _placed(
    tried: Tensor, used: Tensor, radius: Tensor, metric: Tensor, operations: tuple[Tensor, Tensor], oblique: bool
) -> tuple[Tensor, Tensor]:
    """The best of the tried places (N, S, T, 3), one site after the other: positions (N, S, 3), closeness (N,)."""
    n, slots = used.shape
    row = torch.arange(n, device=used.device)
    edge = metric.diagonal(dim1=1, dim2=2).amin(1).sqrt()
    closeness = (edge / (2 * torch.where(used, radius, 0.0).amax(1))).clamp_max(FAR)
    images: list[Tensor] = []
    placed: list[Tensor] = []
    for slot in range(slots):
        place = tried[:, slot]  # (N, T, 3)
        own = _images(place, operations).float()  # (N, T, O, 3)
        fit = _distances(own - place.float()[:, :, None], metric, oblique).amin(2) / (2 * radius[:, slot, None])
        if slot:
            apart = _distances(torch.stack(images, 1)[:, None] - place.float()[:, :, None, None], metric, oblique)
            least = torch.where(used[:, :slot], radius[:, :slot], -radius[:, slot, None] + 1e-3)
            least = least + radius[:, slot, None]
            fit = torch.minimum(fit, (apart.amin(3) / least[:, None]).amin(2))
        fit, best = fit.max(1)
        closeness = torch.where(used[:, slot], torch.minimum(closeness, fit), closeness)
        placed.append(place[row, best])
        images.append(own[row, best])
    return torch.stack(placed, 1), closeness


def _images(place: Tensor, operations: tuple[Tensor, Tensor]) -> Tensor:
    """Images (N, T, O, 3) of places (N, T, 3) under operations (N, O, ...)."""
    rotation, translation = operations
    return torch.einsum("noij,ntj->ntoi", rotation, place) + translation[:, None]


def _distances(apart: Tensor, metric: Tensor, oblique: bool) -> Tensor:
    """Shortest distances (N, ...) in Å between the lattices of points that are apart (N, ..., 3).

    A point and itself count as far apart. In an oblique cell the nearest image need not be the one with the smallest
    coordinates.
    """
    apart = apart - apart.round()
    shape = (-1, *[1] * (apart.ndim - 2))
    g = [metric[:, i, j].reshape(shape) for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]

    def squared(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        straight = g[0] * x * x + g[1] * y * y + g[2] * z * z
        return straight + 2 * (g[3] * y * z + g[4] * x * z + g[5] * x * y) if oblique else straight

    x, y, z = apart.unbind(-1)
    d2 = squared(x, y, z)
    d2 = torch.where(d2 < SAME**2, 100.0, d2)
    if oblique:
        across = [v - torch.where(v < 0, -1.0, 1.0) for v in (x, y, z)]
        for other in ((across[0], y, z), (x, across[1], z), (x, y, across[2])):
            d2 = torch.minimum(d2, squared(*other))
    return d2.sqrt()
