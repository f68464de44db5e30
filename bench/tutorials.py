"""Index patterns of GSAS-II's tutorials from an open project, seed and refine, and compare with the known cell.

    python bench/tutorials.py FOLDER [--only NAME ...] [--notes]

FOLDER is a checkout of github.com/AdvancedPhotonSource/GSAS-II-tutorials. Twelve patterns are read by GSAS-II itself,
with the instrument parameters of the tutorial. Within an open project each is indexed by ``gsasii.index``, seeded by
``gsasii.seed`` and refined by ``gsasii.refine``, with their defaults. A second project starts from the known cell and
space group. One row per pattern:

    first answer   space group and probability; the lattice is right, or else of how many answers the first right one is
    lines          found lines that the first cell does not explain / found lines
    Rwp            of our fit in per cent, and of that from the known cell; where each ends if not at the same angle
    off / %        refined cell from the known one: largest relative difference of an edge of the reduced cell
    converged      of our fit, and of that from the known cell
    doubted        whether the answer, the fit or the random-cell control said not to trust it
    s              seconds to index, to seed (with short fits of five candidates and of random cells), and to refine

The exit code is 1 if a wrong lattice is not doubted, or if a right one did not converge. Needs GSAS-II.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from failures import primitive, same
from seeding import difference, known_result

CU = "#GSAS-II instrument parameter file\nType:PXC;Bank:1\n"
CU += "Lam1:1.5405;Lam2:1.5443;Zero:0.0;Polariz.:0.7;Azimuth:0.0;I(L2)/I(L1):0.5\n"
CU += "U:2.0;V:-2.0;W:5.0;X:0.0;Y:0.0;Z:0.0;SH/L:0.002\nDiff-type:Bragg-Brentano\n"
"""A laboratory instrument, for the pattern that comes without one."""

HEAD = ("pattern", "known", "first answer", "lines", "Rwp", "from known", "off / %", "converged", "doubted", "s")


@dataclass(frozen=True)
class Tutorial:
    """A pattern of a tutorial, and its known crystal."""

    name: str
    data: str
    """File in the tutorials' folder; ``ARCHIVE.zip:NAME`` for one in an archive."""
    instrument: str
    """File of the same kind; empty for a laboratory instrument."""
    reader: str
    """Part of the name of GSAS-II's reader."""
    space_group: int
    cell: tuple[float, ...]
    """Conventional cell in the standard setting, in Å and degrees."""


TUTORIALS = (
    Tutorial(
        "fluorapatite (FAP), lab",
        "LabData/data/FAP.XRA",
        "LabData/data/INST_XRY.PRM",
        "GSAS powder",
        176,
        (9.3719, 9.3719, 6.8859, 90, 90, 120),
    ),
    Tutorial(
        "garnet, neutrons",
        "CWNeutron/data/garnet.raw",
        "CWNeutron/data/inst_d1a.prm",
        "GSAS powder",
        230,
        (12.1765, 12.1765, 12.1765, 90, 90, 90),
    ),
    Tutorial(
        "jadarite, 11-BM",
        "FitPeaks/data/11bmb_6231.fxye",
        "FitPeaks/data/11bmb_6231.prm",
        "GSAS powder",
        14,
        (6.759, 13.800, 7.675, 90, 124.10, 90),
    ),
    Tutorial(
        "sucrose, 11-BM",
        "FitPeaks/data/11bmb_8716.fxye",
        "FitPeaks/data/11bmb_8716.prm",
        "GSAS powder",
        4,
        (7.7196, 8.6682, 10.8159, 90, 102.982, 90),
    ),
    Tutorial(
        "3-aminoquinoline, X3B1",
        "MCsimanneal/data/Quinoli.gda",
        "MCsimanneal/data/BNL-I.instprm",
        "GSAS powder",
        19,
        (7.650, 7.748, 12.736, 90, 90, 90),
    ),
    Tutorial(
        "CuCr2O4 with CuO, 11-BM",
        "SeqRefine/data/SeqTut.zip:OH_00.fxye",
        "SeqRefine/data/SeqTut.zip:OH_00.prm",
        "GSAS powder",
        70,
        (7.7127, 8.5433, 8.5364, 90, 90, 90),
    ),
    Tutorial(
        "Cr2WO6, 150 K, neutrons",
        "Magnetic-II/data/Cr2WO6_T150K.dat",
        "Magnetic-II/data/Cr2WO6_T4K_dat.prm",
        "Topas xye",
        136,
        (4.571, 4.571, 8.853, 90, 90, 90),
    ),
    Tutorial(
        "kaolinite with dickite, lab",
        "StackingFaults-II/data/Keokuk kaolinite.RAW",
        "",
        "Bruker RAW",
        1,
        (5.1551, 5.1554, 7.4048, 75.138, 84.116, 60.176),
    ),
    Tutorial(
        "lactose, X3B1",
        "MCsimanneal/data/x3lactos.xye",
        "MCsimanneal/data/BNL-II.instprm",
        "Topas xye",
        4,
        (4.8171, 21.5843, 7.7725, 90, 105.930, 90),
    ),
    Tutorial(
        "Pr0.5Sr0.5MnO3, neutrons",
        "Magnetic-IV/data/PrSrMnO.gda",
        "Magnetic-IV/data/Saclay 3T2.instprm",
        "GSAS powder",
        67,  # F m m m; lines of the magnetic order leave one of its three centrings
        (7.6841, 7.8315, 7.5083, 90, 90, 90),
    ),
    Tutorial(
        "Er2Ge2O7, 2 K, neutrons",
        "MDtutorials/k_vec_tutorial/data/Er2Ge2O7_op2112_Ge113_2K.gss",
        "MDtutorials/k_vec_tutorial/data/HB2A_ge113_op2112_Si_cycle866.instprm",
        "GSAS powder",
        92,
        (6.7784, 6.7784, 12.3232, 90, 90, 90),
    ),
    Tutorial(
        "Na2Ca3Al2F14 with CaF2, 11-BM",
        "TOF-CW Joint Refinement/data/11BM_NAC.fxye",
        "TOF-CW Joint Refinement/data/11bm_gsas.prm",
        "GSAS powder",
        199,
        (10.2497, 10.2497, 10.2497, 90, 90, 90),
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 if a wrong lattice was not doubted, or a right one did not converge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only patterns whose name begins so")
    parser.add_argument("--notes", action="store_true", help="print the notes of each fit too")
    args = parser.parse_args(argv)
    from alphadiffract_plugin import gsasii

    if gsasii.find() is None:
        sys.exit(f"error: GSAS-II is not importable; see {gsasii.INSTALL}")
    chosen = [one for one in TUTORIALS if not args.only or one.name.startswith(tuple(args.only))]
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    kept = [compared(one, args.folder, notes=args.notes) for one in chosen]
    print(f"\n{sum(kept)} of {len(kept)}: right and converged, or doubted. GSAS-II {gsasii.find().version}")
    return int(not all(kept))


def opened(one: Tutorial, folder: Path, scratch: Path) -> tuple[Any, Any]:
    """A new project with the pattern, and its histogram."""
    from alphadiffract_plugin import gsasii

    files = []
    for path in (one.data, one.instrument):
        archive, _, inside = path.partition(":")
        if not path:
            (scratch / "lab.instprm").write_text(CU, encoding="utf-8")
            files.append(scratch / "lab.instprm")
        elif inside:
            files.append(Path(zipfile.ZipFile(folder / archive).extract(inside, scratch)))
        else:
            files.append(folder / path)
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        sys.exit(f"error: {missing[0]} is not there")
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(scratch / "open.gpx"))
        made = project.add_powder_histogram(*map(str, files), fmthint=one.reader)
    return project, made[0] if isinstance(made, list) else made


def compared(one: Tutorial, folder: Path, *, notes: bool) -> bool:
    """Index, seed and refine one pattern, print its row; whether it is right and converged, or doubted."""
    from alphadiffract_plugin import crystal, gsasii
    from alphadiffract_plugin.seeding.answer import doubts_of_candidate, seedable

    known = SimpleNamespace(space_group=one.space_group, cell=tuple(map(float, one.cell)))
    truth = primitive({"cell": one.cell, "space_group": one.space_group}).get_niggli_reduced_lattice()
    moments = [time.perf_counter()]
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as other, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        project, histogram = opened(one, folder, Path(work))
        result = gsasii.index(histogram)
        moments.append(time.perf_counter())
        control = gsasii.control_fits(histogram, result)
        phases = gsasii.seed(project, histogram, result, control=control)
        moments.append(time.perf_counter())
        ours = gsasii.refine(project, histogram, phases[0], result, control=control)
        moments.append(time.perf_counter())
        end = histogram.data["Limits"][1][1]
        project, histogram = opened(one, folder, Path(other))
        reference = known_result(known, result)
        against = gsasii.control_fits(histogram, reference, 1)
        (phase,) = gsasii.seed(project, histogram, reference, 1, control=against)
        theirs = gsasii.refine(project, histogram, phase, reference, control=against)
        their_end = histogram.data["Limits"][1][1]
    answers = seedable(result).candidates
    first = answers[0]
    right = [same(truth, primitive({"cell": a.cell, "space_group": a.space_group})) for a in answers]
    place = "right" if right[0] else f"right at {right.index(True) + 1} of {len(right)}" if any(right) else "none right"
    doubted = bool(doubts_of_candidate(first, result)) or not ours.converged or not result.candidates[0].has_cell
    doubted |= any("do not trust" in note for note in ours.notes)
    values = (
        one.name,
        crystal.symbol_from_space_group(one.space_group),
        f"{first.space_group_symbol} ({first.probability:.2f}), {place}",
        f"{len(first.unindexed)} / {len(result.peaks)}",
        f"{ours.rwp:.2f}" + (f" to {end:.0f}°" if abs(end - their_end) > 0.1 else ""),
        f"{theirs.rwp:.2f}" + (f" to {their_end:.0f}°" if abs(end - their_end) > 0.1 else ""),
        f"{off(ours, first.space_group, truth):.3f}",
        " / ".join("yes" if report.converged else "no" for report in (ours, theirs)),
        "yes" if doubted else "no",
        " + ".join(f"{later - earlier:.0f}" for earlier, later in zip(moments, moments[1:], strict=False)),
    )
    print(f"| {' | '.join(map(str, values))} |", flush=True)
    if notes:
        print(f"    cell {first.cell}, refined {ours.cell}, from the known one {theirs.cell}")
        print(*(f"    {note}" for note in (*result.notes, *ours.notes, *theirs.notes)), sep="\n", flush=True)
    return bool(right[0] and ours.converged) or (doubted and not right[0])


def off(report: Any, space_group: int, truth: Any) -> float:
    """Largest difference in per cent of the refined cell from the known one, as reduced cells; NaN for another one."""
    if report.cell is None:
        return math.nan
    lattice = primitive({"cell": report.cell, "space_group": space_group}).get_niggli_reduced_lattice()
    if abs(lattice.volume / truth.volume - 1) > 0.06:
        return math.nan
    mapped = (found for found, *_ in truth.find_all_mappings(lattice, ltol=0.02, atol=2.0, skip_rotation_matrix=True))
    return min((difference(found, lattice) for found in mapped), default=math.nan)


if __name__ == "__main__":
    sys.exit(main())
