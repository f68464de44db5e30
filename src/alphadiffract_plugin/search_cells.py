"""Search cells whose lines are the observed ones: screen millions, refine thousands, hand on a few.

For each Bravais lattice low indices are assigned to as many of the first lines as there are free parameters; the small
linear system gives a cell; all cells are screened at once, by table look-up, for how many lines they explain. The best
are pulled onto the lines by least squares that grows with the lines it explains, zero shift free, and scored by the
log-likelihood ratio "at a calculated position" against "there by chance among so many calculated lines".
The same torch code runs on the CPU and the GPU.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal import (
    bravais_from_basis,
    cell_from_direct_metric,
    cell_from_metric,
    metric_from_cell,
    primitive_basis,
    tensor_from_metric,
)
from alphadiffract_plugin.lattices import LATTICES, Lattice
from alphadiffract_plugin.records import Peaks
from alphadiffract_plugin.settings import SearchSettings

if TYPE_CHECKING:
    import torch

_SIGMA = 0.03
"""Systematic uncertainty of a position as a fraction of its FWHM, added to its esd: asymmetry, overlap."""
_WINDOW = 0.045
"""Half-width in degrees within which the screening counts a line as explained."""
_ZERO_SHIFTS = (0.03, -0.03, 0.09, -0.09)
"""Zero shifts in degrees around which cells are proposed; least squares refines them."""
_ZERO_PRIOR = 0.05
"""Standard deviation in degrees of zero shifts and displacements of measured patterns."""
_CENTRED = 40
"""So many of the best cells are tried with other centrings."""
_AXES = {
    ("orthorhombic", "C"): [np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]],
    ("monoclinic", "C"): [
        np.eye(3),
        np.eye(3)[[2, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [1, 0, 1]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 0]],
    ],
    "other": [np.eye(3)],
}
"""Changes of the reciprocal axes (rows) that bring a centring to the letter of the lattice."""
_CHUNK = 1 << 16
_NATS_PER_PARAMETER = 6.0
"""Price of a free cell parameter in units of log-likelihood."""


@dataclass(frozen=True)
class Observed:
    """The lines that cells are tested against, as plain arrays."""

    two_theta: np.ndarray
    """Positions in degrees, shape (n,)."""
    sigma: np.ndarray
    """Uncertainties in degrees, shape (n,)."""
    spurious: np.ndarray
    """Prior probability that the line belongs to something else, shape (n,)."""
    wavelength: float
    """Wavelength in Å."""

    def inv_d2(self, zero_shift: float = 0.0) -> np.ndarray:
        """1/d² in 1/Å² after taking off a zero shift in degrees, shape (n,)."""
        return (2 * np.sin(np.radians((self.two_theta - zero_shift) / 2)) / self.wavelength) ** 2

    def inv_d2_slope(self) -> np.ndarray:
        """Derivative of 1/d² by two_theta, in 1/Å² per degree, shape (n,)."""
        return 2 * np.sin(np.radians(self.two_theta)) / self.wavelength**2 * np.pi / 180


@dataclass(frozen=True)
class Trial:
    """A refined cell of one Bravais lattice."""

    lattice: Lattice
    """Its Bravais lattice."""
    metric: np.ndarray
    """Reciprocal metric in 1/Å², shape (6,)."""
    zero_shift: float
    """Zero shift in degrees."""
    score: float
    """Log-likelihood ratio less the price of the parameters."""
    origin: str
    """``search`` or ``network``."""


def observed_from_peaks(peaks: Peaks, lines: int, *, every: bool = False) -> Observed:
    """The lowest ``lines`` peaks; weak ones are more likely to be spurious (impurities, noise, the tube's own lines).

    The weakest are passed over for stronger ones at higher angles unless ``every`` one is asked for.
    """
    spurious = spurious_probability(peaks)
    use = np.sort(np.argsort(peaks.two_theta + 200.0 * ((spurious > 0.5) & (not every)), kind="stable")[:lines])
    return Observed(
        two_theta=peaks.two_theta[use],
        sigma=np.hypot(peaks.two_theta_esd[use], _SIGMA * peaks.fwhm[use] + 0.001),
        spurious=spurious[use],
        wavelength=peaks.wavelength,
    )


def spurious_probability(peaks: Peaks) -> np.ndarray:
    """Probability that each line belongs to no reflection of the main phase, shape (P,).

    Weak, insignificant and low-angle lines are more often impurities, noise or the tube's own. A logistic regression
    on 7,927 lines of the development benchmark's patterns with known cells: mean log loss 0.30 there, against 0.46 for
    the same share given to every line.
    """
    height = peaks.area / peaks.fwhm
    relative = np.clip(height / np.sort(height)[-min(3, len(height))], 1e-3, 1)
    logit = (
        -0.56
        - 0.69 * np.log(relative)
        - 0.63 * np.log(np.clip(peaks.significance, 4, 60))
        - 2.73 * np.log(np.sqrt(peaks.inv_d2) * 3.56)
    )
    return np.clip(1 / (1 + np.exp(-logit)), 0.01, 0.97)


def search_cells(peaks: Peaks, settings: SearchSettings, device: str = "cpu") -> list[Trial]:
    """Cells of all Bravais lattices that explain the first lines, best score first.

    Every lattice is searched, then the best primitive ones are tried with each centring of their axes. After
    ``settings.seconds`` no further lattice is begun.
    """
    observed = observed_from_peaks(peaks, settings.lines)
    began = time.monotonic()
    trials: list[Trial] = []
    for lattice in LATTICES:
        if time.monotonic() - began > settings.seconds:
            break
        found = [
            np.column_stack([screened, np.full(len(screened), zero)])
            for zero in (_ZERO_SHIFTS if lattice.free < 3 else _ZERO_SHIFTS[:2])
            for screened in [_screen(observed, lattice, zero, settings, device)]
        ]
        trials += pull_onto_lines(observed, lattice, np.concatenate(found), "search")
    trials.sort(key=lambda trial: -trial.score)
    trials += _centred_versions(observed, trials[:_CENTRED])
    return sorted(trials, key=lambda trial: -trial.score)


def _centred_versions(observed: Observed, trials: list[Trial]) -> list[Trial]:
    """Primitive cells again with each centring of their lattice, on every choice of axes that may carry it."""
    starts: dict[Lattice, list[np.ndarray]] = {}
    for trial in trials:
        if trial.lattice.centring != "P":
            continue
        tensor = tensor_from_metric(trial.metric)
        for lattice in LATTICES:
            if lattice.family != trial.lattice.family or lattice.centring == "P":
                continue
            for axes in _AXES.get((lattice.family, lattice.centring), _AXES["other"]):
                g = np.array(axes) @ tensor @ np.array(axes).T
                metric = np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])
                start = np.append(metric @ np.linalg.pinv(lattice.metric_map), trial.zero_shift)
                starts.setdefault(lattice, []).append(start)
    return [
        t for lattice, start in starts.items() for t in pull_onto_lines(observed, lattice, np.array(start), "search")
    ]


def _screen(observed: Observed, lattice: Lattice, zero: float, settings: SearchSettings, device: str) -> np.ndarray:
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


def _line_table(observed: Observed, inv_d2: np.ndarray, device: str) -> tuple[torch.Tensor, float]:
    """For each narrow bin of 1/d² the set of observed lines within reach, as bits; and bins per 1/Å²."""
    import torch

    window = (_WINDOW + observed.sigma) * observed.inv_d2_slope() + 0.0012 * inv_d2
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

    window = (_WINDOW + observed.sigma) * observed.inv_d2_slope() + 0.0012 * inv_d2
    density = 2 * np.pi * np.sqrt(inv_d2) / (lattice.points * lattice.multiplicity)
    hit, miss = np.log(1 - observed.spurious), np.log(observed.spurious)
    return torch.tensor(np.stack([2 * window * density, hit, miss]), dtype=torch.float32, device=device)


def _proposals(observed: Observed, inv_d2: np.ndarray, lattice: Lattice, device: str) -> Iterator[torch.Tensor]:
    """Free parameters of every low-index assignment, in chunks of shape (≤ 65536, p)."""
    import torch

    inverse = torch.tensor(lattice.assignments(), dtype=torch.float32, device=device)
    trusted = np.flatnonzero(observed.spurious < 0.5)
    first = {1: 10, 2: 12, 3: 11, 4: 9, 6: 12}[lattice.free]
    if lattice.free == 6:
        basis = np.array(list(itertools.combinations(trusted[:first], 3)))
        cross = np.array(list(itertools.product(trusted[:15], repeat=3)))
        chosen = np.concatenate([np.repeat(basis, len(cross), 0), np.tile(cross, (len(basis), 1))], 1)
    else:
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
        a, b, c, d, e, f = parameters.unbind(1)
        good = (
            (a > shortest)
            & (d.abs() <= 1.02 * torch.minimum(b, c))
            & (e.abs() <= 1.02 * torch.minimum(a, c))
            & (f.abs() <= 1.02 * torch.minimum(a, b))
        )
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


def pull_onto_lines(observed: Observed, lattice: Lattice, start: np.ndarray, origin: str) -> list[Trial]:
    """Refine cells on the lines that they explain, growing from the lowest lines to all, and score them.

    Parameters
    ----------
    start : free parameters in 1/Å² and zero shift in degrees, shape (K, p + 1).
    """
    if len(start) == 0:
        return []
    hkl = lattice.indices(80 if lattice.free < 3 else 50 if lattice.free == 3 else 36)
    design = lattice.design(hkl)
    parameters, zero = start[:, :-1].copy(), start[:, -1].copy()
    count = len(observed.two_theta)
    slope = observed.inv_d2_slope()
    for lines, reach in (
        (min(10, count), 0.12),
        (min(15, count), 0.09),
        (count, 0.06),
        (count, 0.04),
        (count, 0.03),
        (count, 0.03),
    ):
        parameters, zero = _least_squares(observed, design, slope, parameters, zero, lines, reach)
    good = np.isfinite(parameters).all(1) & np.isfinite(zero) & (np.abs(zero) < 0.2)
    metric = parameters[good] @ lattice.metric_map
    zero = zero[good]
    real = _is_real(metric)
    metric, zero = metric[real], zero[real]
    score = score_metrics(observed, lattice, design, metric, zero)
    order = np.argsort(-score)
    taken, trials = [], []
    for i in order:
        if np.any(np.all(np.abs(metric[taken] - metric[i]) < 2e-3 * np.abs(metric[i]) + 1e-9, axis=1)):
            continue
        taken.append(i)
        trials.append(Trial(lattice, metric[i], float(zero[i]), float(score[i]), origin))
        if len(trials) == 40:
            break
    return trials


def distinct_lattices(trials: list[Trial], keep: int) -> list[Trial]:
    """The best ``keep`` trials whose lattices differ, on standard axes (monoclinic and triclinic ones reduced).

    Two trials are the same lattice if their Niggli cells agree within 0.3 %; the better scored one stays.
    """
    import spglib

    kept: list[Trial] = []
    reduced: list[np.ndarray] = []
    for trial in trials:
        basis = primitive_basis(cell_from_metric(trial.metric), trial.lattice.centring)
        niggli = spglib.niggli_reduce(basis, eps=1e-5)
        if niggli is None:
            continue
        gram = niggli @ niggli.T
        edges = np.sqrt(np.diag(gram))
        if any(
            np.all(np.abs(edges / np.sqrt(np.diag(other)) - 1) < 3e-3)
            and np.all(np.abs(gram - other) < 6e-3 * np.outer(edges, edges))
            for other in reduced
        ):
            continue
        reduced.append(gram)
        kept.append(_on_standard_axes(trial, niggli))
        if len(kept) == keep:
            break
    return kept


def _on_standard_axes(trial: Trial, niggli: np.ndarray) -> Trial:
    if trial.lattice.family == "triclinic":
        return replace(trial, metric=metric_from_cell(cell_from_direct_metric(niggli @ niggli.T)))
    if trial.lattice.family == "monoclinic":
        standard = bravais_from_basis(niggli, 1e-5)
        if standard.family == "monoclinic" and standard.centring == trial.lattice.centring:
            return replace(trial, metric=metric_from_cell(standard.cell))
    return trial


def _is_real(metric: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = metric.T
    determinant = a * b * c + (d * e * f - a * d * d - b * e * e - c * f * f) / 4
    planes = (a > 0) & (b > 0) & (c > 0) & (4 * a * b > f * f) & (4 * b * c > d * d) & (4 * a * c > e * e)
    return planes & (determinant > 1e-12)


def _residuals(
    observed: Observed, design: np.ndarray, parameters: np.ndarray, zero: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """two_theta(observed) − two_theta(nearest calculated) in degrees, shape (K, n), and the index of the nearest."""
    import torch

    target = observed.inv_d2()[None] - zero[:, None] * slope[None]
    calculated = torch.from_numpy(parameters @ design.T)
    inv_d2, order = calculated.float().sort(dim=1)
    goal = torch.from_numpy(target).float()
    right = torch.searchsorted(inv_d2, goal).clamp(1, inv_d2.shape[1] - 1)
    below, above = goal - inv_d2.gather(1, right - 1), inv_d2.gather(1, right) - goal
    nearest = right - (below < above).long()
    index = order.gather(1, nearest)
    return (target - calculated.gather(1, index).numpy()) / slope[None], index.numpy()


def _least_squares(
    observed: Observed,
    design: np.ndarray,
    slope: np.ndarray,
    parameters: np.ndarray,
    zero: np.ndarray,
    lines: int,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One cycle of weighted least squares on the lines within ``reach`` degrees, the zero shift held by its prior."""
    off, nearest = _residuals(observed, design, parameters, zero, slope)
    weight = 1 / (observed.sigma**2 + (0.1 * reach) ** 2) / (1 + (off / (0.4 * reach)) ** 4)
    weight[:, lines:] = 0
    weight[np.abs(off) > reach] = 0
    free = parameters.shape[1]
    rows = np.concatenate([design[nearest] / slope[None, :, None], np.ones((*nearest.shape, 1))], -1)
    gram = np.einsum("kni,kn,knj->kij", rows, weight, rows)
    gram[:, free, free] += 1 / _ZERO_PRIOR**2
    right = np.einsum("kni,kn->ki", rows, weight * off)
    right[:, free] -= zero / _ZERO_PRIOR**2
    scale = np.sqrt(np.maximum(np.einsum("kii->ki", gram), 1e-30))
    gram = gram / scale[:, :, None] / scale[:, None, :] + 1e-9 * np.eye(free + 1)
    shift = np.linalg.solve(gram, (right / scale)[..., None])[..., 0] / scale
    limit = 0.05 * np.abs(parameters).max(1, keepdims=True)
    return parameters + np.clip(shift[:, :free], -limit, limit), zero + shift[:, free]


def score_metrics(
    observed: Observed, lattice: Lattice, design: np.ndarray, metric: np.ndarray, zero: np.ndarray
) -> np.ndarray:
    """Log-likelihood ratio of refined cells, less the price of their free parameters, shape (K,)."""
    slope = observed.inv_d2_slope()
    parameters = metric @ np.linalg.pinv(lattice.metric_map)
    off, _ = _residuals(observed, design, parameters, zero, slope)
    a, b, c, d, e, f = metric.T
    volume = (a * b * c + (d * e * f - a * d * d - b * e * e - c * f * f) / 4) ** -0.5
    inv_d2 = observed.inv_d2()
    density = 2 * np.pi * np.sqrt(inv_d2) * slope / (lattice.points * lattice.multiplicity)
    density = np.maximum(volume[:, None] * density[None], 0.02)
    return (
        line_likelihood_ratio(observed, off, density).sum(-1)
        - _NATS_PER_PARAMETER * lattice.free
        - 0.5 * (zero / _ZERO_PRIOR) ** 2
    )


def line_likelihood_ratio(observed: Observed, off: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of each line: ``off`` degrees from a calculated one, over there by chance.

    Parameters
    ----------
    off : two_theta(observed) − two_theta(nearest calculated) in degrees, shape (..., n).
    density : calculated lines per degree at each line, shape (..., n).
    """
    hit = 0.75 * _normal(off, observed.sigma) + 0.25 * _normal(off, 4 * observed.sigma)
    return np.log((1 - observed.spurious) * hit / density + observed.spurious)


def _normal(off: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * (off / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
