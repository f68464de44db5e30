"""Go on from a phase without atoms, fitted by Le Bail, to a Rietveld refinement in the user's project.

As :func:`.project.refine`, it refines in a scratch project, and the user's project gets the outcome as a whole, in
memory, or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.gsasii import transactions
from alphadiffract_plugin.gsasii.installation import quiet, refine_function, scriptable, translated_errors
from alphadiffract_plugin.gsasii.outcome import fit_entry, report_from_fit
from alphadiffract_plugin.gsasii.structures import atoms_for_phase
from alphadiffract_plugin.output import scratch_folder
from alphadiffract_plugin.recipes.recipe_records import Atom
from alphadiffract_plugin.recipes.rietveld_recipe import fit_by_rietveld, usual_profile
from alphadiffract_plugin.records import SeedReport

RANDOM_SEED = 20260101
"""Default seed of the random numbers, the same as in ``Settings``."""


def to_rietveld(
    project: Any,
    histogram: Any,
    phase: Any,
    atoms: str | Path | Sequence[Atom],
    *,
    cycles: int = 3,
    profile: str | None = None,
    random_seed: int = RANDOM_SEED,
) -> SeedReport:
    """Add atoms to a phase that was fitted by Le Bail, and refine them against one histogram, in a scratch project.

    Le Bail ends, and the scale is refined alone first; then background, zero or displacement, cell, coordinates (those
    that symmetry leaves free), U and widths are freed in turn, and a step that makes the fit worse is undone. Atoms,
    cell, scale and all the rest are replaced in the project, with their refinement flags, so that ``project.refine()``
    continues from there. Nothing is replaced if the refinement did not converge: if it failed, Rwp did not settle below
    that of the scale alone, or is more than twice that of free intensities, which atoms that are right come near to.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the phase must be linked to the histogram, and be in use on it alone.
    atoms : a CIF in any setting of the phase's space group, with a cell that agrees within 1 %; or atoms in the setting
        of the phase. They replace those that the phase has.
    cycles : least-squares cycles per step.
    profile : ``sample`` refines size and microstrain, ``instrument`` U, V, W, X and Y; None what is refined already.
    random_seed : the same seed gives the same refinement.

    Returns
    -------
    SeedReport. ``steps`` and ``notes`` say what happened, also where GSAS-II failed in a step.

    Raises
    ------
    InputError : the CIF cannot be read, or it is of another crystal; the message says what differs.
    GSASIIError : another phase or histogram is refined together with these, GSAS-II is not there, or it fails outside
        of a step; the project is as it was.
    """
    scriptable()
    _check_alone(project, histogram, phase)
    placed = atoms_for_phase(atoms, phase)
    failing = translated_errors(
        "GSAS-II could not refine the phase", "check whether the phase is linked to the histogram"
    )
    with failing, quiet(), scratch_folder() as folder:
        scratch = scriptable().G2Project(newgpx=str(folder / "rietveld.gpx"))
        fitted = transactions.scratch_copy(scratch, histogram, phase)
        fitted_phase = scratch.phase(phase.name)
        fit = fit_by_rietveld(
            scratch,
            fitted,
            fitted_phase,
            refine_function(),
            placed,
            cycles=cycles,
            random_seed=random_seed,
            profile=profile or usual_profile(histogram, phase),
        )
        if fit.converged:
            with transactions.whole_or_not_at_all(project):
                transactions.take_over(fitted, fitted_phase, histogram, phase)
                _take_over_atoms(scratch, fitted_phase, project, phase)
                _take_over_covariance(scratch, project, histogram, phase)
                project.data["Notebook"]["data"].append(fit_entry(phase.name, fit, "Rietveld refinement"))
    return report_from_fit(fit, target=str(project.filename), phases=(phase.name,))


def _check_alone(project: Any, histogram: Any, phase: Any) -> None:
    """Refuse a phase that is not linked to the histogram, or where another phase or histogram is refined with it.

    Raises
    ------
    GSASIIError : it is so; it names what is refined together.
    """
    links = phase.data["Histograms"]
    if histogram.name not in links:
        raise GSASIIError(
            f"phase {phase.name} is not linked to {histogram.name}", fix="link them in the phase's Data tab first"
        )
    if shared := [name for name, link in links.items() if name != histogram.name and link.get("Use")]:
        raise GSASIIError(
            f"phase {phase.name} is refined against {', '.join(shared)} as well",
            fix="refine it in GSAS-II with all of its histograms, or take it out of use on the others",
        )
    for other in project.phases():
        link = other.data["Histograms"].get(histogram.name, {})
        if other.name != phase.name and link.get("Use") and (other.data["Atoms"] or link.get("LeBail")):
            raise GSASIIError(
                f"phase {other.name} is in use on {histogram.name} as well, and this refines one phase alone",
                fix=f"take {other.name} out of use on this histogram, or refine both in GSAS-II",
            )


def _take_over_atoms(scratch: Any, fitted_phase: Any, project: Any, phase: Any) -> None:
    """Copy atoms, what GSAS-II derives from them, and the constraint that holds a free origin, if there is one."""
    gone = {row[-1] for row in phase.data["Atoms"]}
    phase.data["Atoms"] = fitted_phase.data["Atoms"]
    phase.data["General"].update(fitted_phase.data["General"])
    constraints = project.data["Constraints"]["data"]
    before = constraints.get("Phase", [])
    kept = [one for one in before if not (one[-1] == "h" and one[0][1].atom in gone)]
    held = copy.deepcopy(scratch.data["Constraints"]["data"].get("Phase", []))
    if held or len(kept) < len(before):
        constraints["Phase"] = [*kept, *held]


def _take_over_covariance(scratch: Any, project: Any, histogram: Any, phase: Any) -> None:
    """Copy the covariance, from which GSAS-II computes esds, if the project refines nothing but this phase.

    Its names of parameters hold the numbers of phase and histogram, which must be those of the scratch project.
    """
    alone = len(project.histograms()) == 1 and not any(
        link.get("Use")
        for other in project.phases()
        if other.name != phase.name
        for link in other.data["Histograms"].values()
    )
    if alone and phase.id == 0 and histogram.id == 0:
        project.data["Covariance"]["data"] = scratch.data["Covariance"]["data"]
