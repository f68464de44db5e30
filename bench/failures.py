"""Find the step that failed for every pattern of known cell whose first answer has another cell.

    python bench/failures.py INDEX.csv ANSWERS.jsonl [-o FAILURES.csv] [--jobs N]

ANSWERS.jsonl is what ``bench/measured.py`` wrote. Each such pattern of tier A goes through the flow again, up to the
ranking, and is counted under the first of these reasons that applies:

    peaks    fewer than half of the first 20 lines found lie within 0.03° of a reflection of the known cell, after the
             constant shift that fits best
    search   the known lattice (within 1 % and 1°) is not among the cells that went to the whole-pattern fit
    no cell  it is among them, but the first answer is a space group of the network, without a cell
    ranking  it is among them, but another cell comes first; the table has the ratio of its volume to the known one

Prints the table as Markdown, and the number of patterns by reason.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow

sys.path.insert(0, str(Path(__file__).parent))
from measured import histogram_of, known_rows, one_thread

LINES, NEAR = 20, 0.03
SHIFTS = np.linspace(-0.15, 0.15, 31)


@dataclass(frozen=True)
class Failure:
    """One pattern whose first cell is wrong."""

    id: str
    reason: str
    space_group: int
    """Number of the known space group."""
    volume: float
    """Volume of the known primitive cell in Å³."""
    explained: float
    """Share of the first lines found that the known cell explains."""
    fitted: bool
    """Whether the known lattice went to the whole-pattern fit."""
    place: int | None
    """Rank of the first answer with the known cell, from 1; None if there is none."""
    first_volume: float | None
    """Volume of the primitive cell of the first answer over the known one; None without a cell."""
    first_group: int
    """Space group of the first answer."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("-o", "--output", type=Path, metavar="FAILURES.csv")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    from alphadiffract_plugin.progress import track

    with args.answers.open(encoding="utf-8") as file:
        answers = {answer["id"]: answer for answer in map(json.loads, filter(str.strip, file))}
    rows = [row for row in known_rows(args.index) if row.id in answers]
    wrong = [row for row in rows if place_of_truth(row, answers[row.id]["candidates"]) != 1]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), one_thread) as pool:
        jobs = pool.map(failure, wrong, [answers[row.id]["candidates"] for row in wrong])
        failures = list(track(jobs, "look", total=len(wrong)))
    failures.sort(key=lambda failure: (failure.reason, failure.id))
    print(table(failures))
    counts = Counter(failure.reason for failure in failures)
    print(f"\n{len(failures)} of {len(rows)}: " + ", ".join(f"{reason} {n}" for reason, n in counts.most_common()))
    if args.output:
        with args.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(Failure.__dataclass_fields__))
            writer.writeheader()
            writer.writerows(map(asdict, failures))
    return 0


def failure(row: BenchmarkRow, candidates: list[dict]) -> Failure:
    """Send one pattern through the flow again and find the step that failed."""
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.cells import cell_from_metric
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.pipeline import gather_evidence
    from alphadiffract_plugin.settings import Settings

    truth = known_lattice(row)
    try:
        known = gather_evidence(histogram_of(row.measurement), Settings())
        explained = share_explained(known.peak_fit.peaks, truth.parameters)
        fitted = any(
            same(truth, Lattice(primitive_basis(cell_from_metric(fit.trial.metric), fit.trial.lattice.centring)))
            for fit in known.fits
        )
    except AlphaDiffractError:
        explained, fitted = 0.0, False
    first = candidates[0] if candidates else {}
    cell = primitive(first) if first.get("cell") else None
    reason = "peaks" if explained < 0.5 else "search" if not fitted else "ranking" if cell else "no cell"
    return Failure(
        id=row.id,
        reason=reason,
        space_group=row.space_group,
        volume=round(truth.volume, 1),
        explained=round(explained, 2),
        fitted=fitted,
        place=place_of_truth(row, candidates),
        first_volume=round(cell.volume / truth.volume, 3) if cell else None,
        first_group=first.get("space_group", 0),
    )


def share_explained(peaks, cell: tuple[float, ...]) -> float:
    """Share of the first lines found near a reflection of a triclinic cell, at the constant shift that fits best."""
    from alphadiffract_plugin.crystal import allowed_inv_d2, inv_d2_from_two_theta, two_theta_from_inv_d2

    found = peaks.two_theta[:LINES]
    reach = float(inv_d2_from_two_theta(found[-1] + 0.5, peaks.wavelength))
    places = two_theta_from_inv_d2(allowed_inv_d2(cell, 1, reach), peaks.wavelength)
    off = np.abs(found[:, None, None] + SHIFTS[:, None] - places).min(-1)
    return float((off < NEAR).mean(0).max())


def place_of_truth(row: BenchmarkRow, candidates: list[dict]) -> int | None:
    """Rank of the first answer with the known lattice, from 1; None if there is none."""
    truth = known_lattice(row)
    for place, candidate in enumerate(candidates, 1):
        if candidate.get("cell") and same(truth, primitive(candidate)):
            return place
    return None


def known_lattice(row: BenchmarkRow):
    """The known Niggli cell as a pymatgen Lattice."""
    from pymatgen.core import Lattice

    return Lattice.from_parameters(*row.niggli)


def primitive(candidate: dict):
    """The primitive lattice of an answer as a pymatgen Lattice."""
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.symmetry import symbol_from_space_group

    return Lattice(primitive_basis(candidate["cell"], symbol_from_space_group(candidate["space_group"])[0]))


def same(truth, lattice, *, length: float = 0.01, angle: float = 1.0) -> bool:
    """Whether two lattices agree, within a relative tolerance of the lengths and one of the angles in degrees."""
    if abs(lattice.volume / truth.volume - 1) > 4 * length:
        return False
    lattice = lattice.get_niggli_reduced_lattice()
    return truth.find_mapping(lattice, ltol=length, atol=angle, skip_rotation_matrix=True) is not None


def table(failures: list[Failure]) -> str:
    """The failures as a Markdown table."""
    names = ("id", "reason", "known group", "V / Å³", "explained", "place", "first V / known V", "first group")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for f in failures:
        first = "-" if f.first_volume is None else f"{f.first_volume:.3f}"
        shown = (f.id, f.reason, f.space_group, f.volume, f.explained, f.place or "-", first, f.first_group)
        lines.append(f"| {' | '.join(map(str, shown))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
