"""Bring the atoms of a structure into the setting of a phase: other axes, another origin, special positions.

This file needs numpy and ``recipe_records.py`` alone; a bundle carries a copy of it beside ``make_rietveld.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.recipe_records import Atom, CellNumbers, Floats

SAME_EDGE = 0.01
"""Edges of two cells of the same crystal differ by no more than this fraction ..."""

SAME_ANGLE = 1.0
"""... and their angles by no more than this number of degrees."""

SPECIAL = 0.02
"""An atom nearer than this (Å) to a special position is on it: coordinates in files are rounded, 0.333 for 1/3."""

ORIGINS = 24
"""Origins are searched at multiples of 1/24 of the edges. Those of all settings of the International Tables lie at
multiples of 1/8 or 1/6."""


USUAL_U = 0.01
"""U in Å² of an atom for which a file gives none, or none between 0 and ``LARGEST_U``."""

LARGEST_U = 0.1
"""A larger U in Å² is not taken from a file."""


class OtherCrystal(Exception):
    """A structure and a phase are not the same crystal; the text says what differs."""


@dataclass(frozen=True)
class Group:
    """A cell with its space group, in any setting."""

    cell: CellNumbers
    """In Å and degrees."""
    rotations: Floats
    """Rotation of each operation, with those of the centring, shape (N, 3, 3): x' = R x + t."""
    shifts: Floats
    """Translation t of each operation in fractions of the edges, shape (N, 3)."""
    symbol: str
    """Its name, for messages."""

    @property
    def metric(self) -> Floats:
        """Dot products of the edges in Å², shape (3, 3)."""
        edges, cosines = np.array(self.cell[:3]), np.cos(np.radians(self.cell[3:]))
        angles = np.array([[1, cosines[2], cosines[1]], [cosines[2], 1, cosines[0]], [cosines[1], cosines[0], 1]])
        return np.asarray(edges[:, None] * angles * edges)

    @property
    def centring(self) -> Floats:
        """Translations of the lattice within the cell, (0, 0, 0) among them, shape (C, 3)."""
        pure = (self.rotations == np.eye(3)).all(axis=(1, 2))
        return np.unique(np.round(self.shifts[pure] % 1 % 1, 6), axis=0)

    def __str__(self) -> str:
        """Symbol and cell."""
        return f"{self.symbol}, {' '.join(f'{value:.5g}' for value in self.cell)}"


def group_of_phase(phase: Any) -> Group:
    """Cell and space group of a G2Phase."""
    general = phase.data["General"]
    a, b, c, alpha, beta, gamma = (float(value) for value in general["Cell"][1:7])
    return Group((a, b, c, alpha, beta, gamma), *operations_from_sgdata(general["SGData"]), general["SGData"]["SpGrp"])


def atoms_of_phase(phase: Any) -> tuple[Atom, ...]:
    """The atoms of a G2Phase; of anisotropic displacements the mean counts."""
    atoms = []
    for row in phase.atoms():
        x, y, z = (float(value) for value in row.coordinates)
        u = float(row.uiso) if row.adp_flag == "I" else float(np.mean(row.ADP[:3]))
        u = u if 0 < u <= LARGEST_U else USUAL_U
        atoms.append(Atom(row.label, row.type, (x, y, z), float(row.occupancy), u))
    return tuple(atoms)


def operations_from_sgdata(group: dict[str, Any]) -> tuple[Floats, Floats]:
    """Rotations (N, 3, 3) and shifts (N, 3) of a GSAS-II space group, every centring with every rotation."""
    rotations = np.array([rotation for rotation, _ in group["SGOps"]], dtype=float)
    shifts = np.array([shift for _, shift in group["SGOps"]], dtype=float)
    centring = np.array(group["SGCen"], dtype=float)
    if group["SGInv"]:
        rotations, shifts = np.concatenate([rotations, -rotations]), np.concatenate([shifts, -shifts])
    return np.repeat(rotations, len(centring), axis=0), (shifts[:, None] + centring).reshape(-1, 3)


def atoms_in_setting(atoms: Sequence[Atom], theirs: Group, ours: Group) -> tuple[Atom, ...]:
    """Atoms of a structure in the setting of a phase, one per orbit, with unique labels.

    Parameters
    ----------
    atoms : in the setting ``theirs``.
    theirs, ours : cell and space group of the structure, and of the phase.

    Raises
    ------
    OtherCrystal : there is no choice of axes and origin in which both have the same space group, and cells that agree
        within ``SAME_EDGE`` and ``SAME_ANGLE``.
    """
    found = _change_of_setting(theirs, ours)
    if found is None:
        raise OtherCrystal(_difference(theirs, ours))
    turn, origin = found
    placed = [dataclasses.replace(atom, xyz=_numbers(turn @ np.array(atom.xyz) + origin)) for atom in atoms]
    return tuple(unique_labels(one_per_orbit([at_special_position(atom, ours) for atom in placed], ours)))


def at_special_position(atom: Atom, group: Group) -> Atom:
    """The atom, moved onto the special position that it is nearer to than ``SPECIAL``."""
    here = np.array(atom.xyz)
    images = group.rotations @ here + group.shifts
    images -= np.round(images - here)
    return dataclasses.replace(
        atom, xyz=_numbers(images[step_lengths(images - here, group) < SPECIAL].mean(axis=0) % 1)
    )


def one_per_orbit(atoms: Sequence[Atom], group: Group) -> list[Atom]:
    """The atoms without those that an operation makes from an earlier one of the same element."""
    kept: list[Atom] = []
    for atom in atoms:
        images = group.rotations @ np.array(atom.xyz) + group.shifts
        same = [other for other in kept if (other.element, other.occupancy) == (atom.element, atom.occupancy)]
        away = [images - np.array(other.xyz) for other in same]
        if not any((step_lengths(step - np.round(step), group) < 2 * SPECIAL).any() for step in away):
            kept.append(atom)
    return kept


def free_coordinates(atom: Atom, group: Group) -> Floats:
    """Projection (3, 3) onto the directions in which an atom may move without leaving its special position."""
    here = np.array(atom.xyz)
    steps = group.rotations @ here + group.shifts - here
    stays = step_lengths(steps - np.round(steps), group) < SPECIAL
    return np.asarray(group.rotations[stays].mean(axis=0))


def polar_axes(group: Group) -> list[int]:
    """Numbers of the axes (0, 1, 2) along which no operation fixes the origin."""
    return [axis for axis in range(3) if (group.rotations[:, :, axis] == np.eye(3)[axis]).all()]


def unique_labels(atoms: Sequence[Atom]) -> list[Atom]:
    """The atoms with labels of which no two are the same: GSAS-II finds an atom by its label."""
    taken: set[str] = set()
    renamed = []
    for atom in atoms:
        label, number = atom.label, 1
        while label in taken:
            number += 1
            label = f"{atom.label}_{number}"
        taken.add(label)
        renamed.append(dataclasses.replace(atom, label=label))
    return renamed


def _change_of_setting(theirs: Group, ours: Group) -> tuple[Floats, Floats] | None:
    """Matrix and shift that bring coordinates into our setting, x' = turn x + origin; None if there are none."""
    for axes in _axes(theirs, ours):
        turn = np.asarray(np.linalg.inv(axes), dtype=np.float64)
        rotations = turn @ theirs.rotations @ axes
        whole = np.round(rotations)
        if np.abs(rotations - whole).max() < 1e-6:
            origin = _origin(whole, theirs.shifts @ turn.T, ours)
            if origin is not None:
                return turn, origin
    return None


def _axes(theirs: Group, ours: Group) -> Iterator[Floats]:
    """Our axes as columns in their coordinates, those with the most similar cell first, the same axes before others."""
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    vectors = (steps + theirs.centring).reshape(-1, 3)
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", vectors, theirs.metric, vectors))
    per_axis = [vectors[np.abs(lengths / edge - 1) <= SAME_EDGE] for edge in ours.cell[:3]]
    ratio = len(ours.centring) / len(theirs.centring)
    found = []
    for a in per_axis[0]:
        for b in per_axis[1]:
            for c in per_axis[2]:
                axes = np.stack([a, b, c], axis=1)
                if abs(np.linalg.det(axes) - ratio) < 1e-6:
                    misfit = _misfit(axes.T @ theirs.metric @ axes, ours)
                    if misfit is not None:
                        found.append((round(misfit, 4), bool((axes != np.eye(3)).any()), axes))
    for _, _, axes in sorted(found, key=lambda one: one[:2]):
        yield axes


def _misfit(metric: Floats, ours: Group) -> float | None:
    """Largest relative difference of edges, and of angles in units of 100 degrees; None if it is too large."""
    edges = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2], metric[0, 2], metric[0, 1]]) / (edges[[1, 0, 0]] * edges[[2, 2, 1]])
    turned = np.abs(np.degrees(np.arccos(np.clip(cosines, -1, 1))) - ours.cell[3:]).max()
    stretched = np.abs(edges / ours.cell[:3] - 1).max()
    same = turned <= SAME_ANGLE and stretched <= SAME_EDGE
    return float(max(stretched, turned / 100)) if same else None


def _origin(rotations: Floats, shifts: Floats, ours: Group) -> Floats | None:
    """The shift of the origin that makes these operations ours, the shortest one; None if there is none."""
    grid = np.stack(np.meshgrid(*[np.arange(ORIGINS)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) / ORIGINS
    grid = grid[np.argsort(np.square(grid - np.round(grid)).sum(axis=1), kind="stable")]
    wanted, given = _shift_of_rotation(ours.rotations, ours.shifts), _shift_of_rotation(rotations, shifts)
    if wanted.keys() != given.keys():
        return None
    for rotation, shift in given.items():
        turn = np.array(rotation).reshape(3, 3)
        left = (wanted[rotation] - shift - grid @ (np.eye(3) - turn).T)[:, None] - ours.centring
        grid = grid[(np.abs(left - np.round(left)).max(axis=2) < 1e-3).any(axis=1)]
        if len(grid) == 0:
            return None
    return np.asarray(grid[0])


def _shift_of_rotation(rotations: Floats, shifts: Floats) -> dict[tuple[int, ...], Floats]:
    """One of the translations that go with each rotation."""
    flat = rotations.reshape(-1, 9).round().astype(int).tolist()
    return {tuple(rotation): shift for rotation, shift in zip(flat, shifts, strict=True)}


def _difference(theirs: Group, ours: Group) -> str:
    """What differs between a structure and a phase that are not the same crystal."""
    if any(True for _ in _axes(theirs, ours)):
        return f"the cells agree, but not the space groups: the structure has {theirs}; the phase has {ours}"
    volumes = [np.sqrt(np.linalg.det(group.metric)) / len(group.centring) for group in (theirs, ours)]
    return (
        f"the cells differ: the structure has {theirs} (primitive cell {volumes[0]:.1f} Å³); the phase has {ours} "
        f"({volumes[1]:.1f} Å³). No choice of axes makes edges agree within {100 * SAME_EDGE:.0f} %"
    )


def step_lengths(steps: Floats, group: Group) -> Floats:
    """Lengths in Å of steps in fractions of the edges, shape (N, 3)."""
    return np.asarray(np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", steps, group.metric, steps), 0)))


def _numbers(xyz: Floats) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in xyz)
    return x, y, z
