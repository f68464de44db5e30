"""The open project as ``G2export_alphadiffract.py`` beside it reads and changes it; needs only GSAS-II.

``alphadiffract-plugin gsasii install-hook`` copies both files into GSAS-II's folder of user exporters.

The rules are those of ``alphadiffract_plugin.gsasii.seed``: lists that have entries stay, phases of the user stay, and
no new phase is in use on a histogram that another phase is refined with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import GSASIIElem as G2elem
from .. import GSASIImath as G2mth
from .. import GSASIIspc as G2spc


class NotDoneError(Exception):
    """Why the project stays as it is."""


def histograms(frame: Any) -> list[tuple[str, Any]]:
    """Name and tree item of every powder histogram."""
    return [(name, item) for name, item in _below(frame.GPXtree, frame.root) if name.startswith("PWDR ")]


def task(frame: Any, name: str, item: Any) -> dict[str, Any]:
    """What the indexer has to know: the points, limits, excluded regions, instrument, and names that are taken."""
    tree = frame.GPXtree
    columns = [np.ma.asarray(column, dtype=float) for column in tree.GetItemPyData(item)[1][:3]]
    seen = ~np.any([np.ma.getmaskarray(column) for column in columns], axis=0)
    return {
        "histogram": name,
        "columns": [column[seen].tolist() for column in columns],
        "limits": tree.GetItemPyData(_part(frame, item, "Limits")),
        "instrument": tree.GetItemPyData(_part(frame, item, "Instrument Parameters"))[0],
        "phases": [phase["General"]["Name"] for phase in _phases(frame)],
        "alone": len(histograms(frame)) == 1,
    }


def add(frame: Any, name: str, item: Any, answer: dict[str, Any], ticked: list[int], importer: Any) -> list[str]:
    """Write lists, phases and notebook, all of it or nothing; returns the names of the lists that stay as they were.

    Raises
    ------
    NotDoneError : GSAS-II takes a cell or a space group for something else, or fails.
    """
    import wx

    from .. import GSASIIdataGUI as gui

    tree = frame.GPXtree
    choices = [answer["choices"][place] for place in ticked]
    instrument = tree.GetItemPyData(_part(frame, item, "Instrument Parameters"))
    couplings = [coupling for phase in _phases(frame) for coupling in phase["Histograms"].items()]
    in_use = [(linked, one) for linked, one in couplings if one.get("Use", True)]
    first_used = all(linked != name for linked, _ in in_use)
    le_bail = first_used and not any(one.get("LeBail") for _, one in in_use)
    phases = []
    for choice in choices:
        phase = _phase(choice["phase"], name, instrument[0]["Type"][0], importer)
        phase["Histograms"][name].update(Use=first_used and not phases, LeBail=le_bail and not phases)
        phases.append(phase)
    frame.CheckNotebook()  # makes it where there is none
    gui.SelectDataTreeItem(frame, item)  # a page that is open would otherwise write over the new entries when it closes
    own = ("Unit Cells List", "Index Peak List", "Peak List", "Reflection Lists")
    parts = {part: _part(frame, item, part) for part in own}
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
    wx.CallAfter(tree.SelectItem, parts["Unit Cells List"])  # GSAS-II selects the histogram in the same way before
    return kept


def _new_lists(
    before: dict[str, Any], answer: dict[str, Any], choices: list[dict[str, Any]], instrument: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The lists of a histogram that are empty and get entries, and the names of those that have some and stay."""
    cells, peaks = before["Unit Cells List"], before["Peak List"]
    free = {
        # a list of unit cells that was only looked at has controls, but no cell in them and none in its table
        "Unit Cells List": not cells or (not cells[2] and list(cells[0][6:12]) == [1, 1, 1, 90, 90, 90]),
        "Index Peak List": not any(before["Index Peak List"]),
        "Peak List": not (peaks if isinstance(peaks, list) else peaks["peaks"]),  # a list alone in old projects
    }
    new = {"Unit Cells List": [*choices[0]["loaded"], *answer["unit_cells"][2:]]}
    if answer["peaks"]:
        new["Index Peak List"] = answer["index_peaks"]
        new["Peak List"] = {
            "peaks": [G2mth.setPeakparms(*instrument, position, counts) for position, counts in answer["peaks"]],
            "sigDict": {},
        }
    return {part: data for part, data in new.items() if free[part]}, [part for part in new if not free[part]]


def _phase(wanted: dict[str, Any], histogram: str, kind: str, importer: Any) -> dict[str, Any]:
    """A phase of GSAS-II without atoms, linked to a histogram of an instrument type such as ``PXC``."""
    try:
        phase = importer.phase_from_choice(wanted)
    except importer.NotReadableError as error:
        raise NotDoneError(str(error)) from None
    group = phase["General"]["SGData"]
    if _operations(group) != {tuple(one) for one in wanted["operations"]}:
        raise NotDoneError(f"This GSAS-II takes {wanted['symbol']} for another space group than {wanted['number']}.")
    G2elem.SetupGeneral(phase, None)
    numbers = {"NShkl": len(G2spc.MustrainNames(group)), "NDij": len(G2spc.HStrainNames(group))}
    phase["Histograms"][histogram] = G2mth.SetDefaultDData(kind, histogram, **numbers)
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
