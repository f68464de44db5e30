"""Index, seed, refine and save a project that is open in GSAS-II.

Of these only :func:`save` writes the project's file (``project.save()`` does too, but not all or nothing). After a
failure the project is as it was. GSAS-II is not thread-safe: only one process may work on a project at a time.
"""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import GSASIIError, InputError
from alphadiffract_plugin.gsasii import transactions
from alphadiffract_plugin.gsasii.installation import quiet, refine_function, scriptable, translated_errors
from alphadiffract_plugin.gsasii.outcome import fit_entry, interpreted, is_by_chance, report_from_fit
from alphadiffract_plugin.gsasii.trust import check_gpx
from alphadiffract_plugin.output import scratch_folder
from alphadiffract_plugin.recipes.lebail_recipe import fit_by_lebail
from alphadiffract_plugin.recipes.project_recipe import label_lines, phase_names, seed_project
from alphadiffract_plugin.recipes.recipe_records import FoundLines, LeBailResult
from alphadiffract_plugin.records import Candidate, IndexingResult, RandomCellControl, SeedReport
from alphadiffract_plugin.seeding.answer import doubts, notebook_entry, recipe_answer, recipe_lines, seedable

if TYPE_CHECKING:
    from alphadiffract_plugin.settings import Settings

SAME_CELL = 0.02
"""A phase was made from a candidate if both have the same space group and no cell parameter differs by more than this
fraction: more than a refinement changes a cell (1.5 % at most, ``lebail_steps.CELL_DRIFT``)."""

RANDOM_SEED = 20260101
"""Default seed of the random numbers, the same as in ``Settings``."""


def index(histogram: Any, settings: Settings | None = None) -> IndexingResult:
    """Index a powder histogram of an open project as the command ``index`` does.

    Parameters
    ----------
    histogram : a G2PwdrData; its limits and excluded regions apply.
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
    histogram: Any, result: IndexingResult, keep: int = 5, *, random_seed: int = RANDOM_SEED
) -> RandomCellControl:
    """Fit the kept candidates and random cells by the same short Le Bail fit, in scratch projects.

    It takes half a second to two seconds per cell. ``print`` shows the control as a table. The project stays as it is.

    Raises
    ------
    InputError : the answer has no candidate with a cell.
    GSASIIError : GSAS-II is not there, or fails.
    """
    from alphadiffract_plugin.gsasii.control import random_cell_control

    with translated_errors("GSAS-II could not fit the candidates", "check whether it refines this histogram by itself"):
        return random_cell_control(histogram, seedable(result), keep, random_seed)


def seed(
    project: Any, histogram: Any, result: IndexingResult, keep: int = 5, *, control: RandomCellControl | None = None
) -> list[Any]:
    """Add an answer to an open project: lines, index list, unit cells, one phase per kept candidate, a notebook entry.

    Phases and lists of the user stay. Only the first new phase is in use, and none if another phase is in use on this
    histogram, so that a refinement of the user goes on as before; call :func:`refine` to fit it. The notebook shows the
    candidates beside random cells. If the first entry of the answer says that no cell is right, the cells
    below it are seeded all the same, with a warning.

    Parameters
    ----------
    project, histogram : a G2Project and a G2PwdrData in it.
    result : from :func:`index` or any indexer.
    keep : number of candidates.
    control : from :func:`control_fits`; None to make it here.

    Returns
    -------
    The new G2Phase objects, named ``candidate_1`` ..., with the histogram's name where the project has several.

    Raises
    ------
    InputError : the answer has no candidate, or one that is not a crystal; the project is as it was.
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
    failing = translated_errors(
        "GSAS-II could not add the candidates",
        "save the project and open it again; report this as a fault if it persists",
    )
    with failing, quiet(), transactions.whole_or_not_at_all(project):
        phases = seed_project(project, histogram, recipe_answer(sound), keep=keep, note=note)
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
    random_seed: int = RANDOM_SEED,
    control: RandomCellControl | None = None,
) -> SeedReport:
    """Fit one phase of an open project to one histogram by Le Bail, in a scratch project.

    Background, cell, zero or displacement, and widths of the histogram and the phase are replaced by the fitted ones,
    with their refinement flags, so that ``project.refine()`` continues from there. Where no other phase of the project
    is in use, the covariance is replaced too, so that GSAS-II shows the esds. Nothing is replaced if the fit diverged,
    failed or is no better than chance. Where the phase has very many reflections, the fit ends before the pattern
    does, and the histogram's upper limit is set there.

    Where another phase is in use on this histogram, or a constraint names it, only the cell and the widths of the phase
    are replaced, and the phase is not in use: background, profile, limits, flags and scale stay as that refinement
    needs them. A note says so.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the phase must be linked to the histogram.
    result : the answer that the phase comes from, or None. Its zero shift and its lines are used, and a phase that
        was made from one of its candidates is compared with random cells: a fit no better than chance does not count
        as converged.
    cycles : least-squares cycles per step.
    profile : ``sample`` keeps the instrument parameters and refines size and microstrain; ``instrument`` refines
        U, V, W, X and Y.
    random_seed : the same seed gives the same fit.
    control : from :func:`control_fits`, if the phase is its first candidate; None to make one of this phase alone.

    Returns
    -------
    SeedReport. Its ``target`` is the file that the project will be saved to, and it lists no files. ``steps`` and
    ``notes`` say what happened, also where GSAS-II failed in a step.

    Raises
    ------
    InputError : the phase has atoms; a Le Bail fit would end its Rietveld refinement.
    GSASIIError : GSAS-II is not there, or fails outside of a step; the project is as it was.
    """
    scriptable()
    _check_no_atoms(phase)
    lines, candidate = recipe_lines(result), _candidate_of(phase, result)
    control = _control_of(candidate, histogram, result, control, random_seed)
    failing = translated_errors("GSAS-II could not fit the phase", "check whether the phase is linked to the histogram")
    with failing, quiet(), scratch_folder() as folder:
        scratch = _scratch(folder, histogram, phase)
        fit = fit_by_lebail(
            scratch.project,
            scratch.histogram,
            scratch.phase,
            refine_function(),
            zero_shift=_starting_shift(candidate, result),
            cycles=cycles,
            random_seed=random_seed,
            profile=profile,
            lines=lines,
        )
        by_chance = is_by_chance(fit, control)
        fit = interpreted(fit, result, control)
        if by_chance:
            fit = dataclasses.replace(fit, cell=None, cell_esd=None)
        if fit.cell is not None:
            fit = _accept(scratch, project, histogram, phase, fit, lines)
    return report_from_fit(fit, target=str(project.filename), phases=(phase.name,), control=control)


def save(project: Any, path: str | Path | None = None) -> Path:
    """Save a project all or nothing, to its own file or another; see :func:`.transactions.save`."""
    with quiet():
        return transactions.save(project, path)


def open_project(path: str | Path, *, allow_code: bool = False) -> Any:
    """Open a GSAS-II project after checking that it runs no code.

    Parameters
    ----------
    path : the .gpx file.
    allow_code : open it without the check. Code in it may then do whatever you may do.

    Returns
    -------
    The G2Project.

    Raises
    ------
    UntrustedFileError, InputError : see :func:`.trust.check_gpx`.
    GSASIIError : GSAS-II is not there, or cannot open the project.
    """
    if not allow_code:
        check_gpx(path)
    with quiet():
        try:
            return scriptable().G2Project(gpxfile=str(path))
        except GSASIIError:
            raise
        except Exception as error:  # the file is no project, or of another GSAS-II: bare exceptions of many kinds
            raise GSASIIError(
                f"GSAS-II cannot open this project: {error}",
                fix="open it and save it in GSAS-II's window first",
                where=path,
            ) from error


def _candidate_of(phase: Any, result: IndexingResult | None) -> Candidate | None:
    """The candidate that a phase was made from; None if the answer has none like it."""
    cell, symbol = phase.data["General"]["Cell"][1:7], phase.data["General"]["SGData"]["SpGrp"]
    for candidate in result.candidates if result else ():
        if candidate.has_cell and candidate.space_group_symbol == symbol:
            if max(abs(a / b - 1) for a, b in zip(cell, candidate.cell, strict=True)) < SAME_CELL:
                return candidate
    return None


def _control_of(
    candidate: Candidate | None,
    histogram: Any,
    result: IndexingResult | None,
    control: RandomCellControl | None,
    random_seed: int,
) -> RandomCellControl | None:
    """The given control if its first fit is of this candidate, otherwise a new one; None without a candidate."""
    if candidate is None or result is None:
        return None
    if control and control.candidates[0].cell == candidate.cell:
        return control
    return control_fits(histogram, dataclasses.replace(result, candidates=(candidate,)), 1, random_seed=random_seed)


def _starting_shift(candidate: Candidate | None, result: IndexingResult | None) -> float:
    """Shift of low-angle lines in degrees of the candidate, or of the first one with a cell; 0 without any."""
    others = (one for one in result.candidates if one.has_cell) if result else iter(())
    start = candidate or next(others, None)
    return start.zero_shift + start.displacement if start else 0.0


@dataclass(frozen=True)
class _Scratch:
    """A project of our own with copies of one histogram and one phase of the user's."""

    project: Any
    histogram: Any
    phase: Any


def _scratch(folder: Path, histogram: Any, phase: Any) -> _Scratch:
    project = scriptable().G2Project(newgpx=str(folder / "fit.gpx"))
    copied = transactions.scratch_copy(project, histogram, phase)
    return _Scratch(project, copied, project.phase(phase.name))


def _check_no_atoms(phase: Any) -> None:
    """Refuse a phase with atoms."""
    if phase.data["Atoms"]:
        raise InputError(
            f"phase {phase.name} has atoms, and a Le Bail fit would end its Rietveld refinement",
            fix="refine a phase that `seed` made, or this one by `project.refine()`",
        )


def _accept(
    scratch: _Scratch, project: Any, histogram: Any, phase: Any, fit: LeBailResult, lines: FoundLines | None
) -> LeBailResult:
    """Bring the fitted values into the user's project, with labels of the lines and an entry in the notebook.

    Returns the fit with notes on what was not taken over.
    """
    with transactions.whole_or_not_at_all(project):
        others = transactions.refined_with(project, histogram, phase)
        if others:
            transactions.take_over_phase(scratch.histogram, scratch.phase, histogram, phase)
            are = "is" if len(others) == 1 else "are"
            note = (
                f"{' and '.join(others)} {are} refined with this histogram too: its background, profile, scale, limits "
                f"and flags stay. Only the cell and the widths of {phase.name} were replaced, and it is not in use. "
                "Rwp here is that of a fit in a copy."
            )
            fit = dataclasses.replace(fit, notes=(*fit.notes, note[0].upper() + note[1:]))
        else:
            fit = _with_note_on_limits(fit, histogram.data["Limits"][1], scratch.histogram.data["Limits"][1])
            transactions.take_over(scratch.histogram, scratch.phase, histogram, phase)
            if transactions.only_in_use(project, phase):
                transactions.take_over_covariance(scratch.project, project, histogram, phase)
        if lines is not None:
            label_lines(histogram, phase, lines)
        project.data["Notebook"]["data"].append(fit_entry(phase.name, fit))
    return fit


def _with_note_on_limits(fit: LeBailResult, before: list[float], after: list[float]) -> LeBailResult:
    """The fit with a note, if it ended before the histogram's upper limit."""
    if list(before) == list(after):
        return fit
    note = (
        f"The upper limit of the histogram was {before[1]:.2f} degrees and is {after[1]:.2f} degrees now. To fit the "
        "whole pattern, set it back in GSAS-II, start the Le Bail intensities anew and refine the background "
        "too: its function spans the limits."
    )
    return dataclasses.replace(fit, notes=(*fit.notes, note))
