"""The fifteen lattice types, and the numbers by which the network describes a cell of each.

A lattice type is a crystal system with a centring. A conventional cell is described through its reciprocal metric
``G*`` = L Lᵀ (1/Å², L lower triangular, Cholesky): six parameters

    p = (ln L11, ln L22, ln L33, L21/L11, L31/L11, L32/L22),

of which symmetry leaves one (cubic) to six (triclinic) free: p = constant + tie · q. The network predicts the free
``q``, so that a cubic proposal is cubic. Reciprocal metrics suit powder data: 1/d² is linear in them.
Other published indexing networks predict a Cholesky factor too; tying it to the lattice type is our own addition.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal.symmetry import crystal_system_from_space_group
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

if TYPE_CHECKING:
    from torch import Tensor

LATTICE_TYPES = ("aP", "mP", "mC", "oP", "oC", "oI", "oF", "tP", "tI", "rP", "rR", "hP", "cP", "cI", "cF")
"""Crystal system (a triclinic, m, o, t, r trigonal, h hexagonal, c) and centring; oC includes A centring."""

TRICLINIC, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL, TRIGONAL, HEXAGONAL, CUBIC = range(len(CRYSTAL_SYSTEMS))
"""Indices of the crystal systems, in the order of ascending symmetry, so that ``>= TETRAGONAL`` means a = b."""

SYSTEM_LETTERS = "amotrhc"
"""First letter of the lattice type, in the order of ``records.CRYSTAL_SYSTEMS``."""

FREE = {"a": 6, "m": 4, "o": 3, "t": 2, "r": 2, "h": 2, "c": 1}
"""Number of free cell parameters of each crystal system."""


@functools.cache
def system_of_group() -> np.ndarray:
    """Crystal-system index 0..6 of space groups 1..230, shape (230,)."""
    return np.array([CRYSTAL_SYSTEMS.index(crystal_system_from_space_group(number)) for number in range(1, 231)])


@functools.cache
def type_of_group() -> np.ndarray:
    """Index into ``LATTICE_TYPES`` of space groups 1..230, shape (230,)."""
    import gemmi

    def name(number: int) -> str:
        centring = gemmi.find_spacegroup_by_number(number).centring_type()
        return SYSTEM_LETTERS[system_of_group()[number - 1]] + ("C" if centring == "A" else centring)

    return np.array([LATTICE_TYPES.index(name(number)) for number in range(1, 231)])


@functools.cache
def system_of_type() -> np.ndarray:
    """Crystal-system index 0..6 of each lattice type, shape (15,)."""
    return np.array([SYSTEM_LETTERS.index(name[0]) for name in LATTICE_TYPES])


@functools.cache
def ties() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``tie`` (15, 6, 6), ``constant`` (15, 6) of p = constant + tie · q, and ``free`` (15, 6): 1 where q is used."""
    tie, constant, free = np.zeros((15, 6, 6)), np.zeros((15, 6)), np.zeros((15, 6))
    columns = {  # for each free parameter q_j, the parameters p_i that follow it
        "a": ([0], [1], [2], [3], [4], [5]),
        "m": ([0], [1], [2], [4]),
        "o": ([0], [1], [2]),
        "t": ([0, 1], [2]),
        "r": ([0, 1], [2]),
        "h": ([0, 1], [2]),
        "c": ([0, 1, 2],),
    }
    for k, name in enumerate(LATTICE_TYPES):
        for j, rows in enumerate(columns[name[0]]):
            tie[k, rows, j] = 1
        free[k, : FREE[name[0]]] = 1
        if name[0] in "rh":
            constant[k] = (0, np.log(np.sqrt(3) / 2), 0, 0.5, 0, 0)
    return tie, constant, free


def cell_from_parameters(q: np.ndarray, lattice_type: int) -> np.ndarray:
    """Conventional cells (S, 6) in Å and degrees of free parameters q, shape (S, 6), of one lattice type."""
    tie, constant, _ = ties()
    p = q @ tie[lattice_type].T + constant[lattice_type]
    lower = np.zeros((len(q), 3, 3))
    d = np.exp(p[:, :3])
    lower[:, range(3), range(3)] = d
    lower[:, 1, 0], lower[:, 2, 0], lower[:, 2, 1] = p[:, 3] * d[:, 0], p[:, 4] * d[:, 0], p[:, 5] * d[:, 1]
    return cell_from_metric(np.linalg.inv(lower @ lower.transpose(0, 2, 1)))


def has_hexagonal_axes(system: Tensor) -> Tensor:
    """Whether crystals of these systems (indices, any shape) have hexagonal axes: trigonal and hexagonal ones do."""
    return (system == TRIGONAL) | (system == HEXAGONAL)


def cell_from_metric(metric: np.ndarray) -> np.ndarray:
    """Cells (S, 6) in Å and degrees of direct metrics (S, 3, 3) in Å²."""
    lengths = np.sqrt(np.diagonal(metric, axis1=-2, axis2=-1))
    cosines = np.stack([metric[:, i, j] / (lengths[:, i] * lengths[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))], -1)
    return np.concatenate((lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))), -1)
