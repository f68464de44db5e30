"""The whole flow on measured patterns, from histogram to ranked answers and JSON."""

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin import pipeline
from alphadiffract_plugin.errors import PeaksError
from alphadiffract_plugin.indexing import Found
from alphadiffract_plugin.limits import distinct_within_limits
from alphadiffract_plugin.pipeline import index_histogram
from alphadiffract_plugin.prediction.alone import index_by_network
from alphadiffract_plugin.records import Histogram, IndexingResult
from alphadiffract_plugin.settings import Settings


@pytest.fixture(scope="module")
def lab6(lab6_ssrl):
    return index_histogram(lab6_ssrl, Settings())


@pytest.fixture(scope="module")
def anglesite_result(pbso4_xray, anglesite):
    """Anglesite through the flow, with the evidence that the fixture ``anglesite`` gathered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "gather_evidence", lambda histogram, settings: anglesite)
        return index_histogram(pbso4_xray, Settings())


def test_anglesite_is_indexed(anglesite_result):
    first = anglesite_result.candidates[0]
    assert first.cell == pytest.approx((8.480, 5.398, 6.958, 90, 90, 90), rel=1e-3)
    assert first.space_group_symbol == "P n m a"
    assert first.probability > 0.6
    assert first.unindexed == ()
    assert not any("doubtful" in note for note in anglesite_result.notes)


def test_lab6_is_indexed(lab6):
    """Three of the lines found below 12 degrees are none of its own."""
    first = lab6.candidates[0]
    assert first.cell == pytest.approx((4.15683, 4.15683, 4.15683, 90, 90, 90), rel=1e-3)
    assert first.cell[0] == first.cell[1] == first.cell[2]
    assert first.space_group_symbol == "P m -3 m"
    assert first.same_extinctions == (195, 200, 207, 215, 221)
    assert first.m20 > 500


def test_potassium_hydrogen_tartrate_is_indexed(tartrate_ssrl):
    """Orthorhombic with three screw axes and no glide plane: the class P 21 21 21 holds one group alone."""
    first = index_histogram(tartrate_ssrl, Settings()).candidates[0]
    assert sorted(first.cell[:3]) == pytest.approx([7.6130, 7.7872, 10.6546], rel=1e-3)
    assert first.cell[3:] == (90, 90, 90)
    assert (first.space_group_symbol, first.same_extinctions) == ("P 21 21 21", (19,))


def test_the_same_histogram_gives_the_same_answer(lab6, lab6_ssrl):
    """Twice in one process, to the last digit; only the times differ."""
    again = index_histogram(lab6_ssrl, Settings())
    assert replace(again, timings={}).to_json() == replace(lab6, timings={}).to_json()


@pytest.mark.parametrize("name", ["anglesite_result", "lab6"])
def test_an_answer_goes_to_json_and_back(name, request):
    result = request.getfixturevalue(name)
    assert IndexingResult.from_json(result.to_json()) == result
    assert IndexingResult.from_json(result.to_json(indent=1)) == result


def test_an_answer_says_how_it_came_about(lab6):
    assert (lab6.histogram, lab6.indexer, lab6.wavelength) == ("lab6_ssrl", "alphadiffract", 0.729568)
    assert set(lab6.timings) == {"find_peaks", "predict", "search_cells", "fit_pattern", "rank", "refine_pattern"}
    assert all(seconds >= 0 for seconds in lab6.timings.values())
    assert lab6.versions["alphadiffract-plugin"]
    assert {"numpy", "torch", "gemmi", "spglib"} <= set(lab6.versions)
    assert lab6.settings["search"]["keep"] == Settings().search.keep
    assert len(lab6.peaks) >= 27
    assert lab6.prediction.space_group_probability.sum() == pytest.approx(1)


def test_the_name_of_a_histogram_changes_nothing(anglesite, pbso4_xray, anglesite_result, monkeypatch):
    """It is copied into the answer, and read by nothing else."""
    monkeypatch.setattr(pipeline, "gather_evidence", lambda histogram, settings: anglesite)
    renamed = index_histogram(replace(pbso4_xray, name="quartz", source="elsewhere"), Settings())
    assert renamed.histogram == "quartz"
    assert replace(renamed, histogram="pbso4_xray", timings={}) == replace(anglesite_result, timings={})


@pytest.fixture
def no_search(monkeypatch):
    for search in ("search_cells", "search_further"):
        monkeypatch.setattr(pipeline, search, lambda *arguments: Found([]))


def test_of_neutrons_the_network_is_not_asked_and_the_answer_says_so(pbso4_neutron, no_search):
    result = index_histogram(pbso4_neutron, Settings())
    assert result.prediction is None
    assert any("network was not used" in note and "neutrons" in note for note in result.notes)
    assert len(result.peaks) > 30


def test_where_no_cell_is_found_the_answer_is_empty_and_says_so(pbso4_neutron, no_search):
    result = index_histogram(pbso4_neutron, Settings())
    assert result.candidates == ()
    assert any(note.startswith("No cell explains the lines found") for note in result.notes)
    assert IndexingResult.from_json(result.to_json()) == result


def test_a_doubtful_answer_comes_with_a_warning(anglesite, pbso4_xray, monkeypatch):
    """The evidence of anglesite's lines cut to a tenth: nothing stands out any more."""
    fits = [replace(f, evidence=replace(f.evidence, lines=f.evidence.lines / 10)) for f in anglesite.fits]
    monkeypatch.setattr(
        pipeline, "gather_evidence", lambda histogram, settings: replace(anglesite, fits=fits, prediction=None)
    )
    result = index_histogram(pbso4_xray, Settings())
    assert result.candidates[0].probability < 0.5
    assert any(note.startswith("The first answer is doubtful") for note in result.notes)


def test_where_no_cell_is_good_a_note_says_that_the_group_is_the_network_s(anglesite, pbso4_xray, monkeypatch):
    monkeypatch.setattr(pipeline, "gather_evidence", lambda histogram, settings: replace(anglesite, fits=[]))
    result = index_histogram(pbso4_xray, Settings())
    assert not result.candidates[0].has_cell
    assert any("none of the cells is right (probability 1.00)" in note for note in result.notes)
    assert IndexingResult.from_json(result.to_json()).candidates[0].space_group == result.candidates[0].space_group


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"search.volume_max": 200}, lambda one: one.volume <= 200),
        ({"search.length_max": 5}, lambda one: max(one.cell[:3]) <= 5),
        ({"search.volume_min": 400}, lambda one: one.volume >= 400),
    ],
    ids=["volume_max", "length_max", "volume_min"],
)
def test_every_answer_keeps_a_limit_that_is_set(pbso4_xray, changes, kept):
    """The cell of anglesite, 8.480, 5.398, 6.958 Å and 318.6 Å³, is beyond each of them."""
    settings = Settings().changed(changes | {"search.effort": "quick"})
    result = index_histogram(pbso4_xray, settings)
    cells = [candidate for candidate in result.candidates if candidate.has_cell]
    assert cells
    assert all(kept(candidate) for candidate in cells)


def test_a_note_says_how_many_better_cells_a_limit_left_out(anglesite):
    trials = [fit.trial for fit in anglesite.fits]
    best = replace(trials[0], score=50.0)
    half = replace(best, metric=best.metric * 4.0, score=20.0)  # all edges half as long
    for changes, note in (
        ({"search.volume_max": 100}, ["1 cell that explains the lines better than every cell in this answer was left"]),
        ({"search.volume_max": 400}, []),
        ({}, []),
    ):
        notes = []
        kept = distinct_within_limits([best, half], Settings().changed(changes).search, notes)
        assert len(kept) == 2 - len(note)
        assert [one[: len(note[0])] if note else one for one in notes] == note


def test_a_pattern_without_lines_is_refused_before_anything_is_searched(monkeypatch):
    def never(*arguments):
        raise AssertionError("searched")

    monkeypatch.setattr(pipeline, "search_cells", never)
    x = np.arange(10, 80, 0.02)
    noise = Histogram(x, 100 + np.random.default_rng(0).normal(0, 10, len(x)), None, (1.5406,))
    with pytest.raises(PeaksError, match="diffraction lines stand above the noise"):
        index_histogram(noise, Settings())


def test_the_network_alone_ranks_groups_and_warns_of_its_cells(pbso4_xray):
    result = index_by_network(pbso4_xray, Settings())
    probability = [candidate.probability for candidate in result.candidates]
    assert result.indexer == "alphadiffract-net"
    assert probability == sorted(probability, reverse=True)
    assert len(probability) == Settings().rank.keep
    assert any("Do not refine from them" in note for note in result.notes)
    assert {candidate.origin for candidate in result.candidates} == {"network"}
    assert all(np.isnan(candidate.m20) for candidate in result.candidates)
    assert IndexingResult.from_json(result.to_json()) == result


def test_where_nothing_is_clearly_right_the_search_goes_on_and_a_note_says_so(anglesite, pbso4_xray, monkeypatch):
    """The first search finds nothing: the further one finds anglesite's cell all the same."""
    monkeypatch.setattr(pipeline, "search_cells", lambda *arguments: Found([]))
    monkeypatch.setattr(pipeline, "trials_from_prediction", lambda *arguments: [])
    result = index_histogram(pbso4_xray, Settings())
    assert result.candidates[0].cell == pytest.approx((8.480, 5.398, 6.958, 90, 90, 90), rel=1e-3)
    assert any(note.startswith("No cell was clearly right at first") for note in result.notes)
    assert not any(note.startswith("No cell was clearly right at first") for note in anglesite.notes)


def test_a_shift_of_a_third_of_a_degree_is_found_and_stated(lab6_lab):
    """LaB6 whose goniometer reads 0.3 degrees too much: the cell stays within 0.05 % of 4.1568 Å (NIST SRM 660a)."""
    shifted = replace(lab6_lab, two_theta=lab6_lab.two_theta + 0.3)
    usual, result = (index_histogram(one, Settings()) for one in (lab6_lab, shifted))
    first = result.candidates[0]
    assert first.space_group_symbol == "P m -3 m"
    assert first.cell[0] == pytest.approx(4.1568, rel=5e-4)
    before = usual.candidates[0].zero_shift + usual.candidates[0].displacement
    assert first.zero_shift + first.displacement - before == pytest.approx(0.3, abs=0.03)
    assert any("every line is shifted by +" in note for note in result.notes)
