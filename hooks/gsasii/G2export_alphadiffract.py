"""*Export, Powder data as, Index with AlphaDiffract* in GSAS-II's menu: cells and space groups for the open project.

It belongs into GSAS-II's folder of user exporters, ``~/.GSASII/exports``: ``alphadiffract-plugin gsasii install-hook``
copies it there, with the importer beside it, and ``remove-hook`` removes both. GSAS-II offers no other way to a menu
entry that reaches the open project. It runs within GSAS-II and needs only GSAS-II: the indexer runs in a process of its
own, with the Python that ``install-hook`` was run with. What is shown and written comes from there as JSON.

A project changes only after the last question, and then completely or not at all.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

try:
    from .. import GSASIIfiles as G2fil
except ImportError:  # a GSAS-II from before 2025, whose modules lie side by side
    import GSASIIfiles as G2fil

PYTHON = ""
"""The Python that has alphadiffract-plugin; ``install-hook`` writes it here."""

FORM = 1
"""Version of the files that are exchanged with the indexer."""

TITLE = "Index with AlphaDiffract"

AGAIN = "run 'alphadiffract-plugin gsasii install-hook' and restart GSAS-II"

UNCHANGED = "The project is unchanged."


class AlphaDiffractIndexing(G2fil.ExportBaseclass):
    """The menu entry. GSAS-II makes one for its window, and none for scripts, since it has no ``Writer``."""

    def __init__(self, G2frame: Any) -> None:
        super().__init__(
            G2frame=G2frame,
            formatName=TITLE,
            extension=".json",
            longFormatName="Find unit cells and space groups of a powder histogram and add them to this project",
        )
        self.exporttype = ["powder"]

    def Exporter(self, event: Any = None) -> None:
        """Ask for a histogram, index it, ask for the cells, and add them to the project."""
        frame = self.G2frame
        try:
            histogram = _chosen_histogram(frame)
            if histogram is None:
                return
            answer = _indexed(frame, _task(frame, *histogram))
            ticked = _chosen_cells(frame, histogram[0], answer) if answer else []
            if not ticked:
                return
            kept = _add(frame, *histogram, answer, ticked)
        except NotDoneError as error:
            frame.ErrorDialog(TITLE, f"{error}\n\n{UNCHANGED}", frame)
            return
        if kept:
            frame.ErrorDialog(TITLE, f"{' and '.join(kept)}: these had entries already, and stay as they were.", frame)


class NotDoneError(Exception):
    """Why the project stays as it is."""


# ------------------------------------------------------------------------------------------- the histogram goes out


def _chosen_histogram(frame: Any) -> tuple[str, Any] | None:
    """Name and tree item of the only powder histogram, or of that which the user chooses; None if none is chosen."""
    histograms = [(name, item) for name, item in _below(frame.GPXtree, frame.root) if name.startswith("PWDR ")]
    if not histograms:
        raise NotDoneError("This project has no powder histogram. Load one by Import, Powder Data.")
    if len(histograms) == 1:
        return histograms[0]
    number = _module("GSASIIctrlGUI").ItemSelector(
        [name for name, _ in histograms], frame, title="Which histogram is to be indexed?", header=TITLE
    )
    return None if number is None else histograms[number]


def _task(frame: Any, name: str, item: Any) -> dict[str, Any]:
    """What the indexer has to know: the points, limits, excluded regions, instrument, and names that are taken."""
    tree = frame.GPXtree
    columns = [np.ma.asarray(column, dtype=float) for column in tree.GetItemPyData(item)[1][:3]]
    seen = ~np.any([np.ma.getmaskarray(column) for column in columns], axis=0)
    return {
        "form": FORM,
        "histogram": name,
        "columns": [column[seen].tolist() for column in columns],
        "limits": tree.GetItemPyData(_part(frame, item, "Limits")),
        "instrument": tree.GetItemPyData(_part(frame, item, "Instrument Parameters"))[0],
        "phases": [phase["General"]["Name"] for phase in _phases(frame)],
        "alone": sum(other.startswith("PWDR ") for other, _ in _below(tree, frame.root)) == 1,
    }


def _indexed(frame: Any, task: dict[str, Any]) -> dict[str, Any] | None:
    """The indexer's answer; None if the user cancels. The indexer is ended then."""
    import wx

    with tempfile.TemporaryDirectory(prefix="alphadiffract-") as name:
        folder = Path(name)
        (folder / "task.json").write_text(json.dumps(task, default=lambda value: value.item()), encoding="utf-8")
        process = _started(folder)
        shown = wx.ProgressDialog(
            TITLE,
            f"{task['histogram']}\nStarting. The first run on a machine takes a minute.",
            parent=frame,
            style=wx.PD_APP_MODAL | wx.PD_CAN_ABORT | wx.PD_ELAPSED_TIME,
        )
        try:
            while process.poll() is None:
                steps = _text(folder / "steps.txt").splitlines()
                if not shown.Pulse(f"{task['histogram']}\n{steps[-1]} ..." if steps else "")[0]:
                    return None
                wx.MilliSleep(50)
        finally:
            _end(process)
            shown.Destroy()
        if process.returncode:
            raise NotDoneError(_reason(_text(folder / "errors.txt"), process.returncode))
        answer = json.loads(_text(folder / "answer.json"))
    if answer.get("form") != FORM:
        raise NotDoneError(f"The indexer is of another version than this menu entry: {AGAIN}.")
    return answer


def _started(folder: Path) -> subprocess.Popen[bytes]:
    """The indexer's process, which reads ``task.json`` in this folder and writes ``answer.json``.

    Of the surroundings, it does not get what would lead its Python to the packages of GSAS-II's.
    """
    command = [PYTHON, "-X", "utf8", "-m", "alphadiffract_plugin", "gsasii", "index-for-window"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FORCE_COLOR"))}
    own = {"start_new_session": True} if os.name == "posix" else {"creationflags": subprocess.CREATE_NO_WINDOW}
    with open(folder / "steps.txt", "wb") as steps, open(folder / "errors.txt", "wb") as errors:
        try:
            return subprocess.Popen(
                [*command, "task.json", "answer.json"],
                **{"cwd": folder, "env": clean, "stdin": subprocess.DEVNULL, "stdout": steps, "stderr": errors, **own},
            )
        except OSError as error:
            raise NotDoneError(f"The Python of the indexer does not start ({PYTHON or error}): {AGAIN}.") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the indexer, with every process that it started, unless it has ended already."""
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _reason(printed: str, code: int) -> str:
    """Why the indexer failed: its own message, or the last line of whatever it printed."""
    message = printed.rpartition("error: ")[2] if printed.lstrip().startswith("error: ") else ""
    if message:
        return message.strip()
    last = (printed.strip().splitlines() or [f"exit code {code}"])[-1]
    if "No module named alphadiffract_plugin" in last:
        return f"alphadiffract-plugin is no longer installed for {PYTHON}: install it there, or {AGAIN}."
    return f"The indexer failed: {last}\nHow to fix it: 'alphadiffract-plugin doctor' says what is missing."


# ----------------------------------------------------------------------------------------------- the user is asked


def _chosen_cells(frame: Any, name: str, answer: dict[str, Any]) -> list[int]:
    """The places of the candidates that the user ticks, in order; empty if none.

    Raises
    ------
    NotDoneError : there is no candidate to choose from.
    """
    import wx

    choices = answer["choices"]
    if not choices:
        raise NotDoneError("\n".join(["No cell was found.", *answer["notes"]]))
    style = wx.DEFAULT_DIALOG_STYLE | wx.RESIZE_BORDER
    dialog = wx.Dialog(frame, title=f"{TITLE}: {name}", style=style)
    table = wx.ListCtrl(dialog, style=wx.LC_REPORT | wx.LC_SINGLE_SEL | wx.LC_HRULES, size=(-1, 240))
    table.EnableCheckBoxes()
    for place, column in enumerate(answer["columns"]):
        table.AppendColumn(column, wx.LIST_FORMAT_LEFT if place == 0 else wx.LIST_FORMAT_RIGHT)
    for choice in choices:
        table.Append(choice["texts"])
    for place, column in enumerate(answer["columns"]):
        texts = [column, *(choice["texts"][place] for choice in choices)]
        table.SetColumnWidth(place, max(table.GetTextExtent(text).width for text in texts) + (50 if place == 0 else 26))
    notes = wx.StaticText(dialog, label="\n".join(answer["notes"]))
    details = wx.TextCtrl(dialog, style=wx.TE_MULTILINE | wx.TE_READONLY, size=(-1, 90))
    buttons = dialog.CreateButtonSizer(wx.OK | wx.CANCEL)
    ok = dialog.FindWindow(wx.ID_OK)
    ok.SetLabel("Add ticked cells")
    ok.Disable()

    def ticked() -> list[int]:
        return [row for row in range(len(choices)) if table.IsItemChecked(row)]

    def show(event: Any) -> None:
        details.SetValue(choices[event.GetIndex()]["details"])

    for happening in (wx.EVT_LIST_ITEM_CHECKED, wx.EVT_LIST_ITEM_UNCHECKED):
        table.Bind(happening, lambda event: wx.CallAfter(lambda: ok.Enable(bool(ticked()))))
    table.Bind(wx.EVT_LIST_ITEM_SELECTED, show)
    table.Select(0)
    details.SetValue(choices[0]["details"])
    sizer = wx.BoxSizer(wx.VERTICAL)
    for window, proportion in ((notes, 0), (table, 3), (details, 1)):
        sizer.Add(window, proportion, wx.EXPAND | wx.ALL, 8)
    sizer.Add(buttons, 0, wx.ALIGN_RIGHT | wx.ALL, 8)
    dialog.SetSize((min(sum(table.GetColumnWidth(place) for place in range(len(answer["columns"]))) + 60, 1100), 520))
    notes.Wrap(dialog.GetClientSize().width - 16)
    dialog.SetSizer(sizer)
    dialog.CentreOnParent()
    try:
        return ticked() if dialog.ShowModal() == wx.ID_OK else []
    finally:
        dialog.Destroy()


# ------------------------------------------------------------------------------------------- the project is changed


def _add(frame: Any, name: str, item: Any, answer: dict[str, Any], ticked: list[int]) -> list[str]:
    """Write lists, phases and notebook, all of it or nothing; returns the names of the lists that stay as they were.

    Raises
    ------
    NotDoneError : GSAS-II takes a cell or a space group for something else, or fails.
    """
    tree, gui = frame.GPXtree, _module("GSASIIdataGUI")
    frame.CheckNotebook()
    gui.SelectDataTreeItem(frame, item)  # a page that is open would otherwise write over the new entries when it closes
    choices = [answer["choices"][place] for place in ticked]
    instrument = tree.GetItemPyData(_part(frame, item, "Instrument Parameters"))
    couplings = [coupling for phase in _phases(frame) for coupling in phase["Histograms"].items()]
    in_use = [(linked, one) for linked, one in couplings if one.get("Use", True)]
    first_used = all(linked != name for linked, _ in in_use)
    le_bail = first_used and not any(one.get("LeBail") for _, one in in_use)
    phases = []
    for choice in choices:
        phase = _phase(choice["phase"], name, instrument[0]["Type"][0])
        phase["Histograms"][name].update(Use=first_used and not phases, LeBail=le_bail and not phases)
        phases.append(phase)
    parts = {part: _part(frame, item, part) for part in ("Unit Cells List", "Index Peak List", "Peak List")}
    parts["Reflection Lists"] = _part(frame, item, "Reflection Lists")
    parts |= {part: _part(frame, frame.root, part) for part in ("Notebook", "Controls")}
    before = {part: copy.deepcopy(tree.GetItemPyData(place)) for part, place in parts.items()}
    branch, added = gui.GetGPXtreeItemId(frame, frame.root, "Phases"), []
    try:
        new, kept = _new_lists(before, answer, choices, instrument)
        for part, data in new.items():
            tree.SetItemPyData(parts[part], data)
        if le_bail:  # GSAS-II then starts the intensities when it refines, as if Le Bail had been chosen in its window
            tree.GetItemPyData(parts["Controls"])["newLeBail"] = True
        above = gui.FindPhaseItem(frame)
        added += [] if branch else [above]
        for phase in phases:
            added.insert(0, tree.AppendItem(parent=above, text=phase["General"]["Name"]))
            tree.SetItemPyData(added[0], phase)
            tree.GetItemPyData(parts["Reflection Lists"])[phase["General"]["Name"]] = {}
        frame.AddToNotebook("\n".join([*answer["note"][0], *(one["note"] for one in choices), *answer["note"][1]]))
        frame.GetUsedHistogramsAndPhasesfromTree()  # GSAS-II numbers the phases
    except Exception as error:
        for part, data in before.items():
            tree.SetItemPyData(parts[part], data)
        for one in added:
            tree.Delete(one)
        raise NotDoneError(f"GSAS-II could not add the cells: {type(error).__name__}: {error}.") from error
    for one in (frame.root, above, item):
        tree.Expand(one)
    frame.EnableRefineCommand()
    frame.PickIdText = None
    tree.SelectItem(parts["Unit Cells List"])
    return kept


def _new_lists(
    before: dict[str, Any], answer: dict[str, Any], choices: list[dict[str, Any]], instrument: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The lists of a histogram that are empty and get entries, and the names of those that have some and stay."""
    cells = before["Unit Cells List"]
    free = {
        # a list of unit cells that was only looked at has controls, but no cell in them and none in its table
        "Unit Cells List": not cells or (not cells[2] and list(cells[0][6:12]) == [1, 1, 1, 90, 90, 90]),
        "Index Peak List": not any(before["Index Peak List"]),
        "Peak List": not before["Peak List"]["peaks"],
    }
    new = {"Unit Cells List": [*choices[0]["loaded"], *answer["unit_cells"][2:]]}
    if answer["peaks"]:
        peak = _module("GSASIImath").setPeakparms
        new["Index Peak List"] = answer["index_peaks"]
        new["Peak List"] = {
            "peaks": [peak(*instrument, position, counts) for position, counts in answer["peaks"]],
            "sigDict": {},
        }
    return {part: data for part, data in new.items() if free[part]}, [part for part in new if not free[part]]


def _phase(wanted: dict[str, Any], histogram: str, kind: str) -> dict[str, Any]:
    """A phase of GSAS-II without atoms, linked to a histogram of an instrument type such as ``PXC``."""
    importer = _importer()
    try:
        phase = importer.phase_from_choice(wanted)
    except importer.NotReadableError as error:
        raise NotDoneError(str(error)) from None
    group = phase["General"]["SGData"]
    if _operations(group) != {tuple(one) for one in wanted["operations"]}:
        raise NotDoneError(f"This GSAS-II takes {wanted['symbol']} for another space group than {wanted['number']}.")
    _module("GSASIIElem").SetupGeneral(phase, None)
    space = _module("GSASIIspc")
    numbers = {"NShkl": len(space.MustrainNames(group)), "NDij": len(space.HStrainNames(group))}
    phase["Histograms"][histogram] = _module("GSASIImath").SetDefaultDData(kind, histogram, **numbers)
    return phase


def _operations(group: dict[str, Any]) -> set[tuple[int, ...]]:
    """Symmetry operations that GSAS-II makes of a symbol: nine numbers of the rotation, and the shift in 24ths."""
    return {
        (
            *(round(sign * number) for row in rotation for number in row),
            *(round(24 * (sign * own + centring)) % 24 for own, centring in zip(shift, centre, strict=True)),
        )
        for rotation, shift in group["SGOps"]
        for sign in ((1, -1) if group["SGInv"] else (1,))
        for centre in group["SGCen"]
    }


# ------------------------------------------------------------------------------------------------ what GSAS-II has


def _below(tree: Any, parent: Any) -> Iterator[tuple[str, Any]]:
    """Text and item of every branch below a branch of the tree."""
    item, cookie = tree.GetFirstChild(parent)
    while item:
        yield tree.GetItemText(item), item
        item, cookie = tree.GetNextChild(parent, cookie)


def _part(frame: Any, parent: Any, text: str) -> Any:
    """The branch of this name below another one."""
    for found, item in _below(frame.GPXtree, parent):
        if found == text:
            return item
    raise NotDoneError(f"This project has no {text}: save it and open it again.")


def _phases(frame: Any) -> list[dict[str, Any]]:
    """The phases of the project."""
    branches = [item for text, item in _below(frame.GPXtree, frame.root) if text == "Phases"]
    return [frame.GPXtree.GetItemPyData(item) for branch in branches for _, item in _below(frame.GPXtree, branch)]


def _module(name: str) -> Any:
    """A module of GSAS-II, which lies where the exporter's base class was found."""
    return importlib.import_module(G2fil.__name__.rpartition(".")[0] + "." + name if "." in G2fil.__name__ else name)


def _importer() -> Any:
    """The importer that is installed with this file: in the same folder, or in the one for importers."""
    here, name = Path(__file__).resolve().parent, "G2phase_alphadiffract.py"
    for path in (here / name, here.parent / "imports" / name):
        if path.is_file():
            spec = importlib.util.spec_from_file_location("G2phase_alphadiffract", path)
            module = importlib.util.module_from_spec(spec)
            module.__package__ = "GSASII.imports"
            spec.loader.exec_module(module)
            return module
    raise NotDoneError(f"The file {name} is missing: {AGAIN}.")


def _text(path: Path) -> str:
    """What a file holds so far."""
    return path.read_text(encoding="utf-8", errors="replace")
