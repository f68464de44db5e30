"""The data of a run: structures, checked for leaks, as line lists; and random crystals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from alphadiffract_plugin.errors import StructureError
from alphadiffract_plugin.output import make_folder, write_whole

from .. import lattice
from ..simulation.lines import LineTable, pack
from ..simulation.records import LineList
from ..simulation.structure_factors import MOST_LINES, d_min_of_grid
from ..structures.columns import SPLITS
from ..structures.leaks import leaks, read_benchmark
from ..structures.table import Structures, read
from .config import RunSettings
from .records import Batch
from .sources import CHUNKS, MixedSource, RandomSource, Source, TableSource, generator_of, simulated
from .validation import PATTERNS, stratified

PACKING = 2
"""Version of the files of packed lines; raised when their content changes."""
LISTED = 5
"""Number of leaking structures that a message names."""


@dataclass(frozen=True)
class Data:
    """The data of a run."""

    source: Source
    """Source of the patterns to learn from."""
    table: LineTable | None
    """Lines of all structures, including the validation split; None if all crystals are random."""
    sha256: dict[str, str]
    """SHA-256 of each structure file by its name; where several have the same name, a number is added."""
    structures: tuple[int, ...] = (0,) * 7
    """Structures of the train split in each crystal system."""


def open_data(
    settings: RunSettings, device: torch.device, *, shards: int, cache: Path | None, sample: int | None = None
) -> Data:
    """The data of a run.

    Parameters
    ----------
    settings : of the run.
    device : where lines are kept and crystals are made.
    shards : number of shards that share the pool of random crystals.
    cache : folder for packed lines, which several runs can share; None writes nothing.
    sample : use only so many structures of the train split, for a dry run.

    Raises
    ------
    StructureError : a file cannot be read, none of the structures is in the train split, or structures leak.
    InputError : the index of measured patterns cannot be read.
    SettingsError : the prior cannot be read.
    """
    sources: list[Source] = []
    table, sha256, counts = None, {}, np.zeros(7, int)
    if settings.data.structures:
        files = [Path(name) for name in settings.data.structures]
        structures = read(files)
        refuse_leaks(structures, settings)
        train = structures.space_group[structures.split == SPLITS.index("train")]
        if not len(train) and settings.data.random < 1:
            raise StructureError(
                f"none of the {len(structures)} structures is in the train split (90 % of all chemical systems are)",
                fix="add structures of other chemical systems, or set random = 1 in [data]",
                where=files[0],
            )
        counts = np.bincount(lattice.system_of_group()[train - 1], minlength=7)
        hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        sha256 = dict(zip(_distinct([file.name for file in files]), hashes, strict=True))
        table = packed(structures, hashes, cache, sample, device, d_min=d_min_of_grid(settings.grid))
        if settings.data.random < 1:
            sources.append(TableSource(table, device, temper=settings.data.temper))
    if settings.data.random:
        sources.append(random_source(settings, device, shards))
    source = sources[0] if len(sources) == 1 else MixedSource(sources[0], sources[1], settings.data.random)
    return Data(source, table, sha256, tuple(counts.tolist()))


def validation_batches(settings: RunSettings, data: Data, device: torch.device) -> Iterator[Batch]:
    """Patterns for validation, the same at every call: of the validation split, or of other random crystals.

    There are none if structures were given and none of them is in that split (:func:`.validation.stratified`).
    """
    seed = settings.training.seed
    generator = generator_of(device, seed, 0, 0, 4)
    parts: Iterable[LineList]
    if data.table is None:
        random = cast(RandomSource, data.source)  # without structures, all crystals are random
        parts = [random.make(PATTERNS, generator) for _ in range(-(-7 * settings.data.validation // PATTERNS))]
    else:
        source = TableSource(data.table, device)
        which = torch.as_tensor(stratified(data.table, "val", settings.data.validation, seed), device=device)
        parts = (source.lines(part) for part in torch.split(which, PATTERNS) if len(part))
    for lines in parts:
        yield simulated(lines, settings.grid, settings.normalisation, settings.effects, generator)


def random_source(settings: RunSettings, device: torch.device, shards: int) -> RandomSource:
    """Random crystals, replaced so often that each is used ``reuse`` times on average."""
    from ..simulation.random_crystals import random_lines
    from ..simulation.random_settings import prior_from_name

    prior, d_min = prior_from_name(settings.data.prior), d_min_of_grid(settings.grid)
    pool = max(CHUNKS, settings.data.pool // shards)
    each_step = settings.data.random * settings.training.batch / shards
    return RandomSource(
        lambda n, generator: random_lines(n, generator, prior=prior, device=device, d_min=d_min),
        device,
        pool=pool,
        steps=max(1, round(settings.data.reuse * (pool // CHUNKS) / each_step)),
        seed=settings.training.seed,
    )


def refuse_leaks(structures: Structures, settings: RunSettings) -> None:
    """Raise StructureError if structures have the lattice of a benchmark pattern and leaks are not allowed."""
    if not settings.data.benchmark or settings.data.allow_leaks:
        return
    benchmark = read_benchmark(Path(settings.data.benchmark))
    found = np.flatnonzero(leaks(structures, benchmark))
    if len(found):
        more = ", ..." if len(found) > LISTED else ""
        raise StructureError(
            f"{len(found)} of {len(structures)} structures have the lattice and space group of a pattern of "
            f"{benchmark.path.name}: {', '.join(structures.id[found[:LISTED]])}{more}",
            fix=f"remove them by 'alphadiffract-plugin structures filter FILE --benchmark {benchmark.path} "
            "-o FILTERED', or set allow_leaks = true in [data]",
        )


def packed(
    structures: Structures,
    sha256: Sequence[str],
    cache: Path | None,
    sample: int | None,
    device: torch.device,
    *,
    d_min: float,
) -> LineTable:
    """The lines of structures, read from the cache if it holds them.

    Parameters
    ----------
    structures : the structures of all files.
    sha256 : hashes of the files, in their order.
    cache : folder of packed lines, or None.
    sample : use only so many structures of the train split; not to be combined with a cache.
    device : where to compute.
    d_min : smallest d of the lines, Å.

    Raises
    ------
    InputError : see :func:`..simulation.lines.pack`; or a file in the cache is damaged.
    OutputError : the cache cannot be written.
    """
    key = hashlib.sha256(" ".join([*sha256, f"{PACKING} {d_min} {MOST_LINES}"]).encode()).hexdigest()[:16]
    file = cache / f"lines-{key}.npz" if cache else None
    if file and file.is_file():
        return LineTable.load(file)
    if sample:
        from ..structures.table import take

        train = np.flatnonzero(structures.split == SPLITS.index("train"))
        structures = take(structures, np.random.default_rng(0).permutation(train)[:sample])
    table = pack(structures, d_min=d_min, device=device)
    if file:
        make_folder(file.parent)
        write_whole(file, table.save)
    return table


def _distinct(names: Sequence[str]) -> list[str]:
    """The names; to one that occurs more than once its place in the list is added."""
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]
