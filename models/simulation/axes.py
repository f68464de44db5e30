"""The change to the axes on which the network describes a cell, for a batch of crystals.

Orthorhombic axes are sorted a ≤ b ≤ c as far as the centring allows, and A centring becomes C. Monoclinic cells are
reduced in the a-c plane, with an obtuse β. Triclinic cells stay as given (they are Niggli-reduced), and all others stay
in the standard setting of the International Tables.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .. import lattice


@functools.cache
def _tables(device: str) -> tuple[Tensor, Tensor]:
    """Lattice type of each space group, (230,), and whether it is A centred, (230,)."""
    import gemmi

    a_centred = [gemmi.find_spacegroup_by_number(n).centring_type() == "A" for n in range(1, 231)]
    return torch.as_tensor(lattice.type_of_group(), device=device), torch.tensor(a_centred, device=device)


def standard_changes(metric: Tensor, space_group: Tensor) -> Tensor:
    """Changes of axes (new rows = change @ old rows), float64, shape (N, 3, 3).

    Parameters
    ----------
    metric : direct metrics in Å², float64, shape (N, 3, 3).
    space_group : 0 to 229, shape (N,).
    """
    types, a_centred = _tables(str(metric.device))
    kind, a_centred = types[space_group], a_centred[space_group]
    name = lattice.LATTICE_TYPES
    is_c = kind == name.index("oC")
    orthorhombic = (kind >= name.index("oP")) & (kind <= name.index("oF"))
    identity = torch.eye(3, dtype=metric.dtype, device=metric.device)
    change = torch.where((orthorhombic & a_centred)[:, None, None], identity[[1, 2, 0]], identity)
    lengths = (change @ metric @ change.mT).diagonal(dim1=1, dim2=2).clone()
    lengths[is_c, 2] = torch.inf
    order = lengths.argsort(dim=1, stable=True)
    sorted_rows = change.gather(1, order[:, :, None].expand(-1, -1, 3))
    change = torch.where(orthorhombic[:, None, None], sorted_rows, change)
    monoclinic = (kind == name.index("mP")) | (kind == name.index("mC"))
    return torch.where(monoclinic[:, None, None], _reduced_planes(metric, kind == name.index("mC")), change)


def _reduced_planes(metric: Tensor, centred: Tensor) -> Tensor:
    """Changes to the shortest a and c of monoclinic cells, b unique; with C centring only 2c is added to a."""
    step = torch.where(centred, 2.0, 1.0).to(metric.dtype)
    a = torch.tensor([1.0, 0, 0], dtype=metric.dtype, device=metric.device).expand(len(metric), 3)
    b = torch.tensor([0, 1.0, 0], dtype=metric.dtype, device=metric.device).expand(len(metric), 3)
    c = torch.tensor([0, 0, 1.0], dtype=metric.dtype, device=metric.device).expand(len(metric), 3)

    def product(left: Tensor, right: Tensor) -> Tensor:
        return torch.einsum("ni,nij,nj->n", left, metric, right)

    for _ in range(12):
        aa, cc, ac = product(a, a), product(c, c), product(a, c)
        n, m = (ac / aa).round(), step * (ac / (step * cc)).round()
        change_c = (n != 0) & ((m == 0) | (aa <= cc))
        c = c - torch.where(change_c, n, 0.0)[:, None] * a
        a = a - torch.where(change_c, 0.0, m)[:, None] * c
    swap = ((step == 1) & (product(a, a) > product(c, c)))[:, None]
    a, c = torch.where(swap, c, a), torch.where(swap, a, c)
    c = torch.where((product(a, c) > 0)[:, None], -c, c)
    return torch.stack((a, b, c), 1)
