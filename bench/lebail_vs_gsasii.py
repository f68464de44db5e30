"""Fit known cells to measured patterns without a structure, by our own and by GSAS-II's Le Bail, and compare both Rwp.

    python bench/lebail_vs_gsasii.py [--index INDEX.csv --ids FILE] [--only NAME ...]

Without an index the X-ray patterns of tests/data and examples/data are taken. Both fits start from the known cell and
space group and use the same points, from the first to the 45th found line, with the same uncertainties. Their ratio is
that of the same model: six background terms; cell, zero or displacement, and widths of symmetric lines refined, by
GSAS-II in the recipe that seeds a project. Two further columns show the Rwp that our answers report (with asymmetric
lines and the background of the peak search), and that of GSAS-II after further rounds with its asymmetry. For all,
Rwp² = Σ w (y - ycalc)² / Σ w y² with w = 1/σ² and the background in y. Needs GSAS-II; the exit code is 1 if fewer than
three data sets agree within 10 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
AGREE, ROUNDS = 0.10, 5
PULLED = 20
"""Number of lines that the known cell is refined on first, as the search does with its cells."""


@dataclass(frozen=True)
class Case:
    """A pattern with its known answer."""

    name: str
    path: Path
    wavelength: str
    space_group: int
    cell: tuple[float, float, float, float, float, float]
    """On the axes of the standard setting."""


def cubic(a: float) -> tuple[float, ...]:
    """A cubic cell."""
    return (a, a, a, 90.0, 90.0, 90.0)


OURS = (
    Case("PbSO4", ROOT / "examples/data/pbso4_xray.xye", "1.5405/1.5443", 62, (8.480, 5.398, 6.958, 90.0, 90.0, 90.0)),
    Case("LaB6, laboratory", ROOT / "tests/data/lab6_lab.xye", "CuKa", 221, cubic(4.15683)),
    Case("LaB6, SSRL", ROOT / "tests/data/lab6_ssrl.xy", "0.729568", 221, cubic(4.15683)),
    Case(
        "ZnO, SSRL", ROOT / "tests/data/zincite_ssrl.xy", "0.729568", 186, (3.2483, 3.2483, 5.2041, 90.0, 90.0, 120.0)
    ),
    Case(
        "K H tartrate, SSRL",
        ROOT / "tests/data/tartrate_ssrl.xy",
        "0.729568",
        19,
        (7.6130, 7.7872, 10.6546, 90.0, 90.0, 90.0),
    ),
    Case("Mg2Si", ROOT / "tests/data/mg2si_iucr.xy", "0.49935", 225, cubic(6.3347)),
)


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, help="patterns with known cells, instead of the repository's")
    parser.add_argument("--ids", type=Path, help="only these of the index, one a line")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these data sets")
    parser.add_argument("--ours", action="store_true", help="leave GSAS-II out")
    args = parser.parse_args(argv)
    from alphadiffract_plugin import gsasii
    from alphadiffract_plugin.provenance import versions

    installed = gsasii.find()
    if installed is None and not args.ours:
        sys.exit(f"error: GSAS-II is not importable; see {gsasii.INSTALL}")
    cases = from_index(args.index, args.ids) if args.index else list(OURS)
    cases = [case for case in cases if not args.only or case.name in args.only]
    head = ("data", "group", "range / °", "ours", "GSAS-II", "ratio", "ours, reported", "GSAS-II, skewed", "s", "s")
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    ratios = []
    for case in cases:
        histogram = histogram_of_case(case)
        began = time.perf_counter()
        reported, alike, cut, result = by_ours(histogram, case)
        middle = time.perf_counter()
        theirs, further = (np.nan, np.nan) if args.ours else by_gsasii(cut, result)
        ended = time.perf_counter()
        ratios.append(alike / theirs)
        ends = f"{cut.two_theta[0]:.1f} to {cut.two_theta[-1]:.1f}"
        shown = f"{alike:.2f} | {theirs:.2f} | {ratios[-1]:.2f} | {reported:.2f} | {further:.2f}"
        seconds = f"{middle - began:.1f} | {ended - middle:.1f}"
        print(f"| {case.name} | {case.space_group} | {ends} | {shown} | {seconds} |", flush=True)
    near = sum(abs(ratio - 1) <= AGREE for ratio in ratios)
    print(f"\n{near} of {len(ratios)} within {100 * AGREE:.0f} %")
    print("GSAS-II", installed.version if installed else "-", *(f"{k} {v}" for k, v in versions().items()), sep=", ")
    return int(near < 3)


def from_index(index: Path, ids: Path | None) -> list[Case]:
    """The single-phase X-ray patterns of an index."""
    from alphadiffract_plugin.benchmark_index import read_index

    rows = [row for row in read_index(index).rows if row.tier == "A" and row.measurement.radiation == "xray"]
    wanted = set(ids.read_text(encoding="utf-8").split()) if ids else {row.id for row in rows}
    return [
        Case(
            name=row.id,
            path=row.measurement.path,
            wavelength=row.measurement.wavelength,
            space_group=row.space_group,
            cell=row.cell,
        )
        for row in rows
        if row.id in wanted
    ]


def histogram_of_case(case: Case) -> Any:
    """The pattern."""
    from alphadiffract_plugin.load import histogram_from_file

    return histogram_from_file(case.path, wavelength=case.wavelength)


def by_ours(histogram: Any, case: Case) -> tuple[float, float, Any, Any]:
    """Our Rwp as reported, that with the model of GSAS-II, the points of the fit, and the answer to start from."""
    from alphadiffract_plugin import crystal
    from alphadiffract_plugin.crystal.bravais import Lattice
    from alphadiffract_plugin.indexing.refine_cells import pull_onto_lines
    from alphadiffract_plugin.peaks.find_peaks import fit_peaks
    from alphadiffract_plugin.peaks.observed import observed_from_peaks
    from alphadiffract_plugin.records import Candidate, IndexingResult
    from alphadiffract_plugin.settings import PeakSettings
    from alphadiffract_plugin.whole_pattern.fit_pattern import fit_pattern
    from alphadiffract_plugin.whole_pattern.pattern_data import points_fitted
    from alphadiffract_plugin.whole_pattern.refine_pattern import refine_pattern

    symbol = crystal.symbol_from_space_group(case.space_group)
    system = crystal.crystal_system_from_space_group(case.space_group)
    lattice = Lattice(crystal.lattice_family(system), symbol[0])
    lines = fit_peaks(histogram, PeakSettings())
    observed = observed_from_peaks(lines.peaks, PULLED)
    start = np.append(lattice.parameters(crystal.metric_from_cell(case.cell)), 0.0)
    trials = pull_onto_lines(observed, lattice, start[None], "search")
    fits = fit_pattern(histogram, lines, trials)
    fit = next(fit for fit in fits if is_standard(fit, case.space_group))
    candidate = Candidate.of_group(
        case.space_group,
        cell=crystal.cell_from_metric(fit.trial.metric),
        cell_esd=crystal.NO_CELL,
        probability=1.0,
        zero_shift=fit.trial.zero_shift,
        displacement=fit.displacement,
        rwp=fit.rwp,
    )
    (reported,) = refine_pattern(histogram, lines, (candidate,))
    plain = dataclasses.replace(lines, background=np.zeros_like(lines.background))
    (alike,) = refine_pattern(histogram, plain, (candidate,), skewed=False)
    stop = points_fitted(histogram, lines)
    judged = {"two_theta": histogram.two_theta[:stop], "intensity": histogram.intensity[:stop]}
    cut = dataclasses.replace(histogram, **judged, esd=lines.noise[:stop])
    inside = lines.peaks.two_theta <= cut.two_theta[-1]
    names = ("two_theta", "two_theta_esd", "area", "fwhm", "significance")
    peaks = dataclasses.replace(lines.peaks, **{name: getattr(lines.peaks, name)[inside] for name in names})
    result = IndexingResult(case.name, "known", histogram.wavelength, (candidate,), peaks)
    return reported.rwp, alike.rwp, cut, result


def is_standard(fit: Any, space_group: int) -> bool:
    """Whether an extinction class holds the group in its standard setting, on these axes."""
    settings = [setting for setting in fit.extinction.settings if setting.space_group == space_group]
    return any(np.allclose(setting.to_standard, np.eye(3)) for setting in settings)


def by_gsasii(histogram: Any, result: Any) -> tuple[float, float]:
    """Rwp of a seeded project, and the lowest one of further rounds with the asymmetry refined."""
    from alphadiffract_plugin import gsasii
    from alphadiffract_plugin.gsasii.seeder import seed
    from alphadiffract_plugin.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        report = seed(histogram, result, Path(folder) / "fit", Settings())
        further = [np.nan]
        with gsasii.quiet():
            project = gsasii.scriptable().G2Project(gpxfile=report.target)
            project.histograms()[0].data["Instrument Parameters"][0]["SH/L"][2] = True
            for _ in range(ROUNDS):
                project.set_Controls("cycles", 10)
                project.data["Covariance"]["data"] = {}
                project.save()
                if gsasii.refine_function()(project.filename, makeBack=False) is not None:
                    break
                project.reload()
                further.append(float(project.data["Covariance"]["data"]["Rvals"]["Rwp"]))
        return report.rwp, float(np.nanmin(further))


if __name__ == "__main__":
    sys.exit(main())
