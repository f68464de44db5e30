"""Fit one phase of an open GSAS-II project by Le Bail, in the order that converges, keeping only steps that help.

This file needs numpy, its two helpers ``lebail_steps.py`` and ``lebail_start.py``, and the objects of an open
GSAS-II project, nothing else: ``gsasii.py`` uses it here, and a bundle carries copies beside ``make_project.py``.
Method: Le Bail, Duroy & Fourquet, Mater. Res. Bull. 23 (1988) 447; program: Toby & Von Dreele, J. Appl. Cryst. 46
(2013) 544.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.lebail_start import prepare, set_background
from alphadiffract_plugin.recipes.lebail_steps import Fit, FitFailed

REFLECTIONS = 300
"""The fit ends at the angle where the phase has so many reflections."""

ROUNDS = 15
"""At most so many times everything is refined together."""

SETTLED = 0.005
"""A round that changes Rwp by a smaller fraction of itself, or by less than 0.05 %, is the last."""

FAR = 1.25
"""While lines are still off their places, Rwp tells less, and a step may raise it by this factor."""

SLACK = 1.15
"""In the rounds Rwp may stand above the least so far by this factor."""

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def fit_by_lebail(
    project: Any,
    histogram: Any,
    phase: Any,
    refine: Callable[..., Any],
    *,
    zero_shift: float,
    cycles: int,
    random_seed: int,
    profile: str = "instrument",
    peaks: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit background, cell, zero or displacement, and widths, with Le Bail intensities.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the only phase in use. The project's file is overwritten, and .lst and
        .bak files appear beside it.
    refine : ``GSASIIstrMain.Refine``.
    zero_shift : of low-angle lines, in degrees; where the zero (Debye-Scherrer) or the displacement (Bragg-Brentano)
        starts.
    cycles : least-squares cycles a step.
    random_seed : GSAS-II starts Le Bail intensities at random; the same seed gives the same fit.
    profile : ``instrument`` refines U, V, W, X and Y; ``sample`` keeps a calibrated instrument and refines the
        crystallite size and the microstrain.
    peaks : measured lines (``two_theta``, ``fwhm`` in degrees), from which ``sample`` starts.

    Returns
    -------
    ``converged``; ``rwp`` in per cent, ``line_rwp`` of the points near the found lines alone, and ``gof``; ``cell`` and
    ``cell_esd`` in Å and degrees; ``steps``, pairs of what was refined and Rwp after it; ``notes``, sentences. If the
    fit diverged, ``cell`` is None and the project is as it was.
    """
    state = random.getstate()
    random.seed(random_seed)
    try:
        return _whole_fit(Fit(project, histogram, phase, refine, cycles, profile), zero_shift, peaks)
    finally:
        random.setstate(state)


def extend_fit(
    project: Any,
    histogram: Any,
    phase: Any,
    refine: Callable[..., Any],
    limits: list[float],
    *,
    random_seed: int,
    peaks: dict[str, Any] | None,
) -> str:
    """Bring a fit that ended early to the end of the pattern, cell and widths held; a sentence on what that leaves.

    The background starts anew: see :func:`set_background`.

    Parameters
    ----------
    project, histogram, phase, refine, random_seed, peaks : as of :func:`fit_by_lebail`.
    limits : of the histogram, in degrees.
    """
    state = random.getstate()
    random.seed(random_seed)
    try:
        histogram.data["Limits"][1] = list(limits)
        fit = Fit(project, histogram, phase, refine, 0, "instrument")
        set_background(fit, peaks)
        fit.make_reflections()
        fit.intensities()
    finally:
        random.setstate(state)
    return (
        f"The histogram keeps its limits: from {limits[0]:.2f} to {limits[1]:.2f} degrees, with all "
        f"{len(fit.reflections())} reflections, this cell and these widths, Rwp is {fit.steps[-1][1]:.1f} %."
    )


def _whole_fit(fit: Fit, zero_shift: float, peaks: dict[str, Any] | None) -> dict[str, Any]:
    """The whole recipe; see :func:`fit_by_lebail`."""
    before = fit.project.filename + ".before"
    fit.project.save()
    shutil.copyfile(fit.project.filename, before)
    prepare(fit, zero_shift, peaks)
    held = settled = False
    try:
        _start(fit, peaks)
        held = hold_cell(fit)
        if held:
            fit.step("strain" if fit.by_sample else "W")
            fit.rebuilt = True
            fit.step("all", rebuild=True)
            for what in ("size",) if fit.by_sample else ("U, V", "X, Y"):
                fit.step(what)
            settled = _rounds(fit)
            if settled:
                _free_background(fit)
    except FitFailed as reason:
        fit.notes.append(f"The Le Bail fit stopped: {reason}.")
    if not held:
        fit.notes.append("The Le Bail fit did not hold the cell; the project keeps the cell as it was indexed.")
        fit.go_back(before)
    elif not settled:
        fit.notes.append("The Le Bail fit did not settle; refine on in GSAS-II, and look at it.")
    for left in (before, fit.best):
        if os.path.exists(left):
            os.remove(left)
    rwp = fit.rwp if math.isfinite(fit.rwp) else fit.steps[-1][1] if fit.steps else math.nan
    report = {"converged": held and settled, "rwp": rwp, "gof": math.nan, "cell": None, "cell_esd": None}
    report["line_rwp"] = fit.line_rwp(peaks)[0] if held else rwp
    return report | (_result(fit) if held else {}) | {"steps": fit.steps, "notes": fit.notes}


def _result(fit: Fit) -> dict[str, Any]:
    """Cell, its esds and the goodness of fit, as GSAS-II has them."""
    cell, esd = fit.phase.get_cell_and_esd()
    values = fit.project.data["Covariance"]["data"].get("Rvals") or {}
    return {
        "gof": float(values.get("GOF", math.nan)),
        "cell": tuple(float(cell[name]) for name in CELL),
        "cell_esd": tuple(float(esd[name]) for name in CELL),
    }


def _start(fit: Fit, peaks: dict[str, Any] | None) -> None:
    """Make the reflections and their first intensities; end the pattern at ``REFLECTIONS`` of them."""
    fit.make_reflections()
    positions = np.sort(fit.reflections()[:, 5])
    if len(positions) > REFLECTIONS:
        fit.histogram.data["Limits"][1][1] = float(positions[REFLECTIONS])
        set_background(fit, peaks)
        fit.notes.append(
            f"The fit ends at {positions[REFLECTIONS]:.2f} degrees, where {REFLECTIONS} reflections are reached."
        )
        fit.make_reflections()
    fit.intensities()
    fit.keep()


def hold_cell(fit: Fit) -> bool:
    """Refine cell, and zero or displacement; whether the cell could be refined.

    The background stays where it started, see ``lebail_start.py``: refined with Le Bail intensities that are not
    settled, it sinks, they gather up what it leaves, and so on without end.
    """
    held = fit.step("cell", worse=FAR)
    fit.step("displacement" if "Shift" in fit.sample else "zero", worse=FAR)
    return held or fit.step("cell", worse=FAR)


def _rounds(fit: Fit) -> bool:
    """Refine everything together until Rwp settles, with the widths held if they do harm; whether it settled.

    Le Bail intensities minimise nothing: Rwp may settle a little above where a step first took it. If it does not
    settle, the state of the least Rwp stands: tails of lines and background can feed each other without end.
    """
    least, slack, kept = fit.rwp, SLACK, fit.project.filename + ".least"
    shutil.copyfile(fit.best, kept)
    settled = False
    for _ in range(ROUNDS):
        before = fit.rwp
        if not fit.step("all", worse=slack * least / before):
            if not _hold_widths(fit):
                break
            slack = SLACK**2
        elif abs(before - fit.rwp) < max(0.05, SETTLED * before):
            settled = True
            break
        elif fit.rwp < least:
            least = fit.rwp
            shutil.copyfile(fit.best, kept)
    if not settled and fit.rwp > least:
        fit.rwp = least
        fit.go_back(kept)
    os.remove(kept)
    return settled


def _free_background(fit: Fit) -> None:
    """Refine the background with all the rest, if Rwp settles lower for it; else leave all as it was before."""
    rwp, kept = fit.rwp, fit.project.filename + ".held"
    shutil.copyfile(fit.best, kept)
    if fit.step("background") and not (_rounds(fit) and fit.rwp < rwp):
        fit.notes.append(f"The background stays where it started: refined as well, it left Rwp {fit.rwp:.1f} %.")
        fit.rwp = rwp
        fit.go_back(kept)
    os.remove(kept)


def _hold_widths(fit: Fit) -> bool:
    """Refine the widths no more; False if they were held already."""
    places = [place for what in ("W", "U, V", "X, Y", "strain", "size") for place in fit.flags(what)]
    free = [(place, index) for place, index in places if place[index]]
    for place, index in free:
        place[index] = False
    fit.project.save()
    fit.keep()
    return bool(free)
