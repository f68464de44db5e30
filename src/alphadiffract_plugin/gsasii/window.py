"""What the entry in GSAS-II's own menu asks for: a histogram in, all that is shown and written there out, as JSON.

GSAS-II's Python need not have this package. So ``hooks/gsasii/G2export_alphadiffract.py``, which runs there, writes the
histogram to a file, starts ``alphadiffract-plugin gsasii index-for-window`` in the Python of this package, shows the
candidates, and puts the lists into the project as they are given here, which is as :func:`.project.seed` makes them.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from alphadiffract_plugin import crystal
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.gsasii.project import index
from alphadiffract_plugin.gsasii.symbols import as_set
from alphadiffract_plugin.output import write_text
from alphadiffract_plugin.provenance import steps
from alphadiffract_plugin.readers.reading import opened_for_reading
from alphadiffract_plugin.recipes.project_recipe import free_phase_names, index_peaks, peaks_of_lines, unit_cells
from alphadiffract_plugin.records import Candidate, IndexingResult
from alphadiffract_plugin.report.tables import cell_parameters, groups_alike, number, unexplained_lines
from alphadiffract_plugin.seeding.answer import (
    doubts,
    doubts_of_candidate,
    notebook_frame,
    notebook_line,
    recipe_answer,
    seedable,
)

FORM = 1
"""Version of the two files that the menu entry and this module exchange; it goes up when either changes."""

STEPS = {
    "find_peaks": "Finding the lines",
    "predict": "Asking the network for likely symmetries and cells",
    "search_cells": "Searching cells",
    "fit_pattern": "Fitting the cells to the pattern",
    "rank": "Ranking cells and space groups",
    "refine_pattern": "Refining the best cells",
}
"""What the window shows while a step of the indexing runs, by the names of ``IndexingResult.timings``."""

COLUMNS = (
    *("space group", "probability", "a", "b", "c", "alpha", "beta", "gamma", "volume", "M20"),
    *("Rwp %", "unexplained"),
)
"""Columns of the table of candidates."""


def answer_task(task: Path, answer: Path) -> None:
    """Index the histogram in a task file, write the answer to another, and print each step when it begins.

    Raises
    ------
    InputError : the task comes from a menu entry of another version, or its histogram cannot be indexed.
    WavelengthError, RadiationError, PeaksError, UntrustedFileError : the histogram cannot be indexed.
    OutputError : the answer cannot be written.
    """
    asked = _read(task)
    steps.setLevel(logging.INFO)
    handler = _Announcer()
    steps.addHandler(handler)
    try:
        result = index(_histogram(asked))
    finally:
        steps.removeHandler(handler)
    write_text(answer, json.dumps(window_answer(asked, result)))


def window_answer(asked: dict[str, Any], result: IndexingResult) -> dict[str, Any]:
    """All that the window shows of an answer, and the lists that it writes into the project, as JSON types.

    Parameters
    ----------
    asked : the task; of it ``histogram``, ``phases``, ``alone`` and ``instrument`` are used.
    result : the answer.

    Returns
    -------
    ``notes`` to be read first, and ``choices``: one per candidate with a cell, with ``texts`` under ``columns``,
    ``details``, a ``phase`` with the symmetry operations that GSAS-II must make of its symbol, its line ``note`` in the
    notebook, and ``loaded``, which are the first parts of the list of unit cells if this is the first candidate
    chosen. ``unit_cells``, ``peaks`` and ``index_peaks`` are in GSAS-II's form; ``note`` are the lines before and after
    those of the candidates in the notebook.
    """
    try:
        sound = seedable(result)
    except InputError:
        return {"form": FORM, "notes": list(result.notes), "choices": []}
    recipe, doublet = recipe_answer(sound), asked["instrument"].get("I(L2)/I(L1)", (0.0, 0.0))[1]
    names = free_phase_names(asked["histogram"], len(sound.candidates), taken=asked["phases"], alone=asked["alone"])
    choices = [
        {
            "texts": _texts(candidate),
            "details": _details(candidate, sound),
            "phase": _phase(name, candidate, result),
            "loaded": unit_cells(recipe.candidates, place)[:2],
            "note": notebook_line(name, candidate),
        }
        for place, (name, candidate) in enumerate(zip(names, sound.candidates, strict=True))
    ]
    return {
        "form": FORM,
        "columns": COLUMNS,
        "notes": [*doubts(result), *result.notes],
        "choices": choices,
        "unit_cells": unit_cells(recipe.candidates),
        "peaks": list(peaks_of_lines(recipe.lines, doublet)) if recipe.lines else [],
        "index_peaks": index_peaks(recipe.lines) if recipe.lines else [],
        "note": notebook_frame(result, f"chosen from {len(result.candidates)} candidates"),
    }


class _Announcer(logging.Handler):
    """Prints what a step does when it begins."""

    def emit(self, record: logging.LogRecord) -> None:
        print(STEPS.get(record.getMessage(), record.getMessage()), flush=True)


def _read(task: Path) -> dict[str, Any]:
    """The task as the menu entry wrote it."""
    with opened_for_reading(task):
        text = task.read_text(encoding="utf-8")
    try:
        asked = json.loads(text)
        form = asked["form"]
    except (ValueError, KeyError, TypeError):
        form = None
    if form != FORM:
        raise InputError(
            "this was not written by the menu entry of this version",
            fix="run 'alphadiffract-plugin gsasii install-hook' and restart GSAS-II",
            where=task,
        )
    return dict(asked)


def _histogram(asked: dict[str, Any]) -> SimpleNamespace:
    """The histogram as :func:`alphadiffract_plugin.load.histogram_from_gsasii` reads it."""
    data = {
        "data": [{}, asked["columns"], asked["histogram"]],
        "Limits": asked["limits"],
        "Instrument Parameters": [asked["instrument"], {}],
    }
    return SimpleNamespace(name=asked["histogram"], data=data)


def _texts(candidate: Candidate) -> list[str]:
    return [
        f"{candidate.space_group_symbol} ({candidate.space_group})",
        number(candidate.probability, 3),
        *cell_parameters(candidate),
        number(candidate.volume, 1),
        number(candidate.m20, 1),
        number(candidate.rwp, 2),
        str(len(candidate.unindexed)),
    ]


def _details(candidate: Candidate, result: IndexingResult) -> str:
    against = doubts_of_candidate(candidate, result)
    sentences = [f"Doubtful: {'; '.join(against)}."] if against else []
    sentences.append(f"Lines that this cell does not explain: {unexplained_lines(candidate)}.")
    return "\n".join([*sentences, *groups_alike(candidate)])


def _phase(name: str, candidate: Candidate, result: IndexingResult) -> dict[str, Any]:
    operations = as_set(crystal.operations_from_space_group(candidate.space_group))
    return {
        "name": name,
        "symbol": candidate.space_group_symbol,
        "number": candidate.space_group,
        "cell": list(candidate.cell),
        "operations": sorted(operations),
        "provenance": f"Cell and space group found in {result.histogram} by alphadiffract-plugin (indexer "
        f"{result.indexer}), probability {number(candidate.probability, 3)}",
    }
