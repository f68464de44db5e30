"""What a fit in GSAS-II means: set against chance, in words, and as a report."""

from __future__ import annotations

import dataclasses
import math

from alphadiffract_plugin.recipes.recipe_records import LeBailResult, RietveldResult
from alphadiffract_plugin.records import IndexingResult, RandomCellControl, SeedReport
from alphadiffract_plugin.seeding.answer import doubts

POOR_RWP = 50.0
"""Above this Rwp in per cent a converged fit gets a note on what is left. In GSAS-II's tutorial data the true groups
settle at 3 to 10 %, and wrong cells at 52 % or more."""

NOISE_GOF = 2.0
"""With a goodness of fit below this, most of what a poor fit leaves is noise; above it, most of it is not explained."""


def is_by_chance(fit: LeBailResult, control: RandomCellControl | None) -> bool:
    """Whether a fit is no better than chance: neither it nor the short fit of the control beats the random cells."""
    if control is None or not math.isfinite(fit.rwp):
        return False
    return not (control.beats_random or control.beats_chance(fit.line_rwp))


def interpreted(fit: LeBailResult, result: IndexingResult | None, control: RandomCellControl | None) -> LeBailResult:
    """The fit with what a user must know first as its first notes; a fit by chance is no longer called converged."""
    notes = doubts(result) if result else ()
    converged = fit.converged
    if is_by_chance(fit, control) and control:
        converged = False
        notes += (
            f"The fit is no better than chance: near the lines its Rwp is {fit.line_rwp:.1f} %, and random cells, or "
            f"no cell at all, reach {control.chance_rwp:.1f} % in a short fit. It does not count as converged; do not "
            "trust this cell.",
        )
    elif converged and fit.rwp > POOR_RWP:
        cause = "the pattern is mostly noise" if fit.gof < NOISE_GOF else "most of the pattern is not explained"
        notes += (
            f"The fit settled at Rwp {fit.rwp:.1f} %, {fit.gof:.1f} times what the noise alone would leave: {cause}.",
        )
    return dataclasses.replace(fit, converged=converged, notes=(*notes, *fit.notes))


def report_from_fit(
    fit: LeBailResult | RietveldResult,
    *,
    target: str,
    phases: tuple[str, ...],
    control: RandomCellControl | None = None,
) -> SeedReport:
    """The report of an interpreted fit; its last notes are the verdict of the control, or what atoms could reach."""
    notes = control.verdict if control else ()
    if isinstance(fit, RietveldResult) and math.isfinite(fit.free_rwp):
        notes = (
            f"Rwp is {fit.start_rwp:.1f} % with the atoms as given and the scale alone refined, {fit.rwp:.1f} % at the "
            f"end, and {fit.free_rwp:.1f} % with free intensities.",
        )
    return SeedReport(
        seeder="gsasii",
        target=target,
        files=(),
        phases=phases,
        method="Rietveld" if isinstance(fit, RietveldResult) else "Le Bail",
        converged=fit.converged,
        rwp=fit.rwp,
        gof=fit.gof,
        cell=fit.cell,
        cell_esd=fit.cell_esd,
        steps=fit.steps,
        notes=(*fit.notes, *notes),
        control=control,
    )


def fit_entry(name: str, fit: LeBailResult | RietveldResult, method: str = "Le Bail fit") -> str:
    """What the project's notebook says of the interpreted fit of a phase."""
    steps = ", ".join(f"{what} {rwp:.2f}" for what, rwp in fit.steps)
    outcome = "converged" if fit.converged else "did not converge"
    first = f"alphadiffract-plugin: {method} of {name} {outcome}; Rwp in % after each step: {steps}"
    return "\n".join([first, *(f"  {note}" for note in fit.notes)])
