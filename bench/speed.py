"""Seconds a pattern: by step, cold and warm, in one and two processes, on an idle and on a busy machine.

    python bench/speed.py warm   INDEX.csv [--sample 56] [--beside PYTHON]   one process, one thread, pattern by pattern
    python bench/speed.py cold   INDEX.csv [--sample 7]  [--beside PYTHON]   the command `index FILE`, imports included
    python bench/speed.py busy   INDEX.csv [--sample 12] [--busy 6]          the same beside six busy processes
    python bench/speed.py folder INDEX.csv [--sample 60]                     `index` over a folder, --jobs 1 and 2

The sample is stratified by crystal system and drawn by ``--seed``. PYTHON is the interpreter of an environment with
another version of this package, e.g. of another commit: the two take turns, pattern by pattern, so that a machine whose
speed drifts is the same for both. Seconds are those of the processor (user and system, all threads) and of the clock.
Every table ends with the versions and the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import Measurement

sys.path.insert(0, str(Path(__file__).parent))

STEPS = ("find_peaks", "predict", "search_cells", "fit_pattern", "rank", "refine_pattern")


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("warm", "cold", "busy", "folder", "worker"))
    parser.add_argument("index", type=Path, nargs="?")
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--beside", type=Path, metavar="PYTHON", help="interpreter with another version")
    parser.add_argument("--busy", type=int, default=6, metavar="N", help="busy processes of 'busy'")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of 'warm'")
    args = parser.parse_args(argv)
    if args.what == "worker":
        return worker()
    if args.index is None:
        parser.error("name the index of measured patterns")

    from measured import chosen_patterns

    usual = {"warm": 56, "cold": 7, "busy": 12, "folder": 60}[args.what]
    many = args.sample or usual
    patterns = chosen_patterns(args.index, sample=None if args.what == "folder" else many, seed=args.seed)
    if args.what == "folder":
        patterns = of_one_wavelength(patterns, many, args.seed)
    pythons = [Path(sys.executable), *([args.beside] if args.beside else [])]
    if args.what == "warm":
        table = warm(patterns, pythons, args.device)
    elif args.what == "cold":
        table = cold(patterns, pythons)
    elif args.what == "busy":
        table = busy(patterns, args.busy)
    else:
        table = folder(patterns)
    print(table)
    print(f"\n{len(patterns)} patterns, seed {args.seed}; {machine()}")
    return 0


# --- the two sides of `warm` and `busy`: a process that answers one pattern after another ---


def worker() -> int:
    """Read one pattern a line from stdin; answer with seconds, steps and the answer, one line of JSON each."""
    from alphadiffract_plugin.load import histogram_from_file
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import NetworkSettings, Settings

    index = plugins().indexer("alphadiffract").index
    for line in sys.stdin:
        asked = json.loads(line)
        settings = Settings(network=NetworkSettings(device=asked["device"]))
        clock, processor = time.perf_counter(), time.process_time()
        histogram = histogram_from_file(asked["path"], wavelength=asked["wavelength"], radiation=asked["radiation"])
        result = index(histogram, settings)
        seconds = {"wall": time.perf_counter() - clock, "cpu": time.process_time() - processor}
        answer = json.loads(result.to_json())
        steps = answer.pop("timings")
        print(json.dumps({**seconds, "steps": steps, "answer": json.dumps(answer, sort_keys=True)}), flush=True)
    return 0


class Worker:
    """A process of one version of the package, asked one pattern at a time."""

    def __init__(self, python: Path, threads: int | None = 1) -> None:
        self.environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        if threads is not None:
            self.environment["OMP_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [str(python), str(Path(__file__).resolve()), "worker"],
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": self.environment},
        )

    def ask(self, pattern: Measurement, device: str = "cpu") -> dict:
        """Seconds, steps and answer of one pattern."""
        asked = {"path": str(pattern.path), "wavelength": pattern.wavelength, "radiation": pattern.radiation or None}
        self.process.stdin.write(json.dumps({**asked, "device": device}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"error: the process that indexes {pattern.id} ended early")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def warm(patterns: Sequence[Measurement], pythons: Sequence[Path], device: str) -> str:
    """Processor seconds a pattern, by step, in a process that has answered one already; the ratio of two versions."""
    from alphadiffract_plugin.progress import track

    workers = [Worker(python) for python in pythons]
    told: list[list[dict]] = [[] for _ in workers]
    for one in workers:
        one.ask(patterns[0], device)
    for pattern in track(patterns, "warm"):
        for one, list_ in zip(workers, told, strict=True):
            list_.append(one.ask(pattern, device))
    for one in workers:
        one.close()
    lines = [f"{'seconds a pattern, warm, one thread':40s}{'median':>9s}{'95 %':>9s}{'most':>9s}"]
    for python, list_ in zip(pythons, told, strict=True):
        cpu = [one["cpu"] for one in list_]
        lines.append(f"{name_of(python):40s}" + _three(cpu))
        for step in STEPS:
            lines.append(f"    {step:36s}" + _three([one["steps"].get(step, 0.0) for one in list_]))
    if len(told) == 2:
        ours, theirs = ([one["cpu"] for one in list_] for list_ in told)
        ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
        lines.append(
            f"times faster: {statistics.median(theirs) / statistics.median(ours):.1f} in the median, "
            f"{_quantile(theirs) / _quantile(ours):.1f} in the 95th percentile; pattern by pattern "
            f"{ratios[0]:.1f} to {ratios[-1]:.1f}, median {statistics.median(ratios):.1f}"
        )
    return "\n".join(lines)


def cold(patterns: Sequence[Measurement], pythons: Sequence[Path]) -> str:
    """Seconds of the whole command `index FILE --json FILE`, its imports included."""
    lines = [f"{'seconds of the command `index FILE`':40s}{'median':>9s}{'95 %':>9s}{'most':>9s}"]
    taken: list[list[float]] = [[] for _ in pythons]
    for turn, pattern in enumerate([patterns[0], *patterns]):  # the first fills caches and does not count
        for python, list_ in zip(pythons, taken, strict=True):
            seconds = command_seconds(python, [pattern])[0]
            if turn:
                list_.append(seconds)
    for python, list_ in zip(pythons, taken, strict=True):
        lines.append(f"{name_of(python):40s}" + _three(list_))
    if len(taken) == 2:
        ratio = statistics.median(taken[1]) / statistics.median(taken[0])
        lines.append(f"times faster: {ratio:.1f} in the median")
    return "\n".join(lines)


def busy(patterns: Sequence[Measurement], many: int) -> str:
    """Answers and processor seconds beside busy processes, against those of one thread on an idle machine."""
    default, one, two = None, 1, 2
    told = {}
    for name, threads, load in (
        *(("one thread, idle", one, 0), ("two threads, idle", two, 0), ("default, idle", default, 0)),
        *((f"default, {many} busy processes", default, many), (f"two threads, {many} busy", two, many)),
    ):
        with busy_processes(load):
            asked = Worker(Path(sys.executable), threads)
            asked.ask(patterns[0])
            told[name] = [asked.ask(pattern) for pattern in patterns]
            asked.close()
    first = told["one thread, idle"]
    lines = [f"{'seconds a pattern':40s}{'cpu':>9s}{'wall':>9s}{'cpu ratio':>11s}{'equal answers':>15s}"]
    for name, list_ in told.items():
        cpu = sum(one["cpu"] for one in list_)
        equal = sum(a["answer"] == b["answer"] for a, b in zip(first, list_, strict=True))
        lines.append(
            f"{name:40s}{cpu / len(list_):9.2f}{sum(one['wall'] for one in list_) / len(list_):9.2f}"
            f"{cpu / sum(one['cpu'] for one in first):11.2f}{f'{equal} of {len(list_)}':>15s}"
        )
    return "\n".join(lines)


def of_one_wavelength(patterns: Sequence[Measurement], many: int, seed: int) -> list[Measurement]:
    """So many X-ray patterns, drawn at random, of the wavelength that most have: one command reads them all."""
    xray = [one for one in patterns if one.radiation in ("", "xray")]
    usual = statistics.mode(one.wavelength for one in xray)
    of_it = [one for one in xray if one.wavelength == usual]
    return random.Random(seed).sample(of_it, min(many, len(of_it)))


def folder(patterns: Sequence[Measurement]) -> str:
    """Patterns a second of one command over a folder of them, by the number of processes."""
    lines = [f"{f'index over {len(patterns)} patterns of one wavelength':40s}{'seconds':>9s}{'a second':>10s}"]
    seconds = {}
    for jobs in (1, 2):
        seconds[jobs] = command_seconds(Path(sys.executable), patterns, "--jobs", str(jobs))[1]
        lines.append(f"{f'--jobs {jobs}':40s}{seconds[jobs]:9.1f}{len(patterns) / seconds[jobs]:10.2f}")
    lines.append(f"--jobs 2 does {seconds[1] / seconds[2]:.2f} times the patterns a second of --jobs 1")
    return "\n".join(lines)


def command_seconds(python: Path, patterns: Sequence[Measurement], *more: str) -> tuple[float, float]:
    """Processor and clock seconds of one command over the patterns of these patterns."""
    command = [str(python.parent / "alphadiffract-plugin"), "index", *(str(pattern.path) for pattern in patterns)]
    command += ["--wavelength", patterns[0].wavelength, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as out:
        command += ["--jsonl", str(Path(out) / "answers.jsonl")]
        before, clock = os.times(), time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        after = os.times()
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}\n{done.stderr}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - clock


@contextmanager
def busy_processes(many: int) -> Iterator[None]:
    """So many processes that compute without a pause meanwhile."""
    code = "while True: sum(i * i for i in range(100000))"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(many)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _quantile(seconds: Sequence[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(0.95 * len(seconds)))]


def _three(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):9.2f}{_quantile(seconds):9.2f}{max(seconds):9.2f}"


def name_of(python: Path) -> str:
    """Which version of the package an interpreter has, and the commit if it runs from a clone."""
    code = "import alphadiffract_plugin as a; print(a.__version__, a.__file__)"
    version, file = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.split(
        maxsplit=1
    )
    commit = ""
    if shutil.which("git"):
        told = subprocess.run(
            ["git", "-C", str(Path(file.strip()).parent), "rev-parse", "--short", "HEAD"],
            **{"capture_output": True, "text": True, "check": False},
        )
        commit = told.stdout.strip()
    return f"{version} {commit}".strip()


def machine() -> str:
    """Versions and the machine, in one line."""
    import numpy
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"Python {platform.python_version()}, numpy {numpy.__version__}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}, {gpu}"
    )


if __name__ == "__main__":
    sys.exit(main())
