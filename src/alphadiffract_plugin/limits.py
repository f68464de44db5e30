"""Limits of volume and edges that a user sets: no answer exceeds them, wherever its cell comes from.

A limit is one that differs from its default. The defaults bound only what the search tries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.crystal.cells import Cell, cell_from_metric, volume_from_cell
from alphadiffract_plugin.crystal.symmetry import lattice_family
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.indexing.search_cells import best_lattices, distinct_lattices
from alphadiffract_plugin.records import Candidate
from alphadiffract_plugin.settings import SearchSettings

_OF_EACH = 3
"""Number of lattices of each Bravais type that are kept beyond the best of all."""


@dataclass(frozen=True)
class Limits:
    """The limits that a user has set; without any, every cell keeps them."""

    volume_min: float = 0.0
    """Smallest volume of the primitive cell in Å³."""
    volume_max: float = math.inf
    """Largest volume of the conventional cell in Å³."""
    length_max: float = math.inf
    """Longest edge of the conventional cell in Å."""

    @classmethod
    def of_settings(cls, settings: SearchSettings) -> Limits:
        """The limits among the settings of the search that differ from their defaults."""
        usual = SearchSettings()
        values = {name: (getattr(settings, name), getattr(usual, name)) for name in vars(cls())}
        return cls(**{name: value for name, (value, default) in values.items() if value != default})

    def keep(self, cell: Cell, lattice: Lattice) -> bool:
        """Whether a conventional cell keeps the limits."""
        return self.keep_volume(cell, lattice) and max(cell[:3]) <= self.length_max

    def keep_volume(self, cell: Cell, lattice: Lattice) -> bool:
        """Whether a conventional cell, on any axes, keeps the limits of the volume."""
        volume = float(volume_from_cell(cell))
        return self.volume_min * lattice.points <= volume <= self.volume_max

    @property
    def names(self) -> str:
        """The keys of the limits that are set."""
        none = Limits()
        names = [name for name in vars(none) if getattr(self, name) != getattr(none, name)]
        return ", ".join(f"search.{name}" for name in names)


def distinct_within_limits(trials: list[TrialCell], settings: SearchSettings, notes: list[str]) -> list[TrialCell]:
    """The best distinct lattices, on standard axes, that keep the limits; at most ``settings.keep``.

    Of two cells of one lattice the centred one may be too large where the primitive one is not. So the volume is
    compared before cells of the same lattice are dropped, and the edges afterwards, on the standard axes.

    Parameters
    ----------
    trials : best score first.
    notes : takes a sentence on how many cells with better scores were left out, if there are any.
    """
    limits = Limits.of_settings(settings)
    if limits == Limits():
        return best_lattices(trials, settings.keep, _OF_EACH)
    roomy = [t for t in trials if limits.keep_volume(cell_from_metric(t.metric), t.lattice)]
    kept = [t for t in distinct_lattices(roomy, len(roomy)) if limits.keep(cell_from_metric(t.metric), t.lattice)]
    best = kept[0].score if kept else -math.inf
    better = [trial for trial in trials if trial.score > best]
    beyond = sum(not limits.keep(cell_from_metric(t.metric), t.lattice) for t in distinct_lattices(better, len(better)))
    if beyond:
        cells = "1 cell that explains" if beyond == 1 else f"{beyond} cells that explain"
        was = "was" if beyond == 1 else "were"
        notes.append(f"{cells} the lines better than every cell in this answer {was} left out ({limits.names}).")
    return best_lattices(kept, settings.keep, _OF_EACH)


def candidates_within_limits(candidates: Sequence[Candidate], settings: SearchSettings) -> tuple[Candidate, ...]:
    """The candidates that keep the limits: the standard axes of a space group may be longer than those of its cell."""
    limits = Limits.of_settings(settings)
    return tuple(one for one in candidates if not one.has_cell or limits.keep(one.cell, _lattice(one)))


def _lattice(candidate: Candidate) -> Lattice:
    return Lattice(lattice_family(candidate.crystal_system), candidate.space_group_symbol[0])
