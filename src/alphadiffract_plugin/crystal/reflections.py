"""Reflections of a cell: their indices and 1/d²."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.crystal.cells import Cell, metric_from_cell, tensor_from_metric
from alphadiffract_plugin.crystal.symmetry import extinct, operations_from_space_group


def quadratic_form(hkl: Ints) -> Floats:
    """(h², k², l², kl, hl, hk) of indices, shape (H, 3) to (H, 6): its product with a metric is 1/d²."""
    h, k, l = np.moveaxis(np.asarray(hkl, float), -1, 0)  # noqa: E741
    return np.stack([h * h, k * k, l * l, k * l, h * l, h * k], -1)


def indices_within(metric: Floats, inv_d2_max: float, limit: int = 20000) -> Ints:
    """Indices of one half of reciprocal space with 1/d² ≤ ``inv_d2_max``, ascending in 1/d², shape (H, 3).

    Friedel mates are left out: the first index that is not zero, counted from l, is positive. At most ``limit``
    indices are returned, those of smallest 1/d².
    """
    edge = np.sqrt(np.diag(np.linalg.inv(tensor_from_metric(metric))))
    top = np.minimum(np.floor(edge * np.sqrt(inv_d2_max) + 1e-9).astype(int), 60)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in top), indexing="ij"), -1).reshape(-1, 3)
    h, k, l = grid.T  # noqa: E741
    grid = grid[(l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))]
    value = quadratic_form(grid) @ metric
    order = np.argsort(value, kind="stable")
    kept: Ints = grid[order[: min(limit, int(np.searchsorted(value[order], inv_d2_max, "right")))]]
    return kept


def allowed_inv_d2(cell: Cell, space_group: int, inv_d2_max: float) -> Floats:
    """Distinct allowed 1/d² in 1/Å² up to ``inv_d2_max``, ascending, of a cell in the standard setting."""
    metric = metric_from_cell(cell)
    hkl = indices_within(metric, inv_d2_max)
    value = quadratic_form(hkl[~extinct(hkl, operations_from_space_group(space_group))]) @ metric
    return value[np.diff(value, prepend=-1) > 1e-7] if len(value) else value
