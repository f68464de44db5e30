"""A story about a project that GSAS-II saved years ago: it is indexed, seeded, refined and saved as a new one is.

Measured on seven projects of GSAS-II's tutorials, of builds 3592 to 5802, which are too large for this repository:
what they lack in comparison with a new project is taken out here.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.gsasii.trust import check_gpx

sys.path.insert(0, str(Path(__file__).parent))
from test_gsasii_survival import answer, differences, good, opened  # noqa: E402

pytestmark = pytest.mark.gsasii

ZINCITE = (3.2483, 3.2483, 5.2041, 90.0, 90.0, 120.0)
LATER = {
    "phase": {"RMC", "magPhases", "ISODISTORT", "Deformations"},
    "General": {"Compare", "doDysnomia", "SpnIds", "Super"},
    "coupling": {"LeBail", "newLeBail", "Fix FXU", "FixedSeqVars", "Flack", "Layer Disp", "Twins", "Type"},
    "background": {"background PWDR", "autoPrms", "FixedPoints"},
}
"""What builds 3592 to 3722 (2018) did not write yet, one or the other of them."""


def as_build_3693(path):
    """Rewrite a project as Python 2 and that build of GSAS-II would have saved it; what was taken out."""
    project, taken = opened(path), set()

    def without(tree, kind):
        taken.update(LATER[kind] & set(tree))
        for key in LATER[kind] & set(tree):
            del tree[key]

    for phase in project.phases():
        without(phase.data, "phase")
        without(phase.data["General"], "General")
        for coupling in phase.data["Histograms"].values():
            without(coupling, "coupling")
    for histogram in project.histograms():
        histogram.data["data"][1] = [np.array(np.ma.getdata(column)) for column in histogram.data["data"][1]]
        histogram.data["Sample Parameters"].setdefault("Shift", [0.0, False])
        without(histogram.data["Background"][1], "background")
    project.data["Controls"]["data"] = {"LastSavedUsing": "3693", "max cyc": 3, "min dM/M": 0.0001}
    with path.open("wb") as file:
        for names in project.names:
            tree = project.data[names[0]]
            pickle.dump([[name, tree["data" if place == 0 else name]] for place, name in enumerate(names)], file, 2)
    return taken


@pytest.fixture
def old(tmp_path, zincite_ssrl):
    """A project with a phase of the user, refined by the user, as an older GSAS-II saved it; its file."""
    from test_gsasii_harm import added

    path = tmp_path / "old.gpx"
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(path))
        histogram = added(project, tmp_path, zincite_ssrl, 40)
        phase = project.add_phase(phasename="ZnO", spacegroup="P 63 m c", cell=list(ZINCITE), histograms=[histogram])
        histogram.SampleParameters["Scale"][1] = False
        histogram.set_refinements({"Background": {"no. coeffs": 3, "refine": True}})
        for lebail in (False, True):
            phase.set_refinements({"LeBail": lebail})
            project.set_Controls("cycles", 2 if lebail else 0)
            project.refine()
        project.save()
    for other in tmp_path.iterdir():
        if other != path:
            other.unlink()
    assert {"LeBail", "Compare", "background PWDR"} <= as_build_3693(path)
    check_gpx(path)
    return path


@pytest.mark.parametrize("alone", [False, True])
def test_a_project_of_an_older_build_is_indexed_seeded_refined_and_saved(old, alone):
    before, project = opened(old), opened(old)
    [histogram], mine = project.histograms(), project.phase("ZnO")
    mine.data["Histograms"][histogram.name]["Use"] = not alone
    result = answer(histogram, 186, ZINCITE)
    found = gsasii.index(histogram)
    assert found.candidates[0].cell == pytest.approx(ZINCITE, rel=1e-3)
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    report = gsasii.refine(project, histogram, phase, result, cycles=2, control=good(result))
    assert report.converged and report.cell == pytest.approx(ZINCITE, rel=1e-3)
    assert gsasii.save(project) == old
    after = opened(old)
    changed = {path[1] for path in differences(before.data, after.data) if path[0] == histogram.name}
    lists = {"Peak List", "Index Peak List", "Unit Cells List", "Reflection Lists"}
    fitted = {"data", "Background", "Instrument Parameters", "Sample Parameters"}
    assert lists - {"Peak List"} <= changed <= lists | (fitted if alone else set())
    kept = set(differences(before.data["Phases"]["ZnO"], after.data["Phases"]["ZnO"]))
    assert kept == ({("Histograms", histogram.name, "Use")} if alone else set())
    if alone:
        assert after.histograms()[0].get_wR() == pytest.approx(report.rwp, rel=1e-6)
        return
    with gsasii.quiet():
        for one in (before, after):
            one.refine()
    residuals = [one.histograms()[0].get_wR() for one in (before, after)]
    assert residuals[0] == pytest.approx(residuals[1], rel=5e-4), "the user's refinement goes on as without us"
