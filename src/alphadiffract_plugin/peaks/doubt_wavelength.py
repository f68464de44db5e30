"""Doubt a wavelength that is close to that of an X-ray tube, or whose lines are split like those of a tube.

The lines of a phase can be indexed with any wavelength: by Bragg's law the cell scales with it, and nothing else
changes. What can be found out is that a wavelength is close to, but not equal to, that of a tube; that two wavelengths
are not Kα1 and Kα2 of one element; and that the lines come in pairs although one wavelength was given. The usual
mistake is then the mean of Kα1 and Kα2.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alphadiffract_plugin.crystal.bragg import kalpha2_two_theta
from alphadiffract_plugin.radiation import KALPHA
from alphadiffract_plugin.records import Histogram, Peaks

_TUBES = ("Cr", "Fe", "Co", "Cu", "Mo", "Ag")
"""Anodes in use. Mn, Ni and Ga are so rare that a wavelength close to theirs is more often that of a synchrotron."""
_NEAR, _EQUAL = 5e-3, 1e-4
"""A wavelength is doubted if its relative difference from that of a tube is between the second number and the first.
Published wavelengths with four decimals differ by 0.6e-4 at most."""
_SAME_PAIR = 1.5e-4
"""Largest error of the ratio of Kα2 to Kα1; for the shortest wavelength, four decimals make one of 1e-4."""
_STRONG, _PAIRS = 16.0, 10
"""Only lines of at least this significance are strong enough for their Kα2 line to be found too; the strongest of them,
at most so many, are looked at."""
_FEWEST, _SHARE = 4, 0.4
"""So many lines, and this share of those looked at, must have a Kα2 line: on 349 measured patterns no other ratio of
wavelengths gave as many."""
_HALF = (0.3, 0.75)
"""Range of the ratio of the areas of Kα2 and Kα1, which is 0.5 in theory."""


def doubts_about_wavelength(histogram: Histogram, peaks: Peaks) -> Iterator[str]:
    """Sentences for the reader; none if nothing speaks against the wavelength.

    Parameters
    ----------
    histogram : the pattern; nothing can be said if it is of neutrons, or if its wavelength is more than 0.5 % from that
        of every tube.
    peaks : its lines, found with the wavelengths of the histogram.
    """
    anode = _near_anode(histogram.wavelengths[0])
    if histogram.radiation != "xray" or anode is None:
        return
    if len(histogram.wavelengths) > 1:
        yield from _doubts_about_pair(histogram.wavelengths, anode)
        return
    yield from _doubts_about_value(histogram.wavelength, anode)
    yield from _doubts_about_one(histogram.wavelength, anode, peaks)


def _mean(anode: str) -> float:
    """Mean wavelength of a tube in Å, as used where Kα1 and Kα2 are not separated: (2 Kα1 + Kα2) / 3."""
    first, second = KALPHA[anode]
    return (2 * first + second) / 3


def _near_anode(wavelength: float) -> str | None:
    for anode in _TUBES:
        if min(abs(wavelength / known - 1) for known in (KALPHA[anode][0], _mean(anode))) < _NEAR:
            return anode
    return None


def _per_cent(off: float) -> str:
    return f"{100 * abs(off):.2f} %"


def _doubts_about_pair(wavelengths: tuple[float, ...], anode: str) -> Iterator[str]:
    first, second = KALPHA[anode]
    off = wavelengths[0] / first - 1
    if abs(off) > _EQUAL:
        yield (
            f"The wavelength {wavelengths[0]:.6g} Å differs by {_per_cent(off)} from {anode} Kα1 ({first:.5f} Å). "
            f"If the tube has a {anode} anode, every cell edge is wrong by {_per_cent(off)}."
        )
    if abs(wavelengths[1] / wavelengths[0] - second / first) > _SAME_PAIR:
        yield (
            f"The wavelengths {wavelengths[0]:.6g} and {wavelengths[1]:.6g} Å are not Kα1 and Kα2 of {anode} "
            f"({first:.5f} and {second:.5f} Å). If that is the tube, the Kα2 lines are calculated at wrong angles."
        )


def _doubts_about_value(wavelength: float, anode: str) -> Iterator[str]:
    first, second = KALPHA[anode]
    mean = _mean(anode)
    if min(abs(wavelength / known - 1) for known in (first, mean, second)) > _EQUAL:
        yield (
            f"The wavelength {wavelength:.6g} Å differs by {_per_cent(wavelength / first - 1)} from {anode} Kα1 "
            f"({first:.5f} Å) and by {_per_cent(wavelength / mean - 1)} from the mean Kα ({mean:.5f} Å). "
            "If one of them is right, every cell edge is wrong by as much."
        )


def _doubts_about_one(wavelength: float, anode: str, peaks: Peaks) -> Iterator[str]:
    first, second = KALPHA[anode]
    with_partner, asked = _partners(peaks, second / first)
    if with_partner < max(_FEWEST, _SHARE * asked):
        return
    off = wavelength / first - 1
    scaled = f" With {wavelength:.6g} Å every cell edge is {_per_cent(off)} too {'long' if off > 0 else 'short'}."
    yield (
        f"One wavelength was given, but the lines are split into Kα1 and Kα2 of {anode} ({with_partner} of {asked} "
        f"strong lines have both). Give the wavelength as {anode}Ka." + (scaled if abs(off) > _EQUAL else "")
    )


def _partners(peaks: Peaks, ratio: float) -> tuple[int, int]:
    """How many of the strongest lines have a Kα2 line, and how many were looked at.

    A line is looked at if its Kα2 line would be resolved and in the range of the lines. ``ratio`` is that of the two
    wavelengths.
    """
    partner = kalpha2_two_theta(peaks.two_theta, 1.0, ratio)
    resolved = (partner - peaks.two_theta > 0.9 * peaks.fwhm) & (partner < peaks.two_theta[-1])
    able = np.flatnonzero(resolved & (peaks.significance > _STRONG))
    asked = able[np.argsort(-peaks.area[able])][:_PAIRS]
    off = np.abs(partner[asked, None] - peaks.two_theta)
    part = peaks.area / peaks.area[asked, None]
    there = (off < np.maximum(0.15 * peaks.fwhm[asked, None], 0.01)) & (part > _HALF[0]) & (part < _HALF[1])
    return int(there.any(1).sum()), len(asked)
