"""Several patterns shared among processes: the same files as by one process, in the order of the command line."""

from __future__ import annotations

import functools
import importlib
import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import pytest

from alphadiffract_plugin.cli.jobs import outcomes_of_processes
from alphadiffract_plugin.cli.options import pattern_from_options
from alphadiffract_plugin.cli.task import Outputs, Task
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.hooks import Indexer
from alphadiffract_plugin.settings import Settings

PLUGINS = Path(__file__).parent / "plugins"


@pytest.fixture
def patterns(data, tmp_path):
    """Make copies of LaB6's pattern under these names."""

    def make(*names):
        for name in names:
            shutil.copy(data / "lab6_lab.xye", tmp_path / f"{name}.xye")
        return [tmp_path / f"{name}.xye" for name in names]

    return make


def into(folder):
    """Options that write into a folder, with the seeder that needs no GSAS-II."""
    return "-o", folder, "--seed", "bundle"


def index(cli, paths, *more, indexer="instant"):
    return cli(
        "index", *paths, "--wavelength", "CuKa", "--indexer", indexer, *more, plugins=("instant", "crashing", "mortal")
    )


def test_two_processes_write_what_one_writes_in_the_order_of_the_files(cli, patterns, tmp_path):
    paths = patterns("c", "a", "b")
    for jobs in (1, 2):
        shown = index(cli, paths, "--jobs", jobs, "--jsonl", tmp_path / f"{jobs}.jsonl", *into(tmp_path / f"out{jobs}"))
        assert shown.code == 0
    one, two = ((tmp_path / f"{jobs}.jsonl").read_text() for jobs in (1, 2))
    assert one == two
    assert [json.loads(line)["histogram"] for line in two.splitlines()] == ["c", "a", "b"]
    made = [sorted(path.name for path in (tmp_path / f"out{jobs}").rglob("*")) for jobs in (1, 2)]
    assert made[0] == made[1]
    assert {"a.json", "a.png", "bundle"} <= set(made[0])


def test_a_file_that_fails_in_a_process_is_named_and_stops_no_other(cli, patterns, tmp_path):
    paths = patterns("a", "odd", "b")
    (tmp_path / "junk.xye").write_text("no numbers\n")
    shown = index(cli, [*paths, tmp_path / "junk.xye"], "--jobs", 2, indexer="mortal")
    assert shown.code == 2
    assert "odd.xye: the indexer 'mortal' of mortal failed: OddError: this and that" in shown.err
    assert "junk.xye" in shown.err and "How to fix it" in shown.err
    assert "2 of 4 patterns failed" in shown.err
    assert "a.xye" in shown.out and "b.xye" in shown.out


def test_a_process_that_dies_loses_its_own_file_alone(cli, patterns, tmp_path):
    paths = patterns("a", "dies", "b", "c")
    shown = index(cli, paths, "--jobs", 2, *into(tmp_path / "out"), indexer="mortal")
    assert shown.code == 2
    assert "dies.xye: was not indexed, because its process died twice" in shown.err
    assert "1 of 4 patterns failed" in shown.err
    assert all(name in shown.out for name in ("a.xye", "b.xye", "c.xye"))
    assert {"a.json", "b.json", "c.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "Traceback" not in shown.err


def test_work_that_is_given_up_ends_at_once_and_leaves_no_process(patterns, monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGINS))
    mortal = importlib.import_module("mortal")
    load = functools.partial(pattern_from_options, wavelength="CuKa", radiation=None)
    task = Task(Indexer("mortal", "", mortal.index), load, Settings(), Outputs())
    outcomes = outcomes_of_processes(task, patterns("a", "sleeps", "b"), 2)
    assert next(outcomes).path.stem == "a"
    outcomes.close()  # as Ctrl-C does; the pattern 'sleeps' takes an hour
    assert not multiprocessing.active_children()


def test_an_indexer_that_no_other_process_can_have_is_refused_or_works_in_one(cli, patterns):
    paths = patterns("a", "b")
    refused = index(cli, paths, "--jobs", 2, indexer="speechless")
    assert refused.code == 2
    assert "'speechless' cannot be sent to another process" in refused.err
    assert "How to fix it: give --jobs 1" in refused.err
    assert index(cli, paths, indexer="speechless").code == 0


def test_errors_go_from_process_to_process_whole():
    error = InputError("holds no pattern", fix="measure it", where="a.xye", line=7)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InputError
    assert str(again) == str(error)
    assert (again.what, again.fix, again.where, again.line) == (error.what, error.fix, error.where, error.line)
