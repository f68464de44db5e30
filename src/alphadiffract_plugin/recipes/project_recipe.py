"""Put a ranked answer into an open GSAS-II project: lines, unit cells, one phase per candidate, a notebook entry.

This file needs numpy, ``recipe_records.py`` and the objects of an open GSAS-II project. A bundle carries a copy of it
beside ``make_project.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.recipe_records import Floats, FoundLines, SeedAnswer, SeedCandidate, volume_of_cell

BRAVAIS = (
    *("Fm3m", "Im3m", "Pm3m", "R3-H", "P6/mmm", "I4/mmm", "P4/mmm", "Fmmm", "Immm", "Ammm", "Bmmm", "Cmmm", "Pmmm"),
    *("I2/m", "A2/m", "C2/m", "P2/m", "P1"),
)
"""The lattices in GSAS-II's list of unit cells, in its order."""

_POINT_GROUP = {"cubic": "m3m", "tetragonal": "4/mmm", "orthorhombic": "mmm", "monoclinic": "2/m", "triclinic": "1"}
"""The end of GSAS-II's name of a lattice; ``6/mmm`` for trigonal and hexagonal."""

SHORTEST_SPACING = 0.5
"""d in Å down to which GSAS-II shows the lines of its unit cells (its ``dmin``)."""


def seed_project(project: Any, histogram: Any, answer: SeedAnswer, *, keep: int, note: str) -> list[Any]:
    """Add the lines, the unit cells, one phase per kept candidate and a notebook entry.

    Parameters
    ----------
    project, histogram : a G2Project and a G2PwdrData in it. Lists that are not empty stay as they are.
    answer : the candidates and the lines.
    keep : number of candidates that become phases.
    note : text for the notebook.

    Returns
    -------
    The new G2Phase objects. Only the first is in use, and none if a phase of the project is in use on this histogram:
    it would take part in the next refinement of that phase.
    """
    linked = [phase.data["Histograms"].get(histogram.name) for phase in project.phases()]
    taken = any(coupling is not None and coupling.get("Use", True) for coupling in linked)
    candidates = answer.candidates[:keep]
    if answer.lines is not None:
        _add_lines(histogram, answer.lines)
    if candidates and not histogram.data["Unit Cells List"]:
        histogram.data["Unit Cells List"] = unit_cells(candidates)
    phases = []
    names = phase_names(project, histogram, len(candidates))
    for rank, (name, candidate) in enumerate(zip(names, candidates, strict=True), start=1):
        phase = project.add_phase(
            phasename=name,
            spacegroup=candidate.space_group_symbol,
            cell=list(candidate.cell),
            histograms=[histogram],
        )
        phase.data["Histograms"][histogram.name]["Use"] = rank == 1 and not taken
        phases.append(phase)
    project.data["Notebook"]["data"].append(note)
    return phases


def phase_names(project: Any, histogram: Any, count: int) -> list[str]:
    """Names for new phases of a histogram; see :func:`free_phase_names`."""
    taken = {phase.name for phase in project.phases()}
    return free_phase_names(histogram.name, count, taken=taken, alone=len(project.histograms()) == 1)


def free_phase_names(histogram: str, count: int, *, taken: Collection[str], alone: bool) -> list[str]:
    """Names for new phases: candidate_1 ..., followed by the histogram's name where the project has several.

    GSAS-II would rename a phase whose name is in use already. So if one name is taken, all get another ending.

    Parameters
    ----------
    histogram : its name in GSAS-II.
    count : number of names.
    taken : names of the phases that the project has.
    alone : whether this is the only histogram of the project.
    """
    short = re.sub(r"\.\w+( Bank 1)?$", "", histogram.removeprefix("PWDR "))
    short = re.sub(r"[^A-Za-z0-9.-]+", "_", short).strip("_") or "histogram"
    endings = ["_" + short, *(f"_{short}-{number}" for number in range(2, 1000))]
    if alone:
        endings.insert(0, "")
    for ending in endings:
        names = [f"candidate_{rank}{ending}" for rank in range(1, count + 1)]
        if set(taken).isdisjoint(names):
            return names
    raise ValueError(f"The project holds candidates of {histogram} a thousand times already.")


def keep_every_point(histogram: Any, intensity: Floats, esd: Floats) -> None:
    """Restore the points at or below zero, which GSAS-II's xye reader sets to 0 with a weight of 0."""
    columns = histogram.data["data"][1]
    columns[1] = np.array(intensity, dtype=float)
    columns[2] = 1 / np.square(np.array(esd, dtype=float))


def label_lines(histogram: Any, phase: Any, lines: FoundLines) -> None:
    """Write the indices of the fitted phase's reflections into the index list, beside the lines that they explain.

    A reflection explains a line if it lies within half of the line's width. An index list that is not ours stays.
    """
    rows = histogram.data["Index Peak List"][0]
    reflections = np.array(histogram.data["Reflection Lists"][phase.name]["RefList"])
    if len(rows) != len(lines.two_theta) or len(reflections) == 0:
        return
    for row, two_theta, fwhm in zip(rows, lines.two_theta, lines.fwhm, strict=True):
        nearest = reflections[np.argmin(np.abs(reflections[:, 5] - two_theta))]
        if row[0] == two_theta and abs(nearest[5] - two_theta) <= fwhm / 2:
            row[3:7] = [True, *(int(index) for index in nearest[:3])]
            row[8] = float(nearest[4])


def bravais_of_candidate(candidate: SeedCandidate) -> str:
    """GSAS-II's name of a candidate's lattice: ``Pmmm`` for P n m a, ``R3-H`` for R -3 m."""
    centring = candidate.space_group_symbol[0]
    return "R3-H" if centring == "R" else centring + _POINT_GROUP.get(candidate.crystal_system, "6/mmm")


def unit_cells(candidates: Sequence[SeedCandidate], loaded: int = 0) -> list[Any]:
    """GSAS-II's *Unit Cells List*: controls, ticked lattices, one row per cell, and three more parts.

    ``loaded`` is the index of the candidate whose cell stands in the controls.
    """
    rows = [
        [one.m20, one.unindexed, BRAVAIS.index(bravais_of_candidate(one)), *one.cell, volume_of_cell(one.cell)]
        + [False, False]
        for one in candidates
    ]
    first = candidates[loaded]
    lattice = bravais_of_candidate(first)
    controls = [0, first.zero_shift, 4, 25.0, 1, lattice, *first.cell, volume_of_cell(first.cell)]
    controls += [first.space_group_symbol, []]
    return [controls, [name == lattice for name in BRAVAIS], rows, SHORTEST_SPACING, {}, []]


def peaks_of_lines(lines: FoundLines, kalpha2_ratio: float) -> Iterator[tuple[float, float]]:
    """Position in degrees and intensity (of Kα1 alone, in counts times 0.01 degrees) for GSAS-II's *Peak List*."""
    for position, area in zip(lines.two_theta, lines.area, strict=True):
        yield float(position), float(100 * area / (1 + kalpha2_ratio))


def index_peaks(lines: FoundLines) -> list[Any]:
    """GSAS-II's *Index Peak List*: one row per line, and the standard uncertainties of the positions."""
    rows = [
        [float(position), float(counts), True, False, 0, 0, 0, float(d), 0.0]
        for position, counts, d in zip(lines.two_theta, lines.area, lines.d, strict=True)
    ]
    return [rows, [float(esd) for esd in lines.two_theta_esd]]


def _add_lines(histogram: Any, lines: FoundLines) -> None:
    if not histogram.data["Peak List"]["peaks"]:
        doublet = histogram.data["Instrument Parameters"][0].get("I(L2)/I(L1)", (0.0, 0.0))[1]
        for position, counts in peaks_of_lines(lines, doublet):
            histogram.add_peak(counts, ttheta=position)
    if not any(histogram.data["Index Peak List"]):
        histogram.data["Index Peak List"] = index_peaks(lines)
