"""What all seeders share: what they refuse, what they call things, and how files get into place whole."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alphadiffract_plugin import __version__
from alphadiffract_plugin.errors import InputError, OutputError
from alphadiffract_plugin.find_peaks import background_of, noise_of
from alphadiffract_plugin.output import check_absent
from alphadiffract_plugin.project_recipe import volume_of_cell
from alphadiffract_plugin.records import Candidate, Histogram, IndexingResult, SeedReport


@contextlib.contextmanager
def staged(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A scratch folder beside ``target`` whose files move into it at the end: all of them, or after an error none.

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
        for path in sorted(scratch.iterdir()):
            os.replace(path, target / path.name)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", mend="choose another place", where=target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def with_esd(histogram: Histogram) -> Histogram:
    """The histogram itself, or with esds from its point-to-point scatter if it has none: GSAS-II weighs by them."""
    if histogram.esd is not None:
        return histogram
    return dataclasses.replace(histogram, esd=noise_of(histogram, histogram.intensity - background_of(histogram)))


def file_name(name: str) -> str:
    """A histogram's name as a file name without surprises: letters, digits, dots, hyphens and underscores."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "histogram"


def check_candidates(candidates: Sequence[Candidate]) -> None:
    """Refuse an answer without candidates, or with one whose cell is no cell: GSAS-II would take it silently.

    Raises
    ------
    InputError : names the candidate.
    """
    if not candidates:
        raise InputError("the answer holds no candidate to seed from", mend="index the pattern again")
    for rank, candidate in enumerate(candidates, start=1):
        sound = all(math.isfinite(value) and value > 0 for value in candidate.cell)
        if not (len(candidate.cell) == 6 and sound and volume_of_cell(candidate.cell) > 1):
            raise InputError(
                f"candidate {rank} has an impossible cell: {candidate.cell}",
                mend="give a, b, c in Å and alpha, beta, gamma in degrees",
            )


def report_from_fit(fit: dict[str, Any], *, target: str, phases: tuple[str, ...]) -> SeedReport:
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
        notes=tuple(fit["notes"]),
    )


def notebook_entry(result: IndexingResult, keep: int) -> str:
    """What the project's notebook says of where its phases come from."""
    lines = [
        f"alphadiffract-plugin {__version__}: {len(result.candidates[:keep])} of {len(result.candidates)} candidates "
        f"of the indexer '{result.indexer}' for {result.histogram}, wavelength {result.wavelength:.6g} A",
    ]
    for rank, candidate in enumerate(result.candidates[:keep], start=1):
        cell = " ".join(f"{value:.5g}" for value in candidate.cell)
        lines.append(
            f"  candidate_{rank}: {candidate.space_group_symbol} ({candidate.space_group}), {cell}, "
            f"probability {candidate.probability:.3f}, M20 {candidate.m20:.1f}"
        )
    lines += [f"  note: {note}" for note in result.notes]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items()))
    return "\n".join([*lines, *([f"  made with {versions}"] if versions else [])])
