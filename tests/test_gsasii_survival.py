"""Stories about a project that a user has worked on: whatever happens in it, all that is not ours stays to the byte."""

import dataclasses
import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin import crystal, gsasii
from alphadiffract_plugin.errors import GSASIIError, OutputError
from alphadiffract_plugin.gsasii import project as open_projects
from alphadiffract_plugin.load import histogram_from_gsasii, write_xye
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.records import Candidate, ControlFit, IndexingResult, RandomCellControl, SeedReport
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram
from alphadiffract_plugin.seeding.staging import with_esd

pytestmark = pytest.mark.gsasii

LAB6 = (4.15683, 4.15683, 4.15683, 90.0, 90.0, 90.0)
ZINCITE = (3.2483, 3.2483, 5.2041, 90.0, 90.0, 120.0)
ANGLESITE = (8.4786, 5.3976, 6.9590, 90.0, 90.0, 90.0)


def answer(histogram, space_group, *known):
    """An answer by hand for a histogram of the project."""
    symbol = crystal.symbol_from_space_group(space_group)
    system = crystal.crystal_system_from_space_group(space_group)
    candidates = tuple(Candidate(cell, (math.nan,) * 6, space_group, symbol, system, 0.9, m20=40.0) for cell in known)
    pattern = histogram_from_gsasii(histogram)
    return IndexingResult(pattern.name, "by hand", pattern.wavelength, candidates, find_peaks(pattern))


def good(result):
    """A control that spares the time of short fits."""
    first = result.candidates[0]
    lines = [ControlFit(name, first.space_group_symbol, first.cell, 20, rwp) for name, rwp in (("a", 10), ("b", 100))]
    return RandomCellControl((lines[0],), (lines[1],), (10.0, 60.0), 90.0, 5.0, ("By hand.",))


def opened(path):
    with gsasii.quiet():
        return gsasii.scriptable().G2Project(gpxfile=str(path))


def differences(before, after, path=()):
    """Paths at which two trees differ, in value, type, or a single bit of an array."""
    if type(before) is not type(after):
        yield path
    elif isinstance(before, dict):
        for key in before.keys() | after.keys():
            if key in before and key in after:
                yield from differences(before[key], after[key], (*path, key))
            else:
                yield (*path, key)
    elif isinstance(before, (list, tuple)):
        if len(before) != len(after):
            yield path
        for place, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from differences(one, other, (*path, place))
    elif isinstance(before, np.ndarray):
        same = (before.dtype, before.shape) == (after.dtype, after.shape)
        if not same or np.ma.getdata(before).tobytes() != np.ma.getdata(after).tobytes():
            yield path
        elif np.ma.getmaskarray(before).tobytes() != np.ma.getmaskarray(after).tobytes():
            yield path
    elif before != after and not (isinstance(before, float) and math.isnan(before) and math.isnan(after)):
        yield path


@pytest.fixture(scope="module")
def work_of_a_week(tmp_path_factory, lab6_lab, zincite_ssrl, pbso4_xray):
    """A file with three histograms and two phases; zincite is refined, the rest has lists, limits and notes."""
    folder = tmp_path_factory.mktemp("week")
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(folder / "mine.gpx"))
        histograms = []
        for pattern, end in ((lab6_lab, 70), (zincite_ssrl, 40), (pbso4_xray, 60)):
            part = pattern.two_theta < end
            columns = {name: getattr(with_esd(pattern), name)[part] for name in ("two_theta", "intensity", "esd")}
            part = dataclasses.replace(pattern, **columns)
            write_xye(part, folder / f"{pattern.name}.xye")
            (folder / "i.instprm").write_text(instprm_from_histogram(part, find_peaks(part)))
            file, instrument = str(folder / f"{pattern.name}.xye"), str(folder / "i.instprm")
            histograms.append(project.add_powder_histogram(file, instrument, fmthint="Topas xye"))
        lab6, zincite, anglesite = histograms
        project.add_phase(phasename="silicon", spacegroup="F d -3 m", cell=[5.43] * 3 + [90] * 3, histograms=[lab6])
        mine = project.add_phase(phasename="ZnO", spacegroup="P 63 m c", cell=list(ZINCITE), histograms=[zincite])
        zincite.SampleParameters["Scale"][1] = False
        zincite.set_refinements({"Background": {"no. coeffs": 3, "refine": True}})
        for lebail in (False, True):
            mine.set_refinements({"LeBail": lebail})
            project.set_Controls("cycles", 0 if not lebail else 2)
            project.refine()
        lab6.add_peak(1000.0, ttheta=30.4)
        anglesite.data["Limits"] += [[40.0, 41.0]]
        anglesite.set_refinements({"Limits": [12.0, 58.0]})
        project.data["Notebook"]["data"].append("Tuesday: the sample holder was changed.")
        project.save()
    assert project.data["Covariance"]["data"]["Rvals"]["Nvars"] >= 3
    return folder / "mine.gpx"


@pytest.fixture
def mine(work_of_a_week, tmp_path):
    """A copy of that file in a folder of its own."""
    return Path(shutil.copy(work_of_a_week, tmp_path / "mine.gpx"))


OURS_OF_A_HISTOGRAM = {
    *("data", "Limits", "Background", "Instrument Parameters", "Sample Parameters"),
    *("Reflection Lists", "Index Peak List", "Unit Cells List"),
}


def test_seed_refine_and_save_change_what_is_ours_and_nothing_else(mine):
    before, project = opened(mine), opened(mine)
    lab6 = project.histograms()[0]
    result = answer(lab6, 221, LAB6, (8.0,) * 3 + (90.0,) * 3)
    phases = gsasii.seed(project, lab6, result, control=good(result))
    report = gsasii.refine(project, lab6, phases[0], result, cycles=2, profile="instrument", control=good(result))
    assert report.converged
    assert mine.read_bytes() == Path(before.filename).read_bytes()
    assert gsasii.save(project) == mine
    assert [path.name for path in mine.parent.iterdir()] == ["mine.gpx"]
    after = opened(mine)
    changed = set(differences(before.data, after.data))
    new = {("Phases", "candidate_1_lab6_lab"), ("Phases", "candidate_2_lab6_lab")}
    for path in changed - new - {("Notebook", "data"), ("Controls", "data", "LastSavedAs")}:
        assert path[0] == lab6.name, path
        assert path[1] in OURS_OF_A_HISTOGRAM, path
    assert new <= changed
    notes = after.data["Notebook"]["data"]
    assert notes[:-2] == before.data["Notebook"]["data"]
    assert "candidate_2_lab6_lab: P m -3 m (221)" in notes[-2]
    assert "By hand." in notes[-2]
    assert "Le Bail fit of candidate_1_lab6_lab converged" in notes[-1]
    assert set(after.data[lab6.name]["Reflection Lists"]) >= {"silicon", "candidate_1_lab6_lab"}
    assert after.phase("ZnO").get_cell_and_esd() == before.phase("ZnO").get_cell_and_esd()


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("first", [1, 5])
def test_a_refinement_that_fails_before_the_cell_is_refined_changes_nothing(mine, monkeypatch, refusing, first, raises):
    project = opened(mine)
    lab6 = project.histograms()[0]
    result = answer(lab6, 221, LAB6)
    (phase,) = gsasii.seed(project, lab6, result, control=good(result))
    seeded, again = gsasii.save(project, mine.with_name("seeded.gpx")), opened(mine.with_name("seeded.gpx"))
    failing = refusing(first, raises)
    monkeypatch.setattr(open_projects, "refine_function", lambda: failing)
    report = gsasii.refine(project, lab6, phase, result, cycles=2, control=good(result))
    assert not report.converged
    assert report.cell is None
    assert SeedReport.from_json(report.to_json()) == report
    assert any(("KeyError: 'RefList'" if raises else "Invalid metric tensor") in note for note in report.notes)
    assert not set(differences(again.data, project.data))
    assert sorted(path.name for path in mine.parent.iterdir()) == ["mine.gpx", seeded.name]


def test_a_refinement_that_fails_later_keeps_the_last_good_state(mine, monkeypatch, refusing):
    project, before = opened(mine), opened(mine)
    lab6 = project.histograms()[0]
    project.phase("silicon").data["Histograms"][lab6.name]["Use"] = False
    result = answer(lab6, 221, LAB6)
    (phase,) = gsasii.seed(project, lab6, result, control=good(result))
    failing = refusing(10, raises=True)
    monkeypatch.setattr(open_projects, "refine_function", lambda: failing)
    report = gsasii.refine(project, lab6, phase, result, cycles=2, profile="instrument", control=good(result))
    assert not report.converged
    assert report.cell == pytest.approx(LAB6, rel=3e-3)
    assert lab6.get_wR() == pytest.approx(report.rwp, rel=1e-6)
    changed = {path for path in differences(before.data, project.data) if path[0] not in ("Phases", "Notebook")}
    assert {path[0] for path in changed} == {lab6.name}


def test_seeding_that_fails_half_way_leaves_the_project_as_it_was(mine, monkeypatch):
    project, before = opened(mine), opened(mine)
    lab6, add, made = project.histograms()[0], project.add_phase, []

    def add_two(*arguments, **more):
        made.append(1)
        if len(made) == 3:
            raise RuntimeError("no more")
        return add(*arguments, **more)

    monkeypatch.setattr(project, "add_phase", add_two)
    result = answer(lab6, 221, *[LAB6] * 3)
    with pytest.raises(GSASIIError, match="could not add the candidates: RuntimeError: no more"):
        gsasii.seed(project, lab6, result, control=good(result))
    assert len(made) == 3
    assert not set(differences(before.data, project.data))
    assert project.names == before.names
    assert project.filename == str(mine)
    assert lab6.data is project.data[lab6.name], "the objects that the user holds still belong to the project"


KILLED = """
import os, pickle, signal, sys
sys.path.insert(0, sys.argv[1])
from test_gsasii_survival import LAB6, answer, good, opened
from alphadiffract_plugin import gsasii
from alphadiffract_plugin.gsasii import project as open_projects

def counted(function, last):
    calls = []
    def count(*arguments, **more):
        calls.append(1)
        if len(calls) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return count

project = opened(sys.argv[2])
where = sys.argv[3]
lab6 = project.histograms()[0]
result = answer(lab6, 221, *[LAB6] * 3)
if where == "seed":
    project.add_phase = counted(project.add_phase, 3)
phases = gsasii.seed(project, lab6, result, control=good(result))
if where == "refine":
    refine = counted(gsasii.refine_function(), 6)
    open_projects.refine_function = lambda: refine
    gsasii.refine(project, lab6, phases[0], result, cycles=1, control=good(result))
pickle.dump = counted(pickle.dump, 3)
gsasii.save(project) if where == "save" else project.save()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("where", ["seed", "refine", "save", "GSAS-II's own save"])
def test_a_killed_process_leaves_the_file_whole(mine, where):
    before = mine.read_bytes()
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(mine), where]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if where == "GSAS-II's own save":
        assert mine.read_bytes() != before, "if this fails GSAS-II has fixed it, and gsasii.save is not needed"
        return
    assert mine.read_bytes() == before
    left = [path.name for path in mine.parent.iterdir() if path != mine]
    assert len(left) == (where == "save") and all(name.startswith(".saving-") for name in left)
    project = opened(mine)
    assert len(project.histograms()) == 3
    assert gsasii.save(project) == mine
    assert [path.name for path in mine.parent.iterdir()] == ["mine.gpx"], "and what was left is gone"


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and permissions")
def test_a_link_and_the_permissions_of_a_project_stay(mine):
    mine.chmod(0o600)
    link = mine.parent / "link.gpx"
    link.symlink_to(mine)
    before = mine.read_bytes()
    project = opened(link)
    project.data["Notebook"]["data"].append("a thought")
    assert gsasii.save(project) == mine
    assert link.is_symlink() and mine.read_bytes() != before and mine.stat().st_mode & 0o777 == 0o600


def test_a_project_that_cannot_be_saved_is_said_so(mine):
    project, before = opened(mine), mine.read_bytes()
    with pytest.raises(OutputError, match="No such file or directory\n  How to fix it: choose another place"):
        gsasii.save(project, mine.parent / "nowhere" / "mine.gpx")
    assert project.filename == str(mine)
    assert gsasii.save(project, mine.parent / "copy.gpx") == mine.parent / "copy.gpx"
    assert project.filename == str(mine.parent / "copy.gpx"), "as with G2Project.save"
    assert mine.read_bytes() == before


def test_several_histograms_of_a_project_are_seeded_one_after_another(mine):
    project = opened(mine)
    lab6, zincite, anglesite = project.histograms()
    for phase, histogram in (("silicon", lab6), ("ZnO", zincite)):
        project.phase(phase).data["Histograms"][histogram.name]["Use"] = False
    answers = [answer(lab6, 221, LAB6), answer(zincite, 186, ZINCITE), answer(anglesite, 62, ANGLESITE, ANGLESITE)]
    names = []
    for histogram, result in zip((lab6, zincite, anglesite), answers, strict=True):
        names += [phase.name for phase in gsasii.seed(project, histogram, result, control=good(result))]
    assert names == [
        *("candidate_1_lab6_lab", "candidate_1_zincite_ssrl"),
        *("candidate_1_pbso4_xray", "candidate_2_pbso4_xray"),
    ]
    again = gsasii.seed(project, anglesite, answers[2], control=good(answers[2]))
    assert [phase.name for phase in again] == ["candidate_1_pbso4_xray-2", "candidate_2_pbso4_xray-2"]
    others = [json.dumps(str(histogram.data)) for histogram in (zincite, anglesite)]
    phase = project.phase("candidate_1_lab6_lab")
    first = gsasii.refine(project, lab6, phase, answers[0], cycles=2, profile="instrument", control=good(answers[0]))
    assert first.cell == pytest.approx(LAB6, rel=1e-3)
    assert [json.dumps(str(histogram.data)) for histogram in (zincite, anglesite)] == others
    phase = project.phase("candidate_1_zincite_ssrl")
    second = gsasii.refine(
        project, zincite, phase, answers[1], cycles=2, profile="instrument", control=good(answers[1])
    )
    assert second.cell == pytest.approx(ZINCITE, rel=1e-3)
    assert lab6.get_wR() == pytest.approx(first.rwp, rel=1e-6)


MANY = """
import sys
sys.path.insert(0, sys.argv[1])
from test_gsasii_survival import ANGLESITE, LAB6, answer, good, opened
from alphadiffract_plugin import gsasii
for path in sys.argv[2:]:
    project = opened(path)
    number = 0 if path.endswith("lab6.gpx") else 2
    histogram = project.histograms()[number]
    result = answer(histogram, *((221, LAB6) if number == 0 else (62, ANGLESITE)))
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    report = gsasii.refine(project, histogram, phase, result, cycles=1, profile="instrument", control=good(result))
    print(report.to_json())
"""


def test_projects_in_parallel_processes_give_the_numbers_of_a_series(mine):
    own = [shutil.copy(mine, mine.with_name(name)) for name in ("lab6.gpx", "anglesite.gpx")]
    command = [sys.executable, "-c", MANY, str(Path(__file__).parent)]
    running = [subprocess.Popen([*command, path], stdout=subprocess.PIPE, text=True) for path in own]
    together = [json.loads(process.communicate(timeout=1800)[0]) for process in running]
    series = subprocess.run([*command, *own], capture_output=True, text=True, timeout=1800, check=True)
    assert [json.loads(line) for line in series.stdout.splitlines()] == together
    assert [report["cell"][0] for report in together] == pytest.approx([LAB6[0], ANGLESITE[0]], rel=2e-3)


def test_what_is_indexed_is_what_gsasii_would_fit(mine):
    anglesite = opened(mine).histograms()[2]
    anglesite.data["Instrument Parameters"][0]["Lam1"][1] = 1.54
    pattern = histogram_from_gsasii(anglesite)
    x, y, weight = (np.ma.getdata(column) for column in anglesite.data["data"][1][:3])
    kept = (x >= 12) & (x <= 58) & ~((x >= 40) & (x <= 41))
    assert np.array_equal(pattern.two_theta, x[kept])
    assert np.array_equal(pattern.intensity, y[kept])
    assert pattern.esd == pytest.approx(1 / np.sqrt(weight[kept]))
    assert pattern.wavelengths == (1.54, anglesite.data["Instrument Parameters"][0]["Lam2"][1])
    assert pattern.instrument["U"] == anglesite.data["Instrument Parameters"][0]["U"][1]
