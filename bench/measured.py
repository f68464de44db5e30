"""Run an indexer over an index of measured patterns, and write the answers for the index's own score program.

    python bench/measured.py INDEX.csv -o ANSWERS.jsonl [--indexer NAME] [--sample N] [--jobs N] [--ids FILE]
                             [--wrong-network]

Of each row of INDEX.csv an indexer is given only how the pattern was measured (``benchmark_index.Measurement``), under
a neutral name. A sample is stratified by ``crystal_system``; no other column is used. Each pattern adds one line to
ANSWERS.jsonl, ``{"id", "seconds", "candidates": [{"space_group", "cell", "crystal_system", "probability"}]}``, with
null for unknown values and ``"error"`` where a pattern failed. A second run continues where the first one stopped. With
``--wrong-network`` the network is given another pattern of the list in place of each. This measures how much the
answers depend on the network, and how much harm a wrong prediction does.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow, Measurement
    from alphadiffract_plugin.records import Histogram

NEUTRAL = "pattern"


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="ANSWERS.jsonl")
    parser.add_argument("--indexer", default="alphadiffract")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--sample", type=int, metavar="N", help="use only N patterns, the crystal systems as evenly as possible"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="use only the patterns of these ids, one id a line")
    parser.add_argument("--wrong-network", action="store_true", help="give the network the next pattern of the list")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes, each with one thread"
    )
    args = parser.parse_args(argv)

    from alphadiffract_plugin.hooks import PluginError
    from alphadiffract_plugin.progress import track
    from alphadiffract_plugin.registry import plugins

    try:
        plugins().indexer(args.indexer)
    except PluginError as error:
        sys.exit(f"error: {error}")
    chosen = chosen_patterns(args.index, sample=args.sample, seed=args.seed, ids=args.ids)
    shown = chosen[1:] + chosen[:1] if args.wrong_network else [None] * len(chosen)
    done = answered(args.output)
    left = [pair for pair in zip(chosen, shown, strict=True) if pair[0].id not in done]
    print(
        f"{len(chosen)} patterns, {len(chosen) - len(left)} of them answered earlier, {args.jobs} processes",
        file=sys.stderr,
    )
    os.environ["OMP_NUM_THREADS"] = "1"
    with (
        ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn"), one_thread) as pool,
        args.output.open("a", encoding="utf-8") as out,
    ):
        jobs = [pool.submit(answer, *pair, args.indexer, args.model, args.device) for pair in left]
        for job in track(as_completed(jobs), args.indexer, total=len(jobs)):
            out.write(json.dumps(job.result(), allow_nan=False) + "\n")
            out.flush()
    return 0


def chosen_patterns(
    index: Path, *, sample: int | None = None, seed: int = 0, ids: Path | None = None
) -> list[Measurement]:
    """The patterns to index, each with nothing but how it was measured."""
    from alphadiffract_plugin.benchmark_index import read_index

    rows = read_index(index).rows
    if ids is not None:
        wanted = set(ids.read_text(encoding="utf-8").split())
        rows = [row for row in rows if row.id in wanted]
    if sample is not None:
        rows = stratified(rows, sample, seed)
    return [row.measurement for row in rows]


def known_rows(index: Path) -> list[BenchmarkRow]:
    """The rows of tier A: single phases of known cell and space group."""
    from alphadiffract_plugin.benchmark_index import read_index

    return [row for row in read_index(index).rows if row.tier == "A"]


def stratified(
    rows: Iterable[BenchmarkRow],
    most: int,
    seed: int,
    stratum_of: Callable[[BenchmarkRow], str] = lambda row: row.crystal_system,
) -> list[BenchmarkRow]:
    """At most so many rows at random, taken in turn from each stratum, by default from each crystal system."""
    strata = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.id):
        strata[stratum_of(row)].append(row)
    draw = random.Random(seed)
    for stratum in strata.values():
        draw.shuffle(stratum)
    turns = [(turn, name, row) for name, stratum in strata.items() for turn, row in enumerate(stratum)]
    return [row for _, _, row in sorted(turns, key=lambda item: item[:2])][:most]


def answered(path: Path) -> set[str]:
    """Ids of the answers in a file; a last line that is incomplete after an interruption is removed."""
    if not path.exists():
        return set()
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    path.write_text("".join(whole), encoding="utf-8")
    return {json.loads(line)["id"] for line in whole if line.strip()}


def one_thread() -> None:
    """Let this process use one thread, because the processes share the cores."""
    import torch

    torch.set_num_threads(1)


def answer(pattern: Measurement, shown: Measurement | None, indexer: str, model: str, device: str) -> dict:
    """One line of the output; the network is given the pattern ``shown`` instead, if that is not None."""
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import NetworkSettings, Settings

    line = {"id": pattern.id, "seconds": None, "candidates": []}
    start = time.perf_counter()
    try:
        settings = Settings(network=NetworkSettings(model=model, device=device))
        with network_shown(histogram_of(shown) if shown else None):
            result = plugins().indexer(indexer).index(histogram_of(pattern), settings)
    except Exception as error:  # one failing pattern must not end the run
        return line | {"seconds": time.perf_counter() - start, "error": f"{type(error).__name__}: {error}"}
    candidates = [
        {
            "space_group": candidate.space_group,
            "cell": list(candidate.cell) if all(map(math.isfinite, candidate.cell)) else None,
            "crystal_system": candidate.crystal_system,
            "probability": candidate.probability if math.isfinite(candidate.probability) else None,
        }
        for candidate in result.candidates
    ]
    return line | {"seconds": time.perf_counter() - start, "candidates": candidates}


@contextmanager
def network_shown(other: Histogram | None) -> Iterator[None]:
    """Within the block the network predicts for this histogram, whatever it is given; None changes nothing."""
    from unittest.mock import patch

    from alphadiffract_plugin.prediction.predict import predict

    if other is None:
        yield
    else:
        with patch("alphadiffract_plugin.prediction.predict.predict", lambda _, settings: predict(other, settings)):
            yield


def histogram_of(pattern: Measurement) -> Histogram:
    """The pattern, read from its file, under a neutral name."""
    import dataclasses

    from alphadiffract_plugin.load import histogram_from_file

    histogram = histogram_from_file(pattern.path, wavelength=pattern.wavelength, radiation=pattern.radiation)
    return dataclasses.replace(histogram, name=NEUTRAL, source=NEUTRAL)


if __name__ == "__main__":
    sys.exit(main())
