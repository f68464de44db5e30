"""What a user can get wrong, end to end: exit code 2, one message with how to fix it, no traceback, nothing written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

INSTANT = ("--indexer", "instant")
CU = ("--wavelength", "CuKa")


def pattern(two_theta=None, intensity=None, *more) -> str:
    """Text of a made pattern: 300 points from 10 to 40 degrees with one line, unless columns are given."""
    x = np.linspace(10, 40, 300) if two_theta is None else np.asarray(two_theta, float)
    y = 10 + 500 * np.exp(-(((x - 20) / 0.3) ** 2)) if intensity is None else np.asarray(intensity, float)
    return "\n".join(" ".join(f"{value:.4f}" for value in row) for row in zip(x, y, *more, strict=True)) + "\n"


X = np.linspace(10, 40, 300)
Y = 10 + 500 * np.exp(-(((X - 20) / 0.3) ** 2))

CONTENT = {
    "empty": ("", r"empty|no numbers|no data"),
    "text": ("Dear editor,\nplease find enclosed our pattern.\n", r"no "),
    "one column": ("\n".join(f"{y:.1f}" for y in Y), r"column"),
    "nan": (pattern(X, np.where(X < 30, Y, np.nan)), r"nan"),
    "infinite": (pattern(X, np.where(X < 30, Y, np.inf)), r"inf"),
    "two points": ("10.0 5.0\n10.1 6.0\n", r"2 points"),
    "repeated two_theta": (pattern(np.where(np.arange(300) == 102, X[101], X), Y), r"twice"),
    "axis that goes back": (pattern(np.r_[X[:200], X[100:200]], np.r_[Y[:200], Y[100:200]]), r"goes back"),
    "negative counts": (pattern(X, -Y), r"negative"),
    "no counts": (pattern(X, np.zeros(300)), r"every intensity is 0"),
    "beyond 180 degrees": (pattern(np.linspace(10, 200, 300), Y), r"180"),
    "time of flight": (pattern(np.linspace(5000, 90000, 300), Y), r"time of flight"),
    "d instead of two_theta": (pattern(np.linspace(0.8, 12, 300), Y), r"d or Q"),
    "swapped columns": (pattern(Y, X), r"swapped"),
}


def refused(shown, *, folder: Path, before: set[Path]) -> str:
    """The message of a run that did what it must when it refuses."""
    assert shown.code == 2
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("error:") == 1
    assert shown.err.count("How to fix it: ") == 1
    assert "Traceback" not in shown.err
    assert set(folder.rglob("*")) == before
    return shown.err


@pytest.mark.parametrize("fault", CONTENT)
def test_a_file_that_is_no_pattern(cli, tmp_path, fault):
    text, expected = CONTENT[fault]
    path = tmp_path / "pattern.xy"
    path.write_text(text)
    shown = cli("index", path, *CU, *INSTANT, "--seed", "note", "-o", tmp_path / "out", "--json", tmp_path / "a")
    message = refused(shown, folder=tmp_path, before={path})
    assert str(path) in message
    assert re.search(expected, message), message


def test_the_line_of_a_bad_number_is_named(cli, tmp_path):
    path = tmp_path / "pattern.xy"
    rows = pattern().splitlines()
    rows[41] = rows[41].split()[0] + " nan"
    path.write_text("\n".join(rows))
    message = refused(cli("index", path, *CU, *INSTANT), folder=tmp_path, before={path})
    assert f"{path}, line 42: " in message


def test_a_descending_axis_is_turned_round_and_no_fault(cli, data, tmp_path):
    from alphadiffract_plugin.load import histogram_from_file

    rows = (data / "zincite_ssrl.xy").read_text().splitlines()
    (tmp_path / "down.xy").write_text("\n".join(row for row in rows[::-1] if not row.startswith("#")))
    down = histogram_from_file(tmp_path / "down.xy", wavelength=0.729568)
    up = histogram_from_file(data / "zincite_ssrl.xy", wavelength=0.729568)
    assert np.array_equal(down.two_theta, up.two_theta)
    assert cli("index", tmp_path / "down.xy", "--wavelength", 0.729568, *INSTANT).code == 0


def test_a_missing_file(cli, tmp_path):
    message = refused(cli("index", tmp_path / "no.xy", *CU, *INSTANT), folder=tmp_path, before=set())
    assert str(tmp_path / "no.xy") in message


def test_a_folder_in_place_of_a_file(cli, tmp_path):
    assert str(tmp_path) in refused(cli("index", tmp_path, *CU, *INSTANT), folder=tmp_path, before=set())


def test_a_picture_in_place_of_a_pattern(cli, tmp_path):
    path = tmp_path / "pattern.xy"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    refused(cli("index", path, *CU, *INSTANT), folder=tmp_path, before={path})


def test_no_wavelength(cli, data, tmp_path):
    message = refused(cli("index", data / "zincite_ssrl.xy", *INSTANT), folder=tmp_path, before=set())
    assert "--wavelength" in message


@pytest.mark.parametrize("wavelength", ["0", "-1.54", "154.06", "nan", "CuKz", "8.05keV", "1.5443/1.5405", "1/2/3/4"])
def test_an_absurd_wavelength(cli, data, tmp_path, wavelength):
    arguments = ("index", data / "zincite_ssrl.xy", f"--wavelength={wavelength}", *INSTANT)
    message = refused(cli(*arguments), folder=tmp_path, before=set())
    assert re.search(r"wavelength|unit|Kα1|numbers", message)


def test_neutrons_are_not_for_the_x_ray_network(cli, data, tmp_path):
    path = data / "pbso4_neutron.xye"
    arguments = ("index", path, "--wavelength", 1.909, "--radiation", "neutron", "--indexer", "alphadiffract-net")
    message = refused(cli(*arguments), folder=tmp_path, before=set())
    assert "neutron" in message


def test_a_doublet_of_neutrons(cli, data, tmp_path):
    arguments = ("index", data / "pbso4_neutron.xye", *CU, "--radiation", "neutron", *INSTANT)
    assert "neutron" in refused(cli(*arguments), folder=tmp_path, before=set())


def test_noise_without_lines(cli, tmp_path):
    path = tmp_path / "noise.xy"
    path.write_text(pattern(np.linspace(5, 90, 4000), np.random.default_rng(1).poisson(100, 4000)))
    message = refused(cli("index", path, *CU, "--seed", "note", "-o", tmp_path / "out"), folder=tmp_path, before={path})
    assert "lines" in message


def test_an_unknown_indexer_and_an_unknown_seeder(cli, data, tmp_path):
    path = data / "zincite_ssrl.xy"
    message = refused(cli("index", path, *CU, "--indexer", "instnat"), folder=tmp_path, before=set())
    assert "Did you mean 'instant'?" in message
    assert "alphadiffract, alphadiffract-net, boundless, crashing, gsasii" in message
    shown = cli("index", path, *CU, *INSTANT, "--seed", "gpx", "-o", tmp_path / "out")
    assert "bundle, careless, crashing, gsasii, note, silent" in refused(shown, folder=tmp_path, before=set())


def test_an_indexer_of_another_package_that_fails_is_named(cli, data, tmp_path):
    path = data / "lab6_lab.xye"
    message = refused(cli("index", path, *CU, "--indexer", "crashing"), folder=tmp_path, before=set())
    assert "the indexer 'crashing' of crashing failed: ZeroDivisionError: division by zero" in message
    message = refused(cli("index", path, *CU, "--indexer", "wordy"), folder=tmp_path, before=set())
    assert "returned a str" in message
    message = refused(cli("index", path, *CU, "--indexer", "boundless"), folder=tmp_path, before=set())
    assert "cannot be written as JSON" in message


def test_a_seeder_that_fails_leaves_no_folder(cli, data, tmp_path):
    shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, "--seed", "crashing", "-o", tmp_path)
    assert shown.code == 2
    assert "the fit did not start\n  How to fix it: look at the cell" in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab6_lab.json", "lab6_lab.png"]


@pytest.mark.parametrize(
    ("seeder", "fault"),
    [
        ("careless", "the seeder 'careless' of crashing failed: ZeroDivisionError: division by zero"),
        ("silent", "the seeder 'silent' returned a NoneType in place of a SeedReport"),
    ],
)
def test_a_seeder_of_another_package_that_fails_is_named(cli, data, tmp_path, seeder, fault):
    shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, "--seed", seeder, "-o", tmp_path)
    assert shown.code == 2
    assert f"{fault}\n  How to fix it: choose another --seed" in shown.err
    assert "Traceback" not in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab6_lab.json", "lab6_lab.png"]


def test_two_indexers_of_one_name(cli, data, tmp_path):
    shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, plugins=("instant", "same_name"))
    assert "two plugins offer 'instant': instant and same_name" in refused(shown, folder=tmp_path, before=set())


@pytest.fixture
def model(tmp_path_factory) -> Path:
    """A copy of a member of the default model, to spoil."""
    from alphadiffract_plugin.models.catalogue import resolve
    from alphadiffract_plugin.models.checkpoint import members

    return Path(shutil.copytree(members(resolve("default"))[0], tmp_path_factory.mktemp("models") / "damaged"))


def asked(cli, data, model):
    return cli("index", data / "lab6_lab.xye", *CU, "--indexer", "alphadiffract-net", "--model", model)


def test_an_unknown_model(cli, data, tmp_path):
    assert "give one of " in refused(asked(cli, data, "compcat"), folder=tmp_path, before=set())


def test_a_corrupt_checkpoint(cli, data, tmp_path, model):
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    message = refused(asked(cli, data, model), folder=tmp_path, before=set())
    assert "model.safetensors: this is not a complete safetensors file" in message


def test_a_checkpoint_of_another_shape(cli, data, tmp_path, model):
    from safetensors.numpy import load_file, save_file

    weights = load_file(model / "model.safetensors")
    name = max(weights, key=lambda name: weights[name].size)
    save_file(weights | {name: weights[name][:-1]}, model / "model.safetensors")
    message = refused(asked(cli, data, model), folder=tmp_path, before=set())
    assert "the weights do not fit the config" in message
    assert name in message


def test_a_checkpoint_without_a_config(cli, data, tmp_path, model):
    (model / "config.json").write_text('{"architecture": "compact"}')
    refused(asked(cli, data, model), folder=tmp_path, before=set())
    (model / "config.json").write_text("{")
    refused(asked(cli, data, model), folder=tmp_path, before=set())


def test_cuda_without_a_gpu(cli, data, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    arguments = ("index", data / "lab6_lab.xye", *CU, "--indexer", "alphadiffract-net", "--device", "cuda")
    assert "cpu" in refused(cli(*arguments), folder=tmp_path, before=set())


def test_an_output_folder_below_a_file(cli, data, tmp_path):
    (tmp_path / "file").write_text("")
    shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, "--seed", "note", "-o", tmp_path / "file" / "out")
    assert "is a file" in refused(shown, folder=tmp_path, before={tmp_path / "file"})


def test_a_json_file_in_a_folder_that_is_not_there(cli, data, tmp_path):
    for option in ("--json", "--jsonl"):
        shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, option, tmp_path / "no" / "a.json")
        assert "this folder does not exist" in refused(shown, folder=tmp_path, before=set())
    shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, "--json", tmp_path, "--overwrite")
    assert "is a folder" in refused(shown, folder=tmp_path, before=set())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(cli, data, tmp_path):
    tmp_path.chmod(0o500)
    shown = cli("index", data / "lab6_lab.xye", *CU, *INSTANT, "--seed", "note", "-o", tmp_path / "out")
    assert "you may not write into this folder" in refused(shown, folder=tmp_path, before=set())


@pytest.mark.parametrize("there", ["lab6_lab.json", "lab6_lab.png", "lab6_lab/note/cell.txt", "lab6_lab/note.json"])
def test_existing_output_is_refused_before_any_work_and_stays_as_it_is(cli, data, tmp_path, there):
    old = tmp_path / there
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_text("mine")
    before = set(tmp_path.rglob("*"))
    shown = cli("index", data / "lab6_lab.xye", *CU, "--indexer", "crashing", "--seed", "note", "-o", tmp_path)
    assert "--overwrite" in refused(shown, folder=tmp_path, before=before)
    assert old.read_text() == "mine"


def test_two_patterns_of_one_name_in_one_folder(cli, data, tmp_path):
    other = tmp_path / "lab6_lab.xy"
    other.write_text(pattern())
    shown = cli("index", data / "lab6_lab.xye", other, *CU, *INSTANT, "--seed", "note", "-o", tmp_path / "out")
    assert "several patterns are named lab6_lab" in refused(shown, folder=tmp_path, before={other})


def test_options_that_do_not_go_together(cli, data, tmp_path):
    one, two = data / "lab6_ssrl.xy", data / "zincite_ssrl.xy"
    shown = cli("index", one, two, *CU, *INSTANT, "--json", tmp_path / "a.json")
    assert "use --jsonl" in refused(shown, folder=tmp_path, before=set())
    shown = cli("index", one, *CU, *INSTANT, "--json", "-", "--jsonl", "-")
    assert "standard output" in refused(shown, folder=tmp_path, before=set())
    shown = cli("index", one, *CU, *INSTANT, "--seed", "note")
    assert (shown.code, shown.out) == (2, "")
    assert "-o DIR" in shown.err


@pytest.mark.parametrize(
    "arguments", [["indx"], ["index"], ["index", "a.xy", "--devise", "cpu"], ["index", "a.xy", "--device", "tpu"]]
)
def test_wrong_words_on_the_command_line(cli, arguments):
    shown = cli(*arguments)
    assert (shown.code, shown.out) == (2, "")
    assert "Usage: " in shown.err


def test_an_answer_that_cannot_be_seeded_from(cli, data, tmp_path):
    answer, pattern_file = tmp_path / "answer.json", data / "lab6_lab.xye"
    cli("index", pattern_file, *CU, *INSTANT, "--json", answer)
    good, before = answer.read_text(), {answer}

    def seeding(text: str, *wavelength: str):
        answer.write_text(text)
        shown = cli("seed", answer, pattern_file, *(wavelength or CU), "--seed", "note", "-o", tmp_path / "out")
        return refused(shown, folder=tmp_path, before=before)

    assert "was found at 1.54059 Å, but the pattern is read as 0.709317 Å" in seeding(good, "--wavelength", "MoKa")
    assert "has no candidate" in seeding(json.dumps(json.loads(good) | {"candidates": []}))
    assert "is not JSON" in seeding("P n m a")
    assert "holds a number in place of a record" in seeding("3")
    assert "schema version 99" in seeding(good.replace('"schema_version": 1', '"schema_version": 99'))
    shown = cli("seed", tmp_path / "no.json", pattern_file, *CU, "--seed", "note", "-o", tmp_path / "out")
    assert "No such file" in refused(shown, folder=tmp_path, before=before)


@pytest.mark.parametrize("fault", ["missing", "unknown indexer"])
def test_in_a_process_of_its_own_as_well(tmp_path, data, fault):
    path = tmp_path / "no.xy" if fault == "missing" else data / "lab6_lab.xye"
    indexer = "alphadiffract" if fault == "missing" else "alfadiffract"
    code = "from alphadiffract_plugin.cli import main; main()"
    arguments = [sys.executable, "-c", code, "index", str(path), *CU, "--indexer", indexer]
    out = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert (out.returncode, out.stdout) == (2, "")
    assert out.stderr.startswith("error: ")
    assert "How to fix it: " in out.stderr
    assert "Traceback" not in out.stderr
    assert not list(tmp_path.iterdir())
