"""Fit one lattice to the pattern: cell, zero shift and displacement refined, the intensities in closed form.

With cell and peak shape fixed the pattern is linear in the integrated intensities (Pawley 1981), so one set of normal
equations a cell serves every extinction class: a class is a choice of its columns, as in the test of extinction
symbols of Markvardsen, David, Johnston & Shankland (2001), Acta Cryst. A57, 47. Found lines that a class leaves over
are columns of their own, so that an impurity costs a bounded amount.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta
from alphadiffract_plugin.crystal.bravais import centred
from alphadiffract_plugin.crystal.extinction import ExtinctionClass
from alphadiffract_plugin.crystal.reflections import indices_within, quadratic_form
from alphadiffract_plugin.indexing.refine_cells import Trial
from alphadiffract_plugin.peaks.observed import line_likelihood
from alphadiffract_plugin.peaks.profile import Profiles, profiles
from alphadiffract_plugin.whole_pattern.pattern_data import PatternData
from alphadiffract_plugin.whole_pattern.positions import DISPLACEMENT_PRIOR, ZERO_PRIOR, Axis

if TYPE_CHECKING:
    from scipy.sparse import csc_array

_MOST_REFLECTIONS = 450
"""A cell with more reflections in the range is not fitted."""
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
"""Gauss-Newton steps of the axis of each cell."""


@dataclass(frozen=True)
class FittedLattice:
    """The normal equations of one lattice without extinctions; each class is a choice of its columns."""

    data: PatternData
    """The pattern: N points, L found lines."""
    trial: Trial
    """The refined cell."""
    displacement: float
    """Refined shift in degrees at θ = 0."""
    covariance: np.ndarray
    """Of the reciprocal metric in 1/Å⁴, shape (6, 6)."""
    hkl: np.ndarray
    """Indices that the centring allows, shape (H, 3)."""
    group: np.ndarray
    """Which of the R distinct lines each index belongs to, shape (H,)."""
    place: np.ndarray
    """two_theta of those lines in degrees, shape (R,)."""
    prior: np.ndarray
    """Intensity expected of each, up to a factor: multiplicity, Lorentz and polarisation, displacements; shape (R,)."""
    columns: csc_array
    """Profiles of the R lines, then of the L found ones, shape (N, R + L)."""
    gram: np.ndarray
    """Weighted inner products of the columns, shape (R + L, R + L)."""
    slope: np.ndarray
    """Weighted inner products of the columns with the pattern, shape (R + L,)."""

    def solved(self, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Intensities of all columns, their prior scale over their uncertainty, and which found lines stay free.

        Intensities are solved with a Gaussian prior of the mean intensity's width, so that overlaps do no harm.
        """
        data = self.data
        reach = _EXPLAINED * data.lines.shape.fwhm(data.position)
        distance = np.abs(data.position[:, None] - self.place[allowed][None]).min(1, initial=360)
        free = distance > reach
        use = np.flatnonzero(np.concatenate([allowed, free]))
        share = self.prior[allowed] / max(self.prior[allowed].sum(), 1e-30)
        scale = data.total * np.concatenate([share, data.lines.peaks.area[: len(free)][free] / data.total])
        matrix = self.gram[np.ix_(use, use)] * scale[:, None] * scale[None] + np.eye(len(use))
        inverse = _inverse(matrix)
        intensity, known = np.zeros((2, len(allowed) + len(free)))
        intensity[use] = inverse @ (self.slope[use] * scale) * scale
        known[use] = 1 / np.sqrt(np.diag(inverse))
        strength = np.zeros(len(known))
        strength[use] = intensity[use] / scale * known[use]
        return intensity, known, strength, free

    def rwp(self, allowed: np.ndarray) -> float:
        """Weighted profile residual in per cent of these reflections and the background alone, intensities free.

        The weights are those of the counts, as usual, not the milder ones of the evidence.
        """
        from scipy.linalg import solve

        data = self.data
        use = np.flatnonzero(allowed)
        gram = self.gram[np.ix_(use, use)]
        held = np.diag(1e-6 * np.diag(gram).mean() * np.ones(len(use)))
        intensity = solve(gram + held, self.slope[use], assume_a="pos")
        left = (data.net - self.columns[:, use] @ intensity) / data.noise
        return float(100 * np.sqrt((left**2).sum() / (((data.net + data.background) / data.noise) ** 2).sum()))

    @functools.cached_property
    def unextinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Prior scale over uncertainty, and intensity over uncertainty, of every reflection if none is extinct."""
        _, known, strength, _ = self.solved(np.ones(len(self.place), bool))
        return known[: len(self.place)], strength[: len(self.place)]

    def allowed(self, extinction: ExtinctionClass) -> np.ndarray:
        """Which lines a class leaves, shape (R,)."""
        allowed = np.zeros(len(self.place), bool)
        allowed[self.group[~extinction.extinct(self.hkl)]] = True
        return allowed

    def line_ratio(self, allowed: np.ndarray) -> float:
        """Log-likelihood ratio of the found lines, given which reflections there are.

        In a superstructure nearly all strong lines are main reflections, and the others only share the weak ones.
        """
        ratio = self._ratio(allowed)
        for main in self.main:
            if (allowed & main).any() and (allowed & ~main).any():
                choice = np.log(max(len(self.main), _FEWEST_CHOICES))
                ratio = np.logaddexp(ratio, self._ratio(allowed & main, allowed & ~main) - choice)
        return float(ratio)

    def _ratio(self, allowed: np.ndarray, weak: np.ndarray | None = None) -> float:
        observed, density = self.data.observed, self.data.density
        likelihood = line_likelihood(observed, self._off(allowed)) / ((allowed.sum() + 1) * density)
        if weak is not None:
            share = _MOST_WEAK / (1 + (observed.height / _WEAK) ** 2)
            between = line_likelihood(observed, self._off(weak)) / ((weak.sum() + 1) * density)
            likelihood = (1 - share) * likelihood + share * between
        return float(np.log((1 - observed.spurious) * likelihood + observed.spurious).sum())

    def _off(self, allowed: np.ndarray) -> np.ndarray:
        return self.distance[:, allowed].min(1, initial=360.0)

    @functools.cached_property
    def distance(self) -> np.ndarray:
        """From each found line to each reflection in degrees, shape (L, R)."""
        return np.abs(self.data.position[:, None] - self.place[None])

    @functools.cached_property
    def main(self) -> np.ndarray:
        """Main reflections, shape (M, R), if the cell is a superstructure of one of half or a quarter its volume.

        They are those whose indices fulfil one or two conditions "h even", "h + k even", ... that the symmetry of the
        lattice keeps.
        """
        odd = (self.hkl @ _PARITIES.T) % 2 == 1
        first = np.flatnonzero(np.diff(self.group, prepend=-1))
        some, all_ = np.logical_or.reduceat(odd, first), np.logical_and.reduceat(odd, first)
        kept = (some == all_).all(0) & some.any(0)
        half = ~some[:, kept].T
        pairs = [a & b for a, b in itertools.combinations(half, 2)]
        return np.unique(np.array([*half, *pairs], bool).reshape(-1, len(first)), axis=0)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive matrix, by Cholesky."""
    from scipy.linalg import lapack

    factor, _ = lapack.dpotrf(matrix, lower=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    return np.tril(inverse) + np.tril(inverse, -1).T


def fit_lattice(data: PatternData, trial: Trial) -> FittedLattice | None:
    """Refine cell, zero shift and displacement on the whole pattern and keep the normal equations of the intensities.

    None if the cell has no reflection in the range, or too many.
    """
    hkl, group = _reflections(data, trial)
    if len(hkl) == 0 or group[-1] + 1 > _MOST_REFLECTIONS:
        return None
    first = np.flatnonzero(np.diff(group, prepend=-1))
    metric_map = trial.lattice.metric_map
    axis = Axis(
        design=quadratic_form(hkl[first]) @ metric_map.T,
        wavelength=data.lines.shape.wavelengths[0],
        parameters=trial.lattice.parameters(trial.metric),
        zero_shift=0.5 * trial.zero_shift,
        displacement=0.5 * trial.zero_shift,
    )
    for _ in range(_STEPS):
        axis = axis.moved(_step(*_normal_equations(data, axis, trial, hkl, group), axis)[0])
    fit, drawn = _normal_equations(data, axis, trial, hkl, group)
    covariance = _step(fit, drawn, axis)[1]
    return replace(fit, covariance=metric_map.T @ covariance[:-2, :-2] @ metric_map)


def _reflections(data: PatternData, trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Indices that the centring allows within the range, ascending in 1/d², and the number of the line of each."""
    reach = float(inv_d2_from_two_theta(data.x[-1] + 0.1, data.lines.shape.wavelengths[0]))
    hkl = indices_within(trial.metric, reach, limit=30000)
    hkl = hkl[centred(hkl, trial.lattice.centring)]
    inv_d2 = quadratic_form(hkl) @ trial.metric
    return hkl, np.cumsum(np.diff(inv_d2, prepend=-1.0) > 1e-7 * reach) - 1


def _normal_equations(
    data: PatternData, axis: Axis, trial: Trial, hkl: np.ndarray, group: np.ndarray
) -> tuple[FittedLattice, Profiles]:
    from scipy.sparse import hstack

    place = axis.place
    drawn = profiles(data.x, place, data.lines.shape)
    columns = hstack([drawn.value, data.free]).tocsc()
    weighted = columns * data.weight[:, None]
    theta = np.radians(np.clip(place, 1, 178) / 2)
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    fit = FittedLattice(
        data=data,
        trial=replace(trial, metric=axis.parameters @ trial.lattice.metric_map, zero_shift=axis.zero_shift),
        displacement=axis.displacement,
        covariance=np.zeros((6, 6)),
        hkl=hkl,
        group=group,
        place=place,
        prior=np.bincount(group) * lorentz * np.exp(-4 * (np.sin(theta) / axis.wavelength) ** 2),
        columns=columns,
        gram=(columns.T @ weighted).toarray(),
        slope=weighted.T @ data.net,
    )
    return fit, drawn


def _step(fit: FittedLattice, drawn: Profiles, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step of the axis with the intensities solved for, and the covariance of its parameters.

    The covariance is that for fixed intensities, so that uncertainties of strongly overlapped patterns come out low.
    """
    data = fit.data
    intensity = fit.solved(np.ones(len(fit.place), bool))[0]
    moving = drawn.by_position @ (np.maximum(intensity[: len(fit.place)], 0)[:, None] * axis.slope)
    weighted = moving * data.weight[:, None]
    gram = moving.T @ weighted
    right = weighted.T @ (data.net - fit.columns @ intensity)
    for place, value, spread in ((-2, axis.zero_shift, ZERO_PRIOR), (-1, axis.displacement, DISPLACEMENT_PRIOR)):
        gram[place, place] += spread**-2
        right[place] -= value / spread**2
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    covariance = np.linalg.inv(gram / np.outer(scale, scale) + 1e-9 * np.eye(len(scale))) / np.outer(scale, scale)
    return covariance @ right, covariance
