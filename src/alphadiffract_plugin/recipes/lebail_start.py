"""What a Le Bail fit starts from: flags, widths of the measured lines, and a background at the level between the lines.

This file needs numpy, ``recipe_records.py``, ``lebail_background.py`` and ``lebail_steps.py``; ``lebail_recipe.py``
calls it first, and a bundle carries a copy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.lebail_background import BackgroundFunction, start_background
from alphadiffract_plugin.recipes.lebail_steps import LeBailFit, filled
from alphadiffract_plugin.recipes.recipe_records import Floats, FoundLines

BACKGROUND_TERMS = 6
"""Terms of the background where the user has chosen nothing."""

UNTOUCHED = ["chebyschev-1", 3, 1.0, 0.0, 0.0]
"""Type, number of terms and coefficients of the background in a histogram that GSAS-II has just read."""


def prepare(fit: LeBailFit, zero_shift: float, lines: FoundLines | None) -> None:
    """Clear every refinement flag of histogram and phase, and set the starting values; see ``fit_by_lebail``."""
    for value in (*fit.instrument.values(), *fit.sample.values()):
        if isinstance(value, list) and value and isinstance(value[-1], bool):
            value[-1] = False  # also that of the histogram's scale, which would be degenerate with the intensities
    fit.phase.data["General"]["Cell"][0] = False
    for width in ("Size", "Mustrain"):
        fit.coupling[width][2] = [False] * len(fit.coupling[width][2])
    fit.coupling["Size"][1][0], fit.coupling["Mustrain"][1][0] = 10.0, 0.0  # 10 µm and none: they widen next to nothing
    if fit.by_sample and lines is not None:
        _start_broadening(fit, lines)
    if fit.bragg_brentano:  # in µm; GSAS-II (GetReflPos) moves a line by -0.36 cos θ Shift / (π radius in mm) degrees
        degrees = zero_shift - fit.instrument["Zero"][1]
        fit.sample["Shift"][0] = -degrees * math.pi * fit.sample["Gonio. radius"] / 0.36
    else:
        fit.instrument["Zero"][1] = zero_shift
    fit.histogram.data["Background"][0][1] = False
    _hold_background_peaks(fit.histogram.data["Background"][1])
    set_background(fit, lines)
    fit.phase.set_refinements({"LeBail": True})
    fit.begin()


def _start_broadening(fit: LeBailFit, lines: FoundLines) -> None:
    """Start size and microstrain from the median excess of the measured widths over those of the instrument.

    Half of the excess is given to each; the conversion is that of ``LeBailFit.widths``.
    """
    theta = np.radians(lines.two_theta / 2)
    excess = np.median(100 * (lines.fwhm - fit.instrument_fwhm(theta)) * np.cos(theta))
    if excess <= 0:
        return
    sine = np.median(np.sin(theta))
    fit.coupling["Size"][1][0] = float(np.clip(1.8 * fit.wavelength / (math.pi * excess / 2), 0.001, 10.0))
    fit.coupling["Mustrain"][1][0] = float(excess / 2 / sine * math.pi / 0.018)


def _hold_background_peaks(more: dict[str, Any]) -> None:
    """Clear the refinement flags of background peaks, Debye terms and the scale of a subtracted pattern."""
    for name in ("peaksList", "debyeTerms"):
        for row in more.get(name) or ():  # value, flag, value, flag, ...
            for place in range(1, len(row), 2):
                row[place] = False
    if len(more.get("background PWDR") or ()) > 2:  # older projects have two values, and no flag
        more["background PWDR"][2] = False


def set_background(fit: LeBailFit, lines: FoundLines | None) -> None:
    """Set the background within the limits of the histogram to its starting values; its refinement flag stays.

    GSAS-II's functions span the limits. So this must be called again after a change of the limits. Type, number of
    terms, background peaks and Debye terms stay as the user has chosen them.
    """
    data = fit.histogram.data
    kind, flag, terms, *coefficients = data["Background"][0]
    if [kind, terms, *coefficients] == UNTOUCHED:
        kind, terms = "chebyschev-1", BACKGROUND_TERMS
    extra = _background_peaks(fit) if _has_more(data["Background"][1]) else None
    x, y, weight = (filled(column) for column in data["data"][1][:3])
    low, high = data["Limits"][1]
    inside = (x >= low) & (x <= high)
    function = BackgroundFunction(kind, terms, float(x[inside][0]), float(x[inside][-1]), fit.wavelength)
    inside &= weight > 0
    more = extra[inside] if extra is not None else None
    start = start_background(x[inside], y[inside], weight[inside] ** -0.5, function, lines, more)
    data["Background"][0] = [kind, flag, terms, *start]


def _has_more(more: dict[str, Any]) -> bool:
    """Whether a background has peaks, Debye terms, or another pattern that is subtracted."""
    return bool(more.get("nPeaks") or more.get("nDebye") or (more.get("background PWDR") or [""])[0])


def _background_peaks(fit: LeBailFit) -> Floats:
    """What background peaks, Debye terms and a subtracted pattern add at each point, as GSAS-II calculates it."""
    data = fit.histogram.data
    own = data["Background"][0]
    data["Background"][0] = [*own[:3], *[0.0] * own[2]]
    fit.phase.set_refinements({"LeBail": True})
    fit.advance("background peaks", cycles=0, rebuild=True)
    fit.steps.pop()
    data["Background"][0] = own
    return filled(data["data"][1][4])
