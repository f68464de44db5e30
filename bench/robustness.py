"""Degrade measured patterns in known ways (``bench/degrade.py``) and say how often they are still indexed.

    python bench/robustness.py INDEX.csv -o FOLDER [--sample N] [--seed S] [--jobs N] [--page docs/robustness.md]

Patterns of tier A, a sample stratified by crystal system, are degraded in memory in one respect at a time, and indexed
with the default settings except for the time limit of the search. FOLDER gets one JSONL file for each condition, with a
line a pattern. All conditions of a pattern come before the next pattern, so that a run that was stopped is a run of a
smaller sample; started again, it continues. With ``--page`` the part of that page from "## Measured" on, and the
picture beside it, are written again from the answers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow

sys.path.insert(0, str(Path(__file__).parent))
from degrade import CURVES, Curve, degraded
from failures import known_lattice, primitive, same
from measured import answered, histogram_of, known_rows, one_thread, stratified

UNTOUCHED = "untouched"
FIGURES = {"cell@1": "cell first", "cell@20": "cell among 20", "sg@1": "group first", "sg@5": "group among 5"}
NOTICED = {"noted": "a note warns", "noticed": "a note or no cell first"}
"""Further figures for a wrong wavelength."""
LOOKS = {
    "cell@1": {"color": "C0", "fmt": "o-"},
    "cell@20": {"color": "C9", "fmt": "s-"},
    "sg@1": {"color": "C3", "fmt": "^-"},
    "sg@5": {"color": "C1", "fmt": "v-"},
    "noticed": {"color": "0.2", "fmt": "D--"},
}
"""Colour and marker of each figure in the picture."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--sample", type=int, default=28, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes, each with one thread"
    )
    parser.add_argument("--page", type=Path, metavar="PAGE.md")
    args = parser.parse_args(argv)
    from alphadiffract_plugin.progress import track

    rows = stratified(known_rows(args.index), args.sample, args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    done = {name: answered(args.output / f"{name}.jsonl") for name, _, _ in conditions()}
    left = [
        (row, name, curve, value)
        for row in rows
        for name, curve, value in conditions()
        if row.id not in done[name] and (curve != "one" or "/" in row.measurement.wavelength)
    ]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), one_thread) as pool:
        jobs = {pool.submit(evaluated, row, curve, value): name for row, name, curve, value in left}
        for job in track(as_completed(jobs), "index", total=len(jobs)):
            with (args.output / f"{jobs[job]}.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(job.result()) + "\n")
    if args.page:
        answers = {name: read(args.output / f"{name}.jsonl", rows) for name, _, _ in conditions()}
        write_page(args.page, answers, f"--sample {args.sample} --seed {args.seed}")
    return 0


def conditions() -> Iterator[tuple[str, str, float | str]]:
    """Name, curve and value of every condition; the pattern as measured, which all curves share, comes first."""
    yield UNTOUCHED, UNTOUCHED, 0.0
    for curve in CURVES:
        yield from ((name_of(curve, v), curve.name, v) for v in curve.values if v != curve.untouched)


def name_of(curve: Curve, value: float | str) -> str:
    """Name of a condition, and of its file."""
    if value == curve.untouched:
        return UNTOUCHED
    return f"{curve.name}_{value if isinstance(value, str) else format(value, 'g')}".replace(" ", "_")


def evaluated(row: BenchmarkRow, curve: str, value: float | str) -> dict:
    """One line of the output: a pattern degraded, indexed, and compared with the known cell and space group."""
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.peaks.doubt_wavelength import doubts_about_wavelength
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import Settings

    start = time.process_time()
    settings = Settings()
    candidates, noted, error = (), False, None
    try:
        histogram = degraded(histogram_of(row.measurement), curve, value, seed=zlib.crc32(row.id.encode()))
        result = plugins().indexer("alphadiffract").index(histogram, settings)
        candidates = result.candidates
        noted = any(doubt in result.notes for doubt in doubts_about_wavelength(histogram, result.peaks))
    except AlphaDiffractError as refused:  # too few lines are left
        error = refused.what
    truth = known_lattice(row)
    cells = [same(truth, primitive(vars(c))) if c.has_cell else False for c in candidates]
    right = [candidate.space_group in row.groups for candidate in candidates]
    abstained = not candidates or not candidates[0].has_cell
    return {
        "id": row.id,
        "seconds": round(time.process_time() - start, 2),
        "error": error,
        "cell@1": any(cells[:1]),
        "cell@20": any(cells[:20]),
        "sg@1": any(right[:1]),
        "sg@5": any(right[:5]),
        "noted": noted,
        "noticed": noted or abstained,
    }


def read(path: Path, rows: list[BenchmarkRow]) -> list[dict]:
    """Answers to the patterns of a sample."""
    wanted = {row.id for row in rows}
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [line for line in map(json.loads, filter(str.strip, file)) if line["id"] in wanted]


def answers_of(curve: Curve, answers: dict[str, list[dict]]) -> list[list[dict]]:
    """Answers at each value of a curve, for the patterns that all values have."""
    sets = [answers[name_of(curve, value)] for value in curve.values]
    shared = set.intersection(*({line["id"] for line in lines} for lines in sets))
    return [[line for line in lines if line["id"] in shared] for lines in sets]


def share(lines: list[dict], figure: str) -> tuple[float, float, float]:
    """Per cent of the patterns, and its 95 % interval (Wilson 1927)."""
    from scipy.stats import binomtest

    hits = sum(line[figure] for line in lines)
    low, high = binomtest(hits, len(lines)).proportion_ci(method="wilson")
    return 100 * hits / len(lines), 100 * low, 100 * high


def write_page(page: Path, answers: dict[str, list[dict]], options: str) -> None:
    """Write the measured part of the page, and the picture beside it."""
    from alphadiffract_plugin.provenance import versions

    draw_picture(page.with_suffix(".png"), answers)
    seconds = sorted(line["seconds"] for lines in answers.values() for line in lines)
    head = page.read_text(encoding="utf-8").partition("\n## Measured\n")[0]
    parts = [
        f"{head}\n## Measured\n",
        f"`python bench/robustness.py INDEX.csv -o FOLDER {options} --page docs/robustness.md`: {len(seconds)} runs, "
        f"median {seconds[len(seconds) // 2]:.1f} s of one core. Versions: "
        + ", ".join(f"{name}={number}" for name, number in versions().items())
        + ". Per cent of the patterns, in brackets 95 % intervals (Wilson).\n",
        f"![Accuracy against each of the changes]({page.with_suffix('.png').name})\n",
        *(table(curve, answers_of(curve, answers)) for curve in CURVES),
    ]
    page.write_text("\n".join(parts), encoding="utf-8")


def table(curve: Curve, sets: list[list[dict]]) -> str:
    """The Markdown table of one curve."""
    figures = FIGURES | (NOTICED if curve.doubtful else {})
    rows = [f"| {' | '.join([curve.axis, 'n', *figures.values()])} |", "|---" * (len(figures) + 2) + "|"]
    for value, lines in zip(curve.values, sets, strict=True):
        shown = ["{:.0f} ({:.0f}-{:.0f})".format(*share(lines, figure)) for figure in figures if lines]
        rows.append(f"| {' | '.join([text_of(value), str(len(lines)), *shown])} |")
    return f"### {curve.title}\n\n{curve.how[0].upper() + curve.how[1:]}.\n\n" + "\n".join(rows) + "\n"


def text_of(value: float | str) -> str:
    """A value as text."""
    return value if isinstance(value, str) else f"{value:g}"


def draw_picture(path: Path, answers: dict[str, list[dict]]) -> None:
    """Draw a panel for each curve, with 95 % intervals as error bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 4, figsize=(15, 7.6), sharey=True, layout="constrained")
    names = FIGURES | NOTICED
    for panel, curve in zip(panels.flat, CURVES, strict=False):
        sets = answers_of(curve, answers)
        place = np.arange(len(sets))
        for k, (key, look) in enumerate(LOOKS.items()):
            if all(sets) and (key in FIGURES or curve.doubtful):
                middle, low, high = np.array([share(lines, key) for lines in sets]).T
                bars = (np.maximum(middle - low, 0), np.maximum(high - middle, 0))
                panel.errorbar(place + 0.09 * (k - 2), middle, bars, label=names[key], ms=5, lw=1.2, capsize=2, **look)
        panel.set_xticks(place, [text_of(value) for value in curve.values])
        panel.set(xlabel=curve.axis, ylim=(-3, 103), title=f"{curve.title} (n = {len(sets[0])})")
        panel.grid(axis="y", alpha=0.3)
    for panel in panels[:, 0]:
        panel.set_ylabel("patterns / %")
    rest = panels.flat[len(CURVES)]
    rest.axis("off")
    rest.legend(*panels.flat[len(CURVES) - 1].get_legend_handles_labels(), loc="center", fontsize=12)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
