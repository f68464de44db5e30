"""Fit one phase of an open GSAS-II project by Le Bail, in the order that converges, keeping only steps that help.

This file needs numpy, ``lebail_steps.py`` and the objects of an open GSAS-II project, nothing else: ``gsasii.py``
uses it here, and a bundle carries a copy of it beside ``make_project.py``. Method: Le Bail, Duroy & Fourquet, Mater.
Res. Bull. 23 (1988) 447; program: Toby & Von Dreele, J. Appl. Cryst. 46 (2013) 544.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from alphadiffract_plugin.lebail_steps import Fit, FitFailed

BACKGROUND_TERMS = 6
"""Chebyshev terms of the background."""

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
    ``converged``; ``rwp`` in per cent and ``gof``; ``cell`` and ``cell_esd`` in Å and degrees; ``steps``, pairs of
    what was refined and Rwp after it; ``notes``, sentences. If the fit diverged, ``cell`` is None and the project
    is as it was.
    """
    state = random.getstate()
    random.seed(random_seed)
    try:
        return _whole_fit(Fit(project, histogram, phase, refine, cycles, profile), zero_shift, peaks)
    finally:
        random.setstate(state)


def _whole_fit(fit: Fit, zero_shift: float, peaks: dict[str, Any] | None) -> dict[str, Any]:
    """The whole recipe; see :func:`fit_by_lebail`."""
    before = fit.project.filename + ".before"
    fit.project.save()
    shutil.copyfile(fit.project.filename, before)
    prepare(fit, zero_shift, peaks)
    held = settled = False
    try:
        _start(fit)
        held = hold_cell(fit)
        if held:
            fit.step("strain" if fit.by_sample else "W")
            fit.rebuilt = True
            fit.step("all", rebuild=True)
            for what in ("size",) if fit.by_sample else ("U, V", "X, Y"):
                fit.step(what)
            settled = _rounds(fit)
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


def prepare(fit: Fit, zero_shift: float, peaks: dict[str, Any] | None) -> None:
    """Clear every flag of histogram and phase, and set the starting values; see :func:`fit_by_lebail`."""
    for value in (*fit.instrument.values(), *fit.sample.values()):
        if isinstance(value, list) and value and isinstance(value[-1], bool):
            value[-1] = False  # among them the histogram's scale, which Le Bail intensities take over
    fit.phase.data["General"]["Cell"][0] = False
    for width in ("Size", "Mustrain"):
        fit.coupling[width][2] = [False] * len(fit.coupling[width][2])
    fit.coupling["Size"][1][0], fit.coupling["Mustrain"][1][0] = 10.0, 0.0  # widths of nearly nothing
    if fit.by_sample and peaks:
        _start_broadening(fit, np.array(peaks["two_theta"]), np.array(peaks["fwhm"]))
    if "Shift" in fit.sample:
        degrees = zero_shift - fit.instrument["Zero"][1]
        fit.sample["Shift"][0] = -degrees * math.pi * fit.sample["Gonio. radius"] / 0.36
    else:
        fit.instrument["Zero"][1] = zero_shift
    data = fit.histogram.data
    x, y, weight = (np.ma.filled(np.ma.asarray(column, dtype=float), 0.0) for column in data["data"][1][:3])
    low, high = data["Limits"][1]
    inside = (x >= low) & (x <= high) & (weight > 0)
    terms = start_background(x[inside], y[inside], weight[inside] ** -0.5, BACKGROUND_TERMS)
    data["Background"][0] = ["chebyschev-1", False, BACKGROUND_TERMS, *terms]
    fit.phase.set_refinements({"LeBail": True})
    fit.begin()


def _start_broadening(fit: Fit, two_theta: np.ndarray, fwhm: np.ndarray) -> None:
    """Start size and microstrain from what the measured lines are wider than the instrument."""
    theta = np.radians(two_theta / 2)
    excess = np.median(100 * (fwhm - fit.instrument_fwhm(theta)) * np.cos(theta))
    if excess <= 0:
        return
    angle = np.median(np.sin(theta))
    fit.coupling["Size"][1][0] = float(np.clip(1.8 * fit.wavelength / (math.pi * excess / 2), 0.001, 10.0))
    fit.coupling["Mustrain"][1][0] = float(excess / 2 / angle * math.pi / 0.018)


def _start(fit: Fit) -> None:
    """Make the reflections and their first intensities; end the pattern at ``REFLECTIONS`` of them."""
    fit.make_reflections()
    positions = np.sort(fit.reflections()[:, 5])
    if len(positions) > REFLECTIONS:
        fit.histogram.data["Limits"][1][1] = float(positions[REFLECTIONS])
        fit.notes.append(
            f"The fit ends at {positions[REFLECTIONS]:.2f} degrees, where {REFLECTIONS} reflections are reached; "
            "raise the upper limit in GSAS-II to fit them all."
        )
        fit.make_reflections()
    fit.intensities()
    fit.keep()


def hold_cell(fit: Fit) -> bool:
    """Refine background, cell, and zero or displacement; whether the cell could be refined.

    The background is held after its step: Le Bail intensities take up what it leaves, so that in a noisy pattern it
    would sink, step by step, while Rwp rises.
    """
    fit.step("background")
    fit.histogram.data["Background"][0][1] = False
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


def _hold_widths(fit: Fit) -> bool:
    """Refine the widths no more; False if they were held already."""
    places = [place for what in ("W", "U, V", "X, Y", "strain", "size") for place in fit.flags(what)]
    free = [(place, index) for place, index in places if place[index]]
    for place, index in free:
        place[index] = False
    fit.project.save()
    fit.keep()
    return bool(free)


def start_background(x: np.ndarray, y: np.ndarray, esd: np.ndarray, terms: int) -> list[float]:
    """Chebyshev coefficients of the lower envelope of a pattern: of the low values, without what stands above.

    The 20th percentile of pure noise lies 0.84 esds below its mean, and so much is added: Le Bail intensities sum up
    what stands above the background over degrees, so that one too low gives absent reflections intensity.
    """
    size = max(1, len(x) // 60)
    blocks = slice(0, len(x) // size * size)
    middle = x[blocks].reshape(-1, size).mean(axis=1)
    low = np.percentile(y[blocks].reshape(-1, size), 20, axis=1)
    low += 0.84 * np.percentile(esd[blocks].reshape(-1, size), 20, axis=1)
    place = 2 * (middle - x[0]) / (x[-1] - x[0]) - 1
    flat = np.ones(len(low), dtype=bool)
    for _ in range(6):
        coefficients = np.polynomial.chebyshev.chebfit(place[flat], low[flat], min(terms, flat.sum()) - 1)
        above = low - np.polynomial.chebyshev.chebval(place, coefficients)
        flat = above <= 2 * 1.4826 * np.median(np.abs(above[flat])) + 1e-9
    return [float(value) for value in coefficients] + [0.0] * (terms - len(coefficients))
