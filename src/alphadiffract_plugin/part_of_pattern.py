"""The part of a pattern that is used: points in a range, less lines and ranges that are to be ignored."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.peaks.find_peaks import fit_peaks
from alphadiffract_plugin.peaks.profile import profiles
from alphadiffract_plugin.readers.check import POINTS_MIN
from alphadiffract_plugin.readers.selection import Selection, no_line_there
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.settings import PeakSettings

_NEAR = 0.1
"""A line to be ignored lies within so many degrees of the position given, or within its FWHM if that is more."""
_ABOVE_NOISE = 0.3
"""A line is taken out wherever it is higher than this share of the noise; chosen by hand."""


def part_of_pattern(histogram: Histogram, selection: Selection, settings: PeakSettings) -> Histogram:
    """The points that are used.

    Ranges are cut out. Where a single line stood, with its Kα2 component, the background and the other lines as they
    were fitted take the place of the points: a mere subtraction would leave what the line shape does not describe.

    Parameters
    ----------
    selection : in degrees.
    settings : of the lines, which are found first if single ones are to be ignored.

    Raises
    ------
    InputError : fewer than 100 points are left, or there is no line where one is to be ignored.
    """
    keep = selection.mask(histogram.two_theta)
    where = histogram.source or histogram.name
    if keep.sum() < POINTS_MIN:
        raise InputError(
            f"{int(keep.sum())} of {len(keep)} points are left {selection}; at least {POINTS_MIN} are needed",
            fix=f"give a wider range; the pattern goes from {histogram.two_theta[0]:g} to {histogram.two_theta[-1]:g}",
            where=where,
        )
    if selection.lines:
        histogram = _without_lines(histogram, selection.lines, settings)
    return dataclasses.replace(
        histogram,
        two_theta=histogram.two_theta[keep],
        intensity=histogram.intensity[keep],
        esd=None if histogram.esd is None else histogram.esd[keep],
        source=f"{histogram.source}; {selection}",
    )


def _without_lines(histogram: Histogram, positions: Sequence[float], settings: PeakSettings) -> Histogram:
    """The pattern less the found lines nearest to these positions."""
    fit = fit_peaks(histogram, settings)
    peaks = fit.peaks
    chosen = []
    for position in positions:
        nearest = int(np.abs(peaks.two_theta - position).argmin())
        if abs(peaks.two_theta[nearest] - position) > max(peaks.fwhm[nearest], _NEAR):
            raise no_line_there(position, peaks.two_theta, "degrees", histogram.source or histogram.name)
        chosen.append(nearest)
    out = np.isin(np.arange(len(peaks)), chosen)
    line, others = (
        profiles(histogram.two_theta, peaks.two_theta[use], fit.shape, derivatives="none").value @ peaks.area[use]
        for use in (out, ~out)
    )
    noise = fit.noise if histogram.esd is None else histogram.esd
    intensity = np.where(line > _ABOVE_NOISE * noise, fit.background + others, histogram.intensity)
    return dataclasses.replace(histogram, intensity=intensity)
