"""Triclinic cells from pairs of lines and the zones that they span.

Two lines taken as (100) and (010) span a zone once the angle between them is known; a third line, taken as their sum
or difference or as (120), (210), (130) or (310), tells it. Of each pair the zones that explain most lines are kept, and
three lines with one zone for each pair are a cell (Ito 1949, Nature 164, 755; Visser 1969, J. Appl. Cryst. 2, 89). The
lines need not be the shortest: one that is absent is missed in one basis, not in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.peaks.observed import Observed

if TYPE_CHECKING:
    import torch

_BASIS = 12
"""Three of so many lowest trusted lines are taken as (100), (010) and (001)."""
_ZONES = 12
"""Zones kept of each pair of lines."""
_TELLING = np.array([(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)])
"""Indices in a zone of the line that tells its angle, but for the sign of the second."""
_SKEW = 3.1
"""The cross term of a zone is at most so many times the smaller of its two squares."""
_MOST_SKEW = 1.98
"""And so many times their geometric mean, which for 2 makes the axes parallel."""
_INDICES = np.array([(h, k) for h in range(5) for k in range(-4, 5) if h > 0 or k > 0])
"""Indices in a zone by which the zone is scored."""
_SAME = 0.3
"""Cross terms nearer than this fraction of the mean window are one zone."""


def triclinic_parameters(
    observed: Observed, inv_d2: np.ndarray, window: np.ndarray, chunk: int, device: str
) -> Iterator[torch.Tensor]:
    """Reciprocal metrics in 1/Å² of all cells that three lines with three zones give, in chunks of shape (≤ chunk, 6).

    Parameters
    ----------
    inv_d2 : 1/d² of the lines in 1/Å², shape (n,).
    window : half-width within which a line is explained, 1/Å², shape (n,).
    """
    import torch

    basis = np.flatnonzero(observed.spurious < 0.5)[:_BASIS]
    if len(basis) < 3:
        return
    pairs = np.array(list(itertools.combinations(range(len(basis)), 2)))
    cross, count = _zones(inv_d2[basis[pairs]], inv_d2, window, 1 - observed.spurious)
    number = np.zeros((len(basis), len(basis)), int)
    number[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
    i, j, k = np.array(list(itertools.combinations(range(len(basis)), 3))).T
    zones = np.stack([number[j, k], number[i, k], number[i, j]], 1)
    counts = count[zones] * (1, 1, 2)  # of the three signs, axes that turn round take two
    ends = counts.prod(1).cumsum()
    cross, squares = (torch.tensor(a, dtype=torch.float32, device=device) for a in (cross, inv_d2[basis]))
    for begin in range(0, int(ends[-1]), chunk):
        place = np.arange(begin, min(begin + chunk, ends[-1]))
        three = np.searchsorted(ends, place, side="right")
        place, third = np.divmod(place - (ends - counts.prod(1))[three], counts[three, 2])
        first, second = np.divmod(place, counts[three, 1])
        d, e, f = (cross[zones[three, n], at] for n, at in enumerate((first, second, third // 2)))
        sign = torch.tensor(1.0 - 2.0 * (third % 2), dtype=torch.float32, device=device)
        yield torch.stack([squares[i[three]], squares[j[three]], squares[k[three]], d, e, f * sign], 1)


def _zones(squares: np.ndarray, inv_d2: np.ndarray, window: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, ...]:
    """The best cross terms of each pair of lines, not negative, best first, shape (P, 12), and how many there are.

    A zone is worth the lines that it explains beyond those that one of its density explains by chance.
    """
    a, b = squares.T[:, :, None]
    u, v = _TELLING.T[:, None, :, None]
    cross = np.abs((inv_d2 - u**2 * a[..., None] - v**2 * b[..., None]) / (u * v)).reshape(len(squares), -1)
    allowed = cross <= np.minimum(_SKEW * np.minimum(a, b), _MOST_SKEW * np.sqrt(a * b))
    h, k = _INDICES.T
    calculated = h**2 * a[..., None] + k**2 * b[..., None] + h * k * cross[..., None]
    area = np.sqrt(np.maximum(4 * a * b - cross**2, 1e-12)) / 2
    worth = np.zeros(cross.shape)
    for line, reach, part in zip(inv_d2, window, trust, strict=True):
        explained = (np.abs(calculated - line) < reach).any(-1)
        worth += part * (explained - 1 + np.exp(-np.pi * reach / area))
    order = np.argsort(-np.where(allowed, worth, -np.inf), axis=1, kind="stable")
    cross, allowed = (np.take_along_axis(array, order, 1) for array in (cross, allowed))
    near = np.abs(cross[:, :, None] - cross[:, None, :]) < _SAME * window.mean()
    fresh = allowed & ~np.tril(near, -1).any(2)
    first = np.argsort(~fresh, axis=1, kind="stable")[:, :_ZONES]
    return np.take_along_axis(cross, first, 1), np.minimum(fresh.sum(1), _ZONES)
