"""Search cells whose lines are the observed ones: screen millions, refine thousands, hand on a few.

Each Bravais lattice is screened around a few zero shifts (:mod:`screen_cells`); the best cells are pulled onto the
lines, zero shift free, and scored by the log-likelihood ratio "at a calculated position" against "there by chance
among so many calculated lines" (:mod:`refine_cells`). Lattices of high symmetry come first, and the search ends as
soon as a cell is clearly right. How much is searched is a matter of work (:mod:`effort`), never of time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from alphadiffract_plugin.indexing.doubling import doubled_cells
from alphadiffract_plugin.indexing.effort import EFFORTS, Effort
from alphadiffract_plugin.indexing.refine_cells import TrialCell, pull_onto_lines, unexplained
from alphadiffract_plugin.indexing.screen_cells import largest_volume, screen_cells
from alphadiffract_plugin.peaks.observed import Observed, observed_from_peaks
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Peaks
from alphadiffract_plugin.settings import SearchSettings

_RIGHT = 40.0
"""Score in nats from which a cell is clearly right. Chance gives it to one of N cells with a probability below
N exp(-40), 1e-9 for the millions tried; wrong cells that resemble the true one reached 33 on measured patterns."""
_CENTRED = 40
"""So many of the best cells of a level are tried with other centrings."""
_AXES: dict[tuple[str, str], tuple[Floats, ...]] = {
    ("orthorhombic", "C"): (np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]),
    ("monoclinic", "C"): (
        np.eye(3),
        np.eye(3)[[2, 1, 0]],
        np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 1]]),
        np.array([[1.0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    ),
}
"""Changes of the reciprocal axes (rows) that bring a centring to the letter of the lattice; others need none."""
_SYMMETRISED = 20
"""So many of the best triclinic cells are tried with the symmetry that they nearly have."""
_NEARLY = 0.01
"""Fraction by which their lattice points may move for it."""
_SAME_NORM = 6e-3
"""Lattices whose squared lengths differ by less than this fraction are the same."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    trials: list[TrialCell]
    """Refined cells, best score first."""
    searched: tuple[Lattice, ...] = ()
    """Lattices that were searched; others may be among the trials where a cell of these was doubled."""
    left_out: tuple[Lattice, ...] = ()
    """Lattices that were not searched since the limit in seconds was reached."""


def search_cells(
    peaks: Peaks, settings: SearchSettings, device: str = "cpu", crystal_system_probability: Floats | None = None
) -> Found:
    """Cells of the Bravais lattices that explain the first lines.

    The levels of :func:`search_levels` are gone through until a cell is clearly right: its score is 40 nats and no more
    than ``settings.impurities`` lines that are likely the sample's own stay unexplained.
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
    """Whether the best of these trials leaves no reason to search lattices of lower symmetry.

    It must be of a lattice that was searched: a doubled cell of lower symmetry may be twice the true one.
    """
    best = found.trials[0] if found.trials else None
    if best is None or best.score < _RIGHT or best.lattice not in found.searched:
        return False
    left_over = unexplained(observed, best)
    return float((1 - observed.spurious)[left_over].sum()) <= settings.impurities


def search_levels(
    observed: Observed, settings: SearchSettings, device: str = "cpu", crystal_system_probability: Floats | None = None
) -> Iterator[Found]:
    """What each level of the search adds: lattices of high symmetry, monoclinic ones, triclinic ones.

    In each the best primitive cells are tried with each centring of their axes, the best triclinic ones with the
    symmetry that their shape nearly has, and the best of all levels so far with twice their volume.

    Parameters
    ----------
    crystal_system_probability : shape (7,): within a level the lattices of the more probable systems are begun first,
        which matters where ``settings.seconds`` sets a limit, after which no further lattice is begun.
    """
    effort = EFFORTS[settings.effort]
    began, seconds = monotonic(), settings.seconds
    so_far: list[TrialCell] = []

    def search(lattice: Lattice) -> list[TrialCell] | None:
        if seconds is not None and monotonic() - began > seconds:
            return None
        found = [
            np.column_stack([screened, np.full(len(screened), zero)])
            for zero in effort.zero_shifts_of(lattice.free)
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
            trials += doubled(observed, so_far, settings, effort)
        yield Found(trials, searched, left_out)


def _each(
    search: Callable[[Lattice], list[TrialCell] | None], lattices: list[Lattice], number: int
) -> list[list[TrialCell] | None]:
    """The answers for all lattices in their order, on so many threads; compiled code runs on several at once."""
    if number == 1:
        return [search(lattice) for lattice in lattices]
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(search, lattices))


def _in_order(crystal_system_probability: Floats | None) -> list[Lattice]:
    """The fourteen lattices, those of the more probable crystal systems first; trigonal ones count as hexagonal."""
    if crystal_system_probability is None:
        return list(LATTICES)
    probability = dict(zip(CRYSTAL_SYSTEMS, crystal_system_probability, strict=True))
    probability["hexagonal"] += probability["trigonal"]
    return sorted(LATTICES, key=lambda lattice: -probability[lattice.family])


def _centred_versions(observed: Observed, trials: list[TrialCell]) -> list[TrialCell]:
    """Primitive cells again with each centring of their lattice, on every choice of axes that may carry it."""
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
    """Triclinic cells as those of the Bravais lattice that they nearly are; none of those that are triclinic."""
    starts: dict[Lattice, list[Floats]] = {}
    for trial in trials:
        found = bravais_from_basis(primitive_basis(cell_from_metric(trial.metric), "P"), _NEARLY)
        if found.family != "triclinic":
            lattice = Lattice(found.family, found.centring)
            parameters = lattice.parameters(metric_from_cell(found.cell))
            starts.setdefault(lattice, []).append(np.append(parameters, trial.zero_shift))
    return _pulled(observed, starts)


def _pulled(observed: Observed, starts: dict[Lattice, list[Floats]]) -> list[TrialCell]:
    """Free parameters and zero shifts of some lattices, pulled onto the lines."""
    return [
        t for lattice, start in starts.items() for t in pull_onto_lines(observed, lattice, np.array(start), "search")
    ]


def doubled(observed: Observed, trials: list[TrialCell], settings: SearchSettings, effort: Effort) -> list[TrialCell]:
    """The best lattices again with twice their volume in each of seven ways, as symmetric as they then are."""
    starts: dict[Lattice, list[Floats]] = {}
    for trial in distinct_lattices(trials, effort.doubled):
        for lattice, metric in doubled_cells(trial.lattice, trial.metric):
            direct = np.linalg.inv(tensor_from_metric(metric))
            largest = largest_volume(lattice, settings)
            if np.linalg.det(direct) < largest**2 and direct.diagonal().max() < settings.length_max**2:
                starts.setdefault(lattice, []).append(np.append(lattice.parameters(metric), trial.zero_shift))
    return _pulled(observed, starts)


def distinct_lattices(trials: list[TrialCell], keep: int) -> list[TrialCell]:
    """The best ``keep`` trials whose lattices differ, on standard axes (monoclinic and triclinic ones reduced).

    Two trials are the same lattice if the seven norms of their reduced vectors (:mod:`distinct_kernels`) agree within
    0.6 %, which is 0.3 % in length; the better scored one stays.
    """
    if not trials:
        return []
    from alphadiffract_plugin.indexing.distinct_kernels import first_of_each_lattice, seven_norms

    direct = np.linalg.inv(tensor_from_metric(np.array([trial.metric for trial in trials])))
    change = np.array([_primitive_axes(trial.lattice.centring) for trial in trials])
    norms = seven_norms(np.ascontiguousarray(change @ direct @ change.transpose(0, 2, 1)))
    return [_on_standard_axes(trials[i]) for i in first_of_each_lattice(norms, _SAME_NORM, keep)]


@functools.cache
def _primitive_axes(centring: str) -> Floats:
    """Rows: primitive axes in terms of conventional ones."""
    return primitive_basis((1.0, 1.0, 1.0, 90.0, 90.0, 90.0), centring)


def _on_standard_axes(trial: TrialCell) -> TrialCell:
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
