"""Index measured patterns of known cells, seed GSAS-II with the answer and with the known cell, and compare the fits.

    python bench/seeding.py INDEX.csv [-o FOLDER] [--ids FILE | --sample N] [--seed N]

The patterns are single-phase ones with a verified cell (tier A), drawn regardless of any outcome: one of each source
(laboratory, synchrotron, neutron) and crystal system in turn. Each is indexed with the defaults under a neutral name.
The first answer, and then the known cell and space group, are seeded by ``gsasii`` with the same lines, esds and
settings. The known cell is transformed to the axes that the seeder uses (standard setting, angle nearest to 90 degrees)
and starts at the shift that suits most of the found lines. One row per pattern:

    Rwp         of the project seeded from our answer, of the one from the known cell, and their ratio (at most 1.15)
    off / %     our refined cell from the known one, the cell refined from the known one from it, and both refined
                cells from each other: the largest relative difference of an edge of the reduced cell, or of an
                angle in radians (our cell: at most 0.1 %); "-" if it is another lattice
    converged   ours / from the known cell
    ends        where the two fits end in 2theta, if not at the same angle: the Rwp are then not of the same points

A published cell can be wrong by itself, because of its wavelength, for instance; then our cell agrees with the one
refined from it. With ``-o`` projects, answers and reports are kept in FOLDER/ID, and a pattern with an answer there is
not indexed again. Needs GSAS-II; the exit code is 1 unless all patterns are within both limits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from failures import LINES, known_lattice, primitive
from measured import histogram_of, stratified

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow

RATIO, OFF = 1.15, 0.1
SAME = 0.02
"""Edges of the same lattice differ by less than this fraction."""
SAME_END = 0.1
"""Fits whose ends differ by less than this, in degrees, are of the same points."""
CU_K_ALPHA = (1.53, 1.55)
SHIFTS = np.linspace(-0.2, 0.2, 81)
"""Shifts in degrees of 2theta, by a zero error or a displaced sample, that are tried for the known cell."""
HEAD = (
    *("pattern", "system", "source", "group", "known", "Rwp", "from known", "ratio"),
    *("off / %", "known refined", "apart", "converged", "ends / °", "s"),
)


@dataclass(frozen=True)
class Row:
    """One pattern, seeded twice."""

    id: str
    system: str
    source: str
    known_group: int
    group: int | None = None
    """Of our first answer; None without one."""
    rwp: float = math.nan
    known_rwp: float = math.nan
    off: float = math.nan
    """Our refined cell from the known one, in per cent; NaN for another lattice or none."""
    known_off: float = math.nan
    """The cell refined from the known one from it."""
    apart: float = math.nan
    """Both refined cells from each other."""
    converged: tuple[bool, bool] = (False, False)
    ends: tuple[float, float] = (math.nan, math.nan)
    """Where the two fits end, degrees."""
    seconds: float = 0.0
    error: str = ""

    @property
    def ratio(self) -> float:
        """Our Rwp over the one from the known cell."""
        return self.rwp / self.known_rwp

    @property
    def keeps(self) -> tuple[bool, bool]:
        """Whether Rwp, and whether the cell, are within their limits; a fit that did not converge keeps neither."""
        return self.converged[0] and self.ratio <= RATIO, self.converged[0] and self.off <= OFF


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="keep projects, answers and reports here")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="these ids, one per line")
    parser.add_argument("--sample", type=int, default=14, metavar="N", help="number of patterns (14)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    args = parser.parse_args(argv)
    from alphadiffract_plugin import gsasii
    from alphadiffract_plugin.provenance import versions

    installed = gsasii.find()
    if installed is None:
        sys.exit(f"error: GSAS-II is not importable; see {gsasii.INSTALL}")
    chosen = chosen_rows(args.index, sample=args.sample, seed=args.seed, ids=args.ids)
    if not chosen:
        sys.exit("error: there is nothing to compare")
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for known in chosen:
            rows.append(compared(known, (args.output or Path(scratch)) / known.id))
            print(shown(rows[-1]), flush=True)
    print("\n" + summary(rows))
    print("GSAS-II", installed.version, *(f"{name} {version}" for name, version in versions().items()), sep=", ")
    return int(not all(all(row.keeps) for row in rows))


def chosen_rows(index: Path, *, sample: int, seed: int = 0, ids: Path | None = None) -> list[BenchmarkRow]:
    """The rows to compare: a sample of tier A, or those named, of any tier with a cell."""
    from alphadiffract_plugin.benchmark_index import read_index

    rows = {row.id: row for row in read_index(index).rows if row.tier == "A" or (ids and row.cell)}
    if ids is not None:
        wanted = ids.read_text(encoding="utf-8").split()
        unknown = [name for name in wanted if name not in rows]
        if unknown:
            sys.exit(f"error: no pattern with a known cell is called {', '.join(unknown)}")
        return [rows[name] for name in wanted]
    return stratified(rows.values(), sample, seed, lambda row: f"{source(row)} {row.crystal_system}")


def source(row: BenchmarkRow) -> str:
    """neutron, laboratory (Cu Kα) or synchrotron (any other wavelength)."""
    if row.measurement.radiation == "neutron":
        return "neutron"
    low, high = CU_K_ALPHA
    return "laboratory" if low < float(row.measurement.wavelength.split("/")[0]) < high else "synchrotron"


def compared(known: BenchmarkRow, folder: Path) -> Row:
    """Index one pattern, seed both projects, and compare them; a failure becomes part of the row."""
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.gsasii.seeder import seed
    from alphadiffract_plugin.output import emptied
    from alphadiffract_plugin.settings import Settings

    began = time.perf_counter()
    found: dict[str, Any] = {"known_group": known.space_group}
    histogram, settings = histogram_of(known.measurement), Settings()
    try:
        result = answer(histogram, folder / "result.json")
        if result.candidates:
            found["group"] = result.candidates[0].space_group
        with emptied(folder / "known") as target:
            reference = seed(histogram, known_result(known, result), target, settings)
        found |= {"known_rwp": reference.rwp, "known_off": off(reference, known, known_lattice(known))}
        with emptied(folder / "ours") as target:
            ours = seed(histogram, result, target, settings)
        found |= {"rwp": ours.rwp, "off": off(ours, result, known_lattice(known))}
        found |= {"apart": off(ours, result, lattice_of(reference, known)), "group": first_group(result)}
        found |= {"converged": (bool(ours.converged), bool(reference.converged))}
        found |= {"ends": (end_of(ours.target), end_of(reference.target))}
        reports = {"ours": ours.to_dict(), "known": reference.to_dict()}
        (folder / "reports.json").write_text(json.dumps(reports, indent=1), encoding="utf-8")
    except AlphaDiffractError as error:
        found["error"] = error.what
    seconds = time.perf_counter() - began
    return Row(known.id, known.crystal_system, source(known), seconds=seconds, **found)


def answer(histogram: Any, path: Path) -> Any:
    """The answer with the default settings, read from its file if there is one."""
    from alphadiffract_plugin.pipeline import index_histogram
    from alphadiffract_plugin.records import IndexingResult
    from alphadiffract_plugin.settings import Settings

    if path.exists():
        return IndexingResult.from_json(path.read_text(encoding="utf-8"))
    result = index_histogram(histogram, Settings())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result.to_json(), encoding="utf-8")
    return result


def known_result(known: BenchmarkRow, result: Any) -> Any:
    """The known cell and space group as an answer with the same lines."""
    from alphadiffract_plugin import crystal
    from alphadiffract_plugin.crystal.extinction import setting_of_group
    from alphadiffract_plugin.records import Candidate, IndexingResult

    group = known.space_group
    cell = setting_of_group(group).standard_cell(known.cell)
    candidate = Candidate.of_group(
        group,
        cell=cell,
        cell_esd=crystal.NO_CELL,
        probability=1.0,
        zero_shift=best_shift(result.peaks, cell, group),
    )
    return IndexingResult(result.histogram, "known", result.wavelength, (candidate,), result.peaks)


def best_shift(peaks: Any, cell: tuple[float, ...], group: int) -> float:
    """The shift in 2theta degrees, one for all, that brings the first found lines nearest to reflections."""
    from alphadiffract_plugin import crystal

    lines, near = peaks.two_theta[:LINES], np.median(peaks.fwhm[:LINES]) / 2
    inv_d2_max = 1.1 * peaks.inv_d2[: len(lines)].max()
    places = crystal.two_theta_from_inv_d2(crystal.allowed_inv_d2(cell, group, inv_d2_max), peaks.wavelength)
    apart = np.abs(lines[:, None, None] - SHIFTS[:, None] - places[np.isfinite(places)]).min(-1)
    return float(SHIFTS[np.argmin(apart.clip(max=near).sum(0) + 1e-6 * np.abs(SHIFTS))])


def first_group(result: Any) -> int:
    """Space group of the candidate that was seeded and fitted."""
    from alphadiffract_plugin.seeding.answer import seedable

    return seedable(result).candidates[0].space_group


def lattice_of(report: Any, answered: Any) -> Any:
    """Primitive lattice of a refined cell, a pymatgen Lattice; None if the cell could not be refined."""
    from alphadiffract_plugin.records import IndexingResult

    if report.cell is None:
        return None
    group = first_group(answered) if isinstance(answered, IndexingResult) else answered.space_group
    return primitive({"cell": report.cell, "space_group": group})


def off(report: Any, answered: Any, truth: Any) -> float:
    """Largest difference in per cent of a refined cell from a lattice, as reduced cells; NaN for another lattice."""
    lattice = lattice_of(report, answered)
    if lattice is None or truth is None:
        return math.nan
    if abs(lattice.volume / truth.volume - 1) > 3 * SAME:  # a mapping may lead to a sublattice
        return math.nan
    lattice, truth = lattice.get_niggli_reduced_lattice(), truth.get_niggli_reduced_lattice()
    mapped = (found for found, *_ in truth.find_all_mappings(lattice, ltol=SAME, atol=2.0, skip_rotation_matrix=True))
    return min((difference(one, lattice) for one in mapped), default=math.nan)


def difference(one: Any, other: Any) -> float:
    """Largest relative difference of an edge, or difference of an angle in radians, in per cent."""
    edges = np.abs(np.array(other.abc) / np.array(one.abc) - 1)
    angles = np.radians(np.abs(np.array(other.angles) - np.array(one.angles)))
    return float(100 * max(edges.max(), angles.max()))


def end_of(project: str) -> float:
    """Where the fit of a project ends, in degrees."""
    from alphadiffract_plugin import gsasii

    with gsasii.quiet():
        return float(gsasii.scriptable().G2Project(gpxfile=project).histograms()[0].data["Limits"][1][1])


def shown(row: Row) -> str:
    """A row in Markdown."""

    def number(value: float, places: int) -> str:
        return f"{value:.{places}f}" if math.isfinite(value) else "-"

    ends = "{:.1f} / {:.1f}".format(*row.ends) if abs(row.ends[0] - row.ends[1]) > SAME_END else ""
    values = (
        *(row.id, row.system, row.source, row.group or "-", row.known_group),
        *(number(row.rwp, 2), number(row.known_rwp, 2), number(row.ratio, 2)),
        *(number(row.off, 3), number(row.known_off, 3), number(row.apart, 3)),
        row.error or " / ".join("yes" if one else "no" for one in row.converged),
        *(ends, number(row.seconds, 0)),
    )
    return f"| {' | '.join(map(str, values))} |"


def summary(rows: Iterable[Row]) -> str:
    """How many keep the limits."""
    rows = list(rows)
    rwp, cell = ([row.keeps[place] for row in rows] for place in (0, 1))
    ours, known = (sum(row.converged[place] for row in rows) for place in (0, 1))
    refined = sum(row.converged[0] and row.apart <= OFF for row in rows)
    systems, sources = len({row.system for row in rows}), sorted({row.source for row in rows})
    return (
        f"{len(rows)} patterns, {systems} crystal systems, {', '.join(sources)}: "
        f"{ours} converged, {known} from the known cell; Rwp within {RATIO} x in {sum(rwp)}; "
        f"cell within {OFF} % of the known one in {sum(cell)}, of the one refined from it in {refined}; "
        f"both limits kept by {sum(map(all, zip(rwp, cell, strict=True)))}."
    )


if __name__ == "__main__":
    sys.exit(main())
