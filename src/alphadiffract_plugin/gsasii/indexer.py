"""GSAS-II's own indexing of our lines, as a peer: its search in a process of its own, under a time limit.

GSAS-II (``GSASIIindex.DoIndexPeaks``: random starts, one Bravais lattice after the other) is asked as its window asks
when every lattice is ticked: 4 calculated lines an observed one, volumes from 25 Å³, M20 halved, thirded, ... for
lines left out. It searches without a zero shift, which is refined with each cell afterwards, by GSAS-II too. Three
things differ from the window: only the 20 lowest lines are given, and none below 1 % of the strongest one's area; the
settings of a lattice that GSAS-II lists twice are left out; and time is shared out among the lattices. The window
shows cells by a figure that does not count calculated lines, so that supercells win; here they are ranked by de
Wolff's M20. Time is that of the processor, so that a busy machine finds what an idle one does.
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
from alphadiffract_plugin.records import Candidate, Cell, Histogram, IndexingResult, Peaks
from alphadiffract_plugin.settings import Settings

LATTICES = {
    "Fm3m": 225, "Im3m": 229, "Pm3m": 221, "R3-H": 166, "P6/mmm": 191, "I4/mmm": 139, "P4/mmm": 123,
    "Fmmm": 69, "Immm": 71, "Cmmm": 65, "Pmmm": 47, "C2/m": 12, "P2/m": 10, "P1": 2,
}  # fmt: skip
"""The fourteen Bravais lattices in GSAS-II's names and order, each with its space group of highest symmetry; the other
four that GSAS-II lists (A, B orthorhombic; A, I monoclinic) are settings of these."""

FEWEST = 7
"""GSAS-II looks at the seventh line whatever it is given."""

WEAK = 0.01
"""Lines of a smaller part of the strongest one's area are left out."""

TOLERANCE = 0.03
"""A line within so many degrees of a calculated one is explained, or within three esds."""

MOST_ZERO = 0.3
"""Largest zero shift in degrees that is believed."""

LEAST_SECONDS = 0.2
"""With less time left no lattice is begun."""

START_SECONDS = 15
"""Allowed for Python and GSAS-II to start, beyond the seconds of the search."""

PATIENCE = 10
"""A machine that gives the search less than a part in so many of its time is not waited for."""


def index(histogram: Histogram, settings: Settings) -> IndexingResult:
    """Cells that GSAS-II finds for the lowest lines, the best M20 first, with the space group of the bare lattice.

    Raises
    ------
    PeaksError : too few lines stand above the noise.
    GSASIIError : GSAS-II is not there, or its process fails.
    """
    found = installation.find()
    if found is None:
        installation.scriptable()
    start = time.perf_counter()
    peaks = find_peaks(histogram, settings.peaks)
    picked = time.perf_counter()
    used = _clear_lines(peaks, settings.search.lines)
    notes = ["GSAS-II's indexing tests no extinctions: each space group is the highest one of its lattice."]
    rows: list[list[float]] = []
    if len(used) < FEWEST:
        notes.append(f"GSAS-II needs {FEWEST} lines; {len(used)} were found.")
    else:
        rows, left_out = _search(used, settings, found)
        if left_out:
            notes.append(f"GSAS-II stalled, or its {settings.search.seconds:g} s were over, at {', '.join(left_out)}.")
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


def _clear_lines(peaks: Peaks, most: int) -> Peaks:
    """The lowest lines that are no mere ripples: GSAS-II's search bears none that belong to no cell."""
    keep = np.flatnonzero(peaks.area > WEAK * peaks.area.max())[:most]
    names = ("two_theta", "two_theta_esd", "area", "fwhm", "significance")
    return dataclasses.replace(peaks, **{name: getattr(peaks, name)[keep] for name in names})


def _search(peaks: Peaks, settings: Settings, found: installation.Installation) -> tuple[list[list[float]], list[str]]:
    """Rows (number of the lattice, a, b, c, alpha, beta, gamma, zero shift), and the lattices not searched."""
    task = {
        "two_theta": peaks.two_theta.tolist(),
        "area": peaks.area.tolist(),
        "wavelength": peaks.wavelength,
        "seed": settings.random_seed,
    }
    names, rows, left_out, seconds = list(LATTICES), [], [], settings.search.seconds
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
    """What a process of its own answers to a task, as far as it came.

    For each lattice the seconds used until then, and its rows; None for rows where the search stalled or was killed.
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
        raise GSASIIError(f"GSAS-II's indexing failed: {reason}", fix="choose another --indexer")
    answers = [json.loads(line) for line in out.splitlines() if line.endswith("]")]
    return answers if process.returncode == 0 else [*answers, [task["seconds"], None]]


def _ranked(rows: list[list[float]], peaks: Peaks, settings: Settings) -> tuple[Candidate, ...]:
    """Those cells that leave no more lines unexplained than the settings allow, the best first.

    Their order is that of M20, halved for each line left unexplained; GSAS-II offers no probability, so each cell has
    its share of these figures as probability.
    """
    judged: list[Candidate] = []
    for lattice, *cell, zero_shift in rows:
        group = LATTICES[BRAVAIS[int(lattice)]]
        if crystal.crystal_system_from_space_group(group) == "orthorhombic":
            axes = 2 if group == 65 else 3  # the same lattice comes with its axes in any order
            cell[:axes] = sorted(cell[:axes])
        if not any(c.space_group == group and np.allclose(c.cell, cell, rtol=1e-3) for c in judged):
            judged.append(_judged(group, tuple(cell), zero_shift, peaks))
    allowed = [c for c in judged if len(c.unindexed) <= settings.search.impurities]
    worth = {id(c): c.m20 / 2 ** len(c.unindexed) for c in allowed}
    total = sum(worth.values()) or 1.0
    allowed.sort(key=lambda c: -worth[id(c)])
    return tuple(dataclasses.replace(c, probability=worth[id(c)] / total) for c in allowed[: settings.rank.keep])


def _judged(group: int, cell: Cell, zero_shift: float, peaks: Peaks) -> Candidate:
    """A cell with its figures of merit over these lines."""
    two_theta = peaks.two_theta - zero_shift
    tolerance = np.maximum(3 * peaks.two_theta_esd, TOLERANCE)
    lines = crystal.allowed_inv_d2(cell, group, 1.05 * float(peaks.inv_d2[-1]))
    merit = merit_of_lines(
        observed_two_theta=two_theta, calculated_inv_d2=lines, wavelength=peaks.wavelength, tolerance=tolerance
    )
    angles = crystal.two_theta_from_inv_d2(lines, peaks.wavelength)
    off = np.abs(two_theta[:, None] - angles[None]).min(axis=1, initial=180.0, where=np.isfinite(angles)[None])
    return Candidate(
        cell=cell,
        cell_esd=(math.nan,) * 6,
        space_group=group,
        space_group_symbol=crystal.symbol_from_space_group(group),
        crystal_system=crystal.crystal_system_from_space_group(group),
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
    """Search lattice by lattice, from cubic to triclinic; print seconds used and cells of each as one line of JSON."""
    search, out = installation.module("GSASIIindex").DoIndexPeaks, sys.stdout
    lines = [
        [two_theta, area, True, False, 0, 0, 0, task["wavelength"] / (2 * math.sin(math.radians(two_theta / 2))), 0.0]
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
    """Stands where GSAS-II expects its progress dialog, and says Cancel when the processor time is up."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.began = out, time.process_time()
        self.end = self.last = math.inf

    @property
    def used(self) -> float:
        """Seconds of processor time since the search began."""
        return time.process_time() - self.began

    def allow(self, seconds: float) -> None:
        """Set the time for the next lattice; twice as much, and the guard ends the process."""
        self.end, self.last = self.used + seconds, self.used + 2 * seconds + 1

    def guard(self) -> None:
        """End the process where GSAS-II is in one of its loops that no Cancel ends."""
        while self.used < self.last:
            time.sleep(0.1)
        print(json.dumps([self.used, None]), file=self.out, flush=True)
        os._exit(0)

    def Raise(self) -> None:  # noqa: N802 (GSAS-II's name)
        """There is no window to raise."""

    def Update(self, *_: Any, **__: Any) -> tuple[bool, bool]:  # noqa: N802
        """Whether to go on, and whether to skip; called before every trial cell."""
        return self.used < self.end, False


def _with_zero(found: list[Any], lines: list[list[Any]], wavelength: float) -> list[float]:
    """A cell refined on its lines by GSAS-II, with a zero shift, which its search has not: a row for the parent.

    The cell stays as the search left it where that explains more lines.
    """
    indexing, lattices = installation.module("GSASIIindex"), installation.module("GSASIIlattice")
    lattice, cell = found[2], found[3:9]
    metric = lattices.cell2A(cell)

    def reflections(metric: Any) -> list[Any]:
        return lattices.GenHBravais(lines[-1][7] - 0.005, lattice, metric)

    def explained(metric: Any, zero_shift: float) -> int:
        sine = wavelength / 2 / np.array([row[3] for row in reflections(metric)] or [np.inf])
        angles = 2 * np.degrees(np.arcsin(np.minimum(sine, 1)))
        observed = np.array([line[0] for line in lines]) - zero_shift
        return int((np.abs(observed[:, None] - angles).min(1) < TOLERANCE).sum())

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
