"""Cells of random crystals: axial ratios and angles of the crystal system, at a given volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import lattice
from ..lattice import CUBIC, MONOCLINIC, TETRAGONAL, TRICLINIC, has_hexagonal_axes

if TYPE_CHECKING:
    from .random_settings import RandomSettings


def random_metrics(group: Tensor, volume: Tensor, settings: RandomSettings, generator: torch.Generator) -> Tensor:
    """Direct metrics in Å² of conventional cells, float64, shape (N, 3, 3).

    Triclinic cells are Niggli-reduced; monoclinic ones are b unique; rhombohedral lattices have hexagonal axes.

    Parameters
    ----------
    group : space groups 0 to 229, shape (N,).
    volume : of the conventional cell, Å³, shape (N,).
    settings : ``axes`` and ``beta`` are used.
    generator : on the device of ``group``.
    """
    device, n = group.device, len(group)
    system = torch.as_tensor(lattice.system_of_group(), device=device)[group]
    lengths = (settings.axes * torch.randn(n, 3, generator=generator, device=device, dtype=torch.float64)).exp()
    uniform = torch.rand(n, 4, generator=generator, device=device, dtype=torch.float64)
    triclinic, hexagonal = system == TRICLINIC, has_hexagonal_axes(system)
    a, b, c = torch.where(triclinic[:, None], lengths.sort(dim=1).values, lengths).unbind(1)
    b = torch.where(system >= TETRAGONAL, a, b)
    c = torch.where(system == CUBIC, a, c * torch.where(hexagonal, 1.3, 1.0))

    # a reduced cell: no edge can be shortened, and the angles are all acute, or all obtuse with a long body diagonal
    bc, ac, ab = (uniform[:, :3] * torch.stack((b, a, a), 1).square() / 2).unbind(1)
    room = (a * a + b * b) / 2 / (bc + ac + ab)
    sign = torch.where(uniform[:, 3] < 0.5, 1.0, -0.98 * room.clamp_max(1.0))
    low, high = settings.beta
    monoclinic = a * c * torch.deg2rad(low + (high - low) * uniform[:, 1].square()).cos()
    yz = torch.where(triclinic, sign * bc, 0.0)
    xz = torch.where(triclinic, sign * ac, torch.where(system == MONOCLINIC, monoclinic, 0.0))
    xy = torch.where(triclinic, sign * ab, torch.where(hexagonal, -a * a / 2, 0.0))
    metric = torch.stack((a * a, xy, xz, xy, b * b, yz, xz, yz, c * c), 1).reshape(n, 3, 3)
    scale: Tensor = (volume / torch.linalg.det(metric).sqrt()).pow(2 / 3)
    return metric * scale[:, None, None]
