"""Fit whole patterns without a structure and collect the evidence for each cell and extinction class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats
from alphadiffract_plugin.crystal.extinction import ExtinctionClass, extinction_classes
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks.find_peaks import PeakFit
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.whole_pattern.fit_lattice import FittedLattice, fit_lattices
from alphadiffract_plugin.whole_pattern.pattern_data import pattern_data
from alphadiffract_plugin.whole_pattern.positions import DISPLACEMENT_PRIOR, ZERO_PRIOR

_MOST_FITTED = 50
"""So many of the most promising pairs of cell and class are fitted, besides the best class of each cell."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a cell with an extinction class; each term in nats or a count, larger is better for the first."""

    lines: float
    """Log-likelihood ratio of the found lines, "at a reflection of the class" over "there by chance"."""
    misfit: float
    """Half the excess of chi-squared of the fit over that of the found lines alone."""
    parameters: int
    """Free cell parameters."""
    zero: float
    """Half the squares of zero shift and displacement over their usual spreads."""


@dataclass(frozen=True)
class FittedClass:
    """A lattice with one extinction class, fitted to the pattern."""

    trial: TrialCell
    """The cell, refined on the whole pattern."""
    displacement: float
    """Shift of two_theta by a displaced sample, in degrees at θ = 0; it goes with cos θ."""
    covariance: Floats
    """Covariance of the reciprocal metric in 1/Å⁴, shape (6, 6)."""
    extinction: ExtinctionClass
    """The class."""
    evidence: Evidence
    """What speaks for it."""
    rwp: float
    """Weighted profile residual in per cent with the line shape and background as found; see ``refine_pattern`` for
    that of an answer."""
    unexplained: tuple[float, ...]
    """two_theta in degrees of found lines that no reflection explains."""


def fit_pattern(
    histogram: Histogram, peak_fit: PeakFit, trials: list[TrialCell], device: str = "cpu"
) -> list[FittedClass]:
    """The most promising extinction classes of the given cells, fitted.

    Each cell is fitted once without extinctions, which tells closely enough what each of its classes would come to;
    the best of all, and the best of each cell, are then fitted. A cell with too many reflections is left out.
    """
    data = pattern_data(histogram, peak_fit)
    hopes = []
    for parent in fit_lattices(data, trials, device):
        classes = extinction_classes(parent.trial.lattice.family, parent.trial.lattice.centring)
        allowed = parent.allowed(classes)
        ratios = parent.line_ratios(allowed)
        promise = _promises(parent, allowed, ratios)
        for rank, i in enumerate(np.argsort(-promise, kind="stable")):
            hopes.append((rank == 0, promise[i], (parent, classes[i], allowed[i], float(ratios[i]))))
    hopes.sort(key=lambda hope: -hope[1])
    return [_fitted(*hope) for rank, (first, _, hope) in enumerate(hopes) if first or rank < _MOST_FITTED]


def _promises(fit: FittedLattice, allowed: Bools, ratios: Floats) -> Floats:
    """About what C classes will come to, from the fit without extinctions; ``allowed`` is (C, R), the others (C,)."""
    known, strength = fit.unextinct
    left = allowed.sum(1)
    denser = np.log(len(known) / np.maximum(left, 1))
    missing = allowed & (strength < 3)
    expected = missing @ np.log(known) + missing.sum(1) * denser
    forbidden = ~allowed @ (0.5 * (strength**2).clip(0, 30))
    promise = 0.6 * ratios - 0.2 * expected - 0.05 * forbidden
    return np.where(left > 0, promise, -np.inf)


def _fitted(fit: FittedLattice, extinction: ExtinctionClass, allowed: Bools, ratio: float) -> FittedClass:
    """The record of one class, which leaves these reflections, a mask of shape (R,), with its line ratio."""
    data = fit.data
    misfit = fit.misfit(fit.solved(allowed)) - data.best_misfit
    return FittedClass(
        trial=fit.trial,
        displacement=fit.displacement,
        covariance=fit.covariance,
        extinction=extinction,
        evidence=Evidence(
            lines=ratio,
            misfit=0.5 * max(misfit, 0.0),
            parameters=fit.trial.lattice.free,
            zero=0.5 * (fit.trial.zero_shift / ZERO_PRIOR) ** 2 + 0.5 * (fit.displacement / DISPLACEMENT_PRIOR) ** 2,
        ),
        rwp=fit.rwp(allowed),
        unexplained=tuple(float(p) for p in data.position[fit.unexplained(allowed)]),
    )
