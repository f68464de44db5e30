"""What all seeders share: file names, esds for a pattern without any, and files that get into place all or none."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alphadiffract_plugin.output import check_absent, scratch_beside, writing
from alphadiffract_plugin.peaks.background import background_of, noise_of
from alphadiffract_plugin.records import Histogram


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A scratch folder beside ``target`` whose files move into the target at the end; after an error none do.

    Raises
    ------
    OutputError : the target holds something already, or it cannot be written.
    """
    check_absent([target], overwrite=False)
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        with scratch_beside(target.parent, target.name) as scratch:
            yield scratch
            for path in sorted(scratch.iterdir()):
                os.replace(path, target / path.name)


def with_esd(histogram: Histogram) -> Histogram:
    """The histogram itself, or a copy with esds from its point-to-point scatter if it has none; GSAS-II needs them.

    Whole numbers, fewer than one in a hundred of them zero, are counts: their esds are at least √intensity.
    """
    if histogram.esd is not None:
        return histogram
    esd = noise_of(histogram, histogram.intensity - background_of(histogram))
    counts = histogram.intensity
    if np.array_equal(counts, np.round(counts)) and np.mean(counts > 0) > 0.99:
        esd = np.maximum(esd, np.sqrt(np.maximum(counts, 1)))
    return dataclasses.replace(histogram, esd=esd)


def file_name(name: str) -> str:
    """A histogram's name as a file name: letters, digits, dots, hyphens and underscores alone."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "histogram"
