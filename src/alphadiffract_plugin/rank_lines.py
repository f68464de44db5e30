"""Rank cells with space groups for a list of lines, without a pattern: by what the extinctions leave.

Each cell is refined on all lines of the list. Each of its extinction classes then has a score, in nats,

    s = ln L − 6 p − (z / 0.05°)² / 2 − (y / 0.06°)² / 2 + ln f,

where ln L is the log-likelihood ratio of the lines (at reflections of the class, against at random positions), p the
number of free cell parameters, z the zero shift, y cos θ the shift by a displaced sample, and f the frequency of the
space group among known structures. A class with fewer reflections that still explains the lines has the larger ln L.
Groups of one class differ by f alone.
:func:`_probability` makes probabilities of the scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta
from alphadiffract_plugin.crystal.bravais import centring_translations
from alphadiffract_plugin.crystal.extinction import ExtinctionClass, extinction_classes, lines_of_classes
from alphadiffract_plugin.crystal.reflections import quadratic_form, reflections_within
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks.observed import Observed, line_likelihood_ratio, observed_from_peaks
from alphadiffract_plugin.rank import candidate_of_class, first_of_each_cell, log_frequency
from alphadiffract_plugin.records import Candidate, Peaks
from alphadiffract_plugin.settings import RankSettings
from alphadiffract_plugin.whole_pattern.positions import DISPLACEMENT_PRIOR, ReflectionPositions

_LINES = 45
"""Most lines of the list that are used, those at the lowest angles."""
_MOST_INDICES = 20000
"""A cell with more indices up to the last line is left out."""
_NATS_PER_PARAMETER, _ZERO_PRIOR = 6.0, 0.05
"""Cost of a free parameter, and spread of zero shifts in degrees, as in the search for cells."""
_STEPS, _REACH = 5, 4.0
"""Steps of least squares, and the distance in uncertainties within which a line takes part."""
_EXPLAINED = 0.45
"""A line counts as explained within this share of its FWHM too, as in the fit of a pattern."""
_LOOSE = 0.03
"""Spread of the cell parameters, relative to the largest, that holds those which the lines do not determine."""
_EVEN, _SOFT = 5.4, 4.6
"""Score S in nats at which the best cell is as likely right as not, and the change of it by which the odds grow
e-fold."""
_TEMPER_CELLS, _TEMPER_GROUPS = 0.27, 0.7
"""Factors of the scores where cells share their probability, and groups that of their cell. The lines are not
independent, so both are below 1; the second was chosen by hand, the other three numbers were fitted to the lines of 126
measured patterns of known cell, as found and with positions alone."""


@dataclass(frozen=True)
class ClassOfLines:
    """A cell with one extinction class, refined on the lines of a list."""

    trial: TrialCell
    """The refined cell."""
    covariance: Floats
    """Covariance of its reciprocal metric in 1/Å⁴, shape (6, 6)."""
    extinction: ExtinctionClass
    """The class."""
    score: float
    """The score without the frequency of the group."""
    unexplained: tuple[float, ...]
    """two_theta in degrees of the lines that no reflection explains."""
    displacement: float
    """Shift by a displaced sample in degrees, at θ = 0; it is proportional to cos θ."""
    rwp: float = math.nan
    """There is no pattern."""


def rank_lines(trials: list[TrialCell], peaks: Peaks, settings: RankSettings) -> tuple[Candidate, ...]:
    """Ranked candidates, the most probable first, at most ``settings.keep``.

    Parameters
    ----------
    trials : the cells that were found.
    peaks : the lines of the list.
    """
    observed = observed_from_peaks(peaks, min(_LINES, len(peaks)), every=True)
    width = peaks.fwhm[: len(observed.two_theta)]
    frequency = log_frequency()
    owner = [
        (fit, setting)
        for trial in trials
        for fit in _classes_of(observed, np.maximum(_REACH * observed.sigma, _EXPLAINED * width), trial)
        for setting in fit.extinction.settings
    ]
    if not owner:
        return ()
    score = np.array([fit.score + frequency[setting.space_group - 1] for fit, setting in owner])
    probability = _probability(score, np.array([id(fit.trial) for fit, _ in owner]))
    order = np.argsort(-probability, kind="stable").tolist()
    chosen = first_of_each_cell([id(fit.trial) for fit, _ in owner], order, settings.keep)
    return tuple(candidate_of_class(*owner[i], float(probability[i]), peaks) for i in chosen)


def _probability(score: Floats, cell: Ints) -> Floats:
    """Probability of each cell with a group, shape (S,), from its score and the number of its cell.

    A cell has the score S = ln Σ exp s over its groups. The best cell is right with the odds exp((S - EVEN) / SOFT).
    """
    _, owner = np.unique(cell, return_inverse=True)
    best = np.full(owner.max() + 1, -np.inf)
    np.maximum.at(best, owner, score)
    of_cell = best + np.log(np.bincount(owner, np.exp(score - best[owner])))
    share = np.exp(_TEMPER_CELLS * (of_cell - of_cell.max()))
    right = 1 / (1 + np.exp(-np.clip((of_cell.max() - _EVEN) / _SOFT, -50, 50)))
    within = np.exp(_TEMPER_GROUPS * (score - best[owner]))
    within /= np.bincount(owner, within)[owner]
    return np.asarray(right * (share / share.sum())[owner] * within)


def _classes_of(observed: Observed, near: Floats, trial: TrialCell) -> list[ClassOfLines]:
    """The extinction classes of a cell that has been refined on the lines.

    Parameters
    ----------
    near : distance in degrees within which each line counts as explained, shape (n,).
    """
    reach = float(inv_d2_from_two_theta(min(observed.two_theta[-1] + 0.5, 179.0), observed.wavelength))
    found = reflections_within(trial.metric, reach, centring_translations(trial.lattice.centring), _MOST_INDICES)
    if found is None or len(found[0]) == 0:
        return []
    hkl, line = found
    first = np.searchsorted(line, np.arange(line[-1] + 2))
    positions, covariance = _refined(observed, trial, hkl[first[:-1]])
    metric_map = trial.lattice.metric_map
    refined = replace(trial, metric=positions.parameters @ metric_map, zero_shift=positions.zero_shift)
    cost = _NATS_PER_PARAMETER * trial.lattice.free
    cost += 0.5 * (positions.zero_shift / _ZERO_PRIOR) ** 2 + 0.5 * (positions.displacement / DISPLACEMENT_PRIOR) ** 2
    classes = extinction_classes(trial.lattice.family, trial.lattice.centring)
    result = []
    for extinction, allowed in zip(classes, lines_of_classes(classes, hkl, first), strict=True):
        if allowed.any():
            ratio, off = _ratio(observed, positions.two_theta[allowed])
            unexplained = tuple(observed.two_theta[off > near].tolist())
            spread = metric_map.T @ covariance @ metric_map
            result.append(ClassOfLines(refined, spread, extinction, ratio - cost, unexplained, positions.displacement))
    return result


def _refined(observed: Observed, trial: TrialCell, hkl: Ints) -> tuple[ReflectionPositions, Floats]:
    """Positions of the reflections after least squares on the lines, and the covariance of the free parameters."""
    positions = ReflectionPositions(
        design=quadratic_form(hkl) @ trial.lattice.metric_map.T,
        wavelength=observed.wavelength,
        parameters=trial.lattice.parameters(trial.metric),
        zero_shift=0.5 * trial.zero_shift,
        displacement=0.5 * trial.zero_shift,
    )
    free = trial.lattice.free
    held = np.full(free, _LOOSE * np.abs(positions.parameters).max())
    spread = np.concatenate([held, [_ZERO_PRIOR, DISPLACEMENT_PRIOR]])
    inverse: Floats = np.zeros((free + 2, free + 2))
    scatter = 1.0
    for _ in range(_STEPS):
        nearest = np.abs(observed.two_theta[:, None] - positions.two_theta).argmin(1)
        off = observed.two_theta - positions.two_theta[nearest]
        use = np.abs(off) < _REACH * observed.sigma
        slope = positions.jacobian[nearest[use]] / observed.sigma[use, None]
        # the scatter of the lines, in uncertainties, enlarges those of the parameters if it is larger than 1
        scatter = max(1.0, float(((off[use] / observed.sigma[use]) ** 2).sum() / max(use.sum() - free - 2, 1)))
        inverse = np.asarray(np.linalg.inv(slope.T @ slope + np.diag(spread**-2.0)), float)
        pull = slope.T @ (off[use] / observed.sigma[use])
        pull[-2:] -= np.array([positions.zero_shift, positions.displacement]) / spread[-2:] ** 2
        positions = positions.moved(inverse @ pull)
    return positions, scatter * inverse[:free, :free]


def _ratio(observed: Observed, calculated: Floats) -> tuple[float, Floats]:
    """Log-likelihood ratio of the lines for these reflections, and their distances from them in degrees, shape (n,)."""
    ordered = np.sort(calculated)
    after = np.clip(np.searchsorted(ordered, observed.two_theta), 1, max(len(ordered) - 1, 1))
    near = ordered[np.minimum(np.stack([after - 1, after]), len(ordered) - 1)]
    off = np.abs(observed.two_theta - near).min(0)
    inv_d2 = observed.inv_d2()
    whole = float(inv_d2_from_two_theta(min(observed.two_theta[-1] + 0.5, 179.0), observed.wavelength)) ** 1.5 / 1.5
    density = len(ordered) * np.sqrt(inv_d2) * observed.inv_d2_per_degree() / whole
    return float(line_likelihood_ratio(observed, off, density).sum()), off
