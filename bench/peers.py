"""Our indexer beside other programs: the same measured patterns, the same lines, one run, one table.

    python bench/peers.py INDEX.csv -o FOLDER [--sample N] [--seconds S] [--pyobjcryst PYTHON] [--methods NAME ...]

The lines of each pattern are found once, by ours; what is handed on is written to FOLDER. Then every method is asked:

    alphadiffract      all of ours: network, search on the lines, whole-pattern fit, ranking
    lines-alone        our search on the lines, ranked by its own score: no network, no pattern
    alphadiffract-net  the network alone
    gsasii             GSAS-II's DoIndexPeaks, through the indexer of that name (its settings: index_gsasii.py)
    pyobjcryst         quick_index (its settings: peer_pyobjcryst.py), where PYTHON has it; never a dependency of ours

Each works in one thread of a process of its own, and fails at a pattern that takes it more than S seconds of the
processor; GSAS-II is told the limit, and of pyobjcryst the last finished round counts. Processor time it is, since a
busy machine would stop the slow ones early. All methods answer a pattern before the next one is begun, so that a run
that was stopped is one of a smaller sample; run it again and it goes on. A cell is right if its lattice is (within
1 % and 1°; "fine": 0.2 % and 0.2°), as the benchmark's score program has it. Linux and macOS.
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
    "alphadiffract": "ours",
    "lines-alone": "ours, lines alone",
    "alphadiffract-net": "our network alone",
    "gsasii": "GSAS-II",
    "pyobjcryst": "pyobjcryst",
}
"""Names of the files, and of the rows."""
FIGURES = {"cell@1": "first cell, %", "cell@5": "among 5, %", "cell@20": "among 20, %", "fine@1": "first cell, fine, %"}
HOURGLASS = 30
"""Nobody waits longer for a method than so many times its limit, however busy the machine."""
MARGIN = 5.0
"""Seconds of its limit that GSAS-II's search leaves for starting up and finding the lines."""
FEWEST, MOST = 7, 20
"""Lines that the other programs are asked to index: the lowest ones that are no mere ripples."""


@dataclass
class Worker:
    """A process that answers for one method; killed and started anew where it takes too long."""

    method: str
    """One of ``METHODS``."""
    seconds: float
    """Limit a pattern, of the processor's time."""
    python: str
    """The Python that has pyobjcryst."""
    process: Any = field(default=None, init=False)
    pipe: Connection | None = field(default=None, init=False)

    def ask(self, pattern: Measurement, lines: dict[str, Any] | None) -> dict[str, Any]:
        """One line of the output: ``seconds``, ``candidates``, and ``error`` if there are none for a reason."""
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
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--sample", type=int, default=35, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    parser.add_argument("--pyobjcryst", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="NAME")
    args = parser.parse_args(argv)
    rows = stratified(known_rows(args.index), args.sample, args.seed)
    versions = {method: version_of(method, args.pyobjcryst) for method in args.methods}
    for method in (method for method, version in versions.items() if version is None):
        print(f"NOT INSTALLED: {METHODS[method]}; its row of the table stays empty", file=sys.stderr)
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
    """Answers by method and id; those that FOLDER holds for the same lines, limit and version are not asked for."""
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
    """The last line of each id; a line cut short by an interruption is taken away."""
    if not answered(path):
        return {}
    return {line["id"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def written(path: Path, line: dict) -> None:
    """Append a line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def lines_of(pattern: Measurement) -> dict[str, Any] | None:
    """What ours finds in a pattern, as JSON types; None if it finds too little."""
    from alphadiffract_plugin.errors import PeaksError
    from alphadiffract_plugin.peaks.find_peaks import find_peaks

    try:
        return find_peaks(histogram_of(pattern)).to_dict()
    except PeaksError:
        return None


def version_of(method: str, python: str) -> str | None:
    """Version of the program behind a method; None if it is not there."""
    from alphadiffract_plugin import gsasii, pipeline

    if method == "gsasii":
        return installed.version if (installed := gsasii.find()) else None
    if method == "pyobjcryst":
        answer = subprocess.run([python, str(SCRIPT)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return answer.stdout.split()[-1] if answer.returncode == 0 else None
    return pipeline.versions()["alphadiffract-plugin"]


SCRIPT = Path(__file__).with_name("peer_pyobjcryst.py")


def serve(method: str, pipe: Connection, seconds: float, python: str) -> None:
    """What a worker's process does: answer rows until it is killed, by the kernel where it takes too long."""
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
    """Ranked ``{"space_group", "cell"}``; where a method gives but a lattice, of a group with its centring."""
    from alphadiffract_plugin.records import Peaks
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import SearchSettings, Settings

    own = SearchSettings(seconds=seconds - MARGIN if method == "gsasii" else HOURGLASS * seconds)
    if method in ("alphadiffract", "alphadiffract-net", "gsasii"):
        found = plugins().indexer(method).index(histogram_of(pattern), Settings(search=own)).candidates
        return [{"space_group": c.space_group, "cell": list(c.cell)} for c in found if c.has_cell]
    peaks = Peaks.from_dict(lines)
    if method == "lines-alone":
        from alphadiffract_plugin.crystal.cells import cell_from_metric
        from alphadiffract_plugin.indexing.search_cells import distinct_lattices, search_cells

        trials = distinct_lattices(search_cells(peaks, own), 20)
        return [of_lattice(cell_from_metric(trial.metric), trial.lattice.centring) for trial in trials]
    return by_pyobjcryst(peaks, seconds, python)


def by_pyobjcryst(peaks: Any, seconds: float, python: str) -> list[dict[str, Any]]:
    """Cells of quick_index for the lowest clear lines, each uncertain by a quarter of its width as its own are."""
    keep = np.flatnonzero(peaks.area > 0.01 * peaks.area.max())[:MOST]
    if len(keep) < FEWEST:
        return []
    theta = np.radians(peaks.two_theta[keep] / 2)
    d = peaks.wavelength / 2 / np.sin(theta)
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
    """A bare lattice as a candidate of P 1: its primitive cell; null where it is no cell at all."""
    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.cells import cell_from_direct_metric

    try:
        basis = primitive_basis(cell, centring)
    except np.linalg.LinAlgError:
        return {"space_group": 1, "cell": None}
    found = [float(value) for value in cell_from_direct_metric(basis @ basis.T)]
    return {"space_group": 1, "cell": found if all(map(math.isfinite, found)) else None}


def judged(row: BenchmarkRow, answer: dict[str, Any]) -> dict[str, bool]:
    """Whether the known lattice comes first, among 5 and 20, and first within the finer bounds."""
    truth = known_lattice(row)
    lattices = [primitive(c) if c["cell"] else None for c in answer["candidates"][:20]]
    right = [lattice is not None and same(truth, lattice) for lattice in lattices]
    fine = bool(right[:1] == [True] and same(truth, lattices[0], length=0.002, angle=0.2))
    return {"cell@1": any(right[:1]), "cell@5": any(right[:5]), "cell@20": any(right), "fine@1": fine}


def table(rows: list[BenchmarkRow], answers: dict[str, dict[str, dict] | None]) -> str:
    """A row a method in Markdown, with intervals of 95 %; None for a program that is not there."""
    from alphadiffract_plugin.models.training.figures import share

    heads = ("", *FIGURES.values(), "seconds, median", "95th percentile", "stopped")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for method, found in answers.items():
        if found is None:
            lines.append(f"| {METHODS[method]} | not installed |" + " |" * (len(heads) - 2))
            continue
        verdicts = [judged(row, found[row.id]) for row in rows]
        shares = [share(np.array([verdict[key] for verdict in verdicts])) for key in FIGURES]
        shown = ["{:.0f} ({:.0f}-{:.0f})".format(s["percent"], *s["wilson95"]) for s in shares]
        seconds = np.array([found[row.id]["seconds"] for row in rows])
        stopped = sum("stopped" in found[row.id].get("error", "") for row in rows)
        shown += [f"{np.median(seconds):.1f}", f"{np.percentile(seconds, 95):.1f}", str(stopped)]
        lines.append(f"| {METHODS[method]} | {' | '.join(shown)} |")
    return "\n".join(lines)


def foot(args: argparse.Namespace, patterns: int, versions: dict[str, str | None]) -> str:
    """What stands below the table: how it was made."""
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
