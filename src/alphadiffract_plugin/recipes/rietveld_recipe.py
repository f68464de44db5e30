"""Go on from a Le Bail fit to a Rietveld refinement, in an order that converges, and keep only steps that help.

After a Le Bail fit the scale of the histogram is far from the truth, since the free intensities took its part, and all
flags are on. So all flags are cleared and the scale alone comes first; then the background, the shift of the lines,
the cell, the atoms and the widths are freed in turn.

This file needs numpy, the other recipes and the objects of an open GSAS-II project; a bundle carries a copy of it
beside ``make_rietveld.py``. Method: Rietveld, J. Appl. Cryst. 2 (1969) 65; order of the steps: McCusker, Von Dreele,
Cox, Louër & Scardi, J. Appl. Cryst. 32 (1999) 36; program: Toby & Von Dreele, J. Appl. Cryst. 46 (2013) 544.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from alphadiffract_plugin.recipes.lebail_recipe import cell_and_esd, seeded
from alphadiffract_plugin.recipes.lebail_steps import FitFailed
from alphadiffract_plugin.recipes.recipe_records import Atom, RietveldResult
from alphadiffract_plugin.recipes.rietveld_steps import RietveldFit

ROUNDS = 12
"""Everything is refined together at most this number of times."""

SETTLED = 0.002
"""A round that changes Rwp by less than this fraction of it, or by less than 0.01 %, is the last."""

UNEXPLAINED = 2.0
"""Atoms do not explain the intensities if Rwp is more than this factor above that of free intensities. Of six right
structures it was 0.9 to 1.3 times as high, with two elements exchanged 1.5 times (Mg and Si) to 10 times."""

PARTLY = 1.4
"""Above this factor a note says that they explain the intensities only in part."""


def fit_by_rietveld(
    project: Any,
    histogram: Any,
    phase: Any,
    refine: Callable[..., Any],
    atoms: Sequence[Atom],
    *,
    cycles: int,
    random_seed: int,
    profile: str | None = None,
) -> RietveldResult:
    """Add atoms to a phase that was fitted by Le Bail, and refine them.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the only phase in use. The project's file is overwritten, and .lst and
        .bak files appear beside it.
    refine : ``GSASIIstrMain.Refine``.
    atoms : in the setting of the phase, with unique labels; they replace those that the phase has.
    cycles : least-squares cycles per step.
    random_seed : of the free intensities that the result is compared with at the end.
    profile : ``instrument`` refines U, V, W, X and Y; ``sample`` refines the crystallite size and the microstrain; None
        what the Le Bail fit refined.

    Returns
    -------
    The result. The project holds the best state that was reached; whether to use it is up to the caller.
    """
    with seeded(random_seed):
        fit = RietveldFit(project, histogram, phase, refine, cycles, profile or usual_profile(histogram, phase))
        fit.begin_with(atoms)
        return _whole_fit(fit)


def usual_profile(histogram: Any, phase: Any) -> str:
    """``instrument`` if the flags of the histogram's U, V, W, X or Y are on and no flag of the phase's widths is."""
    instrument = histogram.data["Instrument Parameters"][0]
    coupling = phase.data["Histograms"][histogram.name]
    by_sample = any(any(coupling[width][2]) for width in ("Size", "Mustrain"))
    return "instrument" if any(instrument[name][2] for name in "UVWXY") and not by_sample else "sample"


def _whole_fit(fit: RietveldFit) -> RietveldResult:
    """The whole recipe; see :func:`fit_by_rietveld`."""
    settled, start, free = False, math.nan, math.nan
    try:
        fit.start()
        start = fit.rwp
        free = fit.rwp_of_free_intensities()
        settled = _run_steps(fit)
        free = min(free, fit.rwp_of_free_intensities())  # wrong atoms may have driven widths and background away
    except FitFailed as reason:
        fit.notes.append(f"The Rietveld refinement stopped: {reason}.")
    result = _result(fit, settled, start, free)
    if os.path.exists(fit.best):
        os.remove(fit.best)
    return result


def _run_steps(fit: RietveldFit) -> bool:
    """Everything after the scale; whether Rwp settled."""
    fit.step("background")
    fit.step("displacement" if fit.by_displacement else "zero")
    fit.step("cell")
    for what in ("coordinates", "U"):
        if not fit.step(what):  # light atoms may be invisible beside heavy ones
            fit.step(f"{what} of the heaviest atoms")
    for what in ("strain", "size") if fit.by_sample else ("W", "U, V", "X, Y"):
        fit.step(what)
    return _rounds(fit)


def _rounds(fit: RietveldFit) -> bool:
    """Refine everything together until Rwp settles; whether it did.

    A step that was undone because Rwp rose by next to nothing found nothing better: then it is settled too.
    """
    for _ in range(ROUNDS):
        before, done = fit.rwp, len(fit.steps)
        helped = fit.step("all")
        ran = len(fit.steps) > done  # GSAS-II did not fail
        if ran and abs(before - fit.steps[-1][1]) < max(0.01, SETTLED * before):
            return True
        if not helped:
            return False
    return False


def _result(fit: RietveldFit, settled: bool, start: float, free: float) -> RietveldResult:
    """The state of the fit as a record."""
    if not math.isfinite(start):
        return RietveldResult(False, math.nan, start, free, math.nan, None, None, tuple(fit.steps), tuple(fit.notes))
    explained = fit.rwp <= UNEXPLAINED * free
    if not settled:
        fit.notes.append("Rwp of the Rietveld refinement did not settle.")
    if math.isfinite(free) and not explained:
        fit.notes.insert(
            0,
            f"The atoms do not explain the intensities: Rwp is {fit.rwp:.1f} %, and with free intensities it would be "
            f"{free:.1f} %. Check elements, coordinates and occupancies, and whether another phase is there.",
        )
    elif fit.rwp > PARTLY * free:
        fit.notes.insert(
            0,
            f"The atoms explain the intensities only in part: Rwp is {fit.rwp:.1f} %, and with free intensities it "
            f"would be {free:.1f} %. Elements, occupancies or coordinates may be wrong, or the crystallites oriented.",
        )
    fit.notes += fit.remarks()
    values = fit.project.data["Covariance"]["data"].get("Rvals") or {}
    cell, cell_esd = cell_and_esd(fit.phase)
    return RietveldResult(
        converged=settled and explained and fit.rwp < start,
        rwp=fit.rwp,
        start_rwp=start,
        free_rwp=free,
        gof=float(values.get("GOF", math.nan)),
        cell=cell,
        cell_esd=cell_esd,
        steps=tuple(fit.steps),
        notes=tuple(fit.notes),
    )
