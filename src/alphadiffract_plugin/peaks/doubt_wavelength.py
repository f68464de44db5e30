"""Doubt the wavelength given, by its value and by lines that are split as those of an X-ray tube.

The lines of one phase fit any wavelength: d = λ / (2 sin θ), so the cell scales with it and nothing else changes. What
can be known is that a wavelength lies beside those of a tube, that Kα1 and Kα2 belong to no one element, and that lines
come in pairs though one wavelength was given, of which the mean of Kα1 and Kα2 is the usual mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alphadiffract_plugin.radiation import KALPHA
from alphadiffract_plugin.records import Histogram, Peaks

_TUBES = ("Cr", "Fe", "Co", "Cu", "Mo", "Ag")
"""Anodes in use; those of Mn, Ni and Ga are so rare that a wavelength near theirs is rather of a synchrotron."""
_NEAR, _EQUAL = 5e-3, 1e-4
"""Relative: a wavelength nearer than the first and farther than the second is beside a line, not equal to it. Tables
differ by 0.6e-4 at most, with four decimals."""
_SAME_PAIR = 1.5e-4
"""The ratio of Kα2 to Kα1 is that of the element within this; four decimals leave 1e-4 to the shortest."""
_STRONG, _PAIRS = 16.0, 10
"""Lines of at least this significance may have a partner that is found too; so many of the strongest are asked."""
_FEWEST, _SHARE = 4, 0.4
"""So many lines, and this share of those asked, must have a partner: on 349 measured patterns no other ratio of
wavelengths gave as many."""
_HALF = (0.3, 0.75)
"""Range of a partner's area over its line's; of Kα2 it is 0.5."""


def doubts_about_wavelength(histogram: Histogram, peaks: Peaks) -> Iterator[str]:
    """Sentences for the reader, none where nothing speaks against the wavelength.

    Parameters
    ----------
    histogram : the pattern; of neutrons and of wavelengths beyond 0.5 % of every tube's nothing can be said.
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
    """Wavelength in Å that single-wavelength software gives a tube: (2 Kα1 + Kα2) / 3."""
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
            f"The wavelength {wavelengths[0]:.6g} Å is {_per_cent(off)} from {anode} Kα1 ({first:.5f} Å): "
            f"if that was meant, every cell edge is {_per_cent(off)} off."
        )
    if abs(wavelengths[1] / wavelengths[0] - second / first) > _SAME_PAIR:
        yield (
            f"The wavelengths {wavelengths[0]:.6g} and {wavelengths[1]:.6g} Å are not Kα1 and Kα2 of {anode} "
            f"({first:.5f} and {second:.5f} Å): the Kα2 lines are sought in the wrong places."
        )


def _doubts_about_value(wavelength: float, anode: str) -> Iterator[str]:
    first, second = KALPHA[anode]
    mean = _mean(anode)
    if min(abs(wavelength / known - 1) for known in (first, mean, second)) > _EQUAL:
        yield (
            f"The wavelength {wavelength:.6g} Å is {_per_cent(wavelength / first - 1)} from {anode} Kα1 ({first:.5f} Å)"
            f" and {_per_cent(wavelength / mean - 1)} from the mean Kα ({mean:.5f} Å): if one of them was meant, "
            "every cell edge is as much off."
        )


def _doubts_about_one(wavelength: float, anode: str, peaks: Peaks) -> Iterator[str]:
    first, second = KALPHA[anode]
    with_partner, asked = _partners(peaks, second / first)
    if with_partner < max(_FEWEST, _SHARE * asked):
        return
    off = wavelength / first - 1
    scaled = f" With {wavelength:.6g} Å every cell edge is {_per_cent(off)} too {'long' if off > 0 else 'short'}."
    yield (
        f"One wavelength was given, but the lines are split as by Kα1 and Kα2 of {anode} ({with_partner} of {asked} "
        f"strong lines have both): give {anode}Ka." + (scaled if abs(off) > _EQUAL else "")
    )


def _partners(peaks: Peaks, ratio: float) -> tuple[int, int]:
    """How many of the strongest lines have a weaker one where a wavelength longer by ``ratio`` puts it, of how many.

    Asked are lines whose partner would lie in the range of the lines, and resolved.
    """
    sine = np.sin(np.radians(peaks.two_theta / 2)) * ratio
    partner = 2 * np.degrees(np.arcsin(np.minimum(sine, 1)))
    resolved = (partner - peaks.two_theta > 0.9 * peaks.fwhm) & (partner < peaks.two_theta[-1])
    able = np.flatnonzero(resolved & (sine < 1) & (peaks.significance > _STRONG))
    asked = able[np.argsort(-peaks.area[able])][:_PAIRS]
    off = np.abs(partner[asked, None] - peaks.two_theta)
    part = peaks.area / peaks.area[asked, None]
    there = (off < np.maximum(0.15 * peaks.fwhm[asked, None], 0.01)) & (part > _HALF[0]) & (part < _HALF[1])
    return int(there.any(1).sum()), len(asked)
