"""Atoms to diffraction lines, for a batch of crystals on one device: |F|²·m of every line down to a smallest d.

F(h) = sum over the atoms of the asymmetric unit of occ · f(s²) · exp(-B s²) · mult / n · sum over n operations of
exp 2πi h·(Rx + t), with s = sin θ / λ = 1 / 2d (International Tables B, 1.2). Lines do not depend on the
wavelength or the profile. Reflections that have the same d by symmetry are one line; those that coincide by chance stay
two lines, because a strain would separate them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from .. import lattice
from ..grid import COMPACT_GRID, Grid
from . import symmetry
from .axes import standard_changes
from .records import Atoms, LineList
from .reflections import Reflections, box_sizes, ragged, reflections

D_MIN = 1.16
"""Smallest d in Å: at Cu Kα it lies beyond 80°, the end of the usual grid, with a margin for shifts and strain."""
MOST_LINES = 256
"""Number of lines kept of a crystal, those that are strongest in a pattern."""
FAINTEST = 1e-4
"""Lines are dropped if their height in a pattern is below this part of the highest."""
CHUNK = 2_000_000
"""Terms of the sums that are calculated at a time, which limits the memory."""

FormFactor = Callable[[Tensor, Tensor], Tensor]
"""f(atomic numbers (P,), (sin θ / λ)² in 1/Å² (P,)) -> electrons (P,)."""


@dataclass(frozen=True)
class RaggedLines:
    """T lines of a batch of crystals, one crystal after the other, each in the order of descending d."""

    crystal: Tensor
    """Index of the crystal, int64, shape (T,)."""
    hkl: Tensor
    """Miller indices of one reflection of each line, int32, shape (T, 3)."""
    inv_d2: Tensor
    """1/d² in 1/Å², float64, shape (T,)."""
    intensity: Tensor
    """|F|²·m in electrons², float32, shape (T,)."""


def d_min_of_grid(grid: Grid) -> float:
    """Smallest d in Å that a pattern on a grid needs: :data:`D_MIN`, or less if the grid reaches smaller spacings."""
    reach, usual = (g.wavelength / 2 / math.sin(math.radians(g.two_theta_max / 2)) for g in (grid, COMPACT_GRID))
    return D_MIN * min(1.0, reach / usual)


def lines_from_atoms(
    atoms: Atoms, *, d_min: float = D_MIN, most_lines: int = MOST_LINES, form_factor: FormFactor | None = None
) -> LineList:
    """The strongest lines of each crystal, on the axes of the network, padded.

    Parameters
    ----------
    atoms : N crystals.
    d_min : smallest d, Å.
    most_lines : K, the largest number of lines kept of a crystal.
    form_factor : by default :func:`it92`.

    Raises
    ------
    InputError : a cell edge is too long (:func:`.reflections.box_sizes`).
    """
    found = strongest(all_lines(atoms, d_min=d_min, form_factor=form_factor), len(atoms.hall), most_lines)
    change = standard_changes(atoms.metric, atoms.space_group)
    counts = torch.bincount(found.crystal, minlength=len(atoms.hall))
    place = torch.arange(len(found.crystal), device=counts.device) - (counts.cumsum(0) - counts)[found.crystal]
    shape = (len(atoms.hall), most_lines)
    hkl = torch.zeros(*shape, 3, device=counts.device)
    hkl[found.crystal, place] = torch.einsum("tij,tj->ti", change[found.crystal], found.hkl.double()).float()
    intensity = torch.zeros(shape, device=counts.device)
    intensity[found.crystal, place] = found.intensity
    intensity = intensity / intensity.amax(1, keepdim=True).clamp_min(1e-30)
    basis = torch.linalg.cholesky(torch.linalg.inv(change @ atoms.metric @ change.mT)).float()
    return LineList(hkl=hkl, intensity=intensity, basis=basis, space_group=atoms.space_group)


def all_lines(atoms: Atoms, *, d_min: float = D_MIN, form_factor: FormFactor | None = None) -> RaggedLines:
    """Every line with d >= d_min, however weak, on the axes of the setting of each crystal.

    Monoclinic settings must have the unique axis b, and rhombohedral ones hexagonal axes.
    """
    parts = []
    for which, part in _alike(atoms, d_min):
        found = reflections(part.hall, part.metric, d_min)
        merged = _merge(found, intensities(part, found, form_factor or it92), part.space_group)
        parts.append(replace(merged, crystal=which[merged.crystal]))
    if not parts:
        parts = [RaggedLines(*(torch.zeros(0, *s, dtype=d) for s, d in _EMPTY))]
    whole = RaggedLines(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(RaggedLines)))
    return _take(whole, _order(whole.crystal, whole.inv_d2))


_EMPTY = (((), torch.int64), ((3,), torch.int32), ((), torch.float64), ((), torch.float32))


def strongest(lines: RaggedLines, n: int, most_lines: int) -> RaggedLines:
    """The lines of n crystals that a pattern shows: those above :data:`FAINTEST`, and of a crystal the strongest."""
    seen = (
        lines.intensity / lines.inv_d2.clamp_min(1e-3).float()
    )  # about its height in a pattern: the Lorentz factor goes as d²
    top = torch.zeros(n, device=seen.device).scatter_reduce_(0, lines.crystal, seen, "amax")
    keep = (seen > FAINTEST * top[lines.crystal]).nonzero().squeeze(1)
    keep = keep[_order(lines.crystal[keep], -seen[keep])]
    counts = torch.bincount(lines.crystal[keep], minlength=n)
    _, place = ragged(counts)
    keep = keep[place < most_lines]
    return _take(lines, keep.sort().values)


def intensities(atoms: Atoms, found: Reflections, form_factor: FormFactor) -> Tensor:
    """|F|²·m of reflections, float32, shape (R,).

    All crystals must have the same number of operations, and all or none of them an inversion centre.
    """
    table = symmetry.operations(str(atoms.hall.device))
    row = atoms.hall - 1
    n, centric = int(table.count[row[0]]), bool(table.centric[row[0]])
    counts = torch.bincount(atoms.crystal, minlength=len(row))
    reflection, place = ragged(counts[found.crystal])
    atom = (counts.cumsum(0) - counts)[found.crystal[reflection]] + place

    x = atoms.position - table.origin[row][atoms.crystal]
    images = torch.einsum("anij,aj->ani", table.rotation[row, :n].double()[atoms.crystal], x)
    images = (images + table.translation[row, :n][atoms.crystal] / symmetry.DENOMINATOR).frac().float()
    images = (2 * math.pi * images).mT.contiguous()  # (M, 3, n)
    hkl = found.hkl.float()[reflection]
    phase = torch.einsum("pi,pin->pn", hkl, images[atom]) if n == 1 else (hkl[:, :, None] * images[atom]).sum(1)
    stol2 = (found.inv_d2 / 4).float()[reflection]
    weight = atoms.occupancy.float() * atoms.multiplicity / n
    amplitude = form_factor(atoms.number[atom], stol2) * (-atoms.b_iso.float()[atom] * stol2).exp() * weight[atom]
    parts = (phase.cos(),) if centric else (phase.cos(), phase.sin())
    sums = torch.stack([part.sum(1) * amplitude for part in parts], 1)
    factor = torch.zeros(len(found.crystal), len(parts), device=sums.device).index_add_(0, reflection, sums)
    return factor.square().sum(1) * found.multiplicity


@functools.cache
def _it92_table(device: str) -> Tensor:
    """Coefficients a1..a4, b1..b4, c by atomic number, (99, 9); an atom of number 0 does not scatter."""
    import gemmi

    tables = [gemmi.Element(z).it92 for z in range(1, 99)]
    rows = [[0.0] * 9] + [[*t.a, *t.b, t.c] for t in tables]
    return torch.tensor(np.array(rows), dtype=torch.float32, device=device)


def it92(number: Tensor, stol2: Tensor) -> Tensor:
    """Form factors of neutral atoms: International Tables C (1992), 6.1.1.4, from gemmi; for Z > 98 that of 98."""
    row = _it92_table(str(number.device))[number.clamp(0, 98)]
    return (row[:, :4] * (-row[:, 4:8] * stol2[:, None]).exp()).sum(1) + row[:, 8]


def _alike(atoms: Atoms, d_min: float) -> Iterator[tuple[Tensor, Atoms]]:
    """Crystals (indices) of one number of operations, with or without inversion, and their atoms, chunk by chunk."""
    if not len(atoms.hall):
        return
    table = symmetry.operations(str(atoms.hall.device))
    count, centric = table.count[atoms.hall - 1], table.centric[atoms.hall - 1]
    counts = torch.bincount(atoms.crystal, minlength=len(atoms.hall))
    start = counts.cumsum(0) - counts
    within = 4 / 3 * math.pi * torch.linalg.det(atoms.metric).sqrt() / d_min**3
    cost = box_sizes(atoms.hall, atoms.metric, d_min)[1].prod(1) + (within * counts).long()
    kind = 2 * count + centric
    order = kind.argsort(stable=True)
    chunk = (cost[order].cumsum(0) // CHUNK) + kind[order] * 1_000_000
    _, lengths = torch.unique_consecutive(chunk, return_counts=True)
    for which in torch.split(order, lengths.tolist()):
        row, place = ragged(counts[which])
        take = start[which][row] + place
        yield (
            which,
            Atoms(
                hall=atoms.hall[which],
                space_group=atoms.space_group[which],
                metric=atoms.metric[which],
                crystal=row,
                **{
                    name: getattr(atoms, name)[take]
                    for name in ("number", "occupancy", "position", "multiplicity", "b_iso")
                },
            ),
        )


def _merge(found: Reflections, intensity: Tensor, space_group: Tensor) -> RaggedLines:
    """One line for all reflections that have the same d in every cell of the crystal system."""
    system = torch.as_tensor(lattice.system_of_group(), device=space_group.device)[space_group][found.crystal]
    h, k, l = found.hkl.long().unbind(1)  # noqa: E741
    plane = h * h + k * k + lattice.has_hexagonal_axes(system) * h * k
    cubic = system == lattice.CUBIC
    plane, axis = plane + cubic * l * l, ~cubic * l * l
    own = torch.arange(len(h), device=h.device) + (1 << 39)  # below tetragonal symmetry no two classes have the same d
    form = torch.where(system < lattice.TETRAGONAL, own, (plane << 16) + axis)
    key, line = torch.unique((found.crystal << 40) + form, return_inverse=True)
    total = torch.zeros(len(key), device=intensity.device).index_add_(0, line, intensity)
    chosen = torch.full_like(key, len(h)).scatter_reduce_(0, line, torch.arange(len(h), device=h.device), "amin")
    return RaggedLines(found.crystal[chosen], found.hkl[chosen], found.inv_d2[chosen], total)


def _order(crystal: Tensor, value: Tensor) -> Tensor:
    """Order by crystal, and within each by ascending value."""
    by_value = value.argsort(stable=True)
    return by_value[crystal[by_value].argsort(stable=True)]


def _take(lines: RaggedLines, which: Tensor) -> RaggedLines:
    return RaggedLines(*(getattr(lines, f.name)[which] for f in fields(RaggedLines)))
