"""Test whether GSAS-II works: ``python -m alphadiffract_plugin.gsasii.smoke`` makes, saves, reloads and fits a project.

``doctor --gsasii`` runs it in a process of its own, so that a crash there does no harm.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import AlphaDiffractError
from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.output import scratch_folder

CELL = [4.15683, 4.15683, 4.15683, 90.0, 90.0, 90.0]
"""LaB6, in Å and degrees."""

LINES = 6
"""Reflections of LaB6 from 20 to 60 degrees: 100, 110, 111, 200, 210 and 211."""

INSTRUMENT = """#GSAS-II instrument parameter file
Type:PXC
Bank:1.0
Lam:1.5406
Zero:0.0
Polariz.:0.7
Azimuth:0.0
SH/L:0.002
U:2.0
V:-2.0
W:5.0
X:1.0
Y:1.0
Z:0.0
"""


def smoke(folder: Path) -> None:
    """Make a project of one pattern and one phase, save it, open it again, compare, and calculate the pattern.

    Each step is printed before it begins.

    Raises
    ------
    GSASIIError : GSAS-II is not there, or fails to import.
    Exception : of any kind, from GSAS-II.
    """
    two_theta = np.arange(20.0, 60.0, 0.05)
    counts = np.round(100 + 1000 * np.exp(-(((two_theta - 30.4) / 0.1) ** 2)))
    (folder / "lab6.xye").write_text(
        "".join(f"{x:.2f} {y:.1f} {y**0.5:.3f}\n" for x, y in zip(two_theta, counts, strict=True))
    )
    (folder / "lab6.instprm").write_text(INSTRUMENT)
    print("importing it", flush=True)
    g2, fit = installation.scriptable(), installation.refine_function()
    with installation.quiet():
        _say("making a project")
        project = g2.G2Project(newgpx=str(folder / "lab6.gpx"))
        pattern = project.add_powder_histogram(
            str(folder / "lab6.xye"), str(folder / "lab6.instprm"), fmthint="Topas xye"
        )
        project.add_phase(phasename="LaB6", spacegroup="P m -3 m", cell=CELL, histograms=[pattern])
        _say("saving it")
        project.save()
        _say("opening it again")
        again = g2.G2Project(gpxfile=str(folder / "lab6.gpx"))
        phase = again.phase("LaB6").data["General"]
        same = np.array_equal(again.histogram(0).getdata("yobs"), counts) and phase["Cell"][1:7] == CELL
        if not same or phase["SGData"]["SpGrp"] != "P m -3 m":
            raise ValueError("the project that was read differs from the one that was saved")
        _say("calculating a pattern")
        again.set_Controls("cycles", 0)
        again.save()
        failed = fit(again.filename, makeBack=False)
        again.reload()
        reflections = again.histogram(0).reflections()["LaB6"]["RefList"]
        if failed or len(reflections) != LINES:
            raise ValueError(
                f"it says {failed[1]['msg']}"
                if failed
                else f"it made {len(reflections)} reflections instead of {LINES}"
            )


def _say(step: str) -> None:
    print(step, file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    try:
        with scratch_folder() as scratch:
            smoke(scratch)
    except AlphaDiffractError as error:
        sys.exit(error.what)
