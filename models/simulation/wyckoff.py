"""Wyckoff positions of the 230 space groups, derived from the symmetry operations of spglib.

    python -m alphadiffract_plugin.models.simulation.wyckoff WYCKOFF.json

writes the table that the package holds as ``data/wyckoff.json``; :func:`table` reads it.

Every position of every group has points on a grid of 24ths. The site symmetry of a point is the set of operations that
leave it in place; what all of them leave in place is a point, a line, a plane or all of space, and points whose images
coincide belong to one position. The occupied positions together may have more symmetry than the group: atoms on 8c
alone make F m -3 m a primitive cube. To find such sets, spglib is asked for the symmetry of a crystal with one
position; the symmetry of any crystal is what its positions have in common.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .symmetry import DENOMINATOR as GRID
from .symmetry import all_operations, default_settings

MOST = 27
"""Largest number of positions of a group, that of P m m m."""


@dataclass(frozen=True)
class Position:
    """One Wyckoff position: the points base / 24 + free @ u and their images, for any numbers u."""

    multiplicity: int
    """Images in the conventional cell."""
    base: list[int]
    """One point of it, in 24ths, length 3."""
    free: list[list[int]]
    """Lattice vectors along which it may move, none to three of length 3."""
    polar: bool
    """Whether a crystal with a single atom here has more symmetry than the group, whatever the free coordinates."""


@dataclass(frozen=True)
class Group:
    """The positions of one space group in its default setting."""

    positions: list[Position]
    """By ascending multiplicity, as the letters a, b, c ...; the general position last."""
    too_symmetric: list[int]
    """Sets of positions as bits (1 << place in the list): a crystal has more symmetry than the group if all its
    positions lie in one of these sets."""


@functools.cache
def table() -> list[Group]:
    """The positions of the 230 groups, as the package holds them."""
    document = json.loads(files("alphadiffract_plugin").joinpath("data/wyckoff.json").read_text())
    return [Group([Position(*p) for p in positions], masks) for positions, masks in document["groups"]]


def positions_of(hall: int) -> list[Position]:
    """The Wyckoff positions of a setting, by ascending multiplicity; ``polar`` is left False."""
    rotation, translation = all_operations(hall)
    axis = np.arange(GRID)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    symmetry = np.zeros(len(points), int)
    for turn, shift in zip(rotation, translation, strict=True):
        symmetry += ((points @ (turn - np.eye(3, dtype=int)).T + shift) % GRID == 0).all(1)
    taken = np.zeros(len(points), bool)
    found = []
    for order in np.unique(symmetry)[::-1]:
        while (left := np.flatnonzero((symmetry == order) & ~taken)).size:
            base = points[left[0]]
            fixes = ((rotation @ base + translation - base) % GRID == 0).all(1)
            free = _fixed_directions(rotation[fixes])
            steps = np.indices((GRID,) * len(free)).reshape(len(free), -1).T if free else np.zeros((1, 0), int)
            along = (base + steps @ np.array(free, int).reshape(-1, 3)) % GRID
            along = along[symmetry[_index(along)] == order]
            images = np.einsum("nij,pj->npi", rotation, along) + translation[:, None]
            taken[_index(images.reshape(-1, 3) % GRID)] = True
            found.append(Position(len(rotation) // int(order), base.tolist(), free, False))
    return sorted(found, key=lambda p: p.multiplicity)


def _index(points: np.ndarray) -> np.ndarray:
    place: np.ndarray = (points[:, 0] * GRID + points[:, 1]) * GRID + points[:, 2]
    return place


def _fixed_directions(rotations: np.ndarray) -> list[list[int]]:
    """A primitive basis of the lattice vectors that all rotations (n, 3, 3) leave unchanged."""
    span = np.array(list(itertools.product((0, 1, -1, 2, -2), repeat=3)))
    span = span[np.argsort(np.abs(span).sum(1), kind="stable")]
    fixed = span[(np.einsum("nij,pj->npi", rotations, span) == span).all((0, 2))]
    fixed = fixed[np.gcd.reduce(fixed, axis=1) == 1]
    if len(rotations) == 1:
        return [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    if not len(fixed):
        return []
    normals = np.cross(fixed[0], fixed)
    others = np.flatnonzero(np.gcd.reduce(normals, axis=1) == 1)
    return [vector.tolist() for vector in (fixed[0], *fixed[others[:1]])]


def group_of(number: int) -> Group:
    """The positions of a space group (1 to 230), and the sets of them with too much symmetry."""
    hall = int(default_settings()[number - 1])
    positions = positions_of(hall)
    own = _keys(*all_operations(hall))
    rng = np.random.default_rng(number)
    drawn = [[_symmetry_of(hall, p, rng) for _ in range(2 if p.free else 1)] for p in positions]
    always = [set.intersection(*sets) - own for sets in drawn]
    polar = [bool(sets[0] - own - extra) for sets, extra in zip(drawn, always, strict=True)]
    masks = {sum(1 << i for i, extra in enumerate(always) if key in extra) for key in set().union(*always)}
    largest = sorted(m for m in masks if not any(m != other and m & other == m for other in masks))
    named = [Position(p.multiplicity, p.base, p.free, alone) for p, alone in zip(positions, polar, strict=True)]
    return Group(named, largest)


def _symmetry_of(hall: int, position: Position, rng: np.random.Generator) -> set[bytes]:
    """Operations, on the same axes, of a crystal of the setting with one atom on the position."""
    import spglib

    rotation, translation = all_operations(hall)
    point = np.array(position.base) / GRID + rng.uniform(0.02, 0.98, len(position.free)) @ np.array(
        position.free, float
    ).reshape(-1, 3)
    images = (rotation @ point + translation / GRID) % 1.0
    apart = images[:, None] - images
    apart -= np.round(apart)
    images = images[~np.tril(np.abs(apart).max(-1) < 1e-6, -1).any(1)]
    crystal: Any = (_generic_basis(rotation, rng), images, np.ones(len(images)))  # spglib names lists, and takes arrays
    found = spglib.get_symmetry(crystal, symprec=1e-4, angle_tolerance=-1)
    if found is None:
        raise ValueError(f"spglib finds no symmetry for a position of Hall number {hall}")
    return _keys(found["rotations"], np.rint(found["translations"] * 1e4 * GRID).astype(int), scale=10_000)


def _generic_basis(rotation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Basis vectors in Å, as rows, of a cell with exactly the symmetry of the rotations."""
    strain = rng.uniform(-0.25, 0.25, (3, 3))
    metric = 100 * (np.eye(3) + strain + strain.T)
    return np.linalg.cholesky(np.einsum("nji,jk,nkl->il", rotation, metric, rotation) / len(rotation))


def _keys(rotation: np.ndarray, translation: np.ndarray, scale: int = 1) -> set[bytes]:
    """Operations as bytes to compare; translations (integers, in 24ths of ``scale``) to a thousandth of the cell."""
    steps = np.rint(translation * 1000 / (GRID * scale)).astype(np.int64) % 1000
    return {np.concatenate((r.ravel(), t)).astype(np.int16).tobytes() for r, t in zip(rotation, steps, strict=True)}


def main() -> None:
    """Write the table."""
    from alphadiffract_plugin.progress import track

    groups = [group_of(number) for number in track(range(1, 231), "deriving positions")]
    rows = [[[list(vars(p).values()) for p in g.positions], g.too_symmetric] for g in groups]
    what = (
        "Wyckoff positions of space groups 1 to 230 (default setting of spglib), made by models/simulation/wyckoff.py"
    )
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    Path(sys.argv[1]).write_text(f'{{"what": {json.dumps(what)},\n"groups": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
