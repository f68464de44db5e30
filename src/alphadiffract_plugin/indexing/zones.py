"""Triclinic cells from pairs of lines and the zones that they span.

Two lines taken as (100) and (010) span a zone once the angle between them is known; a third line, taken as their sum
or difference or as (120), (210), (130) or (310), tells it. Of each pair the zones that explain most lines are kept, and
three lines with one zone for each pair are a cell (Ito 1949, Nature 164, 755; Visser 1969, J. Appl. Cryst. 2, 89). The
lines need not be the shortest: one that is absent is missed in one basis, not in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.peaks.observed import Observed

if TYPE_CHECKING:
    import torch

_TELLING = np.array([(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)], float)
"""Indices in a zone of the line that tells its angle, but for the sign of the second."""
_SKEW = 3.1
"""The cross term of a zone is at most so many times the smaller of its two squares."""
_MOST_SKEW = 1.98
"""And so many times their geometric mean, which for 2 makes the axes parallel."""
_INDICES = np.array([(h, k) for h in range(5) for k in range(-4, 5) if h > 0 or k > 0], float)
"""Indices in a zone by which the zone is scored."""
_SAME = 0.3
"""Cross terms nearer than this fraction of the mean window are one zone."""


@dataclass(frozen=True)
class Zones:
    """The zones that pairs of the lowest lines may span."""

    squares: Floats
    """1/d² of the lines taken for axes in 1/Å², shape (m,)."""
    cross: Floats
    """Cross terms of the zones of each pair, not negative, best first, in 1/Å², shape (m (m - 1) / 2, Z)."""
    count: Ints
    """How many zones each pair has, at most Z; pairs in the order of ``itertools.combinations``."""


def zones_of_lines(observed: Observed, inv_d2: Floats, window: Floats, lines: int, keep: int) -> Zones:
    """The best zones of each pair of the ``lines`` lowest trusted lines, at most ``keep`` a pair.

    A zone is worth the lines that it explains beyond those that one of its density explains by chance.

    Parameters
    ----------
    inv_d2 : 1/d² of the lines in 1/Å², shape (n,).
    window : half-width within which a line is explained, 1/Å², shape (n,).
    """
    from alphadiffract_plugin.indexing.zone_kernels import zones_of_pairs

    squares = inv_d2[np.flatnonzero(observed.spurious < 0.5)[:lines]]
    pairs = np.array(list(itertools.combinations(range(len(squares)), 2)), int).reshape(-1, 2)
    limits = (_SKEW, _MOST_SKEW, _SAME * window.mean())
    trust = 1 - observed.spurious
    return Zones(squares, *zones_of_pairs(squares[pairs], inv_d2, window, trust, _TELLING, _INDICES, *limits, keep))


def cells_of_zones(zones: Zones, chunk: int, device: str) -> Iterator[torch.Tensor]:
    """Reciprocal metrics in 1/Å² of all cells of three lines with three zones, in chunks of shape (≤ chunk, 6)."""
    import torch

    lines = len(zones.squares)
    if lines < 3:
        return
    pairs = np.array(list(itertools.combinations(range(lines), 2)))
    number = np.zeros((lines, lines), int)
    number[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
    i, j, k = np.array(list(itertools.combinations(range(lines), 3))).T
    three_zones = np.stack([number[j, k], number[i, k], number[i, j]], 1)
    counts = zones.count[three_zones] * (1, 1, 2)  # of the three signs, axes that turn round take two
    ends = counts.prod(1).cumsum()
    cross, squares = (torch.tensor(a, dtype=torch.float32, device=device) for a in (zones.cross, zones.squares))
    for begin in range(0, int(ends[-1]), chunk):
        place = np.arange(begin, min(begin + chunk, ends[-1]))
        three = np.searchsorted(ends, place, side="right")
        place, third = np.divmod(place - (ends - counts.prod(1))[three], counts[three, 2])
        first, second = np.divmod(place, counts[three, 1])
        d, e, f = (cross[three_zones[three, n], at] for n, at in enumerate((first, second, third // 2)))
        sign = torch.tensor(1.0 - 2.0 * (third % 2), dtype=torch.float32, device=device)
        yield torch.stack([squares[i[three]], squares[j[three]], squares[k[three]], d, e, f * sign], 1)
