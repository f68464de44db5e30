"""Triclinic cells from zones that pairs of lines span.

Two lines with the indices (100) and (010) span a zone. The angle between their axes follows from a third line of the
zone, which may have the indices (110), (120), (210), (130) or (310), the second index positive or negative. For each
pair of lines the zones that explain most lines are kept, and three lines with a zone for each pair make a cell (Ito
1949, Nature 164, 755; Visser 1969, J. Appl. Cryst. 2, 89). The three axes need not be the shortest of the lattice: a
line that is absent prevents only the cells of which it would be an axis.
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

_THIRD = np.array([(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)], float)
"""Indices (u, v) of the third line, whose second may also be negative."""
_SKEW = 3.1
"""Largest ratio of the cross term of a zone to the smaller of its squares A and B; chosen by hand."""
_MOST_SKEW = 1.98
"""Largest |F| / √(A B) of a zone; at 2, a* and b* are parallel."""
_INDICES = np.array([(h, k) for h in range(5) for k in range(-4, 5) if h > 0 or k > 0], float)
"""Indices (h, k) by which a zone explains lines."""
_SAME = 0.3
"""Cross terms within this fraction of the mean window are one zone."""


@dataclass(frozen=True)
class Zones:
    """The zones that pairs of the m lowest lines may span."""

    squares: Floats
    """1/d² of the lines in 1/Å², shape (m,)."""
    cross: Floats
    """Absolute cross terms of the zones of each pair in 1/Å², best first, shape (m (m - 1) / 2, Z)."""
    count: Ints
    """Number of zones of each pair, at most Z; pairs in the order of ``itertools.combinations``."""


def zones_of_lines(observed: Observed, inv_d2: Floats, window: Floats, lines: int, keep: int) -> Zones:
    """The best zones of each pair of the ``lines`` lowest trusted lines, at most ``keep`` per pair.

    They are scored by the number of lines that they explain; see :mod:`zone_kernels`.

    Parameters
    ----------
    inv_d2 : 1/d² of the lines in 1/Å², shape (n,).
    window : half-width within which a line is explained in 1/Å², shape (n,).
    """
    from alphadiffract_plugin.indexing.zone_kernels import zones_of_pairs

    squares = inv_d2[np.flatnonzero(observed.spurious < 0.5)[:lines]]
    pairs = np.array(list(itertools.combinations(range(len(squares)), 2)), int).reshape(-1, 2)
    limits = (_SKEW, _MOST_SKEW, _SAME * window.mean())
    trust = 1 - observed.spurious
    return Zones(squares, *zones_of_pairs(squares[pairs], inv_d2, window, trust, _THIRD, _INDICES, *limits, keep))


def cells_of_zones(zones: Zones, chunk: int, device: str) -> Iterator[torch.Tensor]:
    """Reciprocal metrics in 1/Å² of all cells of three lines with three zones, in chunks of shape (≤ chunk, 6).

    The cells of a triple of lines are numbered by its first, second and third zone, and by the sign of the third: of
    the signs of three cross terms, all but one can be changed by reversing axes.
    """
    import torch

    if len(zones.squares) < 3:
        return
    triples, pairs = _triples(len(zones.squares))
    counts = zones.count[pairs] * (1, 1, 2)
    cells = counts.prod(1)
    ends = cells.cumsum()
    cross, squares = (torch.tensor(a, dtype=torch.float32, device=device) for a in (zones.cross, zones.squares))
    for begin in range(0, int(ends[-1]), chunk):
        number = np.arange(begin, min(begin + chunk, ends[-1]))
        triple = np.searchsorted(ends, number, side="right")
        number, signed_third = np.divmod(number - (ends - cells)[triple], counts[triple, 2])
        first, second = np.divmod(number, counts[triple, 1])
        third, negative = np.divmod(signed_third, 2)
        d, e, f = (cross[pairs[triple, n], zone] for n, zone in enumerate((first, second, third)))
        sign = torch.tensor(1.0 - 2.0 * negative, dtype=torch.float32, device=device)
        a, b, c = (squares[triples[triple, n]] for n in range(3))
        yield torch.stack([a, b, c, d, e, f * sign], 1)


def _triples(lines: int) -> tuple[Ints, Ints]:
    """All triples (i, j, k) of so many lines, and the numbers of their pairs jk, ik and ij, shape (T, 3) each."""
    pairs = np.array(list(itertools.combinations(range(lines), 2)))
    number = np.zeros((lines, lines), int)
    number[pairs[:, 0], pairs[:, 1]] = np.arange(len(pairs))
    triples = np.array(list(itertools.combinations(range(lines), 3)))
    i, j, k = triples.T
    return triples, np.stack([number[j, k], number[i, k], number[i, j]], 1)
