"""Check a pattern, whoever read it: an ascending axis of two_theta, intensities that are a pattern, usable esds.

What is corrected without a message: a descending axis is reversed, a row given twice is dropped, points at or below
zero two_theta are left out. What could hide a mistake is refused, with the line.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from alphadiffract_plugin.errors import AlphaDiffractError, InputError, RadiationError, WavelengthError
from alphadiffract_plugin.readers.reading import Reading

POINTS_MIN = 100
"""Fewest points of a pattern; a list of peaks is shorter."""

TIME_OF_FLIGHT_MIN = 500.0
"""An axis that reaches this is no angle in any unit of angle in use but hundredths of a degree."""

D_MIN_LARGEST = 4.0
"""A pattern that ends above this d in Å holds too few lines for any cell; its axis is rather d or Q than two_theta."""

D_MIN_SMALLEST = 0.15
"""No pattern of one wavelength reaches below this d in Å; its wavelength is rather in nm."""


def checked_reading(reading: Reading) -> Reading:
    """The same pattern with an ascending axis in (0, 180), finite intensities and esds above 0.

    Raises
    ------
    InputError, RadiationError : no such pattern; names the file and the line.
    """
    two_theta, intensity = np.asarray(reading.two_theta, dtype=float), np.asarray(reading.intensity, dtype=float)
    shapes = [two_theta.shape, intensity.shape] + ([] if reading.esd is None else [np.shape(reading.esd)])
    if two_theta.ndim != 1 or len(set(shapes)) > 1:
        raise InputError(
            f"two_theta, intensity and esd have shapes {', '.join(map(str, shapes))}",
            fix="give one-dimensional arrays of one length",
            where=reading.where,
        )
    _refuse_not_finite(reading, two_theta, "two_theta")
    _refuse_not_finite(reading, intensity, "intensity")
    if len(two_theta) and two_theta[0] > two_theta[-1]:
        reading = _selected(reading, slice(None, None, -1))
    reading = _without_repeats(reading)
    _refuse_disorder(reading)
    _refuse_range(reading)
    reading = _selected(reading, np.asarray(reading.two_theta) > 0)
    if len(reading.two_theta) < POINTS_MIN:
        raise InputError(
            f"{len(reading.two_theta)} points are no measured pattern (at least {POINTS_MIN})",
            fix="give the whole measured pattern, not a list of peaks",
            where=reading.where,
        )
    _refuse_intensity(reading)
    return dataclasses.replace(reading, esd=_usable_esd(reading))


def check_resolution(two_theta: np.ndarray, wavelength: float) -> None:
    """Refuse an axis and a wavelength in Å that together make no sense: the smallest d must lie in 0.15 to 4 Å.

    Raises
    ------
    InputError : d stays above 4 Å: the axis is rather d or Q.
    WavelengthError : d goes below 0.15 Å: the wavelength is rather in nm.
    """
    d_min = wavelength / (2 * math.sin(math.radians(two_theta[-1] / 2)))
    if d_min > D_MIN_LARGEST:
        raise InputError(
            f"the axis ends at {two_theta[-1]:.2f}, as two_theta down to d = {d_min:.2f} Å: that tells no cell",
            fix="give two_theta in degrees; is this axis d or Q, or the wavelength too long?",
        )
    if d_min < D_MIN_SMALLEST:
        raise WavelengthError(
            f"with {wavelength:g} Å this pattern would reach d = {d_min:.3f} Å, which no such measurement does",
            fix=f"give the wavelength in Å; {wavelength:g} nm would be {wavelength * 10:g} Å",
        )


def _selected(reading: Reading, index: slice | np.ndarray) -> Reading:
    return dataclasses.replace(
        reading,
        two_theta=np.asarray(reading.two_theta)[index],
        intensity=np.asarray(reading.intensity)[index],
        esd=None if reading.esd is None else np.asarray(reading.esd)[index],
        lines=None if reading.lines is None else np.asarray(reading.lines)[index],
    )


def _refused(
    reading: Reading, index: int, what: str, fix: str, kind: type[AlphaDiffractError] = InputError
) -> AlphaDiffractError:
    """The error for the point ``index``, with its line if it has one."""
    line = None if reading.lines is None else int(reading.lines[index])
    return kind(what, fix=fix, where=reading.where, line=line)


def _refuse_not_finite(reading: Reading, values: np.ndarray, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        what = f"{name} is {values[bad[0]]} at point {bad[0] + 1}"
        raise _refused(reading, bad[0], what, "delete the point or give its value")


def _without_repeats(reading: Reading) -> Reading:
    """Drop a row that repeats the row before it in every column."""
    columns = [a for a in (reading.two_theta, reading.intensity, reading.esd) if a is not None]
    table = np.column_stack(columns)
    keep = np.ones(len(table), dtype=bool)
    keep[1:] = np.any(table[1:] != table[:-1], axis=1)
    return _selected(reading, keep)


def _refuse_disorder(reading: Reading) -> None:
    two_theta, intensity = np.asarray(reading.two_theta), np.asarray(reading.intensity)
    steps = np.diff(two_theta)
    bad = np.flatnonzero(steps <= 0)
    if not len(bad):
        return
    ordered = np.diff(intensity)
    if len(ordered) > 1 and (np.all(ordered > 0) or np.all(ordered < 0)):
        raise InputError(
            "the columns look swapped: the second ascends, the first does not",
            fix="put two_theta first and intensity second",
            where=reading.where,
        )
    index = bad[0] + 1
    if steps[bad[0]] == 0:
        what = f"two_theta = {two_theta[index]:g} is given twice with different intensities"
        raise _refused(reading, index, what, "average the two rows, or write more decimals of two_theta")
    what = f"two_theta goes back from {two_theta[index - 1]:g} to {two_theta[index]:g}"
    raise _refused(reading, index, what, "sort the rows; if these are several scans, give one scan a file")


def _refuse_range(reading: Reading) -> None:
    two_theta = np.asarray(reading.two_theta)
    if not len(two_theta):
        return
    if two_theta[-1] >= TIME_OF_FLIGHT_MIN:
        raise RadiationError(
            f"the axis goes to {two_theta[-1]:g}: this is a time of flight, not two_theta",
            fix="give a pattern of one wavelength over two_theta in degrees (divide hundredths of a degree by 100)",
            where=reading.where,
        )
    if two_theta[-1] >= 180:
        index = int(np.argmax(two_theta >= 180))
        what = f"two_theta = {two_theta[index]:g} is not below 180 degrees"
        raise _refused(reading, index, what, "give two_theta in degrees; is this axis another quantity?")
    if np.mean(two_theta <= 0) > 0.1:
        what = f"two_theta = {two_theta[0]:g} is not above 0 degrees"
        raise _refused(reading, 0, what, "leave out the points at or below zero; is this axis another quantity?")


def _refuse_intensity(reading: Reading) -> None:
    intensity = np.asarray(reading.intensity)
    low, high = float(np.min(intensity)), float(np.max(intensity))
    if low == high:
        raise InputError(
            f"every intensity is {low:g}",
            fix="give the measured intensities in the second column",
            where=reading.where,
        )
    if high <= 0 or -low > high or np.sum(intensity) <= 0:
        index = int(np.argmin(intensity))
        what = f"the intensities are mostly negative (down to {low:g}, up to {high:g})"
        raise _refused(
            reading, index, what, "give counts; a background that was subtracted must leave the lines positive"
        )


def _usable_esd(reading: Reading) -> np.ndarray | None:
    """The esds, all above 0; None if most are not.

    An esd that is zero, negative or not a number means a point without weight (GSAS-II reads it so) and becomes the
    largest of the file. Where the others are √counts, no counts get the esd 1.
    """
    if reading.esd is None:
        return None
    esd, intensity = np.array(reading.esd, dtype=float), np.asarray(reading.intensity)
    good = np.isfinite(esd) & (esd > 0)
    if np.mean(good) <= 0.5:
        return None
    counts = good & (intensity > 0)
    poisson = np.any(counts) and np.allclose(esd[counts], np.sqrt(intensity[counts]), rtol=0.01)
    esd[~good] = np.max(esd[good])
    if poisson:
        esd[~good & (intensity <= 0)] = 1.0
    return esd
