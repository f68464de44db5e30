"""Index, seed, refine and save a project that is open in GSAS-II.

Of these only ``save`` writes the project's file (``project.save()`` does too, but not all or nothing). What fails
leaves the project as it was. GSAS-II is not thread-safe; one process may work on one project at a time.
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.gsasii import transactions
from alphadiffract_plugin.gsasii.installation import quiet, refine_function, scriptable, translated_errors
from alphadiffract_plugin.gsasii.outcome import fit_entry, judged_fit, report_from_fit
from alphadiffract_plugin.gsasii.trust import check_gpx
from alphadiffract_plugin.recipes.lebail_recipe import extend_fit, fit_by_lebail
from alphadiffract_plugin.recipes.project_recipe import label_lines, phase_names, seed_project
from alphadiffract_plugin.records import Candidate, IndexingResult, RandomCellControl, SeedReport
from alphadiffract_plugin.seeding.answer import doubts, notebook_entry, seedable

if TYPE_CHECKING:
    from alphadiffract_plugin.settings import Settings

SAME_CELL = 0.02
"""A phase whose cell differs from a candidate's by a smaller fraction, in the same space group, was made from it."""


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


def control_fits(
    histogram: Any, result: IndexingResult, keep: int = 5, *, random_seed: int = 20260101
) -> RandomCellControl:
    """How the kept candidates and random cells fare in the same short Le Bail fit, in scratch projects.

    It takes half a second to two seconds a cell; ``print`` shows it as a table. Nothing of the project is touched.

    Raises
    ------
    InputError : the answer has no candidate with a cell.
    GSASIIError : GSAS-II is not there, or fails.
    """
    from alphadiffract_plugin.gsasii.control import random_cell_control

    with translated_errors("GSAS-II could not try the candidates", "look whether it refines this histogram by itself"):
        return random_cell_control(histogram, seedable(result), keep, random_seed)


def seed(
    project: Any, histogram: Any, result: IndexingResult, keep: int = 5, *, control: RandomCellControl | None = None
) -> list[Any]:
    """Add an answer to an open project: lines, index list, unit cells, one phase per kept candidate, a notebook entry.

    Phases and lists of the user stay. Only the first new phase is in use; call :func:`refine` to fit it. The notebook
    tells how the candidates fared beside random cells. Where the answer says that no cell is right, the cells below
    are seeded all the same, with a warning.

    Parameters
    ----------
    project, histogram : a G2Project and a G2PwdrData in it.
    result : from :func:`index` or any indexer.
    keep : number of candidates.
    control : from :func:`control_fits`, if it is there already; None to make it.

    Returns
    -------
    The new G2Phase objects, named ``candidate_1`` ..., with the histogram's name where the project has several.

    Raises
    ------
    InputError : the answer has no candidate, or one that is no crystal; the project is as it was.
    GSASIIError : GSAS-II takes a symbol or a phase for another crystal, or fails; the project is as it was.
    """
    from alphadiffract_plugin.gsasii.symbols import check_phase, check_symbol

    sound, doubtful = seedable(result), doubts(result)
    candidates = sound.candidates[:keep]
    for candidate in candidates:
        check_symbol(candidate.space_group_symbol, candidate.space_group)
    control = control or control_fits(histogram, result, keep)
    names = phase_names(project, histogram, len(candidates))
    note = notebook_entry(result, keep, names=names, control=control)
    failing = translated_errors("GSAS-II could not add the candidates", "save the project, open it anew, and tell us")
    with failing, quiet(), transactions.whole_or_not_at_all(project):
        phases = seed_project(project, histogram, sound.to_dict(), keep=keep, note=note)
        for phase, candidate in zip(phases, candidates, strict=True):
            check_phase(phase, candidate)
    for doubt in doubtful:
        warnings.warn(doubt, stacklevel=2)
    return phases


def refine(
    project: Any,
    histogram: Any,
    phase: Any,
    result: IndexingResult | None = None,
    *,
    cycles: int = 3,
    profile: str = "sample",
    random_seed: int = 20260101,
    control: RandomCellControl | None = None,
) -> SeedReport:
    """Fit one phase of an open project to one histogram by Le Bail, away from everything else in the project.

    Background, cell, zero or displacement, and widths of the histogram and the phase are replaced by those fitted,
    with their refinement flags, so that ``project.refine()`` goes on from there; if the fit diverged, failed or is no
    better than chance, nothing is. Where the phase has very many reflections, the fit ends before the pattern does;
    the histogram keeps its limits, and a note says what the fit leaves within them.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the phase must be linked to the histogram.
    result : where the phase comes from: the zero shift and the lines are used, and the fit of a candidate is held
        against random cells: one that is no better than chance is not called converged. None for neither.
    cycles : least-squares cycles a step.
    profile : ``sample`` keeps the instrument parameters and refines size and microstrain; ``instrument`` refines
        U, V, W, X and Y.
    random_seed : the same seed gives the same fit.
    control : from :func:`control_fits`, if the phase is its first candidate; None to make one of this phase alone.

    Returns
    -------
    SeedReport, with ``target`` the file that the project will be saved to and no files; ``steps`` and ``notes`` tell
    what happened, also where GSAS-II gave up on a step.

    Raises
    ------
    GSASIIError : GSAS-II is not there, or fails at something other than a step; the project is as it was.
    """
    g2 = scriptable()
    peaks = result.peaks.to_dict() if result and result.peaks else None
    own = _candidate_of(phase, result) if result else None
    start = own or next((one for one in result.candidates if one.has_cell), None) if result else None
    if own and not (control and control.candidates[0].cell == own.cell):
        alone = dataclasses.replace(result, candidates=(own,))
        control = control_fits(histogram, alone, 1, random_seed=random_seed)
    failing = translated_errors("GSAS-II could not fit the phase", "look whether the phase is linked to the histogram")
    with failing, quiet(), tempfile.TemporaryDirectory() as folder:
        scratch = g2.G2Project(newgpx=str(Path(folder) / "fit.gpx"))
        ours = transactions.scratch_copy(scratch, histogram, phase)
        our_phase = scratch.phase(phase.name)
        fit = fit_by_lebail(
            *(scratch, ours, our_phase, refine_function()),
            **{"zero_shift": start.zero_shift + start.displacement if start else 0.0},
            **{"cycles": cycles, "random_seed": random_seed, "profile": profile, "peaks": peaks},
        )
        fit = judged_fit(fit, result, control if own else None)
        if fit["by_chance"]:
            fit |= {"cell": None, "cell_esd": None}
        if fit["cell"] is not None:
            limits = list(histogram.data["Limits"][1])
            if ours.data["Limits"][1] != limits:
                told_so = extend_fit(
                    scratch, ours, our_phase, refine_function(), limits, random_seed=random_seed, peaks=peaks
                )
                fit["notes"].append(told_so)
            with transactions.whole_or_not_at_all(project):
                transactions.take_over(ours, our_phase, histogram, phase)
                if peaks:
                    label_lines(histogram, phase, peaks)
                project.data["Notebook"]["data"].append(fit_entry(phase.name, fit))
    return report_from_fit(fit, target=str(project.filename), phases=(phase.name,), control=control if own else None)


def save(project: Any, path: str | Path | None = None) -> Path:
    """Save a project all or nothing, to its own file or another; see :func:`project_copies.save`."""
    with quiet():
        return transactions.save(project, path)


def _candidate_of(phase: Any, result: IndexingResult) -> Candidate | None:
    """The candidate that a phase was made from; None if it is none of the answer's."""
    cell, symbol = phase.data["General"]["Cell"][1:7], phase.data["General"]["SGData"]["SpGrp"]
    for candidate in result.candidates:
        if candidate.has_cell and candidate.space_group_symbol == symbol:
            if max(abs(a / b - 1) for a, b in zip(cell, candidate.cell, strict=True)) < SAME_CELL:
                return candidate
    return None


def open_project(path: str | Path, *, allow_code: bool = False) -> Any:
    """Open a GSAS-II project that was checked first.

    Parameters
    ----------
    path : the .gpx file.
    allow_code : open it unchecked. It may then do anything that you may do.

    Returns
    -------
    The G2Project.

    Raises
    ------
    UntrustedFileError, InputError : see :func:`check_gpx`.
    GSASIIError : GSAS-II is not there, or cannot open the project.
    """
    if not allow_code:
        check_gpx(path)
    with quiet():
        try:
            return scriptable().G2Project(gpxfile=str(path))
        except GSASIIError:
            raise
        except Exception as error:  # whatever it is: the file is no project, or of another GSAS-II
            raise GSASIIError(
                f"GSAS-II cannot open this project: {error}", fix="open and save it in the GUI first", where=path
            ) from error
