"""The command simulate: patterns that can be indexed, their cells, and a sheet that shows them."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from alphadiffract_plugin import crystal  # noqa: E402
from alphadiffract_plugin.cli.app import main  # noqa: E402
from alphadiffract_plugin.cli.simulate import chosen_effects  # noqa: E402
from alphadiffract_plugin.errors import SettingsError  # noqa: E402
from alphadiffract_plugin.load import histogram_from_file  # noqa: E402
from alphadiffract_plugin.models.simulation import sheet  # noqa: E402
from alphadiffract_plugin.models.simulation.effects import PRESETS  # noqa: E402
from alphadiffract_plugin.peaks.find_peaks import find_peaks  # noqa: E402

ROOT = Path(__file__).parent.parent
SUPERCONDUCTORS = ROOT / "examples" / "data" / "structures_3dsc.parquet"
ANGLESITE = """data_anglesite
_symmetry_space_group_name_H-M 'P n m a'
_symmetry_Int_Tables_number 62
_cell_length_a 8.480
_cell_length_b 5.398
_cell_length_c 6.958
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_symmetry_equiv_pos_as_xyz
x,y,z
x+1/2,y,-z+1/2
-x,y+1/2,-z
-x+1/2,y+1/2,z+1/2
-x,-y,-z
-x+1/2,-y,z+1/2
x,-y+1/2,z
x+1/2,-y+1/2,-z+1/2
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Pb Pb 0.188 0.25 0.167 1
S S 0.0633 0.25 0.6842 1
O1 O 0.908 0.25 0.596 1
O2 O 0.194 0.25 0.543 1
O3 O 0.0819 0.0265 0.809 1
"""


@pytest.fixture
def anglesite(tmp_path):
    (tmp_path / "anglesite.cif").write_text(ANGLESITE)
    return tmp_path / "anglesite.cif"


def run(*arguments):
    """Exit code of the command."""
    try:
        main(["simulate", *map(str, arguments)])
    except SystemExit as left:
        return left.code or 0
    return 0


def truth(folder):
    with open(folder / "truth.csv") as file:
        return list(csv.DictReader(file))


def indexed(path, wavelength):
    """Sorted axes of the first answer."""
    from alphadiffract_plugin.pipeline import index_histogram
    from alphadiffract_plugin.settings import Settings

    return sorted(index_histogram(histogram_from_file(path, wavelength=wavelength), Settings()).candidates[0].cell[:3])


def axes(row):
    return sorted(float(row[axis]) for axis in "abc")


def test_the_lines_of_a_perfect_instrument_stand_where_the_told_cell_and_group_put_them(anglesite, tmp_path):
    assert run(anglesite, "-o", tmp_path / "out", "--count", 1, "--effects", "ideal") == 0
    (told,) = truth(tmp_path / "out")
    assert told["space_group"] == "62"
    cell = tuple(float(told[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma"))
    assert cell == pytest.approx((8.480, 5.398, 6.958, 90, 90, 90), rel=1e-5)  # as P n m a has them
    peaks = find_peaks(histogram_from_file(tmp_path / "out" / "1.xye", wavelength="CuKa1"))
    lines = crystal.two_theta_from_inv_d2(crystal.allowed_inv_d2(cell, 62, 0.7), 1.540593)
    strong = np.argsort(peaks.area)[-15:]
    off = np.abs(peaks.two_theta[strong][:, None] - lines).min(1)
    assert np.median(off) < 0.001 and off.max() < 0.02  # a step: two lines that overlap may be found as one


def test_monoclinic_cells_are_told_in_the_setting_of_their_structures(tmp_path):
    from alphadiffract_plugin.models.structures.table import read

    assert run(SUPERCONDUCTORS, "-o", tmp_path / "out", "--count", 504, "--effects", "ideal", "--format", "npz") == 0
    known = read([SUPERCONDUCTORS])
    by_id = dict(zip(known.id.tolist(), known.cell, strict=True))
    for row in truth(tmp_path / "out"):
        cell = [float(row[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma")]
        assert cell == pytest.approx(by_id[row["id"]], rel=1e-4), row["id"]


def test_a_pure_anglesite_of_a_laboratory_is_found_by_index(anglesite, tmp_path):
    """As the laboratory has it, but a pure sample over the whole range, measured long enough."""
    (tmp_path / "pure.toml").write_text(
        "[effects]\ncut_share = 0\nimpurity_share = 0\nforeign_share = 0\nnoise = 0.001\ncounts = 20_000\n"
    )
    effects = ("--effects", tmp_path / "pure.toml")
    assert run(anglesite, "-o", tmp_path / "out", "--count", 1, "--seed", 1, *effects) == 0
    (told,) = truth(tmp_path / "out")
    # 0.3 %: zero shift and displaced sample are in the pattern, and refined with the cell
    assert indexed(tmp_path / "out" / "1.xye", "CuKa") == pytest.approx(axes(told), rel=3e-3)


def test_patterns_of_a_file_and_of_random_crystals_come_with_their_truth_and_a_sheet(tmp_path, pbso4_xray):
    folder = tmp_path / "out"
    pattern = ROOT / "examples" / "data" / "pbso4_xray.xye"
    arguments = (SUPERCONDUCTORS, "--count", 5, "--random", 2, "--measured", pattern, "--wavelength", "CuKa")
    assert run(*arguments, "-o", folder, "--format", "npz") == 0
    with np.load(folder / "patterns.npz") as made:
        assert made["intensity"].shape == made["coverage"].shape == (7, 4096)
        assert made["intensity"].max(1) == pytest.approx(np.ones(7)) and made["intensity"].min() == 0
        assert [str(name).split(":")[0] for name in made["id"]] == ["3dsc_mp"] * 5 + ["random"] * 2
        first = made["intensity"].copy()
    rows = truth(folder)
    assert len(rows) == 7 and all(1 <= int(row["space_group"]) <= 230 and float(row["a"]) > 2 for row in rows)
    assert (folder / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in folder.iterdir()) == ["patterns.npz", "sheet.png", "truth.csv"]
    assert run(*arguments, "-o", folder, "--format", "npz", "--overwrite") == 0
    with np.load(folder / "patterns.npz") as again:
        assert np.array_equal(first, again["intensity"])


def test_fewer_structures_than_patterns_are_drawn_again_with_other_effects(anglesite, tmp_path):
    assert run(anglesite, "-o", tmp_path / "out", "--count", 3) == 0
    cells = {(row["a"], row["b"], row["c"]) for row in truth(tmp_path / "out")}
    assert len(cells) == 3
    assert len(list((tmp_path / "out").glob("*.xye"))) == 3


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ((), "name structure files"),
        (("none.parquet",), "check the path"),
        (("none.cif",), "there is no such file"),
        (("--random", "1", "--effects", "labratory"), "choose laboratory"),
        (("--random", "1", "--effects", "none.toml"), "TOML"),
        (("--random", "1", "--instrument", "none.instprm"), "check the path"),
        (("--random", "1", "--measured", "none.xye"), "How to fix it:"),
        (("empty.cif",), "correct the CIF"),
    ],
)
def test_bad_input_exits_with_2_says_how_to_fix_it_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, fix):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.cif").write_text("")
    assert run(*arguments, "-o", "out") == 2
    assert fix in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced_unasked(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert run("--random", 1, "-o", tmp_path) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_smaller_set_replaces_a_larger_one_whole_and_leaves_what_is_not_its_own(tmp_path):
    assert run("--random", 10, "-o", tmp_path / "out") == 0
    (tmp_path / "out" / "99.xye").write_text("mine")
    assert run("--random", 2, "-o", tmp_path / "out", "--overwrite") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["1.xye", "2.xye", "99.xye", "sheet.png", "truth.csv"]


def test_effects_come_from_a_preset_a_file_or_both_with_a_hint_for_a_misspelt_one(tmp_path):
    assert chosen_effects("paper", None) == PRESETS["paper"]
    file = tmp_path / "mine.toml"
    file.write_text('[effects]\npreset = "paper"\nzero = [-0.1, 0.1]\ncounts = 0\n')
    expected = dataclasses.replace(PRESETS["paper"], zero=(-0.1, 0.1), counts=0)
    assert chosen_effects(str(file), None) == expected
    file.write_text("[effects]\nmicrostrian = [1, 2]\n")
    with pytest.raises(SettingsError, match="microstrain") as caught:
        chosen_effects(str(file), None)
    assert caught.value.line == 2


def test_the_sheet_mixes_measured_patterns_among_simulated_ones_and_marks_them():
    x = np.linspace(5, 80, 100)
    panels = [sheet.Panel(x, np.exp(-((x - 30) ** 2)), f"s{i}") for i in range(4)]
    panels += [sheet.Panel(x, np.where(x > 20, 1.0, np.nan) * x, f"m{i}", measured=True) for i in range(2)]
    assert [panel.title for panel in sheet.in_turn(panels)] == ["s0", "m0", "s1", "s2", "m1", "s3"]
    figure = sheet.figure_of(panels)
    shown = [axes for axes in figure.axes if axes.lines]
    assert [axes.lines[0].get_color() == sheet.MEASURED for axes in shown] == [False, True, False, False, True, False]
    assert shown[1].lines[0].get_ydata()[-1] == pytest.approx(1.0)
