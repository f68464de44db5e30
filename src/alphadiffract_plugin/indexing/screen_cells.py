"""Screen millions of cells of one Bravais lattice by table look-up; the same torch code on the CPU and the GPU.

Low indices are assigned to as many of the first lines as there are free parameters, which gives a cell each by one
small matrix product; triclinic cells are put together from zones (:mod:`zones`). Which lines a cell explains is then
read, as bits, from a table over 1/d².
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.indexing.zones import triclinic_parameters
from alphadiffract_plugin.peaks.observed import Observed
from alphadiffract_plugin.settings import SearchSettings

if TYPE_CHECKING:
    import torch

_WINDOW = 0.045
"""Half-width in degrees within which the screening counts a line as explained."""
_CHUNK = 1 << 16


def screen_cells(
    observed: Observed, lattice: Lattice, zero: float, settings: SearchSettings, device: str
) -> np.ndarray:
    """Free parameters of the cells that explain most lines around one zero shift, shape (K, p)."""
    import torch

    inv_d2 = observed.inv_d2(zero)
    table, scale = _line_table(observed, inv_d2, device)
    design = torch.tensor(lattice.design(_screening_indices(lattice)), dtype=torch.float32, device=device).T
    chance = _chance(observed, inv_d2, lattice, device)
    kept_score, kept = [], []
    for parameters in _proposals(observed, inv_d2, lattice, device):
        parameters, volume = _plausible(parameters, lattice, settings)
        if len(parameters) == 0:
            continue
        score = _screening_score(parameters @ design, volume, table, scale, chance)
        best = torch.topk(score, min(300, len(score)))
        kept_score.append(best.values)
        kept.append(parameters[best.indices])
    if not kept:
        return np.zeros((0, lattice.free))
    score, kept = torch.cat(kept_score), torch.cat(kept)
    order = torch.argsort(score, descending=True)[:4000]
    parameters = kept[order].double().cpu().numpy()
    _, first = np.unique((np.log(np.abs(parameters) + 1e-6) / 0.004).round(), axis=0, return_index=True)
    return parameters[np.sort(first)[:800]]


def _screening_indices(lattice: Lattice) -> np.ndarray:
    longest = {"cubic": 60, "tetragonal": 40, "hexagonal": 40, "orthorhombic": 25, "monoclinic": 18, "triclinic": 12}
    return lattice.indices(longest[lattice.family])


def _window(observed: Observed, inv_d2: np.ndarray) -> np.ndarray:
    """Half-width in 1/Å² within which each line counts as explained, shape (n,)."""
    return (_WINDOW + observed.sigma) * observed.inv_d2_slope() + 0.0012 * inv_d2


def _line_table(observed: Observed, inv_d2: np.ndarray, device: str) -> tuple[torch.Tensor, float]:
    """For each narrow bin of 1/d² the set of observed lines within reach, as bits; and bins per 1/Å²."""
    import torch

    window = _window(observed, inv_d2)
    bins = 1 << 14
    scale = bins / (inv_d2.max() + 3 * window.max())
    table = np.zeros(bins + 1, np.int32)
    for i, (low, high) in enumerate(zip((inv_d2 - window) * scale, (inv_d2 + window) * scale, strict=True)):
        table[max(0, int(low)) : int(high) + 1] |= np.int32(1 << i)
    table[-1] = 0
    return torch.tensor(table, device=device), scale


def _chance(observed: Observed, inv_d2: np.ndarray, lattice: Lattice, device: str) -> torch.Tensor:
    """Expected number of calculated lines in each window per Å³ of conventional cell, and the priors; shape (3, n)."""
    import torch

    window = _window(observed, inv_d2)
    density = 2 * np.pi * np.sqrt(inv_d2) / (lattice.points * lattice.multiplicity)
    hit, miss = np.log(1 - observed.spurious), np.log(observed.spurious)
    return torch.tensor(np.stack([2 * window * density, hit, miss]), dtype=torch.float32, device=device)


def _proposals(observed: Observed, inv_d2: np.ndarray, lattice: Lattice, device: str) -> Iterator[torch.Tensor]:
    """Free parameters of every low-index assignment, in chunks of shape (≤ 65536, p)."""
    import torch

    if lattice.family == "triclinic":
        yield from triclinic_parameters(observed, inv_d2, _window(observed, inv_d2), _CHUNK, device)
        return
    inverse = torch.tensor(lattice.assignments(), dtype=torch.float32, device=device)
    trusted = np.flatnonzero(observed.spurious < 0.5)
    first = {1: 10, 2: 12, 3: 11, 4: 9}[lattice.free]
    chosen = np.array(list(itertools.combinations(trusted[:first], lattice.free)))
    if len(chosen) == 0:
        return
    q = torch.tensor(inv_d2, dtype=torch.float32, device=device)
    step = max(1, _CHUNK // len(inverse))
    for begin in range(0, len(chosen), step):
        lines = q[torch.tensor(chosen[begin : begin + step], device=device)]
        yield torch.einsum("tij,cj->cti", inverse, lines).reshape(-1, lattice.free)


def _plausible(
    parameters: torch.Tensor, lattice: Lattice, settings: SearchSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Those cells that are real, reduced enough and of allowed volume and length, with their volumes in Å³."""
    import torch

    shortest = 1 / settings.length_max**2
    if lattice.free <= 3:
        good = (parameters > shortest).all(1) & (parameters < 0.25 * lattice.points).all(1)
    elif lattice.free == 4:
        a, b, c, e = parameters.unbind(1)
        reduced = torch.minimum(2 * a if lattice.centring == "C" else a, c)
        good = (torch.stack([a, b, c]) > shortest).all(0) & (e.abs() <= 1.05 * reduced)
    else:
        good = (parameters[:, :3] > shortest).all(1)
    parameters = parameters[good]
    metric = parameters @ torch.tensor(lattice.metric_map, dtype=torch.float32, device=parameters.device)
    a, b, c, d, e, f = metric.unbind(1)
    determinant = a * b * c + (d * e * f - a * d * d - b * e * e - c * f * f) / 4
    volume = determinant.clamp_min(1e-12).rsqrt()
    good = (
        (determinant > 1e-12)
        & (volume < settings.volume_max * (1 if lattice.points == 1 else 1.5))
        & (volume > settings.volume_min * lattice.points)
    )
    return parameters[good], volume[good]


def _screening_score(
    inv_d2: torch.Tensor, volume: torch.Tensor, table: torch.Tensor, scale: float, chance: torch.Tensor
) -> torch.Tensor:
    """Log-likelihood ratio of each cell from which lines it explains, shape (B,); ``inv_d2`` has shape (B, H)."""
    import torch

    index = (inv_d2 * scale).clamp(0, len(table) - 1).to(torch.int32)
    bits = table[index]
    while bits.shape[1] > 1:
        half = bits.shape[1] // 2
        paired = bits[:, :half] | bits[:, half : 2 * half]
        bits = paired if bits.shape[1] % 2 == 0 else torch.cat([paired, bits[:, -1:]], 1)
    explained = (bits >> torch.arange(chance.shape[1], dtype=torch.int32, device=bits.device)) & 1
    expected, hit, miss = chance
    by_chance = 1 - torch.exp(-expected * volume[:, None])
    return torch.where(explained.bool(), hit - torch.log(by_chance), miss).sum(1)
