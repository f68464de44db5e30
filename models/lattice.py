"""The fifteen lattice types, and the numbers by which the network describes a cell of each.

A lattice type is a crystal system with a centring. A conventional cell is described through its reciprocal metric
``G*`` = L Lᵀ (1/Å², L lower triangular, Cholesky): six parameters

    p = (ln L11, ln L22, ln L33, L21/L11, L31/L11, L32/L22),

of which symmetry leaves one (cubic) to six (triclinic) free: p = constant + tie · q. The network predicts the free
``q``, so that a cubic proposal is cubic. Reciprocal metrics suit powder data: 1/d² is linear in them.
A Cholesky factor as target: as published for other indexing networks; the tie to the lattice type is our own.
"""

from __future__ import annotations

import functools

import numpy as np

from alphadiffract_plugin.crystal import crystal_system_from_space_group
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

LATTICE_TYPES = ("aP", "mP", "mC", "oP", "oC", "oI", "oF", "tP", "tI", "rP", "rR", "hP", "cP", "cI", "cF")
"""Crystal system (a triclinic, m, o, t, r trigonal, h hexagonal, c) and centring. oC also stands for A centring."""

TRICLINIC, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL, TRIGONAL, HEXAGONAL, CUBIC = range(len(CRYSTAL_SYSTEMS))
"""Indices of the crystal systems; what is true from one on is asked by ``>=``."""

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
    """What symmetry leaves free: ``tie`` (15, 6, 6), ``constant`` (15, 6), ``free`` (15, 6; 1 where q is used)."""
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


def parameters_from_metric(reciprocal_metric: np.ndarray, lattice_type: np.ndarray) -> np.ndarray:
    """Free parameters q, shape (S, 6), zero where unused, of metrics (S, 3, 3) in 1/Å² of types (S,)."""
    lower = np.linalg.cholesky(reciprocal_metric)
    d = np.diagonal(lower, axis1=-2, axis2=-1)
    p = np.concatenate(
        (np.log(d), np.stack([lower[:, 1, 0] / d[:, 0], lower[:, 2, 0] / d[:, 0], lower[:, 2, 1] / d[:, 1]], -1)), -1
    )
    tie, constant, free = ties()
    pseudo = np.linalg.pinv(tie)[lattice_type]
    return np.einsum("sij,sj->si", pseudo, p - constant[lattice_type]) * free[lattice_type]


def cell_from_parameters(q: np.ndarray, lattice_type: int) -> np.ndarray:
    """Conventional cells (S, 6) in Å and degrees of free parameters q, shape (S, 6), of one lattice type."""
    tie, constant, _ = ties()
    p = q @ tie[lattice_type].T + constant[lattice_type]
    lower = np.zeros((len(q), 3, 3))
    d = np.exp(p[:, :3])
    lower[:, range(3), range(3)] = d
    lower[:, 1, 0], lower[:, 2, 0], lower[:, 2, 1] = p[:, 3] * d[:, 0], p[:, 4] * d[:, 0], p[:, 5] * d[:, 1]
    return cell_from_metric(np.linalg.inv(lower @ lower.transpose(0, 2, 1)))


def cell_from_metric(metric: np.ndarray) -> np.ndarray:
    """Cells (S, 6) in Å and degrees of direct metrics (S, 3, 3) in Å²."""
    lengths = np.sqrt(np.diagonal(metric, axis1=-2, axis2=-1))
    cosines = np.stack([metric[:, i, j] / (lengths[:, i] * lengths[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))], -1)
    return np.concatenate((lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))), -1)


def standard_axes(metric: np.ndarray, space_group: int) -> np.ndarray:
    """The change of axes (3, 3; new rows = change @ old rows) to the one cell that the network learns.

    Orthorhombic axes ascend as far as the centring lets them; monoclinic cells are reduced in the a-c plane with an
    obtuse β; the other systems stay as the International Tables have them (triclinic: as given, Niggli-reduced).
    """
    import gemmi

    name = LATTICE_TYPES[type_of_group()[space_group - 1]]
    change = np.eye(3, dtype=int)
    if name[0] == "o":
        if gemmi.find_spacegroup_by_number(space_group).centring_type() == "A":
            change = change[[1, 2, 0]]
        lengths = np.diagonal(change @ metric @ change.T)
        order = np.argsort(lengths, kind="stable") if name != "oC" else [*np.argsort(lengths[:2], kind="stable"), 2]
        change = change[order]
    elif name[0] == "m":
        change = _reduced_plane(metric, step=2 if name == "mC" else 1)
    return change


def _reduced_plane(metric: np.ndarray, *, step: int) -> np.ndarray:
    """Shortest a and c of a monoclinic cell, b unique; with C centring (step 2) a changes by even multiples of c."""
    a, c = np.array([1, 0, 0]), np.array([0, 0, 1])
    for _ in range(50):
        aa, cc, ac = a @ metric @ a, c @ metric @ c, a @ metric @ c
        n, m = round(ac / aa), step * round(ac / (step * cc))
        if n and (not m or aa <= cc):
            c = c - n * a
        elif m:
            a = a - m * c
        else:
            break
    if step == 1 and a @ metric @ a > c @ metric @ c:
        a, c = c, a
    if a @ metric @ c > 0:
        c = -c
    return np.array([a, [0, 1, 0], c])
