"""Cells and metric tensors, and how to turn one into the other.

A reciprocal metric is the row ``(A, B, C, D, E, F)`` of 1/d² = A h² + B k² + C l² + D kl + E hl + F hk, in 1/Å².
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats

Cell: TypeAlias = tuple[float, float, float, float, float, float]
"""(a, b, c, alpha, beta, gamma) in angstrom and degrees."""

_QUARTER = np.float32(0.25)
"""In single precision, so that single precision stays single."""

NO_CELL: Cell = (math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)
"""Six numbers that are not known."""


def metric_from_cell(cell: Cell) -> Floats:
    """Reciprocal metric (A, B, C, D, E, F) in 1/Å², shape (6,), of a cell in Å and degrees."""
    g = np.linalg.inv(direct_metric_from_cell(cell))
    return np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])


def direct_metric_from_cell(cell: Cell) -> Floats:
    """Metric tensor of the direct lattice in Å², shape (3, 3)."""
    a, b, c, *angles = cell
    ca, cb, cg = np.cos(np.radians(angles))
    return np.array([[a * a, a * b * cg, a * c * cb], [a * b * cg, b * b, b * c * ca], [a * c * cb, b * c * ca, c * c]])


def tensor_from_metric(metric: Floats) -> Floats:
    """Symmetric tensor of the reciprocal lattice in 1/Å², shape (..., 3, 3), of metrics of shape (..., 6)."""
    halves = np.asarray(metric, float) * (1, 1, 1, 0.5, 0.5, 0.5)
    return halves[..., ((0, 5, 4), (5, 1, 3), (4, 3, 2))]


def metric_from_tensor(tensor: Floats) -> Floats:
    """Metrics of shape (..., 6) of tensors of shape (..., 3, 3); the inverse of :func:`tensor_from_metric`."""
    return tensor[..., (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)] * (1, 1, 1, 2, 2, 2)


def metric_determinant(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """Determinant of the tensor of a reciprocal metric (A, B, C, D, E, F), 1/V² in 1/Å⁶.

    Its arguments are numbers, arrays or tensors: kernels compile it for single and double precision.
    """
    return a * b * c + (d * e * f - a * d * d - b * e * e - c * f * f) * _QUARTER


def cell_from_direct_metric(g: Floats) -> Cell:
    """Cell in Å and degrees of a direct metric tensor in Å², shape (3, 3)."""
    a, b, c, alpha, beta, gamma = (float(value) for value in cells_from_direct_metrics(np.asarray(g)[None])[0])
    return a, b, c, alpha, beta, gamma


def cells_from_direct_metrics(g: Floats) -> Floats:
    """Cells in Å and degrees, shape (n, 6), of direct metric tensors in Å², shape (n, 3, 3)."""
    edges = np.sqrt(np.einsum("nii->ni", g))
    cosines = np.stack([g[:, i, j] / (edges[:, i] * edges[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))], 1)
    return np.concatenate([edges, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], 1)


def cell_from_metric(metric: Floats) -> Cell:
    """Cell in Å and degrees of a reciprocal metric of shape (6,)."""
    return cell_from_direct_metric(np.asarray(np.linalg.inv(tensor_from_metric(metric)), dtype=np.float64))


def angle_determinant(angles: Floats) -> Floats:
    """(V / abc)² = 1 − cos²α − cos²β − cos²γ + 2 cos α cos β cos γ of angles (..., 3) in degrees, shape (...).

    It is negative for three angles that no cell has.
    """
    cosine = np.cos(np.radians(angles))
    return np.asarray(1 - (cosine**2).sum(-1) + 2 * cosine.prod(-1))


def volume_from_cell(cell: Cell | Floats) -> Floats:
    """Volume in Å³ of cells in Å and degrees, shape (..., 6) to (...); 0 for angles that no cell has."""
    lengths, angles = np.split(np.asarray(cell, dtype=float), 2, axis=-1)
    volume: Floats = lengths.prod(-1) * np.sqrt(np.maximum(angle_determinant(angles), 0))
    return volume


def is_cell(cell: Floats) -> Bools:
    """Which of the cells in Å and degrees span a volume, shape (..., 6) to (...): at least a thousandth of abc."""
    lengths, angles = cell[..., :3], cell[..., 3:]
    inside = (angles > 0).all(-1) & (angles < 180).all(-1)
    upright = volume_from_cell(cell) > 1e-3 * lengths.prod(-1)
    return np.asarray(np.isfinite(cell).all(-1) & (lengths > 0).all(-1) & inside & upright)
