"""Seed a GSAS-II project: the pattern, its lines, and a phase per candidate, the first of them fitted by Le Bail."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from alphadiffract_plugin.gsasii import installation
from alphadiffract_plugin.gsasii.outcome import fit_entry, interpreted, report_from_fit
from alphadiffract_plugin.gsasii.project import control_fits
from alphadiffract_plugin.gsasii.project import seed as add_candidates
from alphadiffract_plugin.gsasii.rietveld import to_rietveld
from alphadiffract_plugin.gsasii.structures import rank_of_structure, structure_from_cif
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.output import scratch_folder
from alphadiffract_plugin.recipes.lebail_recipe import cell_and_esd, fit_by_lebail
from alphadiffract_plugin.recipes.project_recipe import keep_every_point, label_lines
from alphadiffract_plugin.records import Histogram, IndexingResult, SeedReport
from alphadiffract_plugin.seeding.answer import recipe_lines, seedable
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram, knows_widths
from alphadiffract_plugin.seeding.staging import file_name, staged, with_esd
from alphadiffract_plugin.settings import Settings


def seed(histogram: Histogram, result: IndexingResult, target: Path, settings: Settings) -> SeedReport:
    """Make NAME.gpx in the folder ``target``, with the NAME.xye and NAME.instprm from which it was made.

    The project is made even if its fit diverged or is no better than chance; the report says so. With a structure in
    ``settings.seed.rietveld`` the first candidate that agrees with it becomes the first phase, and is refined by
    Rietveld after the Le Bail fit; if that does not converge, the project stays as the Le Bail fit left it.

    Raises
    ------
    InputError : the answer has no candidate with a cell, or none that the given structure agrees with.
    OutputError : the folder holds something already, or cannot be written.
    GSASIIError : GSAS-II is not there, or fails outside of the fit.
    """
    seedable(result)
    if settings.seed.rietveld:
        result = _with_structure_first(result, Path(settings.seed.rietveld), settings.seed.keep)
    g2 = installation.scriptable()
    name = file_name(histogram.name)
    final = target / f"{name}.gpx"
    with staged(target) as folder, scratch_folder() as work:
        # GSAS-II leaves .lst and .bak files beside a project that it refines: it works in a folder of its own
        pattern = write_xye(with_esd(histogram), work / f"{name}.xye")
        instrument = work / f"{name}.instprm"
        instrument.write_text(instprm_from_histogram(histogram, result.peaks), encoding="utf-8")
        with (
            installation.translated_errors(
                "GSAS-II could not make the project", "seed the bundle instead, and report this as a fault"
            ),
            installation.quiet(),
        ):
            project = g2.G2Project(newgpx=str(work / f"{name}.gpx"))
            report = _fill(project, pattern, instrument, histogram, result, settings)
            project.data["Controls"]["data"]["LastSavedAs"] = str(final.absolute())
            if project.data["Covariance"]["data"]:
                project.data["Covariance"]["data"]["title"] = str(final.absolute())
            g2.SaveDictToProjFile(project.data, project.names, str(folder / final.name))
            report = _read_back(g2, folder / final.name, report)
        for made in (pattern, instrument):
            shutil.copyfile(made, folder / made.name)
    files = tuple(str(target / f"{name}{suffix}") for suffix in (".gpx", ".instprm", ".xye"))
    return dataclasses.replace(report, target=str(final), files=files)


def _fill(
    project: Any, pattern: Path, instrument: Path, histogram: Histogram, result: IndexingResult, settings: Settings
) -> SeedReport:
    """Fill an empty project, and fit its first phase."""
    powder = project.add_powder_histogram(str(pattern), str(instrument), fmthint="Topas xye")
    _, intensity, esd = np.loadtxt(pattern, unpack=True)
    keep_every_point(powder, intensity, esd)
    keep, random_seed = settings.seed.keep, settings.random_seed
    control = control_fits(powder, result, keep, random_seed=random_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report repeats it
        phases = add_candidates(project, powder, result, keep, control=control)
    first = seedable(result).candidates[0]
    lines = recipe_lines(result)
    fit = fit_by_lebail(
        project,
        powder,
        phases[0],
        installation.refine_function(),
        zero_shift=first.zero_shift + first.displacement,
        cycles=settings.seed.cycles,
        random_seed=random_seed,
        profile="sample" if knows_widths(histogram) else "instrument",
        lines=lines,
    )
    if fit.cell is not None and lines is not None:
        label_lines(powder, phases[0], lines)
    fit = interpreted(fit, result, control)
    project.data["Notebook"]["data"].append(fit_entry(phases[0].name, fit))
    names = tuple(phase.name for phase in phases)
    report = report_from_fit(fit, target=str(pattern), phases=names, control=control)
    if settings.seed.rietveld and fit.cell is not None:
        return _go_on(project, powder, phases[0], report, settings)
    return report


def _with_structure_first(result: IndexingResult, path: Path, keep: int) -> IndexingResult:
    """The answer with the first candidate that agrees with a structure before all others."""
    candidates = list(seedable(result).candidates)
    rank = rank_of_structure(structure_from_cif(path), candidates[:keep], path)
    return result if rank == 0 else dataclasses.replace(result, candidates=(candidates.pop(rank), *candidates))


def _go_on(project: Any, powder: Any, phase: Any, report: SeedReport, settings: Settings) -> SeedReport:
    """Refine the first phase by Rietveld; the report of both fits, or that of the Le Bail fit with a note."""
    second = to_rietveld(
        project,
        powder,
        phase,
        settings.seed.rietveld,
        cycles=settings.seed.cycles,
        random_seed=settings.random_seed,
    )
    if not second.converged:
        failed = "The Rietveld refinement did not converge; the project is as the Le Bail fit left it."
        return dataclasses.replace(report, notes=(failed, *second.notes, *report.notes))
    steps = (*report.steps, *((f"Rietveld: {what}", rwp) for what, rwp in second.steps))
    notes = (*second.notes, *report.notes)
    return dataclasses.replace(second, phases=report.phases, steps=steps, notes=notes, control=report.control)


def _read_back(g2: Any, path: Path, report: SeedReport) -> SeedReport:
    """The report with the cell as GSAS-II reads it from the finished file."""
    if report.cell is None:
        return report
    project = g2.G2Project(gpxfile=str(path))
    cell, esd = cell_and_esd(project.phase(report.phases[0]))
    return dataclasses.replace(report, cell=cell, cell_esd=esd)
