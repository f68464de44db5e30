"""Compare this indexer with other programs on the same measured patterns and the same lines, in one table.

    python bench/peers.py INDEX.csv -o FOLDER [--sample N] [--seconds S] [--pyobjcryst PYTHON] [--methods NAME ...]

This program finds the lines of each pattern once, and writes them to FOLDER. Then each method indexes the pattern:

    alphadiffract      this program: network, search on the lines, whole-pattern fit, ranking
    lines-alone        its search on the lines, ranked by the score of that search: no network, no fit of the pattern
    alphadiffract-net  its network alone
    gsasii             GSAS-II's DoIndexPeaks, through the indexer of that name (settings: gsasii/indexer.py)
    pyobjcryst         quick_index (settings: peer_pyobjcryst.py), where PYTHON has it; it is not a dependency

Each method runs in one thread of its own process, and fails for a pattern that takes more than S seconds of processor
time. GSAS-II is given the limit; of pyobjcryst the last finished round counts. Processor time is used because a busy
machine would stop the slow methods early. All methods finish a pattern before the next one begins, so that a run that
was stopped is a run of a smaller sample; started again, it continues. As in the benchmark's score program, a cell is
right if its lattice agrees within 1 % and 1° ("fine": 0.2 % and 0.2°). Runs on Linux and macOS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from failures import known_lattice, primitive, same
from measured import answered, histogram_of, known_rows, one_thread, stratified

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow, Measurement

METHODS = {
    "alphadiffract": "this program",
    "lines-alone": "its search on lines alone",
    "alphadiffract-net": "its network alone",
    "gsasii": "GSAS-II",
    "pyobjcryst": "pyobjcryst",
}
"""Names of the methods in files, and in the table."""
FIGURES = {"cell@1": "first cell, %", "cell@5": "among 5, %", "cell@20": "among 20, %", "fine@1": "first cell, fine, %"}
HOURGLASS = 30
"""A method is stopped after so many times its limit in wall-clock time, however busy the machine is."""
MARGIN = 5.0
"""Seconds of the limit that are kept for starting GSAS-II and finding the lines; its search gets the rest."""
FEWEST, MOST = 7, 20
"""Fewest and most lines that pyobjcryst is given: those at the lowest angles of more than 1 % of the largest area."""


@dataclass
class Worker:
    """A process that runs one method; it is killed and started again where it takes too long."""

    method: str
    """One of ``METHODS``."""
    seconds: float
    """Limit of the processor time for a pattern."""
    python: str
    """The Python in which pyobjcryst is installed."""
    process: Any = field(default=None, init=False)
    pipe: Connection | None = field(default=None, init=False)

    def ask(self, pattern: Measurement, lines: dict[str, Any] | None) -> dict[str, Any]:
        """One line of the output: ``seconds``, ``candidates``, and ``error`` if the method failed."""
        if self.process is None:
            context = get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(
                target=serve, args=(self.method, theirs, self.seconds, self.python), daemon=False
            )
            self.process.start()
            theirs.close()
        self.pipe.send((pattern, lines))
        try:
            if self.pipe.poll(HOURGLASS * self.seconds):
                return self.pipe.recv()
        except EOFError:
            pass
        self.stop()
        return {"seconds": self.seconds, "candidates": [], "error": f"stopped after {self.seconds:g} s"}

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--sample", type=int, default=35, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    parser.add_argument("--pyobjcryst", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="NAME")
    args = parser.parse_args(argv)
    rows = stratified(known_rows(args.index), args.sample, args.seed)
    versions = {method: version_of(method, args.pyobjcryst) for method in args.methods}
    for method in (method for method, version in versions.items() if version is None):
        print(f"{METHODS[method]} is not installed: its row of the table stays empty", file=sys.stderr)
    args.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    workers = [Worker(method, args.seconds, args.pyobjcryst) for method in args.methods if versions[method]]
    try:
        answers = gathered(rows, workers, args.output, versions)
    finally:
        for worker in workers:
            worker.stop()
    print(table(rows, {method: answers.get(method) for method in args.methods}))
    print(foot(args, len(rows), versions))
    return 0


def gathered(
    rows: list[BenchmarkRow], workers: list[Worker], folder: Path, versions: dict[str, str | None]
) -> dict[str, dict[str, dict]]:
    """Answers by method and id; those that FOLDER already has for the same lines, limit and version are reused."""
    from alphadiffract_plugin.progress import track

    answers = {worker.method: kept(folder / f"{worker.method}.jsonl") for worker in workers}
    handed = kept(folder / "lines.jsonl")
    for row in track(rows, "peers", total=len(rows)):
        lines = lines_of(row.measurement)
        mark = hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]
        if handed.get(row.id, {}).get("mark") != mark:
            written(folder / "lines.jsonl", {"id": row.id, "mark": mark, "lines": lines})
        for worker in workers:
            asked = {"lines": mark, "limit": worker.seconds, "version": versions[worker.method]}
            found = answers[worker.method].get(row.id, {})
            if all(found.get(key) == value for key, value in asked.items()):
                continue
            answer = {"id": row.id} | asked | worker.ask(row.measurement, lines)
            written(folder / f"{worker.method}.jsonl", answer)
            answers[worker.method][row.id] = answer
    return answers


def kept(path: Path) -> dict[str, dict]:
    """The last line of each id; a line that is incomplete after an interruption is removed."""
    if not answered(path):
        return {}
    return {line["id"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def written(path: Path, line: dict) -> None:
    """Append a line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def lines_of(pattern: Measurement) -> dict[str, Any] | None:
    """The lines found in a pattern, as JSON types; None if there are too few."""
    from alphadiffract_plugin.errors import PeaksError
    from alphadiffract_plugin.peaks.find_peaks import find_peaks

    try:
        return find_peaks(histogram_of(pattern)).to_dict()
    except PeaksError:
        return None


def version_of(method: str, python: str) -> str | None:
    """Version of the program behind a method; None if it is not installed."""
    from alphadiffract_plugin import gsasii, pipeline

    if method == "gsasii":
        return installed.version if (installed := gsasii.find()) else None
    if method == "pyobjcryst":
        answer = subprocess.run([python, str(SCRIPT)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return answer.stdout.split()[-1] if answer.returncode == 0 else None
    return pipeline.versions()["alphadiffract-plugin"]


SCRIPT = Path(__file__).with_name("peer_pyobjcryst.py")


def serve(method: str, pipe: Connection, seconds: float, python: str) -> None:
    """The loop of a worker's process: index patterns until it is killed, by the kernel where one takes too long."""
    if method not in ("gsasii", "pyobjcryst"):
        one_thread()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    while True:
        try:
            pattern, lines = pipe.recv()
        except EOFError:
            return
        began = sum(os.times()[:4])
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))
        answer: dict[str, Any] = {"candidates": []}
        try:
            answer["candidates"] = cells_of(method, pattern, lines, seconds, python)
        except Exception as error:  # one failing pattern must not end the run
            answer["error"] = f"{type(error).__name__}: {error}"
        pipe.send({"seconds": round(sum(os.times()[:4]) - began, 3)} | answer)


def cells_of(
    method: str, pattern: Measurement, lines: dict | None, seconds: float, python: str
) -> list[dict[str, Any]]:
    """Ranked ``{"space_group", "cell"}``; a lattice without a space group is given as a primitive cell in P 1."""
    from alphadiffract_plugin.records import Peaks
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import SearchSettings, Settings

    own = SearchSettings(seconds=seconds - MARGIN if method == "gsasii" else None)
    if method in ("alphadiffract", "alphadiffract-net", "gsasii"):
        found = plugins().indexer(method).index(histogram_of(pattern), Settings(search=own)).candidates
        return [{"space_group": c.space_group, "cell": list(c.cell)} for c in found if c.has_cell]
    peaks = Peaks.from_dict(lines)
    if method == "lines-alone":
        from alphadiffract_plugin.crystal.cells import cell_from_metric
        from alphadiffract_plugin.indexing.search_cells import distinct_lattices, search_cells

        trials = distinct_lattices(search_cells(peaks, own).trials, 20)
        return [of_lattice(cell_from_metric(trial.metric), trial.lattice.centring) for trial in trials]
    return by_pyobjcryst(peaks, seconds, python)


def by_pyobjcryst(peaks: Any, seconds: float, python: str) -> list[dict[str, Any]]:
    """Cells of quick_index for the clear lines at the lowest angles; their esd is a quarter of their width."""
    from alphadiffract_plugin.crystal import d_from_two_theta

    keep = np.flatnonzero(peaks.area > 0.01 * peaks.area.max())[:MOST]
    if len(keep) < FEWEST:
        return []
    theta = np.radians(peaks.two_theta[keep] / 2)
    d = d_from_two_theta(peaks.two_theta[keep], peaks.wavelength)
    task = {
        "d": d.tolist(),
        "d_esd": (d / np.tan(theta) * np.radians(peaks.fwhm[keep] / 4) / 2).tolist(),
        "seconds": seconds,
    }
    rounds = subprocess.run([python, str(SCRIPT)], input=json.dumps(task), capture_output=True, text=True)
    whole = [line for line in rounds.stdout.splitlines(keepends=True) if line.endswith("]\n")]
    cells = json.loads(whole[-1])[:20] if whole else []
    return [of_lattice(tuple(cell), centring) for _, *cell, centring in cells]


def of_lattice(cell: tuple[float, ...], centring: str) -> dict[str, Any]:
    """A lattice as a candidate in P 1, with its primitive cell; null where the numbers are not a cell."""
    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.cells import cell_from_direct_metric

    try:
        basis = primitive_basis(cell, centring)
    except np.linalg.LinAlgError:
        return {"space_group": 1, "cell": None}
    found = [float(value) for value in cell_from_direct_metric(basis @ basis.T)]
    return {"space_group": 1, "cell": found if all(map(math.isfinite, found)) else None}


def evaluated(row: BenchmarkRow, answer: dict[str, Any]) -> dict[str, bool]:
    """Whether the known lattice is the first, among the first 5 and 20, and the first within the finer tolerance."""
    truth = known_lattice(row)
    lattices = [primitive(c) if c["cell"] else None for c in answer["candidates"][:20]]
    right = [lattice is not None and same(truth, lattice) for lattice in lattices]
    fine = bool(right[:1] == [True] and same(truth, lattices[0], length=0.002, angle=0.2))
    return {"cell@1": any(right[:1]), "cell@5": any(right[:5]), "cell@20": any(right), "fine@1": fine}


def table(rows: list[BenchmarkRow], answers: dict[str, dict[str, dict] | None]) -> str:
    """A Markdown table with a row for each method and 95 % intervals; None is a program that is not installed."""
    from alphadiffract_plugin.models.training.figures import share

    heads = ("", *FIGURES.values(), "seconds, median", "95th percentile", "stopped")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for method, found in answers.items():
        if found is None:
            lines.append(f"| {METHODS[method]} | not installed |" + " |" * (len(heads) - 2))
            continue
        verdicts = [evaluated(row, found[row.id]) for row in rows]
        shares = [share(np.array([verdict[key] for verdict in verdicts])) for key in FIGURES]
        shown = ["{:.0f} ({:.0f}-{:.0f})".format(s["percent"], *s["wilson95"]) for s in shares]
        seconds = np.array([found[row.id]["seconds"] for row in rows])
        stopped = sum("stopped" in found[row.id].get("error", "") for row in rows)
        shown += [f"{np.median(seconds):.1f}", f"{np.percentile(seconds, 95):.1f}", str(stopped)]
        lines.append(f"| {METHODS[method]} | {' | '.join(shown)} |")
    return "\n".join(lines)


def foot(args: argparse.Namespace, patterns: int, versions: dict[str, str | None]) -> str:
    """The line below the table that says how it was made."""
    names = {"gsasii": "GSAS-II", "pyobjcryst": "pyobjcryst"}
    there = dict.fromkeys(
        f"{names.get(m, 'alphadiffract-plugin')} {version}" for m, version in versions.items() if version
    )
    return (
        f"\nn = {patterns} patterns of tier A (sample seed {args.seed}); processor seconds of one thread, limit "
        f"{args.seconds:g}; {time.strftime('%Y-%m-%d')}; {', '.join(there)}; numpy {np.__version__}, "
        f"Python {sys.version.split()[0]}."
    )


if __name__ == "__main__":
    sys.exit(main())
