"""Compiled loops that screen cells block by block, so that nothing but the best cells is written to memory.

With the parameters x of a cell in 1/Å², one for each degree of freedom of its lattice, and the observed lines q = 1/d²:

    x = M q             M is the inverse of an assignment, q are the lines to which indices are assigned
    (A, ..., F) = x · metric_map
    det = ABC + (DEF - AD² - BE² - CF²) / 4,   V = det^(-1/2)
    explained = OR over the low indices h of table[⌊scale · design_h · x⌋]            (one bit per line)
    score = Σ over lines i of   ln(1 - s_i) - ln(1 - exp(-e_i V))  if explained,  ln s_i  if not

s_i is the probability that line i is spurious, e_i V the number of calculated lines expected within its window. The
best ``keep`` cells are kept. A cell is dismissed without its score if an upper bound of it is below the worst of them:
the contribution of a line decreases with V, so that at the smallest volume of an interval is a bound for the interval.
The bound changes no result. :mod:`screen_cells` does the same in torch.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Ints, Singles, Words
from alphadiffract_plugin.compiled import compiled
from alphadiffract_plugin.crystal.cells import metric_determinant

BLOCK = 512
"""Number of assignments whose cells are computed together: so many fit into the cache of a processor."""
INTERVAL_BITS = 18
"""Low bits of a determinant in single precision that do not count for its interval: 32 intervals per factor of two."""


_metric_determinant = compiled("f4(f4, f4, f4, f4, f4, f4)")(metric_determinant)


@compiled("(f4[:,::1], f4[::1], i8, i8)")
def _move(kept: Singles, scores: Singles, source: int, target: int) -> None:
    """Copy one kept cell and its score to another position."""
    scores[target] = scores[source]
    for i in range(kept.shape[1]):
        kept[target, i] = kept[source, i]


@compiled("(f4[:,::1], f4[::1], i8[::1], f4[::1], f4)")
def _hold(kept: Singles, scores: Singles, count: Ints, x: Singles, score: np.float32) -> None:
    """Put a cell into the heap of the best, whose root ``scores[0]`` is the worst; a full heap loses the worst."""
    keep = len(scores)
    if count[0] < keep:
        at = count[0]
        count[0] += 1
        while at > 0 and scores[(at - 1) // 2] > score:
            _move(kept, scores, (at - 1) // 2, at)
            at = (at - 1) // 2
    else:
        at = 0
        while 2 * at + 1 < keep:
            child = 2 * at + 1
            if child + 1 < keep and scores[child + 1] < scores[child]:
                child += 1
            if scores[child] >= score:
                break
            _move(kept, scores, child, at)
            at = child
    scores[at] = score
    for i in range(len(x)):
        kept[at, i] = x[i]


@compiled(
    "(f4[:,::1], f4[::1], i8, f4[:,::1], i4[::1], f4, f4[:,::1], f4[:,::1], i8, f4[:,::1], f4[::1], i8[::1])",
)
def _keep_best(
    x: Singles,
    det: Singles,
    cells: int,
    design: Singles,
    table: Words,
    scale: float,
    chance: Singles,
    worth: Singles,
    first: int,
    kept: Singles,
    scores: Singles,
    count: Ints,
) -> None:
    """Keep those of a block of cells whose scores are among the best so far.

    Parameters
    ----------
    x, det, cells : parameters in 1/Å², shape (p, at least cells), determinants in 1/Å⁶, and the number of cells.
    design : design matrix of the low indices, 1/d² = x @ design, shape (p, H).
    table, scale : the lines that a calculated line in each interval of 1/d² explains, and the intervals per 1/Å².
    chance : rows e_i in 1/Å³, ln(1 - s_i), ln s_i, shape (3, n).
    worth : for each interval of the determinant, numbered by its leading bits from ``first`` on: by how much each line
        that is explained raises the score at the upper end, zeros up to a multiple of four, and the score if no line is
        explained, shape (B, 4 ⌈n/4⌉ + 1).
    kept, scores, count : the cells kept, their scores, and their number.
    """
    place, index, explained = np.empty(cells, np.float32), np.empty(cells, np.int32), np.zeros(cells, np.int32)
    last, zero = np.float32(len(table) - 1), np.float32(0)
    for h in range(design.shape[1]):
        factor = design[0, h] * scale
        for t in range(cells):
            place[t] = factor * x[0, t]
        for i in range(1, len(x)):
            factor = design[i, h] * scale
            if factor != 0:
                for t in range(cells):
                    place[t] += factor * x[i, t]
        for t in range(cells):
            inside = place[t] if place[t] > zero else zero
            index[t] = np.int32(inside if inside < last else last)
        for t in range(cells):
            explained[t] |= table[np.uint32(index[t])]
    bits = det.view(np.int32)
    lines = worth.shape[1] - 1
    cell = np.empty(len(x), np.float32)
    for t in range(cells):
        floor = scores[0] if count[0] == len(scores) else np.float32(-np.inf)
        interval, seen = (bits[t] >> INTERVAL_BITS) - first, explained[t]
        a, b, c, d = worth[interval, lines], zero, zero, zero
        for i in range(0, lines, 4):
            a += np.float32(seen >> i & 1) * worth[interval, i]
            b += np.float32(seen >> (i + 1) & 1) * worth[interval, i + 1]
            c += np.float32(seen >> (i + 2) & 1) * worth[interval, i + 2]
            d += np.float32(seen >> (i + 3) & 1) * worth[interval, i + 3]
        if a + b + c + d <= floor:
            continue
        score, volume = zero, 1 / np.sqrt(det[t])
        for i in range(chance.shape[1]):
            if seen >> i & 1:
                score += chance[1, i] - np.log(1 - np.exp(-chance[0, i] * volume))
            else:
                score += chance[2, i]
        if score > floor:
            for i in range(len(x)):
                cell[i] = x[i, t]
            _hold(kept, scores, count, cell, score)


@compiled("(f4[::1], f4[::1], f4[:,::1], f4[::1], f4[::1])")
def _monoclinic(inverse: Singles, lines: Singles, limits: Singles, skew: Singles, cells: Singles) -> None:
    """Cells (A, B, C, E) of a block of assignments to four lines, determinants B (AC - E²/4), and whether allowed.

    The same as :func:`_cells_of_block`, written out for monoclinic lattices, which have most of the cells: the compiler
    makes vector instructions of a single loop over contiguous arrays.
    """
    p, q, r, s = lines[0], lines[1], lines[2], lines[3]
    least, small, large, factor, fold = limits[0, 0], limits[0, 4], limits[1, 4], skew[0], skew[1]
    zero, one, quarter = np.float32(0), np.float32(1), np.float32(0.25)
    n = BLOCK
    for t in range(n):
        a = inverse[t] * p + inverse[n + t] * q + inverse[2 * n + t] * r + inverse[3 * n + t] * s
        b = inverse[4 * n + t] * p + inverse[5 * n + t] * q + inverse[6 * n + t] * r + inverse[7 * n + t] * s
        c = inverse[8 * n + t] * p + inverse[9 * n + t] * q + inverse[10 * n + t] * r + inverse[11 * n + t] * s
        e = inverse[12 * n + t] * p + inverse[13 * n + t] * q + inverse[14 * n + t] * r + inverse[15 * n + t] * s
        det = b * (a * c - e * e * quarter)
        side = fold * a
        side = factor * (side if side < c else c)
        good = (a > least) & (b > least) & (c > least) & (det > small) & (det < large) & (e <= side) & (-e <= side)
        cells[t] = a
        cells[n + t] = b
        cells[2 * n + t] = c
        cells[3 * n + t] = e
        cells[4 * n + t] = det
        cells[5 * n + t] = one if good else zero


@compiled("(f4[::1], f4[::1], f4[:,::1], f4[:,::1], f4[::1])")
def _cells_of_block(inverse: Singles, lines: Singles, limits: Singles, metric_map: Singles, cells: Singles) -> None:
    """Cells of a block of assignments to p lines, their determinants, and whether they are allowed.

    Parameters
    ----------
    inverse : for each element of M a block of values, shape (p p BLOCK,).
    cells : the result: for each parameter a block of values, then the determinants, then 1 for allowed and 0 for other
        cells, shape (at least (p + 2) BLOCK,).
    """
    free, n = len(lines), BLOCK
    for t in range(n):
        a, b, c, d, e, f = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        good = True
        for i in range(free):
            x = np.float32(0)
            for j in range(free):
                x += inverse[(i * free + j) * n + t] * lines[j]
            cells[i * n + t] = x
            good &= (x > limits[0, i]) & (x < limits[1, i])
            a += metric_map[i, 0] * x
            b += metric_map[i, 1] * x
            c += metric_map[i, 2] * x
            d += metric_map[i, 3] * x
            e += metric_map[i, 4] * x
            f += metric_map[i, 5] * x
        det = _metric_determinant(a, b, c, d, e, f)
        cells[free * n + t] = det
        cells[(free + 1) * n + t] = good & (det > limits[0, free]) & (det < limits[1, free])


@compiled("i8(i8, i8, i8)")
def _pair(i: int, j: int, lines: int) -> int:
    """Position of the pair i < j among all pairs of so many lines, in the order of ``itertools.combinations``."""
    return i * (2 * lines - i - 1) // 2 + j - i - 1


@compiled(
    "Tuple((f4[:,::1], f4[::1], i8))(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[::1],"
    " f4[:,::1], i4[::1], f4, f4[:,::1], f4[:,::1], i8, i8)",
)
def screen_assignments(
    inverse: Singles,
    lines: Singles,
    metric_map: Singles,
    limits: Singles,
    skew: Singles,
    design: Singles,
    table: Words,
    scale: float,
    chance: Singles,
    worth: Singles,
    first: int,
    keep: int,
) -> tuple[Singles, Singles, int]:
    """The best cells of all assignments to all choices of lines, in no order: parameters, scores, and their number.

    Parameters
    ----------
    inverse : the inverses M in blocks: for each element of M the values of the block, shape (B, p p BLOCK). The last
        block is filled up with zeros, which give no allowed cell.
    lines : 1/d² of each choice of lines in 1/Å², shape (C, p).
    limits, skew : see :class:`screen_cells.Sieve`.
    """
    free, n = lines.shape[1], BLOCK
    kept, scores = np.empty((keep, free), np.float32), np.empty(keep, np.float32)
    count = np.zeros(1, np.int64)
    cells = np.empty((free + 2) * n, np.float32)
    real, det, waiting = np.empty((free, 2 * n), np.float32), np.empty(2 * n, np.float32), 0
    for block in range(len(inverse)):
        for choice in range(len(lines)):
            if free == 4:
                _monoclinic(inverse[block], lines[choice], limits, skew, cells)
            else:
                _cells_of_block(inverse[block], lines[choice], limits, metric_map, cells)
            for t in range(n):
                if cells[(free + 1) * n + t] > 0:
                    for i in range(free):
                        real[i, waiting] = cells[i * n + t]
                    det[waiting] = cells[free * n + t]
                    waiting += 1
            if waiting > n:
                _keep_best(real, det, waiting, design, table, scale, chance, worth, first, kept, scores, count)
                waiting = 0
    _keep_best(real, det, waiting, design, table, scale, chance, worth, first, kept, scores, count)
    return kept, scores, count[0]


@compiled(
    "Tuple((f4[:,::1], f4[::1], i8))(f4[::1], f4[:,::1], i8[::1], f4[:,::1],"
    " f4[:,::1], i4[::1], f4, f4[:,::1], f4[:,::1], i8, i8)",
)
def screen_zones(
    squares: Singles,
    cross: Singles,
    zones: Ints,
    limits: Singles,
    design: Singles,
    table: Words,
    scale: float,
    chance: Singles,
    worth: Singles,
    first: int,
    keep: int,
) -> tuple[Singles, Singles, int]:
    """The best triclinic cells of all triples of lines with a zone for each pair; see :mod:`zones`.

    Parameters
    ----------
    squares : 1/d² of the lines that are axes in 1/Å², shape (m,).
    cross, zones : cross terms of the zones of each pair of lines, shape (m (m - 1) / 2, Z), and their number.
    """
    kept, scores = np.empty((keep, 6), np.float32), np.empty(keep, np.float32)
    count = np.zeros(1, np.int64)
    x, det, cells = np.empty((6, BLOCK), np.float32), np.empty(BLOCK, np.float32), 0
    lines = len(squares)
    for i in range(lines):
        for j in range(i + 1, lines):
            for k in range(j + 1, lines):
                jk, ik, ij = (_pair(j, k, lines), _pair(i, k, lines), _pair(i, j, lines))
                a, b, c = squares[i], squares[j], squares[k]
                if a <= limits[0, 0]:
                    continue
                for first_zone in range(zones[jk]):
                    d = cross[jk, first_zone]
                    for second_zone in range(zones[ik]):
                        e = cross[ik, second_zone]
                        for third_zone in range(2 * zones[ij]):
                            f = cross[ij, third_zone // 2] * (1 - 2 * (third_zone & 1))
                            x[0, cells], x[1, cells], x[2, cells] = a, b, c
                            x[3, cells], x[4, cells], x[5, cells] = d, e, f
                            det[cells] = _metric_determinant(a, b, c, d, e, f)
                            cells += (det[cells] > limits[0, 6]) & (det[cells] < limits[1, 6])
                            if cells == BLOCK:
                                _keep_best(
                                    x, det, cells, design, table, scale, chance, worth, first, kept, scores, count
                                )
                                cells = 0
    _keep_best(x, det, cells, design, table, scale, chance, worth, first, kept, scores, count)
    return kept, scores, count[0]
