"""The control: before a project is touched, a short Le Bail fit of every kept candidate and of random cells beside it.

A low Rwp alone tells little: Le Bail intensities are free, so that any cell with reflections enough fits. So the same
recipe (W, cell, zero or displacement; the same background, points, cycles and starting widths) runs, in scratch
projects, on the kept candidates and on a null: cells drawn at random, in which what symmetry makes alike in the first
candidate stays alike. They have the volume of the first candidate (but for a cubic cell, whose edge is its volume) and
its space group, absences included: with the bare lattice's group they would have more reflections and an easier fit.
So they have about as many reflections as the first candidate, and the only difference is where they lie. The best of
three draws counts, or the background alone, which leaves less than a cell that is all wrong. All Rwp here are of the
points within a width of the found lines: between them, Le Bail intensities gather noise, the right cell's too.

Supercells and groups of fewer absences fit at least as well as the true answer: the number of reflections stands
beside each Rwp, and of two answers that fit alike, the one with fewer says more. Method: Le Bail, Duroy & Fourquet,
Mater. Res. Bull. 23 (1988) 447.
"""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.gsasii.transactions import scratch_copy
from alphadiffract_plugin.recipes.lebail_recipe import FAR
from alphadiffract_plugin.recipes.lebail_start import prepare
from alphadiffract_plugin.recipes.lebail_steps import Fit, FitFailed
from alphadiffract_plugin.recipes.project_recipe import volume_of_cell
from alphadiffract_plugin.records import Candidate, Cell, ControlFit, IndexingResult, RandomCellControl

LINES = 30
"""The fits end behind so many measured lines ..."""

REFLECTIONS = 80
"""... or where the first candidate has so many reflections."""

MOST = 400
"""A rival with more reflections in that range is not fitted: it would fit anything, and take its time."""

DRAWS = 3
"""Random cells."""

CYCLES = 1
"""Least-squares cycles a step."""

POINTS = 6
"""Points in the width of a line that are enough; from a finer pattern every second, third, ... is taken."""

ALIKE = 1.1
"""Two candidates fit alike if their Rwp differ by a smaller factor."""

UNLIKE = 0.03
"""Some edge of a random cell, sorted by length, differs by at least this fraction from the candidate's."""


def random_cell_control(histogram: Any, result: IndexingResult, keep: int, random_seed: int) -> RandomCellControl:
    """Fit the first ``keep`` candidates and the random cells in scratch projects; nothing of the user's is touched.

    Parameters
    ----------
    histogram : a G2PwdrData of an open project; its instrument, limits and excluded regions are kept to.
    result : whose candidates have cells, see ``seed_common.seedable``.
    keep : number of candidates.
    random_seed : of the random cells, and of GSAS-II's first intensities.
    """
    candidates = result.candidates[:keep]
    first = candidates[0]
    limits = _range(histogram, result, first)
    generator = np.random.default_rng(random_seed)
    drawn = [dataclasses.replace(first, cell=another_cell(first.cell, generator)) for _ in range(DRAWS)]
    short_fit = _ShortFit(histogram, result, limits, random_seed)
    lines = tuple(short_fit.line(f"candidate {rank}", one) for rank, one in enumerate(candidates, start=1))
    nulls = tuple(short_fit.line(f"random cell {number}", one) for number, one in enumerate(drawn, start=1))
    made = RandomCellControl(lines, nulls, limits, short_fit.background, short_fit.noise, ())
    return dataclasses.replace(made, verdict=tuple(_verdict(made)))


def another_cell(cell: Cell, generator: np.random.Generator) -> Cell:
    """A random cell with the volume of this one, in which lengths and angles alike stay alike, and 90 and 120 stay.

    Edges differ by factors up to 1.7 against each other, oblique angles lie between 75 and 115 degrees. Where one
    length alone is free, the volume changes by 9 to 25 %.
    """
    lengths, angles = np.array(cell[:3]), np.array(cell[3:])
    _, length_of = np.unique(np.round(lengths, 6), return_inverse=True)
    _, angle_of = np.unique(np.round(angles, 6), return_inverse=True)
    oblique = ~np.isin(np.round(angles, 6), (90.0, 120.0))
    while True:
        edges = lengths * np.exp(generator.uniform(-0.25, 0.25, 3))[length_of]
        turned = np.where(oblique, generator.uniform(75, 115, 3)[angle_of], angles)
        volume = volume_of_cell((*edges, *turned))
        if not volume > 0.3 * edges.prod():
            continue
        wanted = volume_of_cell(cell)
        if length_of.max() == 0:
            wanted *= math.exp(generator.choice((-1, 1)) * generator.uniform(0.09, 0.25))
        edges *= (wanted / volume) ** (1 / 3)
        if np.abs(np.log(np.sort(edges) / np.sort(lengths))).max() >= UNLIKE * (length_of.max() > 0):
            return tuple(float(value) for value in (*edges, *turned))


def _range(histogram: Any, result: IndexingResult, first: Candidate) -> tuple[float, float]:
    """Where the short fits begin and end, in degrees; see ``LINES`` and ``REFLECTIONS``."""
    low, high = (float(value) for value in histogram.data["Limits"][1])
    if result.peaks is not None and (inside := result.peaks.two_theta[result.peaks.two_theta > low]).size > LINES:
        high = min(high, float(inside[LINES - 1 : LINES + 1].mean()))
    positions = _positions(first, result.wavelength, low, high)
    if len(positions) > REFLECTIONS:
        high = float(positions[REFLECTIONS - 1 : REFLECTIONS + 1].mean())
    return low, high


def _positions(candidate: Candidate, wavelength: float, low: float, high: float) -> np.ndarray:
    """two_theta in degrees of a candidate's distinct reflections within a range."""
    farthest = (2 * math.sin(math.radians(high / 2)) / wavelength) ** 2
    lines = crystal.allowed_inv_d2(candidate.cell, candidate.space_group, farthest)
    positions = crystal.two_theta_from_inv_d2(lines, wavelength)
    return positions[(positions >= low) & (positions <= high)]


class _ShortFit:
    """The short fit, the same for every cell."""

    def __init__(self, histogram: Any, result: IndexingResult, limits: tuple[float, float], random_seed: int) -> None:
        self.histogram, self.wavelength, self.limits, self.seed = histogram, result.wavelength, limits, random_seed
        self.peaks = None if result.peaks is None else result.peaks.to_dict()
        self.background, self.noise = 100.0, 0.0  # until a fit begins

    def line(self, name: str, candidate: Candidate) -> ControlFit:
        """Fit one cell."""
        count = len(_positions(candidate, self.wavelength, *self.limits))
        rwp = math.nan if count > MOST else self.rwp(candidate)
        return ControlFit(name, candidate.space_group_symbol, candidate.cell, count, rwp)

    def rwp(self, candidate: Candidate) -> float:
        """Least Rwp in per cent of the steps, at most 100."""
        state = random.getstate()
        random.seed(self.seed)
        try:
            with tempfile.TemporaryDirectory() as folder, installation.quiet():
                project = installation.scriptable().G2Project(newgpx=str(Path(folder) / "control.gpx"))
                histogram = scratch_copy(project, self.histogram)
                self.shorten(histogram)
                phase = project.add_phase(
                    phasename="short",
                    spacegroup=candidate.space_group_symbol,
                    cell=list(candidate.cell),
                    histograms=[histogram],
                )
                fit = Fit(project, histogram, phase, installation.refine_function(), CYCLES, "sample")
                prepare(fit, candidate.zero_shift + candidate.displacement, self.peaks)
                return self.run(fit)
        finally:
            random.setstate(state)

    def shorten(self, histogram: Any) -> None:
        """Keep to the range, and to as many points as the lines need."""
        histogram.data["Limits"][1] = list(self.limits)
        if self.peaks and self.peaks["fwhm"]:
            columns = histogram.data["data"][1]
            points = np.median(self.peaks["fwhm"]) / np.median(np.diff(columns[0]))
            columns[:] = [column[:: max(1, int(points / POINTS))] for column in columns]

    def run(self, fit: Fit) -> float:
        """The steps; Le Bail intensities follow with a delay, so that the last step need not be the best."""
        try:
            fit.make_reflections()
            self.background, self.noise = fit.line_rwp(self.peaks)  # the first intensities are next to nothing
            fit.advance("intensities", cycles=0)
        except FitFailed:
            return 100.0
        fit.keep()
        least = fit.line_rwp(self.peaks)[0]
        for what in ("W", "cell", "displacement" if "Shift" in fit.sample else "zero"):
            if fit.step(what, worse=FAR):
                least = min(least, fit.line_rwp(self.peaks)[0])
        return min(least, 100.0)


def _verdict(control: RandomCellControl) -> list[str]:
    first, *rivals = control.candidates
    tried = [line.rwp for line in control.random_cells if not math.isnan(line.rwp)]
    best = f"the best of {len(tried)} random cells of its kind {min(tried):.1f} %, " if tried else ""
    beside = f"it leaves Rwp {first.rwp:.1f} %, {best}no cell at all {control.background_rwp:.1f} %."
    if control.beats_random:
        said = [f"{first.name} fits far better than chance, as a right cell must and a wrong one may: {beside}"]
    else:
        said = [f"{first.name} does NOT fit clearly better than chance, so do not trust its cell for this: {beside}"]
    fitted = [line for line in rivals if not math.isnan(line.rwp)]
    better = [line for line in fitted if line.rwp * ALIKE < first.rwp]
    alike = [line for line in fitted if first.rwp / ALIKE <= line.rwp <= first.rwp * ALIKE]
    worse = [line for line in fitted if line.rwp > first.rwp * ALIKE]
    for line in better:
        more = line.reflections - first.reflections
        why = (
            f"with {more} reflections more, which alone makes a fit better" if more > 0 else "without more reflections"
        )
        said.append(f"{line.name} fits better (Rwp {line.rwp:.1f} %), {why}.")
    if alike:
        names = ", ".join(f"{line.name} ({line.reflections})" for line in alike)
        said.append(
            f"This fit does not tell it ({first.reflections} reflections) from {names}; of answers that fit alike, "
            "prefer the one with the fewest reflections; their order comes from absences and intensities."
        )
    if worse:
        least = min(worse, key=lambda line: line.rwp)
        said.append(f"It beats {len(worse)} of {len(rivals)} rivals; the best of those leaves {least.rwp:.1f} %.")
    return said
