"""Check a pattern, whichever reader it comes from: an ascending axis of two_theta, plausible intensities, usable esds.

Three things are corrected without a message: a descending axis is reversed, a row given twice is dropped, and points at
or below zero two_theta are left out. Anything that could hide a mistake is refused, with its line.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.arrays import Bools, Floats
from alphadiffract_plugin.errors import InputError, RadiationError, WavelengthError
from alphadiffract_plugin.readers.reading import Reading

POINTS_MIN = 100
"""Fewest points of a pattern; a list of peaks is shorter."""

TIME_OF_FLIGHT_MIN = 500.0
"""An axis that reaches this is not in degrees or radians. It is a time of flight, or in hundredths of a degree."""

D_MIN_LARGEST = 4.0
"""A pattern that ends above this d in Å has too few lines for any cell. Its axis is more likely d or Q."""

D_MIN_SMALLEST = 0.15
"""No powder measurement reaches below this d in Å (Q = 42 1/Å). The wavelength is more likely in nm."""


def checked_reading(reading: Reading) -> Reading:
    """The same pattern with an ascending axis in (0, 180), finite intensities and esds above 0.

    Raises
    ------
    InputError, RadiationError : it is not such a pattern; names the file and the line.
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
            f"{len(reading.two_theta)} points are too few for a measured pattern (at least {POINTS_MIN})",
            fix="give the whole measured pattern, not a list of peaks",
            where=reading.where,
        )
    _refuse_intensity(reading)
    return dataclasses.replace(reading, esd=_usable_esd(reading))


def check_resolution(two_theta: Floats, wavelength: float) -> None:
    """Refuse an axis and a wavelength in Å that do not go together: the smallest d must lie within 0.15 to 4 Å.

    Raises
    ------
    InputError : d stays above 4 Å: the axis is rather d or Q.
    WavelengthError : d goes below 0.15 Å: the wavelength is rather in nm.
    """
    d_min = float(crystal.d_from_two_theta(two_theta[-1], wavelength))
    if d_min > D_MIN_LARGEST:
        raise InputError(
            f"the axis ends at {two_theta[-1]:.2f}, as two_theta at d = {d_min:.2f} Å: too few lines for a cell",
            fix="give two_theta in degrees; check whether this axis is d or Q, and whether the wavelength is too long",
        )
    if d_min < D_MIN_SMALLEST:
        raise WavelengthError(
            f"with {wavelength:g} Å this pattern would reach d = {d_min:.3f} Å, which no powder measurement does",
            fix=f"give the wavelength in Å; {wavelength:g} nm would be {wavelength * 10:g} Å",
        )


def _selected(reading: Reading, index: slice | Bools) -> Reading:
    return dataclasses.replace(
        reading,
        two_theta=np.asarray(reading.two_theta)[index],
        intensity=np.asarray(reading.intensity)[index],
        esd=None if reading.esd is None else np.asarray(reading.esd)[index],
        lines=None if reading.lines is None else np.asarray(reading.lines)[index],
    )


def _refused(reading: Reading, index: int, what: str, fix: str) -> InputError:
    """The error for the point ``index``, with its line if it has one."""
    line = None if reading.lines is None else int(reading.lines[index])
    return InputError(what, fix=fix, where=reading.where, line=line)


def _refuse_not_finite(reading: Reading, values: Floats, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        what = f"{name} is {values[bad[0]]} at point {bad[0] + 1}"
        raise _refused(reading, int(bad[0]), what, "delete the point or give its value")


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
    rises = np.diff(intensity)
    if len(rises) > 1 and (np.all(rises > 0) or np.all(rises < 0)):
        raise InputError(
            "the columns look swapped: the second ascends, the first does not",
            fix="put two_theta first and intensity second",
            where=reading.where,
        )
    index = int(bad[0]) + 1
    if steps[bad[0]] == 0:
        what = f"two_theta = {two_theta[index]:g} is given twice with different intensities"
        raise _refused(reading, index, what, "average the two rows, or write more decimals of two_theta")
    what = f"two_theta goes back from {two_theta[index - 1]:g} to {two_theta[index]:g}"
    raise _refused(
        reading, index, what, "sort the rows; if these are several scans, give each scan as a file of its own"
    )


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
        raise _refused(reading, index, what, "give two_theta in degrees; check whether this axis is another quantity")
    if np.mean(two_theta <= 0) > 0.1:
        what = f"two_theta = {two_theta[0]:g} is not above 0 degrees"
        raise _refused(
            reading, 0, what, "leave out the points at or below zero; check whether this axis is another quantity"
        )


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
            reading, index, what, "give counts; after subtraction of a background the lines must be positive"
        )


def _usable_esd(reading: Reading) -> Floats | None:
    """The esds, all above 0; None if most are not.

    An esd that is zero, negative or not a number means a point without weight, as in GSAS-II, and becomes the largest
    one of the file. Where the other esds are √counts, a point without counts gets the esd 1.
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
