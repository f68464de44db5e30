"""What crosses the seams of training: a batch of patterns with its answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """N simulated patterns on a network's grid, with what is true of them."""

    x: Tensor
    """Network input as a measured pattern would be prepared: scaled intensity (0 where not measured) and coverage (0 or
    1), float32, shape (N, 2, L). The open architecture takes the first channel."""
    space_group: Tensor
    """0 to 229, int64, shape (N,)."""
    parameters: Tensor
    """Free parameters q of the conventional cell (:mod:`..lattice`), zero where unused, float32, shape (N, 6)."""
    basis: Tensor
    """Rows a*, b*, c* in 1/Å of the (strained) conventional cell, float32, shape (N, 3, 3)."""
