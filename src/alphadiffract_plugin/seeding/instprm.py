"""Instrument parameters for GSAS-II: a complete .instprm text for a histogram, with widths from its measured lines."""

from __future__ import annotations

import math

import numpy as np

from alphadiffract_plugin.errors import UntrustedFileError
from alphadiffract_plugin.readers.instprm import is_code
from alphadiffract_plugin.records import Histogram, Peaks

WIDTHS = ("U", "V", "W", "X", "Y", "Z")
"""GSAS-II's width parameters: Gauss variances in 0.0001 degrees², Lorentz widths in 0.01 degrees."""

_LORENTZ, _GAUSS = 0.424, 0.748
"""Lorentz and Gauss width, over the width of the line, of a line that is half Lorentzian and half Gaussian (Thompson,
Cox & Hastings, J. Appl. Cryst. 20 (1987) 79)."""


def knows_widths(histogram: Histogram) -> bool:
    """Whether the histogram has an instrument profile of its own: all of U, V and W."""
    return {"U", "V", "W"} <= histogram.instrument.keys()


def instprm_from_histogram(histogram: Histogram, peaks: Peaks | None) -> str:
    """The text of an .instprm file: the parameters of the histogram's instrument, completed by usual values.

    As in GSAS-II, a Kα doublet means a Bragg-Brentano diffractometer and a single wavelength Debye-Scherrer geometry.

    Parameters
    ----------
    histogram : the parameters in its ``instrument`` take precedence.
    peaks : lines from which the widths are taken if the instrument has none; None for laboratory defaults.

    Raises
    ------
    UntrustedFileError : the instrument parameters hold code that GSAS-II would run.
    """
    doublet, neutrons = len(histogram.wavelengths) == 2, histogram.radiation == "neutron"
    values: dict[str, float | str] = {"Type": "PNC" if neutrons else "PXC", "Bank": 1.0}
    if doublet:
        values |= {"Lam1": histogram.wavelengths[0], "Lam2": histogram.wavelengths[1]}
        values |= {"I(L2)/I(L1)": histogram.kalpha2_ratio}
    else:
        values |= {"Lam": histogram.wavelength}
    values |= {"Zero": 0.0, "Polariz.": 0.0 if neutrons else 0.7 if doublet else 0.99, "Azimuth": 0.0, "SH/L": 0.002}
    values |= dict.fromkeys(WIDTHS, 0.0) if knows_widths(histogram) else widths_from_peaks(peaks)
    if doublet:
        values["Diff-type"] = "Bragg-Brentano"
    values |= {key: value for key, value in histogram.instrument.items() if key != "Type"}
    lines = [f"{key}:{value if isinstance(value, str) else repr(float(value))}" for key, value in values.items()]
    if any(map(is_code, lines)):
        raise UntrustedFileError(
            "the instrument parameters of this histogram hold CorrectionCode, which GSAS-II would run",
            fix="read what it does, then delete it",
            where=histogram.name,
        )
    return "\n".join(["#GSAS-II instrument parameter file", *lines]) + "\n"


def widths_from_peaks(peaks: Peaks | None) -> dict[str, float]:
    """GSAS-II's U, V, W, X, Y, Z for lines as wide as the measured ones, half Lorentzian and half Gaussian.

    FWHM² = u tan²θ + w is fitted to the widths with u, w ≥ 0. A second fit leaves out the widths that differ from the
    first curve by more than a factor of √2, which are overlaps. Fewer than three lines give usual laboratory values.
    """
    if peaks is None or len(peaks) < 3:
        return {"U": 2.0, "V": -2.0, "W": 5.0, "X": 1.0, "Y": 1.0, "Z": 0.0}
    from scipy.optimize import nnls

    theta = np.radians(peaks.two_theta / 2)
    design = np.stack([np.tan(theta) ** 2, np.ones(len(theta))], axis=1)
    square = (100 * peaks.fwhm) ** 2
    keep = np.ones(len(theta), dtype=bool)
    for _ in range(2):
        weight = 1 / square[keep]
        curve = design @ nnls(design[keep] * weight[:, None], square[keep] * weight)[0]
        near = np.abs(np.log(square / np.maximum(curve, 1e-9))) < math.log(2)
        keep = near if near.sum() >= 3 else keep
    u, w = nnls(design[keep] / square[keep, None], np.ones(keep.sum()))[0]
    width = np.sqrt(np.maximum(curve, 1e-9))
    design = np.stack([1 / np.cos(theta), np.tan(theta)], axis=1)
    x, y = nnls(design / width[:, None], np.full(len(theta), _LORENTZ))[0]
    variance = _GAUSS**2 / (8 * math.log(2))
    return {"U": u * variance, "V": 0.0, "W": max(w * variance, 0.01), "X": x, "Y": y, "Z": 0.0}
