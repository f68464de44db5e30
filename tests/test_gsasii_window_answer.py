"""What the menu entry 'Index with AlphaDiffract' of GSAS-II gets from the indexer: what it shows and writes in JSON."""

from __future__ import annotations

import json
import math
import re

import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.gsasii import window
from alphadiffract_plugin.records import Candidate, IndexingResult

PWDR = "PWDR pbso4_xray.xye"


@pytest.fixture(scope="module")
def indexed(window_task):
    """The answer of the real indexer, once."""
    return gsasii.index(window._histogram(window_task))


def test_what_is_handed_over_names_the_cell_and_what_speaks_against_it(window_task, indexed):
    answer = json.loads(json.dumps(window.window_answer(window_task, indexed)))
    first, second = answer["choices"][:2]
    assert dict(zip(answer["columns"], first["texts"], strict=True))["space group"] == "P n m a (62)"
    assert float(first["texts"][1]) > 0.9
    assert first["phase"]["cell"] == pytest.approx([8.480, 5.398, 6.958, 90, 90, 90], rel=2e-3)
    assert (first["phase"]["name"], second["phase"]["name"]) == ("candidate_1", "candidate_2")
    assert "Lines that this cell does not explain: none." in first["details"]
    assert "Doubtful: its probability is" in second["details"]
    assert first["note"].startswith("  candidate_1: P n m a (62), 8.4")
    before, after = answer["note"]
    assert re.match(
        rf"alphadiffract-plugin \S+: chosen from \d+ candidates .* for {PWDR}, wavelength 1.5405 A", before[0]
    )
    assert "made with" in after[-1]
    positions = [row[0] for row in answer["index_peaks"][0]]
    assert 15 < positions[0] < positions[-1] < 100, "limits hold"
    assert not any(40 < position < 42 for position in positions), "and so do excluded regions"


def test_names_that_the_project_has_are_not_given_again(window_task, indexed):
    others = window_task | {"phases": ["candidate_2", "mine"], "alone": False}
    names = [choice["phase"]["name"] for choice in window.window_answer(others, indexed)["choices"]]
    assert names[:2] == ["candidate_1_pbso4_xray", "candidate_2_pbso4_xray"]


def test_without_a_cell_there_is_nothing_to_tick_but_the_reasons_come_over(window_task):
    opinion = Candidate((math.nan,) * 6, (math.nan,) * 6, 19, "P 21 21 21", "orthorhombic", 0.3)
    result = IndexingResult(PWDR, "alphadiffract", 1.5405, (opinion,), notes=("No cell explains the lines found.",))
    answer = window.window_answer(window_task, result)
    assert (answer["choices"], answer["notes"]) == ([], ["No cell explains the lines found."])


def test_each_step_of_the_indexing_has_words_for_the_window(indexed):
    assert set(indexed.timings) == set(window.STEPS)


@pytest.mark.gsasii
def test_the_lists_are_those_that_seed_makes(window_task, indexed, tmp_path, examples):
    from alphadiffract_plugin.recipes.project_recipe import seed_project
    from alphadiffract_plugin.seeding.answer import recipe_answer

    (tmp_path / "lab.instprm").write_text(
        "#GSAS-II instrument parameter file\nType:PXC\nBank:1\nLam1:1.5405\nLam2:1.5443\nI(L2)/I(L1):0.5\nZero:0.0\n"
        "Polariz.:0.7\nAzimuth:0.0\nU:2.0\nV:-2.0\nW:5.0\nX:0.0\nY:0.0\nZ:0.0\nSH/L:0.002\n"
    )
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "seeded.gpx"))
        pattern, instrument = str(examples / "pbso4_xray.xye"), str(tmp_path / "lab.instprm")
        histogram = project.add_powder_histogram(pattern, instrument, fmthint="Topas xye")
        seed_project(project, histogram, recipe_answer(indexed), keep=len(indexed.candidates), note="")
    answer = window.window_answer(window_task, indexed)
    assert histogram.data["Unit Cells List"] == [*answer["choices"][0]["loaded"], *answer["unit_cells"][2:]]
    assert histogram.data["Index Peak List"] == answer["index_peaks"]
    assert [(row[0], row[2]) for row in histogram.data["Peak List"]["peaks"]] == answer["peaks"]
    assert [phase.name for phase in project.phases()] == [one["phase"]["name"] for one in answer["choices"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instrument": {"Type": ["PNT", "PNT", 0]}}, "the instrument type PNT is time of flight"),
        ({"instrument": {"Type": ["PXC", "PXC", 0]}}, "the instrument parameters hold no wavelength"),
        ({"limits": [[10, 160], [15, 16]]}, "points are too few for a measured pattern"),
        ({"form": 0}, "this was not written by the menu entry of this version"),
    ],
)
def test_what_cannot_be_indexed_is_refused_with_how_to_fix_it(cli, tmp_path, window_task, changes, said):
    (tmp_path / "task.json").write_text(json.dumps(window_task | changes))
    shown = cli("gsasii", "index-for-window", tmp_path / "task.json", tmp_path / "answer.json")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("error: ")
    assert said in shown.err
    assert "How to fix it" in shown.err
    assert not (tmp_path / "answer.json").exists()
