"""Measure the line finder on patterns of known cell: the share of the first 20 lines that belong to the cell.

    python bench/peaks.py INDEX.csv [--sample N] [--seed S] [--ids FILE]

A line belongs to the cell if it lies within 0.03° of a reflection that the known cell and space group allow. The table
gives, for each source of patterns, the share as measured, the share after the constant shift that fits the pattern best
(samples may be displaced, goniometers misaligned), the median distance of the lines that belong after that shift, and
the seconds a pattern. Only tier A is used, whose cells are known.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow

sys.path.insert(0, str(Path(__file__).parent))
from measured import histogram_of, known_rows, stratified

LINES, NEAR = 20, 0.03
SHIFTS = np.linspace(-0.15, 0.15, 61)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument(
        "--sample", type=int, metavar="N", help="use only N patterns, the crystal systems as evenly as possible"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="use only the patterns of these ids, one id a line")
    args = parser.parse_args(argv)

    rows = known_rows(args.index)
    if args.ids:
        wanted = set(args.ids.read_text(encoding="utf-8").split())
        rows = [row for row in rows if row.id in wanted]
    if args.sample:
        rows = stratified(rows, args.sample, args.seed)
    found = defaultdict(list)
    for row in rows:
        found[row.source.partition(":")[0]].append(figures(row))
    print("| source | patterns | belong | belong, shifted | median distance / 0.001° | s a pattern |")
    print("|---|---|---|---|---|---|")
    for source, measured in sorted(found.items()):
        print(line(source, measured))
    print(line("all", [one for measured in found.values() for one in measured]))
    return 0


def figures(row: BenchmarkRow) -> tuple[float, float, float, float]:
    """Share of the first lines that belong, the same after the best shift, their median distance then, and seconds."""
    from alphadiffract_plugin.crystal import allowed_inv_d2, inv_d2_from_two_theta, two_theta_from_inv_d2
    from alphadiffract_plugin.errors import PeaksError
    from alphadiffract_plugin.peaks.find_peaks import find_peaks

    histogram = histogram_of(row.measurement)
    began = time.perf_counter()
    try:
        peaks = find_peaks(histogram)
    except PeaksError:
        return 0.0, 0.0, np.nan, time.perf_counter() - began
    seconds = time.perf_counter() - began
    reach = float(inv_d2_from_two_theta(peaks.two_theta[:LINES][-1] + 0.5, peaks.wavelength))
    allowed = allowed_inv_d2(row.cell, row.space_group, reach)
    return *belonging(peaks.two_theta[:LINES], two_theta_from_inv_d2(allowed, peaks.wavelength)), seconds


def belonging(found: np.ndarray, places: np.ndarray) -> tuple[float, float, float]:
    """Share of ``found`` near one of ``places``, that share after the best shift, and the median distance then."""
    off = np.abs(found[:, None, None] + SHIFTS[:, None] - places).min(-1)
    share = (off < NEAR).mean(0)
    best = np.lexsort((np.minimum(off, NEAR).sum(0), -share))[0]
    near = off[:, best][off[:, best] < NEAR]
    return float(share[len(SHIFTS) // 2]), float(share[best]), float(np.median(near)) if len(near) else np.nan


def line(source: str, measured: list[tuple[float, float, float, float]]) -> str:
    """A row of the table."""
    belong, shifted, distance, seconds = np.array(measured).T
    means = f"{100 * belong.mean():.1f} % | {100 * shifted.mean():.1f} %"
    return f"| {source} | {len(measured)} | {means} | {1000 * np.nanmedian(distance):.1f} | {np.median(seconds):.2f} |"


if __name__ == "__main__":
    sys.exit(main())
