"""Compiled loops that keep the first of equal cells or lattices, in the order in which they are given."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints, Singles
from alphadiffract_plugin.compiled import compiled

_OBTUSE = 1e-9
"""The reduction ends when no scalar product is larger than this fraction of the largest square."""
_SAME = 0.004
"""The screening takes cells as equal whose parameters all agree within about this fraction."""
_STEPS = 1000
"""Most steps of a reduction; a cell that is nearly reduced needs a few."""


@compiled("f8[:,::1](f8[:,:,::1])")
def seven_norms(metrics: Floats) -> Floats:
    """Seven squared lengths that characterise each of K lattices, ascending, in Å², shape (K, 7).

    In each lattice four vectors with v_0 + v_1 + v_2 + v_3 = 0 and v_i · v_j ≤ 0 can be chosen (Selling 1874). The
    squares of these four and of v_0 + v_1, v_0 + v_2, v_0 + v_3 do not depend on the choice of axes, and change
    continuously with the lattice (Conway & Sloane 1992, Proc. R. Soc. Lond. A 436, 55).

    Parameters
    ----------
    metrics : scalar products of three primitive basis vectors in Å², shape (K, 3, 3).
    """
    norms = np.empty((len(metrics), 7))
    p = np.empty((4, 4))
    for n in range(len(metrics)):
        largest = 0.0
        for i in range(3):
            for j in range(3):
                p[i, j] = metrics[n, i, j]
            largest = max(largest, p[i, i])
        for i in range(3):
            p[i, 3] = -p[i, 0] - p[i, 1] - p[i, 2]
            p[3, i] = p[i, 3]
        p[3, 3] = -p[3, 0] - p[3, 1] - p[3, 2]
        for _ in range(_STEPS):
            i, j = 0, 1
            for a in range(4):
                for b in range(a + 1, 4):
                    if p[a, b] > p[i, j]:
                        i, j = a, b
            s = p[i, j]
            if s <= _OBTUSE * largest:
                break
            k = 0
            while k in (i, j):
                k += 1
            l = 6 - i - j - k  # noqa: E741
            # v_i -> -v_i, v_k -> v_k + v_i, v_l -> v_l + v_i, v_j stays: the sum is zero again
            ik, il, jk, jl, kl = p[i, k], p[i, l], p[j, k], p[j, l], p[k, l]
            ii, kk, ll = p[i, i], p[k, k], p[l, l]
            p[i, j] = p[j, i] = -s
            p[i, k] = p[k, i] = -ik - ii
            p[i, l] = p[l, i] = -il - ii
            p[j, k] = p[k, j] = jk + s
            p[j, l] = p[l, j] = jl + s
            p[k, l] = p[l, k] = kl + ik + il + ii
            p[k, k], p[l, l] = kk + 2 * ik + ii, ll + 2 * il + ii
        for i in range(4):
            norms[n, i] = p[i, i]
        for i in range(1, 4):
            norms[n, 3 + i] = p[0, 0] + p[i, i] + 2 * p[0, i]
        for i in range(1, 7):
            at, value = i, norms[n, i]
            while at > 0 and norms[n, at - 1] > value:
                norms[n, at] = norms[n, at - 1]
                at -= 1
            norms[n, at] = value
    return norms


@compiled("i8[::1](f8[:,::1], f8, i8)")
def first_of_each_lattice(norms: Floats, tolerance: float, most: int) -> Ints:
    """Positions of the first ``most`` lattices whose norms differ from all before by more than this fraction."""
    taken = np.empty(min(most, len(norms)), np.int64)
    count = 0
    for place in range(len(norms)):
        if count == len(taken):
            break
        fresh = True
        for other in range(count):
            same = True
            for m in range(7):
                same &= abs(norms[taken[other], m] - norms[place, m]) < tolerance * norms[place, m]
            fresh &= not same
        if fresh:
            taken[count] = place
            count += 1
    return taken[:count]


@compiled("i8[::1](f4[:,::1], i8)")
def first_of_each_cell(cells: Singles, most: int) -> Ints:
    """Positions of the first ``most`` cells that differ from all before them by more than about 0.4 %."""
    chosen = np.empty(min(most, len(cells)), np.int64)
    size = 4
    while size < 4 * len(cells):
        size *= 2
    seen = np.zeros(size, np.uint64)
    count = 0
    for place in range(len(cells)):
        if count == len(chosen):
            break
        key = np.uint64(14695981039346656037)
        for i in range(cells.shape[1]):
            x = cells[place, i]
            step = np.int64(np.floor(np.log(abs(x) + 1e-6) / _SAME)) * 2 + (x < 0)
            key = (key ^ np.uint64(step)) * np.uint64(1099511628211)
            key ^= key >> np.uint64(29)
        at = np.int64(key >> np.uint64(20)) & (size - 1)
        while seen[at] != 0 and seen[at] != key:
            at = (at + 1) & (size - 1)
        if seen[at] == 0:
            seen[at] = key
            chosen[count] = place
            count += 1
    return chosen[:count]


@compiled("i8[::1](f8[:,::1], i8[::1], i8)")
def distinct_metrics(metrics: Floats, order: Ints, most: int) -> Ints:
    """The first ``most`` entries of ``order`` whose metrics differ from those of all before by more than 0.2 %."""
    taken = np.empty(min(most, len(order)), np.int64)
    count = 0
    for place in order:
        if count == len(taken):
            break
        fresh = True
        for other in range(count):
            same = True
            for m in range(6):
                difference = abs(metrics[taken[other], m] - metrics[place, m])
                same &= difference < 2e-3 * abs(metrics[place, m]) + 1e-9
            if same:
                fresh = False
                break
        if fresh:
            taken[count] = place
            count += 1
    return taken[:count]
