"""The flow: find lines and ask the network, search cells, fit the whole pattern, rank, refine what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alphadiffract_plugin.indexing.search_cells import distinct_lattices, search_cells
from alphadiffract_plugin.peaks.doubt_wavelength import doubts_about_wavelength
from alphadiffract_plugin.peaks.find_peaks import Lines, find_lines
from alphadiffract_plugin.prediction.propose import trials_from_prediction
from alphadiffract_plugin.provenance import timed, versions
from alphadiffract_plugin.rank import rank
from alphadiffract_plugin.records import Candidate, Histogram, IndexingResult, Prediction
from alphadiffract_plugin.settings import Settings
from alphadiffract_plugin.whole_pattern.fit_pattern import FittedClass, fit_pattern
from alphadiffract_plugin.whole_pattern.refine_pattern import refine_pattern

_SHIFTED = 0.02
"""Shifts of the lines above so many degrees are told."""
_DOUBTFUL = 0.5
"""Below this probability the first answer comes with a warning."""


@dataclass(frozen=True)
class Weighed:
    """Everything that is known of a histogram before the answers are ranked."""

    lines: Lines
    """The lines found."""
    prediction: Prediction | None
    """What the network says; None if it was not asked."""
    fits: list[FittedClass]
    """Every cell and extinction class tried, with its evidence."""
    notes: tuple[str, ...]
    """What a reader should know so far."""
    timings: dict[str, float]
    """Seconds a step."""


def index_histogram(histogram: Histogram, settings: Settings) -> IndexingResult:
    """Ranked cells and space groups of one histogram: the whole flow.

    Raises
    ------
    PeaksError : too few lines to look for a cell.
    ModelError : the network that the settings name cannot be loaded.
    """
    known = weigh(histogram, settings)
    timings = dict(known.timings)
    with timed(timings, "rank"):
        candidates = rank(known.fits, known.lines, known.prediction, settings.rank)
    with timed(timings, "refine_pattern"):
        candidates = refine_pattern(histogram, known.lines, candidates)
    return IndexingResult(
        histogram=histogram.name,
        indexer="alphadiffract",
        wavelength=histogram.wavelength,
        candidates=candidates,
        peaks=known.lines.peaks,
        prediction=known.prediction,
        notes=(*known.notes, *_remarks(candidates)),
        settings=settings.to_dict(),
        versions=versions(),
        timings=timings,
    )


def weigh(histogram: Histogram, settings: Settings, prediction: Prediction | None = None) -> Weighed:
    """All that the ranking needs: find lines, ask the network, search cells, fit the pattern; raises as above.

    A ``prediction`` that is given stands in the place of the network's.
    """
    timings: dict[str, float] = {}
    notes: list[str] = []
    with timed(timings, "find_peaks"):
        lines = find_lines(histogram, settings.peaks)
    notes.extend(doubts_about_wavelength(histogram, lines.peaks))
    with timed(timings, "predict"):
        prediction = prediction or _opinion(histogram, settings, notes)
    with timed(timings, "search_cells"):
        likely = prediction.crystal_system_probability if prediction is not None else None
        trials = search_cells(lines.peaks, settings.search, _device(settings), likely)
        if prediction is not None:
            trials += trials_from_prediction(prediction, lines.peaks, settings)
        trials = distinct_lattices(sorted(trials, key=lambda trial: -trial.score), settings.search.keep)
    if timings["search_cells"] > settings.search.seconds:
        notes.append(f"The search was cut short after {settings.search.seconds:g} s: some lattices were not searched.")
    with timed(timings, "fit_pattern"):
        fits = fit_pattern(histogram, lines, trials)
    return Weighed(lines, prediction, fits, tuple(notes), timings)


def _opinion(histogram: Histogram, settings: Settings, notes: list[str]) -> Prediction | None:
    """The network's prediction, or None with a note where it has no say."""
    from alphadiffract_plugin.errors import InputError, RadiationError
    from alphadiffract_plugin.prediction.predict import predict

    try:
        return predict(histogram, settings)
    except (RadiationError, InputError) as reason:
        notes.append(f"The network was not asked: {reason.what}.")
        return None


def _remarks(candidates: tuple[Candidate, ...]) -> Iterator[str]:
    if not candidates:
        yield "No cell explains the lines found, or all that do have too many reflections to be fitted."
        return
    first = candidates[0]
    if not first.has_cell:
        yield "No cell found explains this pattern well: the first answer is the network's opinion, without a cell."
        return
    if abs(first.zero_shift) + abs(first.displacement) > _SHIFTED:
        yield (
            f"With the first cell every line is shifted by {first.zero_shift:+.3f} degrees (zero) and "
            f"{first.displacement:+.3f} cos(theta) degrees (displaced sample)."
        )
    if first.probability < _DOUBTFUL:
        yield f"The first answer is doubtful (probability {first.probability:.2g}): look at the others, and at the fit."
    if len(first.unindexed) > 3:
        yield f"The first cell leaves {len(first.unindexed)} found lines unexplained: impurities, or a wrong cell."


def _device(settings: Settings) -> str:
    from alphadiffract_plugin.prediction.predict import choose_device

    return str(choose_device(settings.network.device))
