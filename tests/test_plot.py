"""The picture: ticks where the answer puts its lines, the network's opinion, nothing over anything else."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from alphadiffract_plugin.crystal import allowed_inv_d2, two_theta_from_inv_d2
from alphadiffract_plugin.crystal.symmetry import symbol_from_space_group
from alphadiffract_plugin.records import Candidate, IndexingResult, Peaks, Prediction
from alphadiffract_plugin.report.plot import figure_of

NO_ESD = (0.0,) * 6
LAB6 = Candidate((4.15683,) * 3 + (90.0,) * 3, NO_ESD, 221, "P m -3 m", "cubic", 0.8, same_extinctions=(200, 215, 221))


@pytest.fixture
def result(lab6_lab) -> IndexingResult:
    """LaB6 with the right answer first, another group of the same lines, and five worse ones."""
    position = two_theta_from_inv_d2(allowed_inv_d2(LAB6.cell, 221, 1.5), lab6_lab.wavelength)[:12]
    peaks = Peaks(position, position * 0 + 0.002, position, position * 0 + 0.1, position, lab6_lab.wavelength)
    alike = dataclasses.replace(LAB6, space_group=215, space_group_symbol="P -4 3 m", probability=0.1)
    groups = ((225, 8.31366), (229, 8.31366), (123, 4.1567), (65, 5.8787), (1, 4.1566))
    others = [
        dataclasses.replace(
            LAB6,
            cell=(a, a, a * (1.0001 if group < 200 else 1), 90.0, 90.0, 90.0),
            space_group=group,
            space_group_symbol=symbol_from_space_group(group),
            same_extinctions=(),
        )
        for group, a in groups
    ]
    first = dataclasses.replace(LAB6, unindexed=(float(position[3]),))
    groups = np.r_[np.full(228, 0.001), 0.5, 0.272]
    prediction = Prediction(np.array([0.01, 0.04, 0.1, 0.1, 0.1, 0.05, 0.6]), groups, (), groups[None], "small")
    return IndexingResult(lab6_lab.name, "test", lab6_lab.wavelength, (first, alike, *others), peaks, prediction)


def words(figure):
    """(text, box in pixels) of everything written that is drawn; ticks beyond an axis are not."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    beyond = set()
    for axes in figure.findobj(lambda artist: hasattr(artist, "get_xlabel")):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    found = [text for text in figure.findobj(Text) if text not in beyond]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found if t.get_visible() and t.get_text().strip()]


def texts(figure):
    return {text for text, _ in words(figure)}


def test_no_words_overlap_and_none_leave_the_picture(lab6_lab, result):
    figure = figure_of(lab6_lab, result)
    boxes = words(figure)
    assert len(boxes) > 30
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
        assert not overlap, (one, two)
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text


def test_ticks_stand_at_the_lines_of_each_answer_that_differs(lab6_lab, result):
    figure = figure_of(lab6_lab, result)
    ticks = next(
        axes for axes in figure.findobj(lambda a: hasattr(a, "get_xlabel")) if "two_theta" in axes.get_xlabel()
    )
    assert [label.get_text() for label in ticks.get_yticklabels()] == [
        "1   P m -3 m",
        "3   F m -3 m",
        "4   I m -3 m",
        "5   P 4/m m m",
        "6   C m m m",
    ]
    drawn = np.array([segment[0][0] for segment in ticks.collections[0].get_segments()])
    # 100 of LaB6 with Cu Kα1 at 21.358 degrees, 110 at 30.385 (NIST SRM 660c certificate)
    assert drawn[:2] == pytest.approx([21.358, 30.385], abs=0.005)


def test_ticks_move_with_a_misplaced_sample(lab6_lab, result):
    moved = dataclasses.replace(LAB6, zero_shift=0.1, displacement=-0.3)
    figure = figure_of(lab6_lab, dataclasses.replace(result, candidates=(moved,)))
    ticks = next(
        axes for axes in figure.findobj(lambda a: hasattr(a, "get_xlabel")) if "two_theta" in axes.get_xlabel()
    )
    first = ticks.collections[0].get_segments()[0][0][0]
    assert first == pytest.approx(21.358 + 0.1 - 0.3 * np.cos(np.radians(10.679)), abs=0.005)


def test_lines_that_the_first_answer_leaves_out_are_marked(lab6_lab, result):
    boxes = texts(figure_of(lab6_lab, result))
    assert "line that answer 1 does not explain" in boxes
    assert "P m -3 m (221)" not in boxes
    assert "I a -3 d (230)" in boxes and "I m -3 m (229)" in boxes


def test_a_name_is_no_formula(lab6_lab, result):
    assert any(
        "50$ a $gram" in text
        for text in texts(figure_of(lab6_lab, dataclasses.replace(result, histogram="50$ a $gram")))
    )


@pytest.mark.parametrize("lacking", ["prediction", "peaks", "candidates"])
def test_the_picture_does_without_what_an_indexer_does_not_give(lab6_lab, result, lacking):
    bare = dataclasses.replace(result, **{lacking: () if lacking == "candidates" else None})
    boxes = texts(figure_of(lab6_lab, bare))
    assert ("what the network says" in boxes) == (lacking != "prediction")
    assert ("line found" in boxes) == (lacking != "peaks")
