"""Release: runs or models packed into one model folder, with a card that says what was measured and nothing else."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import InputError, ModelError, OutputError, SettingsError
from alphadiffract_plugin.output import make_folder

if TYPE_CHECKING:
    from alphadiffract_plugin.models.checkpoint import Model

PATHS = ("structures", "benchmark", "prior", "start_from", "instrument")
"""Settings that are paths: only file names are released."""


@dataclass(frozen=True)
class Member:
    """One network to be released."""

    source: Path
    """The run or model folder that it comes from."""
    model: Model
    """The network and what it needs."""
    sha256: str
    """Of the weights file that it was read from; empty if it came from a checkpoint."""
    data: tuple[Path, ...] = ()
    """Files of structures that it was trained on, where they lay."""


def release(
    sources: Sequence[str], folder: Path, *, evaluation: Path | None = None, calibrate: Path | None = None
) -> Path:
    """Pack runs, models or ensembles into a model folder with float16 weights; more than one becomes an ensemble.

    Parameters
    ----------
    sources : folders of runs (the last checkpoint is taken), or names or folders of models.
    folder : what to make; whole or not at all.
    evaluation : folder that `evaluate -o` wrote for these same weights; its figures go into the card.
    calibrate : index of measured patterns to fit the temperature of the probabilities to; without one, the model
        that is packed by itself keeps the temperature that it has.

    Raises
    ------
    ModelError : a source does not load, or they take different input.
    InputError : the evaluation cannot be read, or is of other weights.
    SettingsError : both an evaluation and an index to calibrate on are given.
    OutputError : ``folder`` is there already, or cannot be written.
    """
    from alphadiffract_plugin.evaluation.calibrate import calibration_from_index
    from alphadiffract_plugin.evaluation.card import card
    from alphadiffract_plugin.evaluation.report import weights_sha256
    from alphadiffract_plugin.models import checkpoint

    if calibrate and evaluation:
        raise SettingsError(
            "an evaluation from before the calibration would not hold after it",
            mend="release with --calibrate, evaluate that, and release it again with --evaluation",
        )
    if folder.exists():
        raise OutputError("is already there", mend="choose another --name, or move it away", where=folder)
    members = [member for source in sources for member in members_of(source)]
    figures = read_evaluation(evaluation, members) if evaluation else None
    make_folder(folder.parent)
    try:
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
            text = card(folder.name, members, figures, counts, found, judged_as_packed=as_packed)
            (whole / "card.md").write_text(text, encoding="utf-8")
            whole.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", mend="choose another place", where=folder) from error
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
    """The calibration that a single source brings along: it holds for its members together, and for no others."""
    return members[0].model.config.get("calibration") if len(sources) == 1 else None


def model_folder(source: str) -> tuple[Path, str]:
    """Folder of a model given by name, or as the folder of a model or of a run that has ended; and what to call it.

    Raises
    ------
    ModelError : there is no such model, or the run has none yet.
    """
    from alphadiffract_plugin.models import catalogue

    run = Path(source).expanduser()
    if not (run / "run.toml").is_file():
        folder = catalogue.resolve(source)
        in_run = folder.name == "model" and (folder.parent / "run.toml").is_file()
        return folder, folder.parent.name if in_run else folder.name
    if not (run / "model" / "config.json").is_file():
        raise ModelError(
            "this run has not ended, so it has no model yet",
            mend=f"go on with `alphadiffract-plugin train -o {run} --resume`, or `release` its last checkpoint",
            where=run,
        )
    return run / "model", run.resolve().name


def members_of(source: str) -> list[Member]:
    """The networks of a run, a model or an ensemble; of a run as its last checkpoint has them."""
    from alphadiffract_plugin.evaluation.report import weights_sha256
    from alphadiffract_plugin.models import checkpoint

    run = Path(source).expanduser()
    if (run / "run.toml").is_file():
        return [_member_of_run(run)]
    folder, _ = model_folder(source)
    parts = zip(checkpoint.members(folder), checkpoint.load_members(folder), strict=True)
    return [Member(part, model, weights_sha256(part), _data_of(model.config)) for part, model in parts]


def _member_of_run(run: Path) -> Member:
    """The finished model of a run, or its last checkpoint where that has seen more."""
    from alphadiffract_plugin.evaluation.report import weights_sha256
    from alphadiffract_plugin.models import checkpoint
    from alphadiffract_plugin.models.training.config import read
    from alphadiffract_plugin.models.training.run_folder import RunFolder

    folder, settings = RunFolder(run), read(run / "run.toml")
    state = folder.load()
    if (folder.model / "config.json").is_file():
        model = checkpoint.load(folder.model)
        if not state or model.config.get("provenance", {}).get("patterns_seen") == state["patterns"]:
            return Member(run, model, weights_sha256(folder.model), _data_of(model.config))
    if not state:
        raise ModelError("this run has neither a model nor a checkpoint", mend="let it train for a while", where=run)
    fields = settings.to_dict()["network"]
    network = checkpoint.build(fields.pop("architecture"), fields).eval()
    network.load_state_dict(state["average"])
    provenance = {
        "patterns_seen": state["patterns"],
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 2),
        "seed": settings.training.seed,
        "settings": settings.to_dict(),
    }
    config = {"provenance": provenance}
    model = checkpoint.Model(run.name, settings.architecture, network, settings.grid, settings.normalisation, config)
    return Member(run, model, "", _data_of(config))


def _data_of(config: dict[str, Any]) -> tuple[Path, ...]:
    settings = config.get("provenance", {}).get("settings", {})
    return tuple(Path(name) for name in settings.get("data", {}).get("structures", ()))


def counts_of(member: Member) -> list[tuple[str, str, int]] | None:
    """(source, licence, structures of the train split) of the data of a member; None where a file is gone."""
    if not member.data or not all(path.is_file() for path in member.data):
        return None if member.data else []
    from alphadiffract_plugin.models.structures.table import read_table

    table = read_table(member.data)
    names = [name if name in table.column_names else "" for name in ("source", "licence")]
    columns = [table[name].to_pylist() if name else ["not stated"] * len(table) for name in names]
    rows = zip(*columns, table["split"].to_pylist(), strict=True)
    found = Counter((str(source), str(licence or "not stated")) for source, licence, split in rows if split == "train")
    return [(source, licence, n) for (source, licence), n in found.most_common()]


def read_evaluation(folder: Path, members: Sequence[Member]) -> dict[str, Any]:
    """The ``evaluation.json`` of a folder, if it is of the weights of these members.

    Raises
    ------
    InputError : there is none, or it is of other weights.
    """
    file = folder / "evaluation.json" if folder.is_dir() else folder
    mend = "evaluate these same models with `alphadiffract-plugin evaluate MODEL -o DIR`, then give that folder"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        judged = found["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("there is no evaluation", mend=mend, where=file) from error
    if sorted(judged) != sorted(member.sha256 for member in members):
        told = "; an ensemble is judged as a whole: release it first, evaluate that, and release it again"
        raise InputError(
            "this evaluation is of other weights", mend=mend + (told if len(members) > 1 else ""), where=file
        )
    return found


def without_paths(provenance: dict[str, Any]) -> dict[str, Any]:
    """A provenance whose settings name files without their folders."""

    def name(key: str, value: Any) -> Any:
        if key in PATHS and isinstance(value, (list, tuple)):
            return [Path(item).name for item in value]
        return Path(value).name if key in PATHS and isinstance(value, str) else value

    settings = {
        section: {key: name(key, value) for key, value in table.items()}
        for section, table in provenance.get("settings", {}).items()
    }
    return {**provenance, **({"settings": settings} if settings else {})}
