"""The random-cell control: every kept candidate, and random cells beside it, in the same short Le Bail fit.

A low Rwp alone says little. Le Bail intensities are free, so that any cell with enough reflections fits. Therefore
the same recipe (W, cell, zero or displacement; with the same background, points, cycles and starting widths) runs in
scratch projects on the kept candidates and on cells drawn at random. A random cell has the volume of the first
candidate (except a cubic one, where the edge is the volume) and its space group; lengths and angles that symmetry makes
equal stay equal. So it has about as many reflections as the first candidate; with the space group of the bare lattice
it would have more, and a fit would be easier. The only difference is where the reflections lie. The best of three
random cells counts, or the background alone, which leaves less than a cell that is all wrong. All Rwp here are of the
points within a line width of the found lines: between them Le Bail intensities fit noise, with the right cell too.

Supercells and groups with fewer absences fit at least as well as the true answer. Therefore the number of reflections
stands beside each Rwp: of two answers that fit alike, the one with fewer reflections says more. Method: Le Bail, Duroy
& Fourquet, Mater. Res. Bull. 23 (1988) 447.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.gsasii.transactions import scratch_copy
from alphadiffract_plugin.output import scratch_folder
from alphadiffract_plugin.recipes.lebail_recipe import FAR, seeded
from alphadiffract_plugin.recipes.lebail_start import prepare
from alphadiffract_plugin.recipes.lebail_steps import FitFailed, LeBailFit
from alphadiffract_plugin.recipes.recipe_records import cell_from_numbers
from alphadiffract_plugin.records import Candidate, Cell, ControlFit, IndexingResult, RandomCellControl
from alphadiffract_plugin.seeding.answer import doubts_of_candidate, recipe_lines

LINES = 30
"""The fits end behind this number of found lines ..."""

REFLECTIONS = 80
"""... or where the first candidate has this number of reflections. Both limit the time of a fit."""

MOST_REFLECTIONS = 400
"""A candidate with more reflections in that range is not fitted: it would fit any pattern, and take long."""

DRAWS = 3
"""Number of random cells."""

CYCLES = 1
"""Least-squares cycles per step."""

POINTS = 6
"""Points per line width that are enough. Of a finer pattern every second, third, ... point is used."""

ALIKE = 1.1
"""Two candidates fit alike if their Rwp differ by a smaller factor."""

UNLIKE = 0.03
"""Some edge of a random cell, sorted by length, differs by at least this fraction from the candidate's: ten times the
0.3 % within which Le Bail in GSAS-II finds the right cell."""


def random_cell_control(histogram: Any, result: IndexingResult, keep: int, random_seed: int) -> RandomCellControl:
    """Fit the first ``keep`` candidates and the random cells in scratch projects; the user's project stays as it is.

    Parameters
    ----------
    histogram : a G2PwdrData of an open project; its instrument, limits and excluded regions apply.
    result : an answer whose candidates all have cells, see ``seeding.answer.seedable``.
    keep : number of candidates.
    random_seed : of the random cells, and of GSAS-II's first intensities.
    """
    candidates = result.candidates[:keep]
    first = candidates[0]
    limits = _range(histogram, result, first)
    generator = np.random.default_rng(random_seed)
    drawn = [dataclasses.replace(first, cell=another_cell(first.cell, generator)) for _ in range(DRAWS)]
    short_fit = _ShortFit(histogram, result, limits, random_seed)
    fits = tuple(short_fit.of_cell(f"candidate {rank}", one) for rank, one in enumerate(candidates, start=1))
    random_fits = tuple(short_fit.of_cell(f"random cell {number}", one) for number, one in enumerate(drawn, start=1))
    control = RandomCellControl(fits, random_fits, limits, short_fit.background, short_fit.noise, ())
    return dataclasses.replace(control, verdict=tuple(_verdict(control, doubts_of_candidate(first, result))))


def another_cell(cell: Cell, generator: np.random.Generator) -> Cell:
    """A random cell of the same volume. Equal lengths and angles stay equal, and angles of 90 and 120 degrees stay.

    The ratios of edges change by factors up to exp(0.5) = 1.65; oblique angles lie between 75 and 115 degrees. Where
    only one length is free, the volume changes by 9 to 25 %.
    """
    lengths, angles = np.array(cell[:3]), np.array(cell[3:])
    _, length_of = np.unique(np.round(lengths, 6), return_inverse=True)
    _, angle_of = np.unique(np.round(angles, 6), return_inverse=True)
    oblique = ~np.isin(np.round(angles, 6), (90.0, 120.0))
    while True:
        edges = lengths * np.exp(generator.uniform(-0.25, 0.25, 3))[length_of]
        turned = np.where(oblique, generator.uniform(75, 115, 3)[angle_of], angles)
        volume = float(crystal.volume_from_cell(np.append(edges, turned)))
        if not volume > 0.3 * edges.prod():
            continue
        wanted = float(crystal.volume_from_cell(cell))
        if length_of.max() == 0:
            wanted *= math.exp(generator.choice((-1, 1)) * generator.uniform(0.09, 0.25))
        edges *= (wanted / volume) ** (1 / 3)
        if np.abs(np.log(np.sort(edges) / np.sort(lengths))).max() >= UNLIKE * (length_of.max() > 0):
            return cell_from_numbers((*edges, *turned))


def _range(histogram: Any, result: IndexingResult, first: Candidate) -> tuple[float, float]:
    """Where the short fits begin and end, in degrees; see ``LINES`` and ``REFLECTIONS``."""
    low, high = (float(value) for value in histogram.data["Limits"][1])
    if result.peaks is not None and (inside := result.peaks.two_theta[result.peaks.two_theta > low]).size > LINES:
        high = min(high, float(inside[LINES - 1 : LINES + 1].mean()))
    positions = _positions(first, result.wavelength, low, high)
    if len(positions) > REFLECTIONS:
        high = float(positions[REFLECTIONS - 1 : REFLECTIONS + 1].mean())
    return low, high


def _positions(candidate: Candidate, wavelength: float, low: float, high: float) -> Floats:
    """two_theta in degrees of a candidate's distinct reflections within a range."""
    farthest = float(crystal.inv_d2_from_two_theta(high, wavelength))
    lines = crystal.allowed_inv_d2(candidate.cell, candidate.space_group, farthest)
    positions = crystal.two_theta_from_inv_d2(lines, wavelength)
    return positions[(positions >= low) & (positions <= high)]


class _ShortFit:
    """The short fit, the same for every cell."""

    def __init__(self, histogram: Any, result: IndexingResult, limits: tuple[float, float], random_seed: int) -> None:
        self.histogram, self.wavelength, self.limits, self.seed = histogram, result.wavelength, limits, random_seed
        self.lines = recipe_lines(result)
        self.background, self.noise = 100.0, 0.0  # until a fit begins

    def of_cell(self, name: str, candidate: Candidate) -> ControlFit:
        """Fit one cell, unless it has too many reflections."""
        count = len(_positions(candidate, self.wavelength, *self.limits))
        rwp = math.nan if count > MOST_REFLECTIONS else self.rwp(candidate)
        return ControlFit(name, candidate.space_group_symbol, candidate.cell, count, rwp)

    def rwp(self, candidate: Candidate) -> float:
        """Lowest Rwp in per cent of the steps, at most 100."""
        with seeded(self.seed), scratch_folder() as folder, installation.quiet():
            project = installation.scriptable().G2Project(newgpx=str(folder / "control.gpx"))
            histogram = scratch_copy(project, self.histogram)
            self.shorten(histogram)
            phase = project.add_phase(
                phasename="short",
                spacegroup=candidate.space_group_symbol,
                cell=list(candidate.cell),
                histograms=[histogram],
            )
            fit = LeBailFit(project, histogram, phase, installation.refine_function(), CYCLES, "sample")
            prepare(fit, candidate.zero_shift + candidate.displacement, self.lines)
            return self.run(fit)

    def shorten(self, histogram: Any) -> None:
        """Cut the histogram to the range, and to as many points as the line widths need."""
        histogram.data["Limits"][1] = list(self.limits)
        if self.lines is not None:
            columns = histogram.data["data"][1]
            points = np.median(self.lines.fwhm) / np.median(np.diff(columns[0]))
            columns[:] = [column[:: max(1, int(points / POINTS))] for column in columns]

    def run(self, fit: LeBailFit) -> float:
        """Run the steps. Le Bail intensities follow with a delay, so that the last step need not be the best."""
        try:
            fit.make_reflections()
            self.background, self.noise = fit.line_rwp(self.lines)  # the first intensities are next to nothing
            fit.advance("intensities", cycles=0)
        except FitFailed:
            return 100.0
        fit.keep()
        least = fit.line_rwp(self.lines)[0]
        for what in ("W", "cell", fit.shift):
            if fit.step(what, worse=FAR):
                least = min(least, fit.line_rwp(self.lines)[0])
        return min(least, 100.0)


def _verdict(control: RandomCellControl, doubtful: tuple[str, ...]) -> list[str]:
    """What follows for the first candidate, by itself and beside the others, in sentences."""
    first, *others = control.candidates
    return [_against_chance(control, doubtful), *_beside_others(first, others)]


def _against_chance(control: RandomCellControl, doubtful: tuple[str, ...]) -> str:
    """Whether the first candidate fits better than the random cells, and what speaks against it all the same."""
    first = control.candidates[0]
    random_rwp = [fit.rwp for fit in control.random_cells if not math.isnan(fit.rwp)]
    best = f"the best of {len(random_rwp)} random cells of its kind {min(random_rwp):.1f} %, " if random_rwp else ""
    figures = f"Its Rwp is {first.rwp:.1f} %, {best}that of the background alone {control.background_rwp:.1f} %."
    if control.beats_random and doubtful:
        return (
            f"{first.name} fits better than chance, but {' and '.join(doubtful)}: do not trust its cell because of "
            f"this fit. {figures}"
        )
    if control.beats_random:
        return f"{first.name} fits far better than chance, as a right cell must and a wrong one may. {figures}"
    return f"{first.name} does NOT fit clearly better than chance; do not trust its cell because of this fit. {figures}"


def _beside_others(first: ControlFit, others: list[ControlFit]) -> list[str]:
    """Which other candidates fit better than the first, alike, or worse."""
    fitted = [fit for fit in others if not math.isnan(fit.rwp)]
    sentences = []
    for fit in fitted:
        if fit.rwp * ALIKE < first.rwp:
            more = fit.reflections - first.reflections
            why = (
                f"with {more} more reflections, which alone makes a fit better"
                if more > 0
                else "without more reflections"
            )
            sentences.append(f"{fit.name} fits better (Rwp {fit.rwp:.1f} %), {why}.")
    if alike := [fit for fit in fitted if first.rwp / ALIKE <= fit.rwp <= first.rwp * ALIKE]:
        names = ", ".join(f"{fit.name} ({fit.reflections})" for fit in alike)
        sentences.append(
            f"This fit does not distinguish {first.name} ({first.reflections} reflections) from {names}. Of answers "
            "that fit alike, prefer the one with the fewest reflections; absences and intensities decided their order."
        )
    if worse := [fit for fit in fitted if fit.rwp > first.rwp * ALIKE]:
        least = min(fit.rwp for fit in worse)
        sentences.append(
            f"{first.name} fits better than {len(worse)} of {len(others)} other candidates; the best of those has Rwp "
            f"{least:.1f} %."
        )
    return sentences
