"""The record of training: a batch of patterns with their crystals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """N simulated patterns on the grid of a network, and the space groups and cells of their crystals."""

    x: Tensor
    """Input of the network, prepared like a measured pattern: scaled intensity (0 where not measured) and coverage (0
    or 1), float32, shape (N, 2, L). The architecture ``open`` takes the first channel alone."""
    space_group: Tensor
    """0 to 229, int64, shape (N,)."""
    parameters: Tensor
    """Free parameters q of the conventional cell (:mod:`..lattice`), 0 where unused, float32, shape (N, 6)."""
    basis: Tensor
    """Rows a*, b*, c* in 1/Å of the (strained) conventional cell, float32, shape (N, 3, 3)."""
