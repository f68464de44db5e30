"""GSAS-II's own indexing of our lines, for comparison: its search in a process of its own, under a time limit.

GSAS-II (``GSASIIindex.DoIndexPeaks``: random starts, one Bravais lattice after the other) is called as its window calls
it when every lattice is ticked: 4 calculated lines per observed one, volumes from 25 Å³, M20 divided by 2, 3, ... for
lines left out. It searches without a zero shift, which GSAS-II refines with each cell afterwards. Three things differ
from the window: it gets only the 20 lowest lines, and none below 1 % of the strongest one's area; settings of a lattice
that GSAS-II lists twice are left out; and the time is divided among the lattices. The window ranks cells by a figure
that does not count calculated lines, so that supercells win; here they are ranked by de Wolff's M20. Time is processor
time, so that a busy machine finds the same cells as an idle one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import subprocess
import sys
import threading
import time
from typing import Any, TextIO

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.indexing.merit import merit_of_lines
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.recipes.project_recipe import BRAVAIS
from alphadiffract_plugin.recipes.recipe_records import cell_from_numbers
from alphadiffract_plugin.records import Candidate, Cell, Histogram, IndexingResult, Peaks
from alphadiffract_plugin.settings import Settings

LATTICES = {
    "Fm3m": 225, "Im3m": 229, "Pm3m": 221, "R3-H": 166, "P6/mmm": 191, "I4/mmm": 139, "P4/mmm": 123,
    "Fmmm": 69, "Immm": 71, "Cmmm": 65, "Pmmm": 47, "C2/m": 12, "P2/m": 10, "P1": 2,
}  # fmt: skip
"""The fourteen Bravais lattices by GSAS-II's names and in its order, each with its space group of highest symmetry. The
other four that GSAS-II lists (A, B orthorhombic; A, I monoclinic) are settings of these."""

FEWEST = 7
"""Fewest lines: GSAS-II reads the seventh line without asking whether there is one."""

WEAK = 0.01
"""Lines whose area is below this fraction of the largest area are left out."""

TOLERANCE = 0.03
"""A line is explained if it lies within this number of degrees, or three esds, of a calculated one."""

MOST_ZERO = 0.3
"""Largest zero shift in degrees that is accepted."""

SECONDS = 60.0
"""Seconds that the search may take where the settings set no limit: GSAS-II's search has no other end."""

LEAST_SECONDS = 0.2
"""No lattice is begun with less time left than this."""

START_SECONDS = 15
"""Time for Python and GSAS-II to start, in addition to that of the search."""

PATIENCE = 10
"""The process is ended when this number of times its processor time has passed: the machine is too busy then."""


def index(histogram: Histogram, settings: Settings) -> IndexingResult:
    """Cells that GSAS-II finds for the lowest lines, the best M20 first, with the highest space group of their lattice.

    Raises
    ------
    PeaksError : too few lines stand above the noise.
    GSASIIError : GSAS-II is not there, or its process fails.
    """
    found = installation.find()
    if found is None:
        raise installation.missing()
    start = time.perf_counter()
    peaks = find_peaks(histogram, settings.peaks)
    picked = time.perf_counter()
    used = _clear_lines(peaks, settings.search.lines)
    notes = ["GSAS-II's indexing tests no extinctions; each space group is the highest one of its lattice."]
    rows: list[list[float]] = []
    if len(used) < FEWEST:
        notes.append(f"GSAS-II needs {FEWEST} lines; {len(used)} were found.")
    else:
        rows, left_out = _search(used, settings, found)
        if left_out:
            notes.append(
                f"GSAS-II stalled, or its {limit(settings):g} s were over, before it had searched "
                f"{', '.join(left_out)}."
            )
    return IndexingResult(
        histogram=histogram.name,
        indexer="gsasii",
        wavelength=histogram.wavelength,
        candidates=_ranked(rows, used, settings),
        peaks=used,
        notes=tuple(notes),
        settings=settings.to_dict(),
        versions={"GSAS-II": found.version, "numpy": np.__version__},
        timings={"find_peaks": picked - start, "search_cells": time.perf_counter() - picked},
    )


def limit(settings: Settings) -> float:
    """Seconds that the search may take."""
    return SECONDS if settings.search.seconds is None else settings.search.seconds


def _clear_lines(peaks: Peaks, most: int) -> Peaks:
    """The lowest lines without the weakest: GSAS-II's search fails if one line does not belong to the cell."""
    keep = np.flatnonzero(peaks.area > WEAK * peaks.area.max())[:most]
    names = ("two_theta", "two_theta_esd", "area", "fwhm", "significance")
    return dataclasses.replace(peaks, **{name: getattr(peaks, name)[keep] for name in names})


def _search(peaks: Peaks, settings: Settings, found: installation.Installation) -> tuple[list[list[float]], list[str]]:
    """Rows (index of the lattice, a, b, c, alpha, beta, gamma, zero shift), and the lattices that were not finished."""
    task = {
        "two_theta": peaks.two_theta.tolist(),
        "area": peaks.area.tolist(),
        "wavelength": peaks.wavelength,
        "seed": settings.random_seed,
    }
    names, rows, left_out, seconds = list(LATTICES), [], [], limit(settings)
    while names and seconds > LEAST_SECONDS:
        answers = _ask(task | {"seconds": seconds, "lattices": names}, found)
        rows += [row for _, cells in answers for row in cells or ()]
        tried, names = names[: len(answers)], names[len(answers) :]
        if not answers or answers[-1][1] is not None:
            break
        left_out += tried[-1:]  # GSAS-II stalled in it; go on behind it
        seconds -= answers[-1][0]
    return rows, left_out + names


def _ask(task: dict[str, Any], found: installation.Installation) -> list[list[Any]]:
    """Give a task to a process of its own; returns its answers, one per lattice.

    An answer is the seconds used until then, and the rows; None in place of rows where the search stalled or was ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "alphadiffract_plugin.gsasii.indexer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {installation.FOLDER_VARIABLE: str(found.folder)},
    )
    try:
        out, fault = process.communicate(json.dumps(task), timeout=PATIENCE * task["seconds"] + START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, fault = process.communicate()
    if process.returncode == 1:
        reason = (fault.strip().splitlines() or ["no message"])[-1]
        raise GSASIIError(
            f"GSAS-II's indexing failed: {reason}", fix="choose another indexer, such as `--indexer alphadiffract`"
        )
    answers = [json.loads(line) for line in out.splitlines() if line.endswith("]")]
    return answers if process.returncode == 0 else [*answers, [task["seconds"], None]]


def _ranked(rows: list[list[float]], peaks: Peaks, settings: Settings) -> tuple[Candidate, ...]:
    """Those cells that leave no more lines unexplained than the settings allow, the best first.

    They are ranked by M20, halved for each unexplained line. GSAS-II gives no probability; so each cell gets its share
    of these figures.
    """
    distinct: list[Candidate] = []
    for lattice, *numbers, zero_shift in rows:
        group = LATTICES[BRAVAIS[int(lattice)]]
        if crystal.crystal_system_from_space_group(group) == "orthorhombic":
            axes = 2 if group == 65 else 3  # the same lattice comes with its axes in any order
            numbers[:axes] = sorted(numbers[:axes])
        if not any(c.space_group == group and np.allclose(c.cell, numbers, rtol=1e-3) for c in distinct):
            distinct.append(_candidate(group, cell_from_numbers(numbers), zero_shift, peaks))
    allowed = [c for c in distinct if len(c.unindexed) <= settings.search.impurities]
    worth = {id(c): c.m20 / 2 ** len(c.unindexed) for c in allowed}
    total = sum(worth.values()) or 1.0
    allowed.sort(key=lambda c: -worth[id(c)])
    return tuple(dataclasses.replace(c, probability=worth[id(c)] / total) for c in allowed[: settings.rank.keep])


def _candidate(group: int, cell: Cell, zero_shift: float, peaks: Peaks) -> Candidate:
    """A cell with its figures of merit for these lines; its probability is set later."""
    two_theta = peaks.two_theta - zero_shift
    tolerance = np.maximum(3 * peaks.two_theta_esd, TOLERANCE)
    lines = crystal.allowed_inv_d2(cell, group, 1.05 * float(peaks.inv_d2[-1]))
    merit = merit_of_lines(
        observed_two_theta=two_theta, calculated_inv_d2=lines, wavelength=peaks.wavelength, tolerance=tolerance
    )
    angles = crystal.two_theta_from_inv_d2(lines, peaks.wavelength)
    off = np.abs(two_theta[:, None] - angles[None]).min(axis=1, initial=180.0, where=np.isfinite(angles)[None])
    return Candidate.of_group(
        group,
        cell=cell,
        cell_esd=crystal.NO_CELL,
        probability=0.0,
        same_extinctions=(group,),
        m20=merit.m20,
        f20=merit.f20,
        lines_used=merit.lines_used,
        unindexed=tuple(peaks.two_theta[off > tolerance].tolist()),
        zero_shift=zero_shift,
        origin="search",
    )


def _work(task: dict[str, Any]) -> None:
    """Search lattice by lattice, from cubic to triclinic, and print for each the seconds used and the cells as JSON."""
    search, out = installation.module("GSASIIindex").DoIndexPeaks, sys.stdout
    lines = [
        [two_theta, area, True, False, 0, 0, 0, float(crystal.d_from_two_theta(two_theta, task["wavelength"])), 0.0]
        for two_theta, area in zip(task["two_theta"], task["area"], strict=True)
    ]
    random.seed(task["seed"])
    clock = _Clock(out)
    threading.Thread(target=clock.guard, daemon=True).start()
    for done, name in enumerate(task["lattices"]):
        left = task["seconds"] - clock.used
        if left < LEAST_SECONDS:
            return
        clock.allow(left / (len(task["lattices"]) - done))
        with installation.quiet():
            flags = [lattice == name for lattice in BRAVAIS]
            cells = search(lines, [0, 0.0, 4, 25.0], flags, clock)[2]
            rows = [_with_zero(cell, lines, task["wavelength"]) for cell in cells]
        print(json.dumps([clock.used, rows]), file=out, flush=True)


class _Clock:
    """Takes the place of GSAS-II's progress dialog, and cancels the search when its processor time is used up."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.began = out, time.process_time()
        self.end = self.last = math.inf

    @property
    def used(self) -> float:
        """Seconds of processor time since the search began."""
        return time.process_time() - self.began

    def allow(self, seconds: float) -> None:
        """Set the time for the next lattice. When twice as much is used, the guard ends the process."""
        self.end, self.last = self.used + seconds, self.used + 2 * seconds + 1

    def guard(self) -> None:
        """End the process where GSAS-II is in a loop that cannot be cancelled."""
        while self.used < self.last:
            time.sleep(0.1)
        print(json.dumps([self.used, None]), file=self.out, flush=True)
        os._exit(0)

    def Raise(self) -> None:  # noqa: N802 (GSAS-II's name)
        """Do nothing: there is no window."""

    def Update(self, *_: Any, **__: Any) -> tuple[bool, bool]:  # noqa: N802
        """Whether to continue, and whether to skip; GSAS-II calls this before every trial cell."""
        return self.used < self.end, False


def _with_zero(found: list[Any], lines: list[list[Any]], wavelength: float) -> list[float]:
    """A cell of the search, refined on its lines by GSAS-II together with a zero shift, as a row for the parent.

    If the cell of the search explains more lines than the refined one, it is returned with a zero shift of 0.
    """
    indexing, lattices = installation.module("GSASIIindex"), installation.module("GSASIIlattice")
    lattice, cell = found[2], found[3:9]
    metric = lattices.cell2A(cell)

    def reflections(metric: Any) -> list[Any]:
        return list(lattices.GenHBravais(lines[-1][7] - 0.005, lattice, metric))

    def explained(metric: Any, zero_shift: float) -> int:
        inv_d2 = np.array([row[3] for row in reflections(metric)], dtype=float) ** -2
        angles = crystal.two_theta_from_inv_d2(inv_d2, wavelength)
        observed = np.array([line[0] for line in lines]) - zero_shift
        distance = np.abs(observed[:, None] - angles[np.isfinite(angles)]).min(1, initial=180.0)
        return int((distance < TOLERANCE).sum())

    indexed = [line for line in indexing.IndexPeaks([list(line) for line in lines], reflections(metric))[1] if line[3]]
    if len(indexed) >= FEWEST:
        _, _, _, better, zero_shift = indexing.refinePeaksZ(indexed, wavelength, lattice, metric, 0.0, True)
        refined = lattices.A2cell(better)
        near = abs(zero_shift) < MOST_ZERO and np.allclose(refined, cell, rtol=0.01)
        if near and explained(better, zero_shift) >= explained(metric, 0.0):
            return [lattice, *map(float, refined), float(zero_shift)]
    return [lattice, *map(float, cell), 0.0]


if __name__ == "__main__":
    _work(json.load(sys.stdin))
