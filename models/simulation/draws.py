"""What is drawn once a pattern: one number between 0 and 1 for every effect, in one order, whatever is switched off."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from .effects import Effects

FOREIGN = 3
"""Most lines of no crystal."""
_NAMES = tuple(field.name for field in dataclasses.fields(Effects)) + (
    *("axis", "hump_centre", "hump_width", "hump", "tail_length", "tail", "level"),
    *(f"place_{i}" for i in range(FOREIGN)),
    *(f"area_{i}" for i in range(FOREIGN)),
)


class Draw:
    """Everything that is drawn once a pattern, by name; each value is a column (N, 1)."""

    def __init__(self, n: int, effects: Effects, generator: torch.Generator) -> None:
        self.effects = effects
        self.units = torch.rand(len(_NAMES), n, 1, generator=generator, device=generator.device)

    def unit(self, name: str) -> Tensor:
        """Uniform on 0 to 1."""
        return self.units[_NAMES.index(name)]

    def __call__(self, name: str) -> Tensor:
        """Of the range of an effect."""
        low, high = getattr(self.effects, name)
        unit = self.unit(name)
        if self.effects.log and low > 0:
            return (unit * math.log(high / low)).exp() * low
        return low + (high - low) * unit

    def met(self, share: str) -> Tensor:
        """1 for the share of patterns that an effect meets, else 0."""
        return (self.unit(share) < getattr(self.effects, share)).float()
