"""Refine the positions of many lattices at once on a torch device: the steps of ``fit_lattice`` in one batch.

The equations are those of ``fit_lattice`` with full matrices in place of banded ones, which suits a GPU. Lattices with
fewer reflections or parameters than others get further reflections of no expected intensity, and further parameters on
which nothing depends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.peaks.profile import REACH
from alphadiffract_plugin.whole_pattern.positions import (
    DISPLACEMENT_PRIOR,
    ZERO_PRIOR,
    ReflectionPositions,
    shift_stiffness,
)

if TYPE_CHECKING:
    import torch

    from alphadiffract_plugin.whole_pattern.pattern_data import PatternData

_ELEMENTS = 4e8
"""Largest number of elements of a profile matrix: 3 GB."""
_MOST_FREE = 8
"""Free parameters of the metric of a triclinic lattice, zero shift and displacement."""


def refined_positions(
    data: PatternData,
    positions: Sequence[ReflectionPositions],
    multiplicities: Sequence[Floats],
    reach: Floats,
    steps: int,
    device: str,
) -> list[ReflectionPositions]:
    """The positions after Gauss-Newton steps on the whole pattern; equal to those of the CPU to 1e-9 relative.

    Parameters
    ----------
    multiplicities : of the reflections of each lattice, shape (R,).
    reach : largest distance in degrees of each found line from a reflection that explains it, shape (L,).
    steps : number of Gauss-Newton steps.
    """
    size = max((len(one.design) for one in positions), default=1) + len(data.position)
    batch = max(1, int(_ELEMENTS / (size * len(data.x))))
    refined: list[ReflectionPositions] = []
    for begin in range(0, len(positions), batch):
        some, counts = list(positions[begin : begin + batch]), multiplicities[begin : begin + batch]
        for _ in range(steps):
            shifts = _shifts(data, some, counts, reach, device)
            free = [one.design.shape[1] for one in some]
            some = [a.moved(np.append(s[:p], s[-2:])) for a, s, p in zip(some, shifts, free, strict=True)]
        refined += some
    return refined


def _shifts(
    data: PatternData, positions: list[ReflectionPositions], counts: Sequence[Floats], reach: Floats, device: str
) -> Floats:
    """One step for each lattice, shape (B, 8): the parameters first, zero shift and displacement last."""
    import torch

    def there(values: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float64, device=device)

    most = max(len(one.design) for one in positions)
    two_theta, expected, jacobian = (
        np.full((len(positions), most), 90.0),
        np.zeros((len(positions), most)),
        np.zeros((len(positions), most, _MOST_FREE)),
    )
    for n, (one, multiplicity) in enumerate(zip(positions, counts, strict=True)):
        own, free = len(one.design), one.design.shape[1]
        two_theta[n, :own], expected[n, :own] = one.two_theta, one.expected(multiplicity)
        jacobian[n, :own, :free], jacobian[n, :own, -2:] = one.jacobian[:, :free], one.jacobian[:, free:]
    real = expected > 0
    away = np.abs(data.position[None, :, None] - two_theta[:, None]) + 1000.0 * ~real[:, None]
    unexplained = away.min(2) > reach
    share = data.total * expected / np.maximum(expected.sum(1, keepdims=True), 1e-30)
    width = there(np.concatenate([share, data.peak_fit.peaks.area[: len(data.position)] * unexplained], 1))
    value, by_position = _profiles(data, two_theta, there)
    columns = torch.cat([value, there(data.line_profiles.toarray().T).expand(len(positions), -1, -1)], 1)
    weight, net = there(data.weight), there(data.net)
    gram = (columns * weight) @ columns.transpose(1, 2)
    matrix = gram * width[:, :, None] * width[:, None] + torch.eye(width.shape[1], dtype=width.dtype, device=device)
    right = (columns @ (weight * net)) * width
    intensity = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(matrix))[:, :, 0] * width
    left = net - (intensity[:, None] @ columns)[:, 0]
    moving = (intensity[:, :most].clamp_min(0)[:, :, None] * there(jacobian)).transpose(1, 2) @ by_position
    weighted = moving * weight
    normal, pull = weighted @ moving.transpose(1, 2), (weighted @ left[:, :, None])[:, :, 0]
    spreads = np.array([ZERO_PRIOR, DISPLACEMENT_PRIOR])
    shifted = np.array([[one.zero_shift, one.displacement] for one in positions])
    stiffness = shift_stiffness(shifted, spreads)
    normal[:, [-2, -1], [-2, -1]] += there(stiffness)
    pull[:, -2:] -= there(shifted * stiffness)
    scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-30).sqrt()
    normal = normal / scale[:, :, None] / scale[:, None]
    unused = (torch.arange(_MOST_FREE, device=device) < _MOST_FREE - 2) & (there(jacobian) == 0).all(1)
    normal = normal + 1e-9 * torch.eye(_MOST_FREE, dtype=normal.dtype, device=device) + unused.double().diag_embed()
    shift: Floats = (torch.linalg.solve(normal, pull / scale) / scale).masked_fill(unused, 0.0).cpu().numpy()
    return shift


def _profiles(data: PatternData, two_theta: Floats, there: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Profiles and their derivatives by position, shape (B, R, N) each, by the equations of ``run_kernels.draw``."""
    import torch

    shape = data.peak_fit.shape
    width = shape.fwhm(two_theta)
    centres, shares = shape.components(two_theta)
    first, last = np.searchsorted(
        data.x, np.sort(np.stack([centres[0] - REACH * width, centres[-1] + REACH * width]), 0)
    )
    at = there(np.arange(len(data.x)))
    drawn = (at >= there(first)[:, :, None]) & (at < there(last)[:, :, None])
    w, eta, s = (there(part)[:, :, None] for part in (width, shape.mixing(two_theta), shape.skewness(two_theta)))
    steep = 4 * np.log(2.0)
    value = by_position = torch.zeros(())
    for centre, share in zip(centres, shares.tolist(), strict=True):
        t = (there(data.x) - there(centre)[:, :, None]) / w
        gauss = (1 - eta) * np.sqrt(steep / np.pi) / w * torch.exp(-steep * t * t)
        broad = 1 / (1 + 4 * t * t)
        lorentz, bell = eta * 2 / np.pi / w * broad, 2 * torch.exp(-t * t)
        even, skew = gauss + lorentz, 1 + s * t * bell
        by_distance = (2 * steep * gauss + 8 * broad * lorentz) * t * skew - even * s * bell * (1 - 2 * t * t)
        value = value + share * even * skew
        by_position = by_position + share * by_distance / w
    return value * drawn, by_position * drawn
