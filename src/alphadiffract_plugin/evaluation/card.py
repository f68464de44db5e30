"""The card of a released model, in Markdown: what it is, what it was trained on, and its measured accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alphadiffract_plugin.evaluation.members import Member

Counts = list[tuple[str, str, int]] | None
"""Source, licence and number of structures; None if the files no longer exist."""


def card(
    name: str,
    members: Sequence[Member],
    evaluation: dict[str, Any] | None,
    counts: Sequence[Counts],
    calibration: dict[str, Any] | None,
    *,
    evaluated_as_packed: bool = True,
) -> str:
    """The card; it says what is not known, and gives no accuracy that was not measured.

    Parameters
    ----------
    name : the name of the model.
    members : its networks.
    evaluation : the content of ``evaluation.json``; None if the model was not evaluated.
    counts : the structures that each member was trained on; see :func:`.members.counts_of`.
    calibration : a :class:`.calibrate.Calibration` as a dictionary; None if the probabilities were not calibrated.
    evaluated_as_packed : whether the evaluation is of exactly the weights that are packed.
    """
    parts = [
        _what(name, members),
        _training(members),
        _data(members, counts),
        _figures(evaluation, evaluated_as_packed),
    ]
    parts += [_calibration(calibration), _again(members)]
    return "\n\n".join(parts) + "\n"


def _what(name: str, members: Sequence[Member]) -> str:
    from alphadiffract_plugin.models.checkpoint import LATTICE_CONVENTION

    model = members[0].model
    size = sum(p.numel() for p in model.network.parameters())
    many = f"{len(members)} networks whose probabilities are averaged, each with " if len(members) > 1 else ""
    grid = model.grid
    return "\n".join(
        [
            f"# {name}",
            "",
            "Reads one X-ray powder pattern and gives probabilities of the 7 crystal systems and the 230 space groups, "
            "and coarse lattices.",
            "",
            f"- Architecture: `{model.architecture}`, {many}{size:,} parameters, float16 on disk, float32 in use.",
            f"- Input: {grid.length} points, two_theta {grid.two_theta_min:g} to {grid.two_theta_max:g} degrees at "
            f"{grid.wavelength:g} Å; other X-ray wavelengths are converted through d.",
            f"- Lattice: {LATTICE_CONVENTION[model.architecture]}. A start for a search, not for a refinement.",
            "- Not for neutrons, electrons, time of flight, mixtures.",
            "- Licence of the weights: to be chosen by whoever releases them; see the licences of the data below.",
        ]
    )


def _training(members: Sequence[Member]) -> str:
    keys = ("patterns_seen", "minutes", "seed", "precision", "processes", "machine", "versions")
    lines = ["## Training", "", "| member | patterns | minutes | seed | precision | processes | machine | versions |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for number, member in enumerate(members, 1):
        known = member.model.config.get("provenance", {})
        lines.append(f"| {number} | {' | '.join(_shown(known.get(key)) for key in keys)} |")
    return "\n".join(lines)


def _data(members: Sequence[Member], counts: Sequence[Counts]) -> str:
    lines = ["## Data", ""]
    distinct: dict[tuple[tuple[str, ...], float | None], tuple[Counts, float | None]] = {}
    for member, found in zip(members, counts, strict=True):
        share = member.model.config.get("provenance", {}).get("settings", {}).get("data", {}).get("random")
        files = tuple(path.name for path in member.data)
        distinct.setdefault((files, share), (found, share))
    for (files, _), (found, share) in distinct.items():
        if share is not None:
            lines += [f"Share of patterns of random crystals: {100 * share:g} %.", ""]
        if files:
            lines += [f"Structures: {', '.join(files)}.", ""]
        if found is None:
            lines += [
                "These files did not exist any more when this card was written, so their structures are not counted.",
                "",
            ]
        elif found:
            lines += ["| source | licence of the data | structures, train split |", "|---|---|---|"]
            lines += [f"| {source} | {licence} | {n:,} |" for source, licence, n in found] + [""]
        elif share is None:
            lines += ["Not recorded.", ""]
    return "\n".join(lines).rstrip()


def _figures(evaluation: dict[str, Any] | None, evaluated_as_packed: bool) -> str:
    from alphadiffract_plugin.evaluation.report import markdown

    if evaluation is None:
        return "## How good it is\n\nNot measured: no evaluation was given when this model was released."
    body = markdown(evaluation, level=2).split("\n", 1)[1].strip()
    before = "" if evaluated_as_packed else ", before the weights were rounded"
    return f"## How good it is\n\nMeasured by `alphadiffract-plugin evaluate`{before}.\n\n{body}"


def _calibration(found: dict[str, Any] | None) -> str:
    if found is None:
        return "## Calibration\n\nNot calibrated: the probabilities are as the network gives them."

    def text(errors: dict[str, float]) -> str:
        return f"space group {100 * errors['space_group']:.1f} %, crystal system {100 * errors['crystal_system']:.1f} %"

    if found["temperature"] == 1:
        done = (
            f"The probabilities are as the network gives them: over {found['patterns']} measured patterns "
            f"({found['index']}) a temperature, fitted to {found['folds'] - 1} of {found['folds']} parts and tested on "
            f"the other, makes the right groups no more probable (mean -ln p {found['log_loss']:.3f}, without it "
            f"{found['log_loss_before']:.3f}). Calibration error of the first answer: {text(found['ece_before'])}."
        )
    else:
        done = (
            "Probabilities p of the space groups are given as p^(1/T) / Σ p^(1/T), "
            f"T = {found['temperature']:g}: fitted to {found['patterns']} measured patterns ({found['index']}). "
            f"Calibration error of the first answer, each of {found['folds']} parts with the T of the others: "
            f"{text(found['ece'])}; without T: {text(found['ece_before'])}."
        )
    return (
        f"## Calibration\n\n{done} If the probabilities were exact, as many patterns would still give, on average: "
        f"{text(found['ece_if_perfect'])}."
    )


def _again(members: Sequence[Member]) -> str:
    from alphadiffract_plugin.evaluation.members import without_paths
    from alphadiffract_plugin.models.training.toml import written

    settings = [without_paths(m.model.config.get("provenance", {})).get("settings") for m in members]
    recorded = [s for s in settings if s]
    if not recorded:
        return "## To make it again\n\nThe settings of its training were not recorded."
    seeds = ", ".join(str(s["training"]["seed"]) for s in recorded)
    many = f" Members differ in [training] seed: {seeds}." if len(recorded) > 1 else ""
    if len(recorded) < len(members):
        unknown = ", ".join(str(number) for number, s in enumerate(settings, 1) if not s)
        many += f" The settings of member {unknown} were not recorded; below are those of member "
        many += f"{settings.index(recorded[0]) + 1}."
    elif not all(_but_seed(s) == _but_seed(recorded[0]) for s in recorded):
        many += " Other settings differ too: each member's config.json holds its own; below are those of the first."
    return "\n".join(
        [
            "## To make it again",
            "",
            f"Save the settings below as settings.toml beside the structure files.{many}",
            "",
            "```",
            "alphadiffract-plugin train --config settings.toml -o run",
            "```",
            "",
            "```toml",
            written(recorded[0]).rstrip(),
            "```",
        ]
    )


def _but_seed(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "training": {k: v for k, v in settings["training"].items() if k != "seed"}}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return "not recorded" if value is None else f"{value:,}" if isinstance(value, float) else str(value)
