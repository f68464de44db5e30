"""Compiled loops of the whole-pattern fits: banded normal equations, and the likelihood of the lines for many classes.

:mod:`compiled` says how they are compiled. Functions that call them import them, so that importing a module is fast.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.compiled import compiled


@compiled()
def factor(lower: Floats, low: Ints, use: Ints, scale: Floats, ridge: float) -> tuple[Floats, Ints]:
    """Cholesky factor L of S A S + ridge · 1, a band, and the first column of each of its rows that is not zero.

    Parameters
    ----------
    lower, low : A, some rows and columns of a :class:`runs.Band`.
    use : the numbers of these rows, ascending, shape (n,).
    scale : diagonal of S, shape (n,).
    """
    size, half = len(use), lower.shape[1] - 1
    first = np.empty(size, np.int64)
    width = begin = 0
    for j in range(size):
        while use[begin] < low[use[j]]:
            begin += 1
        first[j] = begin
        width = max(width, j - begin)
    out = np.zeros((size, width + 1))
    for j in range(size):
        for i in range(first[j], j + 1):
            total = lower[use[j], use[i] - use[j] + half] * scale[j] * scale[i]
            if i == j:
                total += ridge
            start = max(first[i], first[j])
            mine, other = width - j, width - i
            for k in range(start, i):
                total -= out[j, k + mine] * out[i, k + other]
            out[j, i + mine] = np.sqrt(max(total, 1e-300)) if i == j else total / out[i, width]
    return out, first


@compiled()
def solve(lower: Floats, first: Ints, right: Floats) -> Floats:
    """Solution x of L Lᵀ x = right, shape (n, k), for the result of :func:`factor`."""
    size, width = len(lower), lower.shape[1] - 1
    x = right.copy()
    for c in range(right.shape[1]):
        for j in range(size):
            total = x[j, c]
            for k in range(first[j], j):
                total -= lower[j, k - j + width] * x[k, c]
            x[j, c] = total / lower[j, width]
        for j in range(size - 1, -1, -1):
            x[j, c] /= lower[j, width]
            for k in range(first[j], j):
                x[k, c] -= lower[j, k - j + width] * x[j, c]
    return x


@compiled()
def inverse_diagonal(lower: Floats, first: Ints) -> Floats:
    """Diagonal of (L Lᵀ)⁻¹, shape (n,), for the result of :func:`factor`.

    The elements Z of the inverse within the band follow from the last to the first (Takahashi, Fagan & Chen 1973):
    Z_ij = δ_ij / L_ii² - Σ_{k > i} L_ki Z_kj / L_ii.
    """
    size, width = len(lower), lower.shape[1] - 1
    z = np.zeros((size, width + 1))
    column = np.zeros(width + 1)
    out = np.empty(size)
    last = size - 1
    for i in range(size - 1, -1, -1):
        while last > i and first[last] > i:
            last -= 1
        own = lower[i, width]
        for k in range(i + 1, last + 1):
            column[k - i] = lower[k, i - k + width] / own
        for j in range(last, i, -1):
            total = 0.0
            for k in range(i + 1, j):
                total -= column[k - i] * z[j, k - j + width]
            for k in range(j, last + 1):
                total -= column[k - i] * z[k, j - k + width]
            z[j, i - j + width] = total
        total = 1 / own**2
        for k in range(i + 1, last + 1):
            total -= column[k - i] * z[k, i - k + width]
        z[i, width] = out[i] = total
    return out


@compiled()
def unexplained(two_theta: Floats, allowed: Bools, position: Floats, reach: Floats) -> Bools:
    """Which lines have no allowed reflection within ``reach`` degrees, shape (L,)."""
    out = np.empty(len(position), np.bool_)
    for n in range(len(position)):
        out[n] = True
        for r in range(len(two_theta)):
            if allowed[r] and abs(two_theta[r] - position[n]) <= reach[n]:
                out[n] = False
                break
    return out


@compiled()
def _likelihoods(
    chosen: Ints,
    two_theta: Floats,
    position: Floats,
    sigma: Floats,
    known: Floats,
    out: Floats,
) -> None:
    """Write :func:`observed.line_likelihood` of each line at the nearest of the ``chosen`` reflections into ``out``.

    ``known`` holds the likelihoods computed so far by line and reflection, shape (L, R); -1 where there is none yet.
    """
    at = 0
    for n in range(len(position)):
        while at < len(chosen) and two_theta[chosen[at]] < position[n]:
            at += 1
        nearest = chosen[min(at, len(chosen) - 1)]
        if at > 0 and position[n] - two_theta[chosen[at - 1]] <= abs(two_theta[nearest] - position[n]):
            nearest = chosen[at - 1]
        if known[n, nearest] < 0:
            norm = np.sqrt(2 * np.pi) * sigma[n]
            z = (two_theta[nearest] - position[n]) / sigma[n]
            known[n, nearest] = 0.75 * np.exp(-0.5 * z**2) / norm + 0.25 * np.exp(-0.5 * (z / 4) ** 2) / (4 * norm)
        out[n] = known[n, nearest]


@compiled()
def _log_product(likelihood: Floats, spurious: Floats) -> float:
    """Σ ln((1 - spurious) · likelihood + spurious) over the lines; factors are multiplied to save logarithms."""
    total, product = 0.0, 1.0
    for n in range(len(likelihood)):
        product *= (1 - spurious[n]) * likelihood[n] + spurious[n]
        if not 1e-100 < product < 1e100:
            total, product = total + np.log(product), 1.0
    return float(total + np.log(product))


@compiled()
def line_ratios(
    allowed: Bools,
    main: Bools,
    choice: float,
    two_theta: Floats,
    position: Floats,
    sigma: Floats,
    spurious: Floats,
    density: Floats,
    share: Floats,
) -> Floats:
    """Log-likelihood ratio of L found lines for C sets of allowed reflections, shape (C,).

    For a set of n reflections, with L_i the likelihood of line i at the nearest of them,

        ratio = ln(exp(r) + Σ over superstructures m of exp(r_m - choice)),
        r     = Σ over lines i of ln((1 - s_i) L_i / ((n + 1) ρ_i) + s_i),

    and r_m is the same with (1 - t_i) L_i / ((n + 1) ρ_i) of the main reflections plus t_i L_i / ((n + 1) ρ_i) of the
    superstructure reflections in place of L_i / ((n + 1) ρ_i).

    Parameters
    ----------
    allowed : the sets, shape (C, R).
    main : the main reflections of each superstructure that the cell may be, shape (M, R); see ``FittedLattice.main``.
    choice : logarithm of the number of these superstructures.
    two_theta : positions of the reflections in degrees, ascending, shape (R,).
    position, sigma, spurious : position and uncertainty in degrees, and s_i, of each line, shape (L,).
    density : ρ_i, lines per degree of a cell with one reflection in the range, shape (L,).
    share : t_i, the prior probability that each line is a superstructure reflection, shape (L,).
    """
    known = np.empty((len(position), len(two_theta)))
    known[:] = -1.0
    one, two = np.empty(len(two_theta), np.int64), np.empty(len(two_theta), np.int64)
    strong, weak = np.empty(len(position)), np.empty(len(position))
    out = np.empty(len(allowed))
    for c in range(len(allowed)):
        total = 0
        for r in range(len(two_theta)):
            one[total] = r
            total += allowed[c, r]
        strong[:] = 0.0
        if total > 0:
            _likelihoods(one[:total], two_theta, position, sigma, known, strong)
        for n in range(len(position)):
            strong[n] /= (total + 1) * density[n]
        ratio = _log_product(strong, spurious)
        for m in range(len(main)):
            mains = others = 0
            for r in range(len(two_theta)):
                one[mains], two[others] = r, r
                mains += allowed[c, r] & main[m, r]
                others += allowed[c, r] & ~main[m, r]
            if mains == 0 or others == 0:
                continue
            _likelihoods(one[:mains], two_theta, position, sigma, known, strong)
            _likelihoods(two[:others], two_theta, position, sigma, known, weak)
            for n in range(len(position)):
                strong[n] = (1 - share[n]) * strong[n] / ((mains + 1) * density[n])
                strong[n] += share[n] * weak[n] / ((others + 1) * density[n])
            other = _log_product(strong, spurious) - choice
            high, low = max(ratio, other), min(ratio, other)
            ratio = high + np.log1p(np.exp(low - high))
        out[c] = ratio
    return out
