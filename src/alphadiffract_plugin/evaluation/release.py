"""Release of runs or models as one model folder, with a card that gives measured figures only."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import InputError, OutputError, SettingsError
from alphadiffract_plugin.evaluation.members import Member, counts_of, members_of, without_paths
from alphadiffract_plugin.output import make_folder, writing


def release(
    sources: Sequence[str], folder: Path, *, evaluation: Path | None = None, calibrate: Path | None = None
) -> Path:
    """Pack runs, models or ensembles into a model folder with float16 weights; several become an ensemble.

    Parameters
    ----------
    sources : folders of runs (the last checkpoint is taken), or names or folders of models.
    folder : the folder to make; if anything fails, it is not made.
    evaluation : folder that `evaluate -o` wrote for exactly these weights; its figures go into the card.
    calibrate : index of measured patterns to which the temperature is fitted; without one, a single model keeps its
        temperature.

    Raises
    ------
    ModelError : a source does not load, or the sources take different input.
    InputError : the evaluation cannot be read, or is of other weights.
    SettingsError : both an evaluation and an index to calibrate on are given.
    OutputError : ``folder`` already exists, or cannot be written.
    """
    from alphadiffract_plugin.evaluation.calibrate import calibration_from_index
    from alphadiffract_plugin.evaluation.card import card
    from alphadiffract_plugin.models import checkpoint
    from alphadiffract_plugin.models.checkpoint import weights_sha256

    if calibrate and evaluation:
        raise SettingsError(
            "an evaluation made before the calibration does not hold after it",
            fix="release with --calibrate, evaluate the result, and release it again with --evaluation",
        )
    if folder.exists():
        raise OutputError("this folder already exists", fix="choose another --name, or move the folder", where=folder)
    members = [member for source in sources for member in members_of(source)]
    figures = read_evaluation(evaluation, members) if evaluation else None
    make_folder(folder.parent)
    with writing(folder):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".releasing-") as scratch:
            whole = Path(scratch) / folder.name
            found = None if calibrate else calibration_of(sources, members)
            _save(members, whole, found)
            checkpoint.load_members(whole)
            if calibrate:
                found = dataclasses.asdict(calibration_from_index(whole, calibrate))
                _save(members, whole, found)
            packed = sorted(weights_sha256(part) for part in checkpoint.members(whole))
            as_packed = figures is not None and sorted(figures["weights_sha256"]) == packed
            counts = [counts_of(member) for member in members]
            text = card(folder.name, members, figures, counts, found, evaluated_as_packed=as_packed)
            (whole / "card.md").write_text(text, encoding="utf-8")
            whole.rename(folder)
    return folder


def _save(members: Sequence[Member], whole: Path, calibration: dict[str, Any] | None) -> None:
    from alphadiffract_plugin.models import checkpoint

    for number, member in enumerate(members, 1):
        model = member.model
        checkpoint.save(
            model.network,
            model.grid,
            whole / f"member-{number:02d}" if len(members) > 1 else whole,
            provenance=without_paths(model.config.get("provenance", {})),
            normalisation=model.normalisation,
            half=True,
            calibration=calibration,
        )


def calibration_of(sources: Sequence[str], members: Sequence[Member]) -> dict[str, Any] | None:
    """The calibration of a single source; it holds for the same members together only."""
    return members[0].model.config.get("calibration") if len(sources) == 1 else None


def read_evaluation(folder: Path, members: Sequence[Member]) -> dict[str, Any]:
    """The content of ``evaluation.json`` in a folder, if it is of the weights of these members.

    Raises
    ------
    InputError : there is no such file, or it is of other weights.
    """
    file = folder / "evaluation.json" if folder.is_dir() else folder
    fix = "evaluate these same models with `alphadiffract-plugin evaluate MODEL -o DIR`, then give that folder"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        weights = found["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("this is not an evaluation", fix=fix, where=file) from error
    if sorted(weights) != sorted(member.sha256 for member in members):
        whole = "; an ensemble is evaluated as a whole: release it first, evaluate that, and release it again"
        raise InputError(
            "this evaluation belongs to other weights", fix=fix + (whole if len(members) > 1 else ""), where=file
        )
    return found
