"""Fit whole patterns without a structure and collect the evidence for each cell and extinction class.

With cell and peak shape fixed the pattern is linear in the integrated intensities (Pawley 1981), so one set of normal
equations a cell serves every extinction class: a class is a choice of its columns, as in the test of extinction
symbols of Markvardsen, David, Johnston & Shankland (2001), Acta Cryst. A57, 47. Found lines that a class leaves over
are columns of their own, so that an impurity costs a bounded amount.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.crystal import indices_within, quadratic_form, two_theta_from_inv_d2
from alphadiffract_plugin.extinction import ExtinctionClass, extinction_classes
from alphadiffract_plugin.find_peaks import Lines
from alphadiffract_plugin.profile import profiles
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.search_cells import Observed, Trial, line_likelihood_ratio, observed_from_peaks

_MOST_LINES = 45
"""The fit ends behind this line."""
_MOST_REFLECTIONS = 700
"""A cell with more reflections in the range is not fitted."""
_MISFIT = 0.04
"""Model error as a fraction of the intensity: peak shapes are no better known."""
_TRUST = 0.35
"""Weight of the pattern's points: neighbours share their model errors, so each counts less than one observation."""
_ZERO_PRIOR = 0.05


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
    """Half the square of the zero shift over its usual spread."""


@dataclass(frozen=True)
class FittedClass:
    """A lattice with one extinction class, fitted to the pattern."""

    trial: Trial
    """The cell, refined on the whole pattern."""
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
    observed: Observed
    density: np.ndarray
    best_misfit: float
    total: float


def fit_pattern(histogram: Histogram, lines: Lines, trials: list[Trial]) -> list[FittedClass]:
    """Every extinction class of the given cells, fitted; a cell with too many reflections is left out."""
    data = _data_of(histogram, lines)
    parents = [fit for trial in trials for fit in [_fit_lattice(data, trial)] if fit is not None]
    return [
        parent.fitted(extinction)
        for parent in parents
        for extinction in extinction_classes(parent.trial.lattice.family, parent.trial.lattice.centring)
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
        reach = 0.3 * data.lines.shape.fwhm(data.position) + 0.004
        distance = np.abs(data.position[:, None] - self.place[allowed][None]).min(1, initial=360)
        free = distance > reach
        use = np.flatnonzero(np.concatenate([allowed, free]))
        share = self.prior[allowed] / max(self.prior[allowed].sum(), 1e-30)
        scale = data.total * np.concatenate([share, data.lines.peaks.area[: len(free)][free] / data.total])
        matrix = self.gram[np.ix_(use, use)] * scale[:, None] * scale[None] + np.eye(len(use))
        inverse = np.linalg.inv(matrix)
        intensity, known = np.zeros((2, len(allowed) + len(free)))
        intensity[use] = inverse @ (self.slope[use] * scale) * scale
        known[use] = 1 / np.sqrt(np.diag(inverse))
        strength = np.zeros(len(known))
        strength[use] = intensity[use] / scale * known[use]
        return intensity, known, strength, free

    def fitted(self, extinction: ExtinctionClass) -> FittedClass:
        """The record of one class."""
        data = self.data
        allowed = np.zeros(len(self.place), bool)
        np.logical_or.at(allowed, self.group, ~extinction.extinct(self.hkl))
        intensity, known, strength, free = self.solved(allowed)
        misfit = float((data.weight * (data.net - self.columns @ intensity) ** 2).sum()) - data.best_misfit
        missing = allowed & (strength[: len(allowed)] < 3)
        nearest = np.abs(data.position[:, None] - self.place[allowed][None])
        off = nearest.min(1, initial=360.0)
        intensity[len(allowed) :] = 0
        left = (data.net - self.columns @ intensity) / data.noise
        observed = (data.net + data.background) / data.noise
        return FittedClass(
            trial=self.trial,
            covariance=self.covariance,
            extinction=extinction,
            evidence=Evidence(
                lines=float(line_likelihood_ratio(data.observed, off, (allowed.sum() + 1) * data.density).sum()),
                absent=float(np.log(known[: len(allowed)][missing]).sum()),
                misfit=0.5 * max(misfit, 0.0),
                parameters=self.trial.lattice.free,
                zero=0.5 * (self.trial.zero_shift / _ZERO_PRIOR) ** 2,
            ),
            rwp=float(100 * np.sqrt((left**2).sum() / (observed**2).sum())),
            unexplained=tuple(float(p) for p in data.position[free]),
        )


def _fit_lattice(data: _Data, trial: Trial) -> _FittedLattice | None:
    """Refine cell and zero shift on the whole pattern and keep the normal equations; None if the cell is too large."""
    shape = data.lines.shape
    reach = (2 * np.sin(np.radians((data.x[-1] + 0.1) / 2)) / shape.wavelengths[0]) ** 2
    hkl = indices_within(trial.metric, reach, limit=30000)
    hkl = hkl[_allowed_by(trial, hkl)]
    if len(hkl) == 0:
        return None
    inv_d2 = quadratic_form(hkl) @ trial.metric
    order = np.argsort(inv_d2, kind="stable")
    hkl, inv_d2 = hkl[order], inv_d2[order]
    group = np.cumsum(np.diff(inv_d2, prepend=0) > 1e-7 * reach) - 1
    group -= group[0]
    if group[-1] + 1 > _MOST_REFLECTIONS:
        return None
    first = np.flatnonzero(np.diff(group, prepend=-1))
    design = quadratic_form(hkl[first]) @ trial.lattice.metric_map.T
    parameters, zero = trial.metric @ np.linalg.pinv(trial.lattice.metric_map), trial.zero_shift
    free_drawn = profiles(data.x, data.position, shape)
    covariance = np.zeros((len(parameters) + 1,) * 2)
    for _ in range(3):
        place = two_theta_from_inv_d2(design @ parameters, shape.wavelengths[0]) + zero
        place = np.where(np.isfinite(place), place, 179.0)
        state = _normal_equations(
            data, place, np.bincount(group), free_drawn, design, trial, parameters, zero, covariance
        )
        fit, shift, covariance = _moved(state, design, parameters, shape.wavelengths[0])
        step = np.clip(shift[:-1] / parameters.max(), -0.003, 0.003) * parameters.max()
        parameters, zero = parameters + step, zero + float(np.clip(shift[-1], -0.05, 0.05))
    metric_map = trial.lattice.metric_map
    refined = replace(trial, metric=fit.trial.metric, zero_shift=fit.trial.zero_shift)
    return replace(
        fit, trial=refined, covariance=metric_map.T @ covariance[:-1, :-1] @ metric_map, hkl=hkl, group=group
    )


def _normal_equations(
    data: _Data,
    place: np.ndarray,
    multiplicity: np.ndarray,
    free_drawn: object,
    design: np.ndarray,
    trial: Trial,
    parameters: np.ndarray,
    zero: float,
    covariance: np.ndarray,
) -> tuple[_FittedLattice, object]:
    from scipy.sparse import hstack

    drawn = profiles(data.x, place, data.lines.shape)
    columns = hstack([drawn.value, free_drawn.value]).tocsc()
    weighted = columns * data.weight[:, None]
    theta = np.radians(np.clip(place, 1, 178) / 2)
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    fit = _FittedLattice(
        data=data,
        trial=replace(trial, metric=parameters @ trial.lattice.metric_map, zero_shift=zero),
        covariance=covariance,
        hkl=np.zeros((0, 3)),
        group=np.zeros(0, int),
        place=place,
        prior=multiplicity * lorentz * np.exp(-4 * (np.sin(theta) / data.lines.shape.wavelengths[0]) ** 2),
        columns=columns,
        gram=(columns.T @ weighted).toarray(),
        slope=weighted.T @ data.net,
    )
    return fit, drawn


def _moved(
    state: tuple[_FittedLattice, object], design: np.ndarray, parameters: np.ndarray, wavelength: float
) -> tuple[_FittedLattice, np.ndarray, np.ndarray]:
    """One Gauss-Newton step of cell and zero shift with intensities solved for: shift and covariance."""
    fit, drawn = state
    data = fit.data
    everything = np.ones(len(fit.place), bool)
    intensity = fit.solved(everything)[0]
    inv_d2 = design @ parameters
    sine = np.clip(np.sqrt(np.maximum(inv_d2, 1e-9)) * wavelength / 2, 1e-6, 0.999)
    by_inv_d2 = np.degrees(wavelength**2 / (4 * sine * np.sqrt(1 - sine**2)))
    by_parameter = np.column_stack([design * by_inv_d2[:, None], np.ones(len(design))])
    moving = drawn.by_position @ (np.maximum(intensity[: len(fit.place)], 0)[:, None] * by_parameter)
    misfit = data.net - fit.columns @ intensity
    weighted = moving * data.weight[:, None]
    gram = moving.T @ weighted
    gram[-1, -1] += 1 / _ZERO_PRIOR**2
    right = weighted.T @ misfit
    right[-1] -= fit.trial.zero_shift / _ZERO_PRIOR**2
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    inverse = np.linalg.inv(gram / np.outer(scale, scale) + 1e-9 * np.eye(len(scale))) / np.outer(scale, scale)
    return fit, inverse @ right, inverse


def _allowed_by(trial: Trial, hkl: np.ndarray) -> np.ndarray:
    from alphadiffract_plugin.crystal import centred

    return centred(hkl, trial.lattice.centring)
