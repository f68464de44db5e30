"""Compiled loops that refine cells on the lines they explain, and score them.

With parameters x (1/Å²), zero shift z (degrees), observed lines q_i = 1/d² and g_i = dq_i/d(two_theta):

    off_i = (q_i - z g_i - design_h · x) / g_i          h the index whose line is nearest to line i, off_i in degrees
    w_i = 1 / (σ_i² + (0.1 r)²) / (1 + (off_i / 0.4 r)⁴)  for the first lines with |off_i| ≤ r, else 0
    N (δx, δz) = Σ_i w_i off_i row_i - (0, z/ζ²),   N = Σ_i w_i row_i row_iᵀ + (0, 1/ζ²),   row_i = (design_h / g_i, 1)

is one cycle of least squares with reach r and the prior z ~ N(0, ζ²). Each δx is limited to 5 % of the largest x. The
factors 0.1 and 0.4 and the 5 % were chosen by hand. The score of the refined cell is

    Σ_i ln[(1 - s_i) L(off_i) / ρ_i + s_i] - price · p - ln(1 + (z/ζ)²),   ρ_i = max(V · 2π √q_i g_i / m, 0.02)

with L of :func:`observed.line_likelihood`, s_i the probability that line i is spurious, ρ_i the calculated lines per
degree there, and m the lattice points times the multiplicity of a general line.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.compiled import compiled
from alphadiffract_plugin.crystal.cells import metric_determinant
from alphadiffract_plugin.crystal.reflection_kernels import half_sphere


@compiled("(f8[::1], f8, f8[::1], f8[::1], f8[:,::1], f8[::1], i8[::1], f8[::1], f8[:,::1], i8[:,::1])")
def _nearest(
    x: Floats,
    zero: float,
    inv_d2: Floats,
    per_degree: Floats,
    design: Floats,
    off: Floats,
    nearest: Ints,
    value: Floats,
    ends: Floats,
    at: Ints,
) -> None:
    """Write off_i in degrees and the index whose line is nearest to line i into ``off`` and ``nearest``, shape (n,).

    Each calculated line falls into one of the n + 1 gaps between observed lines. The nearest one to an observed line is
    the highest in the gaps below it or the lowest in the gaps above it. Calculated lines more than a degree beyond the
    last observed one are left out. ``value``, ``ends`` and ``at`` are working space of shapes (H,), (3, 32), (2, 32).
    """
    lines, indices = len(inv_d2), design.shape[1]
    target, lowest, highest = ends[0], ends[1], ends[2]
    for gap in range(32):
        target[gap] = inv_d2[gap] - zero * per_degree[gap] if gap < lines else np.inf
        lowest[gap], highest[gap] = np.inf, -np.inf
    beyond = target[lines - 1] + per_degree[lines - 1]
    for h in range(indices):
        value[h] = design[0, h] * x[0]
    for i in range(1, len(x)):
        for h in range(indices):
            value[h] += design[i, h] * x[i]
    for h in range(indices):
        v = value[h]
        if v > beyond:
            continue
        gap = 0  # observed lines below v, by halving
        for step in (16, 8, 4, 2, 1):
            gap += step if target[gap + step - 1] <= v else 0
        if v < lowest[gap]:
            lowest[gap], at[0, gap] = v, h
        if v > highest[gap]:
            highest[gap], at[1, gap] = v, h
    below, index = -np.inf, 0
    for i in range(lines):
        if highest[i] > -np.inf:
            below, index = highest[i], at[1, i]
        off[i], nearest[i] = target[i] - below, index
    above = np.inf
    for i in range(lines - 1, -1, -1):
        if lowest[i + 1] < np.inf:
            above, index = lowest[i + 1], at[0, i + 1]
        if above - target[i] < off[i]:
            off[i], nearest[i] = target[i] - above, index
        off[i] /= per_degree[i]


@compiled("b1(f8[:,::1], f8[::1])")
def _solve(matrix: Floats, right: Floats) -> bool:
    """Solve a small symmetric system by Cholesky; the solution replaces ``right``. False if it is not positive.

    Rows and columns are scaled as in :class:`normal_equations.NormalEquations`, with a damping of 1e-9.
    """
    size = len(right)
    scale = np.empty(size)
    for i in range(size):
        scale[i] = np.sqrt(max(matrix[i, i], 1e-30))
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j] / (scale[i] * scale[j])
            if i == j:
                total += 1e-9
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i > j:
                matrix[i, j] = total / matrix[j, j]
            elif total > 0:
                matrix[i, i] = np.sqrt(total)
            else:
                return False
    for i in range(size):
        right[i] /= scale[i]
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]
    for i in range(size):
        right[i] /= scale[i]
    return True


_metric_determinant = compiled("f8(f8, f8, f8, f8, f8, f8)")(metric_determinant)


@compiled("f8(f8[::1])")
def _determinant(metric: Floats) -> float:
    """Determinant of a reciprocal metric in 1/Å⁶; 0 if no cell has this metric."""
    a, b, c, d, e, f = metric[0], metric[1], metric[2], metric[3], metric[4], metric[5]
    planes = (a > 0) & (b > 0) & (c > 0) & (4 * a * b > f * f) & (4 * b * c > d * d) & (4 * a * c > e * e)
    determinant: float = _metric_determinant(a, b, c, d, e, f)
    return determinant if planes and determinant > 1e-12 else 0.0


@compiled(
    "(f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, f8, f8, f8[:,::1], f8[::1])",
)
def pull(
    start: Floats,
    lines: Floats,
    design: Floats,
    metric_map: Floats,
    cycles: Floats,
    zero_spread: float,
    price: float,
    most_zero: float,
    metrics: Floats,
    scores: Floats,
) -> None:
    """Refine cells and score them; -inf for metrics that no cell has, and for zero shifts that are too large.

    Parameters
    ----------
    start : parameters and zero shift of each cell, shape (K, p + 1); replaced by the refined ones.
    lines : rows q_i, g_i, σ_i, s_i and ρ_i / V, shape (5, n).
    design, metric_map : of the lattice, shapes (p, H) and (p, 6); at most 31 lines.
    cycles : for each cycle so many of the first lines, and the reach in degrees, shape (C, 2).
    zero_spread, price, most_zero : ζ in degrees, nats for each parameter, and largest zero shift in degrees.
    metrics, scores : the results, shapes (K, 6) and (K,).
    """
    inv_d2, per_degree, sigma, spurious, density = lines[0], lines[1], lines[2], lines[3], lines[4]
    count, free = len(inv_d2), len(design)
    off, nearest = np.empty(count), np.zeros(count, np.int64)
    value, ends, at = np.empty(design.shape[1]), np.empty((3, 32)), np.zeros((2, 32), np.int64)
    matrix, right, row = np.empty((free + 1, free + 1)), np.empty(free + 1), np.empty(free + 1)
    for cell in range(len(start)):
        x = start[cell, :free]
        scores[cell] = -np.inf
        solved = True
        for cycle in range(len(cycles)):
            reach, zero = cycles[cycle, 1], start[cell, free]
            _nearest(x, zero, inv_d2, per_degree, design, off, nearest, value, ends, at)
            for i in range(free + 1):
                right[i] = 0.0
                for j in range(free + 1):
                    matrix[i, j] = 0.0
            matrix[free, free], right[free] = 1 / zero_spread**2, -zero / zero_spread**2
            for line in range(int(cycles[cycle, 0])):
                if abs(off[line]) <= reach:
                    weight = 1 / (sigma[line] ** 2 + (0.1 * reach) ** 2) / (1 + (off[line] / (0.4 * reach)) ** 4)
                    for i in range(free):
                        row[i] = design[i, nearest[line]] / per_degree[line]
                    row[free] = 1.0
                    for i in range(free + 1):
                        right[i] += weight * off[line] * row[i]
                        for j in range(i + 1):
                            matrix[i, j] += weight * row[i] * row[j]
            solved = _solve(matrix, right)
            if not solved:
                break
            largest = 0.0
            for i in range(free):
                largest = max(largest, 0.05 * abs(x[i]))
            for i in range(free):
                x[i] += min(max(right[i], -largest), largest)
            start[cell, free] += right[free]
        for m in range(6):
            metrics[cell, m] = 0.0
            for i in range(free):
                metrics[cell, m] += x[i] * metric_map[i, m]
        determinant, zero = _determinant(metrics[cell]), start[cell, free]
        if not solved or determinant == 0.0 or not abs(zero) < most_zero:
            continue
        _nearest(x, zero, inv_d2, per_degree, design, off, nearest, value, ends, at)
        score = -price * free - np.log1p((zero / zero_spread) ** 2)
        for line in range(count):
            d = off[line] / sigma[line]
            narrow, wide = 0.75 * np.exp(-0.5 * d * d), 0.0625 * np.exp(-0.03125 * d * d)
            likelihood = (narrow + wide) / (np.sqrt(2 * np.pi) * sigma[line])
            expected = max(density[line] / np.sqrt(determinant), 0.02)
            score += np.log((1 - spurious[line]) * likelihood / expected + spurious[line])
        scores[cell] = score


@compiled(
    "(f8[:,::1], f8[:,::1], f8[:,::1], i8[:,::1], f8[:,::1], f8, f8, f8, i8, f8[:,::1], f8[::1])",
)
def pull_with_own_lines(
    start: Floats,
    lines: Floats,
    metric_map: Floats,
    shifts: Ints,
    cycles: Floats,
    zero_spread: float,
    price: float,
    most_zero: float,
    most: int,
    metrics: Floats,
    scores: Floats,
) -> None:
    """The same as :func:`pull`, with every reflection of each cell up to the last line in place of a list for all.

    A list of low indices that serves all cells ends too early along a long axis.

    Parameters
    ----------
    shifts : lattice translations of the centring in twenty-fourths, shape (n, 3).
    most : a cell with more indices is left as it is, with the score -inf.
    """
    free = len(metric_map)
    last = len(lines[0]) - 1
    reach = lines[0, last] + 1.5 * lines[1, last]
    top, tensor = np.empty(3, np.int64), np.empty((3, 3))
    for cell in range(len(start)):
        scores[cell] = -np.inf
        for m in range(6):
            metrics[cell, m] = 0.0
            for i in range(free):
                metrics[cell, m] += start[cell, i] * metric_map[i, m]
        if _determinant(metrics[cell]) == 0.0:
            continue
        for i in range(3):
            tensor[i, i] = metrics[cell, i]
        tensor[1, 2] = tensor[2, 1] = metrics[cell, 3] / 2
        tensor[0, 2] = tensor[2, 0] = metrics[cell, 4] / 2
        tensor[0, 1] = tensor[1, 0] = metrics[cell, 5] / 2
        direct = np.linalg.inv(tensor)
        for i in range(3):
            top[i] = min(int(np.sqrt(direct[i, i] * reach)), 60)
        hkl, value = half_sphere(metrics[cell], top, reach, shifts, most)
        if len(hkl) == 0 or len(hkl) > most:
            continue
        design = np.empty((free, len(hkl)))
        for n in range(len(hkl)):
            h, k, l = hkl[n, 0], hkl[n, 1], hkl[n, 2]  # noqa: E741
            for i in range(free):
                design[i, n] = (
                    h * h * metric_map[i, 0]
                    + k * k * metric_map[i, 1]
                    + l * l * metric_map[i, 2]
                    + k * l * metric_map[i, 3]
                    + h * l * metric_map[i, 4]
                    + h * k * metric_map[i, 5]
                )
        one = slice(cell, cell + 1)
        pull(start[one], lines, design, metric_map, cycles, zero_spread, price, most_zero, metrics[one], scores[one])
