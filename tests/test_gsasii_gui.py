"""GSAS-II's own window, on a screen that nobody sees: the menu item, the list of cells, the phases in the tree.

Only the two boxes that GTK draws itself, for the file and 'is this the file you want', are answered beforehand; the
rest is clicked.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from alphadiffract_plugin.gsasii.importer import NAME, install
from alphadiffract_plugin.records import Candidate, IndexingResult

pytestmark = pytest.mark.gsasii

DRIVER = """
seen = {"asked": [], "names": [], "refused": [], "phases": []}
GSASIIctrlGUI.GetImportFile = lambda *_, **__: [file]
window.PreviewFile = lambda _: False
window.ErrorDialog = lambda title, message, *_, **__: seen["refused"].append(message)

def click():
    for dialog in wx.GetTopLevelWindows():
        if isinstance(dialog, wx.Dialog) and dialog.IsModal():
            if isinstance(dialog, wx.MultiChoiceDialog):
                [box] = [one for one in dialog.GetChildren() if isinstance(one, wx.CheckListBox)]
                seen["asked"] = [box.GetString(row) for row in range(box.GetCount())]
                dialog.SetSelections([0, 1])
            elif isinstance(dialog, wx.TextEntryDialog):
                seen["names"].append(dialog.GetValue())
            else:
                seen["refused"].append(dialog.GetTitle())
            dialog.ProcessEvent(wx.CommandEvent(wx.wxEVT_BUTTON, wx.ID_OK))
    wx.CallLater(300, click)

def use_menu():
    readers = window.ImportMenuId.items()
    [number] = [key for key, one in readers if "AlphaDiffract" in getattr(one, "formatName", "")]
    seen["menu"] = window.GetMenuBar().FindItemById(number).GetItemLabelText()
    wx.CallLater(500, click)
    window.ProcessEvent(wx.CommandEvent(wx.wxEVT_MENU, number))
    wx.CallLater(1500, leave)

def leave():
    tree, find = window.GPXtree, GSASIIdataGUI.GetGPXtreeItemId
    phases = find(window, window.root, "Phases")
    item, cookie = tree.GetFirstChild(phases) if phases else (None, None)
    while item:
        general = tree.GetItemPyData(item)["General"]
        seen["phases"].append([tree.GetItemText(item), general["SGData"]["SpGrp"], general["Cell"][1:7]])
        item, cookie = tree.GetNextChild(phases, cookie)
    notebook = find(window, window.root, "Notebook")
    seen["notebook"] = tree.GetItemPyData(notebook) if notebook else []
    print("SEEN " + json.dumps(seen), flush=True)
    os._exit(0)

wx.CallLater(2000, use_menu)
app.MainLoop()
"""


@pytest.fixture
def window(tmp_path, gsasii_window):
    """Start GSAS-II's window in a home of its own, import a file by the menu, and tell what was seen."""
    install(tmp_path / ".GSASII" / "imports")

    def use(file: Path) -> dict:
        return json.loads(gsasii_window(DRIVER, file, tmp_path)[0])

    return use


def candidate(symbol, number, cell, probability):
    return Candidate(tuple(map(float, cell)), (math.nan,) * 6, number, symbol, "", probability)


ANSWER = IndexingResult(
    "silicon",
    "alphadiffract",
    1.5406,
    (
        candidate("F d -3 m", 227, (5.431, 5.431, 5.431, 90, 90, 90), 0.9),
        candidate("I 41/a m d", 141, (3.84, 3.84, 5.431, 90, 90, 90), 0.05),
        candidate("P 1", 1, (math.nan,) * 6, 0.01),
    ),
)


def test_the_menu_leads_to_the_cells_and_the_ticked_ones_become_phases(window, tmp_path):
    assert (tmp_path / ".GSASII" / "imports" / NAME).is_file()
    (tmp_path / "silicon.json").write_text(ANSWER.to_json())
    seen = window(tmp_path / "silicon.json")
    assert seen["menu"] == "(user) from AlphaDiffract result file"
    cells = ["1: F d -3 m, 5.431 5.431 5.431, p 0.90", "2: I 41/a m d, 3.840 3.840 5.431, p 0.05"]
    assert seen["asked"][:2] == cells
    assert seen["names"] == ["silicon 1", "silicon 2"]
    assert [phase[:2] for phase in seen["phases"]] == [["silicon 1", "F d -3 m"], ["silicon 2", "I 41/a m d"]]
    assert seen["phases"][1][2] == pytest.approx([3.84, 3.84, 5.431, 90, 90, 90], abs=1e-5)
    assert seen["refused"] == []  # nor is the origin asked for, which matters to atoms alone
    assert sum("found by alphadiffract-plugin" in line for line in seen["notebook"]) == 2


def test_a_file_that_is_no_answer_is_reported_in_the_window(window, tmp_path):
    (tmp_path / "list.json").write_text("[1, 2]")
    [message] = window(tmp_path / "list.json")["refused"]
    assert "this JSON holds something else, not an answer of alphadiffract-plugin; give the NAME.json" in message
