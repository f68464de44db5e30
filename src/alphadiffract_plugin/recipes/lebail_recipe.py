"""Fit one phase of an open GSAS-II project by Le Bail, in an order that converges, and keep only steps that help.

This file needs numpy, ``recipe_records.py``, ``lebail_steps.py``, ``lebail_start.py`` and the objects of an open
GSAS-II project. A bundle carries copies of all of them beside ``make_project.py``. Method: Le Bail, Duroy & Fourquet,
Mater. Res. Bull. 23 (1988) 447; program: Toby & Von Dreele, J. Appl. Cryst. 46 (2013) 544.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.lebail_start import prepare, set_background
from alphadiffract_plugin.recipes.lebail_steps import FitFailed, LeBailFit
from alphadiffract_plugin.recipes.recipe_records import CellNumbers, FoundLines, LeBailResult, cell_from_numbers

REFLECTIONS = 300
"""The fit ends at the angle where the phase has this number of reflections: its time grows with their number."""

ROUNDS = 15
"""Everything is refined together at most this number of times."""

SETTLED = 0.005
"""A round that changes Rwp by less than this fraction of it, or by less than 0.05 %, is a quiet one."""

QUIET = 2
"""After so many quiet rounds in a row Rwp has settled. One may be a pause: anglesite with neutrons up to 94 degrees
goes 6.64, 6.62, 6.34, 4.77, 3.54 %."""

FAR = 1.25
"""Rwp may rise by this factor in a step while the lines are not yet at their places: then it says little."""

SLACK = 1.15
"""In the rounds Rwp may be above the lowest one so far by this factor."""

NO_BETTER = 0.95
"""A fit whose Rwp is not below this fraction of that of the background alone explains nothing."""

OSCILLATION = 0.5
"""Rwp oscillates if it changes its direction, and returns to within this fraction of the change."""

CELL_NAMES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
"""Keys of the cell parameters in what ``G2Phase.get_cell`` returns."""


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
    lines: FoundLines | None = None,
) -> LeBailResult:
    """Refine background, cell, zero or displacement, and widths, with Le Bail intensities.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the only phase in use. The project's file is overwritten, and .lst and
        .bak files appear beside it.
    refine : ``GSASIIstrMain.Refine``.
    zero_shift : shift of low-angle lines in degrees, from which the zero (Debye-Scherrer) or the displacement
        (Bragg-Brentano) starts.
    cycles : least-squares cycles per step.
    random_seed : GSAS-II starts from random Le Bail intensities; the same seed gives the same fit.
    profile : ``instrument`` refines U, V, W, X and Y; ``sample`` keeps a calibrated instrument and refines the
        crystallite size and the microstrain.
    lines : found lines, from which ``sample`` and the background start.

    Returns
    -------
    The result. If the cell could not be refined, its ``cell`` is None and the project is as it was.
    """
    with seeded(random_seed):
        return _whole_fit(LeBailFit(project, histogram, phase, refine, cycles, profile), zero_shift, lines)


@contextlib.contextmanager
def seeded(random_seed: int) -> Iterator[None]:
    """Seed Python's random numbers, which GSAS-II uses, and restore their state afterwards."""
    state = random.getstate()
    random.seed(random_seed)
    try:
        yield
    finally:
        random.setstate(state)


def _whole_fit(fit: LeBailFit, zero_shift: float, lines: FoundLines | None) -> LeBailResult:
    """The whole recipe; see :func:`fit_by_lebail`."""
    fit.project.save()
    before = f"{fit.project.filename}.before"
    shutil.copyfile(fit.project.filename, before)
    prepare(fit, zero_shift, lines)
    cell_refined, settled = _run_stages(fit, lines)
    if cell_refined and not fit.rwp < NO_BETTER * fit.background_alone:
        fit.notes.append(
            f"The fit is no better than the background alone (Rwp {fit.rwp:.1f} and {fit.background_alone:.1f} %)."
        )
        cell_refined = False
    if not cell_refined:
        fit.notes.append("The cell could not be refined by Le Bail; the project keeps the cell as it was indexed.")
        fit.go_back(before)
    elif not settled:
        fit.notes.append("Rwp of the Le Bail fit did not settle; refine further in GSAS-II and check the fit.")
    for path in (before, fit.best):
        if os.path.exists(path):
            os.remove(path)
    return _result(fit, lines, cell_refined, settled)


def _run_stages(fit: LeBailFit, lines: FoundLines | None) -> tuple[bool, bool]:
    """Start, cell, widths, everything together, background; whether the cell could be refined, and Rwp settled."""
    cell_refined = settled = False
    try:
        _start(fit, lines)
        cell_refined = _refine_cell(fit)
        if cell_refined:
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
    return cell_refined, settled


def _result(fit: LeBailFit, lines: FoundLines | None, cell_refined: bool, settled: bool) -> LeBailResult:
    """The state of the fit as a record, with cell, esds and goodness of fit as GSAS-II has them."""
    rwp = fit.rwp if math.isfinite(fit.rwp) else fit.steps[-1][1] if fit.steps else math.nan
    line_rwp, gof = rwp, math.nan
    cell: CellNumbers | None = None
    cell_esd: CellNumbers | None = None
    if cell_refined:
        line_rwp = fit.line_rwp(lines)[0]
        gof = float((fit.project.data["Covariance"]["data"].get("Rvals") or {}).get("GOF", math.nan))
        cell, cell_esd = cell_and_esd(fit.phase)
    return LeBailResult(
        converged=cell_refined and settled,
        rwp=rwp,
        line_rwp=line_rwp,
        gof=gof,
        cell=cell,
        cell_esd=cell_esd,
        steps=tuple(fit.steps),
        notes=tuple(fit.notes),
    )


def cell_and_esd(phase: Any) -> tuple[CellNumbers, CellNumbers]:
    """Cell of a G2Phase in Å and degrees, and its standard uncertainties; these are 0 before any refinement."""
    cell, esd = phase.get_cell_and_esd()
    return cell_from_numbers(cell[name] for name in CELL_NAMES), cell_from_numbers(esd[name] for name in CELL_NAMES)


def _start(fit: LeBailFit, lines: FoundLines | None) -> None:
    """List the reflections and extract first intensities; end the pattern at ``REFLECTIONS`` reflections."""
    fit.make_reflections()
    positions = np.sort(fit.reflections()[:, 5])
    if len(positions) > REFLECTIONS:
        fit.histogram.data["Limits"][1][1] = float(positions[REFLECTIONS])
        set_background(fit, lines)
        fit.notes.append(
            f"The fit ends at {positions[REFLECTIONS]:.2f} degrees, where {REFLECTIONS} reflections are reached."
        )
        fit.make_reflections()
    fit.background_alone = fit.background_rwp()
    fit.intensities()
    fit.keep()


def _refine_cell(fit: LeBailFit) -> bool:
    """Refine the cell, and the zero or the displacement; whether the cell could be refined.

    The background stays where it started, see ``lebail_start.py``. If it were refined with Le Bail intensities that
    have not settled, it would sink, the intensities would take up what it leaves, and so on without end.
    """
    refined = fit.step("cell", worse=FAR)
    fit.step(fit.shift, worse=FAR)
    return refined or fit.step("cell", worse=FAR)


def _rounds(fit: LeBailFit) -> bool:
    """Refine everything together until Rwp settles, without the widths if they do harm; whether it settled.

    Le Bail intensities minimise nothing, so Rwp may settle a little above the lowest value that a step reached. If it
    does not settle, the state of the lowest Rwp is kept: tails of lines and background can feed each other without end.

    Rwp can also alternate between two values without end, in GSAS-II's own refinement too, where a step changes the
    parameters too far and the intensities follow. Once it does, every step that is not quiet is gone half way only. It
    is settled when whole steps from there change nothing, so that the esds are those of the state that is kept.
    """
    least, slack, kept = fit.rwp, SLACK, f"{fit.project.filename}.least"
    shutil.copyfile(fit.best, kept)
    settled = damped = False
    history, quiet = [fit.rwp], 0
    for _ in range(ROUNDS):
        before, values = fit.rwp, [place[index] for place, index in fit.refined_values()]
        if not fit.step("all", worse=slack * least / before):
            if not _fix_widths(fit):
                break
            slack, history, quiet = SLACK**2, [fit.rwp], 0
            continue
        quiet = quiet + 1 if _alike(before, fit.rwp) else 0
        settled = quiet == QUIET
        if settled:
            break
        if damped and not quiet:
            fit.half_way_back(values)
        history.append(fit.rwp)
        damped = damped or _oscillates(history)
        if fit.rwp < least:
            least = fit.rwp
            shutil.copyfile(fit.best, kept)
    if not settled and fit.rwp > least:
        fit.rwp = least
        fit.go_back(kept)
    os.remove(kept)
    return settled


def _alike(one: float, other: float) -> bool:
    """Whether two Rwp in per cent, one after the other, are settled."""
    return abs(one - other) < max(0.05, SETTLED * one)


def _oscillates(history: list[float]) -> bool:
    """Whether Rwp went up and down, or down and up, and came back to where it was."""
    if len(history) < 3:
        return False
    first, second, third = history[-3:]
    return (second - first) * (third - second) < 0 and abs(third - first) < OSCILLATION * abs(second - first)


def _free_background(fit: LeBailFit) -> None:
    """Refine the background with all the rest if Rwp settles lower with it; otherwise restore the state before."""
    rwp, kept = fit.rwp, f"{fit.project.filename}.held"
    shutil.copyfile(fit.best, kept)
    if fit.step("background") and not (_rounds(fit) and fit.rwp < rwp):
        fit.notes.append(f"The background stays where it started; when it was refined too, Rwp was {fit.rwp:.1f} %.")
        fit.rwp = rwp
        fit.go_back(kept)
    os.remove(kept)


def _fix_widths(fit: LeBailFit) -> bool:
    """Stop refining the widths; False if none was being refined."""
    places = [place for what in ("W", "U, V", "X, Y", "strain", "size") for place in fit.flags(what)]
    free = [(place, index) for place, index in places if place[index]]
    for place, index in free:
        place[index] = False
    fit.project.save()
    fit.keep()
    return bool(free)
