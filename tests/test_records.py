"""The records: frozen, documented field by field, equal after a JSON round trip, otherwise refused with a remedy."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphadiffract_plugin import json_record, records, settings
from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.records import (
    Candidate,
    ControlFit,
    Histogram,
    IndexingResult,
    LatticeProposal,
    Peaks,
    Prediction,
    RandomCellControl,
    Record,
    SeedReport,
)
from alphadiffract_plugin.settings import SearchSettings, Settings

NAN = math.nan
CELL = (8.4801, 5.3979, 6.9586, 90.0, 90.0, 90.0)
HISTOGRAM = Histogram(
    [10, 10.02, 10.04], [1, 4, 2], None, (1.5405929, 1.5444274), 0.5, instrument={"U": 2.0, "Type": "PXC"}
)
PEAKS = Peaks([20.8], [0.002], [311.5], [0.11], [45.0], 1.5405929)
PROPOSAL = LatticeProposal("orthorhombic", CELL, (0.1, 0.1, 0.1, 0.0, 0.0, 0.0), 0.8)
PREDICTION = Prediction(np.full(7, 1 / 7), np.full(230, 1 / 230), (PROPOSAL,), np.full((2, 230), 1 / 230), "small")
CANDIDATE = Candidate(CELL, (0.0003, 0.0002, NAN, 0.0, 0.0, 0.0), 62, "P n m a", "orthorhombic", 0.9, unindexed=(31.2,))
RESULT = IndexingResult("anglesite", "alphadiffract", 1.5405929, (CANDIDATE,), PEAKS, PREDICTION, timings={"load": 0.1})
TRIED = ControlFit("candidate 1", "P n m a", CELL, 48, 11.1)
RANDOM = ControlFit("random cell 1", "P n m a", (7.0, 6.0, 7.6, 90.0, 90.0, 90.0), 46, NAN)
CONTROL = RandomCellControl((TRIED,), (RANDOM,), (10.0, 56.6), 86.2, 3.9, ("It fits.",))
REPORT = SeedReport("gsasii", "out", ("out/a.gpx",), ("c1",), True, 9.1, 2.2, CELL, CELL, (("all", 12.0),), (), CONTROL)
ALL = (HISTOGRAM, PEAKS, PROPOSAL, PREDICTION, CANDIDATE, RESULT, TRIED, CONTROL, REPORT, Settings())


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_json_round_trip_gives_an_equal_record(record):
    text = record.to_json()
    again = type(record).from_json(text)
    assert again == record
    assert again.to_json() == text
    assert json.loads(text)["schema_version"] == json_record.SCHEMA_VERSION


@given(
    cell=st.tuples(*[st.floats(1, 50)] * 3, *[st.floats(60, 120)] * 3),
    figure=st.floats(allow_infinity=False),
    unindexed=st.lists(st.floats(1, 179)).map(tuple),
)
def test_any_candidate_survives_json(cell, figure, unindexed):
    candidate = Candidate(cell, cell, 1, "P 1", "triclinic", 0.5, m20=figure, rwp=figure, unindexed=unindexed)
    assert Candidate.from_json(candidate.to_json()) == candidate


def test_a_real_histogram_survives_json(lab6_lab):
    assert Histogram.from_json(lab6_lab.to_json()) == lab6_lab


def test_records_that_differ_in_one_number_are_not_equal():
    assert dataclasses.replace(CANDIDATE, rwp=9.0) != CANDIDATE
    assert dataclasses.replace(HISTOGRAM, intensity=[1, 4, 3]) != HISTOGRAM
    assert dataclasses.replace(HISTOGRAM, esd=[1, 2, 1]) != HISTOGRAM
    assert PEAKS != PROPOSAL


def test_records_are_frozen_down_to_their_arrays():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CANDIDATE.rwp = 1.0
    with pytest.raises(ValueError, match="read-only"):
        HISTOGRAM.intensity[0] = 7


def test_a_record_keeps_its_own_copy_of_an_array():
    intensity = np.array([1.0, 4.0, 2.0])
    histogram = dataclasses.replace(HISTOGRAM, intensity=intensity)
    intensity[0] = 99
    assert histogram.intensity[0] == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "this text is not JSON"),
        ("3", "holds a number in place of a record"),
        ("null", "holds null in place of a record"),
        ('"x"', "holds a text in place of a record"),
        ("[]", "holds a list in place of a record"),
        (REPORT.to_json(), "holds a SeedReport"),
        (CANDIDATE.to_json().replace('"schema_version": 1', '"schema_version": 99'), "schema version 99"),
        (CANDIDATE.to_json().replace('"rwp"', '"Rwp"'), "extra fields found (Rwp)"),
        (CANDIDATE.to_json().replace('"cell": [', '"cells": ['), "required field missing @ $.cell"),
        (
            CANDIDATE.to_json().replace('"space_group": 62', '"space_group": "Pnma"'),
            "invalid value for type, expected int",
        ),
    ],
)
def test_json_of_something_else_is_refused_with_how_to_fix_it(text, fault):
    with pytest.raises(SettingsError) as caught:
        Candidate.from_json(text)
    assert fault in str(caught.value)
    assert "How to fix it: " in str(caught.value)


def test_an_infinite_number_is_refused_with_how_to_fix_it():
    with pytest.raises(SettingsError, match=r"Candidate cannot be written as JSON.*\n  How to fix it: use NaN"):
        dataclasses.replace(CANDIDATE, m20=math.inf).to_json()


@pytest.mark.parametrize(
    ("step", "name", "bad", "good", "allowed"),
    [
        ("search", "lines", (4, 31, 20.0, True), (5, 30), "5"),
        ("search", "impurities", (-1,), (0,), "from 0 to 30"),
        ("search", "volume_min", (0.0, -5.0, NAN, 3000.0), (1, 2999.0), ""),
        ("search", "volume_max", (20.0, math.inf, "much"), (20.1,), ""),
        ("search", "length_max", (0.0,), (12.5,), "above 0"),
        ("search", "seconds", (0.0, -1.0), (0.1,), "above 0"),
        ("search", "keep", (0,), (1,), "from 1 to 1000"),
        ("peaks", "significance", (0.0,), (0.5,), "above 0"),
        ("peaks", "most", (3,), (4,), "from 4 to 1000"),
        ("network", "augmentations", (0,), (1,), "from 1 to 1000"),
        ("rank", "keep", (0,), (1,), "from 1 to 1000"),
        ("seed", "keep", (0,), (1,), "from 1 to 100"),
        ("seed", "cycles", (0,), (1,), "from 1 to 100"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_the_range(step, name, bad, good, allowed):
    usual = getattr(Settings(), step)
    for value in good:
        assert getattr(dataclasses.replace(usual, **{name: value}), name) == value
    for value in bad:
        with pytest.raises(SettingsError, match=rf"^{step}\.volume_max is|^{step}\.{name} is ") as caught:
            dataclasses.replace(usual, **{name: value})
        assert allowed in caught.value.fix


def test_a_setting_out_of_range_is_named_when_it_comes_from_json():
    text = Settings().to_json().replace('"lines": 20', '"lines": 40')
    with pytest.raises(SettingsError, match=r"search\.lines is 40"):
        Settings.from_json(text)
    with pytest.raises(SettingsError, match="random_seed is -1"):
        Settings(random_seed=-1)
    with pytest.raises(SettingsError, match="network.device is 'tpu'\n  How to fix it: give auto, cpu or cuda"):
        settings.NetworkSettings(device="tpu")


def test_a_receipt_holds_an_rwp_against_chance_with_the_noise_set_aside():
    assert CONTROL.chance_rwp == 86.2, "a random cell that was not fitted counts for nothing"
    assert CONTROL.beats_random
    assert CONTROL.beats_chance(70)
    assert not CONTROL.beats_chance(71)
    noisy = dataclasses.replace(CONTROL, noise_rwp=60.0)
    assert noisy.beats_chance(78), "with so much noise, 60 is the best that a cell can do"
    assert not noisy.beats_chance(79)
    large_esds = dataclasses.replace(CONTROL, noise_rwp=100.0, background_rwp=80.0)
    assert not large_esds.beats_chance(70), "where chance reaches the noise nothing beats it"
    shown = str(CONTROL).splitlines()
    assert shown[1].split() == "candidate 1 Rwp 11.1 % 48 reflections P n m a, 8.4801 5.3979 6.9586 90 90 90".split()
    assert "not fitted" in shown[2]
    assert shown[-1] == "  It fits."


def test_volume_of_anglesite_and_of_a_triclinic_cell():
    assert CANDIDATE.volume == pytest.approx(8.4801 * 5.3979 * 6.9586)
    triclinic = dataclasses.replace(CANDIDATE, cell=(5.0, 6.0, 7.0, 80.0, 95.0, 110.0))
    basis = np.array(triclinic.cell[:3])
    cosines = np.cos(np.radians([[0, 110, 95], [110, 0, 80], [95, 80, 0]]))
    np.fill_diagonal(cosines, 1)
    assert triclinic.volume == pytest.approx(math.sqrt(np.linalg.det(cosines * np.outer(basis, basis))))


def test_inv_d2_of_a_line_is_that_of_bragg():
    # LaB6 (NIST SRM 660c, a = 4.156826 Å): 100 lies at 21.358 degrees with Cu Kα1
    peaks = Peaks([21.358], [0.001], [1.0], [0.1], [50.0], 1.5405929)
    assert 1 / math.sqrt(peaks.inv_d2[0]) == pytest.approx(4.156826, abs=2e-4)


def test_a_candidate_of_a_group_has_its_symbol_and_crystal_system():
    calcite = (4.9896, 4.9896, 17.061, 90.0, 90.0, 120.0)
    found = Candidate.of_group(167, cell=calcite, cell_esd=(0.0,) * 6, probability=0.9, origin="search")
    assert (found.space_group, found.space_group_symbol, found.crystal_system) == (167, "R -3 c", "trigonal")
    assert found.volume == pytest.approx(367.9, abs=0.1)
    with pytest.raises(ValueError, match="no space group 231"):
        Candidate.of_group(231, cell=calcite, cell_esd=(0.0,) * 6, probability=0.9)


@pytest.mark.parametrize("module", [records, settings], ids=lambda module: module.__name__)
def test_every_field_says_what_it_is(module):
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(classes) >= 6
    for node in classes:
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert said and len(str(after.value.value)) > 10, f"{node.name}.{field.target.id}"


def test_every_setting_has_a_default():
    for name in vars(settings).values():
        if isinstance(name, type) and issubclass(name, Record) and name.__module__ == settings.__name__:
            assert name() == name.from_json(name().to_json())


def test_an_unknown_setting_is_refused():
    document = SearchSettings().to_dict() | {"minutes": 3}
    with pytest.raises(SettingsError, match="minutes"):
        SearchSettings.from_dict(document)
