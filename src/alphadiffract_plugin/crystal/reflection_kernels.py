"""Compiled loops over the reflections of a lattice.

:mod:`compiled` says how they are compiled. Functions that call them import them, so that importing a module is fast.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.compiled import compiled


@compiled()
def half_sphere(metric: Floats, top: Ints, inv_d2_max: float, shifts: Ints, most: int) -> tuple[Ints, Floats]:
    """Indices of one half of reciprocal space with 1/d² ≤ ``inv_d2_max``, shape (H, 3), and their 1/d², shape (H,).

    ``shifts`` are lattice translations in twenty-fourths, shape (n, 3), whose absences are left out; ``top`` the
    largest indices. No more than ``most`` + 1 are returned.
    """
    a, b, c, d, e, f = metric
    size = 0
    hkl = np.empty((0, 3), np.int64)
    value = np.empty(0)
    for filling in (False, True):
        if filling:
            hkl, value = np.empty((min(size, most + 1), 3), np.int64), np.empty(min(size, most + 1))
            size = 0
        for h in range(-top[0], top[0] + 1):
            for k in range(-top[1], top[1] + 1):
                begin = 0 if k > 0 or (k == 0 and h > 0) else 1
                plane, linear = h * h * a + k * k * b + h * k * f, k * d + h * e
                for l in range(begin, top[2] + 1):  # noqa: E741
                    q = plane + l * (linear + l * c)
                    if q > inv_d2_max or size > most:
                        continue
                    present = True
                    for s in range(len(shifts)):
                        if (h * shifts[s, 0] + k * shifts[s, 1] + l * shifts[s, 2]) % 24 != 0:
                            present = False
                            break
                    if present:
                        if filling:
                            hkl[size, 0], hkl[size, 1], hkl[size, 2] = h, k, l
                            value[size] = q
                        size += 1
    return hkl, value


@compiled()
def _absent(h: int, k: int, l: int, rotations: Ints, shifts: Ints, begin: int, end: int) -> bool:  # noqa: E741
    """Whether one of the operations maps an index onto itself with a phase that is no multiple of 2π."""
    for o in range(begin, end):
        r = rotations[o]
        if (
            h * r[0, 0] + k * r[1, 0] + l * r[2, 0] == h
            and h * r[0, 1] + k * r[1, 1] + l * r[2, 1] == k
            and h * r[0, 2] + k * r[1, 2] + l * r[2, 2] == l
            and (h * shifts[o, 0] + k * shifts[o, 1] + l * shifts[o, 2]) % 24 != 0
        ):
            return True
    return False


@compiled()
def lines_left(hkl: Ints, first: Ints, rotations: Ints, shifts: Ints, begin: Ints) -> Bools:
    """Which lines have an index that none of the operations makes absent, for C sets of operations, shape (C, R).

    Line r has the indices from ``first[r]`` to ``first[r + 1]``, set c the operations from ``begin[c]`` to
    ``begin[c + 1]``.
    """
    out = np.zeros((len(begin) - 1, len(first) - 1), np.bool_)
    for c in range(len(begin) - 1):
        for r in range(len(first) - 1):
            for n in range(first[r], first[r + 1]):
                if not _absent(hkl[n, 0], hkl[n, 1], hkl[n, 2], rotations, shifts, begin[c], begin[c + 1]):
                    out[c, r] = True
                    break
    return out
