"""The part of an answer that can be seeded, and the text about it in a project's notebook."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from alphadiffract_plugin import __version__, crystal
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.rank import no_cell_probability
from alphadiffract_plugin.recipes.recipe_records import (
    FoundLines,
    SeedAnswer,
    answer_from_json,
    lines_from_json,
)
from alphadiffract_plugin.records import Candidate, IndexingResult, RandomCellControl


def seedable(result: IndexingResult) -> IndexingResult:
    """The answer without the candidates that lack a cell or a space group, which GSAS-II would accept silently.

    Raises
    ------
    InputError : no candidate is left.
    """
    sound = tuple(candidate for candidate in result.candidates if _is_sound(candidate))
    if not sound:
        raise InputError(
            f"none of the {len(result.candidates)} candidates has a cell and a space group to seed from",
            fix="index the pattern with an indexer that gives cells, such as `--indexer alphadiffract`",
        )
    return dataclasses.replace(result, candidates=sound)


def recipe_answer(result: IndexingResult) -> SeedAnswer:
    """An answer whose candidates all have cells, as the recipes take it."""
    return answer_from_json(result.to_dict())


def recipe_lines(result: IndexingResult | None) -> FoundLines | None:
    """The lines of an answer as the recipes take them; None if there are none."""
    return lines_from_json(result.peaks.to_dict()) if result and result.peaks else None


def _is_sound(candidate: Candidate) -> bool:
    """Whether a candidate has a possible cell, of more than 1 Å³, and a space group."""
    finite = len(candidate.cell) == 6 and all(math.isfinite(value) and value > 0 for value in candidate.cell)
    return finite and 1 <= candidate.space_group <= 230 and float(crystal.volume_from_cell(candidate.cell)) > 1


def doubts(result: IndexingResult) -> tuple[str, ...]:
    """A warning, if the first entry of an answer has no cell, so that only cells below it can be seeded."""
    if not result.candidates or result.candidates[0].has_cell:
        return ()
    rank, best = next((rank, one) for rank, one in enumerate(result.candidates, start=1) if _is_sound(one))
    first = result.candidates[0].space_group_symbol
    return (
        f"The answer says that no cell is right (probability {no_cell_probability(result):.2f}): its first entry, "
        f"{first}, has none. "
        f"The cells below it were seeded, from rank {rank} on. Their probabilities are {best.probability:.3f} and "
        "less; do not trust them without other evidence.",
    )


UNLIKELY = 0.05
"""A candidate of a lower probability is doubted, whatever its fit."""

UNEXPLAINED = 0.2
"""A candidate that leaves more than this fraction of the found lines unexplained, and at least three, is doubted."""


def doubts_of_candidate(candidate: Candidate, result: IndexingResult) -> tuple[str, ...]:
    """Why a candidate is doubted already before any fit, each as a clause; empty if nothing speaks against it."""
    reasons = []
    if candidate.probability < UNLIKELY:
        reasons.append(f"its probability is {_probability(candidate)}")
    lines = len(result.peaks) if result.peaks is not None else 0
    if len(candidate.unindexed) > max(2, UNEXPLAINED * lines):
        reasons.append(f"{len(candidate.unindexed)} of {lines} found lines are unexplained")
    return tuple(reasons)


def notebook_entry(
    result: IndexingResult, keep: int, *, names: Sequence[str] | None = None, control: RandomCellControl | None = None
) -> str:
    """The text in the project's notebook on where its phases come from, with the random-cell control.

    Parameters
    ----------
    result : as the indexer gave it, with the candidates that have no cell.
    keep : number of candidates that become phases.
    names : of these phases; None for candidate_1 ...
    control : None if there is none.
    """
    candidates = [candidate for candidate in result.candidates if _is_sound(candidate)][:keep]
    names = names or [f"candidate_{rank}" for rank in range(1, len(candidates) + 1)]
    before, after = notebook_frame(result, f"{len(candidates)} of {len(result.candidates)} candidates", control)
    lines = [notebook_line(name, candidate) for name, candidate in zip(names, candidates, strict=True)]
    return "\n".join([*before, *lines, *after])


def notebook_frame(
    result: IndexingResult, what: str, control: RandomCellControl | None = None
) -> tuple[list[str], list[str]]:
    """What stands before and after the candidates in the notebook.

    Parameters
    ----------
    result, control : as in :func:`notebook_entry`.
    what : the candidates in words, such as ``5 of 20 candidates``.
    """
    before = [
        f"alphadiffract-plugin {__version__}: {what} "
        f"of the indexer '{result.indexer}' for {result.histogram}, wavelength {result.wavelength:.6g} A",
    ]
    before += [f"  ATTENTION: {doubt}" for doubt in doubts(result)]
    after = [f"  note: {note}" for note in result.notes]
    after += [f"  {line}" for line in str(control).splitlines()] if control else []
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items()))
    return before, [*after, *([f"  made with {versions}"] if versions else [])]


def notebook_line(name: str, candidate: Candidate) -> str:
    """What the notebook says of the candidate that became the phase ``name``."""
    cell = " ".join(f"{value:.5g}" for value in candidate.cell)
    return (
        f"  {name}: {candidate.space_group_symbol} ({candidate.space_group}), {cell}, "
        f"probability {_probability(candidate)}, M20 {candidate.m20:.1f}"
    )


def _probability(candidate: Candidate) -> str:
    return f"{candidate.probability:.3f}" if candidate.probability >= 0.001 else "<0.001"
