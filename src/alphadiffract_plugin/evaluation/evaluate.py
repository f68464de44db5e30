"""Evaluation of a network on simulated patterns of known structures and on the measured patterns of an index.

:mod:`.models.training.figures` defines the figures of merit. On measured patterns the ``space_group_number`` of the
index and its ``sg_alternatives`` count as right, and so do the crystal systems of these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.benchmark_index import BenchmarkRow
from alphadiffract_plugin.errors import AlphaDiffractError, InputError, ModelError, SettingsError
from alphadiffract_plugin.evaluation.measured_index import SCORED, scored_rows, true_cell
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

if TYPE_CHECKING:
    from alphadiffract_plugin.models.simulation.effects import Effects
    from alphadiffract_plugin.models.training.config import RunSettings
    from alphadiffract_plugin.models.training.figures import Evaluated

NEUTRAL = "pattern"
"""Name of every measured pattern, so that no file name can reach a network."""


@dataclass(frozen=True)
class Section:
    """The figures of merit of one set of patterns."""

    kind: str
    """``simulated`` or ``measured``."""
    title: str
    """What the patterns show."""
    about: dict[str, Any]
    """How they were chosen and made, as plain JSON types."""
    figures: dict[str, dict[str, Any]]
    """Figures by group of patterns, including ``all``; see :func:`.models.training.figures.figures`."""


def on_structures(
    model: Path, files: Sequence[Path], effects: Effects, *, split: str, each: int, seed: int, device: str
) -> Section:
    """Figures on simulated patterns of up to ``each`` structures of every crystal system in a split.

    Raises
    ------
    ModelError : the model does not load.
    StructureError : a file cannot be read.
    InputError : no structure is in that split.
    SettingsError : there is no such split or device.
    """
    import torch

    from alphadiffract_plugin.models.checkpoint import load_members
    from alphadiffract_plugin.models.structures.columns import SPLITS
    from alphadiffract_plugin.models.structures.table import read
    from alphadiffract_plugin.models.training.figures import by_system
    from alphadiffract_plugin.models.training.validation import PATTERNS, held_out, run_networks, stratified
    from alphadiffract_plugin.prediction.predict import choose_device
    from alphadiffract_plugin.progress import track

    if split not in SPLITS:
        raise SettingsError(f"there is no split {split!r}", fix=f"choose one of {', '.join(SPLITS)}")
    chosen = torch.device(choose_device(device))
    members = load_members(model)
    structures = read(files)
    which = stratified(structures, split, each, seed)
    if not len(which):
        raise InputError(
            f"none of the structures is in the split {split!r}",
            fix=f"choose another split of {', '.join(SPLITS)}, or other structures",
            where=files[0],
        )
    networks = [member.network.to(chosen) for member in members]
    batches = held_out(structures, which, members[0].grid, members[0].normalisation, effects, seed=seed, device=chosen)
    evaluated = run_networks(networks, track(batches, "simulated patterns", total=-(-len(which) // PATTERNS)))
    names = [path.name for path in files]
    about = {"files": names, "split": split, "most_each": each, "seed": seed, "effects": dataclasses.asdict(effects)}
    return Section("simulated", f"{split} split of {', '.join(names)}", about, by_system(evaluated))


def on_random(model: Path, settings: RunSettings, *, each: int, seed: int, device: str) -> Section:
    """Figures on simulated patterns of random crystals, made as in a run: seven times ``each`` in all.

    Raises
    ------
    ModelError : the model does not load.
    SettingsError : there is no such device, or the prior cannot be read.
    """
    import torch

    from alphadiffract_plugin.models.checkpoint import load_members
    from alphadiffract_plugin.models.training.data import random_source
    from alphadiffract_plugin.models.training.figures import by_system
    from alphadiffract_plugin.models.training.sources import generator_of, simulated
    from alphadiffract_plugin.models.training.validation import PATTERNS, run_networks
    from alphadiffract_plugin.prediction.predict import choose_device
    from alphadiffract_plugin.progress import track

    chosen = torch.device(choose_device(device))
    members = load_members(model)
    grid, normalisation, effects = members[0].grid, members[0].normalisation, settings.effects
    source = random_source(settings, chosen, shards=1)
    generator = generator_of(chosen, seed, 0, 0, 4)  # other random numbers than in training
    sizes = [min(PATTERNS, 7 * each - done) for done in range(0, 7 * each, PATTERNS)]
    batches = (simulated(source.make(n, generator), grid, normalisation, effects, generator) for n in sizes)
    networks = [member.network.to(chosen) for member in members]
    evaluated = run_networks(networks, track(batches, "simulated patterns", total=len(sizes)))
    about: dict[str, Any] = {"files": [], "prior": Path(settings.data.prior).name, "patterns": 7 * each, "seed": seed}
    about["effects"] = dataclasses.asdict(effects)
    return Section("simulated", "random crystals", about, by_system(evaluated))


def on_index(model: Path, index: Path, *, device: str, seed: int) -> Section:
    """Figures on the measured patterns of an index; a pattern that the network cannot take counts as wrong.

    Raises
    ------
    ModelError : the model does not load.
    SettingsError : the device does not exist.
    InputError : the index cannot be read, see :func:`.measured_index.scored_rows`.
    """
    from alphadiffract_plugin.models.training.figures import by_system, figures

    rows = scored_rows(index)
    evaluated, failed = run_on_rows(model, rows, device=device, seed=seed)
    groups = by_system(evaluated)
    rruff = np.array([row.measurement.radiation == "xray" and "RRUFF" in row.family for row in rows])
    tier = np.array([row.tier for row in rows])
    extra = {"RRUFF": rruff} | {f"tier {name}": tier == name for name in SCORED}
    groups |= {name: figures(evaluated.take(mask)) for name, mask in extra.items() if mask.any() and not mask.all()}
    about = {"index": index.name, "patterns": len(rows), "without_answer": failed, "seed": seed}
    return Section("measured", index.name, about, groups)


def run_on_rows(
    model: Path, rows: Sequence[BenchmarkRow], *, device: str, seed: int
) -> tuple[Evaluated, dict[str, int]]:
    """The predictions for the patterns of an index, and how many patterns raised an error, by kind of error.

    Raises
    ------
    ModelError, SettingsError : the model does not load, or the device does not exist.
    """
    from alphadiffract_plugin.load import histogram_from_file
    from alphadiffract_plugin.models.training.figures import Evaluated
    from alphadiffract_plugin.prediction.predict import predict
    from alphadiffract_plugin.progress import track
    from alphadiffract_plugin.settings import NetworkSettings, Settings

    settings = Settings(network=NetworkSettings(model=str(model), device=device), random_seed=seed)
    groups, systems = np.zeros((len(rows), 230)), np.zeros((len(rows), 7))
    cells = np.full((len(rows), 6), np.nan)
    failed: dict[str, int] = {}
    for i, row in enumerate(track(rows, "measured patterns")):
        try:
            asked = row.measurement
            histogram = histogram_from_file(asked.path, wavelength=asked.wavelength, radiation=asked.radiation)
            prediction = predict(dataclasses.replace(histogram, name=NEUTRAL, source=NEUTRAL), settings)
        except (ModelError, SettingsError):  # no fault of the pattern
            raise
        except AlphaDiffractError as error:
            failed[type(error).__name__] = failed.get(type(error).__name__, 0) + 1
            continue
        groups[i], systems[i] = prediction.space_group_probability, prediction.crystal_system_probability
        cells[i] = prediction.lattices[0].cell
    right = np.zeros((len(rows), 230), bool)
    for i, row in enumerate(rows):
        right[i, [group - 1 for group in row.groups]] = True
    named = np.array([CRYSTAL_SYSTEMS.index(row.crystal_system) for row in rows], dtype=int)
    return Evaluated(groups, systems, cells, right, named, np.stack([true_cell(row) for row in rows])), failed
