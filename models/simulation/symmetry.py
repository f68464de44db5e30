"""Symmetry operations of all 530 settings of spglib as padded tensors, for batches of crystals.

Of each group one operation of each pair ±R is kept (1 to 24), without the centring, which only makes reflections
absent. Where the group holds an inversion, the origin is moved onto it: structure factors are then real, and the sum
over the inverted half of the operations is not needed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..structures.checks import group_of_hall

DENOMINATOR = 24
"""Translations are integers divided by it."""
MOST_OPERATIONS = 24
"""Largest number of operations that are kept of a group."""
SETTINGS = 530
"""Number of settings; Hall numbers go from 1 to it."""


@dataclass(frozen=True)
class Operations:
    """Operations x' = R x + t of every Hall number H (row H - 1), padded with zeros."""

    rotation: Tensor
    """R: one of each pair ±R, the identity first, int8, shape (530, 24, 3, 3)."""
    translation: Tensor
    """t in 24ths, with respect to the moved origin, int16, shape (530, 24, 3)."""
    count: Tensor
    """Number of operations without padding: half the order of the Laue group, int64, shape (530,)."""
    centring: Tensor
    """Pure translations in 24ths, the first zero, padded by zeros, int16, shape (530, 4, 3)."""
    centric: Tensor
    """Whether the group holds an inversion, bool, shape (530,)."""
    origin: Tensor
    """The moved origin in the coordinates of the setting: an inversion centre, or zero; float64, shape (530, 3)."""
    space_group: Tensor
    """International number less one, int64, shape (530,)."""

    def to(self, device: torch.device | str) -> Operations:
        """The same operations on a device."""
        return Operations(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def all_operations(hall: int) -> tuple[np.ndarray, np.ndarray]:
    """Every operation of a setting, centring included: R (n, 3, 3) and t in 24ths (n, 3), integers, from spglib."""
    import spglib

    found = spglib.get_symmetry_from_database(hall)
    if found is None:
        raise ValueError(f"spglib has no setting with the Hall number {hall}")
    return found["rotations"].astype(int), np.rint(found["translations"] * DENOMINATOR).astype(int) % DENOMINATOR


@functools.cache
def default_settings() -> np.ndarray:
    """The first Hall number of each space group, shape (230,): b unique, hexagonal axes, origin choice 1."""
    numbers = operations().space_group.numpy()
    return np.array([int(np.flatnonzero(numbers == group)[0]) + 1 for group in range(230)])


@functools.cache
def operations(device: torch.device | str = "cpu") -> Operations:
    """The operations on a device; they are made once."""
    if str(device) != "cpu":
        return operations().to(device)
    shape = (SETTINGS, MOST_OPERATIONS)
    rotation, translation = np.zeros((*shape, 3, 3), np.int8), np.zeros((*shape, 3), np.int16)
    count, centring = np.zeros(SETTINGS, np.int64), np.zeros((SETTINGS, 4, 3), np.int16)
    centric, origin = np.zeros(SETTINGS, bool), np.zeros((SETTINGS, 3))
    for row in range(SETTINGS):
        turns, shifts = all_operations(row + 1)
        pure = (turns == np.eye(3, dtype=int)).all((1, 2))
        centring[row, : pure.sum()] = shifts[pure]
        inverting = (turns == -np.eye(3, dtype=int)).all((1, 2))
        centric[row] = inverting.any()
        centre2 = shifts[inverting][0] if centric[row] else np.zeros(3, int)  # twice the centre, in 24ths
        about = 2 * shifts + turns @ centre2 - centre2  # in 48ths
        half = turns.reshape(-1, 9)
        if centric[row]:  # R and -R are one
            half = half * np.sign(half @ 3 ** np.arange(9))[:, None]
        _, one_each = np.unique(half, axis=0, return_index=True)
        first = one_each[np.lexsort((one_each, ~pure[one_each]))]  # the identity first
        n = len(first)
        count[row], rotation[row, :n] = n, turns[first]
        translation[row, :n], origin[row] = about[first] // 2 % DENOMINATOR, centre2 / (2 * DENOMINATOR)
    numbers = group_of_hall() - 1
    return Operations(*(torch.as_tensor(a) for a in (rotation, translation, count, centring, centric, origin, numbers)))
