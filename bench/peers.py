"""Compare this indexer with other programs on the same measured patterns and the same lines, in one table.

    python bench/peers.py INDEX.csv -o FOLDER [--sample N] [--seconds S] [--pyobjcryst PYTHON] [--rietx PYTHON]
                          [--methods NAME ...]

This program finds the lines of each pattern once, and writes them to FOLDER. Then each method indexes the pattern:

    alphadiffract      this program: network, search on the lines, whole-pattern fit, ranking
    lines-alone        its search on the lines, ranked by the score of that search: no network, no fit of the pattern
    alphadiffract-net  its network alone
    gsasii             GSAS-II's DoIndexPeaks, through the indexer of that name (settings: gsasii/indexer.py)
    pyobjcryst         quick_index (settings: peer_pyobjcryst.py), where PYTHON has it; it is not a dependency
    rietx              index_pattern (settings: peer_rietx.py), where PYTHON has it; it is not a dependency

Each method runs in one thread of its own process, and fails for a pattern that takes more than S seconds of processor
time. GSAS-II and rietx are given the limit; of pyobjcryst the last finished round counts. Processor time is used
because a busy machine would stop the slow methods early. Seconds are those from the task to its answer, in a process
that has its imports and tables: of "alphadiffract" and of the network that is the whole way from the file, of
"lines-alone", pyobjcryst and rietx the search on lines that were found before; GSAS-II's include its start, about one
second. The line below the table has the ratio of pyobjcryst's median to that of this program.

All methods finish a pattern before the next one begins, so that a run that was stopped is a run of a smaller sample;
started again, it continues. As in the benchmark's score program, a cell is right if its lattice agrees within 1 % and
1° ("fine": 0.2 % and 0.2°). Runs on Linux and macOS.
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
from measured import answered, histogram_of, known_rows, stratified
from speed import machine, name_of

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow, Measurement
    from alphadiffract_plugin.records import Peaks

METHODS = {
    "alphadiffract": "this program",
    "lines-alone": "its search on lines alone",
    "alphadiffract-net": "its network alone",
    "gsasii": "GSAS-II",
    "pyobjcryst": "pyobjcryst",
    "rietx": "rietx",
}
"""Names of the methods in files, and in the table."""
PROGRAMS = {name: Path(__file__).with_name(f"peer_{name}.py") for name in ("pyobjcryst", "rietx")}
"""The scripts that ask other programs; each is run by a Python that has the program."""
WARM_UP = Path(__file__).parent.parent / "examples" / "data" / "pbso4_xray.xye"
"""A pattern that this program indexes before the first one that counts."""
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
    """The Python that has the program, for those of ``PROGRAMS``."""
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
    for name in PROGRAMS:
        parser.add_argument(f"--{name}", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="NAME")
    args = parser.parse_args(argv)
    rows = stratified(known_rows(args.index), args.sample, args.seed)
    pythons = {method: getattr(args, method, sys.executable) for method in args.methods}
    versions = {method: version_of(method, python) for method, python in pythons.items()}
    for method in (method for method, version in versions.items() if version is None):
        print(f"{METHODS[method]} is not installed: its row of the table stays empty", file=sys.stderr)
    args.output.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    workers = [Worker(method, args.seconds, pythons[method]) for method in args.methods if versions[method]]
    try:
        answers = gathered(rows, workers, args.output, versions)
    finally:
        for worker in workers:
            worker.stop()
    print(table(rows, {method: answers.get(method) for method in args.methods}))
    print(foot(args, rows, answers, versions))
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
    from alphadiffract_plugin import gsasii

    if method == "gsasii":
        return installed.version if (installed := gsasii.find()) else None
    if method in PROGRAMS:
        command = [python, str(PROGRAMS[method])]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return answer.stdout.split()[-1] if answer.returncode == 0 else None
    return name_of(Path(sys.executable))


def serve(method: str, pipe: Connection, seconds: float, python: str) -> None:
    """The loop of a worker's process: index patterns until it is killed, by the kernel where one takes too long."""
    if method not in ("gsasii", *PROGRAMS):
        warm_up(method)
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
            answer |= answer_of(method, pattern, lines, seconds, python)
        except Exception as error:  # one failing pattern must not end the run
            answer["error"] = f"{type(error).__name__}: {error}"
        pipe.send({"seconds": round(sum(os.times()[:4]) - began, 3)} | answer)


def warm_up(method: str) -> None:
    """Index a pattern that does not count, so that imports and tables are there before the first one that does."""
    from alphadiffract_plugin.benchmark_index import Measurement

    pattern = Measurement(id="warm-up", path=WARM_UP, wavelength="1.5405/1.5443", radiation="xray")
    answer_of(method, pattern, lines_of(pattern), math.inf, sys.executable)


def answer_of(method: str, pattern: Measurement, lines: dict | None, seconds: float, python: str) -> dict[str, Any]:
    """``candidates`` of one pattern, ranked, and ``seconds`` where the program counts its own.

    A candidate is ``{"space_group", "cell"}``; a lattice without a space group is given as a primitive cell in P 1.
    """
    from alphadiffract_plugin.records import Peaks
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import SearchSettings, Settings

    own = SearchSettings(seconds=seconds - MARGIN if method == "gsasii" else None)
    if method in ("alphadiffract", "alphadiffract-net", "gsasii"):
        found = plugins().indexer(method).index(histogram_of(pattern), Settings(search=own)).candidates
        return {"candidates": [{"space_group": c.space_group, "cell": list(c.cell)} for c in found if c.has_cell]}
    if lines is None:
        return {"candidates": []}
    peaks = Peaks.from_dict(lines)
    if method == "lines-alone":
        from alphadiffract_plugin.crystal.cells import cell_from_metric
        from alphadiffract_plugin.indexing.search_cells import distinct_lattices, search_cells

        trials = distinct_lattices(search_cells(peaks, own).trials, 20)
        return {"candidates": [of_lattice(cell_from_metric(trial.metric), trial.lattice.centring) for trial in trials]}
    task = clear_lines(peaks) if method == "pyobjcryst" else all_lines(peaks)
    return by_program(method, task | {"seconds": seconds}, python) if task else {"candidates": []}


def clear_lines(peaks: Peaks) -> dict[str, Any]:
    """What peer_pyobjcryst.py reads: the clear lines at the lowest angles; their esd is a quarter of their width."""
    from alphadiffract_plugin.crystal import d_from_two_theta

    keep = np.flatnonzero(peaks.area > 0.01 * peaks.area.max())[:MOST]
    if len(keep) < FEWEST:
        return {}
    theta = np.radians(peaks.two_theta[keep] / 2)
    d = d_from_two_theta(peaks.two_theta[keep], peaks.wavelength)
    return {"d": d.tolist(), "d_esd": (d / np.tan(theta) * np.radians(peaks.fwhm[keep] / 4) / 2).tolist()}


def all_lines(peaks: Peaks) -> dict[str, Any]:
    """What peer_rietx.py reads: all lines, because rietx itself chooses among them by intensity."""
    columns = {name: getattr(peaks, name).tolist() for name in ("two_theta", "two_theta_esd", "area", "fwhm")}
    return columns | {"area_esd": (peaks.area / peaks.significance).tolist(), "wavelength": peaks.wavelength}


def by_program(method: str, task: dict[str, Any], python: str) -> dict[str, Any]:
    """The last whole line that the script of a program prints; a program that was ended has used all its seconds."""
    command = [python, str(PROGRAMS[method])]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True)
    whole = [line for line in done.stdout.splitlines(keepends=True) if line.endswith("}\n")]
    said = json.loads(whole[-1]) if whole else {"cells": []}
    candidates = [of_lattice(tuple(cell), centring) for *cell, centring in said["cells"][:20]]
    if done.returncode == 0:
        return {"seconds": round(said["seconds"], 3), "candidates": candidates}
    error = done.stderr.strip().splitlines()[-1:] if done.returncode > 0 else []
    return {
        "seconds": task["seconds"],
        "candidates": candidates,
        "error": error[0] if error else f"stopped after {task['seconds']:g} s",
    }


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


def foot(args: argparse.Namespace, rows: list[BenchmarkRow], answers: dict, versions: dict[str, str | None]) -> str:
    """The lines below the table that say how it was made, and how many times faster than pyobjcryst this program is."""
    there = dict.fromkeys(
        f"{METHODS[m] if m in ('gsasii', *PROGRAMS) else 'alphadiffract-plugin'} {version}"
        for m, version in versions.items()
        if version
    )
    lines = [
        f"\nn = {len(rows)} patterns of tier A (sample seed {args.seed}); processor seconds of one thread, limit "
        f"{args.seconds:g}; {time.strftime('%Y-%m-%d')}; {', '.join(there)}; {machine()}."
    ]
    if {"alphadiffract", "pyobjcryst"} <= answers.keys():
        ours, theirs = (
            float(np.median([answers[method][row.id]["seconds"] for row in rows]))
            for method in ("alphadiffract", "pyobjcryst")
        )
        lines.append(f"pyobjcryst's median over that of this program: {theirs / ours:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
