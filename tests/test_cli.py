"""The command line as a person and a script meet it. Fake indexers answer at once; real ones are in test_pipeline."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alphadiffract_plugin import __version__
from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.records import IndexingResult, SeedReport
from alphadiffract_plugin.report.tables import number
from alphadiffract_plugin.uncertainty import value_with_esd

LAB6 = ("lab6_lab.xye", "--wavelength", "CuKa")


@pytest.fixture
def lab6(data):
    """Arguments that name a real pattern with its wavelength."""
    return data / LAB6[0], *LAB6[1:]


def test_one_pattern_gives_a_ranked_table_on_stdout_and_nothing_else(cli, lab6):
    shown = cli("index", *lab6, "--indexer", "instant")
    assert shown.code == 0
    assert shown.err == ""
    first = next(line for line in shown.out.splitlines() if "P n m a (62)" in line)
    for text in ("orthorhombic", "8.4801(3)", "5.3979(2)", "6.9586(12)", "318.53", "88.5", "9.12", "0.930"):
        assert text in first
    assert "Groups with the same line positions as P n m a (62): P n a 21 (33)." in shown.out
    assert "note: this is a test" in shown.out


def test_no_answer_is_said_and_is_no_error(cli, lab6, tmp_path):
    shown = cli("index", *lab6, "--indexer", "speechless", "-o", tmp_path, "--seed", "note")
    assert shown.code == 0
    assert "no cell explains the lines of this pattern" in shown.out
    assert "nothing was seeded" in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab6_lab.json", "lab6_lab.png"]


def test_json_on_stdout_is_all_there_is_on_stdout(cli, lab6):
    shown = cli("index", *lab6, "--indexer", "instant", "--json", "-")
    result = IndexingResult.from_json(shown.out)
    assert (result.histogram, result.candidates[0].space_group) == ("lab6_lab", 62)


def test_json_goes_to_a_file_and_the_table_to_stdout(cli, lab6, tmp_path):
    shown = cli("index", *lab6, "--indexer", "instant", "--json", tmp_path / "answer.json")
    assert "P n m a (62)" in shown.out
    assert IndexingResult.from_json((tmp_path / "answer.json").read_text()).candidates[0].m20 == 88.5


def test_output_folder_holds_the_answer_the_picture_and_the_seed(cli, lab6, tmp_path):
    out = tmp_path / "not" / "there" / "yet"
    shown = cli("index", *lab6, "--indexer", "instant", "--seed", "note", "-o", out)
    assert shown.code == 0
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert made == ["lab6_lab.json", "lab6_lab.png", "lab6_lab/note.json", "lab6_lab/note/cell.txt"]
    assert (out / "lab6_lab.png").read_bytes().startswith(b"\x89PNG")
    assert IndexingResult.from_json((out / "lab6_lab.json").read_text()).indexer == "instant"
    assert SeedReport.from_json((out / "lab6_lab" / "note.json").read_text()).phases == ("P n m a",)
    assert "seeded" in shown.err


def test_without_gsasii_the_bundle_is_there_and_one_line_says_so(cli, lab6, tmp_path, monkeypatch):
    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.find", lambda: None)
    shown = cli("index", *lab6, "--indexer", "instant", "-o", tmp_path)
    assert shown.code == 0
    assert [line for line in shown.err.splitlines() if "GSAS-II was not found" in line] == [shown.err.splitlines()[-1]]
    assert sorted(path.name for path in (tmp_path / "lab6_lab").iterdir()) == ["bundle", "bundle.json"]
    assert (tmp_path / "lab6_lab" / "bundle" / "make_project.py").is_file()


def test_without_an_answer_no_bundle_is_claimed(cli, lab6, tmp_path, monkeypatch):
    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.find", lambda: None)
    shown = cli("index", *lab6, "--indexer", "speechless", "-o", tmp_path)
    assert "nothing was seeded" in shown.err
    assert "the bundle is there" not in shown.err


def test_without_gsasii_asking_for_it_by_name_is_an_error_with_the_way_to_get_it(cli, lab6, tmp_path, monkeypatch):
    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.find", lambda: None)
    shown = cli("index", *lab6, "--indexer", "instant", "-o", tmp_path, "--seed", "gsasii")
    assert shown.code == 2
    assert "error: GSAS-II is not importable\n  How to fix it: install it: https://" in shown.err
    assert not (tmp_path / "lab6_lab").exists()


def test_without_gsasii_nothing_is_indexed_for_it(cli, lab6, tmp_path, monkeypatch):
    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.find", lambda: None)
    shown = cli("index", *lab6, "--indexer", "crashing", "-o", tmp_path, "--seed", "gsasii")
    assert shown.code == 2
    assert "error: GSAS-II is not importable" in shown.err
    assert "crash" not in shown.err, "the indexer was not called"


def test_where_gsasii_fails_unasked_the_bundle_is_there_and_it_is_no_error(cli, lab6, tmp_path, monkeypatch):
    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.find", lambda: "somewhere")

    def fails():
        raise GSASIIError("GSAS-II does not start", fix="install it again")

    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.scriptable", fails)
    shown = cli("index", *lab6, "--indexer", "instant", "-o", tmp_path)
    assert shown.code == 0
    assert (
        "note: lab6_lab: the seeder gsasii failed: GSAS-II does not start\n  How to fix it: install it again"
        in shown.err
    )
    assert sorted(path.name for path in (tmp_path / "lab6_lab").iterdir()) == ["bundle", "bundle.json"]


def test_several_patterns_one_line_each_and_the_bad_one_does_not_stop_them(cli, data, tmp_path):
    bad = tmp_path / "empty.xy"
    bad.write_text("")
    files = (data / "lab6_ssrl.xy", bad, data / "zincite_ssrl.xy")
    shown = cli("index", *files, "--wavelength", 0.729568, "--indexer", "instant", "--jsonl", tmp_path / "a.jsonl")
    assert shown.code == 2
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [IndexingResult.from_json(line).histogram for line in lines] == ["lab6_ssrl", "zincite_ssrl"]
    assert "lab6_ssrl.xy" in shown.out
    assert "zincite_ssrl.xy" in shown.out
    assert shown.err.count("error:") == 1
    assert str(bad) in shown.err
    assert "1 of 3 patterns failed" in shown.err


def test_jsonl_on_stdout(cli, data):
    files = (data / "lab6_ssrl.xy", data / "zincite_ssrl.xy")
    shown = cli("index", *files, "--wavelength", 0.729568, "--indexer", "instant", "--jsonl", "-")
    assert [json.loads(line)["histogram"] for line in shown.out.splitlines()] == ["lab6_ssrl", "zincite_ssrl"]


def test_an_answer_seeds_later(cli, lab6, tmp_path):
    cli("index", *lab6, "--indexer", "instant", "--json", tmp_path / "answer.json")
    shown = cli("seed", tmp_path / "answer.json", *lab6, "--seed", "note", "-o", tmp_path / "seeds")
    assert (shown.code, shown.err) == (0, "")
    assert "seeded" in shown.out
    assert (tmp_path / "seeds" / "lab6_lab" / "note" / "cell.txt").read_text().startswith("(8.4801, ")


def test_overwrite_replaces(cli, lab6, tmp_path):
    (tmp_path / "answer.json").write_text("old")
    arguments = ("index", *lab6, "--indexer", "instant", "--json", tmp_path / "answer.json")
    assert cli(*arguments).code == 2
    assert cli(*arguments, "--overwrite").code == 0
    assert IndexingResult.from_json((tmp_path / "answer.json").read_text())


def test_plugins_lists_what_there_is_and_what_is_broken(cli):
    shown = cli("plugins", plugins=("instant", "broken_when_asked"))
    assert shown.code == 0
    for name in ("alphadiffract", "alphadiffract-net", "gsasii", "instant", "bundle", "note"):
        assert name in shown.out
    assert "RuntimeError: the licence server does not answer" in shown.out


def test_doctor_finds_torch_models_and_plugins_and_is_never_an_error(cli):
    shown = cli("doctor", plugins=("instant", "broken_when_asked"))
    assert shown.code == 0
    for text in (
        "torch",
        "CUDA",
        "GSAS-II",
        "geddes",
        "model",
        "indexers",
        "plugin broken_when_asked",
        "How to fix it: ",
    ):
        assert text in shown.out
    assert "licence server" in shown.out


def test_doctor_and_the_door_name_the_same_page_for_gsasii(cli, monkeypatch):
    monkeypatch.setattr("alphadiffract_plugin.gsasii.installation.find", lambda: None)
    monkeypatch.setattr("alphadiffract_plugin.gsasii.INSTALL", "https://example.org/install")
    assert "install it: https://example.org/install" in cli("doctor").out


def test_doctor_survives_two_plugins_of_one_name(cli):
    shown = cli("doctor", plugins=("instant", "same_name"))
    assert shown.code == 0
    assert "two plugins offer 'instant'" in shown.out


def test_a_plugin_adds_a_command(cli):
    assert cli("hello", "you", plugins=("adds_a_command",)).out == "Hello, you.\n"


def test_models_are_listed_shown_and_added(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("ALPHADIFFRACT_MODELS", str(tmp_path / "mine"))
    listed = cli("models", "list")
    assert "(default)" in listed.out
    assert str(tmp_path / "mine") in listed.out
    from alphadiffract_plugin.models.catalogue import DEFAULT, resolve

    shown = cli("models", "show", "default")
    assert '"architecture"' in shown.out
    copy = tmp_path / "my-own"
    shutil.copytree(resolve(DEFAULT), copy)
    assert "use it with --model my-own" in cli("models", "add", copy).out
    assert "my-own" in cli("models", "list").out
    assert "there is already a model called 'my-own'" in cli("models", "add", copy).err


def test_version(cli):
    assert cli("--version").out == f"alphadiffract-plugin {__version__}\n"


HEAVY = "{'torch', 'GSASII', 'GSASIIscriptable', 'matplotlib', 'scipy', 'pymatgen', 'pandas', 'gemmi'}"


@pytest.mark.parametrize(
    "story",
    [
        "from alphadiffract_plugin.registry import plugins; assert len(plugins().indexers) >= 3",
        "from alphadiffract_plugin.cli import main; main(['--help'])",
        "from alphadiffract_plugin.cli import main; main(['index', '--help'])",
        "from alphadiffract_plugin.cli import main; main(['plugins'])",
    ],
)
def test_loading_plugins_and_help_import_nothing_heavy_and_take_less_than_a_second(story):
    code = f"import atexit, sys\natexit.register(lambda: print('HEAVY', sorted({HEAVY} & set(sys.modules))))\n{story}"
    before = os.times()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "HEAVY []"
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 1  # seconds of processor time: other work on the machine is not ours to answer for


def test_the_installed_command_is_there():
    command = Path(sys.executable).with_name("alphadiffract-plugin")
    out = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert out.stdout == f"alphadiffract-plugin {__version__}\n"


def test_ctrl_c_leaves_with_130(cli, lab6, monkeypatch):
    import instant

    def interrupted(histogram, settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(instant, "_result", lambda *_: interrupted(*_))
    shown = cli("index", *lab6, "--indexer", "instant")
    assert shown.code == 130
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [
        (8.48013, 0.00012, "8.48013(12)"),
        (8.48013, 0.0003, "8.4801(3)"),
        (8.48013, 0.0000996, "8.48013(10)"),
        (8.48013, 0.000999, "8.4801(10)"),
        (12.3, 1.3, "12.3(13)"),
        (123.4, 12, "123(12)"),
        (120.0, 0.0, "120"),
        (90.00000000000001, 9e-15, "90"),
        (103.25, math.nan, "103.25"),
        (math.nan, 0.1, "-"),
    ],
)
def test_uncertainties_stand_in_parentheses_as_journals_want_them(value, esd, text):
    assert value_with_esd(value, esd) == text


def test_figures_that_are_too_small_or_not_there():
    assert [number(value, 3) for value in (0.93, 0.0001, 0.0, math.nan)] == ["0.930", "<0.001", "0.000", "-"]
