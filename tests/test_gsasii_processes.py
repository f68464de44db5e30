"""Stories about processes that are killed, that meet, or that may not write: a project is always whole."""

import ctypes
import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.seeding import bundle
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram
from alphadiffract_plugin.seeding.staging import with_esd
from alphadiffract_plugin.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
from test_gsasii_survival import LAB6, answer, differences, good, opened  # noqa: E402

pytestmark = pytest.mark.gsasii

KILLS = 5
"""Number of kills of each function; together twenty."""

WITHIN = 1.0
"""A process is killed at a random moment of this number of seconds. Each function takes less, and is called again and
again, so that every part of it is hit."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory, lab6_lab):
    """A project with a candidate fitted by Le Bail and a note of the user."""
    folder = tmp_path_factory.mktemp("finished")
    part = lab6_lab.two_theta < 70
    columns = {name: getattr(with_esd(lab6_lab), name)[part] for name in ("two_theta", "intensity", "esd")}
    pattern = dataclasses.replace(lab6_lab, **columns)
    write_xye(pattern, folder / "lab6.xye")
    (folder / "lab6.instprm").write_text(instprm_from_histogram(pattern, find_peaks(pattern)))
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(folder / "lab6.gpx"))
        files = str(folder / "lab6.xye"), str(folder / "lab6.instprm")
        histogram = project.add_powder_histogram(*files, fmthint="Topas xye")
    project.data["Notebook"]["data"].append("Tuesday: the sample holder was changed.")
    result = answer(histogram, 221, LAB6)
    (phase,) = gsasii.seed(project, histogram, result, control=good(result))
    report = gsasii.refine(project, histogram, phase, result, profile="instrument", control=good(result))
    assert report.converged
    return gsasii.save(project)


@pytest.fixture
def mine(finished, tmp_path):
    """A copy of that file, alone in a folder."""
    path = tmp_path / "mine" / "lab6.gpx"
    path.parent.mkdir()
    path.write_bytes(finished.read_bytes())
    return path


WORKING = """
import sys, tempfile
sys.path.insert(0, sys.argv[1])
tempfile.tempdir = sys.argv[4]
from test_gsasii_survival import LAB6, answer, good, opened
from alphadiffract_plugin import gsasii

def say(word):
    print(word, file=sys.__stdout__, flush=True)

path, what = sys.argv[2:4]
hexaboride = [gsasii.Atom("La", "La", (0.0, 0.0, 0.0)), gsasii.Atom("B", "B", (0.207, 0.5, 0.5))]
while True:
    project = opened(path)
    histogram, phase = project.histograms()[0], project.phases()[0]
    result = answer(histogram, 221, LAB6)
    project.data["Notebook"]["data"].append("saved once more")
    say("begins")
    if what == "seed":
        gsasii.seed(project, histogram, result)
    elif what == "refine":
        gsasii.refine(project, histogram, phase, result, profile="instrument")
    elif what == "to_rietveld":
        gsasii.to_rietveld(project, histogram, phase, hexaboride)
    elif what == "save":
        gsasii.save(project)
    say("ended")
"""


def killed_after(seconds, path, what, temporary):
    """Kill a process that works on a project so many seconds after it began; whether that was inside the function."""
    command = [sys.executable, "-c", WORKING, str(Path(__file__).parent), str(path), what, str(temporary)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    words = [process.stdout.readline()]
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    out, err = process.communicate(timeout=600)
    timer.cancel()
    assert process.returncode == -signal.SIGKILL, err
    words += out.splitlines()
    return words[-1].strip() == "begins"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("what", ["seed", "refine", "to_rietveld", "save"])
def test_whenever_a_process_is_killed_the_project_is_whole_and_the_next_run_clears_up(
    mine, tmp_path, monkeypatch, what
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before, chance = mine.read_bytes(), random.Random(f"killed in {what}")
    tree = opened(mine).data
    notes = tree["Notebook"]["data"]
    inside = 0
    for _ in range(KILLS):
        inside += killed_after(chance.uniform(0, WITHIN), mine, what, temporary)
        if what == "save":
            after, ours = opened(mine).data, {("Notebook", "data"), ("Controls", "data", "LastSavedAs")}
            assert set(differences(tree, after)) <= ours
            assert after["Notebook"]["data"][: len(notes)] == notes
        else:
            assert mine.read_bytes() == before
        assert all(path.name.startswith(".saving-") for path in mine.parent.iterdir() if path != mine)
    assert inside, "no kill hit the function itself: the test would prove nothing"
    left = list(temporary.iterdir())
    assert all(path.name.startswith(".alphadiffract-") for path in left)
    assert left or what == "save", "a killed fit leaves its scratch folder: if not, there is nothing to clear"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    project = opened(mine)
    result = answer(project.histograms()[0], 221, LAB6)
    gsasii.seed(project, project.histograms()[0], result, control=good(result))
    gsasii.save(project)
    assert list(temporary.iterdir()) == []
    assert list(mine.parent.iterdir()) == [mine]
    assert [phase.name for phase in opened(mine).phases()] == ["candidate_1", "candidate_1_lab6"]


def as_ordinary_user():
    """Run in a child before its program starts: root no longer writes where permissions forbid it."""
    libc, drop_from_bounding_set = ctypes.CDLL(None), 24
    for overriding in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        if os.getuid() == 0 and libc.prctl(drop_from_bounding_set, overriding, 0, 0, 0):
            os._exit(77)


def run_as_ordinary_user(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=600, preexec_fn=as_ordinary_user
    )
    if done.returncode == 77:
        pytest.skip("root cannot give up its privileges here")
    return done


@pytest.fixture
def read_only(mine):
    """The folder of the project, in which nothing may be written."""
    mine.parent.chmod(0o555)
    yield mine.parent
    mine.parent.chmod(0o755)


IN_A_READ_ONLY_FOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_gsasii_survival import LAB6, answer, good, opened
from alphadiffract_plugin import gsasii
from alphadiffract_plugin.errors import OutputError
project = opened(sys.argv[2])
histogram = project.histograms()[0]
result = answer(histogram, 221, LAB6)
(phase,) = gsasii.seed(project, histogram, result, control=good(result))
report = gsasii.refine(project, histogram, phase, result, profile="instrument", control=good(result))
print(report.converged)
try:
    gsasii.save(project)
except OutputError as error:
    print(error)
print(project.filename)
print(gsasii.save(project, sys.argv[3]))
"""

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="needs permissions as on POSIX")


@POSIX_ONLY
def test_a_project_in_a_read_only_folder_is_worked_on_and_saved_elsewhere(mine, read_only, tmp_path):
    before, other = mine.read_bytes(), tmp_path / "other.gpx"
    arguments = [Path(__file__).parent, mine, other]
    done = run_as_ordinary_user("-c", IN_A_READ_ONLY_FOLDER, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *("True", f"{mine}: cannot be written: Permission denied", "  How to fix it: choose another place"),
        *(str(mine), str(other)),
    ]
    assert mine.read_bytes() == before and list(read_only.iterdir()) == [mine]
    assert [phase.name for phase in opened(other).phases()] == ["candidate_1", "candidate_1_lab6"]


@POSIX_ONLY
@pytest.mark.parametrize("command", ["index", "seed"])
def test_a_command_that_may_not_write_into_a_folder_says_so_before_it_works(mine, read_only, tmp_path, data, command):
    pattern, program = data / "lab6_lab.xye", ("-m", "alphadiffract_plugin")
    if command == "index":
        done = run_as_ordinary_user(*program, "index", pattern, "--wavelength", "CuKa", "-o", read_only)
    else:
        histogram = opened(mine).histograms()[0]
        (tmp_path / "result.json").write_text(answer(histogram, 221, LAB6).to_json())
        seed = ("seed", tmp_path / "result.json", pattern, "--wavelength", "CuKa", "--seed", "gsasii")
        done = run_as_ordinary_user(*program, *seed, "-o", read_only)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{read_only}: you may not write into this folder\n  How to fix it: choose another place" in done.stderr
    assert list(read_only.iterdir()) == [mine]


@POSIX_ONLY
def test_the_script_of_a_bundle_in_a_read_only_folder_says_so_before_it_works(mine, tmp_path, lab6_lab):
    folder = tmp_path / "bundle"
    bundle.seed(lab6_lab, answer(opened(mine).histograms()[0], 221, LAB6), folder, Settings())
    folder.chmod(0o555)
    done = run_as_ordinary_user(folder / "make_project.py")
    folder.chmod(0o755)
    assert done.stderr == f"You may not write into {folder}. Copy this folder to another place.\n"
    assert done.returncode == 1 and not list(folder.glob("*.gpx"))


def test_a_disk_that_is_full_loses_nothing(mine, monkeypatch):
    project, before = opened(mine), mine.read_bytes()
    project.data["Notebook"]["data"].append("a thought")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutputError, match="cannot be written: No space left on device\n  How to fix it: choose another"
    ):
        gsasii.save(project)
    assert mine.read_bytes() == before and list(mine.parent.iterdir()) == [mine]
    monkeypatch.undo()
    assert gsasii.save(project) == mine
    assert opened(mine).data["Notebook"]["data"][-1] == "a thought"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_two_processes_that_save_the_same_project_never_leave_half_of_one(mine, tmp_path):
    command = [sys.executable, "-c", WORKING, str(Path(__file__).parent), str(mine), "save", str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    states = set()
    try:
        for process in running:
            process.stdout.readline()
        while len(states) < 8:  # read while it is being saved again and again
            assert all(process.poll() is None for process in running)
            content = mine.read_bytes()
            states.add(content)
            (tmp_path / "seen.gpx").write_bytes(content)
            assert len(opened(tmp_path / "seen.gpx").histograms()) == 1
    finally:
        for process in running:
            process.kill()
            process.communicate()
    gsasii.save(opened(mine))
    assert list(mine.parent.iterdir()) == [mine]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock a folder")
def test_of_two_processes_that_seed_the_same_folder_one_does_and_the_other_says_why_not(mine, tmp_path, data):
    out, pattern = tmp_path / "out", data / "lab6_lab.xye"
    (tmp_path / "result.json").write_text(answer(opened(mine).histograms()[0], 221, LAB6).to_json())
    command = [sys.executable, "-m", "alphadiffract_plugin", "seed", str(tmp_path / "result.json"), str(pattern)]
    command += ["--wavelength", "CuKa", "--seed", "gsasii", "-o", str(out)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(*process.communicate(timeout=600), process.returncode) for process in running]
    assert sorted(code for *_, code in ended) == [0, 2], ended
    [said] = [err for _, err, code in ended if code == 2]
    in_use = "another process is writing into this folder\n  How to fix it: wait until it has finished"
    assert in_use in said or "this is already there\n  How to fix it: " in said, "which, tells how fast the other was"
    folder = out / "lab6_lab"
    assert len(opened(folder / "gsasii" / "lab6_lab.gpx").phases()) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["gsasii", "gsasii.json"]
    assert len(list((folder / "gsasii").iterdir())) == 3
