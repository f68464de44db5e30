"""Ranges of one measurement that were scanned one after another, put together to one pattern.

Ranges that meet or overlap at their ends are merged. Scans over the same angles are not: they may be of different
samples, temperatures or times.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.errors import InputError

OVERLAP_MAX = 0.5
"""Largest share of the shorter of two ranges in which they may overlap."""
POINTS_MIN = 50
"""Fewest points of a range in a table of text; a shorter one is a mistake in the rows."""
STEP_MAX = 3.0
"""Longest step within a range, in usual steps of it."""
SAME_ANGLE = 0.05
"""Points that are nearer than this share of the step stand at the same angle."""
SCALE_MIN = 0.1
"""Ranges without counting times are scaled to each other where their overlap differs by more than this share."""


@dataclass(frozen=True)
class Range:
    """One range of a scan."""

    two_theta: Floats
    """Diffraction angle in degrees, ascending, shape (N,)."""
    intensity: Floats
    """Counts, or anything linear in counts, shape (N,)."""
    esd: Floats | None = None
    """Standard uncertainty of ``intensity``, shape (N,); None where the file has none."""
    seconds: float = 0.0
    """Counting time per point, if ``intensity`` is in counts; 0 where the file does not say."""


def can_be_merged(ranges: Sequence[Range]) -> bool:
    """Whether each range continues the one before it, and overlaps at most ``OVERLAP_MAX`` of the shorter one."""
    ends = sorted((float(one.two_theta[0]), float(one.two_theta[-1])) for one in ranges if len(one.two_theta))
    if len(ends) < len(ranges):
        return False
    return all(
        before[1] - after[0] <= OVERLAP_MAX * min(before[1] - before[0], after[1] - after[0])
        for before, after in itertools.pairwise(ends)
    )


def merged(ranges: Sequence[Range], name: str, path: Path) -> Range:
    """One range made of all.

    Ranges of different counting times are brought to the longest; without times, a range is scaled where it differs in
    its overlap from the one before by more than ``SCALE_MIN``. In an overlap, points at the same angle are averaged by
    their counting times; of other points the first range keeps those below the middle of the overlap, and the second
    those above.

    Raises
    ------
    InputError : the ranges cover the same angles.
    """
    if not can_be_merged(ranges):
        raise InputError(
            f"this {name} file holds {len(ranges)} scans over the same angles",
            fix="export each scan to a file of its own as xy, with the instrument's software or PowDLL",
            where=path,
        )
    ordered = sorted(ranges, key=lambda one: float(one.two_theta[0]))
    if all(one.seconds > 0 for one in ordered):
        longest = max(one.seconds for one in ordered)
        ordered = [_scaled(one, longest / one.seconds) for one in ordered]
    result = ordered[0]
    for following in ordered[1:]:
        result = _joined(result, following)
    return result


def ranges_of_table(two_theta: Floats, intensity: Floats, esd: Floats | None) -> list[Range] | None:
    """The ranges of a table whose two_theta goes back where a range begins; None if it has but one, or is in disorder.

    Each range must have ``POINTS_MIN`` points, and no step in it may be longer than ``STEP_MAX`` of its usual ones: a
    single wrong row goes back too.
    """
    cuts = (np.flatnonzero(np.diff(two_theta) < 0) + 1).tolist()
    if not cuts or len(cuts) > len(two_theta) / POINTS_MIN or not np.all(np.isfinite(intensity + two_theta)):
        return None
    parts = itertools.pairwise([0, *cuts, len(two_theta)])
    ranges = [Range(two_theta[a:b], intensity[a:b], None if esd is None else esd[a:b]) for a, b in parts]
    even = all(
        len(one.two_theta) >= POINTS_MIN
        and np.max(np.diff(one.two_theta)) <= STEP_MAX * np.median(np.diff(one.two_theta))
        for one in ranges
    )
    return ranges if even and can_be_merged(ranges) else None


def _scaled(one: Range, factor: float) -> Range:
    """The range times a factor, with the esds that its counts have."""
    if factor == 1:
        return one
    esd = _esd(one)
    return Range(one.two_theta, one.intensity * factor, None if esd is None else esd * factor, one.seconds)


def _joined(low: Range, high: Range) -> Range:
    """Two ranges that meet or overlap, as one."""
    first, last = float(high.two_theta[0]), float(low.two_theta[-1])
    step = float(np.median(np.diff(low.two_theta))) if len(low.two_theta) > 1 else 0.0
    inside = (high.two_theta >= first) & (high.two_theta <= last)
    if not (low.seconds and high.seconds) and np.count_nonzero(inside) > 1:
        here = np.interp(high.two_theta[inside], low.two_theta, low.intensity).sum()
        there = high.intensity[inside].sum()
        if here > 0 and there > 0 and abs(there / here - 1) > SCALE_MIN:
            high = _scaled(high, here / there)
    partner = np.abs(low.two_theta[:, None] - high.two_theta[None, inside])
    pairs = np.argwhere(partner <= SAME_ANGLE * step + 1e-9)
    if len(pairs) and len(pairs) >= np.count_nonzero(inside) - 1:
        low, high = _averaged(low, high, pairs[:, 0], pairs[:, 1])
    else:
        middle = (first + last) / 2 if first <= last else last
        low, high = _part(low, low.two_theta <= middle), _part(high, high.two_theta > middle)
    esds = [esd for one in (low, high) if (esd := _esd(one)) is not None]
    esd = np.concatenate(esds) if len(esds) == 2 else None
    two_theta = np.concatenate([low.two_theta, high.two_theta])
    order = np.argsort(two_theta, kind="stable")
    intensity = np.concatenate([low.intensity, high.intensity])
    return Range(
        two_theta[order], intensity[order], None if esd is None else esd[order], max(low.seconds, high.seconds)
    )


def _averaged(low: Range, high: Range, mine: Ints, others: Ints) -> tuple[Range, Range]:
    """``low`` with the mean of both at the points that they share, and ``high`` without them."""
    share = low.seconds / (low.seconds + high.seconds) if low.seconds and high.seconds else 0.5
    intensity = low.intensity.copy()
    intensity[mine] = share * intensity[mine] + (1 - share) * high.intensity[others]
    esd, other_esd = _esd(low), _esd(high)
    if esd is not None and other_esd is not None:
        esd = esd.copy()
        esd[mine] = np.hypot(share * esd[mine], (1 - share) * other_esd[others])
    rest = np.ones(len(high.two_theta), dtype=bool)
    rest[others] = False
    return Range(low.two_theta, intensity, esd, low.seconds), _part(high, rest)


def _part(one: Range, keep: Bools) -> Range:
    esd = None if one.esd is None else one.esd[keep]
    return Range(one.two_theta[keep], one.intensity[keep], esd, one.seconds)


def _esd(one: Range) -> Floats | None:
    """The esds of a range: those of the file, else √counts where the counting time shows that it has counts."""
    if one.esd is None and one.seconds > 0:
        return np.asarray(np.sqrt(np.maximum(one.intensity, 1.0)))
    return one.esd
