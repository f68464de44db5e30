"""Fit measured patterns of known cells up to many upper limits, set after the lines were found and before.

    python bench/limits.py INDEX.csv [INDEX.csv ...] --ids ID [ID ...] [--limits N] [--seed N] [--at DEGREES]

A limit lies half way between two neighbouring found lines. For all of them the background at which the Le Bail fit
starts is calculated; it must be above zero everywhere, or at least not below it. For N of them, drawn by the seed, the
pattern is indexed and the known cell fitted by Le Bail twice: with the limit set after indexing, and before it. Both
Rwp are of the same points and must agree within 5 %. Each fit starts from the known cell as the answer gives it; where
the answer does not hold it, from the literature and the shift that suits most lines (marked "known"). One row per
fitted limit; the exit code is 1 unless everything is kept. Needs GSAS-II.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from measured import histogram_of
from seeding import known_result

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow

AGREE = 0.05
"""Relative difference of the two Rwp that is allowed."""
FEWEST_LINES = 8
"""Number of lines that a limit leaves at least."""
TERMS = 6
"""Terms of the background where the user has chosen nothing."""
SAME = 0.01
"""Largest relative difference of a cell that is the known one."""
HEAD = ("pattern", "limit / °", "lines", "Rwp, limit after", "before", "difference / %", "converged", "cell", "s")


@dataclass(frozen=True)
class Fit:
    """A Le Bail fit of the known cell up to a limit."""

    rwp: float
    converged: bool
    notes: tuple[str, ...]
    by_hand: bool
    """Whether the answer did not hold the known cell."""


def limits_of(peaks: Any) -> np.ndarray:
    """The upper limits in degrees half way between neighbouring lines that leave enough lines and reach 4 Å."""
    from alphadiffract_plugin import crystal
    from alphadiffract_plugin.readers.check import D_MIN_LARGEST

    limits = ((peaks.two_theta[1:] + peaks.two_theta[:-1]) / 2)[FEWEST_LINES - 1 :]
    return limits[crystal.d_from_two_theta(limits, peaks.wavelength) < D_MIN_LARGEST]


def lowest_start(histogram: Any, peaks: Any, limit: float) -> float:
    """Lowest value of the start background up to a limit, in units of the median esd of a point."""
    from alphadiffract_plugin.recipes.lebail_background import BackgroundFunction, start_background
    from alphadiffract_plugin.seeding.answer import recipe_lines

    inside = histogram.two_theta <= limit
    x, y, esd = (column[inside] for column in (histogram.two_theta, histogram.intensity, histogram.esd))
    function = BackgroundFunction("chebyschev-1", TERMS, float(x[0]), float(x[-1]), histogram.wavelength)
    start = start_background(x, y, esd, function, recipe_lines(answer(histogram, peaks)))
    return float((function.columns(x) @ np.array(start)).min() / np.median(esd))


def answer(histogram: Any, peaks: Any) -> Any:
    """An answer with lines and without candidates."""
    from alphadiffract_plugin.records import IndexingResult

    return IndexingResult(histogram.name, "known", histogram.wavelength, (), peaks)


def known_answer(result: Any, known: BenchmarkRow) -> Any:
    """The answer with the known cell alone: as it found it, or as the literature has it."""
    from alphadiffract_plugin.crystal.extinction import setting_of_group

    cell = np.array(setting_of_group(known.space_group).standard_cell(known.cell))
    for one in result.candidates:
        if one.space_group == known.space_group and one.has_cell and np.allclose(one.cell, cell, rtol=SAME):
            return dataclasses.replace(result, candidates=(one,))
    return known_result(known, result)


class Pattern:
    """A measured pattern with files from which GSAS-II projects are made."""

    def __init__(self, known: BenchmarkRow, folder: Path) -> None:
        from alphadiffract_plugin.load import write_xye
        from alphadiffract_plugin.peaks.find_peaks import find_peaks
        from alphadiffract_plugin.seeding.instprm import instprm_from_histogram
        from alphadiffract_plugin.seeding.staging import with_esd

        self.known, self.folder, self.control, self.whole = known, folder, None, None
        self.histogram = with_esd(histogram_of(known.measurement))
        self.peaks = find_peaks(self.histogram)
        write_xye(self.histogram, folder / "pattern.xye")
        (folder / "pattern.instprm").write_text(instprm_from_histogram(self.histogram, self.peaks), encoding="utf-8")

    def fit(self, limit: float, *, before: bool) -> Fit:
        """Fit the known cell up to a limit that is set before or after the lines are found."""
        from alphadiffract_plugin import gsasii
        from alphadiffract_plugin.recipes.project_recipe import keep_every_point

        with tempfile.TemporaryDirectory() as folder, gsasii.quiet():
            project = gsasii.scriptable().G2Project(newgpx=str(Path(folder) / "fit.gpx"))
            files = (str(self.folder / "pattern.xye"), str(self.folder / "pattern.instprm"))
            histogram = project.add_powder_histogram(*files, fmthint="Topas xye")
            keep_every_point(histogram, self.histogram.intensity, self.histogram.esd)
            low = float(histogram.data["Limits"][1][0])
            if before:
                histogram.data["Limits"][1] = [low, limit]
                result = known_answer(gsasii.index(histogram), self.known)
            else:
                self.whole = self.whole or known_answer(gsasii.index(histogram), self.known)
                result = self.whole
            histogram.data["Limits"][1] = [low, limit]
            control = gsasii.control_fits(histogram, result, 1) if self.control is None else self.control
            self.control = dataclasses.replace(
                control, candidates=(dataclasses.replace(control.candidates[0], cell=result.candidates[0].cell),)
            )
            (phase,) = gsasii.seed(project, histogram, result, 1, control=self.control)
            report = gsasii.refine(project, histogram, phase, result, profile="instrument", control=self.control)
        return Fit(report.rwp, bool(report.converged), report.notes, result.indexer == "known")


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 if something is not kept."""
    from alphadiffract_plugin import gsasii
    from alphadiffract_plugin.benchmark_index import read_index

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path, nargs="+")
    parser.add_argument("--ids", nargs="+", required=True, metavar="ID")
    parser.add_argument("--limits", type=int, default=6, metavar="N", help="number of limits that are fitted (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--at", type=float, nargs="+", metavar="DEGREES", help="fit up to these limits instead")
    parser.add_argument("--notes", action="store_true", help="print the notes of each fit too")
    args = parser.parse_args(argv)
    if gsasii.find() is None:
        sys.exit(f"error: GSAS-II is not importable; see {gsasii.INSTALL}")
    rows = {row.id: row for path in args.index for row in read_index(path).rows}
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    failed, starts, below = 0, 0, []
    for name in args.ids:
        with tempfile.TemporaryDirectory() as folder:
            pattern = Pattern(rows[name], Path(folder))
            every = limits_of(pattern.peaks)
            lowest = [lowest_start(pattern.histogram, pattern.peaks, limit) for limit in every]
            starts += len(lowest)
            below += [(name, limit, low) for limit, low in zip(every, lowest, strict=True) if not low >= 0]
            drawn = sorted(random.Random(f"{args.seed} {name}").sample(list(every), min(args.limits, len(every))))
            for limit in args.at or drawn:
                failed += not compared(pattern, float(limit), args.notes)
    print(f"\n{starts} start backgrounds, {len(below)} of them below zero: {below}; {failed} limits not kept.")
    return int(bool(failed or below))


def compared(pattern: Pattern, limit: float, notes: bool) -> bool:
    """Fit up to one limit in both ways and print the row; whether the two agree."""
    began = time.perf_counter()
    after, before = (pattern.fit(limit, before=first) for first in (False, True))
    apart = abs(after.rwp / before.rwp - 1)
    kept = math.isfinite(apart) and apart <= AGREE and after.converged >= before.converged
    values = (
        *(pattern.known.id, f"{limit:.2f}", int((pattern.peaks.two_theta < limit).sum())),
        *(f"{after.rwp:.2f}", f"{before.rwp:.2f}", f"{100 * (after.rwp / before.rwp - 1):+.1f}{'' if kept else ' !'}"),
        " / ".join("yes" if one.converged else "no" for one in (after, before)),
        " / ".join("known" if one.by_hand else "found" for one in (after, before)),
        f"{time.perf_counter() - began:.0f}",
    )
    print(f"| {' | '.join(map(str, values))} |", flush=True)
    for fit in (after, before) if notes else ():
        print(*(f"    {note}" for note in fit.notes), sep="\n")
    return kept


if __name__ == "__main__":
    sys.exit(main())
