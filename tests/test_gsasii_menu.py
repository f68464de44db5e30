"""The menu entry 'Index with AlphaDiffract' within an imitated GSAS-II: its process, its messages, what it keeps.

GSAS-II and wxPython are imitated by a few modules and a progress box where they are not marked as needed.
tests/test_gsasii_window.py drives the real ones.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.gsasii import window
from alphadiffract_plugin.gsasii.importer import EXPORTER, PROJECT, install
from alphadiffract_plugin.gsasii.symbols import as_set

HOOKS = Path(__file__).parent.parent / "hooks" / "gsasii"
PWDR = "PWDR pbso4_xray.xye"
LAB = {"Type": ["PXC", "PXC", 0], "Lam": [1.5405, 1.5405, 0]}


@pytest.fixture
def menu(tmp_path, monkeypatch):
    """The installed menu entry, loaded as GSAS-II does it, into as much of GSAS-II as it imports."""
    base = type("ExportBaseclass", (), {"__init__": lambda self, **said: vars(self).update(said)})
    parts = {
        "GSASII": {"__path__": []},
        "GSASII.exports": {"__path__": []},
        "GSASII.imports": {"__path__": []},
        "GSASII.GSASIIfiles": {"ExportBaseclass": base},
        "GSASII.GSASIIElem": {},
        "GSASII.GSASIImath": {"setPeakparms": lambda first, second, position, counts: [position, 0, counts, 1]},
        "GSASII.GSASIIspc": {},
        "GSASII.GSASIIlattice": {},
        "GSASII.GSASIIobj": {"ImportPhase": object},
    }
    for name, contents in parts.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, own = name.rpartition(".")
        if parent:
            monkeypatch.setattr(sys.modules[parent], own, module, raising=False)
    install(tmp_path)
    return loaded(tmp_path / EXPORTER, "GSASII.exports.G2export_alphadiffract")


def loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Box:
    """Takes the place of the progress box of wxPython, which is cancelled when it shows a text."""

    texts: list[str] = []  # noqa: RUF012
    cancel_at = ""

    def __init__(self, title, message, **_):
        Box.texts = [message]

    def Pulse(self, message):  # noqa: N802
        if message and message != Box.texts[-1]:
            Box.texts.append(message)
        return not (Box.cancel_at and Box.cancel_at in message), False

    def Destroy(self):  # noqa: N802
        Box.texts.append("closed")


@pytest.fixture
def box(monkeypatch):
    wx = ModuleType("wx")
    flags = dict.fromkeys(("PD_APP_MODAL", "PD_CAN_ABORT", "PD_ELAPSED_TIME"), 0)
    vars(wx).update(flags, ProgressDialog=Box, MilliSleep=lambda ms: time.sleep(ms / 1000))
    monkeypatch.setitem(sys.modules, "wx", wx)
    monkeypatch.setattr(Box, "cancel_at", "")
    return Box


def test_both_sides_are_of_one_version():
    assert f"\nFORM = {window.FORM}\n" in (HOOKS / EXPORTER).read_text()


def test_the_entry_stands_under_powder_data_and_does_nothing_in_scripts(menu):
    entry = menu.AlphaDiffractIndexing(None)
    assert (entry.exporttype, entry.formatName) == (["powder"], "Index with AlphaDiffract")
    assert not hasattr(entry, "Writer")


def test_the_indexer_runs_with_the_python_of_the_installation_whatever_gsasii_sets(menu, box, window_task, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert menu.PYTHON == sys.executable
    task = {key: value for key, value in window_task.items() if key != "form"}
    answer = menu._indexed(None, task | {"instrument": task["instrument"] | {"Bank": [np.float64(1), np.int64(1), 0]}})
    assert answer["choices"][0]["phase"]["symbol"] == "P n m a"
    assert box.texts[0].startswith(f"{PWDR}\nStarting.")
    assert f"{PWDR}\nSearching cells ..." in box.texts
    assert box.texts[-1] == "closed"


@pytest.mark.skipif(os.name != "posix", reason="the program in place of the indexer is a shell script")
def test_cancel_ends_the_indexer_and_what_it_started(menu, box, tmp_path, monkeypatch):
    alive = tmp_path / "alive"
    endless = tmp_path / "endless"
    endless.write_text(
        f'#!/bin/sh\necho "Searching cells"\n(while true; do date +%s%N > {alive}; sleep 0.05; done) &\nwait\n'
    )
    endless.chmod(0o755)
    monkeypatch.setattr(menu, "PYTHON", str(endless))
    box.cancel_at = "Searching cells"
    assert menu._indexed(None, {"histogram": PWDR}) is None
    time.sleep(0.3)
    last = alive.read_text() if alive.exists() else ""
    time.sleep(0.3)
    assert (alive.read_text() if alive.exists() else "") == last
    assert box.texts[-1] == "closed"


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("error: too few lines\n  How to fix it: measure longer\n", "too few lines\n  How to fix it: measure longer"),
        ("note: slow\nerror: too few lines\n  How to fix it: wait\n", "too few lines\n  How to fix it: wait"),
        ("Traceback\nMemoryError: 3 GiB\n", "The indexer failed: MemoryError: 3 GiB\nHow to fix it: "),
        ("", "The indexer failed: exit code 9\nHow to fix it: 'alphadiffract-plugin doctor' says what is missing."),
        ("/bin/python: No module named alphadiffract_plugin\n", "alphadiffract-plugin is no longer installed for "),
    ],
)
def test_a_failure_is_shown_in_the_words_of_the_indexer(menu, printed, reason):
    assert menu._reason(printed, 9).startswith(reason)


def test_the_entry_says_what_to_do_where_its_python_is_gone(menu, box, monkeypatch):
    monkeypatch.setattr(menu, "PYTHON", "/nowhere/python")
    with pytest.raises(
        menu.NotDoneError, match="does not start \\(/nowhere/python\\): run 'alphadiffract-plugin gsasii ins"
    ):
        menu._indexed(None, {"histogram": PWDR})


def test_without_a_histogram_or_a_cell_the_entry_says_so(menu, box):
    with pytest.raises(menu.NotDoneError, match="This project has no powder histogram. Load one by Import"):
        menu._chosen_histogram(None, [])
    with pytest.raises(menu.NotDoneError, match="No cell was found.\nMost lines are noise."):
        menu._chosen_cells(None, PWDR, {"choices": [], "notes": ["Most lines are noise."]})


@pytest.mark.skipif(os.name != "posix", reason="the program in place of the indexer is a shell script")
def test_an_answer_of_another_version_is_not_used(menu, box, tmp_path, monkeypatch):
    later = tmp_path / "later"
    later.write_text("#!/bin/sh\necho '{\"form\": 99}' > answer.json\n")
    later.chmod(0o755)
    monkeypatch.setattr(menu, "PYTHON", str(later))
    with pytest.raises(
        menu.NotDoneError, match="is of another version than this menu entry: run 'alphadiffract-plugin"
    ):
        menu._indexed(None, {"histogram": PWDR})


def test_the_entry_is_not_loaded_without_its_other_file(tmp_path, menu):
    (tmp_path / PROJECT).unlink()
    with pytest.raises(ImportError, match=f"{PROJECT} is missing: run 'alphadiffract-plugin gsasii install-hook'"):
        loaded(tmp_path / EXPORTER, "GSASII.exports.again")


LOOKED_AT = [[0, 0.0, 4, 25.0, 0, "P1", 1.0, 1.0, 1.0, 90.0, 90.0, 90.0, 1.0, "P 1"], [0] * 17, [], [], {}, []]
TYPED = [[*LOOKED_AT[0][:6], 5.4, 5.4, 5.4, 90.0, 90.0, 90.0, 157.0, "P 1"], *LOOKED_AT[1:]]
EMPTY = {"Unit Cells List": [], "Index Peak List": [], "Peak List": {"peaks": [], "sigDict": {}}}
ROW = [20.8, 0, 100.0, 1]


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        ({}, []),
        ({"Unit Cells List": LOOKED_AT}, []),
        ({"Index Peak List": [[], []], "Peak List": []}, []),
        ({"Unit Cells List": TYPED}, ["Unit Cells List"]),
        ({"Index Peak List": [[ROW], [0.0]]}, ["Index Peak List"]),
        ({"Peak List": {"peaks": [ROW], "sigDict": {}}}, ["Peak List"]),
        ({"Peak List": [ROW]}, ["Peak List"]),
    ],
    ids=["new", "looked at", "older", "cell typed in", "index peaks", "peaks", "older peaks"],
)
def test_lists_with_entries_stay(menu, there, kept):
    answer = {"unit_cells": [0, 0, ["row"], 0.5, {}, []], "peaks": [[20.8, 7.0]], "index_peaks": [["line"], [0.01]]}
    new, stay = menu._project._new_lists(EMPTY | there, answer, [{"loaded": ["controls", "lattices"]}], [{}, {}])
    assert stay == kept
    assert set(new) == set(EMPTY) - set(kept)
    if not kept:
        assert new["Unit Cells List"] == ["controls", "lattices", ["row"], 0.5, {}, []]
        assert new["Peak List"] == {"peaks": [[20.8, 0, 7.0, 1]], "sigDict": {}}


def test_masked_points_are_left_out(menu):
    columns = [np.ma.MaskedArray([10.0, 11.0, 12.0], [False, True, False]), np.ones(3), np.ones(3), np.zeros(3)]
    items = {"root": {PWDR: "hist"}, "hist": {"Limits": "lim", "Instrument Parameters": "inst"}}
    contents = {"hist": [{}, columns], "lim": [[10, 12], [10, 12]], "inst": [LAB, {}]}
    frame = SimpleNamespace(GPXtree=Tree(items, contents), root="root")
    assert menu._project.histograms(frame) == [(PWDR, "hist")]
    task = menu._project.task(frame, PWDR, "hist")
    assert task["columns"] == [[10.0, 12.0], [1.0, 1.0], [1.0, 1.0]]
    assert (task["limits"], task["instrument"], task["phases"], task["alone"]) == ([[10, 12], [10, 12]], LAB, [], True)


class Tree:
    """As much of GSAS-II's tree as is read: branches by name, and what they hold."""

    def __init__(self, branches, contents):
        self.branches, self.contents = branches, contents

    def GetFirstChild(self, parent):  # noqa: N802
        return self.GetNextChild(parent, iter(self.branches.get(parent, {}).values()))

    def GetNextChild(self, _, cookie):  # noqa: N802
        return next(cookie, None), cookie

    def GetItemText(self, item):  # noqa: N802
        return next(text for below in self.branches.values() for text, one in below.items() if one == item)

    def GetItemPyData(self, item):  # noqa: N802
        return self.contents[item]


GROUPS = """
import json, sys
from pathlib import Path
import importlib.util
from GSASII import GSASIIspc
import GSASII.exports
spec = importlib.util.spec_from_file_location("GSASII.exports.alphadiffract_project", sys.argv[1])
project = importlib.util.module_from_spec(spec)
spec.loader.exec_module(project)
symbols = json.loads(Path(sys.argv[2]).read_text())
Path(sys.argv[3]).write_text(json.dumps([sorted(project._operations(GSASIIspc.SpcGroup(one)[1])) for one in symbols]))
"""


@pytest.mark.gsasii
def test_gsasii_makes_the_operations_that_are_asked_for_of_all_230_symbols(tmp_path):
    symbols = [crystal.symbol_from_space_group(number) for number in range(1, 231)]
    (tmp_path / "symbols.json").write_text(json.dumps(symbols))
    files = [HOOKS / PROJECT, tmp_path / "symbols.json", tmp_path / "operations.json"]
    subprocess.run([sys.executable, "-c", GROUPS, *map(str, files)], check=True, capture_output=True, timeout=300)
    made = json.loads(files[2].read_text())
    for number, operations in enumerate(made, start=1):
        wanted = as_set(crystal.operations_from_space_group(number))
        assert {tuple(one) for one in operations} == wanted, crystal.symbol_from_space_group(number)


@pytest.mark.gsasii
def test_scripts_of_gsasii_load_it_without_a_window_and_are_not_offered_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    install()
    look = "from GSASII import GSASIIscriptable as G2sc; G2sc.LoadG2fil(); print('LOADED', G2sc.exportersByExtension)"
    done = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "LOADED" in done.stdout, done.stderr
    assert "Error with" not in done.stdout
    assert "AlphaDiffract" not in done.stdout.partition("LOADED")[2]
