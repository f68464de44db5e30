"""What became of a Le Bail fit in GSAS-II, in words and as a report."""

from __future__ import annotations

import math
from typing import Any

from alphadiffract_plugin.records import IndexingResult, RandomCellControl, SeedReport
from alphadiffract_plugin.seeding.answer import doubts

POOR = 50.0
"""A fit that settles at a higher Rwp in per cent is told apart from one that fits."""


def judged_fit(fit: dict[str, Any], result: IndexingResult | None, control: RandomCellControl | None) -> dict[str, Any]:
    """What ``fit_by_lebail`` returned, with what a user must be told first.

    ``by_chance`` is added: whether the fit is no better than chance, and so not called converged.
    """
    notes = list(doubts(result)) if result else []
    converged, by_chance = fit["converged"], False
    if control and math.isfinite(fit["rwp"]) and not (control.beats_random or control.beats_chance(fit["line_rwp"])):
        converged, by_chance = False, True
        notes.append(
            f"The fit is no better than chance: near the lines it leaves Rwp {fit['line_rwp']:.1f} %, random cells, or "
            f"no cell at all, {control.chance_rwp:.1f} % in a short fit. It is not called converged; do not trust this "
            "cell."
        )
    elif converged and fit["rwp"] > POOR:
        notes.append(
            f"The fit settled at Rwp {fit['rwp']:.1f} %, {fit['gof']:.1f} times what noise alone would leave: "
            f"{'the pattern is mostly noise' if fit['gof'] < 2 else 'most of the pattern is not explained'}."
        )
    return fit | {"converged": converged, "by_chance": by_chance, "notes": [*notes, *fit["notes"]]}


def report_from_fit(
    fit: dict[str, Any], *, target: str, phases: tuple[str, ...], control: RandomCellControl | None = None
) -> SeedReport:
    """The SeedReport of what ``fit_by_lebail`` returned."""
    return SeedReport(
        seeder="gsasii",
        target=target,
        files=(),
        phases=phases,
        converged=fit["converged"],
        rwp=fit["rwp"],
        gof=fit["gof"],
        cell=fit["cell"],
        cell_esd=fit["cell_esd"],
        steps=tuple(fit["steps"]),
        notes=(*fit["notes"], *(control.verdict if control else ())),
        control=control,
    )


def fit_entry(name: str, fit: dict[str, Any]) -> str:
    """What the project's notebook says of a fit that :func:`judged_fit` has seen."""
    steps = ", ".join(f"{what} {rwp:.2f}" for what, rwp in fit["steps"])
    outcome = "converged" if fit["converged"] else "did not converge"
    first = f"alphadiffract-plugin: Le Bail fit of {name} {outcome}; Rwp in % after each step: {steps}"
    return "\n".join([first, *(f"  {note}" for note in fit["notes"])])
