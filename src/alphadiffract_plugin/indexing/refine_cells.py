"""Refine cells by least squares on the lines that they explain, from the first lines to all, and score them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.bravais import Lattice, centring_translations
from alphadiffract_plugin.crystal.reflections import quadratic_form, reflections_within
from alphadiffract_plugin.peaks.observed import Observed

_ZERO_PRIOR = 0.05
"""Standard deviation in degrees of zero shifts, with displacements taken for zero shifts; chosen by hand."""
_NATS_PER_PARAMETER = 6.0
"""Cost of each free parameter in log-likelihood: a lattice of low symmetry must explain the lines better than one of
high symmetry; chosen by hand."""
_MOST_ZERO = 1.2
"""Cells with a larger zero shift, in degrees, are dropped."""
_MOST_INDICES = 20000
"""A cell with more indices up to the last line is dropped."""
_CYCLES = ((10, 0.12), (15, 0.09), (99, 0.06), (99, 0.04), (99, 0.03), (99, 0.03))
"""For each cycle of least squares the number of first lines, and the reach in degrees for lines of
ordinary width (``Observed.scale``); chosen by hand."""
_BEGUN, _FINISHED = 3, 160
"""After so many cycles, at most so many cells are refined further: the best ones that differ."""
_DISTINCT = 40
"""Most refined cells of a lattice that are returned, each different from the others."""


@dataclass(frozen=True)
class TrialCell:
    """A refined cell of one Bravais lattice."""

    lattice: Lattice
    """Its Bravais lattice."""
    metric: Floats
    """Reciprocal metric in 1/Å², shape (6,)."""
    zero_shift: float
    """Zero shift in degrees."""
    score: float
    """Log-likelihood ratio of the lines less the cost of the parameters, in nats; see :mod:`pull_kernels`."""
    origin: str
    """Where the cell comes from: ``search`` or ``network``."""


def pull_onto_lines(
    observed: Observed, lattice: Lattice, start: Floats, origin: str, index_range: float = 1.0
) -> list[TrialCell]:
    """Refine cells on the lines that they explain, at first the lowest lines only, and score them; the best first.

    Parameters
    ----------
    start : free parameters in 1/Å² and zero shift in degrees, shape (K, p + 1).
    origin : where the cells come from, see :class:`TrialCell`.
    index_range : factor of the largest h² + k² + l² of the lines.
    """
    if len(start) == 0:
        return []
    from alphadiffract_plugin.indexing.distinct_kernels import distinct_metrics
    from alphadiffract_plugin.indexing.pull_kernels import pull, pull_with_own_lines

    cells = np.array(start, float, order="C")
    count = len(observed.two_theta)
    scale = observed.scale
    cycles = np.array([(min(lines, count), reach * scale) for lines, reach in _CYCLES])
    lines, held = _line_terms(observed, lattice), (_ZERO_PRIOR * scale, _NATS_PER_PARAMETER, _MOST_ZERO)
    for some, most in ((cycles[:_BEGUN], _FINISHED), (cycles[_BEGUN:], _DISTINCT)):
        metrics, scores = np.empty((len(cells), 6)), np.empty(len(cells))
        if most == _FINISHED:
            pull(cells, lines, _design(lattice, index_range), lattice.metric_map, some, *held, metrics, scores)
        else:
            shifts = _centring_shifts(lattice.centring)
            pull_with_own_lines(cells, lines, lattice.metric_map, shifts, some, *held, _MOST_INDICES, metrics, scores)
        order = np.argsort(-scores, kind="stable")
        chosen = distinct_metrics(metrics, order[np.isfinite(scores[order])], most)
        cells, metrics, scores = cells[chosen], metrics[chosen], scores[chosen]
    found = zip(metrics, cells[:, -1].tolist(), scores.tolist(), strict=True)
    return [TrialCell(lattice, metric, zero, score, origin) for metric, zero, score in found]


def rescored(observed: Observed, trial: TrialCell) -> TrialCell:
    """A trial with the score that its cell, as it is, has for these lines; -inf if it has too many reflections."""
    from alphadiffract_plugin.indexing.pull_kernels import pull_with_own_lines

    cell = np.array([[*trial.lattice.parameters(trial.metric), trial.zero_shift]])
    held = (_ZERO_PRIOR * observed.scale, _NATS_PER_PARAMETER, _MOST_ZERO, _MOST_INDICES)
    lines, shifts = _line_terms(observed, trial.lattice), _centring_shifts(trial.lattice.centring)
    metrics, scores = np.empty((1, 6)), np.empty(1)
    pull_with_own_lines(cell, lines, trial.lattice.metric_map, shifts, np.empty((0, 2)), *held, metrics, scores)
    return replace(trial, score=float(scores[0]))


@functools.cache
def _centring_shifts(centring: str) -> Ints:
    """Lattice translations of a centring in twenty-fourths, shape (n, 3)."""
    shifts: Ints = np.rint(24 * np.array(centring_translations(centring), float)).astype(np.int64).reshape(-1, 3)
    return shifts


@functools.cache
def _design(lattice: Lattice, index_range: float) -> Floats:
    """Design matrix of the indices of the lines, shape (p, H): 1/d² = parameters @ design."""
    longest = 80 if lattice.free < 3 else 50 if lattice.free == 3 else 36
    return np.ascontiguousarray(lattice.design(lattice.indices(int(longest * index_range))).T)


def _line_terms(observed: Observed, lattice: Lattice) -> Floats:
    """Rows q_i, g_i, σ_i, s_i and ρ_i / V of :mod:`pull_kernels`, shape (5, n)."""
    inv_d2, per_degree = observed.inv_d2(), observed.inv_d2_per_degree()
    density = 2 * np.pi * np.sqrt(inv_d2) * per_degree / (lattice.points * lattice.multiplicity)
    return np.stack([inv_d2, per_degree, observed.sigma, observed.spurious, density])


def unexplained(observed: Observed, trial: TrialCell) -> Bools:
    """Which lines are four or more uncertainties from every line of the cell, shape (n,)."""
    per_degree = observed.inv_d2_per_degree()
    inv_d2 = observed.inv_d2() - trial.zero_shift * per_degree
    translations = centring_translations(trial.lattice.centring)
    found = reflections_within(trial.metric, float(inv_d2[-1] + per_degree[-1]), translations, _MOST_INDICES)
    if found is None or len(found[0]) == 0:
        return np.ones(len(inv_d2), bool)
    calculated = quadratic_form(found[0]) @ trial.metric
    off: Floats = np.abs(inv_d2[:, None] - calculated).min(1) / per_degree
    return np.asarray(off >= 4 * observed.sigma)
