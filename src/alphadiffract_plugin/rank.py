"""Rank cells and space groups: line evidence, pattern evidence, parsimony, how common a group is, and the network.

The score is linear in the terms of :class:`fit_pattern.Evidence` and in two log-probabilities of the space group; its
weights are fitted on measured patterns by ``bench/fit_ranking.py`` and kept, with how that was done, in
``data/ranking.json``. The probability of an answer is the softmax of the scores.
"""

from __future__ import annotations

import functools
import json
from dataclasses import astuple, dataclass
from importlib.resources import files

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.extinction import Setting, standard_extinction_symbol
from alphadiffract_plugin.find_peaks import Lines
from alphadiffract_plugin.fit_pattern import Evidence, FittedClass
from alphadiffract_plugin.merit import merit_of_lines
from alphadiffract_plugin.records import Candidate, Cell, Prediction
from alphadiffract_plugin.settings import RankSettings

_GROUPS_PER_CELL = 6
"""At most so many space groups of one cell are listed, so that rival cells are seen."""
_LEAST_NETWORK = 1e-4
"""The network's probability of a group is taken to be no less: it may be wrong."""


@dataclass(frozen=True)
class Weights:
    """Weights of the score, in nats per unit of each term."""

    lines: float
    """Of ``Evidence.lines``."""
    misfit: float
    """Of the logarithm of one plus ``Evidence.misfit``."""
    parameters: float
    """Of ``Evidence.parameters``."""
    zero: float
    """Of ``Evidence.zero``."""
    frequency: float
    """Of the logarithm of the group's frequency among known structures."""
    network: float
    """Of the logarithm of the network's probability of the group."""
    nothing: float
    """Score of "none of these", which takes its share of the probability."""


def terms(evidence: Evidence, log_frequency: float, log_network: float) -> tuple[float, ...]:
    """What each weight but the last multiplies, in the order of :class:`Weights`."""
    return (
        evidence.lines,
        float(np.log1p(evidence.misfit)),
        float(evidence.parameters),
        evidence.zero,
        log_frequency,
        log_network,
    )


@functools.cache
def weights() -> Weights:
    """The fitted weights."""
    document = json.loads(files("alphadiffract_plugin").joinpath("data/ranking.json").read_text())
    return Weights(**document["weights"])


@functools.cache
def log_frequency() -> np.ndarray:
    """Logarithm of how common space groups 1 to 230 are among known structures, shape (230,).

    Counts of measured structures and a fifth of those of calculated ones of known compounds, half a structure added
    to each group so that none is impossible.
    """
    document = json.loads(files("alphadiffract_plugin").joinpath("data/space_group_frequency.json").read_text())
    count = np.array(document["counts"]["experiment"]) + 0.2 * np.array(document["counts"]["dft_known"]) + 0.5
    return np.log(count / count.sum())


def rank(
    fits: list[FittedClass], lines: Lines, prediction: Prediction | None, settings: RankSettings
) -> tuple[Candidate, ...]:
    """Ranked candidates, the most probable first; fewer than ``settings.keep`` if there are no more."""
    if not fits:
        return ()
    table, owner = term_table(fits, prediction)
    *weight, nothing = astuple(weights())
    value = table @ np.array(weight)
    order = np.argsort(-value, kind="stable")
    score = value[order]
    share = np.exp(score - score[0])
    probability = share / (share.sum() + np.exp(min(nothing - score[0], 700.0)))
    answers = [owner[i] for i in order]
    chosen = _varied([fit for fit, _ in answers], settings.keep)
    return tuple(_candidate(*answers[i], float(probability[i]), lines) for i in chosen)


def term_table(
    fits: list[FittedClass], prediction: Prediction | None
) -> tuple[np.ndarray, list[tuple[FittedClass, Setting]]]:
    """The terms of every cell with every space group, shape (S, 6), and whose they are.

    Where the network was not asked its logarithm is that of the frequency of the group: no more than a prior.
    """
    frequency = log_frequency()
    network = frequency
    if prediction is not None:
        network = np.log(np.maximum(prediction.space_group_probability, _LEAST_NETWORK))
    owner = [(fit, setting) for fit in fits for setting in fit.extinction.settings]
    table = [terms(fit.evidence, frequency[s.space_group - 1], network[s.space_group - 1]) for fit, s in owner]
    return np.array(table), owner


def _varied(fits: list[FittedClass], keep: int) -> list[int]:
    taken: dict[int, int] = {}
    chosen = []
    for i, fit in enumerate(fits):
        count = taken.get(id(fit.trial), 0)
        if count < _GROUPS_PER_CELL:
            taken[id(fit.trial)] = count + 1
            chosen.append(i)
        if len(chosen) == keep:
            break
    return chosen


def _candidate(fit: FittedClass, setting: Setting, probability: float, lines: Lines) -> Candidate:
    trial = fit.trial
    cell = setting.standard_cell(crystal.cell_from_metric(trial.metric))
    peaks = lines.peaks
    reach = (2 * np.sin(np.radians(min(peaks.two_theta[-1] + 2, 179.0) / 2)) / peaks.wavelength) ** 2
    allowed = crystal.lines(cell, setting.space_group, reach)
    observed = peaks.two_theta - trial.zero_shift - fit.displacement * np.cos(np.radians(peaks.two_theta / 2))
    merit = merit_of_lines(
        observed_two_theta=observed,
        calculated_inv_d2=allowed,
        wavelength=peaks.wavelength,
        tolerance=0.45 * peaks.fwhm,
    )
    return Candidate(
        cell=cell,
        cell_esd=_cell_esd(fit, setting),
        space_group=setting.space_group,
        space_group_symbol=crystal.symbol_from_space_group(setting.space_group),
        crystal_system=crystal.crystal_system_from_space_group(setting.space_group),
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


def _cell_esd(fit: FittedClass, setting: Setting) -> Cell:
    """Standard uncertainties on the standard axes, from the metric's covariance by numerical derivatives."""
    step = 1e-6 * float(np.abs(fit.trial.metric).max())

    axes = setting.standard_axes(crystal.cell_from_metric(fit.trial.metric))

    def cell(metric: np.ndarray) -> np.ndarray:
        return np.array(
            crystal.cell_from_direct_metric(axes.T @ np.linalg.inv(crystal.tensor_from_metric(metric)) @ axes)
        )

    jacobian = np.stack(
        [(cell(fit.trial.metric + step * e) - cell(fit.trial.metric - step * e)) / (2 * step) for e in np.eye(6)], 1
    )
    variance = np.einsum("ij,jk,ik->i", jacobian, fit.covariance, jacobian)
    return tuple(float(v) for v in np.where(variance > 1e-16, np.sqrt(np.maximum(variance, 0)), 0.0))
