"""Niggli cells of a batch of lattices on the device: the lattice target of the ``open`` network."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from alphadiffract_plugin.crystal.bravais import primitive_basis

from . import lattice

TOLERANCE = 1e-5
"""Scalar products that differ by less than this share of V^(2/3) count as equal: symmetry makes many of them equal."""
ROUNDS = 200
"""Most steps of the reduction. Usual cells take fewer than ten; one skewed by hundreds of edges may stay unreduced."""


def niggli_from_reciprocal(basis: Tensor, lattice_type: Tensor) -> Tensor:
    """Niggli-reduced cells (Å, degrees) of conventional cells, float32, shape (N, 6).

    Parameters
    ----------
    basis : rows a*, b*, c* in 1/Å of the conventional cell on the network's axes, shape (N, 3, 3).
    lattice_type : index into ``lattice.LATTICE_TYPES``, which gives the centring, shape (N,).
    """
    basis = basis.double()
    change = _primitive(basis.device)[lattice_type]
    return niggli_from_metric(change @ torch.linalg.inv(basis @ basis.mT) @ change.mT)


def niggli_from_parameters(q: Tensor, lattice_type: Tensor) -> Tensor:
    """Niggli-reduced cells (Å, degrees), float32, shape (N, 6), of free parameters (N, 6); see :mod:`.lattice`."""
    tie, constant, _ = (torch.as_tensor(table, device=q.device) for table in lattice.ties())
    p = torch.einsum("nij,nj->ni", tie[lattice_type], q.double()) + constant[lattice_type]
    d = p[:, :3].exp()
    lower = torch.diag_embed(d)
    lower[:, (1, 2, 2), (0, 0, 1)] = p[:, 3:] * d[:, (0, 0, 1)]
    return niggli_from_reciprocal(lower, lattice_type)


def niggli_from_metric(metric: Tensor) -> Tensor:
    """Niggli-reduced cells (Å, degrees), float32, shape (N, 6), of primitive direct metrics in Å², (N, 3, 3).

    Křivý & Gruber, Acta Cryst. A32 (1976) 297, steps 1 to 8 for all lattices together, comparisons with a tolerance as
    in Grosse-Kunstleve et al., Acta Cryst. A60 (2004) 1.
    """
    metric = metric.double()
    eps = TOLERANCE * torch.linalg.det(metric).clamp_min(0) ** (1 / 3)
    g = torch.stack((*metric.diagonal(dim1=-2, dim2=-1).unbind(-1), *(2 * metric[:, i, j] for i, j in _PAIRS)))
    for _ in range(ROUNDS):
        g = _signed(_sorted(g, eps), eps)
        g, changed = _shortened(g, eps)
        if not changed.any():
            break
    lengths = g[:3].sqrt()
    cosines = torch.stack([g[3 + n] / (2 * lengths[i] * lengths[j]) for n, (i, j) in enumerate(_PAIRS)])
    return torch.cat((lengths, torch.rad2deg(cosines.clamp(-1, 1).arccos()))).T.float()


_PAIRS = ((1, 2), (0, 2), (0, 1))


@functools.cache
def _primitive(device: torch.device) -> Tensor:
    """Primitive vectors in terms of the conventional ones of each lattice type, shape (15, 3, 3)."""
    unit = (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
    return torch.stack([torch.as_tensor(primitive_basis(unit, name[1])) for name in lattice.LATTICE_TYPES]).to(device)


def _sorted(g: Tensor, eps: Tensor) -> Tensor:
    """Steps 1 and 2: a ≤ b ≤ c, equal edges by their angles. ``g``: A, B, C, ξ, η, ζ, shape (6, N)."""
    for i in (0, 1, 0):
        j, order = i + 1, list(range(6))
        order[i], order[j], order[3 + i], order[3 + j] = j, i, 3 + j, 3 + i
        alike = (g[i] - g[j]).abs() <= eps
        swap = (g[i] > g[j] + eps) | (alike & (g[3 + i].abs() > g[3 + j].abs() + eps))
        g = torch.where(swap, g[order], g)
    return g


def _signed(g: Tensor, eps: Tensor) -> Tensor:
    """Steps 3 and 4: all angles acute, or none."""
    angles = g[3:]
    positive, zero = (angles > eps).sum(0), (angles.abs() <= eps).sum(0)
    acute = (positive == 3) | ((zero == 0) & (positive == 1))
    return torch.cat((g[:3], torch.where(acute, 1.0, -1.0) * angles.abs()))


def _shortened(g: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """The first of steps 5 to 8 that applies to each lattice, and whether one did, shape (N,)."""
    a, b, c, xi, eta, zeta = g
    sx, sy, sz = xi.sign(), eta.sign(), zeta.sign()

    def over(product: Tensor, edge: Tensor, twice: Tensor, other: Tensor) -> Tensor:
        reaches, falls = (product - edge).abs() <= eps, (product + edge).abs() <= eps
        return (product.abs() > edge + eps) | (reaches & (2 * twice < other - eps)) | (falls & (other < -eps))

    total = xi + eta + zeta + a + b
    steps = (
        (over(xi, b, eta, zeta), (a, b, b + c - xi * sx, xi - 2 * b * sx, eta - zeta * sx, zeta)),
        (over(eta, a, xi, zeta), (a, b, a + c - eta * sy, xi - zeta * sy, eta - 2 * a * sy, zeta)),
        (over(zeta, a, xi, eta), (a, a + b - zeta * sz, c, xi - eta * sz, eta, zeta - 2 * a * sz)),
        (
            (total < -eps) | ((total.abs() <= eps) & (2 * (a + eta) + zeta > eps)),
            (a, b, total + c, 2 * b + xi + zeta, 2 * a + eta + zeta, zeta),
        ),
    )
    changed = torch.zeros_like(a, dtype=torch.bool)
    for applies, new in steps:
        g = torch.where(applies & ~changed, torch.stack(new), g)
        changed = changed | applies
    return g, changed
