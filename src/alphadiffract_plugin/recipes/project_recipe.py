"""Put ranked answers into an open GSAS-II project: lines, unit cells, one phase per candidate, a notebook entry.

This file needs numpy and the objects of an open GSAS-II project, nothing else: ``gsasii.py`` uses it here, and a
bundle carries a copy of it beside ``make_project.py``. Answers come as the plain dictionaries of ``result.json``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

BRAVAIS = (
    *("Fm3m", "Im3m", "Pm3m", "R3-H", "P6/mmm", "I4/mmm", "P4/mmm", "Fmmm", "Immm", "Ammm", "Bmmm", "Cmmm", "Pmmm"),
    *("I2/m", "A2/m", "C2/m", "P2/m", "P1"),
)
"""The lattices of GSAS-II's list of unit cells, in its order."""

_TAIL = {"cubic": "m3m", "tetragonal": "4/mmm", "orthorhombic": "mmm", "monoclinic": "2/m", "triclinic": "1"}


def seed_project(project: Any, histogram: Any, result: dict[str, Any], *, keep: int, note: str) -> list[Any]:
    """Add the lines, the unit cells, a phase per kept candidate and a notebook entry.

    Parameters
    ----------
    project, histogram : a G2Project and a G2PwdrData in it. Lists that hold something already stay as they are.
    result : an IndexingResult as dictionary.
    keep : number of candidates that become phases.
    note : text for the notebook.

    Returns
    -------
    The new G2Phase objects; the first is in use, the others wait.
    """
    candidates = result["candidates"][:keep]
    if result.get("peaks"):
        _add_lines(histogram, result["peaks"])
    if candidates and not histogram.data["Unit Cells List"]:
        histogram.data["Unit Cells List"] = _unit_cells(candidates)
    phases = []
    names = phase_names(project, histogram, len(candidates))
    for rank, (name, candidate) in enumerate(zip(names, candidates, strict=True), start=1):
        phase = project.add_phase(
            phasename=name,
            spacegroup=candidate["space_group_symbol"],
            cell=list(candidate["cell"]),
            histograms=[histogram],
        )
        phase.data["Histograms"][histogram.name]["Use"] = rank == 1
        phases.append(phase)
    project.data["Notebook"]["data"].append(note)
    return phases


def phase_names(project: Any, histogram: Any, count: int) -> list[str]:
    """Names for new phases: candidate_1 ..., followed by the histogram's name where the project has several.

    Names in use already would be changed by GSAS-II, number by number; so all get another ending then.
    """
    short = re.sub(r"\.\w+( Bank 1)?$", "", histogram.name.removeprefix("PWDR "))
    short = re.sub(r"[^A-Za-z0-9.-]+", "_", short).strip("_") or "histogram"
    endings = ["_" + short, *(f"_{short}-{number}" for number in range(2, 1000))]
    if len(project.histograms()) == 1:
        endings.insert(0, "")
    taken = {phase.name for phase in project.phases()}
    for ending in endings:
        names = [f"candidate_{rank}{ending}" for rank in range(1, count + 1)]
        if taken.isdisjoint(names):
            return names
    raise ValueError(f"the project holds candidates of {histogram.name} a thousand times")


def keep_every_point(histogram: Any, intensity: np.ndarray, esd: np.ndarray) -> None:
    """Give back the points at or below zero, which GSAS-II's xye reader sets to 0 with a weight of 0."""
    columns = histogram.data["data"][1]
    columns[1] = np.array(intensity, dtype=float)
    columns[2] = 1 / np.square(np.array(esd, dtype=float))


def label_lines(histogram: Any, phase: Any, peaks: dict[str, Any]) -> None:
    """Write the indices of the phase's reflections beside the lines that were seeded, where one lies near enough.

    Near means within half the line's width; the phase must have been fitted. A list that is not ours stays.
    """
    rows = histogram.data["Index Peak List"][0]
    reflections = np.array(histogram.data["Reflection Lists"][phase.name]["RefList"])
    if len(rows) != len(peaks["two_theta"]) or len(reflections) == 0:
        return
    for row, two_theta, fwhm in zip(rows, peaks["two_theta"], peaks["fwhm"], strict=True):
        nearest = reflections[np.argmin(np.abs(reflections[:, 5] - two_theta))]
        if row[0] == two_theta and abs(nearest[5] - two_theta) <= fwhm / 2:
            row[3:7] = [True, *(int(index) for index in nearest[:3])]
            row[8] = float(nearest[4])


def volume_of_cell(cell: Sequence[float]) -> float:
    """Volume in Å³ of a cell in Å and degrees; NaN for impossible angles."""
    a, b, c, *angles = cell
    ca, cb, cg = (math.cos(math.radians(angle)) for angle in angles)
    square = 1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg
    return a * b * c * math.sqrt(square) if square > 0 else math.nan


def bravais_of_candidate(candidate: dict[str, Any]) -> str:
    """GSAS-II's name of a candidate's lattice: ``Pmmm`` for P n m a, ``R3-H`` for R -3 m."""
    centring = candidate["space_group_symbol"][0]
    return "R3-H" if centring == "R" else centring + _TAIL.get(candidate["crystal_system"], "6/mmm")


def _add_lines(histogram: Any, peaks: dict[str, Any]) -> None:
    two_theta, area = np.array(peaks["two_theta"]), np.array(peaks["area"])
    if not histogram.data["Peak List"]["peaks"]:
        doublet = histogram.data["Instrument Parameters"][0].get("I(L2)/I(L1)", (0.0, 0.0))[1]
        for position, counts in zip(two_theta, 100 * area / (1 + doublet), strict=True):
            histogram.add_peak(float(counts), ttheta=float(position))  # Kα1 alone, in counts times 0.01 degrees
    if not any(histogram.data["Index Peak List"]):
        spacing = peaks["wavelength"] / (2 * np.sin(np.radians(two_theta / 2)))
        rows = [
            [float(position), float(counts), True, False, 0, 0, 0, float(d), 0.0]
            for position, counts, d in zip(two_theta, area, spacing, strict=True)
        ]
        histogram.data["Index Peak List"] = [rows, [float(esd) for esd in peaks["two_theta_esd"]]]


def _unit_cells(candidates: Sequence[dict[str, Any]]) -> list[Any]:
    rows = [
        [c["m20"] or 0.0, len(c["unindexed"]), BRAVAIS.index(bravais_of_candidate(c)), *c["cell"]]
        + [volume_of_cell(c["cell"]), False, False]
        for c in candidates
    ]
    first = candidates[0]
    lattice = bravais_of_candidate(first)
    controls = [0, first["zero_shift"], 4, 25.0, 1, lattice, *first["cell"], volume_of_cell(first["cell"])]
    shortest = 0.5
    return [[*controls, first["space_group_symbol"], []], [n == lattice for n in BRAVAIS], rows, shortest, {}, []]
