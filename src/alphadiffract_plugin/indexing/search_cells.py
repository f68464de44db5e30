"""Search cells whose lines are the observed ones: screen millions, refine thousands, hand on a few.

Each Bravais lattice is screened around a few zero shifts (:mod:`screen_cells`); the best cells are pulled onto the
lines, zero shift free, and scored by the log-likelihood ratio "at a calculated position" against "there by chance
among so many calculated lines" (:mod:`refine_cells`).
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace

import numpy as np

from alphadiffract_plugin.crystal.bravais import LATTICES, Lattice, bravais_from_basis, primitive_basis
from alphadiffract_plugin.crystal.cells import (
    cell_from_direct_metric,
    cell_from_metric,
    metric_from_cell,
    metric_from_tensor,
    tensor_from_metric,
)
from alphadiffract_plugin.indexing.doubling import doubled_cells
from alphadiffract_plugin.indexing.effort import NORMAL
from alphadiffract_plugin.indexing.refine_cells import Trial, pull_onto_lines
from alphadiffract_plugin.indexing.screen_cells import screen_cells
from alphadiffract_plugin.peaks.observed import Observed, observed_from_peaks
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Peaks
from alphadiffract_plugin.settings import SearchSettings

_CENTRED = 40
"""So many of the best cells are tried with other centrings."""
_AXES = {
    ("orthorhombic", "C"): [np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]],
    ("monoclinic", "C"): [
        np.eye(3),
        np.eye(3)[[2, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [1, 0, 1]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 0]],
    ],
    "other": [np.eye(3)],
}
"""Changes of the reciprocal axes (rows) that bring a centring to the letter of the lattice."""
_SYMMETRISED = 20
"""So many of the best triclinic cells are tried with the symmetry that they nearly have."""
_NEARLY = 0.01
"""Fraction by which their lattice points may move for it."""
_DOUBLED = 30
"""So many of the best lattices are tried with twice their volume."""
_SAME_NORM = 6e-3
"""Lattices whose squared lengths differ by less than this fraction are the same."""


def search_cells(
    peaks: Peaks, settings: SearchSettings, device: str = "cpu", crystal_system_probability: np.ndarray | None = None
) -> list[Trial]:
    """Cells of all Bravais lattices that explain the first lines, best score first.

    Every lattice is searched, then the best primitive ones are tried with each centring of their axes, the best
    triclinic ones with the symmetry that their shape nearly has, and the best of all with twice their volume: half a
    cell leaves only its weak lines over. After ``settings.seconds`` no further lattice is begun: they are begun in the
    order of these probabilities, shape (7,), else from high symmetry to low.
    """
    observed = observed_from_peaks(peaks, settings.lines)
    began = time.monotonic()
    trials: list[Trial] = []
    for lattice in _in_order(crystal_system_probability):
        if time.monotonic() - began > settings.seconds:
            break
        found = [
            np.column_stack([screened, np.full(len(screened), zero)])
            for zero in NORMAL.zero_shifts[lattice.free]
            for screened in [screen_cells(observed, lattice, zero, settings, NORMAL, device)]
        ]
        trials += pull_onto_lines(observed, lattice, np.concatenate(found), "search")
    trials.sort(key=lambda trial: -trial.score)
    trials += _centred_versions(observed, trials[:_CENTRED])
    trials += _symmetrised(observed, [trial for trial in trials if trial.lattice.family == "triclinic"][:_SYMMETRISED])
    if time.monotonic() - began <= settings.seconds:
        trials += doubled(observed, sorted(trials, key=lambda trial: -trial.score), settings)
    return sorted(trials, key=lambda trial: -trial.score)


def _in_order(crystal_system_probability: np.ndarray | None) -> list[Lattice]:
    """The fourteen lattices, those of the more probable crystal systems first; trigonal ones count as hexagonal."""
    if crystal_system_probability is None:
        return list(LATTICES)
    probability = dict(zip(CRYSTAL_SYSTEMS, crystal_system_probability, strict=True))
    probability["hexagonal"] += probability["trigonal"]
    return sorted(LATTICES, key=lambda lattice: -probability[lattice.family])


def _centred_versions(observed: Observed, trials: list[Trial]) -> list[Trial]:
    """Primitive cells again with each centring of their lattice, on every choice of axes that may carry it."""
    starts: dict[Lattice, list[np.ndarray]] = {}
    for trial in trials:
        if trial.lattice.centring != "P":
            continue
        tensor = tensor_from_metric(trial.metric)
        for lattice in LATTICES:
            if lattice.family != trial.lattice.family or lattice.centring == "P":
                continue
            for axes in _AXES.get((lattice.family, lattice.centring), _AXES["other"]):
                metric = metric_from_tensor(np.array(axes) @ tensor @ np.array(axes).T)
                starts.setdefault(lattice, []).append(np.append(lattice.parameters(metric), trial.zero_shift))
    return _pulled(observed, starts)


def _symmetrised(observed: Observed, trials: list[Trial]) -> list[Trial]:
    """Triclinic cells as those of the Bravais lattice that they nearly are; none of those that are triclinic."""
    starts: dict[Lattice, list[np.ndarray]] = {}
    for trial in trials:
        found = bravais_from_basis(primitive_basis(cell_from_metric(trial.metric), "P"), _NEARLY)
        if found.family != "triclinic":
            lattice = Lattice(found.family, found.centring)
            parameters = lattice.parameters(metric_from_cell(found.cell))
            starts.setdefault(lattice, []).append(np.append(parameters, trial.zero_shift))
    return _pulled(observed, starts)


def _pulled(observed: Observed, starts: dict[Lattice, list[np.ndarray]]) -> list[Trial]:
    """Free parameters and zero shifts of some lattices, pulled onto the lines."""
    return [
        t for lattice, start in starts.items() for t in pull_onto_lines(observed, lattice, np.array(start), "search")
    ]


def doubled(observed: Observed, trials: list[Trial], settings: SearchSettings) -> list[Trial]:
    """The best lattices again with twice their volume in each of seven ways, as symmetric as they then are."""
    starts: dict[Lattice, list[np.ndarray]] = {}
    for trial in distinct_lattices(trials, _DOUBLED):
        for lattice, metric in doubled_cells(trial.lattice, trial.metric):
            direct = np.linalg.inv(tensor_from_metric(metric))
            largest = settings.volume_max * (1 if lattice.points == 1 else 1.5)
            if np.linalg.det(direct) < largest**2 and direct.diagonal().max() < settings.length_max**2:
                starts.setdefault(lattice, []).append(np.append(lattice.parameters(metric), trial.zero_shift))
    return _pulled(observed, starts)


def distinct_lattices(trials: list[Trial], keep: int) -> list[Trial]:
    """The best ``keep`` trials whose lattices differ, on standard axes (monoclinic and triclinic ones reduced).

    Two trials are the same lattice if the seven norms of their reduced vectors (:mod:`lattice_kernels`) agree within
    0.6 %, which is 0.3 % in length; the better scored one stays.
    """
    if not trials:
        return []
    from alphadiffract_plugin.indexing.lattice_kernels import first_of_each_lattice, seven_norms

    direct = np.linalg.inv(tensor_from_metric(np.array([trial.metric for trial in trials])))
    change = np.array([_primitive_axes(trial.lattice.centring) for trial in trials])
    norms = seven_norms(np.ascontiguousarray(change @ direct @ change.transpose(0, 2, 1)))
    return [_on_standard_axes(trials[i]) for i in first_of_each_lattice(norms, _SAME_NORM, keep)]


@functools.cache
def _primitive_axes(centring: str) -> np.ndarray:
    """Rows: primitive axes in terms of conventional ones."""
    return primitive_basis((1.0, 1.0, 1.0, 90.0, 90.0, 90.0), centring)


def _on_standard_axes(trial: Trial) -> Trial:
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
