"""Changes of a project that a user has open in GSAS-II, each made completely or not at all.

GSAS-II refines only in scratch projects, with copies of the user's histogram and phase. The user's project receives the
fitted values in one step, and only :func:`save` writes its file.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alphadiffract_plugin.output import writing

FITTED = ("data", "Limits", "Background", "Instrument Parameters", "Sample Parameters")
"""Parts of a histogram that a fit changes."""


@contextlib.contextmanager
def whole_or_not_at_all(project: Any) -> Iterator[None]:
    """Restore the project in memory after an error (or Ctrl-C) inside. Its file is not touched in any case.

    ``G2Project.add_phase`` writes the project's file by itself; here it writes into a scratch folder.
    """
    own = project.filename
    data, names = copy.deepcopy(project.data), copy.deepcopy(project.names)
    with tempfile.TemporaryDirectory() as folder:
        project.filename = str(Path(folder) / "scratch.gpx")
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


def take_over(fitted: Any, fitted_phase: Any, histogram: Any, phase: Any) -> None:
    """Copy the fitted values of a scratch project into the user's project."""
    own, coupling = histogram.data, phase.data["Histograms"][histogram.name]
    number, linked = own["data"][0].get("hId"), coupling.get("hId")
    for key in FITTED:
        own[key] = fitted.data[key]
    own["Reflection Lists"][phase.name] = fitted.data["Reflection Lists"][phase.name]
    own["data"][0]["hId"] = number
    phase.data["General"]["Cell"] = fitted_phase.data["General"]["Cell"]
    coupling.update(fitted_phase.data["Histograms"][histogram.name])
    coupling["hId"] = linked


def save(project: Any, path: str | Path | None = None) -> Path:
    """Save a project so that its file is always complete: the old one, or the new one.

    ``G2Project.save`` writes into the file itself, so that a process killed meanwhile leaves half a project. Here a
    file in a hidden folder beside it is written, flushed to the disk, given the old permissions, and then moved into
    place (for a link, in place of its target). A process killed meanwhile leaves that folder, ``.saving-...``.

    Parameters
    ----------
    project : a G2Project.
    path : the file to write; None for the project's own.

    Raises
    ------
    OutputError : the folder cannot be written to; the project's file is as it was.
    """
    final = Path(path or project.filename).expanduser().resolve()
    own, controls = project.filename, project.data["Controls"]["data"]
    saved_as, done = controls.get("LastSavedAs"), False
    try:
        with writing(final), tempfile.TemporaryDirectory(dir=final.parent, prefix=".saving-") as folder:
            whole = Path(folder) / "whole.gpx"
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
