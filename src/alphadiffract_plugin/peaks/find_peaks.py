"""Find the diffraction lines of a histogram: positions of Kα1 with their uncertainties, from one joint profile fit.

Lines are proposed at the maxima and shoulders of the smoothed pattern without its background. All are then refined
together: positions, areas, one Caglioti width curve and one Lorentzian fraction for the whole pattern. Further lines
are proposed in the residual of this fit, all are refined again, and the insignificant ones are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats
from alphadiffract_plugin.errors import PeaksError
from alphadiffract_plugin.peaks.background import background_of, noise_of, quiet_level
from alphadiffract_plugin.peaks.filters import half_widths, local_maxima, moving_maximum, prominences, smoothed
from alphadiffract_plugin.peaks.normal_equations import normal_equations
from alphadiffract_plugin.peaks.profile import Shape, profiles
from alphadiffract_plugin.records import Histogram, Peaks
from alphadiffract_plugin.settings import PeakSettings

_MISFIT = 0.03
"""How far a pseudo-Voigt may be from a measured line, as a fraction of its height; chosen by hand."""
_LOWEST = 0.02
"""The line shape is fitted to lines of at least this height, relative to the third strongest: spikes are lower."""
_CORE = 0.05
"""The line shape is fitted to points of at least this height, relative to the line at which they are: where the noise
is low, the many points of the tails would otherwise outweigh those of the cores."""
_FEWEST = 4
"""With fewer lines no cell can be searched for."""


@dataclass(frozen=True)
class PeakFit:
    """The peaks of a histogram, and the line shape, background and noise that the whole-pattern fit needs."""

    peaks: Peaks
    """The lines found."""
    shape: Shape
    """The peak shape fitted to them."""
    background: Floats
    """Background in counts, shape (N,)."""
    noise: Floats
    """Standard uncertainty of each intensity in counts, shape (N,)."""


def find_peaks(histogram: Histogram, settings: PeakSettings | None = None) -> Peaks:
    """The peaks of a histogram; see :func:`fit_peaks`."""
    return fit_peaks(histogram, settings or PeakSettings()).peaks


def fit_peaks(histogram: Histogram, settings: PeakSettings) -> PeakFit:
    """The peaks of a histogram with their shape, the background and the noise.

    Raises
    ------
    PeaksError : fewer than four lines stand above the noise.
    """
    try:
        return _fitted_peaks(histogram, settings)
    except PeaksError as error:
        raise PeaksError(error.what, fix=error.fix, where=histogram.source or histogram.name) from None


@dataclass(frozen=True)
class _Points:
    """The N points that lines are fitted to."""

    x: Floats
    """two_theta in degrees, shape (N,)."""
    net: Floats
    """Intensity less background in counts, shape (N,)."""
    noise: Floats
    """Standard uncertainty of the intensity in counts, shape (N,)."""

    @property
    def step(self) -> float:
        """Median distance of neighbouring points in degrees."""
        return float(np.median(np.diff(self.x)))

    def below(self, two_theta: float) -> _Points:
        """The points below an angle in degrees."""
        end = np.searchsorted(self.x, two_theta)
        return _Points(self.x[:end], self.net[:end], self.noise[:end])


def _fitted_peaks(histogram: Histogram, settings: PeakSettings) -> PeakFit:
    points, background, shape = _prepared(histogram)
    position = _proposed(points, shape, settings.significance)[: 2 * settings.most]
    if len(position) == 0:
        raise _too_few(0)
    fitted = points.below(position[-1] + 10 * shape.fwhm(position[-1:])[0])
    first = _refined(fitted, position, shape, settings)
    fit = _with_overlooked_lines(fitted, first, settings)
    return PeakFit(_significant_peaks(fit, histogram.wavelength, settings), fit.shape, background, points.noise)


def _prepared(histogram: Histogram) -> tuple[_Points, Floats, Shape]:
    """The points without their background, the background in counts, shape (N,), and a first peak shape."""
    x, y = histogram.two_theta, histogram.intensity
    lower_edge = background_of(histogram)
    net = y - lower_edge
    noise = noise_of(histogram, net)
    shape = _first_shape(histogram, net, noise)
    noise = noise * _correlation(_Points(x, net, noise), shape)
    background = lower_edge + quiet_level(x, net, noise)
    return _Points(x, y - background, noise), background, shape


def _with_overlooked_lines(points: _Points, fit: _Fit, settings: PeakSettings) -> _Fit:
    """The fit again with the lines that are seen only in what the first fit leaves, if there are any."""
    tolerance = np.hypot(points.noise, _wings(points, fit))
    residual = _Points(points.x, points.net - fit.model, tolerance)
    extra = _proposed(residual, fit.shape, settings.significance)
    gap = np.abs(extra[:, None] - fit.position[None]).min(1) if len(extra) else np.zeros(0)
    extra = extra[gap > 0.7 * fit.shape.fwhm(extra)]
    if len(extra) == 0:
        return fit
    return _refined(points, np.sort(np.concatenate([fit.position, extra])), fit.shape, settings)


def _significant_peaks(fit: _Fit, wavelength: float, settings: PeakSettings) -> Peaks:
    """The lines that are neither noise nor the wing of a stronger neighbour, at most ``settings.most``."""
    width = fit.shape.fwhm(fit.position)
    significance = fit.area / fit.area_esd
    real = (significance > settings.significance) & (fit.area / width > _height_of_wings(fit))
    keep = np.flatnonzero(real)[: settings.most]
    if len(keep) < _FEWEST:
        raise _too_few(len(keep))
    return Peaks(
        two_theta=fit.position[keep],
        two_theta_esd=fit.position_esd[keep],
        area=fit.area[keep],
        fwhm=width[keep],
        significance=significance[keep],
        wavelength=wavelength,
    )


def _wings(points: _Points, fit: _Fit) -> Floats:
    """Intensity that a wrong peak shape may leave around strong lines, in counts, shape (N,)."""
    return _MISFIT * _summits(points, fit.model, fit.shape, fit.position)


def _summits(points: _Points, model: Floats, shape: Shape, position: Floats) -> Floats:
    """Largest intensity of the model within three widths of each point, in counts, shape (N,)."""
    reach = 3 * float(np.median(shape.fwhm(position))) / points.step
    return moving_maximum(np.abs(model), int(reach))


def _height_of_wings(fit: _Fit) -> Floats:
    """Height below which a line may be the wing of a stronger neighbour, shape (R,)."""
    width = fit.shape.fwhm(fit.position)
    distance = np.abs(fit.position[:, None] - fit.position[None]) / width[:, None]
    height = fit.area / width
    wings: Floats = 2 * _MISFIT * height[None] * ((distance < 4) & (distance > 0))
    return np.asarray(wings.max(1))


def _too_few(found: int) -> PeaksError:
    stand = "1 diffraction line stands" if found == 1 else f"{found or 'no'} diffraction lines stand"
    return PeaksError(
        f"{stand} above the noise; at least {_FEWEST} are needed to search for a cell",
        fix="measure longer or to higher angles, or check that the columns are two_theta and intensity",
    )


def _correlation(points: _Points, shape: Shape) -> float:
    """Ratio of the noise on the scale of a line to that between neighbours, at least 1; larger for smoothed data.

    The noise on the scale of a line is that of the curvature in the quieter stretches of the smoothed pattern.
    """
    curve, spread = _curvature(points, _smoothing(points, shape))
    ratio = np.abs(curve) / spread
    blocks = np.array_split(ratio, max(8, int((points.x[-1] - points.x[0]) / 1.0)))
    return max(1.0, 1.48 * float(np.quantile([np.median(block) for block in blocks], 0.25)))


def _middle_width(points: _Points, shape: Shape) -> float:
    """FWHM in degrees in the middle of the pattern."""
    return float(shape.fwhm(np.array([0.5 * (points.x[0] + points.x[-1])]))[0])


def _smoothing(points: _Points, shape: Shape) -> float:
    """Standard deviation in points of the Gaussian that brings out lines of this shape best."""
    return max(0.7, 0.32 * _middle_width(points, shape) / points.step)


def _curvature(points: _Points, sigma: float) -> tuple[Floats, Floats]:
    """Downward curvature of the smoothed pattern and its standard uncertainty, shape (N,) each."""
    spread = np.sqrt(smoothed(points.noise**2, sigma) * 3 / (8 * np.sqrt(np.pi) * sigma**5))
    return -smoothed(points.net, sigma, curvature=True), spread


def _first_shape(histogram: Histogram, net: Floats, noise: Floats) -> Shape:
    """A Gaussian-Lorentzian of the median width of the most prominent maxima, at most twelve."""
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


def _proposed(points: _Points, shape: Shape, significance: float) -> Floats:
    """Positions of maxima and shoulders of the smoothed pattern, ascending, in degrees, without those of Kα2."""
    sigma = _smoothing(points, shape)
    smooth = smoothed(points.net, sigma)
    spread = np.sqrt(smoothed(points.noise**2, sigma) / (2 * np.sqrt(np.pi) * sigma))
    curve, curve_spread = _curvature(points, sigma)
    tops = local_maxima(curve)
    good = (smooth[tops] > significance * spread[tops]) & (curve[tops] > 0.75 * significance * curve_spread[tops])
    tops = tops[good]
    position: Floats = points.x[tops]
    if shape.is_doublet and len(tops):
        position = position[~_are_kalpha2(position, curve[tops], shape, 0.3 * _middle_width(points, shape))]
    return position


def _are_kalpha2(position: Floats, curve: Floats, shape: Shape, near: float) -> Bools:
    """Which maxima, of these curvatures, are the Kα2 component of a stronger one within ``near`` degrees."""
    partner = shape.kalpha2(position)
    there = np.abs(position[:, None] - partner[None]) < near
    stronger = curve[None] * (shape.kalpha2_ratio + 0.25) > curve[:, None]
    apart = (partner - position > near)[None]
    return np.asarray((there & stronger & apart).any(1))


@dataclass(frozen=True)
class _Fit:
    """R lines refined together on N points."""

    position: Floats
    """Degrees, shape (R,), ascending."""
    position_esd: Floats
    """Degrees, shape (R,)."""
    area: Floats
    """Counts × degrees, shape (R,)."""
    area_esd: Floats
    """Counts × degrees, shape (R,)."""
    shape: Shape
    """The peak shape of all."""
    model: Floats
    """Their sum in counts, shape (N,)."""


def _refined(points: _Points, position: Floats, shape: Shape, settings: PeakSettings) -> _Fit:
    """Refine positions, areas, widths and mixing together by damped Gauss-Newton; insignificant lines are dropped."""
    area = np.maximum(np.interp(position, points.x, points.net), 0) * shape.fwhm(position) * 1.2
    for cycle in range(8):
        lines = len(position)
        gram, right, _ = _equations(points, position, area, shape)
        shift = normal_equations(gram).solve(right, 1e-3 if cycle < 5 else 1e-6)
        width = shape.fwhm(position)
        position = position + np.clip(shift[:lines], -0.3 * width, 0.3 * width)
        area = area + shift[lines : 2 * lines]
        shape = _moved(shape, shift[2 * lines :], position)
        if cycle in (2, 4, 6):
            position, area = _without_weak_lines(points, position, area, width, settings.significance)
            if len(position) == 0:
                raise _too_few(0)
    lines = len(position)
    gram, _, model = _equations(points, position, area, shape)
    variance = np.diag(normal_equations(gram[: 2 * lines, : 2 * lines]).covariance())
    esd = np.sqrt(np.maximum(variance, 0))
    order = np.argsort(position)
    return _Fit(position[order], esd[:lines][order], area[order], esd[lines:][order], shape, model)


def _equations(points: _Points, position: Floats, area: Floats, shape: Shape) -> tuple[Floats, Floats, Floats]:
    """Normal matrix, right-hand side and model of R lines.

    The parameters are R positions, R areas, and of the shape ln w, u/w and the Lorentzian fraction, in this order.
    """
    drawn = profiles(points.x, position, shape)
    model = drawn.value @ area
    weight = 1 / (points.noise**2 + (_MISFIT * model) ** 2)
    t2 = np.tan(np.radians(position / 2)) ** 2
    width = shape.fwhm(position)
    half = shape.w / width**2 / 2
    strong = np.where(area / width > _LOWEST * np.sort(area / width)[-3:][0], area, 0)
    by_width = drawn.by_log_width @ np.stack([strong * half, strong * half * t2], -1)
    in_core = model > _CORE * _summits(points, model, shape, position)
    by_shape = np.column_stack([by_width, drawn.by_eta @ strong]) * in_core[:, None]
    columns = drawn.by_position.scaled(area).beside(drawn.value)
    order = np.argsort(columns.first, kind="stable")
    weighted = by_shape * weight[:, None]
    lines = columns.shape[1]
    gram = np.empty((lines + 3, lines + 3))
    gram[np.ix_(order, order)] = columns[order].gram(weight).toarray()
    gram[:lines, lines:] = columns.dot(weighted)
    gram[lines:, :lines] = gram[:lines, lines:].T
    gram[lines:, lines:] = by_shape.T @ weighted
    residual = points.net - model
    return gram, np.concatenate([columns.dot(weight * residual), weighted.T @ residual]), model


def _moved(shape: Shape, shift: Floats, position: Floats) -> Shape:
    """The shape after a step of ln w, u/w and the Lorentzian fraction, of bounded length."""
    w = shape.w * float(np.exp(np.clip(shift[0], -0.5, 0.5)))
    u = shape.u + shape.w * float(np.clip(shift[1], -2.0, 2.0))
    steepest = np.tan(np.radians(position.max() / 2)) ** 2
    eta = shape.eta + float(np.clip(shift[2], -0.2, 0.2))
    return replace(
        shape, w=w, u=float(np.clip(u, -0.6 * w / steepest, 10 * w / steepest)), eta=float(np.clip(eta, 0, 1))
    )


def _without_weak_lines(
    points: _Points, position: Floats, area: Floats, width: Floats, significance: float
) -> tuple[Floats, Floats]:
    """Positions and areas without lines that are in the noise, off the points, or too close to a stronger one."""
    order = np.argsort(position)
    position, area, width = position[order], area[order], width[order]
    least = 0.5 * significance * np.interp(position, points.x, points.noise) * np.sqrt(width * points.step)
    keep = (area > least) & (position > points.x[0]) & (position < points.x[-1])
    position, area, width = position[keep], area[keep], width[keep]
    apart = np.ones(len(position), bool)
    for i in np.flatnonzero(np.diff(position) < 0.45 * width[1:]):
        apart[i if area[i] < area[i + 1] else i + 1] = False
    return position[apart], area[apart]
