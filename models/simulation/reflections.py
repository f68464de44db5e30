"""The reflections of a batch of crystals down to a smallest d: one of each symmetry class, without absent ones.

All crystals of a batch have the same number of operations, so that all tensors of operations are dense.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from alphadiffract_plugin.errors import InputError

from . import symmetry

LARGEST_INDEX = 127
"""Largest index that fits into int8."""
_BASE = 256


@dataclass(frozen=True)
class Reflections:
    """R reflections, one crystal after the other; each stands for its class under the Laue group."""

    hkl: Tensor
    """Miller indices on the axes of the setting, int32, shape (R, 3)."""
    crystal: Tensor
    """Index of the crystal, ascending, int64, shape (R,)."""
    inv_d2: Tensor
    """1/d² in 1/Å², float64, shape (R,)."""
    multiplicity: Tensor
    """Size of the class, int64, shape (R,)."""


def ragged(counts: Tensor) -> tuple[Tensor, Tensor]:
    """The row of every entry and its place in the row, int64, (sum,) each, for rows of these lengths (N,)."""
    row = torch.repeat_interleave(counts)
    start = counts.cumsum(0) - counts
    return row, torch.arange(len(row), device=counts.device) - start[row]


@functools.cache
def _classes(device: str) -> tuple[Tensor, Tensor]:
    """Weights w (530, 3) that choose one index of each class, and the axes along which it can be negative (530, 3).

    Chosen is the index with the largest h·w in its class; w is such that no two indices have the same product.
    """
    table = symmetry.operations()
    rotation = table.rotation.int()
    diagonal = (rotation - rotation * torch.eye(3, dtype=torch.int32) == 0).all(dim=(1, 2, 3))
    weight = torch.where(
        diagonal[:, None],
        torch.tensor([_BASE**2, _BASE, 1], dtype=torch.int32),
        torch.tensor([_BASE**2, _BASE**2 - _BASE, 1], dtype=torch.int32),
    )
    span = torch.arange(-4, 5, dtype=torch.int32)
    box = torch.cartesian_prod(span, span, span)
    keys = torch.einsum("hi,soi->sho", box.double(), (rotation * weight[:, None, None]).sum(-1).double())
    picked = (keys[:, :, 0] == keys.abs().amax(-1)) & (keys[:, :, 0] > 0)
    negative = torch.stack([(picked & (box[:, axis] < 0)).any(1) for axis in range(3)], 1)
    return weight.to(device), negative.to(device)


def box_sizes(hall: Tensor, metric: Tensor, d_min: float) -> tuple[Tensor, Tensor]:
    """Smallest index, and number of indices, along each axis of a box that holds all chosen indices, int64, (N, 3).

    Raises
    ------
    InputError : an index would not fit into int8.
    """
    edge = metric.diagonal(dim1=1, dim2=2).sqrt()
    top = (edge / d_min + 1e-9).floor().long()
    if len(top) and int(top.max()) > LARGEST_INDEX:
        raise InputError(
            f"a structure with a cell edge of {float(edge.max()):.0f} Å has reflections beyond index {LARGEST_INDEX}",
            fix=f"leave out structures with a cell edge above {LARGEST_INDEX * d_min:.0f} Å",
        )
    low = -top * _classes(str(hall.device))[1][hall - 1]
    return low, top - low + 1


def reflections(hall: Tensor, metric: Tensor, d_min: float) -> Reflections:
    """Every reflection with d >= d_min that symmetry allows.

    Parameters
    ----------
    hall : Hall numbers, (N,), all of one number of operations (``Operations.count``).
    metric : direct metrics in Å², float64, (N, 3, 3).
    d_min : Å.
    """
    table = symmetry.operations(str(hall.device))
    row, n = hall - 1, int(table.count[hall[0] - 1])
    hkl, crystal, inv_d2 = _sphere(hall, metric, d_min)

    turn = table.rotation[row, :n].int()
    weight = _classes(str(hall.device))[0][row]
    turned_weight = (turn * weight[:, None, None, :]).sum(-1)  # h R·w of every operation, (N, n, 3) @ h
    key = _products(hkl, turned_weight, crystal)
    first, size = key[:, 0], key.abs()
    picked = (first > 0) & (first == size.amax(1))
    picked &= (_products(hkl, table.centring[row].int(), crystal) % symmetry.DENOMINATOR == 0).all(1)
    hkl, crystal, inv_d2, key, size = (a[picked] for a in (hkl, crystal, inv_d2, key, size))

    onto_itself = key == key[:, :1]
    fixed = size == key[:, :1]
    shift = _products(hkl, table.translation[row, :n].int(), crystal) % symmetry.DENOMINATOR != 0
    absent = ((onto_itself | (fixed & table.centric[row][crystal, None])) & shift).any(1)
    multiplicity = 2 * n // fixed.sum(1)
    return Reflections(hkl[~absent], crystal[~absent], inv_d2[~absent], multiplicity[~absent])


def _products(hkl: Tensor, vectors: Tensor, crystal: Tensor) -> Tensor:
    """Scalar products of indices (R, 3) with the vectors (N, V, 3) of their crystals (R,): (R, V)."""
    x, y, z = (v[crystal] for v in vectors.unbind(-1))
    h, k, l = hkl[:, :, None].unbind(1)  # noqa: E741
    return x.mul_(h).addcmul_(y, k).addcmul_(z, l)


def _sphere(hall: Tensor, metric: Tensor, d_min: float) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (R, 3), crystal (R,) and 1/d² (R,) of the part of the sphere in which all chosen indices lie."""
    low, size = (a.int() for a in box_sizes(hall, metric, d_min))
    crystal, place = ragged(size.long().prod(1))
    place = place.int()
    columns = torch.cat((low, size), 1)[crystal].unbind(1)
    quotient = torch.div(place, columns[5], rounding_mode="floor")
    h = torch.div(quotient, columns[4], rounding_mode="floor")
    k = quotient - h * columns[4]
    l = place - quotient * columns[5]  # noqa: E741
    hkl = torch.stack((h, k, l), 1) + torch.stack(columns[:3], 1)
    g = torch.linalg.inv(metric).reshape(-1, 9)
    form = torch.stack((g[:, 0], g[:, 4], g[:, 8], 2 * g[:, 5], 2 * g[:, 2], 2 * g[:, 1]), 1)[crystal]
    h, k, l = hkl.double().unbind(1)  # noqa: E741
    inv_d2 = h * (form[:, 0] * h + form[:, 4] * l + form[:, 5] * k)
    inv_d2 += k * (form[:, 1] * k + form[:, 3] * l) + l * l * form[:, 2]
    inside = ((inv_d2 <= 1 / d_min**2) & (inv_d2 > 1e-9)).nonzero().squeeze(1)
    return hkl[inside], crystal[inside], inv_d2[inside]
