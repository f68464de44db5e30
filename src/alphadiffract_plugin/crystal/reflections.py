"""Reflections of a cell: their indices and 1/d²."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.crystal.cells import Cell, metric_from_cell, tensor_from_metric
from alphadiffract_plugin.crystal.symmetry import extinct, operations_from_space_group

_ALL = 10**7
"""More indices than any cell has here."""


def quadratic_form(hkl: Ints) -> Floats:
    """(h², k², l², kl, hl, hk) of indices, shape (H, 3) to (H, 6): its product with a metric is 1/d²."""
    h, k, l = np.moveaxis(np.asarray(hkl, float), -1, 0)  # noqa: E741
    return np.stack([h * h, k * k, l * l, k * l, h * l, h * k], -1)


def indices_within(metric: Floats, inv_d2_max: float, limit: int = 20000) -> Ints:
    """Indices of one half of reciprocal space with 1/d² ≤ ``inv_d2_max``, ascending in 1/d², shape (H, 3).

    Friedel mates are left out: the first index that is not zero, counted from l, is positive. At most ``limit``
    indices are returned, those of smallest 1/d².
    """
    return _half_sphere(metric, inv_d2_max, (), _ALL)[0][:limit]


def reflections_within(
    metric: Floats, inv_d2_max: float, translations: Sequence[Sequence[float]], most: int
) -> tuple[Ints, Ints] | None:
    """Indices as of :func:`indices_within` and the number of the line of each, shape (H,).

    Those that the lattice's ``translations`` besides the origin make absent are left out. Lines are one where 1/d²
    differs by less than 1e-7 of the largest. None if there are more than ``most`` indices.
    """
    hkl, value = _half_sphere(metric, inv_d2_max, translations, most)
    if len(hkl) > most:
        return None
    return hkl, np.cumsum(np.diff(value, prepend=-1.0) > 1e-7 * inv_d2_max) - 1


def allowed_inv_d2(cell: Cell, space_group: int, inv_d2_max: float) -> Floats:
    """Distinct allowed 1/d² in 1/Å² up to ``inv_d2_max``, ascending, of a cell in the standard setting."""
    metric = metric_from_cell(cell)
    hkl = indices_within(metric, inv_d2_max)
    value = quadratic_form(hkl[~extinct(hkl, operations_from_space_group(space_group))]) @ metric
    return value[np.diff(value, prepend=-1) > 1e-7] if len(value) else value


def _half_sphere(
    metric: Floats, inv_d2_max: float, translations: Sequence[Sequence[float]], most: int
) -> tuple[Ints, Floats]:
    from alphadiffract_plugin.crystal.reflection_kernels import half_sphere

    edge = np.sqrt(np.diag(np.linalg.inv(tensor_from_metric(metric))))
    top = np.minimum(np.floor(edge * np.sqrt(inv_d2_max) + 1e-9).astype(np.int64), 60)
    shifts = np.rint(24 * np.array(translations, float)).astype(np.int64).reshape(-1, 3)
    hkl, value = half_sphere(np.array(metric, float), top, float(inv_d2_max), shifts, most)
    order = np.argsort(value, kind="stable")
    return hkl[order], value[order]
