"""Figures of merit of a network: shares of right answers, calibration, hops between groups, errors of the cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from alphadiffract_plugin.arrays import Bools
from alphadiffract_plugin.crystal.cells import volume_from_cell
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS

from .. import lattice
from ..maximal_subgroups import distances

BINS = 15
"""Number of bins of the calibration error, as usual in the literature (Guo et al., arXiv:1706.04599)."""


@dataclass(frozen=True)
class Evaluated:
    """Predictions for N patterns, and the truth."""

    space_group: np.ndarray
    """Probability of space groups 1..230, shape (N, 230); all 0 where there is no answer, which counts as wrong."""
    crystal_system: np.ndarray
    """Probability of the seven systems, shape (N, 7)."""
    cell: np.ndarray
    """Niggli cell of the most probable lattice in Å and degrees, shape (N, 6)."""
    true_space_group: np.ndarray
    """Groups that count as right, bool, shape (N, 230), at least one in each row."""
    true_crystal_system: np.ndarray
    """Index of the crystal system, shape (N,)."""
    true_cell: np.ndarray
    """Niggli cell, shape (N, 6); NaN where none is known."""

    def __len__(self) -> int:
        return len(self.space_group)

    def take(self, which: np.ndarray) -> Evaluated:
        """Some of the patterns: indices, or a mask of shape (N,)."""
        return Evaluated(**{name: value[which] for name, value in vars(self).items()})

    @property
    def answered(self) -> Bools:
        """Which patterns have an answer, shape (N,)."""
        return np.asarray(self.space_group.max(1, initial=0) > 0)

    @property
    def system_right(self) -> Bools:
        """Whether the first system is the true one, or that of a group that counts as right, shape (N,)."""
        first = self.crystal_system.argmax(1)
        of_groups = self.true_space_group.astype(int) @ np.eye(7, dtype=int)[lattice.system_of_group()]
        right = (first == self.true_crystal_system) | (of_groups[np.arange(len(self)), first] > 0)
        return np.asarray(right & self.answered)

    def group_right(self, most: int) -> Bools:
        """Whether one of the ``most`` first groups counts as right, shape (N,)."""
        first = np.argsort(-self.space_group, axis=1, kind="stable")[:, :most]
        right = np.take_along_axis(self.true_space_group, first, 1).any(1)
        return np.asarray(right & self.answered)

    @property
    def hops(self) -> np.ndarray:
        """Hops from the first group to the nearest that counts as right, shape (N,); infinite without an answer."""
        to_all = distances()[self.space_group.argmax(1)].astype(float)
        nearest = np.where(self.true_space_group, to_all, np.inf).min(1, initial=np.inf)
        return np.where(self.answered, nearest, np.inf)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % confidence interval of a share in per cent (Wilson 1927); 0 to 100 without any pattern."""
    from scipy.stats import binomtest

    if not n:
        return (0.0, 100.0)
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return (100 * float(interval.low), 100 * float(interval.high))


def share(right: np.ndarray) -> dict[str, Any]:
    """``percent`` of the values that are True, their number ``n``, and ``wilson95``, the interval in per cent."""
    hits, n = int(right.sum()), len(right)
    return {"percent": 100 * hits / n if n else None, "n": n, "wilson95": list(wilson(hits, n))}


def calibration(probability: np.ndarray, right: np.ndarray, count: int = BINS) -> dict[str, Any]:
    """How well probabilities agree with the shares of right answers.

    ``ece`` is the expected calibration error: over ``count`` bins of equal width of the probability of the first
    answer, the mean of |share right − mean probability|, weighted by the number of patterns (Guo et al.,
    arXiv:1706.04599).
    ``bins`` holds, per bin that is not empty, its mean ``probability``, the share ``right`` with its ``wilson95`` in
    per cent, and ``n``.
    """
    place = np.clip((probability * count).astype(int), 0, count - 1)
    bins: list[dict[str, Any]] = [
        {"probability": float(probability[place == b].mean()), "right": float(right[place == b].mean())}
        | {"wilson95": list(wilson(int(right[place == b].sum()), n)), "n": n}
        for b in range(count)
        if (n := int((place == b).sum()))
    ]
    error = sum(row["n"] * abs(row["right"] - row["probability"]) for row in bins) / max(len(right), 1)
    return {"ece": error, "bins": bins}


def lattice_errors(cell: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Errors of Niggli cells (N, 6): lengths in Å and per cent, angles in degrees, and R² of both.

    Means over a, b, c, or alpha, beta, gamma, as AlphaDiffract reports; R² = 1 − Σ error² / Σ (truth − mean)², of each
    parameter by itself, then averaged over those that vary.
    """
    known = np.isfinite(truth).all(1)
    cell, truth = cell[known], truth[known]
    error = np.abs(cell - truth)

    def r2(columns: slice) -> float | None:
        spread = ((truth[:, columns] - truth[:, columns].mean(0)) ** 2).sum(0)
        varies = spread > 1e-9
        values = 1 - (error[:, columns] ** 2).sum(0)[varies] / spread[varies]
        return float(values.mean()) if len(values) else None

    if not len(truth):
        return {"n": 0}
    return {
        "n": len(truth),
        "length_mae": float(error[:, :3].mean()),
        "length_mape": float(100 * (error[:, :3] / truth[:, :3]).mean()),
        "length_r2": r2(slice(0, 3)),
        "angle_mae": float(error[:, 3:].mean()),
        "angle_r2": r2(slice(3, 6)),
        "volume_error": float(np.median(np.abs(np.log(_volume(cell) / _volume(truth))))),
    }


def _volume(cell: np.ndarray) -> np.ndarray:
    """Volume in Å³ of cells (N, 6), shape (N,); at least 1e-6, so that an impossible cell has a finite error."""
    return np.maximum(volume_from_cell(cell), 1e-6)


def figures(evaluated: Evaluated) -> dict[str, Any]:
    """All figures of merit, as plain JSON types; see the functions of this module.

    A pattern without an answer counts as wrong; ``hops_mean``, ``calibration`` and ``lattice`` leave it out.
    """
    there = evaluated.take(evaluated.answered)
    hops = evaluated.hops
    return {
        "n": len(evaluated),
        "answered": len(there),
        "crystal_system@1": share(evaluated.system_right),
        "space_group@1": share(evaluated.group_right(1)),
        "space_group@5": share(evaluated.group_right(5)),
        "hops": {str(h): int((hops == h).sum()) for h in range(int(distances().max()) + 1)},
        "hops_mean": float(there.hops.mean()) if len(there) else None,
        **{f"within_{h}_hops": share(hops <= h) for h in (1, 2)},
        "calibration": {
            "space_group": calibration(there.space_group.max(1, initial=0), there.group_right(1)),
            "crystal_system": calibration(there.crystal_system.max(1, initial=0), there.system_right),
        },
        "lattice": lattice_errors(there.cell, there.true_cell),
    }


def by_system(evaluated: Evaluated) -> dict[str, dict[str, Any]]:
    """:func:`figures` of each crystal system that occurs, and of ``all``."""
    there = [s for s in range(7) if (evaluated.true_crystal_system == s).any()]
    parts = {CRYSTAL_SYSTEMS[s]: evaluated.take(evaluated.true_crystal_system == s) for s in there}
    return {name: figures(part) for name, part in (parts | {"all": evaluated}).items()}
