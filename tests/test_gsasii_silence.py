"""Where the real GSAS-II goes wrong without a word: each story shows that it does, and that our projects do not suffer.

Told elsewhere: in test_gsasii_symbols.py ':1', '_1' and cells that are none; in test_gsasii.py points at or below zero,
esds of zero, failures of a fit that GSAS-II keeps to itself, and words on the terminal.
"""

import copy
import dataclasses
import math

import numpy as np
import pytest

from alphadiffract_plugin import crystal, gsasii
from alphadiffract_plugin.errors import InputError, WavelengthError
from alphadiffract_plugin.gsasii import seeder
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.recipes.recipe_records import LeBailResult
from alphadiffract_plugin.records import Candidate, ControlFit, IndexingResult, RandomCellControl
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram
from alphadiffract_plugin.settings import SeedSettings, Settings

pytestmark = pytest.mark.gsasii

LAB6 = (4.15683, 4.15683, 4.15683, 90.0, 90.0, 90.0)
OFF = (4.1651, 4.1651, 4.1651, 90.0, 90.0, 90.0)
"""0.2 % too long."""
KNOWN = RandomCellControl((ControlFit("candidate 1", "P m -3 m", OFF, 20, 12.0),), (), (15.0, 125.0), 80.0, 4.0, ())
"""What the control of the candidates would be, without its short fits."""
NOT_FITTED = LeBailResult(False, math.nan, math.nan, math.nan, None, None, (), ())


def candidate_of(cell, space_group=221):
    system = crystal.crystal_system_from_space_group(space_group)
    symbol = crystal.symbol_from_space_group(space_group)
    return Candidate(cell, (math.nan,) * 6, space_group, symbol, system, 0.9, m20=40.0, zero_shift=-0.09)


def loaded(histogram, folder):
    """A project of a user in which a pattern is loaded, and its histogram."""
    pattern = write_xye(histogram, folder / "lab6.xye")
    (folder / "lab6.instprm").write_text(instprm_from_histogram(histogram, find_peaks(histogram)))
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(folder / "mine.gpx"))
        return project, project.add_powder_histogram(str(pattern), str(folder / "lab6.instprm"), fmthint="Topas xye")


@pytest.fixture(scope="module")
def result(lab6_lab):
    return IndexingResult("lab6", "by hand", lab6_lab.wavelength, (candidate_of(OFF),), find_peaks(lab6_lab))


@pytest.fixture(scope="module")
def fitted(lab6_lab, result, tmp_path_factory):
    """A project seeded 0.2 % off and refined, its histogram, phase and report."""
    project, histogram = loaded(lab6_lab, tmp_path_factory.mktemp("fitted"))
    (phase,) = gsasii.seed(project, histogram, result, control=KNOWN)
    return project, histogram, phase, gsasii.refine(project, histogram, phase, result, cycles=1, control=KNOWN)


def test_le_bail_in_the_first_refinement_fails_without_an_exception_in_gsasii_but_not_here(
    fitted, lab6_lab, result, tmp_path
):
    project, histogram = loaded(lab6_lab, tmp_path)
    (phase,) = gsasii.seed(project, histogram, result, control=KNOWN)
    with gsasii.quiet():
        phase.set_refinements({"LeBail": True})
        project.set_Controls("cycles", 0)
        assert project.refine() is None
    assert histogram.get_wR() is None, "nothing was fitted, and no error was raised"
    assert gsasii.refine(project, histogram, phase, result, cycles=1, control=KNOWN) == dataclasses.replace(
        fitted[3], target=str(project.filename)
    )


def test_the_reflections_are_those_of_the_refined_cell(fitted):
    _, histogram, phase, report = fitted
    assert report.converged
    assert abs(report.cell[0] / OFF[0] - 1) > 1.5e-3
    listed = np.array(histogram.data["Reflection Lists"][phase.name]["RefList"])
    low, high = histogram.data["Limits"][1]
    wavelength = histogram.data["Instrument Parameters"][0]["Lam1"][1]
    reach = (2 * np.sin(np.radians(high / 2)) / wavelength) ** 2
    allowed = crystal.allowed_inv_d2(report.cell, 221, reach)
    distinct = np.unique(np.round(listed[:, 4], 5))[::-1]
    assert len(distinct) in (len(allowed), len(allowed) + 1), "GSAS-II lists one behind the limit"
    assert distinct[: len(allowed)] == pytest.approx(allowed[: len(distinct)] ** -0.5, rel=2e-4)
    assert low < listed[:, 5].min()


def test_the_scale_is_not_refined_against_intensities_that_are_free(fitted, lab6_lab, tmp_path):
    _, untouched = loaded(lab6_lab, tmp_path)
    assert untouched.data["Sample Parameters"]["Scale"][1] is True, "as GSAS-II has it"
    assert fitted[1].data["Sample Parameters"]["Scale"][1] is False


def test_lines_are_seeded_in_the_order_that_gsasii_takes_for_granted(fitted):
    # IndexPeaks takes the last row for the line of smallest d, whatever stands there
    _, histogram, _, _ = fitted
    rows = histogram.data["Index Peak List"][0]
    assert len(rows) >= 7, "fewer, and IndexPeaks reads rows for columns"
    spacing = [row[7] for row in rows]
    assert spacing == sorted(spacing, reverse=True)
    positions = [row[0] for row in histogram.data["Peak List"]["peaks"]]
    assert positions == sorted(positions)


def test_a_phase_of_the_same_name_stays_and_ours_is_the_one_fitted(lab6_lab, result, tmp_path):
    project, histogram = loaded(lab6_lab, tmp_path)
    with gsasii.quiet():
        own = project.add_phase(phasename="candidate_1", spacegroup="F d -3 m", cell=[5.43] * 3 + [90] * 3)
    before = copy.deepcopy(own.data["General"])
    (first,) = gsasii.seed(project, histogram, result, control=KNOWN)
    (second,) = gsasii.seed(project, histogram, result, control=KNOWN)
    names = [phase.name for phase in project.phases()]
    assert names == ["candidate_1", first.name, second.name]
    assert len(set(names)) == 3
    assert first.data["General"]["SGData"]["SpGrp"] == "P m -3 m"
    assert str(project.phase("candidate_1").data["General"]) == str(before)


def test_a_cell_of_five_numbers_leaves_no_half_made_phase(lab6_lab, result, tmp_path):
    project, histogram = loaded(lab6_lab, tmp_path)
    with gsasii.quiet(), pytest.raises(Exception, match="6 entries"):
        project.add_phase(phasename="half", spacegroup="P m -3 m", cell=list(LAB6[:5]))
    assert [phase.name for phase in project.phases()] == ["half"], "GSAS-II refuses it, and keeps it"
    before = str(project.data)
    for cell in (LAB6[:5], (math.nan, *LAB6[1:]), (4.0, 4.0, 4.0, 170.0, 30.0, 90.0)):
        short = dataclasses.replace(result, candidates=(dataclasses.replace(candidate_of(LAB6), cell=cell),))
        with pytest.raises(InputError, match="none of the 1 candidates has a cell"):
            gsasii.seed(project, histogram, short)
    assert str(project.data) == before


def test_an_instrument_without_a_wavelength_is_refused_before_anything_is_indexed(lab6_lab, tmp_path):
    _, histogram = loaded(lab6_lab, tmp_path)
    (tmp_path / "bare.instprm").write_text("#GSAS-II instrument parameter file\nType:PXC\nBank:1\nZero:0.0\n")
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "bare.gpx"))
        bare = project.add_powder_histogram(
            str(tmp_path / "lab6.xye"), str(tmp_path / "bare.instprm"), fmthint="Topas xye"
        )
    assert len(bare.getdata("x")) == len(histogram.getdata("x")), "GSAS-II takes it"
    with pytest.raises(WavelengthError):
        gsasii.index(bare)


def test_a_pattern_named_dat_keeps_its_points(lab6_lab, result, tmp_path, monkeypatch):
    monkeypatch.setattr(seeder, "control_fits", lambda *_, **__: KNOWN)
    monkeypatch.setattr(seeder, "fit_by_lebail", lambda *_, **__: NOT_FITTED)
    write_xye(lab6_lab, tmp_path / "lab6.dat")
    (tmp_path / "lab6.instprm").write_text(instprm_from_histogram(lab6_lab, None))
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "mine.gpx"))
        theirs = project.add_powder_histogram(str(tmp_path / "lab6.dat"), str(tmp_path / "lab6.instprm"))
    assert len(theirs.getdata("x")) < 10, "read as a FullProf file of another kind"
    named = dataclasses.replace(lab6_lab, name="lab6.dat")
    report = seeder.seed(named, result, tmp_path / "seeded", Settings(seed=SeedSettings(cycles=1)))
    with gsasii.quiet():
        ours = gsasii.scriptable().G2Project(gpxfile=report.target).histograms()[0]
    assert np.allclose(np.ma.getdata(ours.getdata("x")), lab6_lab.two_theta)


def test_esds_of_a_cell_that_was_never_refined_are_reported_as_unknown_not_as_zero(fitted, lab6_lab, result, tmp_path):
    project, histogram = loaded(lab6_lab, tmp_path)
    (phase,) = gsasii.seed(project, histogram, result, control=KNOWN)
    with gsasii.quiet():
        assert set(phase.get_cell_and_esd()[1].values()) == {0.0}, "as GSAS-II has it"
    assert fitted[3].cell_esd[0] > 0
    wrong_cell = (5.1, 5.1, 5.1, 90.0, 90.0, 90.0)
    wrong = dataclasses.replace(result, candidates=(candidate_of(wrong_cell, 225),))
    (lost,) = gsasii.seed(project, histogram, wrong, control=KNOWN)
    wrong_control = dataclasses.replace(
        KNOWN, candidates=(dataclasses.replace(KNOWN.candidates[0], cell=wrong_cell, rwp=80.0),)
    )
    report = gsasii.refine(project, histogram, lost, wrong, cycles=1, control=wrong_control)
    assert not report.converged
    assert report.cell_esd is None
