"""Run an indexer over an index of measured patterns, and write the answers for the index's own score program.

    python bench/measured.py INDEX.csv -o ANSWERS.jsonl [--indexer NAME] [--sample N] [--jobs N] [--ids FILE]
                             [--wrong-network]

Of INDEX.csv it reads ``id``, ``path`` (relative to the index), ``wavelength_A``, ``kalpha2_ratio`` and ``radiation``;
a sample is stratified by ``crystal_system``. No other column is looked at, and no indexer learns the id or the name of
the file. ANSWERS.jsonl gets one line a pattern as soon as it is known, ``{"id", "seconds", "candidates":
[{"space_group", "cell", "crystal_system", "probability"}]}``, a null for what is not known, and an
``"error"`` where a pattern failed. Run it again,
and it goes on where it stopped. With ``--wrong-network`` the network is shown another pattern of the list in place of
each: what a network is worth that knows nothing of the pattern, and what it can spoil.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import multiprocessing
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

READ = ("id", "path", "wavelength_A", "kalpha2_ratio", "radiation")
NEUTRAL = "pattern"


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="ANSWERS.jsonl")
    parser.add_argument("--indexer", default="alphadiffract")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument(
        "--sample", type=int, metavar="N", help="only N patterns, as many of each crystal system as can be"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="only these ids, one a line")
    parser.add_argument("--wrong-network", action="store_true", help="show the network the next pattern of the list")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, one thread each")
    args = parser.parse_args(argv)

    from alphadiffract_plugin.hooks import PluginError
    from alphadiffract_plugin.progress import track
    from alphadiffract_plugin.registry import plugins

    try:
        plugins().indexer(args.indexer)
    except PluginError as error:
        sys.exit(f"error: {error}")
    rows = chosen_rows(args.index, sample=args.sample, seed=args.seed, ids=args.ids)
    if args.wrong_network:
        rows = [row | {"shown": other} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    done = answered(args.output)
    left = [row for row in rows if row["id"] not in done]
    print(f"{len(rows)} patterns, {len(rows) - len(left)} answered already, {args.jobs} processes", file=sys.stderr)
    os.environ["OMP_NUM_THREADS"] = "1"
    with (
        ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn"), one_thread) as pool,
        args.output.open("a", encoding="utf-8") as out,
    ):
        jobs = [pool.submit(answer, row, args.indexer, args.model, args.device) for row in left]
        for job in track(as_completed(jobs), args.indexer, total=len(jobs)):
            out.write(json.dumps(job.result(), allow_nan=False) + "\n")
            out.flush()
    return 0


def chosen_rows(
    index: Path, *, sample: int | None = None, seed: int = 0, ids: Path | None = None
) -> list[dict[str, str]]:
    """The rows to answer, cut down to the columns that may be read; paths are made absolute."""
    with index.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if ids is not None:
        wanted = set(ids.read_text(encoding="utf-8").split())
        rows = [row for row in rows if row["id"] in wanted]
    if sample is not None:
        rows = stratified(rows, sample, seed)
    return [{key: row[key] for key in READ} | {"path": str(index.parent / row["path"])} for row in rows]


def stratified(rows: list[dict[str, str]], most: int, seed: int) -> list[dict[str, str]]:
    """At most so many rows, one of each crystal system in turn, drawn at random."""
    strata = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["id"]):
        strata[row["crystal_system"]].append(row)
    draw = random.Random(seed)
    for stratum in strata.values():
        draw.shuffle(stratum)
    turns = [(turn, name, row) for name, stratum in strata.items() for turn, row in enumerate(stratum)]
    return [row for _, _, row in sorted(turns, key=lambda item: item[:2])][:most]


def answered(path: Path) -> set[str]:
    """Ids that the file has answers for; a last line cut short by an interruption is taken away."""
    if not path.exists():
        return set()
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    path.write_text("".join(whole), encoding="utf-8")
    return {json.loads(line)["id"] for line in whole if line.strip()}


def one_thread() -> None:
    """Processes share the cores among themselves; each works in one thread."""
    import torch

    torch.set_num_threads(1)


def answer(row: dict[str, str], indexer: str, model: str, device: str) -> dict:
    """One line of the output."""
    from alphadiffract_plugin.registry import plugins
    from alphadiffract_plugin.settings import NetworkSettings, Settings

    line = {"id": row["id"], "seconds": None, "candidates": []}
    start = time.perf_counter()
    try:
        settings = Settings(network=NetworkSettings(model=model, device=device))
        with network_shown(histogram_of(row["shown"]) if "shown" in row else None):
            result = plugins().indexer(indexer).index(histogram_of(row), settings)
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
def network_shown(other) -> Iterator[None]:
    """Whatever the network is asked meanwhile, it is asked of this histogram; None changes nothing."""
    from unittest.mock import patch

    from alphadiffract_plugin.prediction.predict import predict

    if other is None:
        yield
    else:
        with patch("alphadiffract_plugin.prediction.predict.predict", lambda _, settings: predict(other, settings)):
            yield


def histogram_of(row: dict[str, str]):
    """The pattern of a row under a neutral name."""
    import dataclasses

    from alphadiffract_plugin.load import histogram_from_file

    ratio = f"/{row['kalpha2_ratio']}" if "/" in row["wavelength_A"] else ""
    histogram = histogram_from_file(row["path"], wavelength=row["wavelength_A"] + ratio, radiation=row["radiation"])
    return dataclasses.replace(histogram, name=NEUTRAL, source=NEUTRAL)


if __name__ == "__main__":
    sys.exit(main())
