"""The random numbers of each pattern: one between 0 and 1 for every effect, in a fixed order, even if it is off."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from .effects import Effects

FOREIGN = 3
"""Largest number of lines in a pattern that belong to no crystal."""
_NAMES = tuple(field.name for field in dataclasses.fields(Effects)) + (
    *("axis", "hump_centre", "hump_width", "hump", "tail_length", "tail", "level"),
    *(f"place_{i}" for i in range(FOREIGN)),
    *(f"area_{i}" for i in range(FOREIGN)),
)


class Draw:
    """The random numbers of N patterns, by the name of the effect; each is a column (N, 1)."""

    def __init__(self, n: int, effects: Effects, generator: torch.Generator) -> None:
        self.effects = effects
        self.units = torch.rand(len(_NAMES), n, 1, generator=generator, device=generator.device)

    def unit(self, name: str) -> Tensor:
        """A number drawn uniformly from 0 to 1."""
        return self.units[_NAMES.index(name)]

    def __call__(self, name: str) -> Tensor:
        """A value drawn from the range of an effect."""
        low, high = self.effects.range_of(name)
        unit = self.unit(name)
        if self.effects.log and low > 0:
            return (unit * math.log(high / low)).exp() * low
        return low + (high - low) * unit

    def occurs(self, share: str) -> Tensor:
        """1 in the patterns in which an effect occurs, which are a given share of all, and 0 in the others."""
        probability: float = getattr(self.effects, share)
        return (self.unit(share) < probability).float()
