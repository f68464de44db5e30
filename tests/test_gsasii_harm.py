"""Stories about a refinement that a user has finished: a candidate tried on the same data does it no harm."""

import copy
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.errors import InputError, OutputError
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.output import emptied, remove_leftovers, scratch_beside
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.recipes import lebail_recipe
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram
from alphadiffract_plugin.seeding.staging import with_esd

sys.path.insert(0, str(Path(__file__).parent))
from test_gsasii_survival import ANGLESITE, answer, differences, good, opened  # noqa: E402

pytestmark = pytest.mark.gsasii

CIF = """data_anglesite
_cell_length_a 8.4786
_cell_length_b 5.3976
_cell_length_c 6.9590
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P n m a'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Pb1 Pb 0.188 0.25 0.167 0.02
S1 S 0.065 0.25 0.684 0.01
O1 O 0.908 0.25 0.595 0.02
O2 O 0.193 0.25 0.542 0.02
O3 O 0.081 0.027 0.809 0.02
"""
"""Anglesite, atoms after Miyake, Minato, Morikawa & Iwai, Am. Mineral. 63 (1978) 506."""


def added(project, folder, pattern, end):
    """A pattern up to an angle as a histogram of a project."""
    part = pattern.two_theta < end
    columns = {name: getattr(with_esd(pattern), name)[part] for name in ("two_theta", "intensity", "esd")}
    part = dataclasses.replace(pattern, **columns)
    write_xye(part, folder / f"{pattern.name}.xye")
    (folder / "i.instprm").write_text(instprm_from_histogram(part, find_peaks(part)))
    file, instrument = str(folder / f"{pattern.name}.xye"), str(folder / "i.instprm")
    return project.add_powder_histogram(file, instrument, fmthint="Topas xye")


def steps(project, phase, histograms):
    """A short Rietveld refinement: scale, background, shift, cell, profile; its flags stay on."""
    project.set_Controls("cycles", 4)
    for histogram in histograms:
        histogram.data["Background"][0][1] = False
        x, y = (np.ma.filled(histogram.data["data"][1][place], 0.0) for place in (0, 1))
        histogram.data["Background"][0][3] = float(np.percentile(y, 10))
    project.refine()
    for step in ("scale", "background", "shift"):
        for histogram in histograms:
            doublet = "Lam1" in histogram.data["Instrument Parameters"][0]
            shift = {"Sample Parameters": ["Shift"]} if doublet else {"Instrument Parameters": ["Zero"]}
            background = {"Background": {"no. coeffs": 6, "refine": True}}
            flags = {"scale": {"Sample Parameters": ["Scale"]}, "background": background, "shift": shift}
            histogram.set_refinements(flags[step])
        project.refine()
    phase.set_refinements({"Cell": True})
    project.refine()
    for histogram in histograms:
        histogram.set_refinements({"Instrument Parameters": ["W", "X"]})
    for _ in range(3):
        project.refine()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pbso4_xray, pbso4_neutron):
    """Rietveld refinements of anglesite, ended: of one histogram, and of two with a constraint and a restraint."""
    files = {}
    for name, patterns in (("one", [pbso4_xray]), ("two", [pbso4_xray, pbso4_neutron])):
        folder = tmp_path_factory.mktemp(name)
        (folder / "anglesite.cif").write_text(CIF)
        with gsasii.quiet():
            project = gsasii.scriptable().G2Project(newgpx=str(folder / "mine.gpx"))
            ends = {pbso4_xray.name: 60.0, pbso4_neutron.name: 90.0}
            histograms = [added(project, folder, pattern, ends[pattern.name]) for pattern in patterns]
            cif = str(folder / "anglesite.cif")
            phase = project.add_phase(cif, phasename="anglesite", fmthint="CIF", histograms=histograms)
            if name == "two":
                project.add_EquivConstr([f"{phase.id}::AUiso:2", f"{phase.id}::AUiso:3"])
                bonds = {"Bond": {"wtFactor": 1.0, "Bonds": [], "Use": True}}
                project.data["Restraints"]["data"].setdefault("anglesite", {}).update(bonds)
                assert phase.addDistRestraint(["S1"], ["O1", "O2", "O3"], 1.47, ESD=0.02)
            steps(project, phase, histograms)
            project.save()
        files[name] = folder / "mine.gpx"
    return files


KEPT = ("Limits", "Background", "Instrument Parameters", "Sample Parameters")


@pytest.mark.parametrize(("which", "number"), [("one", 0), ("two", 0), ("two", 1)])
def test_a_candidate_on_the_histogram_of_a_refined_phase_leaves_that_refinement_as_it_was(
    finished, tmp_path, which, number
):
    mine = Path(shutil.copy(finished[which], tmp_path / "mine.gpx"))
    untouched, project = opened(mine), opened(mine)
    before = copy.deepcopy(untouched.data)
    with gsasii.quiet():
        untouched.set_Controls("cycles", 3)
        untouched.filename = str(tmp_path / "untouched.gpx")
        untouched.refine()
    histogram = project.histograms()[number]
    result = answer(histogram, 62, ANGLESITE)
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    report = gsasii.refine(project, histogram, phase, result, cycles=2, control=good(result))
    # the profile of that short refinement is rough, and the fit keeps it
    assert report.cell == pytest.approx((8.480, 5.398, 6.958, 90, 90, 90), rel=4e-3)
    assert any(note.startswith("Phase anglesite is refined with this histogram too") for note in report.notes)
    assert phase.data["General"]["Cell"][1] == pytest.approx(report.cell[0])
    assert not phase.data["Histograms"][histogram.name]["Use"]
    for path in differences(before, project.data):
        assert path[0] in (histogram.name, "Notebook", "Phases", "Controls"), path
        assert path[:2] not in {("Phases", "anglesite"), *((histogram.name, part) for part in KEPT)}, path
    gsasii.save(project)
    again = opened(mine)
    with gsasii.quiet():
        again.set_Controls("cycles", 3)
        again.refine()
    for one, other in zip(untouched.histograms(), again.histograms(), strict=True):
        assert other.get_wR() == pytest.approx(one.get_wR(), abs=0.05)
        assert one.get_wR() < 25


def test_a_phase_with_atoms_is_not_taken_out_of_its_rietveld_refinement(finished):
    project = opened(finished["one"])
    before = str(project.data)
    with pytest.raises(InputError, match="phase anglesite has atoms, and a Le Bail fit would end"):
        gsasii.refine(project, project.histograms()[0], project.phase("anglesite"))
    assert str(project.data) == before


def test_a_constraint_on_the_histogram_keeps_its_profile_too(finished, tmp_path):
    project = opened(Path(shutil.copy(finished["two"], tmp_path / "mine.gpx")))
    xray, neutron = project.histograms()
    with gsasii.quiet():
        project.add_EquivConstr([f":{xray.id}:W", f":{neutron.id}:W"])
    project.phase("anglesite").data["Histograms"][xray.name]["Use"] = False
    kept = copy.deepcopy({part: xray.data[part] for part in KEPT})
    result = answer(xray, 62, ANGLESITE)
    (phase,) = gsasii.seed(project, xray, result, control=good(result))
    report = gsasii.refine(project, xray, phase, result, cycles=1, control=good(result))
    assert any(note.startswith("A constraint is refined with this histogram too") for note in report.notes)
    assert not set(differences(kept, {part: xray.data[part] for part in KEPT}))


@pytest.fixture
def alone(tmp_path, pbso4_xray):
    """The X-ray pattern of anglesite up to 60 degrees in a project without phases."""
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "mine.gpx"))
        histogram = added(project, tmp_path, pbso4_xray, 60.0)
        project.save()
    return project, histogram


def test_right_after_refine_gsasii_shows_the_reported_cell_esds_and_rwp(alone):
    project, histogram = alone
    result = answer(histogram, 62, ANGLESITE)
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    report = gsasii.refine(project, histogram, phase, result, cycles=2, control=good(result))
    assert report.converged
    cell, esd = phase.get_cell_and_esd()
    assert (cell["length_a"], esd["length_a"]) == pytest.approx((report.cell[0], report.cell_esd[0]), rel=1e-6)
    assert 0 < esd["length_a"] < 1e-3
    assert histogram.get_wR() == pytest.approx(report.rwp, rel=1e-6)
    again = opened(gsasii.save(project))
    assert again.phases()[0].get_cell_and_esd()[1]["length_b"] == pytest.approx(report.cell_esd[1], rel=1e-6)


def test_the_users_background_function_and_background_peak_stay(alone):
    project, histogram = alone
    broad = [25.0, False, 3000.0, True, 200.0, False, 100.0, False]
    histogram.data["Background"][0] = ["lin interpolate", True, 9, *[50.0] * 9]
    histogram.data["Background"][1].update({"nPeaks": 1, "peaksList": [broad]})
    result = answer(histogram, 62, ANGLESITE)
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    report = gsasii.refine(project, histogram, phase, result, cycles=2, control=good(result))
    assert report.converged
    assert report.rwp < 15
    assert histogram.data["Background"][0][0] == "lin interpolate"
    assert len(histogram.data["Background"][0]) == 3 + 9
    assert histogram.data["Background"][1]["peaksList"] == [broad]
    inside = ~np.ma.getmaskarray(histogram.data["data"][1][4])
    assert np.ma.getdata(histogram.data["data"][1][4])[inside].min() > -10


def test_debye_scherrer_data_with_the_key_shift_of_older_builds_are_refined_with_the_zero(tmp_path, pbso4_neutron):
    cells = []
    for old in (False, True):
        (tmp_path / str(old)).mkdir()
        with gsasii.quiet():
            project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / str(old) / "mine.gpx"))
            histogram = added(project, tmp_path / str(old), pbso4_neutron, 90.0)
        assert histogram.data["Sample Parameters"]["Type"] == "Debye-Scherrer"
        assert "Shift" not in histogram.data["Sample Parameters"]
        if old:
            histogram.data["Sample Parameters"]["Shift"] = [0.0, False]
            histogram.data["Background"][1]["background PWDR"] = ["", 1.0]
        result = answer(histogram, 62, ANGLESITE)
        (phase,) = gsasii.seed(project, histogram, result, control=good(result))
        report = gsasii.refine(project, histogram, phase, result, cycles=2, control=good(result))
        assert "zero" in [what for what, _ in report.steps]
        cells.append(report.cell)
    assert cells[0] == cells[1]


def test_a_fit_that_the_background_alone_reaches_does_not_converge(alone, monkeypatch):
    project, histogram = alone
    result = answer(histogram, 62, ANGLESITE)
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    before = str(project.data)
    monkeypatch.setattr(lebail_recipe, "NO_BETTER", 0.01)
    report = gsasii.refine(project, histogram, phase, cycles=1)
    assert not report.converged
    assert report.cell is None
    assert any("no better than the background alone" in note for note in report.notes)
    assert str(project.data) == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions")
def test_a_write_protected_project_is_not_overwritten(alone):
    project, _ = alone
    mine = Path(project.filename)
    mine.chmod(0o444)
    before = mine.read_bytes()
    with pytest.raises(OutputError, match="this file is write-protected\\n  How to fix it: save under another name"):
        gsasii.save(project)
    assert mine.read_bytes() == before
    assert [path.name for path in mine.parent.iterdir() if path.name.startswith(".")] == []
    assert gsasii.save(project, mine.with_name("other.gpx")).exists()


def finished_process():
    """The number of a process that no longer runs."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(sys.platform == "win32", reason="whether a process runs is asked on POSIX only")
def test_scratch_folders_of_killed_runs_go_and_those_of_running_ones_stay(tmp_path):
    with scratch_beside(tmp_path, "gsasii") as mine:
        dead = mine.with_name(mine.name.replace(f"-{os.getpid()}.", f"-{finished_process()}."))
        shutil.copytree(mine, dead)
        (dead / "half.gpx").write_text("half")
        older = tmp_path / ".gsasii-abcd1234"
        older.mkdir()
        os.utime(older, (0, 0))
        theirs = tmp_path / ".gsasii-notes"
        theirs.mkdir()
        remove_leftovers(tmp_path, "gsasii")
        assert sorted(tmp_path.iterdir()) == sorted([mine, theirs])
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.mark.skipif(sys.platform == "win32", reason="whether a process runs is asked on POSIX only")
def test_files_that_a_killed_run_had_moved_aside_come_back(tmp_path):
    target = tmp_path / "gsasii"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with emptied(target):
        [aside] = tmp_path.glob(".gsasii-*")
        dead = aside.with_name(aside.name.replace(f"-{os.getpid()}.", f"-{finished_process()}."))
        shutil.copytree(aside, dead)
        (target / "half.gpx").write_text("half")
    (target / "mine.txt").unlink()
    remove_leftovers(tmp_path, "gsasii")
    assert (target / "mine.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["gsasii"]
