"""How a value and its standard uncertainty are written, in tables and in CIF alike."""

from __future__ import annotations

import math

LEAST_ESD = 1e-6
"""An esd of no more than this is the rounding of a value that symmetry fixes, and counts as none (Å, degrees)."""


def value_with_esd(value: float, esd: float, *, decimals: int = 4) -> str:
    """A value with its esd in units of the last digit: 8.48013(12), 8.4801(3), 90.

    The rule of the IUCr's journals: the esd has two digits if they lie between 10 and 19, and one otherwise.

    Parameters
    ----------
    value : a dash is returned if it is not finite.
    esd : in the unit of ``value``; NaN, or up to ``LEAST_ESD``, for none.
    decimals : most decimals of a value without esd; trailing zeros are dropped.
    """
    if not math.isfinite(value):
        return "-"
    if not (math.isfinite(esd) and esd > LEAST_ESD):
        return f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    places = -math.floor(math.log10(esd))
    if round(esd * 10**places, 6) < 1.95:
        places += 1
    places = max(places, 0)
    return f"{value:.{places}f}({max(round(esd * 10**places), 1)})"
