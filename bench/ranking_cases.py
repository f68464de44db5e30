"""The cases that the ranking is fitted to: the evidence of each measured pattern before its answers are ranked.

Every pattern goes through the flow up to the ranking once, with the prior of spurious lines that ``fit_spurious.py``
fitted without its fold. The cases are kept in a folder, which belongs to one network and one such prior.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np

from alphadiffract_plugin.benchmark_index import BenchmarkRow, read_index
from alphadiffract_plugin.crystal.symmetry import crystal_system_from_space_group
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

sys.path.insert(0, str(Path(__file__).parent))
from failures import known_lattice, same
from measured import histogram_of, one_thread

SEED, FOLDS = 20261121, 5


@dataclass(frozen=True)
class Case:
    """One pattern: the terms of all answers, and which of them are true."""

    id: str
    terms: np.ndarray
    """Shape (S, 6)."""
    true_cell: np.ndarray
    """Shape (S,), bool: lattice within 1 % and 1 degree."""
    fine_cell: np.ndarray
    """Shape (S,), bool: lattice within 0.2 % and 0.2 degrees."""
    true_group: np.ndarray
    """Shape (S,), bool."""
    groups: np.ndarray
    """Number of the true space group, and of others that count as right."""
    network: np.ndarray
    """The network's probability of each space group, shape (230,); all 0 where it was not used."""
    tier: str
    """A or B-sg-only."""
    rruff: bool
    """Whether the pattern counts in the row of RRUFF."""
    seconds: float
    """Seconds of the flow up to the ranking."""
    answer_groups: np.ndarray
    """Space group of each answer, shape (S,)."""
    answer_cells: np.ndarray
    """Number of the cell of each answer, shape (S,)."""

    @property
    def system(self) -> int:
        """Crystal system, 0 to 6."""
        return CRYSTAL_SYSTEMS.index(crystal_system_from_space_group(int(self.groups[0])))

    @property
    def true(self) -> np.ndarray:
        """Answers with the true group and, where it is known, the true cell, shape (S,)."""
        return self.true_cell & self.true_group if self.tier == "A" else self.true_group


def folds(count: int) -> np.ndarray:
    """The fold of each of so many patterns, in the order of the index, shape (count,)."""
    return np.random.default_rng(SEED).permutation(count) % FOLDS


def gathered(index: Path, cache: Path, jobs: int, *, with_network: bool = True) -> list[Case]:
    """The cases of all patterns of tiers A and B, from the cache where they are there."""
    from alphadiffract_plugin.progress import track

    cache.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read_index(index).rows if row.tier in ("A", "B-sg-only")]
    known = [row.id for row in rows if row.tier == "A"]
    without_fold = spurious_weights_without_fold()
    held_back = {name: without_fold[fold] for name, fold in zip(known, folds(len(known)), strict=True)}
    check_same(cache, with_network=with_network)
    left = [row for row in rows if not (cache / f"{row.id}.npz").exists()]
    weights = [held_back.get(row.id) for row in left]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(jobs, get_context("spawn"), one_thread) as pool:
        for _ in track(
            pool.map(gather, left, [cache] * len(left), weights, [with_network] * len(left)),
            "evidence",
            total=len(left),
        ):
            pass
    return [load(row.id, cache) for row in rows]


def check_same(cache: Path, *, with_network: bool) -> None:
    """Record the network and the prior of the cases in their folder; end the program if the folder has others."""
    from alphadiffract_plugin.models import catalogue, checkpoint
    from alphadiffract_plugin.models.checkpoint import weights_sha256

    members = checkpoint.members(catalogue.resolve("default")) if with_network else ()
    prior = files("alphadiffract_plugin").joinpath("data/spurious.json").read_bytes()
    word = {"network": [weights_sha256(member) for member in members], "prior": hashlib.sha256(prior).hexdigest()}
    kept = cache / "of.json"
    if kept.exists() and json.loads(kept.read_text(encoding="utf-8")) != word:
        sys.exit(f"error: {cache} holds cases of another network or prior\n  How to fix it: give a new folder")
    kept.write_text(json.dumps(word, indent=1) + "\n", encoding="utf-8")


def spurious_weights_without_fold() -> list[list[float]]:
    """``observed.spurious_weights`` as fitted without the patterns of each fold."""
    text = files("alphadiffract_plugin").joinpath("data/spurious.json").read_text(encoding="utf-8")
    return json.loads(text)["weights_without_fold"]


def frequency_alone():
    """A prediction without the network: the frequency of each space group among known structures, and no lattice."""
    from alphadiffract_plugin.prediction.predict import systems_from_groups
    from alphadiffract_plugin.rank import log_frequency
    from alphadiffract_plugin.records import Prediction

    groups = np.exp(log_frequency())
    return Prediction(systems_from_groups(groups), groups, (), groups[None], "none")


def gather(
    row: BenchmarkRow, cache: Path, spurious_weights: list[float] | None = None, with_network: bool = True
) -> None:
    """Gather the evidence of one pattern, with these weights of spurious lines if any are given, and keep its case."""
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.cells import cell_from_metric
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.peaks import observed
    from alphadiffract_plugin.pipeline import gather_evidence
    from alphadiffract_plugin.rank import term_table
    from alphadiffract_plugin.settings import Settings

    truth = known_lattice(row) if row.tier == "A" else None
    network = np.zeros(230)
    used = spurious_weights or observed.spurious_weights()
    began = time.perf_counter()
    try:
        with mock.patch.object(observed, "spurious_weights", lambda: used):
            known = gather_evidence(
                histogram_of(row.measurement), Settings(), None if with_network else frequency_alone()
            )
        table, owner = term_table(known.fits, known.prediction)
        if known.prediction is not None:
            network = known.prediction.space_group_probability
    except AlphaDiffractError:
        table, owner = np.zeros((0, 6)), []

    seconds = time.perf_counter() - began

    def right(fit, length, angle):
        lattice = Lattice(primitive_basis(cell_from_metric(fit.trial.metric), fit.trial.lattice.centring))
        return truth is not None and same(truth, lattice, length=length, angle=angle)

    trials = {id(fit.trial): fit for fit, _ in owner}
    coarse, fine = ({k: right(fit, *within) for k, fit in trials.items()} for within in ((0.01, 1.0), (0.002, 0.2)))
    np.savez(
        cache / f"{row.id}.npz",
        terms=table,
        true_cell=np.array([coarse[id(fit.trial)] for fit, _ in owner], bool),
        fine_cell=np.array([fine[id(fit.trial)] for fit, _ in owner], bool),
        true_group=np.array([setting.space_group in row.groups for _, setting in owner], bool),
        groups=np.array([row.space_group, *row.groups]),
        network=network,
        tier=row.tier,
        rruff=row.measurement.radiation == "xray" and "RRUFF" in row.family,
        seconds=seconds,
        answer_groups=np.array([setting.space_group for _, setting in owner], int),
        answer_cells=np.array([list(trials).index(id(fit.trial)) for fit, _ in owner], int),
    )


def load(name: str, cache: Path) -> Case:
    """A case from the cache."""
    with np.load(cache / f"{name}.npz") as kept:
        values = {field.name: kept[field.name] for field in fields(Case)[1:]}
    return Case(name, **{key: value if value.ndim else value.item() for key, value in values.items()})
