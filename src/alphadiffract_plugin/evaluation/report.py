"""An evaluation as JSON, as Markdown and as pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.models.checkpoint import weights_sha256
from alphadiffract_plugin.output import make_folder, write_text, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from alphadiffract_plugin.evaluation.evaluate import Section

FORMAT = 1
"""Version of the format of ``evaluation.json``."""
VERSIONS = ("alphadiffract-plugin", "torch", "numpy")
"""Packages whose versions ``evaluation.json`` contains."""
DEFINITIONS = {
    "wilson95": "95 % interval of a share (Wilson 1927), per cent",
    "hops": "patterns by the hops on the maximal-subgroup graph from the first space group to the true one",
    "ece": "expected calibration error: over 15 bins of equal width of the probability of the first answer, the mean "
    "of |share right - mean probability|, weighted by patterns",
    "lattice": "first proposed lattice against the truth, Niggli cells: mean absolute error of lengths (angstrom), the "
    "same in per cent, of angles (degrees), R2 averaged over the three; volume_error: median |ln V - ln V(true)|",
    "answered": "a pattern that the network cannot take (neutrons, too small a range) counts as wrong",
}
BLUE, AMBER, GREY = "#2563eb", "#b45309", "#9ca3af"


def document(name: str, folder: Path, sections: Sequence[Section]) -> dict[str, Any]:
    """The content of ``evaluation.json``, in which the weights of a model folder are identified by their SHA-256."""
    from alphadiffract_plugin.models.checkpoint import members
    from alphadiffract_plugin.models.model_config import read_config

    parts = members(folder)
    about = {"format": FORMAT, "model": name, "architecture": read_config(parts[0]).get("architecture", "open")}
    about |= {"members": len(parts), "weights_sha256": [weights_sha256(part) for part in parts]}
    held = [dataclasses.asdict(section) for section in sections]
    return about | {
        "sections": held,
        "definitions": DEFINITIONS,
        "versions": {name: version(name) for name in VERSIONS},
    }


def markdown(evaluation: dict[str, Any], *, level: int = 1) -> str:
    """The evaluation as Markdown: two tables and the calibration error for each set of patterns."""
    many = f", {evaluation['members']} members" if evaluation["members"] > 1 else ""
    lines = [f"{'#' * level} {evaluation['model']} ({evaluation['architecture']}{many})"]
    for section in evaluation["sections"]:
        whole = section["figures"]["all"]
        lines += ["", f"{'#' * (level + 1)} {section['kind'].capitalize()} patterns: {section['title']}", ""]
        lines += ["| patterns | n | crystal system, top 1 | space group, top 1 | top 5 | within 1 hop | within 2 |"]
        lines += ["|---|---|---|---|---|---|---|"]
        shares = ("crystal_system@1", "space_group@1", "space_group@5", "within_1_hops", "within_2_hops")
        for name, row in section["figures"].items():
            lines.append(f"| {name} | {row['n']} | {' | '.join(_share(row[key]) for key in shares)} |")
        lines += ["", "| patterns | n | lengths off by (Å) | (%) | R² | angles off by (°) | R² | volume off by |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for name, row in section["figures"].items():
            if row["lattice"]["n"]:
                lines.append(f"| {name} | {' | '.join(_lattice(row['lattice']))} |")
        ece = {key: 100 * value["ece"] for key, value in whole["calibration"].items()}
        lines += [
            "",
            f"Calibration error of the first answer: space group {ece['space_group']:.1f} %, crystal system "
            f"{ece['crystal_system']:.1f} %. {whole['n'] - whole['answered']} of {whole['n']} patterns could not be "
            "answered and count as wrong. In brackets: 95 % intervals (Wilson).",
        ]
    return "\n".join(lines) + "\n"


def write(evaluation: dict[str, Any], folder: Path) -> list[Path]:
    """Write ``evaluation.json``, ``evaluation.md`` and a picture of each set of patterns; returns the files.

    Raises
    ------
    OutputError : a file cannot be written.
    """
    make_folder(folder)
    files = [
        write_text(folder / "evaluation.json", json.dumps(evaluation, indent=1, allow_nan=False) + "\n"),
        write_text(folder / "evaluation.md", markdown(evaluation)),
    ]
    for section in evaluation["sections"]:
        picture = picture_of(section, evaluation["model"])
        save = lambda path, picture=picture: picture.savefig(path, format="png", dpi=130)  # noqa: E731
        files.append(write_whole(folder / f"{section['kind']}.png", save))
    return files


def names_of(kinds: Sequence[str]) -> list[str]:
    """The files that :func:`write` makes for sections of these kinds."""
    return ["evaluation.json", "evaluation.md", *(f"{kind}.png" for kind in kinds)]


def picture_of(section: dict[str, Any], model: str) -> Figure:
    """A figure of the accuracy by crystal system, the reliability of the probabilities, and the hops."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, reliability, hops = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    title = f"{model}: {section['figures']['all']['n']} {section['kind']} patterns ({section['title']})"
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, parse_math=False)
    _draw_accuracy(accuracy, section["figures"])
    _draw_reliability(reliability, section["figures"]["all"]["calibration"])
    _draw_hops(hops, section["figures"]["all"]["hops"])
    for axes in (accuracy, reliability, hops):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_accuracy(axes: Axes, groups: dict[str, dict[str, Any]]) -> None:
    drawn = (("crystal_system@1", "crystal system", AMBER), ("space_group@1", "space group", BLUE))
    for shift, (key, label, colour) in zip((-0.2, 0.2), drawn, strict=True):
        values = [row[key]["percent"] for row in groups.values()]
        low, high = zip(*(row[key]["wilson95"] for row in groups.values()), strict=True)
        place = [i + shift for i in range(len(groups))]
        axes.bar(place, values, 0.38, color=colour, label=f"{label}, first answer", alpha=0.85)
        error = [[v - a for v, a in zip(values, low, strict=True)], [b - v for v, b in zip(values, high, strict=True)]]
        axes.errorbar(
            place, values, [[max(0, e) for e in side] for side in error], fmt="none", ecolor="#374151", lw=0.8
        )
    five = [row["space_group@5"]["percent"] for row in groups.values()]
    axes.plot(
        [i + 0.2 for i in range(len(groups))], five, "_", ms=11, mew=2, color="#1e3a8a", label="space group, among 5"
    )
    names = [f"{name} ({row['n']})" for name, row in groups.items()]
    axes.set_xticks(range(len(groups)), names, rotation=40, ha="right", fontsize=8)
    axes.set(ylim=(0, 119), ylabel="right, % (bars: 95 %)", yticks=range(0, 101, 20))
    axes.legend(fontsize=7, ncols=3, loc="upper center", frameon=False, columnspacing=1, handlelength=1.2)


def _draw_reliability(axes: Axes, calibration: dict[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=1)
    for name, label, colour in (("crystal_system", "crystal system", AMBER), ("space_group", "space group", BLUE)):
        bins = calibration[name]["bins"]
        x, y = [b["probability"] for b in bins], [b["right"] for b in bins]
        error = [[max(0, b["right"] - b["wilson95"][0] / 100) for b in bins]]
        error += [[max(0, b["wilson95"][1] / 100 - b["right"]) for b in bins]]
        caption = f"{label}, ECE {100 * calibration[name]['ece']:.1f} %"
        axes.errorbar(x, y, error, fmt="o-", ms=3.5, lw=1, elinewidth=0.6, color=colour, label=caption)
    axes.set(xlim=(0, 1), ylim=(0, 1.15), xlabel="probability given", ylabel="share right")
    axes.legend(fontsize=7, loc="upper left", frameon=False)


def _draw_hops(axes: Axes, hops: dict[str, int]) -> None:
    total = max(sum(hops.values()), 1)
    values = [100 * count / total for count in hops.values()]
    bars = axes.bar(list(hops), values, color=BLUE, alpha=0.85)
    axes.bar_label(bars, [f"{value:.0f}" for value in values], fontsize=8)
    axes.set(xlabel="hops from the true space group", ylabel="answered patterns, %")


def _share(share: dict[str, Any]) -> str:
    low, high = share["wilson95"]
    return "-" if share["percent"] is None else f"{share['percent']:.1f} % ({low:.1f}-{high:.1f})"


def _lattice(row: dict[str, Any]) -> list[str]:
    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    keys = (("length_mae", 2), ("length_mape", 1), ("length_r2", 2), ("angle_mae", 2), ("angle_r2", 2))
    return [
        str(row["n"]),
        *(number(row[key], digits) for key, digits in keys),
        f"{100 * math.expm1(row['volume_error']):.0f} %",
    ]
