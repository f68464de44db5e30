"""Find the diffraction lines of a histogram: positions of Kα1 with their uncertainties, from one joint profile fit.

Lines are proposed where the smoothed, background-free pattern has a maximum or a shoulder, then all of them are
refined together (positions, areas, and one Caglioti width curve and pseudo-Voigt mixing for the whole pattern) by
damped Gauss-Newton; lines are proposed once more in what the fit leaves over, and the insignificant ones dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.errors import PeaksError
from alphadiffract_plugin.peaks.background import background_of, noise_of, quiet_level
from alphadiffract_plugin.peaks.filters import half_widths, local_maxima, moving_maximum, prominences, smoothed
from alphadiffract_plugin.peaks.profile import Shape, profiles
from alphadiffract_plugin.records import Histogram, Peaks
from alphadiffract_plugin.settings import PeakSettings

_MISFIT = 0.03
"""A pseudo-Voigt follows a measured line to about this fraction of its height; less is not trusted."""
_TELLING = 0.02
"""Lines lower than this, relative to the third strongest, have no say in the line shape: among them are spikes."""
_CORE = 0.05
"""Nor have points lower than this, relative to the line they stand beside: tails outweigh cores where noise is low."""
_FEWEST = 4
"""Below so many lines no cell can be sought."""


@dataclass(frozen=True)
class PeakFit:
    """The peaks of a histogram with what the later whole-pattern fit needs."""

    peaks: Peaks
    """The lines found."""
    shape: Shape
    """The peak shape fitted to them."""
    background: np.ndarray
    """Background in counts, shape (N,)."""
    noise: np.ndarray
    """Standard uncertainty of each intensity in counts, shape (N,)."""


def find_peaks(histogram: Histogram, settings: PeakSettings | None = None) -> Peaks:
    """The lines of a histogram; see :func:`fit_peaks`."""
    return fit_peaks(histogram, settings or PeakSettings()).peaks


def fit_peaks(histogram: Histogram, settings: PeakSettings) -> PeakFit:
    """The lines of a histogram with their shape, the background and the noise.

    Raises
    ------
    PeaksError : fewer than four lines stand above the noise.
    """
    try:
        return _fitted_peaks(histogram, settings)
    except PeaksError as error:
        raise PeaksError(error.what, fix=error.fix, where=histogram.source or histogram.name) from None


def _fitted_peaks(histogram: Histogram, settings: PeakSettings) -> PeakFit:
    x, y = histogram.two_theta, histogram.intensity
    background = background_of(histogram)
    net = y - background
    noise = noise_of(histogram, net)
    shape = _first_shape(histogram, net, noise)
    noise = noise * _correlated(x, net, noise, shape)
    background = background + quiet_level(x, net, noise)
    net = y - background
    position = _propose(x, net, noise, shape, settings.significance)[: 2 * settings.most]
    if len(position) == 0:
        raise _too_few(0)
    end = np.searchsorted(x, position[-1] + 10 * shape.fwhm(position[-1:])[0])
    x, net, near = x[:end], net[:end], noise[:end]
    fit = _refine(x, net, near, position, shape, settings)
    left = net - fit.model
    tolerance = np.hypot(near, _wings(x, fit))
    extra = _propose(x, left, tolerance, fit.shape, settings.significance)
    gap = np.abs(extra[:, None] - fit.position[None]).min(1) if len(extra) else np.zeros(0)
    extra = extra[gap > 0.7 * fit.shape.fwhm(extra)]
    if len(extra):
        fit = _refine(x, net, near, np.sort(np.concatenate([fit.position, extra])), fit.shape, settings)
    own = fit.area / fit.shape.fwhm(fit.position)
    real = (fit.area / fit.area_esd > settings.significance) & (own > _overshadowed(fit))
    keep = np.flatnonzero(real)[: settings.most]
    if len(keep) < _FEWEST:
        raise _too_few(len(keep))
    peaks = Peaks(
        two_theta=fit.position[keep],
        two_theta_esd=fit.position_esd[keep],
        area=fit.area[keep],
        fwhm=fit.shape.fwhm(fit.position[keep]),
        significance=(fit.area / fit.area_esd)[keep],
        wavelength=histogram.wavelength,
    )
    return PeakFit(peaks, fit.shape, background, noise)


def _wings(x: np.ndarray, fit: _Fit) -> np.ndarray:
    """Intensity that a wrong peak shape may leave around strong lines, in counts, shape (N,)."""
    return _MISFIT * _summits(x, fit.model, fit.shape, fit.position)


def _summits(x: np.ndarray, model: np.ndarray, shape: Shape, position: np.ndarray) -> np.ndarray:
    """The most that a pattern reaches within three widths of each point, in counts, shape (N,)."""
    reach = 3 * float(np.median(shape.fwhm(position))) / float(np.median(np.diff(x)))
    return moving_maximum(np.abs(model), int(reach))


def _overshadowed(fit: _Fit) -> np.ndarray:
    """Height below which a line may be the wing of a stronger neighbour, shape (R,)."""
    width = fit.shape.fwhm(fit.position)
    distance = np.abs(fit.position[:, None] - fit.position[None]) / width[:, None]
    height = fit.area / width
    return (2 * _MISFIT * height[None] * ((distance < 4) & (distance > 0))).max(1)


def _too_few(found: int) -> PeaksError:
    return PeaksError(
        f"{found or 'no'} diffraction lines stand above the noise; at least {_FEWEST} are needed to look for a cell",
        fix="measure longer or to higher angles, or check that the columns are two_theta and intensity",
    )


def _correlated(x: np.ndarray, net: np.ndarray, noise: np.ndarray, shape: Shape) -> float:
    """How many times larger the noise is on the scale of a line than between neighbours: over 1 for smoothed data.

    Taken from the curvature of the pattern, smoothed as for the search, in the quieter stretches.
    """
    sigma = _smoothing(x, shape)
    curve, spread = _curvature(net, noise, sigma)
    ratio = np.abs(curve) / spread
    blocks = np.array_split(ratio, max(8, int((x[-1] - x[0]) / 1.0)))
    return max(1.0, 1.48 * float(np.quantile([np.median(block) for block in blocks], 0.25)))


def _smoothing(x: np.ndarray, shape: Shape) -> float:
    """Width in points of the Gaussian that brings out lines of this shape."""
    width = float(shape.fwhm(np.array([0.5 * (x[0] + x[-1])]))[0])
    return max(0.7, 0.32 * width / float(np.median(np.diff(x))))


def _curvature(net: np.ndarray, noise: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Downward curvature of the smoothed pattern and its standard uncertainty, shape (N,) each."""
    spread = np.sqrt(smoothed(noise**2, sigma) * 3 / (8 * np.sqrt(np.pi) * sigma**5))
    return -smoothed(net, sigma, curvature=True), spread


def _first_shape(histogram: Histogram, net: np.ndarray, noise: np.ndarray) -> Shape:
    step = float(np.median(np.diff(histogram.two_theta)))
    smooth = smoothed(net, max(0.8, 0.015 / step))
    top = local_maxima(smooth)
    prominence = prominences(smooth, top)
    top = top[np.argsort(prominence)[::-1][: min(12, int((prominence >= 5 * np.median(noise)).sum()))]]
    if len(top) == 0:
        raise _too_few(0)
    width = float(np.median(half_widths(smooth, top))) * step
    width = float(np.clip(width, 2.5 * step, 1.5))
    return Shape(0.0, 0.0, width**2, 0.5, histogram.wavelengths, histogram.kalpha2_ratio)


def _propose(x: np.ndarray, net: np.ndarray, noise: np.ndarray, shape: Shape, significance: float) -> np.ndarray:
    """Positions of maxima and shoulders of the smoothed pattern, Kα2 partners left out, ascending, in degrees."""
    sigma = _smoothing(x, shape)
    width = float(shape.fwhm(np.array([0.5 * (x[0] + x[-1])]))[0])
    smooth = smoothed(net, sigma)
    spread = np.sqrt(smoothed(noise**2, sigma) / (2 * np.sqrt(np.pi) * sigma))
    curve, curve_spread = _curvature(net, noise, sigma)
    tops = local_maxima(curve)
    good = (smooth[tops] > significance * spread[tops]) & (curve[tops] > 0.75 * significance * curve_spread[tops])
    tops = tops[good]
    if len(shape.wavelengths) > 1 and shape.kalpha2_ratio > 0 and len(tops):
        partner = 2 * np.degrees(
            np.arcsin(np.minimum(np.sin(np.radians(x[tops] / 2)) * shape.wavelengths[1] / shape.wavelengths[0], 1))
        )
        near = np.abs(x[tops][:, None] - partner[None]) < 0.3 * width
        stronger = curve[tops][None] * (shape.kalpha2_ratio + 0.25) > curve[tops][:, None]
        apart = (partner - x[tops] > 0.3 * width)[None]
        tops = tops[~(near & stronger & apart).any(1)]
    return x[tops]


@dataclass(frozen=True)
class _Fit:
    """The lines refined together: R lines on N points."""

    position: np.ndarray
    """Degrees, shape (R,), ascending."""
    position_esd: np.ndarray
    """Degrees, shape (R,)."""
    area: np.ndarray
    """Counts × degrees, shape (R,)."""
    area_esd: np.ndarray
    """Counts × degrees, shape (R,)."""
    shape: Shape
    """The peak shape of all."""
    model: np.ndarray
    """Their sum in counts, shape (N,)."""


def _refine(
    x: np.ndarray, net: np.ndarray, noise: np.ndarray, position: np.ndarray, shape: Shape, settings: PeakSettings
) -> _Fit:
    """Joint damped Gauss-Newton of positions, areas, widths and mixing; insignificant lines dropped on the way."""
    area = np.maximum(np.interp(position, x, net), 0) * shape.fwhm(position) * 1.2
    for cycle in range(8):
        lines = len(position)
        gram, right, _ = _normal_equations(x, net, noise, position, area, shape)
        shift = _solved(gram, right, 1e-3 if cycle < 5 else 1e-6)
        width = shape.fwhm(position)
        position = position + np.clip(shift[:lines], -0.3 * width, 0.3 * width)
        area = area + shift[lines : 2 * lines]
        shape = _moved(shape, shift[2 * lines :], position)
        if cycle in (2, 4, 6):
            position, area = _pruned(position, area, width, noise, x, settings.significance)
            if len(position) == 0:
                raise _too_few(0)
    lines = len(position)
    gram, _, model = _normal_equations(x, net, noise, position, area, shape)
    gram = gram[: 2 * lines, : 2 * lines]
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    variance = np.diag(np.linalg.inv(gram / np.outer(scale, scale) + 1e-9 * np.eye(len(scale)))) / scale**2
    esd = np.sqrt(np.maximum(variance, 0))
    order = np.argsort(position)
    return _Fit(position[order], esd[:lines][order], area[order], esd[lines:][order], shape, model)


def _normal_equations(
    x: np.ndarray, net: np.ndarray, noise: np.ndarray, position: np.ndarray, area: np.ndarray, shape: Shape
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gram matrix, gradient and model; parameters are R positions, R areas, ln w, u/w and the mixing."""
    drawn = profiles(x, position, shape)
    model = drawn.value @ area
    weight = 1 / (noise**2 + (_MISFIT * model) ** 2)
    t2 = np.tan(np.radians(position / 2)) ** 2
    width = shape.fwhm(position)
    half = shape.w / width**2 / 2
    telling = np.where(area / width > _TELLING * np.sort(area / width)[-3:][0], area, 0)
    by_width = drawn.by_log_width @ np.stack([telling * half, telling * half * t2], -1)
    curve = (
        np.column_stack([by_width, drawn.by_eta @ telling])
        * (model > _CORE * _summits(x, model, shape, position))[:, None]
    )
    columns = drawn.by_position.scaled(area).beside(drawn.value)
    order = np.argsort(columns.first, kind="stable")
    weighted = curve * weight[:, None]
    lines = columns.shape[1]
    gram = np.empty((lines + 3, lines + 3))
    gram[np.ix_(order, order)] = columns[order].gram(weight).toarray()
    gram[:lines, lines:] = columns.dot(weighted)
    gram[lines:, :lines] = gram[:lines, lines:].T
    gram[lines:, lines:] = curve.T @ weighted
    left = net - model
    return gram, np.concatenate([columns.dot(weight * left), weighted.T @ left]), model


def _solved(gram: np.ndarray, right: np.ndarray, damping: float) -> np.ndarray:
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    return np.linalg.solve(gram / np.outer(scale, scale) + damping * np.eye(len(scale)), right / scale) / scale


def _moved(shape: Shape, shift: np.ndarray, position: np.ndarray) -> Shape:
    w = shape.w * float(np.exp(np.clip(shift[0], -0.5, 0.5)))
    u = shape.u + shape.w * float(np.clip(shift[1], -2.0, 2.0))
    steepest = np.tan(np.radians(position.max() / 2)) ** 2
    eta = shape.eta + float(np.clip(shift[2], -0.2, 0.2))
    return replace(
        shape, w=w, u=float(np.clip(u, -0.6 * w / steepest, 10 * w / steepest)), eta=float(np.clip(eta, 0, 1))
    )


def _pruned(
    position: np.ndarray, area: np.ndarray, width: np.ndarray, noise: np.ndarray, x: np.ndarray, significance: float
) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(position)
    position, area, width = position[order], area[order], width[order]
    step = float(np.median(np.diff(x)))
    least = 0.5 * significance * np.interp(position, x, noise) * np.sqrt(width * step)
    keep = (area > least) & (position > x[0]) & (position < x[-1])
    position, area, width = position[keep], area[keep], width[keep]
    lone = np.ones(len(position), bool)
    close = np.flatnonzero(np.diff(position) < 0.45 * width[1:]) if len(position) > 1 else []
    for i in close:
        lone[i if area[i] < area[i + 1] else i + 1] = False
    return position[lone], area[lone]
