"""The picture of an answer: the pattern, the lines found, the reflections of the best answers, and the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta, two_theta_from_inv_d2
from alphadiffract_plugin.crystal.reflections import allowed_inv_d2
from alphadiffract_plugin.crystal.symmetry import symbol_from_space_group
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Candidate, Histogram, IndexingResult, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

DATA, FOUND, UNEXPLAINED, QUIET = "#1f2937", "#2563eb", "#dc2626", "#9ca3af"
RANKS = ("#0f766e", "#b45309", "#7c3aed", "#be185d", "#4d7c0f")


def save_plot(histogram: Histogram, result: IndexingResult, path: Path) -> None:
    """Write the picture as PNG, 1650 by 900 pixels.

    Parameters
    ----------
    histogram : the measured pattern.
    result : the answer; its lines and its prediction are drawn if it has them.
    path : the file, overwritten.
    """
    figure_of(histogram, result).savefig(path, format="png", dpi=150)


def figure_of(histogram: Histogram, result: IndexingResult) -> Figure:
    """The picture as a matplotlib figure, without any display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = _distinct(result.candidates, len(RANKS))
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    main: Figure | SubFigure = figure
    if result.prediction is not None:
        main, side = figure.subfigures(1, 2, squeeze=False, width_ratios=(3.3, 1))[0]
        _draw_opinion(side, result.prediction)
    pattern, ticks = main.subplots(2, 1, sharex=True, height_ratios=(1, 0.02 + 0.085 * max(len(shown), 1)))
    main.suptitle(_title(result), x=0.02, ha="left", fontsize=11, parse_math=False)
    _draw_pattern(pattern, histogram, result)
    _draw_ticks(ticks, histogram, shown)
    return figure


def _distinct(candidates: Sequence[Candidate], most: int) -> list[tuple[int, Candidate]]:
    """Rank and candidate of the first answers with a cell that differ in their line positions."""
    shown: dict[tuple[object, ...], tuple[int, Candidate]] = {}
    for rank, candidate in enumerate(candidates, 1):
        if not candidate.has_cell:
            continue
        alike = candidate.same_extinctions or (candidate.space_group,)
        axes = (*sorted(np.round(candidate.cell[:3], 2)), *sorted(np.round(candidate.cell[3:], 2)))
        shown.setdefault((alike, axes), (rank, candidate))
    return list(shown.values())[:most]


def _draw_pattern(axes: Axes, histogram: Histogram, result: IndexingResult) -> None:
    x, y = histogram.two_theta, histogram.intensity
    axes.set_yscale("function", functions=(lambda v: np.sign(v) * np.sqrt(np.abs(v)), lambda r: np.sign(r) * r**2))
    axes.plot(x, y, color=DATA, linewidth=0.7, label="measured")
    low, top = float(np.min(y)), float(np.max(y))
    axes.set_ylim(min(low, 0.0) if low < 0.05 * top else 0.8 * low, 1.12 * top)
    if result.peaks is not None and len(result.peaks):
        position = result.peaks.two_theta
        missed = np.array(result.candidates[0].unindexed if result.candidates else ())
        unexplained = (np.abs(position[:, None] - missed[None, :]) < 1e-3).any(1)
        _mark(axes, histogram, position[~unexplained], FOUND, "line found")
        _mark(axes, histogram, position[unexplained], UNEXPLAINED, "line that answer 1 does not explain")
    axes.set_ylabel("intensity (square-root scale)")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8, ncols=3, borderaxespad=0)
    margin = 0.01 * (x[-1] - x[0])
    axes.set_xlim(x[0] - margin, x[-1] + margin)
    _plain(axes)


def _mark(axes: Axes, histogram: Histogram, position: np.ndarray, colour: str, label: str) -> None:
    if not len(position):
        return
    step = np.searchsorted(histogram.two_theta, position)[:, None] + np.arange(-3, 4)
    height = histogram.intensity[np.clip(step, 0, len(histogram.intensity) - 1)].max(1)
    top = np.ptp(np.sqrt(np.maximum(histogram.intensity, 0)))
    above = (np.sqrt(np.maximum(height, 0)) + 0.025 * top) ** 2
    axes.plot(position, above, linestyle="", marker=7, markersize=4.5, color=colour, label=label)


def _title(result: IndexingResult) -> str:
    if not result.candidates:
        return f"{result.histogram}: no cell explains these lines"
    first = result.candidates[0]
    cell = "" if first.has_cell else ", no cell found"
    return f"{result.histogram}: {first.space_group_symbol}, probability {first.probability:.2f}{cell}"


def _draw_ticks(axes: Axes, histogram: Histogram, shown: Sequence[tuple[int, Candidate]]) -> None:
    reach = float(inv_d2_from_two_theta(histogram.two_theta[-1], histogram.wavelength))
    labels = []
    for row, (rank, candidate) in enumerate(shown):
        position = two_theta_from_inv_d2(
            allowed_inv_d2(candidate.cell, candidate.space_group, reach), histogram.wavelength
        )
        position += candidate.zero_shift + candidate.displacement * np.cos(np.radians(position / 2))
        position = position[position >= histogram.two_theta[0]]
        axes.vlines(position, row - 0.38, row + 0.38, color=RANKS[row], linewidth=0.7)
        labels.append(f"{rank}   {candidate.space_group_symbol}")
    axes.set_yticks(range(len(shown)), labels, fontsize=9)
    for label, colour in zip(axes.get_yticklabels(), RANKS, strict=False):
        label.set_color(colour)
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"two_theta (degrees), {histogram.wavelength:.6g} Å")
    _plain(axes)
    axes.spines["left"].set_visible(False)


def _draw_opinion(figure: SubFigure, prediction: Prediction) -> None:
    systems, groups = figure.subplots(2, 1, height_ratios=(7, 5))
    figure.suptitle("what the network says", fontsize=11)
    _bars(systems, CRYSTAL_SYSTEMS, prediction.crystal_system_probability)
    systems.set_title("crystal system", loc="left", fontsize=9, color=DATA)
    best = np.argsort(-prediction.space_group_probability, kind="stable")[:5]
    names = [f"{symbol_from_space_group(int(group) + 1)} ({group + 1})" for group in best]
    _bars(groups, names, prediction.space_group_probability[best])
    groups.set_title("space group, best five", loc="left", fontsize=9, color=DATA)
    groups.set_xlabel("probability", fontsize=9)


def _bars(axes: Axes, names: Sequence[str], values: np.ndarray) -> None:
    colours = [FOUND if value == max(values) else QUIET for value in values]
    bars = axes.barh(range(len(names)), values, color=colours, height=0.66)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=2, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(0, 1.18)
    axes.set_xticks((0, 0.5, 1))
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
