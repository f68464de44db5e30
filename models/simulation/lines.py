"""Crystal structures to diffraction lines, once: hkl and |F|²·m of every line down to a smallest d.

Lines hold no wavelength and no profile; :mod:`.patterns` turns them into patterns. One hkl stands for all reflections
that crystal symmetry puts at the same d; merging is done on a slightly strained cell, so that reflections which
coincide by chance stay apart when the cell is jittered. Form factors: the International Tables (1992) table of
gemmi; occupancies as given; atoms at rest (the simulation adds an overall displacement factor).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from alphadiffract_plugin.crystal import direct_metric_from_cell

from .. import lattice

D_MIN = 1.16
"""Smallest d in Å that is packed: beyond 2θ = 80° of Cu Kα, with room for shifts and strain."""
MOST_LINES = 256
"""Only so many lines a structure are kept, the strongest at Cu Kα."""
ORIGINS = ("experiment", "dft_known", "dft", "dft_hypothetical", "experiment_mof")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class LineTable:
    """The lines of S structures, one after the other; T lines in all."""

    hkl: np.ndarray
    """Miller indices on the axes of :func:`lattice.standard_axes`, int8, shape (T, 3)."""
    intensity: np.ndarray
    """|F|²·m, the strongest of a structure at 1, float32, shape (T,)."""
    start: np.ndarray
    """First line of each structure, and T, int64, shape (S + 1,)."""
    reciprocal_metric: np.ndarray
    """In 1/Å², float64, shape (S, 3, 3)."""
    space_group: np.ndarray
    """1 to 230, shape (S,)."""
    origin: np.ndarray
    """Index into ``ORIGINS``, shape (S,)."""
    split: np.ndarray
    """Index into ``SPLITS``, shape (S,)."""

    def save(self, path: Path) -> None:
        """Write one ``.npz``."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> LineTable:
        """Read what :meth:`save` wrote."""
        with np.load(path) as stored:
            return cls(**{f.name: stored[f.name] for f in fields(cls)})


def symmetry_operations(hall: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (n, 3, 3) and translations (n, 3) of a Hall number, from spglib."""
    import spglib

    found = spglib.get_symmetry_from_database(hall)
    return found["rotations"].astype(float), found["translations"]


def expand(row: dict, metric: np.ndarray, *, tolerance: float = 0.02) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every atom of the conventional cell: atomic number (A,), occupancy (A,), fractional xyz (A, 3).

    ``row`` holds ``hall`` and, over the asymmetric unit, ``elem``, ``occ``, ``x``, ``y``, ``z``, ``mult``;
    ``tolerance`` is in Å.
    """
    rotations, translations = symmetry_operations(row["hall"])
    number, occupancy, position = [], [], []
    for z, occ, mult, *xyz in zip(*(row[k] for k in ("elem", "occ", "mult", "x", "y", "z")), strict=True):
        image = (rotations @ np.array(xyz, float) + translations) % 1.0
        if len(image) != mult:
            delta = image[:, None] - image
            delta -= np.round(delta)
            near = np.einsum("ijk,ijk->ij", delta @ metric, delta) < tolerance**2
            image = image[~np.tril(near, -1).any(1)]
        number.append(np.full(len(image), z))
        occupancy.append(np.full(len(image), occ))
        position.append(image)
    return np.concatenate(number), np.concatenate(occupancy), np.concatenate(position)


def form_factors(numbers: np.ndarray, stol2: np.ndarray) -> np.ndarray:
    """Form factors (E, R) of atomic numbers (E,) at (sin θ / λ)² in 1/Å², shape (R,)."""
    import gemmi

    tables = [gemmi.Element(int(z)).it92 for z in numbers]
    a, b = np.array([t.a for t in tables])[:, :, None], np.array([t.b for t in tables])[:, :, None]
    return (a * np.exp(-b * stol2)).sum(1) + np.array([t.c for t in tables])[:, None]


def half_sphere(metric: np.ndarray, d_min: float) -> np.ndarray:
    """Miller indices (R, 3), one of each Friedel pair, with d >= d_min Å."""
    top = np.floor(np.sqrt(np.diagonal(metric)) / d_min).astype(int)
    ranges = [np.arange(0 if axis == 0 else -n, n + 1) for axis, n in enumerate(top)]
    hkl = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    hkl = hkl[(hkl[:, 0] > 0) | (hkl[:, 1] > 0) | ((hkl[:, 1] == 0) & (hkl[:, 2] > 0))]
    return hkl[np.einsum("ri,ij,rj->r", hkl, np.linalg.inv(metric), hkl) <= 1 / d_min**2]


def powder_lines(row: dict, *, d_min: float = D_MIN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines of one structure: hkl (K, 3) and |F|²·m (K,) by descending d, reciprocal metric (3, 3), standard axes."""
    metric = direct_metric_from_cell([row[k] for k in ("a", "b", "c", "alpha", "beta", "gamma")])
    number, occupancy, position = expand(row, metric)
    order = np.argsort(number, kind="stable")
    number, occupancy, position = number[order], occupancy[order], position[order]
    elements, first = np.unique(number, return_index=True)

    hkl = half_sphere(metric, d_min)
    inv_d2 = np.einsum("ri,ij,rj->r", hkl, np.linalg.inv(metric), hkl)
    factors = form_factors(elements, inv_d2 / 4).T
    intensity = np.empty(len(hkl))
    for part in np.array_split(np.arange(len(hkl)), 1 + len(hkl) * len(number) // 4_000_000):
        phase = (2 * np.pi * (hkl[part] @ position.T % 1.0)).astype(np.float32)
        real = np.add.reduceat(np.cos(phase) * occupancy, first, axis=1)
        imaginary = np.add.reduceat(np.sin(phase) * occupancy, first, axis=1)
        intensity[part] = 2 * ((real * factors[part]).sum(1) ** 2 + (imaginary * factors[part]).sum(1) ** 2)

    change = lattice.standard_axes(metric, row["sg"])
    hkl, metric = hkl @ change.T, change @ metric @ change.T
    reciprocal = np.linalg.inv(metric)
    return *merge(hkl, intensity, reciprocal, row["sg"]), reciprocal


def merge(hkl: np.ndarray, intensity: np.ndarray, reciprocal: np.ndarray, space_group: int) -> tuple:
    """One line for all reflections that symmetry puts at one d; the weak dropped; by descending d."""
    inv_d2 = np.einsum("ri,ij,rj->r", hkl, reciprocal, hkl)
    strained = np.einsum("ri,ij,rj->r", hkl, strained_metric(reciprocal, space_group), hkl)
    order = np.argsort(strained, kind="stable")
    fresh = np.diff(strained[order], prepend=-1) > 1e-7
    line = np.cumsum(fresh) - 1
    total = np.bincount(line, weights=intensity[order])
    chosen = order[fresh]
    seen = total / np.maximum(inv_d2[chosen], 1e-3)  # roughly as strong as it looks: Lorentz factor ~ d²
    keep = np.flatnonzero(seen > 1e-4 * seen.max())
    keep = keep[np.argsort(-seen[keep], kind="stable")[:MOST_LINES]]
    keep = keep[np.argsort(inv_d2[chosen[keep]], kind="stable")]
    return hkl[chosen[keep]], total[keep] / total[keep].max()


def strained_metric(reciprocal: np.ndarray, space_group: int) -> np.ndarray:
    """The reciprocal metric after a strain of about 1 % that keeps the crystal system."""
    kind = int(lattice.type_of_group()[space_group - 1])
    q = lattice.parameters_from_metric(reciprocal[None], np.array([kind]))
    _, _, free = lattice.ties()
    q = q + free[kind] * np.array([0.0113, -0.0071, 0.0047, 0.0031, -0.0059, 0.0083])
    return np.linalg.inv(direct_metric_from_cell(lattice.cell_from_parameters(q, kind)[0]))


def pack(files: Sequence[Path]) -> LineTable:
    """The lines of every structure in parquet files with the columns of :func:`expand`, cell, sg, origin and split."""
    import pyarrow.parquet as pq

    hkl, intensity, metric, group, origin, split, counts = [], [], [], [], [], [], [0]
    for file in files:
        for row in pq.read_table(file).to_pylist():
            found_hkl, found_intensity, reciprocal = powder_lines(row)
            hkl.append(found_hkl.astype(np.int8))
            intensity.append(found_intensity.astype(np.float32))
            metric.append(reciprocal)
            group.append(row["sg"])
            origin.append(ORIGINS.index(row["origin"]))
            split.append(SPLITS.index(row["split"]))
            counts.append(len(found_intensity))
    return LineTable(
        hkl=np.concatenate(hkl),
        intensity=np.concatenate(intensity),
        start=np.cumsum(counts),
        reciprocal_metric=np.array(metric),
        space_group=np.array(group),
        origin=np.array(origin),
        split=np.array(split),
    )
