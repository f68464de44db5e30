"""Compiled loop that finds the zones that pairs of lines may span; see :mod:`zones`.

In a zone 1/d² = h² a + k² b + h k g. If two lines are its squares a and b, a third line q with the indices (u, v) gives
the cross term g = |q - u² a - v² b| / (u v). The score of a zone is the number of trusted lines that it explains less
the number that a zone of the same area of its reciprocal cell explains by chance:

    Σ over lines i of (1 - s_i) (explained_i - 1 + exp(-π r_i / area)),   area = √(4 a b - g²) / 2,

where r_i is the half-width of the window of line i, and s_i the probability that it is spurious.
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
    third: Floats,
    indices: Floats,
    skew: float,
    most_skew: float,
    same: float,
    keep: int,
) -> tuple[Floats, Ints]:
    """The best cross terms of each of P pairs of lines, best first, shape (P, keep), and their number, shape (P,).

    Parameters
    ----------
    squares : a and b of each pair in 1/Å², shape (P, 2).
    inv_d2, window, trust : 1/d² and r_i of each line in 1/Å², and 1 - s_i, shape (n,).
    third : indices (u, v) that the third line may have, shape (T, 2).
    indices : indices (h, k) by which a zone explains lines, shape (H, 2).
    skew, most_skew : g is at most ``skew`` · min(a, b), and at most ``most_skew`` · √(a b).
    same : cross terms within this distance are one zone.
    keep : largest number of zones of a pair.
    """
    cross, count = np.zeros((len(squares), keep)), np.zeros(len(squares), np.int64)
    candidates = len(third) * len(inv_d2)
    term, score = np.empty(candidates), np.empty(candidates)
    explained = np.empty(len(inv_d2), np.bool_)
    for pair in range(len(squares)):
        a, b = squares[pair, 0], squares[pair, 1]
        found = 0
        for line in range(len(third)):
            u, v = third[line, 0], third[line, 1]
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
                score[found] = 0.0
                for i in range(len(inv_d2)):
                    score[found] += trust[i] * (explained[i] - 1 + np.exp(-np.pi * window[i] / area))
                term[found] = g
                found += 1
        while count[pair] < keep:
            best = -1
            for place in range(found):
                if score[place] > -np.inf and (best < 0 or score[place] > score[best]):
                    best = place
            if best < 0:
                break
            cross[pair, count[pair]] = term[best]
            count[pair] += 1
            for place in range(found):
                if abs(term[place] - term[best]) < same:
                    score[place] = -np.inf
    return cross, count
