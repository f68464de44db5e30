"""Estimate a large shift of all lines from pairs of orders of reflection, before any cell is known.

If two lines are the orders m and n of reflection of the same planes, then sin θ_n / sin θ_m = n / m, and the shift z of
both angles follows (Dong, Wu & Chen 1999, J. Appl. Cryst. 32, 850):

    m sin((2θ_n - z) / 2) = n sin((2θ_m - z) / 2)

Every pair of lines gives a shift for each ratio n / m. The true shift is given by many pairs, wrong ones are scattered.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.peaks.observed import spurious_probability
from alphadiffract_plugin.records import Peaks

_ORDERS = ((1, 2), (1, 3), (2, 3), (1, 4), (3, 4))
"""Orders (m, n) of pairs."""
_LINES = 40
"""Number of lines, the lowest, whose pairs are looked at."""
_LEAST, _MOST = 0.12, 1.1
"""Smallest and largest magnitude of a shift in degrees; smaller ones are searched for every pattern."""
_WIDTH = 0.25
"""Half-width of the window in which pairs agree, as a fraction of the median FWHM."""
_RESULTS = 2
"""Number of shifts that are returned."""


def likely_shifts(peaks: Peaks) -> tuple[float, ...]:
    """The shifts in degrees that most pairs of lines give, best first, at most two."""
    trust = 1 - spurious_probability(peaks)[:_LINES]
    theta = np.radians(peaks.two_theta[:_LINES] / 2)
    shifts, weights = [], []
    for m, n in _ORDERS:
        # with t = z / 2: tan t = (m sin b - n sin a) / (m cos b - n cos a), a and b the angles of the orders m and n
        top = m * np.sin(theta)[None, :] - n * np.sin(theta)[:, None]
        bottom = m * np.cos(theta)[None, :] - n * np.cos(theta)[:, None]
        shifts.append(2 * np.degrees(np.arctan(top / np.where(np.abs(bottom) < 1e-9, 1e-9, bottom))))
        weights.append(trust[:, None] * trust[None, :])
    shift, weight = np.concatenate([s.ravel() for s in shifts]), np.concatenate([w.ravel() for w in weights])
    inside = np.abs(shift) < _MOST + 0.5
    shift, weight = shift[inside], weight[inside]
    grid = np.arange(-_MOST, _MOST + 0.005, 0.01)
    width = max(_WIDTH * float(np.median(peaks.fwhm)), 0.01)
    votes = (weight * np.exp(-0.5 * ((shift - grid[:, None]) / width) ** 2)).sum(1)
    votes[np.abs(grid) < _LEAST] = 0
    found = []
    for _ in range(_RESULTS):
        best = int(votes.argmax())
        found.append(float(grid[best]))
        votes[np.abs(grid - grid[best]) < 0.1] = 0
    return tuple(found)
