"""Index lines with rietx's ``index_pattern``, for bench/peers.py; run by whichever Python has rietx.

It reads ``{"two_theta", "two_theta_esd", "area", "area_esd", "fwhm", "wavelength", "seconds"}`` (lists of degrees,
counts × degrees; Å; seconds) on stdin, searches with all engines and settings as rietx has them, and prints one line of
JSON, ``{"seconds": ..., "cells": [[a, b, c, alpha, beta, gamma, centring], ...]}``, the best cell first. The limit of
the whole search is rietx's own, which is of clock time and here of processor time, so that a busy machine finds the
same cells. rietx looks at its limit between steps of several seconds; the kernel ends a process that goes on. Without
input it prints rietx's version.

The pattern itself is not given: rietx uses it to say how sure it is of a cell, not to put the cells in order.
"""

import json
import math
import os
import resource
import sys
import time

os.environ["RIETX_COMPILED_THREADS"] = "1"
time.monotonic = time.process_time

import rietx  # noqa: E402
from rietx.indexing import SearchSpec  # noqa: E402
from rietx.schemas.indexing import ObservedPeak, PeakList, q_esd_of_two_theta, q_of_two_theta  # noqa: E402

OVERTIME = 8.0
"""Seconds of the limit that are kept for ranking and comparing the cells found, where rietx reads no clock."""


def main() -> None:
    """Answer one task."""
    text = sys.stdin.read()
    if not text.strip():
        print(rietx.__version__)
        return
    task = json.loads(text)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(began + task["seconds"]),) * 2)
    limit = SearchSpec(total_budget_seconds=max(task["seconds"] - OVERTIME, 1.0))
    found = rietx.index_pattern(lines_of(task), spec=limit, validate=False)
    cells = [[*candidate.cell, candidate.centring] for candidate in found.candidates]
    print(json.dumps({"seconds": time.process_time() - began, "cells": cells}), flush=True)


def lines_of(task):
    """The lines as rietx takes them when its own peak search has found them, each fitted alone."""
    rows = zip(*(task[name] for name in ("two_theta", "two_theta_esd", "area", "area_esd", "fwhm")), strict=True)
    wavelength = task["wavelength"]
    lines = [
        ObservedPeak(
            two_theta=place,
            two_theta_esd=esd,
            intensity=area,
            intensity_esd=area_esd,
            q=float(q_of_two_theta(place, wavelength)),
            q_esd=float(q_esd_of_two_theta(place, esd, wavelength)),
            fwhm=fwhm,
            eta=0.5,
            group=group,
            n_in_group=1,
            chi2_red=1.0,
        )
        for group, (place, esd, area, area_esd, fwhm) in enumerate(rows)
    ]
    ends = {"two_theta_min": lines[0].two_theta, "two_theta_max": lines[-1].two_theta}
    return PeakList(peaks=lines, wavelength=wavelength, **ends)


if __name__ == "__main__":
    main()
