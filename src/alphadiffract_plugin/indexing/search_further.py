"""Search on where no cell is clearly right after the fit: more indices, the strongest lines alone, and large shifts."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.indexing.effort import EFFORTS, Effort
from alphadiffract_plugin.indexing.large_shifts import likely_shifts
from alphadiffract_plugin.indexing.refine_cells import rescored
from alphadiffract_plugin.indexing.search_cells import Found, distinct_lattices, search_levels
from alphadiffract_plugin.peaks.observed import Observed, observed_from_peaks, strong_lines
from alphadiffract_plugin.records import Peaks
from alphadiffract_plugin.settings import SearchSettings

_STRONG_LINES = 16
"""Number of the strongest lines of which the strong phase of a mixture is searched."""
_NO_TIME = 1e-9
"""Limit in seconds in which nothing is searched."""
_OTHERS = 15
"""Number of distinct lattices that are kept of each search of other lines or other shifts."""


def search_further(
    peaks: Peaks, settings: SearchSettings, device: str = "cpu", crystal_system_probability: Floats | None = None
) -> Found:
    """Cells that a more thorough search finds, for patterns of which no cell is clearly right after the fit.

    It searches all lattices with ``Effort.further`` of the effort of the settings, and nothing if there is none. Cells
    that explain the strongest lines, as in a mixture, and cells for a large shift of all lines are searched with the
    effort of the settings; they are ``Found.others``.
    """
    usual, began = EFFORTS[settings.effort], monotonic()
    if usual.further is None:
        return Found([])

    def searched(observed: Observed, effort: Effort) -> Found:
        left = None if settings.seconds is None else max(settings.seconds - (monotonic() - began), _NO_TIME)
        within = replace(settings, seconds=left)
        levels = list(search_levels(observed, within, device, crystal_system_probability, effort))
        return Found(
            trials=sorted((trial for level in levels for trial in level.trials), key=lambda trial: -trial.score),
            searched=tuple(lattice for level in levels for lattice in level.searched),
            left_out=tuple(lattice for level in levels for lattice in level.left_out),
        )

    lines = observed_from_peaks(peaks, settings.lines)
    found = searched(lines, usual.further)
    apart = [searched(strong_lines(peaks, _STRONG_LINES), replace(usual, families=usual.families[:2]))]
    for shift in likely_shifts(peaks):
        about = tuple(shift / lines.scale + small for small in usual.zero_shifts)
        apart.append(searched(lines, replace(usual, zero_shifts=about, more_zero_shifts=())))
    others = [rescored(lines, trial) for some in apart for trial in distinct_lattices(some.trials, _OTHERS)]
    return replace(found, others=[trial for trial in others if np.isfinite(trial.score)])
