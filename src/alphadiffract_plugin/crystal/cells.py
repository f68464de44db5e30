"""Cells, reciprocal metrics, lattices and space groups: the exact crystallography that every step shares.

A reciprocal metric is the row ``(A, B, C, D, E, F)`` of 1/d² = A h² + B k² + C l² + D kl + E hl + F hk, in 1/Å².
Symmetry comes from gemmi's tables and spglib; no table is typed in here.
"""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.records import Cell


def metric_from_cell(cell: Cell) -> np.ndarray:
    """Reciprocal metric (A, B, C, D, E, F) in 1/Å², shape (6,), of a cell in Å and degrees."""
    g = np.linalg.inv(direct_metric_from_cell(cell))
    return np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])


def direct_metric_from_cell(cell: Cell) -> np.ndarray:
    """Metric tensor of the direct lattice in Å², shape (3, 3)."""
    a, b, c, *angles = cell
    ca, cb, cg = np.cos(np.radians(angles))
    return np.array([[a * a, a * b * cg, a * c * cb], [a * b * cg, b * b, b * c * ca], [a * c * cb, b * c * ca, c * c]])


def tensor_from_metric(metric: np.ndarray) -> np.ndarray:
    """Symmetric tensor of the reciprocal lattice in 1/Å², shape (..., 3, 3), of metrics of shape (..., 6)."""
    a, b, c, d, e, f = np.moveaxis(np.asarray(metric, float), -1, 0)
    rows = [[a, f / 2, e / 2], [f / 2, b, d / 2], [e / 2, d / 2, c]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def cell_from_direct_metric(g: np.ndarray) -> Cell:
    """Cell in Å and degrees of a direct metric tensor in Å², shape (3, 3)."""
    a, b, c = np.sqrt(np.diag(g))
    cosines = np.clip([g[1, 2] / (b * c), g[0, 2] / (a * c), g[0, 1] / (a * b)], -1, 1)
    return tuple(float(x) for x in (a, b, c, *np.degrees(np.arccos(cosines))))


def cell_from_metric(metric: np.ndarray) -> Cell:
    """Cell in Å and degrees of a reciprocal metric of shape (6,)."""
    return cell_from_direct_metric(np.linalg.inv(tensor_from_metric(metric)))
