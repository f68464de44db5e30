"""Compiled loops over matrices whose columns are each non-zero on one run of points; see :class:`runs.Runs`.

:mod:`compiled` says how they are compiled. Functions that call them import them, so that importing a module is fast.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.compiled import compiled

_FAR = 40
"""Beyond this exponent a Gaussian is taken as zero: exp(-40) = 4e-18."""
_FINE = 64
"""Steps per unit of the tabulated exponential."""
_EXP = np.exp(-np.arange(_FAR * _FINE + 2) / _FINE)
"""exp(-z) at steps of 1/64; between them five terms of its series are exact to rounding."""


@compiled()
def _bells(x: Floats, centre: float, width: float, steep: float, out: Floats) -> None:
    """Write exp(-steep · ((x - centre) / width)²) on ascending points into ``out``; 0 where that is below exp(-40)."""
    fall = steep / width**2
    begin, end = 0, len(x)
    while begin < end and fall * (x[begin] - centre) ** 2 > _FAR:
        out[begin] = 0.0
        begin += 1
    while begin < end and fall * (x[end - 1] - centre) ** 2 > _FAR:
        end -= 1
        out[end] = 0.0
    for i in range(begin, end):
        off = x[i] - centre
        z = fall * off * off
        n = int(z * _FINE + 0.5)
        d = n * (1 / _FINE) - z
        out[i] = _EXP[n] * (1 + d * (1 + d * (1 / 2 + d * (1 / 6 + d * (1 / 24 + d * (1 / 120))))))


@compiled()
def draw(
    x: Floats,
    first: Ints,
    offset: Ints,
    count: Ints,
    centre: Floats,
    share: Floats,
    width: Floats,
    mixing: Floats,
    skewness: Floats,
    parts: int,
    out: Floats,
    bells: Floats,
) -> None:
    """Write the profiles of R lines with K components and ``parts - 1`` of their derivatives into ``out``, (parts, n).

    With t the distance from the centre in units of the FWHM w, η the mixing and s the skewness, a line is

        P(t) = E(t) · (1 + 2 s t exp(-t²)),
        E(t) = (1 - η) √(4 ln 2 / π) / w · exp(-4 ln 2 t²) + η · 2 / (π w (1 + 4 t²)),

    summed over the components (Kα1, Kα2) with their ``share``.

    Parameters
    ----------
    x : the points in degrees, ascending.
    first, offset, count : of each run, as in :class:`runs.Runs`, shape (R,).
    centre : positions of the components in degrees, shape (K, R).
    share : of each component, shape (K,).
    width, mixing, skewness : w in degrees, η and s of each line, shape (R,).
    parts : 1 for P alone, 2 with its derivative by the position of the line, 5 with those by ln w, η and s too. Lines
        that are skewed need all five.
    bells : working space of shape (2, length of the longest run).
    """
    steep = 4 * np.log(2.0)
    gauss, bell = bells[0], bells[1]
    for r in range(len(first)):
        w, eta, s, size = width[r], mixing[r], skewness[r], count[r]
        on = x[first[r] : first[r] + size]
        begin, end = offset[r], offset[r] + size
        value = out[0, begin:end]
        for k in range(len(share)):
            c, top, tail = centre[k, r], share[k] * np.sqrt(steep / np.pi) / w, share[k] * 2 / np.pi / w
            narrow, broad = (1 - eta) * top, eta * tail
            per = 1 / w
            _bells(on, c, w, steep, gauss)
            if parts == 1:
                for i in range(size):
                    t = (on[i] - c) * per
                    value[i] += narrow * gauss[i] + broad / (1 + 4 * t * t)
            elif parts == 2:
                by_position = out[1, begin:end]
                for i in range(size):
                    t = (on[i] - c) * per
                    f = 1 / (1 + 4 * t * t)
                    g, h = narrow * gauss[i], broad * f
                    value[i] += g + h
                    by_position[i] += (2 * steep * g + 8 * f * h) * t * per
            else:
                _bells(on, c, w, 1.0, bell)
                by_position, by_width = out[1, begin:end], out[2, begin:end]
                by_mixing, by_skewness = out[3, begin:end], out[4, begin:end]
                for i in range(size):
                    t = (on[i] - c) * per
                    f = 1 / (1 + 4 * t * t)
                    g, h, b = narrow * gauss[i], broad * f, 2 * bell[i]
                    even, skew = g + h, 1 + s * t * b
                    by_distance = (2 * steep * g + 8 * f * h) * t * skew - even * s * b * (1 - 2 * t * t)
                    value[i] += even * skew
                    by_position[i] += by_distance * per
                    by_width[i] += by_distance * t - even * skew
                    by_mixing[i] += (tail * f - top * gauss[i]) * skew
                    by_skewness[i] += even * t * b


@compiled()
def times(first: Ints, count: Ints, offset: Ints, value: Floats, factor: Floats, out: Floats) -> None:
    """Add the matrix times ``factor``, shape (k, R), to ``out``, shape (k, points)."""
    for r in range(len(first)):
        run = value[offset[r] : offset[r] + count[r]]
        for k in range(len(factor)):
            f = factor[k, r]
            if f != 0.0:
                part = out[k, first[r] : first[r] + count[r]]
                for i in range(len(run)):
                    part[i] += run[i] * f


@compiled()
def _dot(a: Floats, b: Floats) -> float:
    """Inner product of two vectors of one length, as four sums, which the processor computes side by side."""
    p = q = r = s = 0.0
    whole = len(a) - len(a) % 4
    for n in range(0, whole, 4):
        p += a[n] * b[n]
        q += a[n + 1] * b[n + 1]
        r += a[n + 2] * b[n + 2]
        s += a[n + 3] * b[n + 3]
    for n in range(whole, len(a)):
        p += a[n] * b[n]
    return (p + q) + (r + s)


@compiled()
def dots(first: Ints, count: Ints, offset: Ints, value: Floats, rows: Floats, out: Floats) -> None:
    """Write the inner products of each run with ``rows``, shape (k, points), into ``out``, shape (k, R)."""
    for r in range(len(first)):
        run = value[offset[r] : offset[r] + count[r]]
        for k in range(len(rows)):
            out[k, r] = _dot(run, rows[k, first[r] : first[r] + count[r]])


@compiled()
def gram(
    first: Ints,
    count: Ints,
    offset: Ints,
    value: Floats,
    weight: Floats,
    low: Ints,
    weighted: Floats,
    out: Floats,
) -> None:
    """Write the weighted inner products of each run with those from ``low`` on before it into ``out``, (R, half + 1).

    The product of columns i ≤ j is at [j, i - j + half]: the lower triangle of a banded symmetric matrix, row by row.
    ``weighted`` is working space of the length of the longest run.
    """
    half = out.shape[1] - 1
    for j in range(len(first)):
        begin, end = first[j], first[j] + count[j]
        for i in range(count[j]):
            weighted[i] = value[offset[j] + i] * weight[begin + i]
        for i in range(low[j], j + 1):
            start, stop = max(begin, first[i]), min(end, first[i] + count[i])
            if stop > start:
                other = offset[i] + start - first[i]
                out[j, i - j + half] = _dot(weighted[start - begin : stop - begin], value[other : other + stop - start])


@compiled()
def valleys(y: Floats, tops: Ints, out: Floats) -> None:
    """Write into ``out`` the higher of the lowest points on either side of each top, up to the next higher point."""
    for n in range(len(tops)):
        top = tops[n]
        left = right = y[top]
        i = top
        while i >= 0 and y[i] <= y[top]:
            left = min(left, y[i])
            i -= 1
        i = top
        while i < len(y) and y[i] <= y[top]:
            right = min(right, y[i])
            i += 1
        out[n] = max(left, right)
