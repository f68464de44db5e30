"""Pull cells onto the lines by least squares that grows with the lines they explain, and score them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.peaks.observed import Observed, line_likelihood_ratio

_ZERO_PRIOR = 0.05
"""Standard deviation in degrees of zero shifts and displacements of measured patterns."""
_NATS_PER_PARAMETER = 6.0
"""Price of a free cell parameter in units of log-likelihood."""


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
    parameters = lattice.parameters(metric)
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
