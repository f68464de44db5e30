"""Pull cells onto the lines by least squares that grows with the lines they explain, and score them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats
from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.peaks.observed import Observed

_ZERO_PRIOR = 0.05
"""Standard deviation in degrees of zero shifts and displacements of measured patterns."""
_NATS_PER_PARAMETER = 6.0
"""Price of a free cell parameter in units of log-likelihood."""
_MOST_ZERO = 0.2
"""Cells with a larger zero shift, in degrees, are dropped."""
_CYCLES = ((10, 0.12), (15, 0.09), (99, 0.06), (99, 0.04), (99, 0.03), (99, 0.03))
"""Least squares on so many of the first lines, within so many degrees."""
_BEGUN, _FINISHED = 3, 160
"""After so many cycles so many cells go on, the best ones that differ."""
_DISTINCT = 40
"""So many refined cells of one lattice are handed on at most, each different."""


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
    """Log-likelihood ratio less the price of the parameters."""
    origin: str
    """``search`` or ``network``."""


def pull_onto_lines(
    observed: Observed, lattice: Lattice, start: Floats, origin: str, index_range: float = 1.0
) -> list[TrialCell]:
    """Refine cells on the lines that they explain, growing from the lowest lines to all, and score them.

    Parameters
    ----------
    start : free parameters in 1/Å² and zero shift in degrees, shape (K, p + 1).
    index_range : factor of the largest h² + k² + l² that lines may have.
    """
    if len(start) == 0:
        return []
    from alphadiffract_plugin.indexing.distinct_kernels import distinct_metrics
    from alphadiffract_plugin.indexing.pull_kernels import pull

    cells = np.array(start, float, order="C")
    count = len(observed.two_theta)
    cycles = np.array([(min(lines, count), reach) for lines, reach in _CYCLES])
    for some, most in ((cycles[:_BEGUN], _FINISHED), (cycles[_BEGUN:], _DISTINCT)):
        metrics, scores = np.empty((len(cells), 6)), np.empty(len(cells))
        terms = (_line_terms(observed, lattice), _design(lattice, index_range), lattice.metric_map, some)
        pull(cells, *terms, _ZERO_PRIOR, _NATS_PER_PARAMETER, _MOST_ZERO, metrics, scores)
        order = np.argsort(-scores, kind="stable")
        chosen = distinct_metrics(metrics, order[np.isfinite(scores[order])], most)
        cells, metrics, scores = cells[chosen], metrics[chosen], scores[chosen]
    found = zip(metrics, cells[:, -1].tolist(), scores.tolist(), strict=True)
    return [TrialCell(lattice, metric, zero, score, origin) for metric, zero, score in found]


@functools.cache
def _design(lattice: Lattice, index_range: float) -> Floats:
    """1/d² = parameters @ design of the indices that lines may have, shape (p, H)."""
    longest = 80 if lattice.free < 3 else 50 if lattice.free == 3 else 36
    return np.ascontiguousarray(lattice.design(lattice.indices(int(longest * index_range))).T)


def _line_terms(observed: Observed, lattice: Lattice) -> Floats:
    """Rows q_i, g_i, σ_i, s_i and ρ_i / V of :mod:`pull_kernels`, shape (5, n)."""
    inv_d2, per_degree = observed.inv_d2(), observed.inv_d2_per_degree()
    density = 2 * np.pi * np.sqrt(inv_d2) * per_degree / (lattice.points * lattice.multiplicity)
    return np.stack([inv_d2, per_degree, observed.sigma, observed.spurious, density])


def unexplained(observed: Observed, trial: TrialCell) -> Bools:
    """Which lines are four uncertainties or more from every line of the cell, shape (n,)."""
    per_degree = observed.inv_d2_per_degree()
    inv_d2 = observed.inv_d2() - trial.zero_shift * per_degree
    calculated = trial.lattice.parameters(trial.metric) @ _design(trial.lattice, 1.0)
    off: Floats = np.abs(inv_d2[:, None] - calculated).min(1) / per_degree
    return np.asarray(off >= 4 * observed.sigma)
