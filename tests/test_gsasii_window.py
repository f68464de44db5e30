"""Indexing from GSAS-II's own window, on a screen that nobody sees: menu entry, progress, cells to tick, the project.

Nothing is imitated but the file boxes and message boxes that GTK draws itself: their texts are collected. The indexer
runs in the Python of these tests, GSAS-II's window in another one where GSASII_PYTHON names it.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from pathlib import Path

import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.gsasii.importer import install

pytestmark = pytest.mark.gsasii

LAB = (
    "#GSAS-II instrument parameter file\nType:PXC\nBank:1\nLam1:1.5405\nLam2:1.5443\nI(L2)/I(L1):0.5\nZero:0.0\n"
    "Polariz.:0.7\nAzimuth:0.0\nU:2.0\nV:-2.0\nW:5.0\nX:0.0\nY:0.0\nZ:0.0\nSH/L:0.002\n"
)
D1A = (
    "#GSAS-II instrument parameter file\nType:PNC\nBank:1\nLam:1.909\nZero:0.0\nPolariz.:0.0\nAzimuth:0.0\n"
    "U:100.0\nV:-100.0\nW:100.0\nX:0.0\nY:0.0\nZ:0.0\nSH/L:0.002\n"
)
MOST_SHIFT = 0.002
"""Largest error of an axis as a fraction: both PbSO4 patterns were indexed to 0.1 % and better."""

DRIVER = """
exporter = sys.modules["GSASII.userexports.G2export_alphadiffract"]
find, tree, jobs, seen, job = GSASIIdataGUI.GetGPXtreeItemId, window.GPXtree, json.load(open(file)), {}, {}
usual = exporter.PYTHON
window.ErrorDialog = lambda title, message, *_, **__: seen["messages"].append(message)

def branches(parent, path=()):
    item, cookie = tree.GetFirstChild(parent)
    while item:
        here = (*path, tree.GetItemText(item))
        yield " / ".join(here), item
        yield from branches(item, here)
        item, cookie = tree.GetNextChild(parent, cookie)

def plain(data):
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    return [plain(one) for one in data] if isinstance(data, (list, tuple)) else getattr(data, "tolist", lambda: data)()

def contents():
    return {path: repr(plain(tree.GetItemPyData(item))) for path, item in branches(window.root)}

def fail(*_):
    raise RuntimeError("no memory left")

def wait(seconds):
    for _ in range(int(seconds / 0.05)):
        wx.Yield()
        wx.MilliSleep(50)

def click():
    for dialog in wx.GetTopLevelWindows():
        if not isinstance(dialog, wx.Dialog) or not dialog.IsShown():
            continue
        if isinstance(dialog, wx.GenericProgressDialog):
            step = dialog.GetMessage().splitlines()[-1]
            seen["steps"] += [step] if step not in seen["steps"] else []
            if job.get("cancel") and (job["cancel"] == step):
                press(dialog, wx.ID_CANCEL)
        elif isinstance(dialog, wx.SingleChoiceDialog):
            dialog.SetSelection(job["histogram"])
            press(dialog, wx.ID_OK)
        elif dialog.IsModal() and not seen["table"]:
            [table] = [one for one in dialog.GetChildren() if isinstance(one, wx.ListCtrl)]
            rows, columns = range(table.GetItemCount()), range(table.GetColumnCount())
            seen["table"] = [[table.GetItemText(row, column) for column in columns] for row in rows]
            seen["columns"] = [table.GetColumn(column).GetText() for column in columns]
            seen["notes"] = [one.GetLabel() for one in dialog.GetChildren() if isinstance(one, wx.StaticText)]
            [details] = [one for one in dialog.GetChildren() if isinstance(one, wx.TextCtrl)]
            ok = dialog.FindWindow(wx.ID_OK)
            for row in job["tick"]:
                seen["could add"].append(ok.IsEnabled())
                table.CheckItem(row)
                table.Select(row)
                wait(0.2)
                seen["details"].append(details.GetValue())
            seen["could add"].append(ok.IsEnabled())
            press(dialog, wx.ID_OK if job["tick"] else wx.ID_CANCEL)
    wx.CallLater(30, click)

def press(dialog, button):
    event = wx.CommandEvent(wx.wxEVT_BUTTON, button)
    event.SetEventObject(dialog.FindWindow(button))
    dialog.ProcessEvent(event)

def work():
    global job
    if not jobs:
        os._exit(0)
    job = jobs.pop(0)
    seen.clear()
    seen.update({"messages": [], "steps": [], "table": [], "details": [], "could add": []})
    if "project" in job:
        window.OnFileOpen(None, filename=job["project"], askSave=False)
        wait(1)
    if "look at" in job:
        tree.SelectItem(dict(branches(window.root))[job["look at"]])
        wait(1)
    exporter.PYTHON = job.get("python", usual)
    items = [window.GetMenuBar().FindItemById(number) for number in window.ExportLookup]
    [entry] = [one for one in items if one and "AlphaDiffract" in one.GetItemLabelText()]
    seen["menu"] = [window.ExportLookup[entry.GetId()], entry.GetItemLabelText(), entry.GetHelp()]
    if "fails" in job:
        setattr(window, job["fails"], fail)
    before = contents()
    window.ProcessEvent(wx.CommandEvent(wx.wxEVT_MENU, entry.GetId()))
    after = contents()
    vars(window).pop(job.get("fails"), None)
    seen["changed"] = sorted(path for path in {**before, **after} if before.get(path) != after.get(path))
    wait(1)
    seen["page"] = tree.GetItemText(tree.GetSelection())
    if "save" in job:
        window.GSASprojectfile = job["save"]
        window.OnFileSave(None)
    print("\\nSEEN " + json.dumps(seen), flush=True)
    wx.CallLater(10, work)

wx.CallLater(500, click)
wx.CallLater(1500, work)
app.MainLoop()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A home folder with both files of the menu entry in it."""
    home = tmp_path_factory.mktemp("window")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        install()
    return home


@pytest.fixture
def use_window(folder, gsasii_window):
    """Do one thing after the other in one window; gives what was seen of each."""

    def use(*jobs: dict) -> list[dict]:
        (folder / "jobs.json").write_text(json.dumps(jobs))
        seen = [json.loads(line) for line in gsasii_window(DRIVER, folder / "jobs.json", folder)]
        assert len(seen) == len(jobs)
        return seen

    return use


@pytest.fixture(scope="module")
def both(folder, examples, data):
    """A project with the X-ray and the neutron pattern of PbSO4."""
    (folder / "lab.instprm").write_text(LAB)
    (folder / "d1a.instprm").write_text(D1A)
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(folder / "both.gpx"))
        for pattern, instrument in ((examples / "pbso4_xray.xye", "lab"), (data / "pbso4_neutron.xye", "d1a")):
            project.add_powder_histogram(str(pattern), str(folder / f"{instrument}.instprm"), fmthint="Topas xye")
        project.histogram(0).set_refinements({"Limits": [15, 100]})
        project.save()
    return folder / "both.gpx"


@pytest.fixture
def saved(both):
    """Open a project anew."""

    def reopen(path: Path):
        return gsasii.open_project(path)

    return reopen


def cell_of(phase) -> list[float]:
    return [float(value) for value in phase.data["General"]["Cell"][1:7]]


ANGLESITE = [8.480, 5.398, 6.958, 90, 90, 90]


def test_a_cell_is_found_ticked_and_saved_and_each_histogram_has_its_own(both, folder, use_window, saved):
    mixed, later = folder / "after_xray.gpx", folder / "after_neutron.gpx"
    xray, neutron = use_window(
        {"project": str(both), "histogram": 0, "tick": [0, 2], "save": str(mixed), "look at": "Notebook"},
        {"histogram": 1, "tick": [0], "save": str(later)},
    )
    assert xray["menu"][:2] == ["powder", "(user) Index with AlphaDiffract"]
    assert "powder histogram" in xray["menu"][2]
    assert {"Searching cells ...", "Fitting the cells to the pattern ..."} <= set(xray["steps"])
    assert xray["columns"][:2] == ["space group", "probability"]
    assert xray["table"][0][0] == "P n m a (62)"
    assert float(xray["table"][0][1]) > 0.9
    assert "every line is shifted" in " ".join(xray["notes"])
    assert xray["could add"] == [False, True, True]
    assert "Groups with the same line positions as P n m a (62): P n a 21 (33)." in xray["details"][0]
    assert "Doubtful: its probability is" in xray["details"][1]
    assert (xray["messages"], neutron["messages"]) == ([], [])
    assert xray["page"] == "Unit Cells List"

    project = saved(mixed)
    first, second = project.phases()
    assert [first.name, second.name] == ["candidate_1_pbso4_xray", "candidate_3_pbso4_xray"]
    assert cell_of(first) == pytest.approx(ANGLESITE, rel=MOST_SHIFT)
    name = project.histogram(0).name
    assert [phase.data["Histograms"][name]["Use"] for phase in (first, second)] == [True, False]
    assert [phase.data["Histograms"][name]["LeBail"] for phase in (first, second)] == [True, False]
    data = project.histogram(0).data
    assert data["Unit Cells List"][0][5] == "Pmmm"
    assert data["Unit Cells List"][0][6:9] == pytest.approx(ANGLESITE[:3], rel=MOST_SHIFT)
    assert len(data["Unit Cells List"][2]) == len(xray["table"])
    lines = data["Index Peak List"][0]
    assert len(lines) == len(data["Index Peak List"][1]) == len(data["Peak List"]["peaks"]) > 20
    assert 15 < lines[0][0] < lines[-1][0] < 100, "the limits of the histogram hold"
    notes = "\n".join(project.data["Notebook"]["data"])
    assert "chosen from" in notes
    assert f"  candidate_3_pbso4_xray: {xray['table'][2][0]}, " in notes
    assert "candidate_2_pbso4_xray" not in notes
    assert not project.histogram(1).data["Unit Cells List"]

    again = saved(later)
    assert [phase.name for phase in again.phases()][2:] == ["candidate_1_pbso4_neutron"]
    third = again.phases()[2]
    assert cell_of(third) == pytest.approx(ANGLESITE, rel=MOST_SHIFT)
    [coupling] = third.data["Histograms"].values()
    assert (coupling["Histogram"], coupling["Use"], coupling["LeBail"]) == (again.histogram(1).name, True, False)
    kept = {path for path in neutron["changed"] if path.startswith(("Phases / candidate_1_pbso4_xray", name))}
    assert not kept, "what the first histogram has stays"
    assert again.histogram(1).data["Unit Cells List"][2]


def test_a_phase_that_is_refined_stays_in_use_alone_and_full_lists_stay(both, folder, use_window, saved):
    with gsasii.quiet():
        project = saved(both)
        xray = project.histogram(0)
        mine = project.add_phase(phasename="mine", spacegroup="P n m a", cell=ANGLESITE, histograms=[xray])
        mine.data["Histograms"][xray.name]["Scale"] = [22.0, True]
        xray.add_peak(100.0, ttheta=20.8)
        project.save(str(folder / "refined.gpx"))
    before = pickle.dumps(saved(folder / "refined.gpx").phase("mine").data)
    target = folder / "beside.gpx"
    [seen] = use_window({"project": str(folder / "refined.gpx"), "histogram": 0, "tick": [0], "save": str(target)})
    assert seen["messages"] == [
        "The cells were added.\nNot empty, and therefore left as found: Peak List. Clear it and index again to fill it."
    ]
    after = saved(target)
    assert [phase.name for phase in after.phases()] == ["mine", "candidate_1_pbso4_xray"]
    coupling = after.phases()[1].data["Histograms"][after.histogram(0).name]
    assert (coupling["Use"], coupling["LeBail"]) == (False, False)
    assert pickle.dumps(after.phase("mine").data) == before
    assert len(after.histogram(0).data["Peak List"]["peaks"]) == 1
    assert not after.data["Controls"]["data"].get("newLeBail")
    lists = ("Unit Cells List", "Index Peak List", "Reflection Lists")
    touched = {"Notebook", "Phases / candidate_1_pbso4_xray", *(f"{xray.name} / {part}" for part in lists)}
    assert set(seen["changed"]) == touched, "background, profile, limits, flags, controls and the phase are as before"


def script(path: Path, text: str) -> str:
    """A program that takes the place of the Python of the indexer."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name != "posix", reason="the programs that fail are shell scripts")
def test_whatever_goes_wrong_the_project_stays_as_it_is(both, folder, use_window, saved):
    with gsasii.quiet():
        project = saved(both)
        parameters = project.histogram(1).data["Instrument Parameters"][0]
        parameters["Type"] = ["PNT", "PNT", False]
        project.save(str(folder / "flight.gpx"))
    alive = folder / "alive"
    endless = script(
        folder / "endless",
        f'#!/bin/sh\necho "Searching cells"\n(while true; do date +%s%N > {alive}; sleep 0.05; done) &\nwait\n',
    )
    crash = script(folder / "crash", "#!/bin/sh\necho 'Segmentation fault' >&2\nexit 139\n")
    other = script(
        folder / "other",
        f"#!/bin/sh\nexec {sys.executable} -c \"raise SystemExit('No module named alphadiffract_plugin')\"\n",
    )
    steps = [
        {"project": str(both), "histogram": 0, "python": endless, "cancel": "Searching cells ..."},
        {"histogram": 0, "python": crash},
        {"histogram": 0, "python": str(folder / "nowhere" / "python")},
        {"histogram": 0, "python": other},
        {"histogram": 1, "tick": []},
        {"histogram": 0, "tick": [0, 1], "fails": "GetUsedHistogramsAndPhasesfromTree"},
        {"project": str(folder / "flight.gpx"), "histogram": 1},
    ]
    cancelled, crashed, gone, moved, nothing, late, flight = use_window(*steps)
    for seen in (cancelled, crashed, gone, moved, nothing, late, flight):
        assert seen["changed"] == []
    assert (cancelled["messages"], nothing["messages"]) == ([], [])
    assert nothing["table"], "it was found, and none was ticked"
    last = alive.read_text()
    time.sleep(0.5)
    assert alive.read_text() == last, "what the indexer had started is ended with it"
    said = [seen["messages"][0] for seen in (crashed, gone, moved, late, flight)]
    assert all(message.endswith("\n\nThe project is unchanged.") for message in said)
    assert said[0].startswith("The indexer failed: Segmentation fault\nHow to fix it: 'alphadiffract-plugin doctor'")
    assert said[1].startswith(f"The Python of the indexer does not start ({folder / 'nowhere' / 'python'}): run ")
    assert said[2].startswith(f"alphadiffract-plugin is no longer installed for {other}: ")
    assert said[3].startswith("GSAS-II could not add the cells: RuntimeError: no memory left.\n")
    assert "the instrument type PNT is time of flight\n  How to fix it: give a pattern of one wavelength" in said[4]
