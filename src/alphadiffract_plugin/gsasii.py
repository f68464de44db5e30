"""The one door to GSAS-II: find it, import it without its prints, index, seed and refine a project that is open.

>>> from alphadiffract_plugin import gsasii                                # doctest: +SKIP
>>> result = gsasii.index(histogram)                                       # a G2PwdrData of yours
>>> phases = gsasii.seed(project, histogram, result)
>>> print(gsasii.refine(project, histogram, phases[0], result).rwp)
>>> project.save()

Nothing here writes the project's file: that stays with ``project.save()``. GSAS-II is not thread-safe; one process
may work on one project at a time.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.util
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.lebail_recipe import fit_by_lebail
from alphadiffract_plugin.project_recipe import label_lines, seed_project
from alphadiffract_plugin.records import IndexingResult, SeedReport
from alphadiffract_plugin.seed_common import notebook_entry, report_from_fit, seedable

if TYPE_CHECKING:
    from alphadiffract_plugin.settings import Settings

INSTALL = "https://advancedphotonsource.github.io/GSAS-II-tutorials/install.html"
"""GSAS-II's own page on its installation."""

FOLDER_VARIABLE = "GSASII_PATH"
"""Environment variable that names the folder of a GSAS-II which Python does not find by itself."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Installation:
    """A GSAS-II that was found, not yet imported."""

    folder: Path
    """Where GSASIIscriptable.py lies."""
    package: str
    """``GSASII.`` if it is imported as a package, else empty (before 2025)."""
    how: str
    """How it was found, in words."""
    version: str
    """Its version, ``5.7.9``, or ``unknown version``."""

    def __str__(self) -> str:
        return f"{self.version}, {self.how}, in {self.folder}"


def find() -> Installation | None:
    """The GSAS-II that Python finds, or that ``GSASII_PATH`` names; None if there is none. Imports nothing of it."""
    named = os.environ.get(FOLDER_VARIABLE)
    for base in _bases(Path(named).expanduser()) if named else ():
        if (base / "GSASII" / "GSASIIscriptable.py").is_file():
            return _installation(base / "GSASII", "GSASII.", f"named by {FOLDER_VARIABLE}")
        if (base / "GSASIIscriptable.py").is_file():
            return _installation(base, "", f"named by {FOLDER_VARIABLE}")
    for module, package, how in (("GSASII", "GSASII.", "as package GSASII"), ("GSASIIscriptable", "", "on sys.path")):
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(module)
            if spec and spec.origin and (Path(spec.origin).parent / "GSASIIscriptable.py").is_file():
                return _installation(Path(spec.origin).parent, package, how)
    return None


def _bases(named: Path) -> Iterator[Path]:
    """Where to look at a folder that a user named: the package itself, what holds it, or an installer's folder."""
    if (named / "__init__.py").is_file():
        yield named.parent
    yield from (named, named / "GSAS-II")


def _installation(folder: Path, package: str, how: str) -> Installation:
    tag = None
    with contextlib.suppress(OSError):
        tag = re.search(r"git_versiontag = 'v?([\d.]+)'", (folder / "git_verinfo.py").read_text(encoding="utf-8"))
    return Installation(folder, package, how, tag[1] if tag else "unknown version")


@functools.cache
def scriptable() -> Any:
    """The module GSASIIscriptable, imported once.

    Raises
    ------
    GSASIIError : it is not there, or fails to import.
    """
    return module("GSASIIscriptable")


def refine_function() -> Any:
    """``GSASIIstrMain.Refine``, which tells whether it failed; ``G2Project.refine`` does not."""
    return module("GSASIIstrMain").Refine


def module(name: str) -> Any:
    """A module of GSAS-II by its bare name, such as ``GSASIIspc``.

    Raises
    ------
    GSASIIError : GSAS-II is not there, or fails to import.
    """
    found = find()
    if found is None:
        raise GSASIIError(
            "GSAS-II is not importable", mend=f"install it: {INSTALL} (or name its folder in GSASII_PATH)"
        )
    path = str(found.folder.parent if found.package else found.folder)
    if found.how.startswith("named") and path not in sys.path:
        sys.path.insert(0, path)
    try:
        with quiet():
            return importlib.import_module(found.package + name)
    except Exception as error:  # binaries that do not fit raise anything
        raise GSASIIError(
            f"GSAS-II ({found}) fails to import: {type(error).__name__}: {error}", mend=f"install it anew: {INSTALL}"
        ) from error


class _Log:
    """A text stream whose lines go to the log."""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.rstrip, text.splitlines())):
            log.debug(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what GSAS-II prints to the log ``alphadiffract_plugin.gsasii`` (level DEBUG), and drop its warnings."""
    with contextlib.redirect_stdout(_Log()), contextlib.redirect_stderr(_Log()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def index(histogram: Any, settings: Settings | None = None) -> IndexingResult:
    """Index a powder histogram of an open project by the whole flow of this package.

    Parameters
    ----------
    histogram : a G2PwdrData; its limits and excluded regions are kept to.
    settings : None for the defaults.

    Raises
    ------
    InputError, WavelengthError, RadiationError, PeaksError : it cannot be indexed.
    """
    from alphadiffract_plugin.load import histogram_from_gsasii
    from alphadiffract_plugin.pipeline import index_histogram
    from alphadiffract_plugin.settings import Settings

    return index_histogram(histogram_from_gsasii(histogram), settings or Settings())


def seed(project: Any, histogram: Any, result: IndexingResult, keep: int = 5) -> list[Any]:
    """Add an answer to an open project: lines, index list, unit cells, one phase per kept candidate, a notebook entry.

    Phases and lists of the user stay. Only the first new phase is in use; call :func:`refine` to fit it.

    Parameters
    ----------
    project, histogram : a G2Project and a G2PwdrData in it.
    result : from :func:`index` or any indexer.
    keep : number of candidates.

    Returns
    -------
    The new G2Phase objects.

    Raises
    ------
    InputError : the answer has no candidate, or one that is no crystal; the project is as it was.
    GSASIIError : GSAS-II does not know a space group.
    """
    result = seedable(result)
    candidates = result.candidates[:keep]
    groups = module("GSASIIspc")
    with quiet(), _file_untouched(project):
        for candidate in candidates:
            fault, _ = groups.SpcGroup(candidate.space_group_symbol)
            if fault:
                raise GSASIIError(
                    f"GSAS-II knows no space group {candidate.space_group_symbol!r}",
                    mend="write the symbol with blanks between the axes, such as P n m a",
                )
        return seed_project(project, histogram, result.to_dict(), keep=keep, note=notebook_entry(result, keep))


def refine(
    project: Any,
    histogram: Any,
    phase: Any,
    result: IndexingResult | None = None,
    *,
    cycles: int = 3,
    profile: str = "sample",
    random_seed: int = 20260101,
) -> SeedReport:
    """Fit one phase of an open project to one histogram by Le Bail, away from everything else in the project.

    Background, cell, zero or displacement, and widths of the histogram and the phase are replaced by those fitted,
    with their refinement flags, so that ``project.refine()`` goes on from there; if the fit diverged, nothing is.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the phase must be linked to the histogram.
    result : where the phase comes from: its first candidate's zero shift and its lines are used. None for neither.
    cycles : least-squares cycles a step.
    profile : ``sample`` keeps the instrument parameters and refines size and microstrain; ``instrument`` refines
        U, V, W, X and Y.
    random_seed : the same seed gives the same fit.

    Returns
    -------
    SeedReport, with ``target`` the file that the project will be saved to and no files.
    """
    g2 = scriptable()
    peaks = result.peaks.to_dict() if result and result.peaks else None
    first = next((one for one in result.candidates if one.has_cell), None) if result else None
    zero_shift = first.zero_shift + first.displacement if first else 0.0
    with tempfile.TemporaryDirectory() as folder, quiet():
        scratch = g2.G2Project(newgpx=str(Path(folder) / "fit.gpx"))
        ours, our_phase = _transplant(scratch, project, histogram, phase)
        fit = fit_by_lebail(
            *(scratch, ours, our_phase, refine_function()),
            **{"zero_shift": zero_shift, "cycles": cycles, "random_seed": random_seed},
            **{"profile": profile, "peaks": peaks},
        )
        if fit["cell"] is not None:
            _take_over(ours, our_phase, histogram, phase)
            if peaks:
                label_lines(histogram, phase, peaks)
    return report_from_fit(fit, target=str(project.filename), phases=(phase.name,))


@contextlib.contextmanager
def _file_untouched(project: Any) -> Iterator[None]:
    """Let GSAS-II save into a scratch folder: ``G2Project.add_phase`` writes the project's file unasked."""
    own = project.filename
    with tempfile.TemporaryDirectory() as folder:
        project.filename = str(Path(folder) / "scratch.gpx")
        try:
            yield
        finally:
            project.filename = own


def _transplant(scratch: Any, project: Any, histogram: Any, phase: Any) -> tuple[Any, Any]:
    """Copies of one histogram and one phase in an empty project."""
    data = copy.deepcopy(histogram.data)
    data["Reflection Lists"] = {phase.name: {}}
    phase_data = copy.deepcopy(phase.data)
    coupling = phase_data["Histograms"][histogram.name]
    phase_data["Histograms"] = {histogram.name: coupling | {"Use": True, "LeBail": False}}
    scratch.data[histogram.name] = data
    scratch.data["Phases"] = {"data": None, phase.name: phase_data}
    scratch.names += [next(list(names) for names in project.names if names[0] == histogram.name)]
    scratch.names += [["Phases", phase.name]]
    scratch.update_ids()
    scratch.index_ids()
    return scratch.histogram(histogram.name), scratch.phase(phase.name)


def _take_over(fitted: Any, fitted_phase: Any, histogram: Any, phase: Any) -> None:
    """Bring the fitted values of the scratch project into the user's."""
    own, coupling = histogram.data, phase.data["Histograms"][histogram.name]
    number, linked = own["data"][0].get("hId"), coupling.get("hId")
    for key in ("data", "Limits", "Background", "Instrument Parameters", "Sample Parameters"):
        own[key] = fitted.data[key]
    own["Reflection Lists"][phase.name] = fitted.data["Reflection Lists"][phase.name]
    own["data"][0]["hId"] = number
    phase.data["General"]["Cell"] = fitted_phase.data["General"]["Cell"]
    coupling.update(fitted_phase.data["Histograms"][histogram.name])
    coupling["hId"] = linked
