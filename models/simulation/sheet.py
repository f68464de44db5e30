"""A sheet of plots that compares simulated patterns with measured ones, as a network gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIMULATED, MEASURED = "#1f2937", "#b45309"
COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One pattern to plot."""

    two_theta: np.ndarray
    """Degrees, shape (L,)."""
    intensity: np.ndarray
    """Intensity on any scale, NaN where not measured, shape (L,)."""
    title: str
    """Title of the plot."""
    measured: bool = False
    """Whether it was measured rather than simulated."""


def save_sheet(panels: Sequence[Panel], path: Path) -> None:
    """Write the sheet as a PNG file; there must be at least one panel."""
    figure_of(panels).savefig(path, format="png", dpi=110)


def figure_of(panels: Sequence[Panel]) -> Figure:
    """The sheet as a matplotlib figure on a square-root scale, with simulated and measured patterns mixed evenly."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = in_turn(panels)
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(6 * COLUMNS, 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    frames = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, panel in zip(frames, panels, strict=False):
        _draw(axes, panel)
    for axes in frames[len(panels) :]:
        axes.set_axis_off()
    for axes in frames[max(0, len(panels) - COLUMNS) : len(panels)]:
        axes.set_xlabel("two_theta / degrees")
    return figure


def in_turn(panels: Sequence[Panel]) -> list[Panel]:
    """Simulated and measured panels mixed evenly, each kind in its own order."""
    kinds = [[panel for panel in panels if panel.measured is kind] for kind in (False, True)]
    placed = [((i + 0.5) / len(kind), panel.measured, panel) for kind in kinds for i, panel in enumerate(kind)]
    return [panel for *_, panel in sorted(placed, key=lambda item: item[:2])]


def _draw(axes: Axes, panel: Panel) -> None:
    y = panel.intensity - np.nanmin(panel.intensity)
    axes.plot(panel.two_theta, np.sqrt(y / max(np.nanmax(y), 1e-12)), linewidth=0.6, color=_colour(panel))
    axes.set_title(panel.title, fontsize=9, loc="left", color=_colour(panel), parse_math=False)
    axes.set_xlim(panel.two_theta[0], panel.two_theta[-1])
    axes.set_ylim(0, 1.03)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)


def _colour(panel: Panel) -> str:
    return MEASURED if panel.measured else SIMULATED
