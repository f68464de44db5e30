"""Stories of the random-cell control: what beats chance, what does not, and an answer without a cell is announced."""

import dataclasses
import math
import warnings

import numpy as np
import pytest

from alphadiffract_plugin import crystal, gsasii
from alphadiffract_plugin.gsasii import project as open_projects
from alphadiffract_plugin.gsasii import seeder
from alphadiffract_plugin.gsasii.control import MOST_REFLECTIONS, another_cell
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.recipes.recipe_records import LeBailResult, volume_of_cell
from alphadiffract_plugin.records import Candidate, IndexingResult, RandomCellControl
from alphadiffract_plugin.seeding import bundle
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram
from alphadiffract_plugin.settings import SeedSettings, Settings

pytestmark = pytest.mark.gsasii

ANGLESITE = (8.4786, 5.3976, 6.9590, 90.0, 90.0, 90.0)
LAB6 = (4.15683, 4.15683, 4.15683, 90.0, 90.0, 90.0)
WRONG = (4.4, 4.4, 4.4, 90.0, 90.0, 90.0)
QUICK = Settings(seed=SeedSettings(cycles=1))


def candidate_of(space_group, cell, probability=0.9, **more):
    system = crystal.crystal_system_from_space_group(space_group)
    symbol = crystal.symbol_from_space_group(space_group)
    return Candidate(cell, (math.nan,) * 6, space_group, symbol, system, probability, m20=40.0, **more)


def answer(pattern, *candidates):
    return IndexingResult(pattern.name, "by hand", pattern.wavelength, candidates, find_peaks(pattern))


@pytest.fixture
def held(tmp_path):
    """A pattern loaded in an open project: ``held(pattern)`` is project and histogram."""

    def load(pattern):
        write_xye(pattern, tmp_path / f"{pattern.name}.xye")
        (tmp_path / "i.instprm").write_text(instprm_from_histogram(pattern, find_peaks(pattern)))
        file, instrument = str(tmp_path / f"{pattern.name}.xye"), str(tmp_path / "i.instprm")
        with gsasii.quiet():
            project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "mine.gpx"))
            return project, project.add_powder_histogram(file, instrument, fmthint="Topas xye")

    return load


@pytest.fixture(scope="module")
def lab6(lab6_lab):
    """The pattern of LaB6 up to 70 degrees: seven lines, half of the points."""
    low = lab6_lab.two_theta < 70
    return dataclasses.replace(
        lab6_lab, **{name: getattr(lab6_lab, name)[low] for name in ("two_theta", "intensity", "esd")}
    )


def test_anglesite_beats_chance_and_a_supercell_is_recognised_by_its_reflections(pbso4_xray, held):
    project, histogram = held(pbso4_xray)
    doubled = (8.4786, 10.7952, 6.9590, 90.0, 90.0, 90.0)
    huge = tuple(4 * length for length in ANGLESITE[:3]) + ANGLESITE[3:]
    shift = {"zero_shift": -0.014, "displacement": -0.040}
    result = answer(
        pbso4_xray,
        *(candidate_of(62, ANGLESITE, **shift), candidate_of(47, doubled, **shift), candidate_of(16, huge, **shift)),
    )
    before = str(project.data)
    control = gsasii.control_fits(histogram, result)
    assert str(project.data) == before
    true, supercell, hopeless = control.candidates
    assert true.rwp < 15
    assert control.beats_random
    assert all(line.rwp > 3 * true.rwp for line in control.random_cells)
    counts = [line.reflections for line in control.random_cells]
    assert np.mean(counts) == pytest.approx(true.reflections, rel=0.15), "as easy a fit as the candidate's"
    assert supercell.reflections > 2 * true.reflections
    assert supercell.rwp < 1.5 * true.rwp
    assert hopeless.reflections > MOST_REFLECTIONS
    assert math.isnan(hopeless.rwp)
    assert "candidate 1 fits far better than chance" in control.verdict[0]
    assert f"{supercell.reflections}" in str(control)
    assert RandomCellControl.from_json(control.to_json()) == control
    assert gsasii.control_fits(histogram, result, keep=1).candidates == (true,), "the same seed gives the same fits"


def test_a_wrong_cell_is_no_better_than_chance_and_never_called_converged(lab6, held, monkeypatch):
    project, histogram = held(lab6)
    result = answer(lab6, candidate_of(221, WRONG))
    (phase,) = gsasii.seed(project, histogram, result)
    assert "candidate 1 does NOT fit clearly better than chance" in project.data["Notebook"]["data"][-1]
    settled = LeBailResult(True, 91.0, 91.0, 9.0, None, None, (), ())
    monkeypatch.setattr(open_projects, "fit_by_lebail", lambda *_, **__: settled)
    report = gsasii.refine(project, histogram, phase, result)
    assert not report.converged
    assert report.notes[0].startswith("The fit is no better than chance: near the lines its Rwp is 91.0 %")
    assert not report.control.beats_random
    better = dataclasses.replace(settled, rwp=9.0, line_rwp=9.0, gof=1.2)
    monkeypatch.setattr(open_projects, "fit_by_lebail", lambda *_, **__: better)
    again = gsasii.refine(project, histogram, phase, result, control=report.control)
    assert again.converged, "a long fit may find what a short one does not"


def test_a_fit_that_settles_at_a_high_rwp_says_what_it_means(lab6, held, monkeypatch):
    project, histogram = held(lab6)
    result = answer(lab6, candidate_of(221, LAB6, zero_shift=-0.09))
    control = gsasii.control_fits(histogram, result)
    assert control.beats_random
    (phase,) = gsasii.seed(project, histogram, result, control=control)
    for gof, meaning in ((9.0, "most of the pattern is not explained"), (1.3, "the pattern is mostly noise")):
        settled = LeBailResult(True, 61.0, 61.0, gof, None, None, (), ())
        monkeypatch.setattr(open_projects, "fit_by_lebail", lambda *_, settled=settled, **__: settled)
        report = gsasii.refine(project, histogram, phase, result, control=control)
        meant = f"The fit settled at Rwp 61.0 %, {gof:.1f} times what the noise alone would leave: {meaning}."
        assert report.notes == (meant, *report.control.verdict)


def test_an_answer_that_says_no_cell_is_right_is_seeded_with_a_warning(lab6, held, tmp_path):
    nothing = candidate_of(2, (math.nan,) * 6, 0.7)
    also_nothing = candidate_of(14, (math.nan,) * 6, 0.2)
    result = answer(lab6, nothing, candidate_of(221, LAB6, 0.05, zero_shift=-0.09), also_nothing)
    said = "The answer says that no cell is right (probability 0.90): its first entry, P -1, has none."
    project, histogram = held(lab6)
    with pytest.warns(UserWarning, match=r"no cell is right \(probability 0.90\).* from rank 2 on"):
        phases = gsasii.seed(project, histogram, result)
    assert [phase.name for phase in phases] == ["candidate_1"]
    assert project.data["Notebook"]["data"][-1].splitlines()[1].startswith(f"  ATTENTION: {said}")
    assert "1 of 3 candidates" in project.data["Notebook"]["data"][-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = seeder.seed(lab6, result, tmp_path / "gsasii", QUICK)
        plain = bundle.seed(lab6, result, tmp_path / "bundle", QUICK)
    assert report.notes[0].startswith(said)
    assert plain.notes[0].startswith(said)
    assert said in (tmp_path / "bundle" / "make_project.py").read_text()
    assert report.control.beats_random, "the cell is right all the same"
    with gsasii.quiet():
        made = gsasii.scriptable().G2Project(gpxfile=report.target)
    notebook = "\n".join(made.data["Notebook"]["data"])
    assert notebook.count(said) == 2
    assert "Short Le Bail fits from" in notebook


@pytest.mark.parametrize(
    "cell",
    [
        LAB6,
        (3.2483, 3.2483, 5.2041, 90.0, 90.0, 120.0),
        ANGLESITE,
        (5.9, 21.6, 7.5, 90.0, 103.8, 90.0),
        (7.1, 7.9, 9.2, 88.0, 77.0, 101.5),
        (5.5, 5.5, 5.5, 58.0, 58.0, 58.0),
    ],
)
def test_a_random_cell_is_of_the_same_kind_and_another(cell):
    generator = np.random.default_rng(7)
    for _ in range(50):
        drawn = another_cell(cell, generator)
        assert len(set(drawn[:3])) == len(set(cell[:3]))
        assert len(set(drawn[3:])) == len(set(cell[3:]))
        assert all(new == old for new, old in zip(drawn[3:], cell[3:], strict=True) if old in (90.0, 120.0))
        ratio = volume_of_cell(drawn) / volume_of_cell(cell)
        edges = np.sort(drawn[:3]) / np.sort(cell[:3])
        if len(set(cell[:3])) == 1:
            assert 1.09 < max(ratio, 1 / ratio) < 1.29, "one edge: another volume is the only other cell"
        else:
            assert ratio == pytest.approx(1)
            assert np.abs(np.log(edges)).max() >= 0.03
    assert another_cell(cell, np.random.default_rng(1)) == another_cell(cell, np.random.default_rng(1))


def test_controls_of_histograms_without_lines_take_the_whole_range(lab6, held):
    _, histogram = held(lab6)
    result = dataclasses.replace(answer(lab6, candidate_of(221, LAB6, zero_shift=-0.09)), peaks=None)
    control = gsasii.control_fits(histogram, result)
    assert control.two_theta == pytest.approx(histogram.data["Limits"][1])
    assert control.beats_random
