"""The comparison of two seeded projects: which patterns it draws, what it starts from, what it calls the same cell."""

from __future__ import annotations

import csv
import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.benchmark_index import row_from_values
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.records import Candidate, IndexingResult

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))
spec = importlib.util.spec_from_file_location("seeding", BENCH / "seeding.py")
seeding = importlib.util.module_from_spec(spec)
sys.modules["seeding"] = seeding
spec.loader.exec_module(seeding)
sys.path.remove(str(BENCH))

ANGLESITE = (8.480, 5.398, 6.958, 90.0, 90.0, 90.0)
NIGGLI = "5.398 6.958 8.480 90 90 90"


def index_row(name, system, wavelength, radiation="xray", tier="A"):
    row = {"id": name, "tier": tier, "path": f"{name}.xy", "radiation": radiation, "wavelength_A": wavelength}
    return row | {"crystal_system": system}


@pytest.fixture
def index(tmp_path):
    """Two laboratory patterns of garnets, one of quartz, one of a synchrotron, one of neutrons; one label in doubt."""
    rows = [
        index_row("pyrope", "cubic", "1.540593/1.544427"),
        index_row("almandine", "cubic", "1.540593/1.544427"),
        index_row("quartz", "trigonal", "1.540593/1.544427"),
        index_row("lab6", "cubic", "0.729568"),
        index_row("anglesite", "orthorhombic", "1.909", "neutron"),
        index_row("doubtful", "monoclinic", "1.540593/1.544427", tier="B"),
    ]
    with (tmp_path / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "index.csv"


def test_one_of_each_source_and_system_comes_first_and_labels_in_doubt_never(index):
    drawn = seeding.chosen_rows(index, sample=4)
    assert {(seeding.source(row), row.crystal_system) for row in drawn} == {
        ("laboratory", "cubic"),
        ("laboratory", "trigonal"),
        ("synchrotron", "cubic"),
        ("neutron", "orthorhombic"),
    }
    assert drawn == seeding.chosen_rows(index, sample=4)
    assert len(seeding.chosen_rows(index, sample=100)) == 5
    assert drawn[0].measurement.path == index.parent / f"{drawn[0].id}.xy"


def test_named_patterns_are_taken_and_unknown_ones_named(index, tmp_path):
    (tmp_path / "ids").write_text("quartz\n")
    assert [row.id for row in seeding.chosen_rows(index, sample=1, ids=tmp_path / "ids")] == ["quartz"]
    (tmp_path / "ids").write_text("quartz doubtful\n")
    with pytest.raises(SystemExit, match="no pattern with a known cell is called doubtful"):
        seeding.chosen_rows(index, sample=1, ids=tmp_path / "ids")


def test_the_known_cell_starts_in_the_standard_setting_at_the_shift_of_the_pattern(lab6_lab):
    found = IndexingResult("x", "by hand", lab6_lab.wavelength, (), find_peaks(lab6_lab))
    lab6 = {name: "4.15683" for name in "abc"} | dict.fromkeys(("alpha", "beta", "gamma"), "90")
    (first,) = seeding.known_result(row_of(lab6 | {"space_group_number": "221"}), found).candidates
    assert first.zero_shift == pytest.approx(-0.07, abs=0.02), "its lines lie so much too low"
    # a cell of P 21/c with an angle of 142 degrees, as the table turns it round from P 21/n
    flat = dict(
        zip(("a", "b", "c", "alpha", "beta", "gamma"), "6.76478 6.9851 10.4251 90 142.83 90".split(), strict=True)
    )
    (second,) = seeding.known_result(row_of(flat | {"space_group_number": "14"}), found).candidates
    assert second.cell[4] == pytest.approx(126.58, abs=0.01), "no other that keeps the symbol is nearer to 90"
    assert second.volume == pytest.approx(6.76478 * 6.9851 * 10.4251 * math.sin(math.radians(142.83)))


def row_of(values):
    return row_from_values(values, Path("index.csv"), 2)


def report_of(cell):
    return SimpleNamespace(cell=cell)


def answered(space_group, cell):
    symbol, system = crystal.symbol_from_space_group(space_group), crystal.crystal_system_from_space_group(space_group)
    candidate = Candidate(cell, (math.nan,) * 6, space_group, symbol, system, 1.0)
    return IndexingResult("x", "by hand", 1.54, (candidate,))


@pytest.mark.parametrize(
    ("cell", "group", "off"),
    [
        (ANGLESITE, 62, 0.0),
        ((8.480, 5.398 * 1.002, 6.958, 90.0, 90.0, 90.0), 62, 0.2),
        ((5.398, 6.958 * 0.999, 8.480, 90.0, 90.0, 90.0), 19, 0.1),
        ((8.480, 5.398, 6.958, 90.0, 90.1, 90.0), 14, 100 * math.radians(0.1)),
        ((8.480, 10.796, 6.958, 90.0, 90.0, 90.0), 62, math.nan),
        ((8.480, 5.398, 6.958, 90.0, 90.0, 90.0), 64, math.nan),
        (None, 62, math.nan),
    ],
    ids=["same", "b too long", "other axes", "oblique", "doubled", "centred", "no fit"],
)
def test_how_far_a_refined_cell_is_off(cell, group, off):
    truth = seeding.known_lattice(row_of({"niggli": NIGGLI}))
    assert seeding.off(report_of(cell), answered(group, cell or ANGLESITE), truth) == pytest.approx(off, nan_ok=True)


def test_what_fails_is_shown_and_counted():
    good = seeding.Row("a", "cubic", "laboratory", 221, 221, 9.0, 8.9, 0.01, 0.02, 0.01, (True, True), (90.0, 90.0), 30)
    wrong = seeding.Row("b", "trigonal", "neutron", 167, 225, 9.0, 8.9, converged=(True, True), ends=(90.0, 80.0))
    failed = seeding.Row("c", "cubic", "laboratory", 221, error="too few lines")
    loose = seeding.Row("d", "cubic", "laboratory", 221, 221, 10.3, 8.9, 0.01, 0.01, 0.01, (False, True))
    assert (good.keeps, wrong.keeps, failed.keeps) == ((True, True), (True, False), (False, False))
    assert loose.keeps == (False, False), "what has not converged keeps no limit"
    assert seeding.shown(wrong) == (
        "| b | trigonal | neutron | 225 | 167 | 9.00 | 8.90 | 1.01 | - | - | - | yes / yes | 90.0 / 80.0 | 0 |"
    )
    assert "too few lines" in seeding.shown(failed)
    printed = seeding.summary([good, wrong, failed, loose])
    assert printed.startswith(
        "4 patterns, 2 crystal systems, laboratory, neutron: 2 converged, 3 from the known cell; "
    )
    assert "Rwp within 1.15 x in 2; cell within 0.1 % of the known one in 1, of the one refined from it in 1" in printed
    assert printed.endswith("both limits kept by 1.")
    assert all(len(row.split("|")) == len(seeding.HEAD) + 2 for row in map(seeding.shown, (good, wrong, failed)))
