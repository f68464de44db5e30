"""Fit one lattice to the pattern: cell, zero shift and displacement refined, the intensities in closed form.

With cell and peak shape fixed the pattern is linear in the integrated intensities (Pawley 1981), so one set of normal
equations a cell serves every extinction class: a class is a choice of its columns, as in the test of extinction
symbols of Markvardsen, David, Johnston & Shankland (2001), Acta Cryst. A57, 47. Found lines that a class leaves over
are columns of their own, so that an impurity costs a bounded amount.
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
from alphadiffract_plugin.crystal.extinction import ExtinctionClass
from alphadiffract_plugin.crystal.reflections import quadratic_form, reflections_within
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks.normal_equations import normal_equations
from alphadiffract_plugin.peaks.profile import Profiles, profiles
from alphadiffract_plugin.peaks.runs import Band, Runs
from alphadiffract_plugin.whole_pattern.pattern_data import PatternData
from alphadiffract_plugin.whole_pattern.positions import DISPLACEMENT_PRIOR, ZERO_PRIOR, ReflectionPositions

_MOST_REFLECTIONS = 450
"""A cell with more reflections in the range is not fitted."""
_MOST_INDICES = 60000
"""More indices than any lattice has on so many lines: the cubic F, with 48 of most lines, has the fewest lines."""
_EXPLAINED = 0.45
"""A found line is explained by a reflection within this fraction of its FWHM: closer ones do not separate."""
_PARITIES = np.array([p for p in itertools.product((0, 1), repeat=3) if any(p)])
"""Sums of h, k and l that a sublattice of half the volume makes even."""
_WEAK, _MOST_WEAK = 0.05, 0.3
"""Of lines much lower than this, relative to the strong ones, a superstructure's own share is this; it falls off as the
square of the height above."""
_FEWEST_CHOICES = 7
"""A cell is charged for at least so many superstructures that it might be, however few its symmetry allows: the
sublattices of half the volume."""
_STEPS = 2
"""Gauss-Newton steps of the positions of each cell."""


@dataclass(frozen=True)
class FittedLattice:
    """The normal equations of one lattice without extinctions; each class is a choice of its columns.

    There are R + L columns, in ascending two_theta: the profiles of the R reflections and of the L found lines.
    """

    data: PatternData
    """The pattern: N points, L found lines."""
    trial: TrialCell
    """The refined cell."""
    displacement: float
    """Refined shift in degrees at θ = 0."""
    covariance: Floats
    """Of the reciprocal metric in 1/Å⁴, shape (6, 6)."""
    hkl: Ints
    """Indices that the centring allows, line by line, shape (H, 3)."""
    first: Ints
    """Where the indices of each of the R distinct lines begin, and H, shape (R + 1,)."""
    two_theta: Floats
    """two_theta of those lines in degrees, shape (R,)."""
    prior: Floats
    """Intensity expected of each, up to a factor: multiplicity, Lorentz and polarisation, displacements; shape (R,)."""
    order: Ints
    """Which column is which: the numbers of the reflections, then of the found lines from R on, shape (R + L,)."""
    columns: Runs
    """The profiles, shape (N, R + L)."""
    gram: Band
    """Weighted inner products of the columns, shape (R + L, R + L)."""
    right: Floats
    """Weighted inner products of the columns with the pattern, shape (R + L,)."""

    def solved(self, allowed: Bools) -> Solution:
        """The intensities, if only these reflections (a mask of shape (R,)) are there.

        They are solved with a Gaussian prior of the mean intensity's width, so that overlaps do no harm: with x the
        intensities over that width s, (S G S + 1) x = S b for the gram matrix G and the right-hand side b.
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
        """The found lines that stand at none of these reflections, shape (L,)."""
        from alphadiffract_plugin.whole_pattern.kernels import unexplained

        return unexplained(self.two_theta, allowed, self.data.position, _EXPLAINED * self.data.width)

    def misfit(self, solution: Solution) -> float:
        """Weighted sum of squares that these intensities leave."""
        return float((self.data.weight * (self.data.net - self.columns @ solution.intensity) ** 2).sum())

    def rwp(self, allowed: Bools) -> float:
        """Weighted profile residual in per cent of these reflections and the background alone, intensities free.

        The weights are those of the counts, as usual, not the milder ones of the evidence.
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
        """Prior scale over uncertainty, and intensity over uncertainty, of every reflection if none is extinct."""
        from alphadiffract_plugin.whole_pattern.kernels import inverse_diagonal

        solution = self.solved(np.ones(len(self.two_theta), bool))
        known, strength = np.zeros((2, len(self.order)))
        known[solution.column] = 1 / np.sqrt(inverse_diagonal(solution.lower, solution.first))
        strength[solution.column] = solution.relative * known[solution.column]
        return known[: len(self.two_theta)], strength[: len(self.two_theta)]

    def allowed(self, classes: Sequence[ExtinctionClass]) -> Bools:
        """Which lines each of C classes leaves, shape (C, R)."""
        from alphadiffract_plugin.crystal.reflection_kernels import lines_left

        rotations, shifts = (np.concatenate(parts) for parts in zip(*(c.operations for c in classes), strict=True))
        begin = np.cumsum([0, *(len(c.operations[0]) for c in classes)])
        return lines_left(self.hkl, self.first, rotations, shifts, begin)

    def line_ratios(self, allowed: Bools) -> Floats:
        """Log-likelihood ratio of the found lines for C sets of reflections, masks of shape (C, R); shape (C,).

        In a superstructure nearly all strong lines are main reflections, and the others only share the weak ones.
        """
        from alphadiffract_plugin.whole_pattern.kernels import line_ratios

        observed, order = self.data.observed, np.argsort(self.two_theta, kind="stable")
        return line_ratios(
            np.ascontiguousarray(allowed[:, order]),
            np.ascontiguousarray(self.main[:, order]),
            float(np.log(max(len(self.main), _FEWEST_CHOICES))),
            self.two_theta[order],
            self.data.position,
            observed.sigma,
            observed.spurious,
            self.data.density,
            _MOST_WEAK / (1 + (observed.height / _WEAK) ** 2),
        )

    @functools.cached_property
    def main(self) -> Bools:
        """Main reflections, shape (M, R), if the cell is a superstructure of one of half or a quarter its volume.

        They are those whose indices fulfil one or two conditions "h even", "h + k even", ... that the symmetry of the
        lattice keeps.
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
    """The intensities of some of the columns, solved for together, and how."""

    intensity: Floats
    """Areas in counts × degrees of all columns in their order, 0 where a column has no part, shape (R + L,)."""
    column: Ints
    """The n columns that have: numbers of the reflections, then of the found lines from R on, shape (n,)."""
    relative: Floats
    """Their intensities over the width of the prior, shape (n,)."""
    lower: Floats
    """Cholesky factor of their normal equations, a band; see ``kernels.factor``."""
    first: Ints
    """First column of each of its rows that is not zero, shape (n,)."""


def fit_lattices(data: PatternData, trials: Sequence[TrialCell], device: str = "cpu") -> list[FittedLattice]:
    """Refine cell, zero shift and displacement of each on the whole pattern and keep its normal equations.

    A cell without a reflection in the range, or with too many, is left out. On another device than the CPU all cells
    are refined in one batch.
    """
    starts = [start for trial in trials for start in [_start(data, trial)] if start is not None]
    if device == "cpu":
        return [_fitted(data, start, _refined(data, start)) for start in starts]
    from alphadiffract_plugin.whole_pattern.fit_on_device import refined_positions

    counts = [np.diff(start.first) for start in starts]
    places = [start.positions for start in starts]
    refined = refined_positions(data, places, counts, _EXPLAINED * data.width, _STEPS, device)
    return [_fitted(data, start, positions) for start, positions in zip(starts, refined, strict=True)]


def fit_lattice(data: PatternData, trial: TrialCell) -> FittedLattice | None:
    """One cell; None if it has no reflection in the range, or too many."""
    return next(iter(fit_lattices(data, [trial])), None)


@dataclass(frozen=True)
class _Start:
    """A cell to be refined, its reflections in the range and where they are to begin with."""

    trial: TrialCell
    """The cell."""
    hkl: Ints
    """See :class:`FittedLattice`."""
    first: Ints
    """See :class:`FittedLattice`."""
    positions: ReflectionPositions
    """With half of the zero shift of the cell as zero shift, half as displacement."""


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
    for _ in range(_STEPS):
        positions = positions.moved(_step(*_equations(data, positions, start), positions)[0])
    return positions


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
    """One Gauss-Newton step of the positions with the intensities solved for, and the covariance of its parameters.

    The covariance is that for fixed intensities, so that uncertainties of strongly overlapped patterns come out low.
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
        gram[i, i] += spread**-2
        right[i] -= value / spread**2
    covariance = normal_equations(gram).covariance()
    return covariance @ right, covariance
