"""Fit each cell to the whole pattern without a structure, and collect the evidence for its extinction classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.extinction import ExtinctionClass, extinction_classes
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.indexing.search_cells import distinct_lattices
from alphadiffract_plugin.peaks.find_peaks import PeakFit
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.whole_pattern.fit_lattice import FittedLattice, fit_lattices
from alphadiffract_plugin.whole_pattern.pattern_data import pattern_data
from alphadiffract_plugin.whole_pattern.positions import DISPLACEMENT_PRIOR, ZERO_PRIOR

_SAME_NORM = 2e-3
"""Fitted lattices are the same if their squared lengths differ by less than this fraction."""
_MOST_FITTED = 60
"""Most pairs of cell and class that are fitted, those of the highest estimate first, besides the best of each cell."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a cell with an extinction class, in nats unless it is a number of parameters.

    Larger values of ``lines`` speak for the cell, larger values of the others against it.
    """

    lines: float
    """Log-likelihood ratio of the found lines: at reflections of the class, against at random positions."""
    misfit: float
    """Half of the excess of chi-squared of the fit over that of the found lines alone, at least 0."""
    parameters: int
    """Number of free cell parameters."""
    zero: float
    """ln(1 + (zero shift / 0.02°)²) + ln(1 + (displacement / 0.06°)²), with the spreads of :mod:`positions`."""
    absent: float
    """Σ ln(k n₀ / n) over the allowed reflections below three uncertainties, where k is the expected intensity of a
    reflection over its uncertainty, and n of n₀ reflections are allowed."""
    foreign: float
    """Share of the area of the found lines that no reflection explains, 0 to 1."""


@dataclass(frozen=True)
class FittedClass:
    """A lattice with one extinction class, fitted to the pattern."""

    trial: TrialCell
    """The cell, refined on the whole pattern."""
    displacement: float
    """Shift by a displaced sample in degrees, at θ = 0; it is proportional to cos θ."""
    covariance: Floats
    """Covariance of the reciprocal metric in 1/Å⁴, shape (6, 6)."""
    extinction: ExtinctionClass
    """The class."""
    evidence: Evidence
    """What speaks for and against it."""
    rwp: float
    """Rwp in per cent with the line shape and background of the found lines. ``refine_pattern`` replaces it by that of
    a refinement."""
    unexplained: tuple[float, ...]
    """two_theta in degrees of found lines that no reflection explains."""


def fit_pattern(
    histogram: Histogram, peak_fit: PeakFit, trials: list[TrialCell], device: str = "cpu"
) -> list[FittedClass]:
    """The most promising extinction classes of the given cells, fitted.

    Each cell is fitted once without extinctions, from which the evidence of each of its classes is estimated. Fitted
    are then the classes of the highest estimates of all cells, and the best class of each cell. A cell with too many
    reflections is left out.
    """
    data = pattern_data(histogram, peak_fit)
    estimates = []
    for parent in _without_repetitions(fit_lattices(data, trials, device)):
        classes = extinction_classes(parent.trial.lattice.family, parent.trial.lattice.centring)
        allowed = parent.allowed(classes)
        seen = _Reflections.of_classes(parent, allowed)
        estimate = seen.estimate()
        for rank, i in enumerate(np.argsort(-estimate, kind="stable")):
            estimates.append((rank == 0, estimate[i], (parent, classes[i], allowed[i], seen, int(i))))
    estimates.sort(key=lambda entry: -entry[1])
    return [_fitted(*pair) for rank, (first, _, pair) in enumerate(estimates) if first or rank < _MOST_FITTED]


def _without_repetitions(fits: list[FittedLattice]) -> list[FittedLattice]:
    """The first of fits that the refinement brought to the same lattice."""
    of_trial = {id(fit.trial): fit for fit in fits}
    kept = distinct_lattices([fit.trial for fit in fits], len(fits), tolerance=_SAME_NORM, axes=False)
    return [of_trial[id(trial)] for trial in kept]


@dataclass(frozen=True)
class _Reflections:
    """What the fit without extinctions says of C classes of a lattice; see :class:`Evidence`."""

    lines: Floats
    """Log-likelihood ratios of the found lines, shape (C,)."""
    absent: Floats
    """Shape (C,)."""
    forbidden: Floats
    """Shape (C,)."""
    allowed: Ints
    """Number of allowed reflections, shape (C,)."""

    @classmethod
    def of_classes(cls, fit: FittedLattice, allowed: Bools) -> _Reflections:
        """The classes with these reflections, masks of shape (C, R)."""
        known, strength = fit.unextinct
        left = allowed.sum(1)
        denser = np.log(len(known) / np.maximum(left, 1))
        missing = allowed & (strength < 3)
        return cls(
            lines=fit.line_ratios(allowed),
            absent=missing @ np.log(known) + missing.sum(1) * denser,
            forbidden=~allowed @ (0.5 * (strength**2).clip(0, 30)),
            allowed=left,
        )

    def estimate(self) -> Floats:
        """Estimate of the log-evidence of the classes, shape (C,): 0.6 lines - 0.2 absent - 0.05 forbidden.

        The first two numbers are weights of the ranking as they were set by hand before they were fitted (0.6 and
        0.19); the third was chosen by hand. They decide only which classes are fitted, not how the fitted ones are
        ranked.
        """
        estimate = 0.6 * self.lines - 0.2 * self.absent - 0.05 * self.forbidden
        return np.where(self.allowed > 0, estimate, -np.inf)


def _fitted(fit: FittedLattice, extinction: ExtinctionClass, allowed: Bools, seen: _Reflections, i: int) -> FittedClass:
    """The record of class ``i`` of ``seen``, whose reflections are a mask of shape (R,)."""
    data = fit.data
    misfit = fit.misfit(fit.solved(allowed)) - data.best_misfit
    unexplained, area = fit.unexplained(allowed), data.peak_fit.peaks.area[: len(data.position)]
    zero, displacement = fit.trial.zero_shift / ZERO_PRIOR, fit.displacement / DISPLACEMENT_PRIOR
    return FittedClass(
        trial=fit.trial,
        displacement=fit.displacement,
        covariance=fit.covariance,
        extinction=extinction,
        evidence=Evidence(
            lines=float(seen.lines[i]),
            misfit=0.5 * max(misfit, 0.0),
            parameters=fit.trial.lattice.free,
            zero=float(np.log1p(zero**2) + np.log1p(displacement**2)),
            absent=float(seen.absent[i]),
            foreign=float(area[unexplained].sum() / area.sum()),
        ),
        rwp=fit.rwp(allowed),
        unexplained=tuple(float(p) for p in data.position[unexplained]),
    )
