"""Settings as a person gives them: in Python, with --set, in a TOML file; and what is said of those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.records import IndexingResult
from alphadiffract_plugin.settings import SearchSettings, Settings, every_setting
from alphadiffract_plugin.settings_file import changes_from_assignments, changes_from_toml


@pytest.fixture
def resolved(cli, data, tmp_path):
    """Index a pattern with a fake indexer and give the settings that the answer was made with, or the error."""

    def run(*arguments: object) -> dict | str:
        pattern = (data / "lab6_lab.xye", "--wavelength", "CuKa", "--indexer", "instant")
        shown = cli("index", *pattern, "--json", "-", *arguments)
        if shown.code:
            assert (shown.code, shown.out) == (2, "")
            return shown.err
        return IndexingResult.from_json(shown.out).settings

    return run


def test_one_setting_from_the_command_line(resolved):
    usual = resolved()
    assert usual == Settings().to_dict()
    changed = resolved("--set", "search.volume_max=500", "--set", "random_seed=7", "--set", "network.model=mine")
    assert changed["search"] == usual["search"] | {"volume_max": 500.0}
    assert changed["random_seed"] == 7
    assert changed["network"]["model"] == "mine"


def test_settings_from_a_file_give_way_to_the_command_line(resolved, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("random_seed = 3\n[search]\nvolume_max = 800\nlines = 15\n[network]\ndevice = 'cpu'\n")
    found = resolved("--config", file, "--set", "search.lines=25", "--device", "auto")
    assert (found["random_seed"], found["search"]["volume_max"], found["search"]["lines"]) == (3, 800.0, 25)
    assert found["network"]["device"] == "auto"


@pytest.mark.parametrize(
    ("given", "fault", "fix"),
    [
        ("search.volum_max=500", "there is no setting 'search.volum_max'", "did you mean search.volume_max (a number"),
        ("volume_max=500", "there is no setting 'volume_max'", "did you mean search.volume_max"),
        ("search.crystal_system=cubic", "there is no setting 'search.crystal_system'", "cannot be chosen yet"),
        ("search.lattices=cF", "there is no setting 'search.lattices'", "cannot be chosen yet"),
        (
            "search.excluded_lines=5",
            "there is no setting 'search.excluded_lines'",
            "fix it: 'alphadiffract-plugin settings' lists",
        ),
        ("search.max_volum=5", "there is no setting 'search.max_volum'", "did you mean search.volume_max (a"),
        ("nonsense=1", "there is no setting 'nonsense'", "'alphadiffract-plugin settings' lists them all"),
        ("search.volume_max=-3", "search.volume_max is -3.0", "or none (the default is none (3000 Å³ in the search"),
        ("search.volume_max=big", "search.volume_max is 'big'", "give a number above 0 and at most 100000 Å³"),
        ("search.volume_max=1e300", "search.volume_max is 1e+300", "give a number above 0 and at most 100000 Å³"),
        ("search.length_max=inf", "search.length_max is inf", "give a number above 0 and at most 500 Å"),
        ("search.keep=" + "9" * 400, "search.keep is " + "9" * 50 + "...", "give a whole number from 1 to 1000"),
        ("search.keep=" + "9" * 5000, "search.keep is '" + "9" * 49 + "...", "give a whole number from 1 to 1000"),
        ("search.lines=20.5", "search.lines is '20.5'", "give a whole number from 5 to 30"),
        ("network.device=gpu", "network.device is 'gpu'", "give auto, cpu or cuda"),
        ("search.volume_min=5000", "search.volume_max is 3000 and search.volume_min is 5000", "above volume_min"),
        ("search.volume_max", "'search.volume_max' does not set anything", "such as search.volume_max=800"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_nearest_key_and_the_range(resolved, given, fault, fix):
    message = resolved("--set", given)
    assert f"error: {fault}\n  How to fix it: " in message
    assert fix in message


@pytest.mark.parametrize(
    ("text", "where", "fault"),
    [
        ("[search]\n\nlines = 40\n", ", line 3: ", "search.lines is 40"),
        ("[search]\nlins = 10\n", ", line 2: ", "there is no setting 'search.lins'"),
        ("random_seed = true\n", ", line 1: ", "random_seed is True"),
        ("[search\n", ", line 1: ", "this file is not TOML"),
        ("search = 3\n", ", line 1: ", "there is no setting 'search'"),
        ("random_seed = " + "9" * 400, ", line 1: ", "random_seed is 99999"),
        ("random_seed = " + "9" * 5000, ": ", "this file is not TOML: "),
        (None, ": ", "the settings cannot be read: No such file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path, text, where, fault):
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        changes_from_toml(file)
    assert str(caught.value).startswith(f"{file}{where}{fault}")
    assert "\n  How to fix it: " in str(caught.value)


def test_a_file_that_windows_editor_saved_begins_with_a_byte_order_mark(tmp_path):
    (tmp_path / "settings.toml").write_text("[search]\nvolume_max = 800\n", encoding="utf-8-sig")
    assert (tmp_path / "settings.toml").read_bytes().startswith(b"\xef\xbb\xbf[search]")
    assert changes_from_toml(tmp_path / "settings.toml") == {"search.volume_max": 800.0}


def test_every_number_has_a_largest_value_and_what_lies_above_is_refused():
    for key, info in every_setting().items():
        if info.kind in (int, float):
            assert info.allowed.most is not None, key
            assert info.checked(info.allowed.most) == info.allowed.most
            for above in (10**30, 10**5000):
                with pytest.raises(SettingsError, match=rf"{key} is .*\n  How to fix it: give a (whole )?number"):
                    Settings().changed({key: above})


def test_every_setting_is_in_the_table_and_can_be_set_to_its_default(cli):
    shown = cli("settings")
    assert shown.code == 0
    for key, info in every_setting().items():
        assert key in shown.out
        assert len(info.meaning.split()) > 2, f"{key} has a docstring"
        assert changes_from_assignments([f"{key}={info.default}"]) == {key: info.default}
    assert "from 5 to 30" in shown.out
    for command in ("index", "seed"):
        assert "--set" in cli(command, "--help").out


def test_a_section_may_be_a_dictionary_and_anything_else_is_refused():
    assert Settings(search={"volume_max": 800}).search == SearchSettings(volume_max=800.0)
    with pytest.raises(SettingsError, match=r"there is no setting 'search.volum_max'"):
        Settings(search={"volum_max": 800})
    with pytest.raises(
        SettingsError, match=r"there is no setting 'search.volum_max'\n.*did you mean search.volume_max"
    ):
        SearchSettings(volum_max=800)
    with pytest.raises(SettingsError, match=r"search is 3\n  How to fix it: give SearchSettings"):
        Settings(search=3)
    assert Settings().changed({"search.volume_min": 4000, "search.volume_max": 5000}).search.volume_min == 4000


def test_the_settings_stand_beside_the_answer_and_beside_the_seed(cli, data, tmp_path):
    pattern = (data / "lab6_lab.xye", "--wavelength", "CuKa", "--indexer", "instant")
    cli("index", *pattern, "-o", tmp_path, "--seed", "note", "--set", "seed.keep=2")
    for name in ("lab6_lab.json", "lab6_lab/note.json"):
        assert json.loads(Path(tmp_path, name).read_text(encoding="utf-8"))["settings"]["seed"]["keep"] == 2
