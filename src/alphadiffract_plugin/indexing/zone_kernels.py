"""The zones that pairs of lines may span, in compiled code; :mod:`zones` says what they are for.

With two lines a, b as the squares of the axes of a zone, a third line q with the indices (u, v) gives the cross term
g = |q - u² a - v² b| / (u v): 1/d² = h² a + k² b + h k g. A zone is worth

    Σ over lines i of (1 - s_i) (explained_i - 1 + exp(-π r_i / area)),   area = √(4 a b - g²) / 2

what it explains beyond chance; r_i is the half-width of the window of line i, s_i the probability that it is spurious.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.compiled import compiled


@compiled(
    "Tuple((f8[:,::1], i8[::1]))(f8[:,::1], f8[::1], f8[::1], f8[::1], f8[:,::1], f8[:,::1], f8, f8, f8, i8)",
)
def zones_of_pairs(
    squares: Floats,
    inv_d2: Floats,
    window: Floats,
    trust: Floats,
    telling: Floats,
    indices: Floats,
    skew: float,
    most_skew: float,
    same: float,
    keep: int,
) -> tuple[Floats, Ints]:
    """The best cross terms of each pair of lines, best first, shape (P, keep), and how many; see :mod:`zones`."""
    cross, count = np.zeros((len(squares), keep)), np.zeros(len(squares), np.int64)
    candidates = len(telling) * len(inv_d2)
    term, worth = np.empty(candidates), np.empty(candidates)
    explained = np.empty(len(inv_d2), np.bool_)
    for pair in range(len(squares)):
        a, b = squares[pair, 0], squares[pair, 1]
        found = 0
        for line in range(len(telling)):
            u, v = telling[line, 0], telling[line, 1]
            for q in inv_d2:
                g = abs((q - u * u * a - v * v * b) / (u * v))
                if g > min(skew * min(a, b), most_skew * np.sqrt(a * b)):
                    continue
                for i in range(len(inv_d2)):
                    explained[i] = False
                for index in range(len(indices)):
                    h, k = indices[index, 0], indices[index, 1]
                    value = h * h * a + k * k * b + h * k * g
                    for i in range(len(inv_d2)):
                        explained[i] |= abs(value - inv_d2[i]) < window[i]
                area = np.sqrt(max(4 * a * b - g * g, 1e-12)) / 2
                worth[found] = 0.0
                for i in range(len(inv_d2)):
                    worth[found] += trust[i] * (explained[i] - 1 + np.exp(-np.pi * window[i] / area))
                term[found] = g
                found += 1
        while count[pair] < keep:
            best = -1
            for place in range(found):
                if worth[place] > -np.inf and (best < 0 or worth[place] > worth[best]):
                    best = place
            if best < 0:
                break
            cross[pair, count[pair]] = term[best]
            count[pair] += 1
            for place in range(found):
                if abs(term[place] - term[best]) < same:
                    worth[place] = -np.inf
    return cross, count
