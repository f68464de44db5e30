"""What all seeders share: what they refuse, what they call things, and how files get into place whole."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.output import check_absent
from alphadiffract_plugin.peaks.background import background_of, noise_of
from alphadiffract_plugin.records import Histogram


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
        raise OutputError(f"cannot be written: {error.strerror}", fix="choose another place", where=target) from error
    try:
        yield scratch
        made = sorted(scratch.iterdir())
        for old in target.glob(replaces) if replaces else ():
            if old.name not in {path.name for path in made}:
                old.unlink()
        for path in made:
            os.replace(path, target / path.name)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", fix="choose another place", where=target) from error
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
