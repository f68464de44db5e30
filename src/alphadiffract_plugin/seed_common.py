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

from alphadiffract_plugin import __version__
from alphadiffract_plugin.errors import InputError, OutputError
from alphadiffract_plugin.find_peaks import background_of, noise_of
from alphadiffract_plugin.output import check_absent
from alphadiffract_plugin.project_recipe import volume_of_cell
from alphadiffract_plugin.records import Candidate, Histogram, IndexingResult, SeedReport


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


def seedable(result: IndexingResult) -> IndexingResult:
    """The answer without the candidates that lack a cell or a space group, which GSAS-II would take silently.

    Raises
    ------
    InputError : there is none.
    """
    sound = tuple(candidate for candidate in result.candidates if _is_sound(candidate))
    if not sound:
        raise InputError(
            f"none of the {len(result.candidates)} candidates has a cell and a space group to seed from",
            mend="index the pattern with an indexer that gives cells, e.g. `--indexer alphadiffract`",
        )
    return dataclasses.replace(result, candidates=sound)


def _is_sound(candidate: Candidate) -> bool:
    finite = len(candidate.cell) == 6 and all(math.isfinite(value) and value > 0 for value in candidate.cell)
    return finite and 1 <= candidate.space_group <= 230 and volume_of_cell(candidate.cell) > 1


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
