"""What all seeders share: what they refuse, what they call things, and how files get into place whole."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.output import check_absent
from alphadiffract_plugin.peaks.background import background_of, noise_of
from alphadiffract_plugin.records import Histogram, IndexingResult, Receipt, SeedReport

POOR = 50.0
"""A fit that settles at a higher Rwp in per cent is told apart from one that fits."""


@contextlib.contextmanager
def staged(target: Path, *, overwrite: bool, replaces: str = "") -> Iterator[Path]:
    """A scratch folder beside ``target`` whose files move into it at the end; after an error before that, none do.

    Files of the target whose names match ``replaces`` (a glob) and that are not made again are taken away; what else
    lies there stays.

    Raises
    ------
    OutputError : the target holds something and ``overwrite`` is False, or it cannot be written.
    """
    check_absent([target], overwrite=overwrite)
    try:
        target.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", mend="choose another place", where=target) from error
    try:
        yield scratch
        made = sorted(scratch.iterdir())
        for old in target.glob(replaces) if replaces else ():
            if old.name not in {path.name for path in made}:
                old.unlink()
        for path in made:
            os.replace(path, target / path.name)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", mend="choose another place", where=target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def with_esd(histogram: Histogram) -> Histogram:
    """The histogram itself, or with esds from its point-to-point scatter if it has none: GSAS-II weighs by them.

    Whole numbers, hardly any of them zero, are taken for counts, whose esds are √intensity at least.
    """
    if histogram.esd is not None:
        return histogram
    esd = noise_of(histogram, histogram.intensity - background_of(histogram))
    counts = histogram.intensity
    if np.array_equal(counts, np.round(counts)) and np.mean(counts > 0) > 0.99:
        esd = np.maximum(esd, np.sqrt(np.maximum(counts, 1)))
    return dataclasses.replace(histogram, esd=esd)


def file_name(name: str) -> str:
    """A histogram's name as a file name without surprises: letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "histogram"


def judged_fit(fit: dict[str, Any], result: IndexingResult | None, receipt: Receipt | None) -> dict[str, Any]:
    """What ``fit_by_lebail`` returned, with what a user must be told first.

    ``by_chance`` is added: whether the fit is no better than chance, and so not called converged.
    """
    notes = list(doubts(result)) if result else []
    converged, by_chance = fit["converged"], False
    if receipt and math.isfinite(fit["rwp"]) and not (receipt.beats_random or receipt.beats_chance(fit["line_rwp"])):
        converged, by_chance = False, True
        notes.append(
            f"The fit is no better than chance: near the lines it leaves Rwp {fit['line_rwp']:.1f} %, random cells, or "
            f"no cell at all, {receipt.chance_rwp:.1f} % in a short fit. It is not called converged; do not trust this "
            "cell."
        )
    elif converged and fit["rwp"] > POOR:
        notes.append(
            f"The fit settled at Rwp {fit['rwp']:.1f} %, {fit['gof']:.1f} times what noise alone would leave: "
            f"{'the pattern is mostly noise' if fit['gof'] < 2 else 'most of the pattern is not explained'}."
        )
    return fit | {"converged": converged, "by_chance": by_chance, "notes": [*notes, *fit["notes"]]}


def report_from_fit(
    fit: dict[str, Any], *, target: str, phases: tuple[str, ...], receipt: Receipt | None = None
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
        notes=(*fit["notes"], *(receipt.verdict if receipt else ())),
        receipt=receipt,
    )


def fit_entry(name: str, fit: dict[str, Any]) -> str:
    """What the project's notebook says of a fit that :func:`judged_fit` has seen."""
    steps = ", ".join(f"{what} {rwp:.2f}" for what, rwp in fit["steps"])
    outcome = "converged" if fit["converged"] else "did not converge"
    first = f"alphadiffract-plugin: Le Bail fit of {name} {outcome}; Rwp in % after each step: {steps}"
    return "\n".join([first, *(f"  {note}" for note in fit["notes"])])
