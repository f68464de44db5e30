"""A run that was stopped, by a person or by a power cut, goes on with the very losses that it would have had."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, micro_settings):
    """A folder with a small run's settings: ``micro.toml``, and one that writes a checkpoint at every step."""
    folder = tmp_path_factory.mktemp("runs")
    for name, minutes in (("micro", 5.0), ("careful", 0.0)):
        text = micro_settings(training={"patterns": 480, "checkpoint_minutes": minutes, "validate_every": 240})
        (folder / f"{name}.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(folder):
    from alphadiffract_plugin.models.training import config, session

    outcome = session.train(config.read(folder / "micro.toml"), folder / "whole", resume=False, device="cpu")
    assert outcome.end == "done" and outcome.done.patterns == 480
    return losses(folder / "whole")


def losses(run):
    with open(run / "log.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def started(folder, config, run, until):
    """A training process, once its log holds ``until`` rows."""
    process = subprocess.Popen(
        [sys.executable, "-m", "alphadiffract_plugin", "train", "--device", "cpu", "--config", config, "-o", run],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.nice(10),  # so that this test is asked first, also on a busy machine
    )
    log, deadline = folder / run / "log.csv", time.monotonic() + 1800
    while not (log.exists() and log.read_text().count("\n") > until):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.005)
    return process


def test_an_interrupted_run_says_how_to_go_on_and_goes_on_as_if_it_had_not_been(folder, uninterrupted, cli):
    process = started(folder, "micro.toml", "stopped", until=5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=1800)
    assert process.returncode == 130
    assert "to continue: alphadiffract-plugin train -o stopped --resume" in err
    seen = len(losses(folder / "stopped"))
    assert 5 <= seen < 60
    again = cli("train", "-o", folder / "stopped", "--resume", "--device", "cpu")
    assert again.code == 0 and again.out.strip() == str(folder / "stopped" / "model")
    assert losses(folder / "stopped") == uninterrupted


def test_a_killed_run_goes_on_from_its_last_checkpoint(folder, uninterrupted, cli):
    process = started(folder, "careful.toml", "killed", until=12)
    process.kill()
    process.communicate(timeout=1800)
    assert (folder / "killed" / "checkpoint.pt").is_file() and not (folder / "killed" / "model").exists()
    assert cli("train", "-o", folder / "killed", "--resume", "--device", "cpu").code == 0
    assert losses(folder / "killed") == uninterrupted


def test_a_session_of_so_many_minutes_leaves_a_model_and_can_be_resumed(folder, uninterrupted, cli):
    run = folder / "short"
    first = cli("train", "--config", folder / "micro.toml", "-o", run, "--device", "cpu", "--minutes", "1e-9")
    assert first.code == 0 and "minutes are over" in first.err and "--resume" in first.err
    assert (run / "model" / "config.json").is_file() and 0 < len(losses(run)) < 60
    assert cli("train", "-o", run, "--resume", "--device", "cpu").code == 0
    assert losses(run) == uninterrupted


def test_a_folder_that_holds_a_run_is_not_trained_over_and_one_that_holds_none_not_resumed(folder, uninterrupted, cli):
    second = cli("train", "--config", folder / "micro.toml", "-o", folder / "whole", "--device", "cpu")
    assert second.code == 2 and "already holds a run" in second.err and "--resume" in second.err
    none = cli("train", "-o", folder / "nothing", "--resume")
    assert none.code == 2 and "not the folder of a run" in none.err


def test_a_run_is_not_resumed_with_other_settings(folder, uninterrupted, cli):
    other = folder / "other.toml"
    other.write_text((folder / "micro.toml").read_text().replace("batch = 8", "batch = 16"))
    answer = cli("train", "--config", other, "-o", folder / "whole", "--resume")
    assert answer.code == 2 and "[training] batch was 8 and is 16" in answer.err
