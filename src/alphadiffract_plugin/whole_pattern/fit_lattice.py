"""Fit a lattice to the pattern: refine cell, zero shift and displacement, and solve for the intensities.

With a given cell and peak shape the pattern is linear in the integrated intensities (Pawley 1981, J. Appl. Cryst. 14,
357). So one set of normal equations per cell serves all its extinction classes, and a class is a choice of its columns,
as in the test of extinction symbols by Markvardsen, David, Johnston & Shankland (2001), Acta Cryst. A57, 47. Found
lines that a class does not explain are columns of their own, so that an impurity costs a bounded amount.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta
from alphadiffract_plugin.crystal.bravais import centring_translations
from alphadiffract_plugin.crystal.extinction import ExtinctionClass, lines_of_classes
from alphadiffract_plugin.crystal.reflections import quadratic_form, reflections_within
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks.normal_equations import normal_equations
from alphadiffract_plugin.peaks.profile import Profiles, profiles
from alphadiffract_plugin.peaks.runs import Band, Runs
from alphadiffract_plugin.whole_pattern.pattern_data import PatternData
from alphadiffract_plugin.whole_pattern.positions import (
    DISPLACEMENT_PRIOR,
    ZERO_PRIOR,
    ReflectionPositions,
    shift_stiffness,
)

_MOST_REFLECTIONS = 1500
"""A cell with more reflections in the range is not fitted."""
_MOST_INDICES = 60000
"""Most indices in the range; 450 reflections of a cubic cell, with 48 indices each, have fewer."""
_EXPLAINED = 0.45
"""A found line is explained by a reflection within this fraction of its FWHM, since closer lines are not resolved;
chosen by hand."""
_PARITIES = np.array([p for p in itertools.product((0, 1), repeat=3) if any(p)])
"""The seven sums of h, k and l that are even for the main reflections of a superstructure of twice the volume."""
_WEAK, _MOST_WEAK = 0.05, 0.3
"""Prior probability that a line of relative height x is a superstructure reflection: MOST_WEAK / (1 + (x / WEAK)²).
Both numbers were chosen by hand."""
_FEWEST_CHOICES = 7
"""A cell is charged for a choice among at least so many superstructures, the number of sublattices of index 2, however
few its symmetry allows. Without this limit doubled cubic cells were ranked too high (LaB6, for example)."""
_PURITIES = ((-1.5, 0.25), (0.0, 0.5), (2.0, 0.25))
"""How impure a pattern may be: shift of the logit of the probability that a line is spurious, and its probability."""
_STEPS = 2
"""Number of Gauss-Newton steps for each cell."""
_LARGE_SHIFT, _MORE_STEPS = 0.1, 4
"""Further steps for cells with which the lines are shifted by more than so many degrees."""


@dataclass(frozen=True)
class FittedLattice:
    """The normal equations of one lattice without extinctions, of which each class is a choice of columns.

    The R + L columns, in ascending two_theta, are the profiles of the R reflections and of the L found lines.
    """

    data: PatternData
    """The pattern with its N points and L found lines."""
    trial: TrialCell
    """The refined cell."""
    displacement: float
    """Refined shift in degrees at θ = 0."""
    covariance: Floats
    """Of the reciprocal metric in 1/Å⁴, shape (6, 6)."""
    hkl: Ints
    """Indices that the centring allows, those of the same 1/d² together, shape (H, 3)."""
    first: Ints
    """Where the indices of each of the R distinct reflections begin, and H, shape (R + 1,)."""
    two_theta: Floats
    """two_theta of the reflections in degrees, shape (R,)."""
    prior: Floats
    """Expected intensity of each reflection, see ``ReflectionPositions.expected``, shape (R,)."""
    order: Ints
    """Of each column the number of its reflection, or R plus the number of its found line, shape (R + L,)."""
    columns: Runs
    """The profiles, shape (N, R + L)."""
    gram: Band
    """Weighted inner products of the columns, shape (R + L, R + L)."""
    right: Floats
    """Right-hand side: weighted inner products of the columns with the pattern, shape (R + L,)."""

    def solved(self, allowed: Bools) -> Solution:
        """The intensities, if only the reflections of a mask of shape (R,) and the lines that they leave are present.

        Each intensity has a Gaussian prior, so that overlaps do not make the equations singular. Its width s is the
        expected intensity of a reflection, or the area of a found line. With the intensities s x, the gram matrix G,
        the right-hand side b and S = diag(s), the equations are (S G S + 1) x = S b.
        """
        from alphadiffract_plugin.whole_pattern.kernels import factor, solve

        data = self.data
        unexplained = self.unexplained(allowed)
        share = self.prior / max(self.prior[allowed].sum(), 1e-30)
        width = np.concatenate([data.total * share, data.peak_fit.peaks.area[: len(unexplained)]])[self.order]
        use = np.flatnonzero(np.concatenate([allowed, unexplained])[self.order])
        scale = width[use]
        lower, first = factor(self.gram.lower, self.gram.low, use, scale, 1.0)
        relative = solve(lower, first, (self.right[use] * scale)[:, None])[:, 0]
        intensity = np.zeros(len(self.order))
        intensity[use] = relative * scale
        return Solution(intensity, self.order[use], relative, lower, first)

    def unexplained(self, allowed: Bools) -> Bools:
        """The found lines that none of these reflections explains, shape (L,)."""
        from alphadiffract_plugin.whole_pattern.kernels import unexplained

        return unexplained(self.two_theta, allowed, self.data.position, _EXPLAINED * self.data.width)

    def misfit(self, solution: Solution) -> float:
        """Weighted sum of squares of the residual with these intensities."""
        return float((self.data.weight * (self.data.net - self.columns @ solution.intensity) ** 2).sum())

    def rwp(self, allowed: Bools) -> float:
        """Rwp in per cent of these reflections and the background, without the found lines and without a prior.

        The weights are 1/σ² of the noise, as usual, not those of ``PatternData``.
        """
        from alphadiffract_plugin.whole_pattern.kernels import factor, solve

        data = self.data
        use = np.flatnonzero(np.concatenate([allowed, np.zeros(len(data.position), bool)])[self.order])
        held = 1e-6 * self.gram.diagonal[use].mean()
        lower, first = factor(self.gram.lower, self.gram.low, use, np.ones(len(use)), held)
        intensity = solve(lower, first, self.right[use][:, None])[:, 0]
        left = (data.net - self.columns[use] @ intensity) / data.noise
        return float(100 * np.sqrt((left**2).sum() / (((data.net + data.background) / data.noise) ** 2).sum()))

    @functools.cached_property
    def unextinct(self) -> tuple[Floats, Floats]:
        """Of every reflection, if none is extinct: prior width over uncertainty, and intensity over uncertainty."""
        from alphadiffract_plugin.whole_pattern.kernels import inverse_diagonal

        solution = self.solved(np.ones(len(self.two_theta), bool))
        known, strength = np.zeros((2, len(self.order)))
        known[solution.column] = 1 / np.sqrt(inverse_diagonal(solution.lower, solution.first))
        strength[solution.column] = solution.relative * known[solution.column]
        return known[: len(self.two_theta)], strength[: len(self.two_theta)]

    def allowed(self, classes: Sequence[ExtinctionClass]) -> Bools:
        """Which reflections are present in each of C classes, shape (C, R)."""
        return lines_of_classes(classes, self.hkl, self.first)

    def line_ratios(self, allowed: Bools) -> Floats:
        """Log-likelihood ratio of the found lines for C sets of reflections, masks of shape (C, R); shape (C,).

        How impure the pattern is, is unknown: the likelihood is the mean over ``_PURITIES``. Each cell is also tested
        as a superstructure, in which nearly all strong lines are main reflections; see ``kernels.line_ratios``.
        """
        from alphadiffract_plugin.whole_pattern.kernels import line_ratios

        observed, order = self.data.observed, np.argsort(self.two_theta, kind="stable")
        arguments = (
            np.ascontiguousarray(allowed[:, order]),
            np.ascontiguousarray(self.main[:, order]),
            float(np.log(max(len(self.main), _FEWEST_CHOICES))),
            self.two_theta[order],
            self.data.position,
            observed.sigma,
        )
        weak = _MOST_WEAK / (1 + (observed.height / _WEAK) ** 2)
        logit = np.log(observed.spurious / (1 - observed.spurious))
        ratios = [
            np.log(share) + line_ratios(*arguments, 1 / (1 + np.exp(-logit - shift)), self.data.density, weak)
            for shift, share in _PURITIES
        ]
        return np.asarray(np.logaddexp.reduce(ratios))

    @functools.cached_property
    def main(self) -> Bools:
        """Main reflections, shape (M, R), of the M superstructures of twice or four times the volume that it may be.

        They are the reflections whose indices fulfil one or two of the conditions "h even", "h + k even" and so on. A
        condition counts only if symmetry-equivalent indices all fulfil it or all do not.
        """
        odd = (self.hkl @ _PARITIES.T) % 2 == 1
        some, all_ = np.logical_or.reduceat(odd, self.first[:-1]), np.logical_and.reduceat(odd, self.first[:-1])
        kept = (some == all_).all(0) & some.any(0)
        half = ~some[:, kept].T
        pairs = [a & b for a, b in itertools.combinations(half, 2)]
        different = {mask.tobytes(): mask for mask in (*half, *pairs)}
        return np.array([different[key] for key in sorted(different)], bool).reshape(-1, len(self.two_theta))


@dataclass(frozen=True)
class Solution:
    """The intensities of some of the columns, solved for together, with the factor of their equations."""

    intensity: Floats
    """Areas of all columns in counts × degrees, in their order; 0 for columns that were left out; shape (R + L,)."""
    column: Ints
    """The n columns that were solved for, numbered as in ``FittedLattice.order``, shape (n,)."""
    relative: Floats
    """Their intensities over the widths of their priors, shape (n,)."""
    lower: Floats
    """Cholesky factor of their equations, a band, from ``kernels.factor``."""
    first: Ints
    """Of each row of the factor the first column that is not zero, shape (n,)."""


def fit_lattices(data: PatternData, trials: Sequence[TrialCell], device: str = "cpu") -> list[FittedLattice]:
    """Refine cell, zero shift and displacement of each cell on the whole pattern, and set up its normal equations.

    A cell without a reflection in the range, or with too many, is left out. On a device other than the CPU all cells
    are refined in batches.
    """
    starts = [start for trial in trials for start in [_start(data, trial)] if start is not None]
    if device == "cpu":
        return [_fitted(data, start, _refined(data, start)) for start in starts]
    from alphadiffract_plugin.whole_pattern.fit_on_device import refined_positions

    counts = [np.diff(start.first) for start in starts]
    places = [start.positions for start in starts]
    reach = _EXPLAINED * data.width
    refined = refined_positions(data, places, counts, reach, _STEPS, device)
    far = [n for n, one in enumerate(refined) if _is_shifted(one)]
    if far:
        again = refined_positions(data, [refined[n] for n in far], [counts[n] for n in far], reach, _MORE_STEPS, device)
        for n, one in zip(far, again, strict=True):
            refined[n] = one
    return [_fitted(data, start, positions) for start, positions in zip(starts, refined, strict=True)]


def fit_lattice(data: PatternData, trial: TrialCell) -> FittedLattice | None:
    """One cell; None if it has no reflection in the range, or too many."""
    return next(iter(fit_lattices(data, [trial])), None)


@dataclass(frozen=True)
class _Start:
    """A cell before its refinement, with its reflections in the range."""

    trial: TrialCell
    """The cell."""
    hkl: Ints
    """See :class:`FittedLattice`."""
    first: Ints
    """See :class:`FittedLattice`."""
    positions: ReflectionPositions
    """Their positions, with half of the zero shift of the cell as zero shift and half as displacement."""


def _start(data: PatternData, trial: TrialCell) -> _Start | None:
    reach = float(inv_d2_from_two_theta(data.x[-1] + 0.1, data.peak_fit.shape.wavelengths[0]))
    found = reflections_within(trial.metric, reach, centring_translations(trial.lattice.centring), _MOST_INDICES)
    if found is None or len(found[0]) == 0 or found[1][-1] + 1 > _MOST_REFLECTIONS:
        return None
    hkl, line = found
    first = np.searchsorted(line, np.arange(line[-1] + 2))
    positions = ReflectionPositions(
        design=quadratic_form(hkl[first[:-1]]) @ trial.lattice.metric_map.T,
        wavelength=data.peak_fit.shape.wavelengths[0],
        parameters=trial.lattice.parameters(trial.metric),
        zero_shift=0.5 * trial.zero_shift,
        displacement=0.5 * trial.zero_shift,
    )
    return _Start(trial, hkl, first, positions)


def _refined(data: PatternData, start: _Start) -> ReflectionPositions:
    positions = start.positions
    for step in range(_STEPS + _MORE_STEPS):
        if step >= _STEPS and not _is_shifted(positions):
            break
        positions = positions.moved(_step(*_equations(data, positions, start), positions)[0])
    return positions


def _is_shifted(positions: ReflectionPositions) -> bool:
    """Whether the lines are shifted so far that the steps, whose length is limited, may not have reached the end."""
    return abs(positions.zero_shift) + abs(positions.displacement) > _LARGE_SHIFT


def _fitted(data: PatternData, start: _Start, positions: ReflectionPositions) -> FittedLattice:
    fit, drawn = _equations(data, positions, start)
    covariance, metric_map = _step(fit, drawn, positions)[1], start.trial.lattice.metric_map
    return replace(fit, covariance=metric_map.T @ covariance[:-2, :-2] @ metric_map)


def _equations(data: PatternData, positions: ReflectionPositions, start: _Start) -> tuple[FittedLattice, Profiles]:
    two_theta, trial = positions.two_theta, start.trial
    drawn = profiles(data.x, two_theta, data.peak_fit.shape, derivatives="position")
    columns = drawn.value.beside(data.line_profiles)
    order = np.argsort(columns.first, kind="stable")
    columns = columns[order]
    fit = FittedLattice(
        data=data,
        trial=replace(trial, metric=positions.parameters @ trial.lattice.metric_map, zero_shift=positions.zero_shift),
        displacement=positions.displacement,
        covariance=np.zeros((6, 6)),
        hkl=start.hkl,
        first=start.first,
        two_theta=two_theta,
        prior=positions.expected(np.diff(start.first)),
        order=order,
        columns=columns,
        gram=columns.gram(data.weight),
        right=columns.dot(data.weight * data.net),
    )
    return fit, drawn


def _step(fit: FittedLattice, drawn: Profiles, positions: ReflectionPositions) -> tuple[Floats, Floats]:
    """One Gauss-Newton step of the positions, with the intensities solved for, and the covariance of their parameters.

    The covariance is that for fixed intensities, so that uncertainties are too low where reflections overlap strongly.
    """
    data = fit.data
    intensity = fit.solved(np.ones(len(fit.two_theta), bool)).intensity
    of_line = np.empty_like(intensity)
    of_line[fit.order] = intensity
    moving = drawn.by_position @ (np.maximum(of_line[: len(fit.two_theta)], 0)[:, None] * positions.jacobian)
    weighted = moving * data.weight[:, None]
    gram = moving.T @ weighted
    right = weighted.T @ (data.net - fit.columns @ intensity)
    for i, value, spread in (
        (-2, positions.zero_shift, ZERO_PRIOR),
        (-1, positions.displacement, DISPLACEMENT_PRIOR),
    ):
        stiffness = shift_stiffness(value, spread)
        gram[i, i] += stiffness
        right[i] -= value * stiffness
    covariance = normal_equations(gram).covariance()
    return covariance @ right, covariance
