"""Fit whole patterns without a structure and collect the evidence for each cell and extinction class.

With cell and peak shape fixed the pattern is linear in the integrated intensities (Pawley 1981), so one set of normal
equations a cell serves every extinction class: a class is a choice of its columns, as in the test of extinction
symbols of Markvardsen, David, Johnston & Shankland (2001), Acta Cryst. A57, 47. Found lines that a class leaves over
are columns of their own, so that an impurity costs a bounded amount.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal import centred, indices_within, quadratic_form, two_theta_from_inv_d2
from alphadiffract_plugin.extinction import ExtinctionClass, extinction_classes
from alphadiffract_plugin.find_peaks import Lines
from alphadiffract_plugin.profile import Profiles, profiles
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.search_cells import Observed, Trial, line_likelihood_ratio, observed_from_peaks

if TYPE_CHECKING:
    from scipy.sparse import csc_array

_MOST_LINES = 45
"""The fit ends behind this line."""
_MOST_REFLECTIONS = 450
"""A cell with more reflections in the range is not fitted."""
_MOST_FITTED = 50
"""So many of the most promising pairs of cell and class are fitted, besides the best class of each cell."""
_MISFIT = 0.04
"""Model error as a fraction of the intensity: peak shapes are no better known."""
_TRUST = 0.35
"""Weight of the pattern's points: neighbours share their model errors, so each counts less than one observation."""
_EXPLAINED = 0.45
"""A found line is explained by a reflection within this fraction of its FWHM: closer ones do not separate."""
_ZERO_PRIOR = 0.02
"""Standard deviation in degrees of the zero shift of a goniometer."""
_DISPLACEMENT_PRIOR = 0.06
"""Standard deviation in degrees of the shift at 2θ = 0 by a displaced sample, which goes with cos θ."""
_CYCLES = 3
"""Gauss-Newton cycles a cell."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a cell with an extinction class; each term in nats or a count, larger is better for the first."""

    lines: float
    """Log-likelihood ratio of the found lines, "at a reflection of the class" over "there by chance"."""
    absent: float
    """Reflections that the class predicts and the pattern does not show, each counted by how clearly it is missing."""
    misfit: float
    """Half the excess of chi-squared of the fit over that of the found lines alone."""
    parameters: int
    """Free cell parameters."""
    zero: float
    """Half the squares of zero shift and displacement over their usual spreads."""


@dataclass(frozen=True)
class FittedClass:
    """A lattice with one extinction class, fitted to the pattern."""

    trial: Trial
    """The cell, refined on the whole pattern."""
    displacement: float
    """Shift of two_theta by a displaced sample, in degrees at θ = 0; it goes with cos θ."""
    covariance: np.ndarray
    """Covariance of the reciprocal metric in 1/Å⁴, shape (6, 6)."""
    extinction: ExtinctionClass
    """The class."""
    evidence: Evidence
    """What speaks for it."""
    rwp: float
    """Weighted profile residual in per cent."""
    unexplained: tuple[float, ...]
    """two_theta in degrees of found lines that no reflection explains."""


@dataclass(frozen=True)
class _Data:
    """The part of the pattern that every cell is judged on."""

    x: np.ndarray
    net: np.ndarray
    background: np.ndarray
    weight: np.ndarray
    noise: np.ndarray
    lines: Lines
    position: np.ndarray
    free: csc_array
    observed: Observed
    density: np.ndarray
    best_misfit: float
    total: float


def fit_pattern(histogram: Histogram, lines: Lines, trials: list[Trial]) -> list[FittedClass]:
    """The most promising extinction classes of the given cells, fitted.

    Each cell is fitted once without extinctions, which tells closely enough what each of its classes would come to;
    the best of all, and the best of each cell, are then fitted. A cell with too many reflections is left out.
    """
    data = _data_of(histogram, lines)
    parents = [fit for trial in trials for fit in [_fit_lattice(data, trial)] if fit is not None]
    hopes = []
    for parent in parents:
        classes = extinction_classes(parent.trial.lattice.family, parent.trial.lattice.centring)
        ordered = sorted(((parent.promise(c), parent, c) for c in classes), key=lambda hope: -hope[0])
        hopes += [(rank == 0, *hope) for rank, hope in enumerate(ordered)]
    hopes.sort(key=lambda hope: -hope[1])
    return [
        parent.fitted(extinction)
        for rank, (first, _, parent, extinction) in enumerate(hopes)
        if first or rank < _MOST_FITTED
    ]


def _data_of(histogram: Histogram, lines: Lines) -> _Data:
    peaks = lines.peaks
    last = min(len(peaks), _MOST_LINES) - 1
    stop = np.searchsorted(histogram.two_theta, peaks.two_theta[last] + 4 * peaks.fwhm[last])
    x = histogram.two_theta[:stop]
    thin = max(1, int(np.median(peaks.fwhm) / 6 / np.median(np.diff(x))))
    net = (histogram.intensity - lines.background)[:stop]
    noise = lines.noise[:stop]
    if thin > 1:
        whole = stop // thin * thin
        x, net = (a[:whole].reshape(-1, thin).mean(1) for a in (x, net))
        noise = np.sqrt((noise[:whole].reshape(-1, thin) ** 2).mean(1) / thin)
    drawn = profiles(x, peaks.two_theta[: last + 1], lines.shape)
    model = drawn.value @ peaks.area[: last + 1]
    variance = noise**2 + (_MISFIT * model) ** 2
    excess = max(1.0, float(np.mean((net - model) ** 2 / variance)))
    observed = observed_from_peaks(peaks, last + 1, every=True)
    shape_of_density = np.sqrt(observed.inv_d2()) * observed.inv_d2_slope()
    whole_range = (2 * np.sin(np.radians(x[-1] / 2)) / peaks.wavelength) ** 3 / 1.5
    return _Data(
        x=x,
        net=net,
        background=np.interp(x, histogram.two_theta, lines.background),
        weight=_TRUST / excess / variance,
        noise=noise,
        lines=lines,
        position=peaks.two_theta[: last + 1],
        free=drawn.value,
        observed=observed,
        density=shape_of_density / whole_range,
        best_misfit=float((_TRUST / excess * (net - model) ** 2 / variance).sum()),
        total=float(peaks.area[: last + 1].sum()),
    )


@dataclass(frozen=True)
class _FittedLattice:
    """The normal equations of one lattice without extinctions; each class is a choice of its columns."""

    data: _Data
    trial: Trial
    displacement: float
    covariance: np.ndarray
    hkl: np.ndarray
    group: np.ndarray
    place: np.ndarray
    prior: np.ndarray
    columns: object
    gram: np.ndarray
    slope: np.ndarray

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

    @functools.cached_property
    def unextinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Prior scale over uncertainty, and intensity over uncertainty, of every reflection if none is extinct."""
        _, known, strength, _ = self.solved(np.ones(len(self.place), bool))
        return known[: len(self.place)], strength[: len(self.place)]

    def promise(self, extinction: ExtinctionClass) -> float:
        """About what a class will come to, from the fit without extinctions."""
        known, strength = self.unextinct
        allowed = self.allowed(extinction)
        if not allowed.any():
            return -np.inf
        denser = len(allowed) / allowed.sum()
        missing = allowed & (strength < 3)
        forbidden = 0.5 * (strength[~allowed] ** 2).clip(0, 30).sum()
        return 0.6 * self.line_ratio(allowed) - 0.2 * np.log(known[missing] * denser).sum() - 0.05 * forbidden

    def allowed(self, extinction: ExtinctionClass) -> np.ndarray:
        """Which lines a class leaves, shape (R,)."""
        allowed = np.zeros(len(self.place), bool)
        allowed[self.group[~extinction.extinct(self.hkl)]] = True
        return allowed

    def line_ratio(self, allowed: np.ndarray) -> float:
        """Log-likelihood ratio of the found lines, given which reflections there are."""
        places = self.place[allowed]
        off = np.abs(self.data.position[:, None] - places[None]).min(1, initial=360.0)
        return float(line_likelihood_ratio(self.data.observed, off, (len(places) + 1) * self.data.density).sum())

    def fitted(self, extinction: ExtinctionClass) -> FittedClass:
        """The record of one class."""
        data = self.data
        allowed = self.allowed(extinction)
        intensity, known, strength, free = self.solved(allowed)
        misfit = float((data.weight * (data.net - self.columns @ intensity) ** 2).sum()) - data.best_misfit
        missing = allowed & (strength[: len(allowed)] < 3)
        intensity[len(allowed) :] = 0
        left = (data.net - self.columns @ intensity) / data.noise
        observed = (data.net + data.background) / data.noise
        return FittedClass(
            trial=self.trial,
            displacement=self.displacement,
            covariance=self.covariance,
            extinction=extinction,
            evidence=Evidence(
                lines=self.line_ratio(allowed),
                absent=float(np.log(known[: len(allowed)][missing]).sum()),
                misfit=0.5 * max(misfit, 0.0),
                parameters=self.trial.lattice.free,
                zero=0.5 * (self.trial.zero_shift / _ZERO_PRIOR) ** 2
                + 0.5 * (self.displacement / _DISPLACEMENT_PRIOR) ** 2,
            ),
            rwp=float(100 * np.sqrt((left**2).sum() / (observed**2).sum())),
            unexplained=tuple(float(p) for p in data.position[free]),
        )


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive matrix, by Cholesky."""
    from scipy.linalg import lapack

    factor, _ = lapack.dpotrf(matrix, lower=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    return np.tril(inverse) + np.tril(inverse, -1).T


@dataclass(frozen=True)
class _Axis:
    """Where the reflections of one lattice lie, as a function of cell, zero shift and sample displacement."""

    design: np.ndarray
    wavelength: float
    parameters: np.ndarray
    zero_shift: float
    displacement: float

    @property
    def _inv_d2(self) -> np.ndarray:
        return np.clip(self.design @ self.parameters, 1e-6, (1.999 / self.wavelength) ** 2)

    @property
    def place(self) -> np.ndarray:
        """two_theta in degrees, shape (R,)."""
        two_theta = two_theta_from_inv_d2(self._inv_d2, self.wavelength)
        return two_theta + self.zero_shift + self.displacement * np.cos(np.radians(two_theta / 2))

    @property
    def slope(self) -> np.ndarray:
        """Derivatives of ``place`` by the cell's parameters, the zero shift and the displacement, shape (R, p + 2)."""
        sine = np.sqrt(self._inv_d2) * self.wavelength / 2
        cosine = np.sqrt(1 - sine**2)
        by_inv_d2 = np.degrees(self.wavelength**2 / (4 * sine * cosine))
        return np.column_stack([self.design * by_inv_d2[:, None], np.ones(len(sine)), cosine])

    def moved(self, shift: np.ndarray) -> _Axis:
        """The axis after a step of least squares, of bounded length."""
        largest = self.parameters.max()
        zero, displacement = np.clip(shift[-2:], -0.05, 0.05)
        return replace(
            self,
            parameters=self.parameters + np.clip(shift[:-2] / largest, -0.003, 0.003) * largest,
            zero_shift=self.zero_shift + float(zero),
            displacement=self.displacement + float(displacement),
        )


def _fit_lattice(data: _Data, trial: Trial) -> _FittedLattice | None:
    """Refine cell, zero shift and displacement on the whole pattern and keep the normal equations of the intensities.

    None if the cell has no reflection in the range, or too many.
    """
    hkl, group = _reflections(data, trial)
    if len(hkl) == 0 or group[-1] + 1 > _MOST_REFLECTIONS:
        return None
    first = np.flatnonzero(np.diff(group, prepend=-1))
    metric_map = trial.lattice.metric_map
    axis = _Axis(
        design=quadratic_form(hkl[first]) @ metric_map.T,
        wavelength=data.lines.shape.wavelengths[0],
        parameters=trial.metric @ np.linalg.pinv(metric_map),
        zero_shift=0.5 * trial.zero_shift,
        displacement=0.5 * trial.zero_shift,
    )
    for _ in range(_CYCLES):
        fit, drawn = _normal_equations(data, axis, trial, hkl, group)
        shift, covariance = _step(fit, drawn, axis)
        axis = axis.moved(shift)
    return replace(fit, covariance=metric_map.T @ covariance[:-2, :-2] @ metric_map)


def _reflections(data: _Data, trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Indices that the centring allows within the range, ascending in 1/d², and the number of the line of each."""
    reach = (2 * np.sin(np.radians((data.x[-1] + 0.1) / 2)) / data.lines.shape.wavelengths[0]) ** 2
    hkl = indices_within(trial.metric, reach, limit=30000)
    hkl = hkl[centred(hkl, trial.lattice.centring)]
    inv_d2 = quadratic_form(hkl) @ trial.metric
    return hkl, np.cumsum(np.diff(inv_d2, prepend=-1.0) > 1e-7 * reach) - 1


def _normal_equations(
    data: _Data, axis: _Axis, trial: Trial, hkl: np.ndarray, group: np.ndarray
) -> tuple[_FittedLattice, Profiles]:
    from scipy.sparse import hstack

    place = axis.place
    drawn = profiles(data.x, place, data.lines.shape)
    columns = hstack([drawn.value, data.free]).tocsc()
    weighted = columns * data.weight[:, None]
    theta = np.radians(np.clip(place, 1, 178) / 2)
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    fit = _FittedLattice(
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


def _step(fit: _FittedLattice, drawn: Profiles, axis: _Axis) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step of the axis with the intensities solved for, and the covariance of its parameters."""
    data = fit.data
    intensity = fit.solved(np.ones(len(fit.place), bool))[0]
    moving = drawn.by_position @ (np.maximum(intensity[: len(fit.place)], 0)[:, None] * axis.slope)
    weighted = moving * data.weight[:, None]
    gram = moving.T @ weighted
    right = weighted.T @ (data.net - fit.columns @ intensity)
    for place, value, spread in ((-2, axis.zero_shift, _ZERO_PRIOR), (-1, axis.displacement, _DISPLACEMENT_PRIOR)):
        gram[place, place] += spread**-2
        right[place] -= value / spread**2
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    covariance = np.linalg.inv(gram / np.outer(scale, scale) + 1e-9 * np.eye(len(scale))) / np.outer(scale, scale)
    return covariance @ right, covariance
