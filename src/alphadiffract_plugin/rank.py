"""Rank cells with space groups by a score, and convert the scores into probabilities.

The score adds up the evidence of the lines, that of the whole pattern, the number of parameters, how common the space
group is, and the network's probability of it; :class:`Weights` has the equations. The weights were fitted to measured
patterns by ``bench/fit_ranking.py``; ``data/ranking.json`` holds them and says how.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Protocol

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.cells import cells_from_direct_metrics
from alphadiffract_plugin.crystal.extinction import ExtinctionClass, Setting, standard_extinction_symbol
from alphadiffract_plugin.indexing.merit import merit_of_lines
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks.find_peaks import PeakFit
from alphadiffract_plugin.records import Candidate, Cell, IndexingResult, Peaks, Prediction
from alphadiffract_plugin.settings import RankSettings
from alphadiffract_plugin.whole_pattern.fit_pattern import Evidence, FittedClass

_GROUPS_PER_CELL = 6
"""The result lists at most so many space groups of one cell, so that other cells are seen too."""
MOST_OPINIONS = 3
"""The result lists at most so many space groups without a cell."""
LEAST_OPINION = 0.03
"""Smallest probability of a space group that is listed without a cell. Beside a good cell all are smaller."""
_CLEAR, _FEW_UNEXPLAINED, _USUAL_SHIFT = 0.6, 10, 0.15
"""Least probability of a cell, most lines that it leaves unexplained, and largest shift of the lines in degrees with
which no further cells are searched. The first was chosen on measured patterns: it keeps nine of ten patterns that are
right from the further search, and one of ten of which no right cell was found; the others were chosen by hand."""
_LEAST_NETWORK = 1e-4
"""Smallest probability of a space group that the network is believed to tell from zero."""
_TERMS = ("lines", "misfit", "parameters", "zero", "frequency", "network", "absent", "foreign")


@dataclass(frozen=True)
class Weights:
    """The fitted numbers of the ranking.

    The score s of a cell with a space group, in nats, is the sum of eight terms (see :func:`terms`), each times its
    weight. All scores together give the probability p₀ that none of the cells is right,

        ln(p₀ / (1 − p₀)) = none_offset + none_slope · asinh((nothing − ln Σ exp s) / 4),

    where asinh is linear near zero and logarithmic far from it, so that no score makes the answer certain. The cells
    share the rest as

        p = (1 − p₀) · exp(temper · s) / Σ exp(temper · s),

    and the space groups without a cell share p₀ in proportion to the network's probability times ``missed``.
    """

    lines: float
    """Weight of ``Evidence.lines``."""
    misfit: float
    """Weight of the logarithm of one plus ``Evidence.misfit``."""
    parameters: float
    """Weight of ``Evidence.parameters``."""
    zero: float
    """Weight of ``Evidence.zero``."""
    frequency: float
    """Weight of the logarithm of the group's frequency among known structures."""
    network: float
    """Weight of the logarithm of the network's probability of the group."""
    absent: float
    """Weight of the logarithm of one plus ``Evidence.absent``, with the sign of the latter."""
    foreign: float
    """Weight of the logarithm of 0.01 plus ``Evidence.foreign``."""
    nothing: float
    """The value of ln Σ exp s at which the logit of p₀ is ``none_offset``."""
    temper: float
    """Factor of the scores where the cells share their probability; below 1, because the terms are not independent."""
    none_offset: float
    """Logit of p₀ where ln Σ exp s equals ``nothing``."""
    none_slope: float
    """Change of that logit per unit of the asinh."""
    missed: tuple[float, ...]
    """Share of the patterns of each crystal system whose cell is not among the answers, shape (7,)."""

    @property
    def of_terms(self) -> Floats:
        """Weights of :func:`terms`, shape (8,)."""
        return np.array([getattr(self, name) for name in _TERMS])


class CellWithClass(Protocol):
    """What an answer needs of a cell with an extinction class, whatever it was fitted to."""

    @property
    def trial(self) -> TrialCell:
        """The refined cell."""

    @property
    def covariance(self) -> Floats:
        """Covariance of its reciprocal metric in 1/Å⁴, shape (6, 6)."""

    @property
    def extinction(self) -> ExtinctionClass:
        """The class."""

    @property
    def displacement(self) -> float:
        """Shift by a displaced sample in degrees, at θ = 0."""

    @property
    def rwp(self) -> float:
        """Rwp in per cent; NaN without a pattern."""

    @property
    def unexplained(self) -> tuple[float, ...]:
        """two_theta in degrees of the lines that no reflection explains."""


def terms(evidence: Evidence, log_frequency: float, log_network: float) -> tuple[float, ...]:
    """The eight terms that the first eight weights multiply, in the order of :class:`Weights`."""
    return (
        evidence.lines,
        float(np.log1p(evidence.misfit)),
        float(evidence.parameters),
        evidence.zero,
        log_frequency,
        log_network,
        float(np.copysign(np.log1p(abs(evidence.absent)), evidence.absent)),
        float(np.log(0.01 + evidence.foreign)),
    )


@functools.cache
def weights() -> Weights:
    """The fitted weights."""
    document = json.loads(files("alphadiffract_plugin").joinpath("data/ranking.json").read_text())
    return Weights(**document["weights"] | {"missed": tuple(document["weights"]["missed"])})


@functools.cache
def log_frequency() -> Floats:
    """Logarithm of the share of space groups 1 to 230 among known structures, shape (230,).

    A calculated structure of a known compound counts a fifth of a measured one. Half a structure is added to each
    group, so that none is impossible.
    """
    document = json.loads(files("alphadiffract_plugin").joinpath("data/space_group_frequency.json").read_text())
    count = np.array(document["counts"]["experiment"]) + 0.2 * np.array(document["counts"]["dft_known"]) + 0.5
    share: Floats = np.log(count / count.sum())
    return share


def rank(
    fits: list[FittedClass], peak_fit: PeakFit, prediction: Prediction | None, settings: RankSettings
) -> tuple[Candidate, ...]:
    """Ranked candidates, the most probable first, at most ``settings.keep``.

    Up to three of them, of 3 % or more, have no cell (NaN): the network's space groups for the case that no cell is
    right.
    """
    table, owner = term_table(fits, prediction)
    probability, none = shared_probability(table @ weights().of_terms, weights())
    order = np.argsort(-probability, kind="stable").tolist()
    chosen = first_of_each_cell([id(fit.trial) for fit, _ in owner], order, settings.keep)
    found = [candidate_of_class(*owner[i], float(probability[i]), peak_fit.peaks) for i in chosen]
    if prediction is not None:
        opinion = none * opinion_without_cell(prediction.space_group_probability, weights())
        first = [
            group for group in np.argsort(-opinion, kind="stable")[:MOST_OPINIONS] if opinion[group] >= LEAST_OPINION
        ]
        found += [_without_cell(int(group) + 1, float(opinion[group])) for group in first]
    return tuple(sorted(found, key=lambda candidate: -candidate.probability)[: settings.keep])


def is_clear(fits: list[FittedClass], prediction: Prediction | None) -> bool:
    """Whether one of the cells is right so clearly that no further cells need be searched.

    Its probability, over all its space groups, is at least 0.6, it leaves at most ten lines unexplained, and the lines
    are shifted by at most 0.15 degrees: a large shift may be a wrong cell, and many lines left another phase.
    """
    table, owner = term_table(fits, prediction)
    probability, _ = shared_probability(table @ weights().of_terms, weights())
    of_cell: Counter[int] = Counter()
    best: dict[int, tuple[float, FittedClass]] = {}
    for (fit, _), share in zip(owner, probability.tolist(), strict=True):
        of_cell[id(fit.trial)] += share
        best[id(fit.trial)] = max(best.get(id(fit.trial), (-1.0, fit)), (share, fit), key=lambda one: one[0])
    if not of_cell or max(of_cell.values()) < _CLEAR:
        return False
    first = best[max(of_cell, key=lambda one: of_cell[one])][1]
    shift = abs(first.trial.zero_shift + first.displacement)
    return len(first.unexplained) <= _FEW_UNEXPLAINED and shift <= _USUAL_SHIFT


def shared_probability(score: Floats, weights: Weights) -> tuple[Floats, float]:
    """Probability of each answer from its score, shape (S,), and that of none of them; see :class:`Weights`."""
    if len(score) == 0:
        return np.zeros(0), 1.0
    top = score.max()
    excess = weights.nothing - top - np.log(np.exp(score - top).sum())
    none = 1 / (1 + np.exp(-(weights.none_offset + weights.none_slope * np.arcsinh(excess / 4))))
    share = np.exp(weights.temper * (score - top))
    return (1 - none) * share / share.sum(), float(none)


def opinion_without_cell(space_group_probability: Floats, weights: Weights) -> Floats:
    """Probability of each space group, shape (230,), for the case that no cell is right; see :class:`Weights`.

    Cells of low symmetry are missed more often, so their groups gain.
    """
    systems = [crystal.crystal_system_from_space_group(number) for number in range(1, 231)]
    share = space_group_probability * np.array(
        [weights.missed[crystal.CRYSTAL_SYSTEMS.index(name)] for name in systems]
    )
    return np.asarray(share / share.sum())


def no_cell_probability(result: IndexingResult) -> float:
    """Probability that none of the cells is right, where groups without a cell are listed; p₀ of :class:`Weights`.

    The list has only the first few of the groups that share p₀, so their sum is divided by their part of it. Without a
    prediction that part is unknown, and the sum itself is returned.
    """
    listed = [candidate for candidate in result.candidates if not candidate.has_cell]
    total = sum(candidate.probability for candidate in listed)
    if result.prediction is None or not listed:
        return total
    share = opinion_without_cell(result.prediction.space_group_probability, weights())
    return min(1.0, total / float(sum(share[candidate.space_group - 1] for candidate in listed)))


def term_table(
    fits: list[FittedClass], prediction: Prediction | None
) -> tuple[Floats, list[tuple[FittedClass, Setting]]]:
    """The terms of every cell with every space group, shape (S, 8), and the cells and groups that they belong to.

    Without a prediction the frequency of a group among known structures takes the place of the network's probability.
    """
    frequency = log_frequency()
    network = frequency
    if prediction is not None:
        network = np.log(np.maximum(prediction.space_group_probability, _LEAST_NETWORK))
    owner = [(fit, setting) for fit in fits for setting in fit.extinction.settings]
    if not owner:
        return np.zeros((0, len(_TERMS))), []
    table = [terms(fit.evidence, frequency[s.space_group - 1], network[s.space_group - 1]) for fit, s in owner]
    return np.array(table), owner


def first_of_each_cell(cells: Sequence[int], order: Sequence[int], keep: int) -> list[int]:
    """The first ``keep`` answers in this order, at most six of each cell; ``cells`` has the cell of each answer."""
    taken: Counter[int] = Counter()
    chosen = []
    for i in order:
        if taken[cells[i]] < _GROUPS_PER_CELL:
            taken[cells[i]] += 1
            chosen.append(i)
        if len(chosen) == keep:
            break
    return chosen


def candidate_of_class(fit: CellWithClass, setting: Setting, probability: float, peaks: Peaks) -> Candidate:
    """The answer that a cell with an extinction class is, with one of its space groups, for these lines."""
    trial = fit.trial
    cell = setting.standard_cell(crystal.cell_from_metric(trial.metric))
    reach = crystal.inv_d2_from_two_theta(min(peaks.two_theta[-1] + 2, 179.0), peaks.wavelength)
    allowed = crystal.allowed_inv_d2(cell, setting.space_group, float(reach))
    observed = peaks.two_theta - trial.zero_shift - fit.displacement * np.cos(np.radians(peaks.two_theta / 2))
    merit = merit_of_lines(
        observed_two_theta=observed,
        calculated_inv_d2=allowed,
        wavelength=peaks.wavelength,
        tolerance=0.45 * peaks.fwhm,
    )
    return Candidate.of_group(
        setting.space_group,
        cell=cell,
        cell_esd=_cell_esd(fit, setting),
        probability=probability,
        extinction_symbol=standard_extinction_symbol(setting.space_group) or fit.extinction.symbol,
        same_extinctions=fit.extinction.space_groups,
        m20=merit.m20,
        f20=merit.f20,
        lines_used=merit.lines_used,
        unindexed=fit.unexplained,
        zero_shift=trial.zero_shift,
        displacement=fit.displacement,
        rwp=fit.rwp,
        origin=trial.origin,
    )


def _without_cell(space_group: int, probability: float) -> Candidate:
    return Candidate.of_group(
        space_group, cell=crystal.NO_CELL, cell_esd=crystal.NO_CELL, probability=probability, origin="network"
    )


def _cell_esd(fit: CellWithClass, setting: Setting) -> Cell:
    """Standard uncertainties on the standard axes, from the metric's covariance by numerical derivatives."""
    step = 1e-6 * float(np.abs(fit.trial.metric).max())
    axes = setting.standard_axes(crystal.cell_from_metric(fit.trial.metric))

    moved = fit.trial.metric + step * np.concatenate([np.eye(6), -np.eye(6)])
    direct = axes.T @ np.linalg.inv(crystal.tensor_from_metric(moved)) @ axes
    cells = cells_from_direct_metrics(direct)
    jacobian = ((cells[:6] - cells[6:]) / (2 * step)).T
    variance = np.einsum("ij,jk,ik->i", jacobian, fit.covariance, jacobian)
    esd = np.where(variance > 1e-16, np.sqrt(np.maximum(variance, 0)), 0.0)  # below 1e-8 is rounding
    a, b, c, alpha, beta, gamma = (float(value) for value in esd)
    return a, b, c, alpha, beta, gamma
