"""*Export, Powder data as, Index with AlphaDiffract* in GSAS-II's menu: cells and space groups for the open project.

It belongs into GSAS-II's folder of user exporters, ``~/.GSASII/exports``, which is the only way to a menu entry that
reaches the open project. ``alphadiffract-plugin gsasii install-hook`` copies it there with what it needs beside it, and
``remove-hook`` removes all of it. It runs within GSAS-II and needs only GSAS-II: the indexer runs in a process of its
own, with the Python that ``install-hook`` was run with. What is shown and written comes from there as JSON.

A project changes only after the last question, and then completely or not at all.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .. import GSASIIfiles as G2fil

PYTHON = ""
"""The Python that has alphadiffract-plugin; ``install-hook`` writes it here."""

FORM = 1
"""Version of the files that are exchanged with the indexer."""

TITLE = "Index with AlphaDiffract"

AGAIN = "run 'alphadiffract-plugin gsasii install-hook' and restart GSAS-II"


def _beside(name: str, folder: str) -> Any:
    """A file that is installed with this one, as a module: it lies in the same folder, or in another one of GSAS-II's.

    Parameters
    ----------
    name : of the file.
    folder : ``imports`` or ``exports``.
    """
    here = Path(__file__).resolve().parent
    for path in (here / name, here.parent / folder / name):
        if path.is_file():
            # by this name, "from .." is GSAS-II, as in the files that GSAS-II loads itself
            spec = importlib.util.spec_from_file_location(f"GSASII.{folder}.{path.stem}", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"the file {name} is missing: {AGAIN}")


_project = _beside("alphadiffract_project.py", "exports")
_importer = _beside("G2phase_alphadiffract.py", "imports")
NotDoneError = _project.NotDoneError


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
            histogram = _chosen_histogram(frame, _project.histograms(frame))
            answer = _indexed(frame, _project.task(frame, *histogram)) if histogram else None
            ticked = _chosen_cells(frame, histogram[0], answer) if answer else []
            kept = _project.add(frame, *histogram, answer, ticked, _importer) if ticked else []
        except NotDoneError as error:
            frame.ErrorDialog(TITLE, f"{error}\n\nThe project is unchanged.", frame)
            return
        if kept:
            left = f"Not empty, and therefore left as found: {', '.join(kept)}. Clear it and index again to fill it."
            frame.ErrorDialog(TITLE, f"The cells were added.\n{left}", frame)


def _chosen_histogram(frame: Any, histograms: list[tuple[str, Any]]) -> tuple[str, Any] | None:
    """Name and tree item of the only powder histogram, or of that which the user chooses; None if none is chosen."""
    import wx

    if not histograms:
        raise NotDoneError("This project has no powder histogram. Load one by Import, Powder Data.")
    if len(histograms) == 1:
        return histograms[0]
    names, shown = [name for name, _ in histograms], frame.GPXtree.GetSelection()
    dialog = wx.SingleChoiceDialog(frame, "Which histogram is to be indexed?", TITLE, names)
    for place, (_, item) in enumerate(histograms):
        if shown and item in (shown, frame.GPXtree.GetItemParent(shown)):
            dialog.SetSelection(place)
    try:
        return histograms[dialog.GetSelection()] if dialog.ShowModal() == wx.ID_OK else None
    finally:
        dialog.Destroy()


def _indexed(frame: Any, task: dict[str, Any]) -> dict[str, Any] | None:
    """The indexer's answer; None if the user cancels. The indexer is ended then."""
    import wx

    with tempfile.TemporaryDirectory(prefix="alphadiffract-") as name:
        folder = Path(name)
        (folder / "task.json").write_text(json.dumps({"form": FORM, **task}, default=_plain), encoding="utf-8")
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
    message = re.search(r"^error: (.*)", printed, re.DOTALL | re.MULTILINE)
    if message:
        return message[1].strip()
    last = (printed.strip().splitlines() or [f"exit code {code}"])[-1]
    if "No module named alphadiffract_plugin" in last:
        return f"alphadiffract-plugin is no longer installed for {PYTHON}: install it there, or {AGAIN}."
    return f"The indexer failed: {last}\nHow to fix it: 'alphadiffract-plugin doctor' says what is missing."


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
        # later, when the tick is set; the dialog may be closed by then
        table.Bind(happening, lambda event: wx.CallAfter(lambda: ok and ok.Enable(bool(ticked()))))
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


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python; anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)


def _text(path: Path) -> str:
    """What a file holds so far."""
    return path.read_text(encoding="utf-8", errors="replace")
