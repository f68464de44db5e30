"""From a histogram to ranked answers.

The steps are: find lines, predict with the network, search cells, fit each to the whole pattern, rank cells with space
groups, and refine the ranked answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from alphadiffract_plugin import threads
from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.indexing.search_cells import distinct_lattices, search_cells
from alphadiffract_plugin.indexing.search_further import search_further
from alphadiffract_plugin.limits import candidates_within_limits, distinct_within_limits
from alphadiffract_plugin.peaks.doubt_wavelength import doubts_about_wavelength
from alphadiffract_plugin.peaks.find_peaks import PeakFit, fit_peaks
from alphadiffract_plugin.prediction.propose import trials_from_prediction
from alphadiffract_plugin.provenance import timed, versions
from alphadiffract_plugin.rank import is_clear, no_cell_probability, rank
from alphadiffract_plugin.rank_lines import rank_lines
from alphadiffract_plugin.records import Histogram, IndexingResult, Peaks, Prediction
from alphadiffract_plugin.settings import SearchSettings, Settings
from alphadiffract_plugin.whole_pattern.fit_pattern import FittedClass, fit_pattern
from alphadiffract_plugin.whole_pattern.refine_pattern import refine_pattern

_LARGE_SHIFT = 0.02
"""The result notes a shift of the lines, in degrees, above this value, which is the spread of zero shifts that the fit
assumes (``ZERO_PRIOR``)."""
_DOUBTFUL = 0.5
"""The result calls the first answer doubtful below this probability: it is then more likely wrong than right."""
_NO_TIME = 1e-9
"""Limit in seconds in which nothing is searched."""
_MOST_KEPT = 200
"""Most cells that are fitted to one pattern."""
_MANY_UNEXPLAINED = 3
"""The result notes unexplained lines above this number."""


@dataclass(frozen=True)
class GatheredEvidence:
    """The results of all steps before the ranking."""

    peak_fit: PeakFit
    """The lines, with their shape, the background and the noise."""
    prediction: Prediction | None
    """The network's prediction; None where the network cannot be used."""
    fits: list[FittedClass]
    """The fitted cells with their extinction classes and evidence."""
    notes: tuple[str, ...]
    """Sentences for the reader of the result."""
    timings: dict[str, float]
    """Seconds spent in each step."""


@threads.limited()
def index_histogram(histogram: Histogram, settings: Settings) -> IndexingResult:
    """Ranked cells and space groups of one histogram, by all steps.

    Raises
    ------
    PeaksError : too few lines to look for a cell.
    ModelError : the network that the settings name cannot be loaded.
    """
    known = gather_evidence(histogram, settings)
    timings = dict(known.timings)
    with timed(timings, "rank"):
        candidates = rank(known.fits, known.peak_fit, known.prediction, settings.rank)
        candidates = candidates_within_limits(candidates, settings.search)
    with timed(timings, "refine_pattern"):
        candidates = refine_pattern(histogram, known.peak_fit, candidates)
    result = IndexingResult(
        histogram=histogram.name,
        indexer="alphadiffract",
        wavelength=histogram.wavelength,
        candidates=candidates,
        peaks=known.peak_fit.peaks,
        prediction=known.prediction,
        notes=known.notes,
        settings=settings.to_dict(),
        versions=versions(),
        timings=timings,
        wavelengths=histogram.wavelengths,
    )
    return replace(result, notes=(*known.notes, *_remarks(result)))


def gather_evidence(histogram: Histogram, settings: Settings, prediction: Prediction | None = None) -> GatheredEvidence:
    """What the ranking needs: find lines, predict with the network, search cells, fit the pattern.

    Parameters
    ----------
    histogram : the measured pattern.
    settings : of every step.
    prediction : takes the place of the network's prediction where it is given.

    Raises
    ------
    PeaksError, ModelError : as :func:`index_histogram`.
    """
    timings: dict[str, float] = {}
    notes: list[str] = []
    with timed(timings, "find_peaks"):
        peak_fit = fit_peaks(histogram, settings.peaks)
    notes.extend(doubts_about_wavelength(histogram, peak_fit.peaks))
    with timed(timings, "predict"):
        prediction = prediction or _prediction(histogram, settings, notes)
    fits = _fitted_cells(histogram, peak_fit, prediction, settings, notes, timings)
    return GatheredEvidence(peak_fit, prediction, fits, tuple(notes), timings)


def _fitted_cells(
    histogram: Histogram,
    peak_fit: PeakFit,
    prediction: Prediction | None,
    settings: Settings,
    notes: list[str],
    timings: dict[str, float],
) -> list[FittedClass]:
    """The cells that were found and fitted; if none of them is clearly right, those of a further search as well."""
    device = _device(settings)
    likely = prediction.crystal_system_probability if prediction is not None else None
    trials: list[TrialCell] = []
    fits: list[FittedClass] = []
    left_out: tuple[Lattice, ...] = ()
    for search in (search_cells, search_further):
        with timed(timings, "search_cells"):
            found = search(peak_fit.peaks, _in_time_left(settings.search, timings), device, likely)
            if not trials and prediction is not None:
                trials = trials_from_prediction(prediction, peak_fit.peaks, settings)
            trials = sorted(found.trials + trials, key=lambda trial: -trial.score)
            left_out += found.left_out
            said: list[str] = []
            kept = distinct_within_limits(trials, settings.search, said)
            if found.others:
                kept = distinct_lattices(kept + distinct_within_limits(found.others, settings.search, []), _MOST_KEPT)
        with timed(timings, "fit_pattern"):
            fits = fit_pattern(histogram, peak_fit, kept, device) if found.trials or not fits else fits
        if is_clear(fits, prediction):
            break
    notes.extend(said)
    if found.searched and search is search_further:
        notes.append(
            "No cell was clearly right at first. So longer lists of indices, the strongest lines alone and large "
            "shifts of all lines were searched too."
        )
    notes.extend(_ended_early(tuple(dict.fromkeys(left_out)), settings))
    return fits


def _in_time_left(settings: SearchSettings, timings: dict[str, float]) -> SearchSettings:
    """The settings with what is left of ``seconds``, if there is a limit, after the searches so far."""
    if settings.seconds is None:
        return settings
    return replace(settings, seconds=max(settings.seconds - timings.get("search_cells", 0.0), _NO_TIME))


@threads.limited()
def index_peaks(peaks: Peaks, settings: Settings, name: str = "lines") -> IndexingResult:
    """Ranked cells and space groups of a list of lines; the groups are ranked by extinctions and frequency alone.

    Parameters
    ----------
    peaks : the lines; :func:`load.peaks_from_file` and :func:`load.peaks_from_arrays` make them of a list.
    settings : of the search and the ranking; the network is not used.
    name : of the list in the answer.
    """
    timings: dict[str, float] = {}
    notes = ["These cells were found from a list of lines; space groups are ranked by extinctions and frequency alone."]
    with timed(timings, "search_cells"):
        found = search_cells(peaks, settings.search, _device(settings))
        trials = distinct_within_limits(sorted(found.trials, key=lambda trial: -trial.score), settings.search, notes)
    notes.extend(_ended_early(found.left_out, settings))
    with timed(timings, "rank"):
        candidates = candidates_within_limits(rank_lines(trials, peaks, settings.rank), settings.search)
    result = IndexingResult(
        histogram=name,
        indexer="alphadiffract",
        wavelength=peaks.wavelength,
        candidates=candidates,
        peaks=peaks,
        settings=settings.to_dict(),
        versions=versions(),
        timings=timings,
        wavelengths=(peaks.wavelength,),
    )
    return replace(result, notes=(*notes, *_remarks(result)))


def _ended_early(left_out: Sequence[Lattice], settings: Settings) -> Iterator[str]:
    """A sentence on the lattices that were not searched, if there are any."""
    if left_out:
        names = ", ".join(f"{lattice.family} {lattice.centring}" for lattice in left_out)
        yield (
            f"The search ended after {settings.search.seconds:g} s, before these lattices were searched: {names}. "
            "Set search.seconds to a larger value or to none, or restrict the volume."
        )


def _prediction(histogram: Histogram, settings: Settings, notes: list[str]) -> Prediction | None:
    """The network's prediction; None, with a note that says why, where the network cannot be used."""
    from alphadiffract_plugin.errors import InputError, RadiationError
    from alphadiffract_plugin.prediction.predict import predict

    try:
        return predict(histogram, settings)
    except (RadiationError, InputError) as reason:
        notes.append(f"The network was not used: {reason.what}.")
        return None


def _remarks(result: IndexingResult) -> Iterator[str]:
    """Sentences that a reader of the first answer should know."""
    if not result.candidates:
        yield "No cell explains the lines found, or every cell that does has too many reflections to be fitted."
        return
    first = result.candidates[0]
    if not first.has_cell:
        yield (
            f"It is most likely that none of the cells is right (probability {no_cell_probability(result):.2f}). "
            "The first answer is therefore a space group without a cell: the network's probability of each group is "
            "multiplied by how often cells of its crystal system are missed."
        )
        return
    if abs(first.zero_shift) + abs(first.displacement) > _LARGE_SHIFT:
        yield (
            f"With the first cell every line is shifted by {first.zero_shift:+.3f} degrees (zero) and "
            f"{first.displacement:+.3f} cos(theta) degrees (displaced sample)."
        )
    if first.probability < _DOUBTFUL:
        yield (
            f"The first answer is doubtful (probability {first.probability:.2g}). Compare it with the other answers "
            "and with the pattern."
        )
    if len(first.unindexed) > _MANY_UNEXPLAINED:
        yield (
            f"The first cell does not explain {len(first.unindexed)} of the lines found. Either the sample has "
            "impurities, or the cell is wrong."
        )


def _device(settings: Settings) -> str:
    from alphadiffract_plugin.prediction.predict import choose_device

    return choose_device(settings.network.device)
