"""Changes of a project that a user has open in GSAS-II, each made completely or not at all.

GSAS-II refines only in scratch projects, with copies of the user's histogram and phase. The user's project receives the
fitted values in one step, and only :func:`save` writes its file.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alphadiffract_plugin.output import check_unprotected, scratch_beside, scratch_folder, writing

FITTED = ("data", "Limits", "Background", "Instrument Parameters", "Sample Parameters")
"""Parts of a histogram that a fit changes."""


@contextlib.contextmanager
def whole_or_not_at_all(project: Any) -> Iterator[None]:
    """Restore the project in memory after an error (or Ctrl-C) inside. Its file is not touched in any case.

    ``G2Project.add_phase`` writes the project's file by itself; here it writes into a scratch folder.
    """
    own = project.filename
    data, names = copy.deepcopy(project.data), copy.deepcopy(project.names)
    with scratch_folder() as folder:
        project.filename = str(folder / "scratch.gpx")
        try:
            yield
        except BaseException:
            _restore(project.data, data)
            project.names[:] = names
            raise
        finally:
            project.filename = own


def _restore(tree: dict[Any, Any], before: dict[Any, Any]) -> None:
    """Make a tree as it was before. Its dictionaries stay the same objects, since G2Phase and G2PwdrData hold them."""
    for key in [key for key in tree if key not in before]:
        del tree[key]
    for key, value in before.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _restore(tree[key], value)
        else:
            tree[key] = value


def scratch_copy(scratch: Any, histogram: Any, phase: Any = None) -> Any:
    """Copy a histogram, and a phase if one is given, into an empty project; returns the new histogram.

    The phase is the only one in use there, with Le Bail switched off.
    """
    data = copy.deepcopy(histogram.data)
    data["Reflection Lists"] = {}
    scratch.data[histogram.name] = data
    own = next(names for names in histogram.proj.names if names[0] == histogram.name)
    scratch.names.append(list(own))
    if phase is not None:
        phase_data = copy.deepcopy(phase.data)
        coupling = phase_data["Histograms"][histogram.name]
        phase_data["Histograms"] = {histogram.name: coupling | {"Use": True, "LeBail": False}}
        data["Reflection Lists"][phase.name] = {}
        scratch.data["Phases"] = {"data": None, phase.name: phase_data}
        scratch.names.append(["Phases", phase.name])
        scratch.index_ids()
    scratch.update_ids()
    return scratch.histogram(histogram.name)


def refined_with(project: Any, histogram: Any, phase: Any) -> tuple[str, ...]:
    """What else refines this histogram's background and profile: other phases in use, and constraints, in words.

    Empty if only ``phase`` does, so that a fit of it may replace them.
    """
    others = phases_in_use(project, histogram)
    reasons = tuple(f"phase {name}" for name in others if name != phase.name)
    identity = histogram.data["data"][0]["ranId"]
    for kind in ("Hist", "Global"):
        for constraint in project.data["Constraints"]["data"].get(kind, ()):
            if any(getattr(term[1], "histogram", None) in (identity, "*") for term in _terms(constraint)):
                return (*reasons, "a constraint")
    return reasons


def phases_in_use(project: Any, histogram: Any) -> tuple[str, ...]:
    """Names of the phases that GSAS-II refines on a histogram."""
    linked = ((one.name, one.data["Histograms"].get(histogram.name)) for one in project.phases())
    return tuple(name for name, coupling in linked if coupling is not None and coupling.get("Use", True))


def only_in_use(project: Any, phase: Any) -> bool:
    """Whether no phase but this one is in use on any histogram."""
    return not any(set(phases_in_use(project, one)) - {phase.name} for one in project.histograms())


def _terms(constraint: Any) -> Iterator[Any]:
    """The pairs (multiplier, variable) of a constraint in GSAS-II's list."""
    return (term for term in constraint if isinstance(term, (list, tuple)) and len(term) == 2)


def take_over_phase(fitted_histogram: Any, fitted_phase: Any, histogram: Any, phase: Any) -> None:
    """Copy only what belongs to the phase: its cell, its widths, and its reflections. It is not in use afterwards.

    Everything that another phase refines stays to the byte. No refinement flag of the phase is set, so that none acts
    unseen when the user takes the phase into use.
    """
    name = histogram.name
    phase.data["General"]["Cell"] = [False, *fitted_phase.data["General"]["Cell"][1:]]
    coupling, fitted = phase.data["Histograms"][name], fitted_phase.data["Histograms"][name]
    for width in ("Size", "Mustrain"):
        coupling[width] = copy.deepcopy(fitted[width])
        coupling[width][2] = [False] * len(coupling[width][2])
    coupling["Use"], coupling["LeBail"] = False, True
    histogram.data["Reflection Lists"][phase.name] = fitted_histogram.data["Reflection Lists"][phase.name]


def take_over_covariance(scratch: Any, project: Any, histogram: Any, phase: Any) -> None:
    """Copy the covariance of a scratch project's fit, so that GSAS-II shows esds of the cell right after it.

    GSAS-II numbers phases and histograms within a project, and names its variables by these numbers.
    """
    numbers = (str(phase.data["pId"]), str(histogram.data["data"][0]["hId"]))

    def renamed(name: Any) -> Any:
        parts = name.split(":", 2) if isinstance(name, str) else ()
        if len(parts) < 3 or {*parts[:2]} - {"", "0"}:
            return name
        return ":".join([*(number if part else "" for part, number in zip(parts, numbers, strict=False)), parts[2]])

    def translated(value: Any) -> Any:
        if isinstance(value, dict):
            return {renamed(key): translated(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(map(translated, value))
        return renamed(value)

    covariance = translated(scratch.data["Covariance"]["data"])
    covariance["title"] = str(project.filename)
    project.data["Covariance"]["data"] = covariance


def take_over(fitted: Any, fitted_phase: Any, histogram: Any, phase: Any) -> None:
    """Copy the fitted values of a scratch project into the user's project, where nothing else refines the histogram."""
    own, coupling = histogram.data, phase.data["Histograms"][histogram.name]
    number, linked = own["data"][0].get("hId"), coupling.get("hId")
    background_peaks = own["Background"][1]
    for key in FITTED:
        own[key] = fitted.data[key]
    own["Background"][1] = background_peaks  # held in the fit; their flags are the user's
    own["Reflection Lists"][phase.name] = fitted.data["Reflection Lists"][phase.name]
    own["data"][0]["hId"] = number
    phase.data["General"]["Cell"] = fitted_phase.data["General"]["Cell"]
    coupling.update(fitted_phase.data["Histograms"][histogram.name])
    coupling["hId"] = linked


def save(project: Any, path: str | Path | None = None) -> Path:
    """Save a project so that its file is always complete: the old one, or the new one.

    ``G2Project.save`` writes into the file itself, so that a process killed meanwhile leaves half a project. Here a
    file in a hidden folder beside it is written, flushed to the disk, given the old permissions, and then moved into
    place (for a link, in place of its target). A process killed meanwhile leaves that folder, ``.saving-...``; the next
    call removes it.

    Parameters
    ----------
    project : a G2Project.
    path : the file to write; None for the project's own.

    Raises
    ------
    OutputError : the file is write-protected, or the folder cannot be written to; the project's file is as it was.
    """
    final = Path(path or project.filename).expanduser().resolve()
    check_unprotected(final)
    own, controls = project.filename, project.data["Controls"]["data"]
    saved_as, done = controls.get("LastSavedAs"), False
    try:
        with writing(final), scratch_beside(final.parent, "saving") as folder:
            whole = folder / "whole.gpx"
            project.filename, controls["LastSavedAs"] = str(whole), str(final)
            project.save()
            with whole.open("rb+") as file:
                os.fsync(file.fileno())
            if final.exists():
                shutil.copymode(final, whole)
            os.replace(whole, final)
            done = True
    finally:
        project.filename = str(final) if done else own
        if not done:
            controls["LastSavedAs"] = saved_as
    return final
