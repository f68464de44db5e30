"""Patterns are degraded as the page on robustness says, and its tables count what came of it."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin.benchmark_index import row_from_values
from alphadiffract_plugin.indexing import Found
from alphadiffract_plugin.peaks.find_peaks import find_peaks

ROOT = Path(__file__).parent.parent
ANGLESITE_LINES = [20.827, 23.332, 26.715, 27.691, 29.686]


@pytest.fixture(scope="module")
def bench():
    """The two modules, from their folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        yield importlib.import_module("degrade"), importlib.import_module("robustness")


@pytest.fixture
def degraded(bench, pbso4_xray):
    return lambda curve, value, seed=6: bench[0].degraded(pbso4_xray, curve, value, seed=seed)


def test_every_curve_holds_the_untouched_pattern_and_every_condition_has_a_file_of_its_own(bench):
    degrade, robustness = bench
    assert all(curve.untouched in curve.values for curve in degrade.CURVES)
    names = [name for name, _, _ in robustness.conditions()]
    assert len(set(names)) == len(names) == 1 + sum(len(curve.values) - 1 for curve in degrade.CURVES)


def test_three_foreign_lines_are_found_among_those_of_anglesite_and_one_of_them_is_the_one_alone(degraded, pbso4_xray):
    def strange(histogram):
        own, found = find_peaks(pbso4_xray).two_theta, find_peaks(histogram).two_theta
        return found[(np.abs(found[:, None] - own) > 0.08).all(1) & (found < own[19])]

    one, three = degraded("impurities", 1), degraded("impurities", 3)
    assert len(strange(one)) == 1
    assert len(strange(three)) == 3
    assert np.abs(strange(three) - strange(one)).min() < 0.02
    assert np.array_equal(three.intensity, degraded("impurities", 3).intensity)
    added = (three.intensity - pbso4_xray.intensity).max() / pbso4_xray.intensity.max()
    assert 0.02 < added < 0.2


def test_noise_is_as_strong_as_said_and_the_esds_know_it(degraded, pbso4_xray):
    noisy = degraded("noise", 2.0)
    spread = 0.02 * pbso4_xray.intensity.max()
    assert np.std(noisy.intensity - pbso4_xray.intensity) == pytest.approx(spread, rel=0.05)
    assert np.allclose(noisy.esd**2 - pbso4_xray.esd**2, spread**2)


def test_lines_are_cut_off_between_two(degraded, pbso4_xray):
    lines = find_peaks(pbso4_xray).two_theta
    assert lines[2] < degraded("missing", 3).two_theta[0] < lines[3]


def test_the_high_end_is_cut_at_the_same_d_for_every_wavelength(bench, degraded, lab6_ssrl):
    assert degraded("end", 40.0).two_theta[-1] == pytest.approx(40, abs=0.03)
    synchrotron = bench[0].degraded(lab6_ssrl, "end", 40.0, seed=0)
    d = lab6_ssrl.wavelength / 2 / np.sin(np.radians(synchrotron.two_theta[-1] / 2))
    assert d == pytest.approx(1.5406 / 2 / np.sin(np.radians(20)), rel=1e-3)


def test_the_wavelength_and_the_zero_are_changed_and_nothing_else(degraded, pbso4_xray):
    longer = degraded("wavelength", 0.1)
    assert longer.wavelengths == pytest.approx([1.001 * w for w in pbso4_xray.wavelengths])
    assert replace(longer, wavelengths=pbso4_xray.wavelengths) == pbso4_xray
    assert np.allclose(degraded("zero", -0.1).two_theta, pbso4_xray.two_theta - 0.1)
    mean = degraded("one", "mean Kα")
    assert (mean.wavelengths, mean.kalpha2_ratio) == (pytest.approx((1.54177,), abs=1e-5), 0.0)


def test_the_page_counts_the_patterns_that_every_value_has_and_keeps_what_was_written(bench, tmp_path):
    """Of three patterns the last was stopped before it was cut at 40 degrees."""
    degrade, robustness = bench
    figures = ["cell@1", "cell@20", "sg@1", "sg@5", "noted", "noticed"]
    answers = {}
    for name, _, _ in robustness.conditions():
        ids = "ab" if name == "end_40" else "abc"
        answers[name] = [{"id": i, "seconds": 1.0} | dict.fromkeys(figures, i == "a") for i in ids]
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nProse.\n\n## Measured\n\nof last year\n", encoding="utf-8")
    robustness.write_page(page, answers, "--sample 3")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\nProse.\n\n## Measured\n")
    assert "last year" not in text
    assert "| 40 | 2 | 50 (9-91) |" in text
    assert "| -0.1 | 3 | 33 (6-79) |" in text
    assert (tmp_path / "page.png").stat().st_size > 10_000
    robustness.write_page(page, answers, "--sample 3")
    assert page.read_text(encoding="utf-8") == text


def test_an_answer_is_judged_and_a_wavelength_that_is_told_is_noticed(bench, data, monkeypatch):
    """LaB6 and one more answer, given with Kα1 0.1 % too long."""
    from alphadiffract_plugin import pipeline

    monkeypatch.setattr(pipeline, "search_cells", lambda *arguments: Found([]))
    row = {
        "id": "x",
        "path": str(data / "lab6_lab.xye"),
        "wavelength_A": "1.540593/1.544427",
        "kalpha2_ratio": "0.5",
        "radiation": "xray",
        "niggli": "4.15683 4.15683 4.15683 90 90 90",
        "space_group_number": "221",
        "sg_alternatives": "",
    }
    line = bench[1].evaluated(row_from_values(row, data / "index.csv", 2), "wavelength", 0.1)
    assert (line["error"], line["noted"], line["noticed"]) == (None, True, True)
    assert json.loads(json.dumps(line)) == line
