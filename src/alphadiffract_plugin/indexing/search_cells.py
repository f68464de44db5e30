"""Search the Bravais lattices for cells that explain the lines: screen millions, refine thousands, keep a few.

Each lattice is screened for a few zero shifts (:mod:`screen_cells`). The best cells are refined on the lines together
with the zero shift, and scored by the log-likelihood ratio of two hypotheses: the lines are at calculated positions, or
at random ones (:mod:`refine_cells`). Lattices of high symmetry come first, and the search ends as soon as a cell is
clearly right. How much is searched depends on the settings (:mod:`effort`), not on the time that it takes.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import monotonic

import numpy as np

from alphadiffract_plugin import threads
from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bravais import LATTICES, Lattice, bravais_from_basis, primitive_basis
from alphadiffract_plugin.crystal.cells import (
    cell_from_direct_metric,
    cell_from_metric,
    metric_from_cell,
    metric_from_tensor,
    tensor_from_metric,
)
from alphadiffract_plugin.indexing.effort import EFFORTS, Effort
from alphadiffract_plugin.indexing.refine_cells import TrialCell, pull_onto_lines, unexplained
from alphadiffract_plugin.indexing.screen_cells import largest_volume, screen_cells
from alphadiffract_plugin.indexing.superlattices import multiplied_cells
from alphadiffract_plugin.peaks.observed import Observed, observed_from_peaks
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Peaks
from alphadiffract_plugin.settings import SearchSettings

_RIGHT = 40.0
"""Score in nats from which a cell is clearly right. Of N random cells one reaches it with a probability below
N exp(-40), 4e-10 for 1e8 cells. Wrong cells that resemble the true one reached 33 on measured patterns."""
_CENTRED = 40
"""Number of the best cells of a level that are tried with other centrings; chosen by hand."""
_AXES: dict[tuple[str, str], tuple[Floats, ...]] = {
    ("orthorhombic", "C"): (np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]),
    ("monoclinic", "C"): (
        np.eye(3),
        np.eye(3)[[2, 1, 0]],
        np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 1]]),
        np.array([[1.0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    ),
}
"""Changes of the reciprocal axes, as rows, after which a centring has the letter of the lattice; others need none."""
_SYMMETRISED = 20
"""Number of the best triclinic cells that are tried with the symmetry that they nearly have; chosen by hand."""
_NEARLY = 0.01
"""Relative tolerance of that symmetry."""
_LONGEST_MULTIPLE = 80.0
"""Longest axis in Å of a multiple of a lattice that was found."""
_LONG_LIST = 400
"""Number of distinct lattices among which the best of each Bravais lattice are looked for."""
_SAME_NORM = 6e-3
"""Lattices are the same if their squared lengths differ by less than this fraction."""


@dataclass(frozen=True)
class Found:
    """The result of a search, or of one of its levels."""

    trials: list[TrialCell]
    """Refined cells, best score first."""
    searched: tuple[Lattice, ...] = ()
    """Lattices that were searched. Trials may also be of other lattices, if a cell of one of these was doubled."""
    left_out: tuple[Lattice, ...] = ()
    """Lattices that were not searched because the limit in seconds was reached."""
    others: list[TrialCell] = field(default_factory=list)
    """The best cells of searches of other lines or for a large shift, with their scores for the usual lines."""


def search_cells(
    peaks: Peaks, settings: SearchSettings, device: str = "cpu", crystal_system_probability: Floats | None = None
) -> Found:
    """Cells of the Bravais lattices that explain the first lines.

    The levels of :func:`search_levels` are searched until a cell is clearly right: it has a score of at least 40 nats,
    and of the lines that are probably not spurious it leaves at most ``settings.impurities`` unexplained.

    Parameters
    ----------
    peaks : the observed lines.
    settings : of the search.
    device : of torch; "cpu" for the compiled loops.
    crystal_system_probability : see :func:`search_levels`.
    """
    observed = observed_from_peaks(peaks, settings.lines)
    found = Found([])
    for level in search_levels(observed, settings, device, crystal_system_probability):
        trials = sorted(found.trials + level.trials, key=lambda trial: -trial.score)
        found = Found(trials, found.searched + level.searched, found.left_out + level.left_out)
        if clearly_right(observed, found, settings):
            break
    return found


def clearly_right(observed: Observed, found: Found, settings: SearchSettings) -> bool:
    """Whether the best cell is clearly right, so that lattices of lower symmetry need not be searched.

    Its lattice must be one of those searched: a doubled cell of lower symmetry may be twice the true one.
    """
    best = found.trials[0] if found.trials else None
    if best is None or best.score < _RIGHT or best.lattice not in found.searched:
        return False
    left_over = unexplained(observed, best)
    return float((1 - observed.spurious)[left_over].sum()) <= settings.impurities


def search_levels(
    observed: Observed,
    settings: SearchSettings,
    device: str = "cpu",
    crystal_system_probability: Floats | None = None,
    effort: Effort | None = None,
) -> Iterator[Found]:
    """The results of the levels of the search: lattices of high symmetry, monoclinic lattices, the triclinic lattice.

    In each level the best primitive cells are also tried with each centring of their axes, the best triclinic cells
    with the symmetry that they nearly have, and the best cells of all levels so far with twice their volume.

    Parameters
    ----------
    crystal_system_probability : shape (7,). In each level the lattices of the more probable systems are searched first.
        This matters only if ``settings.seconds`` sets a limit, after which no further lattice is begun.
    effort : how much is searched; that of the settings if not given.
    """
    effort = effort or EFFORTS[settings.effort]
    began, seconds = monotonic(), settings.seconds
    so_far: list[TrialCell] = []

    def search(lattice: Lattice) -> list[TrialCell] | None:
        if seconds is not None and monotonic() - began > seconds:
            return None
        found = [
            np.column_stack([screened, np.full(len(screened), zero)])
            for zero in observed.scale * np.array(effort.zero_shifts_of(lattice.free))
            for screened in [screen_cells(observed, lattice, zero, settings, effort, device)]
        ]
        return pull_onto_lines(observed, lattice, np.concatenate(found), "search", effort.index_range)

    for families in effort.families:
        lattices = [lattice for lattice in _in_order(crystal_system_probability) if lattice.family in families]
        found = _each(search, lattices, 1 if device != "cpu" else threads.chosen_number())
        searched = tuple(lattice for lattice, some in zip(lattices, found, strict=True) if some is not None)
        left_out = tuple(lattice for lattice in lattices if lattice not in searched)
        trials = sorted((trial for some in found for trial in some or ()), key=lambda trial: -trial.score)
        trials += _centred_versions(observed, trials[:_CENTRED])
        trials += _symmetrised(observed, [t for t in trials if t.lattice.family == "triclinic"][:_SYMMETRISED])
        so_far = sorted(so_far + trials, key=lambda trial: -trial.score)
        if not left_out:
            trials += multiplied(observed, so_far, settings, effort)
        yield Found(trials, searched, left_out)


def _each(
    search: Callable[[Lattice], list[TrialCell] | None], lattices: list[Lattice], number: int
) -> list[list[TrialCell] | None]:
    """The results for all lattices, in their order, on so many threads; compiled code runs on several at once."""
    if number == 1:
        return [search(lattice) for lattice in lattices]
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(search, lattices))


def _in_order(crystal_system_probability: Floats | None) -> list[Lattice]:
    """The fourteen lattices, those of the more probable crystal systems first; trigonal counts as hexagonal."""
    if crystal_system_probability is None:
        return list(LATTICES)
    probability = dict(zip(CRYSTAL_SYSTEMS, crystal_system_probability, strict=True))
    probability["hexagonal"] += probability["trigonal"]
    return sorted(LATTICES, key=lambda lattice: -probability[lattice.family])


def _centred_versions(observed: Observed, trials: list[TrialCell]) -> list[TrialCell]:
    """Primitive cells with each centring of their family, on every choice of axes on which that is possible."""
    starts: dict[Lattice, list[Floats]] = {}
    for trial in trials:
        if trial.lattice.centring != "P":
            continue
        tensor = tensor_from_metric(trial.metric)
        for lattice in LATTICES:
            if lattice.family != trial.lattice.family or lattice.centring == "P":
                continue
            for axes in _AXES.get((lattice.family, lattice.centring), (np.eye(3),)):
                metric = metric_from_tensor(axes @ tensor @ axes.T)
                starts.setdefault(lattice, []).append(np.append(lattice.parameters(metric), trial.zero_shift))
    return _pulled(observed, starts)


def _symmetrised(observed: Observed, trials: list[TrialCell]) -> list[TrialCell]:
    """Triclinic cells that nearly have more symmetry, refined with this symmetry."""
    starts: dict[Lattice, list[Floats]] = {}
    for trial in trials:
        found = bravais_from_basis(primitive_basis(cell_from_metric(trial.metric), "P"), _NEARLY)
        if found.family != "triclinic":
            lattice = Lattice(found.family, found.centring)
            parameters = lattice.parameters(metric_from_cell(found.cell))
            starts.setdefault(lattice, []).append(np.append(parameters, trial.zero_shift))
    return _pulled(observed, starts)


def _pulled(observed: Observed, starts: dict[Lattice, list[Floats]]) -> list[TrialCell]:
    """Cells of several lattices, given by free parameters and zero shift, refined on the lines."""
    return [
        t for lattice, start in starts.items() for t in pull_onto_lines(observed, lattice, np.array(start), "search")
    ]


def multiplied(
    observed: Observed, trials: list[TrialCell], settings: SearchSettings, effort: Effort
) -> list[TrialCell]:
    """The best lattices with two and three times their volume, in each possible way; see :mod:`superlattices`.

    Limits of volume and edges that are set hold here; without them, a multiple may be so many times larger.
    """
    starts: dict[Lattice, list[Floats]] = {}
    usual = SearchSettings()
    longest = max(settings.length_max, _LONGEST_MULTIPLE if settings.length_max == usual.length_max else 0.0)
    for index, many in ((2, effort.doubled), (3, effort.tripled)):
        larger = index if settings.volume_max is None else 1
        for trial in distinct_lattices(trials, many):
            for lattice, metric in multiplied_cells(trial.lattice, trial.metric, index):
                direct = np.linalg.inv(tensor_from_metric(metric))
                largest = larger * largest_volume(lattice, settings)
                if np.linalg.det(direct) < largest**2 and direct.diagonal().max() < longest**2:
                    starts.setdefault(lattice, []).append(np.append(lattice.parameters(metric), trial.zero_shift))
    return _pulled(observed, starts)


def distinct_lattices(
    trials: list[TrialCell], keep: int, *, tolerance: float = _SAME_NORM, axes: bool = True
) -> list[TrialCell]:
    """The first ``keep`` trials whose lattices differ, monoclinic and triclinic ones on reduced axes.

    Two trials have the same lattice if their seven squared lengths (:mod:`distinct_kernels`) agree within a tolerance,
    by default 0.6 %, which is 0.3 % in length. The first of them is kept.

    Parameters
    ----------
    tolerance : relative difference of squared lengths.
    axes : whether monoclinic and triclinic cells are put on their reduced axes; otherwise the trials are returned as
        they are.
    """
    if not trials:
        return []
    from alphadiffract_plugin.indexing.distinct_kernels import first_of_each_lattice, seven_norms

    direct = np.linalg.inv(tensor_from_metric(np.array([trial.metric for trial in trials])))
    change = np.array([_primitive_axes(trial.lattice.centring) for trial in trials])
    norms = seven_norms(np.ascontiguousarray(change @ direct @ change.transpose(0, 2, 1)))
    chosen = [trials[i] for i in first_of_each_lattice(norms, tolerance, keep)]
    return [_on_standard_axes(trial) for trial in chosen] if axes else chosen


def best_lattices(trials: list[TrialCell], keep: int, of_each: int) -> list[TrialCell]:
    """The first ``keep`` distinct lattices, and beyond them the first ``of_each`` of each Bravais lattice.

    A cell of high symmetry whose lines are mostly absent by extinctions that the search does not know, that of a garnet
    for example, has many subcells of lower symmetry with better scores.
    """
    taken: Counter[Lattice] = Counter()
    chosen = []
    for place, trial in enumerate(distinct_lattices(trials, _LONG_LIST)):
        if place < keep or taken[trial.lattice] < of_each:
            chosen.append(trial)
        taken[trial.lattice] += 1
    return chosen


@functools.cache
def _primitive_axes(centring: str) -> Floats:
    """Primitive axes in terms of conventional ones, as rows, shape (3, 3)."""
    return primitive_basis((1.0, 1.0, 1.0, 90.0, 90.0, 90.0), centring)


def _on_standard_axes(trial: TrialCell) -> TrialCell:
    """The trial on reduced axes if it is triclinic or monoclinic, else as it is."""
    if trial.lattice.family not in ("triclinic", "monoclinic"):
        return trial
    import spglib

    basis = primitive_basis(cell_from_metric(trial.metric), trial.lattice.centring)
    niggli = spglib.niggli_reduce(basis, eps=1e-5)
    if niggli is None:
        return trial
    if trial.lattice.family == "triclinic":
        return replace(trial, metric=metric_from_cell(cell_from_direct_metric(niggli @ niggli.T)))
    standard = bravais_from_basis(niggli, 1e-5)
    if standard.family == "monoclinic" and standard.centring == trial.lattice.centring:
        return replace(trial, metric=metric_from_cell(standard.cell))
    return trial
