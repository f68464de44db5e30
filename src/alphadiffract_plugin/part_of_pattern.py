"""The part of a pattern that is used: points in a range, less lines and ranges that are to be ignored."""

from __future__ import annotations

import dataclasses

from alphadiffract_plugin.crystal.bragg import kalpha2_two_theta
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.readers.check import POINTS_MIN
from alphadiffract_plugin.readers.selection import Selection, no_line_there
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.settings import PeakSettings

_WIDTHS = 2.0
"""A line that is to be ignored is cut out to so many FWHM on either side."""


def part_of_pattern(histogram: Histogram, selection: Selection, settings: PeakSettings) -> Histogram:
    """The points that are used.

    A single line is cut out with its Kα2 component, two FWHM on either side; what else lies there goes with it.

    Parameters
    ----------
    selection : in degrees.
    settings : of the lines, which are found first if single ones are to be ignored.

    Raises
    ------
    InputError : fewer than 100 points are left, or there is no line where one is to be ignored.
    """
    excluded = list(selection.excluded)
    if selection.lines:
        peaks = find_peaks(histogram, settings)
        for position in selection.lines:
            near = int(abs(peaks.two_theta - position).argmin())
            found, width = float(peaks.two_theta[near]), float(peaks.fwhm[near])
            if abs(found - position) > max(width, 0.1):
                raise no_line_there(position, peaks.two_theta, "degrees", histogram.source or histogram.name)
            last = float(kalpha2_two_theta(found, histogram.wavelength, histogram.wavelengths[-1]))
            excluded.append((found - _WIDTHS * width, last + _WIDTHS * width))
    keep = dataclasses.replace(selection, excluded=tuple(excluded)).mask(histogram.two_theta)
    if keep.sum() < POINTS_MIN:
        raise InputError(
            f"{int(keep.sum())} of {len(keep)} points are left {selection}; at least {POINTS_MIN} are needed",
            fix=f"give a wider range; the pattern goes from {histogram.two_theta[0]:g} to {histogram.two_theta[-1]:g}",
            where=histogram.source or histogram.name,
        )
    return dataclasses.replace(
        histogram,
        two_theta=histogram.two_theta[keep],
        intensity=histogram.intensity[keep],
        esd=None if histogram.esd is None else histogram.esd[keep],
        source=f"{histogram.source}; {selection}",
    )
