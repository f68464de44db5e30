"""The cases that the ranking is fitted to: the evidence of each pattern before its answers are ranked.

Every pattern goes through the flow up to the ranking once. The cases are kept in a folder, which belongs to one network
and one prior of spurious lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from alphadiffract_plugin.benchmark_index import BenchmarkRow, Measurement, read_index
from alphadiffract_plugin.crystal.symmetry import crystal_system_from_space_group
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Histogram

sys.path.insert(0, str(Path(__file__).parent))
from failures import same
from measured import histogram_of, one_thread
from simulate_patterns import KnownPattern, known_patterns

SEED = 20261121


@dataclass(frozen=True)
class Case:
    """One pattern: the terms of all answers, and which of them are true."""

    id: str
    part: int
    """Number of the index that the pattern is from; -1 if it was simulated."""
    terms: np.ndarray
    """Shape (S, 8)."""
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


def gathered(
    indices: Sequence[Path], simulated: Path | None, cache: Path, jobs: int, *, with_network: bool = True
) -> list[Case]:
    """The cases of the patterns of tiers A and B of some indices, and of simulated ones; those in the cache are read.

    The part of a case is the number of its index, from 0, or -1 for simulated patterns.
    """
    from alphadiffract_plugin.progress import track

    cache.mkdir(parents=True, exist_ok=True)
    check_same(cache, with_network=with_network)
    patterns = [
        measured_pattern(row, part)
        for part, index in enumerate(indices)
        for row in read_index(index).rows
        if row.tier in ("A", "B-sg-only")
    ]
    patterns += [simulated_pattern(one) for one in known_patterns(simulated)] if simulated else []
    left = [pattern for pattern in patterns if not pattern.kept_in(cache).exists()]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(jobs, get_context("spawn"), one_thread) as pool:
        calls = pool.map(gather, left, [cache] * len(left), [with_network] * len(left))
        for _ in track(calls, "evidence", total=len(left)):
            pass
    return [load(pattern, cache) for pattern in patterns]


@dataclass(frozen=True)
class Pattern:
    """A pattern and what is known of its crystal."""

    id: str
    """Unique within its part."""
    part: int
    """Number of the index that it is from, or -1."""
    source: Measurement | Histogram
    """How it was measured, or the pattern itself."""
    lattice: tuple[float, ...] | None
    """Niggli cell in Å and degrees; None if it is unknown."""
    groups: tuple[int, ...]
    """Number of the true space group, and of others that count as right."""
    tier: str
    """A or B-sg-only."""
    rruff: bool
    """Whether the pattern counts in the row of RRUFF."""

    def kept_in(self, cache: Path) -> Path:
        """The file of its case."""
        return cache / f"{self.part}-{self.id.replace('/', '_').replace(':', '_')}.npz"


def measured_pattern(row: BenchmarkRow, part: int) -> Pattern:
    """A row of an index."""
    rruff = row.measurement.radiation == "xray" and "RRUFF" in row.family
    cell = tuple(row.niggli) if row.tier == "A" else None
    return Pattern(row.id, part, row.measurement, cell, (row.space_group, *sorted(row.groups)), row.tier, rruff)


def simulated_pattern(known: KnownPattern) -> Pattern:
    """A pattern that ``simulate_patterns.py`` made."""
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.symmetry import symbol_from_space_group

    basis = primitive_basis(known.cell, symbol_from_space_group(known.space_group)[0])
    cell = tuple(Lattice(basis).get_niggli_reduced_lattice().parameters)
    return Pattern(known.id, -1, known.histogram, cell, (known.space_group,), "A", False)


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


def frequency_alone():
    """A prediction without the network: the frequency of each space group among known structures, and no lattice."""
    from alphadiffract_plugin.prediction.predict import systems_from_groups
    from alphadiffract_plugin.rank import log_frequency
    from alphadiffract_plugin.records import Prediction

    groups = np.exp(log_frequency())
    return Prediction(systems_from_groups(groups), groups, (), groups[None], "none")


def gather(pattern: Pattern, cache: Path, with_network: bool = True) -> None:
    """Gather the evidence of one pattern, and keep its case."""
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.crystal.cells import cell_from_metric
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.pipeline import gather_evidence
    from alphadiffract_plugin.rank import term_table
    from alphadiffract_plugin.settings import Settings

    truth = Lattice.from_parameters(*pattern.lattice) if pattern.lattice else None
    network = np.zeros(230)
    began = time.perf_counter()
    try:
        histogram = pattern.source if isinstance(pattern.source, Histogram) else histogram_of(pattern.source)
        known = gather_evidence(histogram, Settings(), None if with_network else frequency_alone())
        table, owner = term_table(known.fits, known.prediction)
        if known.prediction is not None:
            network = known.prediction.space_group_probability
    except AlphaDiffractError:
        table, owner = np.zeros((0, 8)), []

    seconds = time.perf_counter() - began

    def right(fit, length, angle):
        lattice = Lattice(primitive_basis(cell_from_metric(fit.trial.metric), fit.trial.lattice.centring))
        return truth is not None and same(truth, lattice, length=length, angle=angle)

    trials = {id(fit.trial): fit for fit, _ in owner}
    coarse, fine = ({k: right(fit, *within) for k, fit in trials.items()} for within in ((0.01, 1.0), (0.002, 0.2)))
    np.savez(
        pattern.kept_in(cache),
        terms=table,
        true_cell=np.array([coarse[id(fit.trial)] for fit, _ in owner], bool),
        fine_cell=np.array([fine[id(fit.trial)] for fit, _ in owner], bool),
        true_group=np.array([setting.space_group in pattern.groups for _, setting in owner], bool),
        network=network,
        seconds=seconds,
        answer_groups=np.array([setting.space_group for _, setting in owner], int),
        answer_cells=np.array([list(trials).index(id(fit.trial)) for fit, _ in owner], int),
    )


def load(pattern: Pattern, cache: Path) -> Case:
    """A case from the cache."""
    with np.load(pattern.kept_in(cache)) as kept:
        values = {name: kept[name] for name in kept.files}
    values = {key: value if value.ndim else value.item() for key, value in values.items()}
    groups = np.array(pattern.groups)
    return Case(pattern.id, pattern.part, groups=groups, tier=pattern.tier, rruff=pattern.rruff, **values)
