"""How good a network is: figures that can be checked by hand, measured minerals, simulated patterns."""

import csv
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.evaluation.evaluate import on_index  # noqa: E402
from alphadiffract_plugin.models import catalogue, checkpoint, lattice  # noqa: E402
from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID, OPEN_GRID  # noqa: E402
from alphadiffract_plugin.models.open_network import OpenConfig, OpenNetwork  # noqa: E402
from alphadiffract_plugin.models.training.figures import (  # noqa: E402
    Evaluated,
    by_system,
    calibration,
    figures,
    lattice_errors,
    wilson,
)

SMALL = CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32, dropout=0.0)
ROWS = {  # of tests/data: two_theta axis at 0.729568 Å, Niggli cells of the literature
    "lab6": ("lab6_ssrl.xy", 221, "cubic", "4.15683 4.15683 4.15683 90 90 90"),
    "zincite": ("zincite_ssrl.xy", 186, "hexagonal", "3.2483 3.2483 5.2041 90 90 120"),
    "tartrate": ("tartrate_ssrl.xy", 19, "orthorhombic", ""),
}


def answers(said: list[int], true: list[set[int]], *, sure: float = 1.0) -> Evaluated:
    """Of a network that gives one group ``sure`` and spreads the rest; 0 is no answer."""
    groups = np.zeros((len(said), 230))
    for i, group in enumerate(said):
        if group:
            groups[i] = (1 - sure) / 229
            groups[i, group - 1] = sure
    right = np.zeros((len(said), 230), bool)
    for i, numbers in enumerate(true):
        right[i, [n - 1 for n in numbers]] = True
    system = lattice.system_of_group()[[min(numbers) - 1 for numbers in true]]
    cell = np.tile([4.0, 4.0, 4.0, 90.0, 90.0, 90.0], (len(said), 1))
    return Evaluated(groups, groups @ np.eye(7)[lattice.system_of_group()], cell, right, system, cell)


@pytest.fixture
def structures(examples):
    return examples / "structures_3dsc.parquet"


@pytest.fixture
def index(tmp_path, data):
    """Three minerals measured at a synchrotron, and anglesite measured with neutrons."""
    rows = [
        {"id": name, "path": str(data / file), "wavelength_A": "0.729568", "kalpha2_ratio": "", "radiation": "xray"}
        | {"space_group_number": group, "sg_alternatives": "", "crystal_system": system, "niggli": cell}
        | {"tier": "A" if cell else "B-sg-only", "family": "RRUFF" if name == "zincite" else "SSRL"}
        for name, (file, group, system, cell) in ROWS.items()
    ]
    neutron = {"path": str(data / "pbso4_neutron.xye"), "wavelength_A": "1.909", "radiation": "neutron"}
    rows.append(rows[2] | neutron | {"space_group_number": 62, "crystal_system": "Orthorhombic"})
    rows.append(rows[0] | {"tier": "C-tentative"})
    return write(tmp_path / "index.csv", rows)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_intervals_are_those_of_the_published_figures():
    # AlphaDiffract on 734 RRUFF patterns: 81.74 and 66.21 %; Wilson 78.8-84.4 and 62.7-69.5
    assert wilson(600, 734) == pytest.approx((78.8, 84.4), abs=0.05)
    assert wilson(486, 734) == pytest.approx((62.7, 69.5), abs=0.05)
    assert wilson(0, 5)[0] == 0 and wilson(5, 5)[1] == 100 and wilson(0, 0) == (0, 100)


def test_a_wrong_group_is_counted_by_its_hops_and_an_alternative_is_right():
    evaluated = answers([62, 33, 221, 78], [{62}, {62}, {62}, {76, 78}])
    row = figures(evaluated)
    assert row["space_group@1"]["percent"] == 50  # Pnma for Pnma, and P43 where P41 and P43 both count
    assert row["hops"] == {"0": 2, "1": 1, "2": 0, "3": 0, "4": 1, "5": 0, "6": 0}  # a tilted perovskite called cubic
    assert row["within_1_hops"]["percent"] == 75 and row["hops_mean"] == 1.25
    assert row["crystal_system@1"]["percent"] == 75


def test_a_pattern_without_an_answer_is_wrong_and_no_gift_to_p1():
    row = figures(answers([0, 62], [{1}, {62}]))
    assert (row["n"], row["answered"]) == (2, 1)
    assert row["space_group@1"]["percent"] == row["space_group@5"]["percent"] == 50
    assert row["crystal_system@1"]["percent"] == 50
    assert row["hops_mean"] == 0 and sum(row["hops"].values()) == 1
    nothing = figures(answers([0], [{1}]))
    assert nothing["hops_mean"] is None and nothing["lattice"] == {"n": 0}


def test_one_who_says_ninety_per_cent_and_is_right_in_sixty_is_off_by_thirty():
    right = np.array([True] * 60 + [False] * 40)
    assert calibration(np.full(100, 0.9), right)["ece"] == pytest.approx(0.3)
    assert calibration(np.full(100, 0.6), right)["ece"] == pytest.approx(0.0)
    two = calibration(np.repeat([0.9, 0.5], 100), np.concatenate([right, right]))
    assert two["ece"] == pytest.approx((0.3 + 0.1) / 2)
    assert [row["n"] for row in two["bins"]] == [100, 100]


def test_errors_of_the_cell_are_means_over_three_and_r2_is_one_without_them():
    truth = np.array([[4, 5, 6, 90, 90, 90], [5, 6, 8, 80, 95, 100.0], [9, 9, 9, 60, 60, 60]])
    assert lattice_errors(truth, truth)["length_r2"] == lattice_errors(truth, truth)["angle_r2"] == 1
    longer = truth * [1.1, 1.1, 1.1, 1, 1, 1]
    row = lattice_errors(longer, truth)
    assert row["length_mape"] == pytest.approx(10) and row["angle_mae"] == 0
    assert row["length_mae"] == pytest.approx(0.1 * truth[:, :3].mean())
    assert row["volume_error"] == pytest.approx(3 * np.log(1.1))
    assert lattice_errors(np.tile(truth.mean(0), (3, 1)), truth)["length_r2"] == pytest.approx(0)
    unknown = np.full((3, 6), np.nan)
    assert lattice_errors(truth, unknown) == {"n": 0}


def test_patterns_are_counted_by_their_true_system():
    rows = by_system(answers([62, 225, 225], [{62}, {225}, {221}]))
    assert list(rows) == ["orthorhombic", "cubic", "all"]
    assert [row["n"] for row in rows.values()] == [1, 2, 3]
    assert rows["cubic"]["space_group@1"]["percent"] == 50


def test_measured_minerals_are_judged_as_the_index_says(index):
    section = on_index(catalogue.resolve("default"), index, device="cpu", seed=1)
    assert section.kind == "measured" and section.about["without_answer"] == {"RadiationError": 1}
    rows = section.figures
    assert list(rows) == ["orthorhombic", "hexagonal", "cubic", "all", "RRUFF", "tier A", "tier B-sg-only"]
    assert [rows[name]["n"] for name in ("all", "RRUFF", "tier A")] == [4, 1, 2]
    assert rows["cubic"]["crystal_system@1"]["percent"] == 100  # LaB6 is seen to be cubic
    assert rows["all"]["answered"] == 3 and rows["all"]["crystal_system@1"]["percent"] < 100
    assert rows["all"]["lattice"]["n"] == 2


def test_the_command_writes_json_a_table_and_pictures_and_the_same_again(index, structures, tmp_path, cli):
    torch.manual_seed(1)
    folder = checkpoint.save(CompactNetwork(SMALL), COMPACT_GRID, tmp_path / "small", provenance={})
    asked = ("evaluate", folder, "--structures", structures, "--benchmark", index, "--each", 2, "--device", "cpu")
    printed = cli(*asked, "-o", tmp_path / "first")
    assert printed.code == 0
    assert "## Simulated patterns: val split of structures_3dsc.parquet" in printed.out
    assert "## Measured patterns: index.csv" in printed.out
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["evaluation.json", "evaluation.md", "measured.png", "simulated.png"]
    assert (tmp_path / "first" / "evaluation.md").read_text() == printed.out
    assert (tmp_path / "first" / "simulated.png").stat().st_size > 20_000
    again = cli(*asked, "--json")
    assert json.loads(again.out) == json.loads((tmp_path / "first" / "evaluation.json").read_text())
    refused = cli(*asked, "-o", tmp_path / "first")
    assert refused.code == 2 and "already there" in refused.err


def test_the_published_network_is_judged_on_the_same_structures(structures, tmp_path, cli):
    torch.manual_seed(1)
    folder = checkpoint.save(OpenNetwork(OpenConfig()), OPEN_GRID, tmp_path / "published", provenance={})
    printed = cli("evaluate", folder, "--structures", structures, "--effects", "paper", "--each", 1, "--json")
    [section] = json.loads(printed.out)["sections"]
    assert section["figures"]["all"]["n"] == len(section["figures"]) - 1
    assert section["figures"]["all"]["lattice"]["length_mae"] > 100  # untrained: the middle of 0 to 500 Å


def test_a_run_of_made_up_crystals_alone_is_judged_on_others(tmp_path, cli):
    torch.manual_seed(1)
    folder = checkpoint.save(CompactNetwork(SMALL), COMPACT_GRID, tmp_path / "small", provenance={})
    (tmp_path / "run.toml").write_text('[data]\nrandom = 1\nprior = "flat"\n')
    printed = cli("evaluate", folder, "--run", tmp_path, "--each", 3, "--json")
    [section] = json.loads(printed.out)["sections"]
    assert section["title"] == "random crystals" and section["about"]["prior"] == "flat"
    assert section["figures"]["all"]["n"] == 21 and len(section["figures"]) > 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no patterns were named"),
        (("--structures", "x.parquet", "--run", "runs/x"), "--structures and --run exclude each other"),
        (("--structures", "x.parquet", "--effects", "lab"), "laboratory"),
        (("--structures", "x.parquet", "--split", "validation"), "choose one of train, val, test"),
        (("--run", "nowhere"), "not the folder of a run"),
        (("--benchmark", "nowhere.csv"), "cannot be read"),
    ],
)
def test_what_cannot_be_judged_is_said(arguments, told, cli):
    said = cli("evaluate", "default", *arguments)
    assert said.code == 2 and told in said.err and not said.out


def test_a_damaged_model_is_an_error_and_no_row_of_wrong_answers(index, tmp_path, cli):
    folder = checkpoint.save(CompactNetwork(SMALL), COMPACT_GRID, tmp_path / "damaged", provenance={})
    (folder / "model.safetensors").write_bytes(b"half a download")
    said = cli("evaluate", folder, "--benchmark", index)
    assert said.code == 2 and "download or copy the model again" in said.err and not said.out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"space_group_number": "231"}, "line 2"),
        ({"niggli": "4.1 4.1 4.1"}, "line 2"),
        ({"crystal_system": "isometric"}, "name of a crystal system"),
        ({"sg_alternatives": "33;29a"}, "sg_alternatives is '33;29a'"),
        ({"radiation": "electron"}, "radiation is 'electron'"),
        ({"wavelength_A": "Cu tube"}, "'Cu tube'"),
        ({"wavelength_A": None}, "no column wavelength_A"),
        ({"path": "gone.xy"}, "there is no pattern"),
    ],
)
def test_a_fault_of_an_index_is_named_with_its_line(index, change, told, cli):
    with index.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if None in change.values():
        rows = [{key: value for key, value in row.items() if key not in change} for row in rows]
    else:
        rows[0] |= change
    said = cli("evaluate", "default", "--benchmark", write(index, rows))
    assert said.code == 2 and told in said.err


def test_an_index_without_a_scored_row_is_refused(index, cli):
    with index.open(encoding="utf-8") as file:
        rows = [row | {"tier": "C-tentative"} for row in csv.DictReader(file)]
    said = cli("evaluate", "default", "--benchmark", write(index, rows))
    assert said.code == 2 and "no" in said.err and "tier that is scored" in said.err and not said.out
