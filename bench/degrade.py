"""Degrade a measured pattern in known ways, in one respect at a time.

``CURVES`` lists the ways and their values; :func:`degraded` applies one, with the same result for the same seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

LOWEST, HIGHEST, APART = 0.02, 0.2, 2.5
"""Lines of another phase: range of heights over the strongest line, and least distance from other lines in FWHM."""
CU_KALPHA1 = 1.5405929
"""Wavelength in Å."""


@dataclass(frozen=True)
class Curve:
    """One way to degrade a pattern."""

    name: str
    """Name in the names of the files."""
    title: str
    """Title of its panel and its table."""
    axis: str
    """Meaning and unit of the values."""
    values: tuple[float | str, ...]
    """All values, including the one that leaves the pattern as measured."""
    untouched: float | str
    """The value that leaves the pattern as measured."""
    how: str
    """How the pattern is changed, as the page says it."""
    doubtful: bool = False
    """Whether the answer should warn."""


CURVES = (
    Curve(
        "zero",
        "Zero shift",
        "shift of 2θ / degrees",
        (-0.1, -0.05, 0.0, 0.05, 0.1),
        0.0,
        "added to every angle, on top of the shift that the pattern has",
    ),
    Curve(
        "noise",
        "Added noise",
        "noise / % of the highest point",
        (0.0, 1.0, 2.0, 5.0),
        0.0,
        "normal, of this standard deviation in every point; added in quadrature to the esds where the file has any",
    ),
    Curve(
        "impurities",
        "Impurity lines",
        "lines of another phase",
        (0, 1, 2, 3, 4, 5),
        0,
        f"of the pattern's own profile, {100 * LOWEST:g} to {100 * HIGHEST:g} % as high as its strongest line, "
        f"anywhere among its first 20 lines but {APART:g} FWHM from each",
    ),
    Curve(
        "missing",
        "Missing low-angle lines",
        "lines cut off",
        (0, 3, 5),
        0,
        "the pattern begins between two lines: so many of the lines found are cut off",
    ),
    Curve(
        "end",
        "Cut at the high end",
        "last 2θ / degrees, for Cu Kα",
        ("all", 50.0, 40.0),
        "all",
        "at the same d for other wavelengths",
    ),
    Curve(
        "wavelength",
        "Wrong wavelength",
        "error of λ / %",
        (0.0, 0.1),
        0.0,
        "Kα1 and Kα2, or the one wavelength, given longer by this",
        doubtful=True,
    ),
    Curve(
        "one",
        "One wavelength for a doublet",
        "given",
        ("Kα1, Kα2", "mean Kα"),
        "Kα1, Kα2",
        "of the patterns with Kα1 and Kα2 alone",
        doubtful=True,
    ),
)


def degraded(histogram, curve: str, value: float | str, *, seed: int):
    """The histogram degraded in one respect; with the same ``seed`` a larger value contains the smaller one."""
    from alphadiffract_plugin.crystal import two_theta_at_wavelength

    draw = np.random.default_rng(seed)
    if curve == "zero":
        return cut(replace(histogram, two_theta=histogram.two_theta + value), low=0.0)
    if curve == "noise":
        return with_noise(histogram, value / 100, draw)
    if curve == "impurities":
        return replace(histogram, intensity=histogram.intensity + impurities(histogram, value, draw))
    if curve == "missing":
        lines = found(histogram).peaks.two_theta
        return cut(histogram, low=float(lines[value - 1 : value + 1].mean()))
    if curve == "end":
        last = float(two_theta_at_wavelength(value, CU_KALPHA1, histogram.wavelength))
        return cut(histogram, high=180.0 if math.isnan(last) else last)
    if curve == "wavelength":
        return replace(histogram, wavelengths=tuple(w * (1 + value / 100) for w in histogram.wavelengths))
    if curve == "one":
        first, second = histogram.wavelengths
        given = first if value == "Kα1" else (2 * first + second) / 3
        return replace(histogram, wavelengths=(given,), kalpha2_ratio=0.0)
    return histogram


def cut(histogram, low: float = 0.0, high: float = 180.0):
    """What lies between two angles in degrees."""
    keep = (histogram.two_theta > low) & (histogram.two_theta < high)
    esd = None if histogram.esd is None else histogram.esd[keep]
    return replace(histogram, two_theta=histogram.two_theta[keep], intensity=histogram.intensity[keep], esd=esd)


def with_noise(histogram, part: float, draw: np.random.Generator):
    """Normal noise, a part of the highest point, added to every point."""
    spread = part * float(histogram.intensity.max())
    noise = spread * draw.standard_normal(len(histogram.intensity))
    esd = None if histogram.esd is None else np.hypot(histogram.esd, spread)
    return replace(histogram, intensity=histogram.intensity + noise, esd=esd)


def impurities(histogram, number: int, draw: np.random.Generator) -> np.ndarray:
    """Intensity of so many foreign lines in counts, shape (N,)."""
    from alphadiffract_plugin.peaks.profile import profiles

    lines = found(histogram)
    taken = lines.peaks.two_theta
    low, high = taken[0], taken[:20][-1]
    for place in draw.uniform(low, high, 10_000):
        if len(taken) < len(lines.peaks) + number and np.abs(place - taken).min() > APART * lines.shape.fwhm(place):
            taken = np.append(taken, place)
    drawn = profiles(histogram.two_theta, taken[len(lines.peaks) :], lines.shape).value.toarray()
    heights = np.exp(draw.uniform(math.log(LOWEST), math.log(HIGHEST), drawn.shape[1]))
    return drawn / drawn.max(0) @ heights * float((histogram.intensity - lines.background).max())


def found(histogram):
    """The lines of the untouched histogram."""
    from alphadiffract_plugin.peaks.find_peaks import fit_peaks
    from alphadiffract_plugin.settings import PeakSettings

    return fit_peaks(histogram, PeakSettings())
