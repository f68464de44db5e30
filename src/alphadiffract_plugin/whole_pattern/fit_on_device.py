"""Refine the axes of many lattices at once on a torch device: the steps of ``fit_lattice``, batched over the cells.

The same equations with full matrices in place of banded ones: a graphics card fills its units that way. Lattices with
fewer reflections or parameters than others are filled up with reflections of no expected intensity and parameters that
nothing depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.peaks.profile import REACH
from alphadiffract_plugin.whole_pattern.positions import DISPLACEMENT_PRIOR, ZERO_PRIOR, Axis

if TYPE_CHECKING:
    import torch

    from alphadiffract_plugin.whole_pattern.pattern_data import PatternData

_ELEMENTS = 4e8
"""So many elements of the profile matrices at once: 3 GB each."""
_MOST_FREE = 8
"""Free parameters of the metric of a triclinic lattice, zero shift and displacement."""


def refined_axes(
    data: PatternData, axes: Sequence[Axis], priors: Sequence[Floats], reach: Floats, steps: int, device: str
) -> list[Axis]:
    """The axes after Gauss-Newton steps on the whole pattern; equal to those of the CPU to 1e-9 relative.

    Parameters
    ----------
    priors : for each axis the multiplicities of its reflections, shape (R,).
    reach : how far in degrees each found line may be from the reflection that explains it, shape (L,).
    """
    size = max((len(axis.design) for axis in axes), default=1) + len(data.position)
    batch = max(1, int(_ELEMENTS / (size * len(data.x))))
    refined: list[Axis] = []
    for begin in range(0, len(axes), batch):
        some, counts = list(axes[begin : begin + batch]), priors[begin : begin + batch]
        for _ in range(steps):
            shifts = _shifts(data, some, counts, reach, device)
            free = [axis.design.shape[1] for axis in some]
            some = [a.moved(np.append(s[:p], s[-2:])) for a, s, p in zip(some, shifts, free, strict=True)]
        refined += some
    return refined


def _shifts(data: PatternData, axes: list[Axis], counts: Sequence[Floats], reach: Floats, device: str) -> Floats:
    """One step for each axis, shape (B, 8): the cell's parameters first, zero shift and displacement last."""
    import torch

    def there(values: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float64, device=device)

    most = max(len(axis.design) for axis in axes)
    place, expected, slope = (
        np.full((len(axes), most), 90.0),
        np.zeros((len(axes), most)),
        np.zeros((len(axes), most, _MOST_FREE)),
    )
    for n, (axis, multiplicity) in enumerate(zip(axes, counts, strict=True)):
        own, free = len(axis.design), axis.design.shape[1]
        place[n, :own], expected[n, :own] = axis.place, axis.expected(multiplicity)
        slope[n, :own, :free], slope[n, :own, -2:] = axis.slope[:, :free], axis.slope[:, free:]
    real = expected > 0
    away = np.abs(data.position[None, :, None] - place[:, None]) + 1000.0 * ~real[:, None]
    unexplained = away.min(2) > reach
    share = data.total * expected / np.maximum(expected.sum(1, keepdims=True), 1e-30)
    width = there(np.concatenate([share, data.lines.peaks.area[: len(data.position)] * unexplained], 1))
    value, by_position = _profiles(data, place, there)
    columns = torch.cat([value, there(data.free.toarray().T).expand(len(axes), -1, -1)], 1)
    weight, net = there(data.weight), there(data.net)
    gram = (columns * weight) @ columns.transpose(1, 2)
    matrix = gram * width[:, :, None] * width[:, None] + torch.eye(width.shape[1], dtype=width.dtype, device=device)
    right = (columns @ (weight * net)) * width
    intensity = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(matrix))[:, :, 0] * width
    left = net - (intensity[:, None] @ columns)[:, 0]
    moving = (intensity[:, :most].clamp_min(0)[:, :, None] * there(slope)).transpose(1, 2) @ by_position
    weighted = moving * weight
    normal, pull = weighted @ moving.transpose(1, 2), (weighted @ left[:, :, None])[:, :, 0]
    spreads = np.array([ZERO_PRIOR, DISPLACEMENT_PRIOR])
    shifted = np.array([[axis.zero_shift, axis.displacement] for axis in axes])
    normal[:, [-2, -1], [-2, -1]] += there(spreads**-2)
    pull[:, -2:] -= there(shifted / spreads**2)
    scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-30).sqrt()
    normal = normal / scale[:, :, None] / scale[:, None]
    unused = (torch.arange(_MOST_FREE, device=device) < _MOST_FREE - 2) & (there(slope) == 0).all(1)
    normal = normal + 1e-9 * torch.eye(_MOST_FREE, dtype=normal.dtype, device=device) + unused.double().diag_embed()
    shift: Floats = (torch.linalg.solve(normal, pull / scale) / scale).masked_fill(unused, 0.0).cpu().numpy()
    return shift


def _profiles(data: PatternData, place: Floats, there: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Profiles and their derivatives by position, shape (B, R, N) each: the formula of ``run_kernels.draw``."""
    import torch

    shape = data.lines.shape
    width = shape.fwhm(place)
    centres, shares = [place], [1.0]
    if len(shape.wavelengths) > 1 and shape.kalpha2_ratio > 0:
        sine = np.sin(np.radians(place / 2)) * shape.wavelengths[1] / shape.wavelengths[0]
        centres.append(2 * np.degrees(np.arcsin(np.minimum(sine, 1.0))))
        shares = [1 / (1 + shape.kalpha2_ratio), shape.kalpha2_ratio / (1 + shape.kalpha2_ratio)]
    first, last = np.searchsorted(
        data.x, np.sort(np.stack([centres[0] - REACH * width, centres[-1] + REACH * width]), 0)
    )
    at = there(np.arange(len(data.x)))
    drawn = (at >= there(first)[:, :, None]) & (at < there(last)[:, :, None])
    w, eta, s = (there(part)[:, :, None] for part in (width, shape.mixing(place), shape.skewness(place)))
    steep = 4 * np.log(2.0)
    value = by_position = torch.zeros(())
    for centre, share in zip(centres, shares, strict=True):
        t = (there(data.x) - there(centre)[:, :, None]) / w
        gauss = (1 - eta) * np.sqrt(steep / np.pi) / w * torch.exp(-steep * t * t)
        broad = 1 / (1 + 4 * t * t)
        lorentz, bell = eta * 2 / np.pi / w * broad, 2 * torch.exp(-t * t)
        even, skew = gauss + lorentz, 1 + s * t * bell
        slope = (2 * steep * gauss + 8 * broad * lorentz) * t * skew - even * s * bell * (1 - 2 * t * t)
        value = value + share * even * skew
        by_position = by_position + share * slope / w
    return value * drawn, by_position * drawn
