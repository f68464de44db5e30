"""How much work a search does: one table of numbers for each level of effort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Effort:
    """The numbers of one level; keys 1 to 6 are the number of free parameters of a lattice."""

    zero_shifts: Mapping[int, tuple[float, ...]]
    """Zero shifts in degrees around which cells are proposed; least squares refines them."""
    first_lines: Mapping[int, int]
    """So many of the first trusted lines are given indices."""
    basis: int
    """Three of so many lowest trusted lines are taken for the axes of a triclinic cell."""
    zones: int
    """Zones kept of each pair of them."""
    screened: Mapping[int, int]
    """Best cells held by the screening of one lattice around one zero shift, among which many are the same cell."""
    distinct: Mapping[int, int]
    """So many of them at most, each different, are pulled onto the lines."""


_FOUR, _TWO = (0.03, -0.03, 0.09, -0.09), (0.03, -0.03)

NORMAL = Effort(
    zero_shifts=MappingProxyType({1: _FOUR, 2: _FOUR, 3: _TWO, 4: _TWO, 6: _TWO}),
    first_lines=MappingProxyType({1: 10, 2: 12, 3: 11, 4: 9}),
    basis=12,
    zones=12,
    screened=MappingProxyType({1: 300, 2: 300, 3: 900, 4: 4000, 6: 3600}),
    distinct=MappingProxyType({1: 200, 2: 250, 3: 800, 4: 800, 6: 800}),
)
