"""The networks that make a released model, and where they come from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import ModelError

if TYPE_CHECKING:
    from alphadiffract_plugin.models.checkpoint import Model


PATHS = ("structures", "benchmark", "prior", "start_from", "instrument")
"""Settings that are paths, of which a release contains the file names alone."""


@dataclass(frozen=True)
class Member:
    """One network to be released."""

    source: Path
    """The run or model folder that it comes from."""
    model: Model
    """The network with its grid and config."""
    sha256: str
    """SHA-256 of its file of weights; empty if it comes from a checkpoint."""
    data: tuple[Path, ...] = ()
    """Structure files that it was trained on, with the paths that they had."""


def model_folder(source: str) -> tuple[Path, str]:
    """Folder and name of a model, given by name or as the folder of a model or of a run that has ended.

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
            fix=f"continue it by `alphadiffract-plugin train -o {run} --resume`, or `release` its last checkpoint",
            where=run,
        )
    return run / "model", run.resolve().name


def members_of(source: str) -> list[Member]:
    """The networks of a model or an ensemble, or of a run with the weights of its last checkpoint."""
    from alphadiffract_plugin.models import checkpoint
    from alphadiffract_plugin.models.checkpoint import weights_sha256

    run = Path(source).expanduser()
    if (run / "run.toml").is_file():
        return [_member_of_run(run)]
    folder, _ = model_folder(source)
    parts = zip(checkpoint.members(folder), checkpoint.load_members(folder), strict=True)
    return [Member(part, model, weights_sha256(part), _data_of(model.config)) for part, model in parts]


def _member_of_run(run: Path) -> Member:
    """The model of a run, or its last checkpoint if that has seen more patterns."""
    from alphadiffract_plugin.models import checkpoint
    from alphadiffract_plugin.models.checkpoint import weights_sha256
    from alphadiffract_plugin.models.training.config import read
    from alphadiffract_plugin.models.training.run_folder import RunFolder

    folder, settings = RunFolder(run), read(run / "run.toml")
    state = folder.load()
    if (folder.model / "config.json").is_file():
        model = checkpoint.load(folder.model)
        if not state or model.config.get("provenance", {}).get("patterns_seen") == state["patterns"]:
            return Member(run, model, weights_sha256(folder.model), _data_of(model.config))
    if not state:
        raise ModelError(
            "this run has neither a model nor a checkpoint",
            fix="continue the training until it has a checkpoint",
            where=run,
        )
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
    """Source, licence and number of structures that a member was trained on; None if a file is missing."""
    if not member.data or not all(path.is_file() for path in member.data):
        return None if member.data else []
    from alphadiffract_plugin.models.structures.table import read_table

    table = read_table(member.data)
    names = [name if name in table.column_names else "" for name in ("source", "licence")]
    columns = [table[name].to_pylist() if name else ["not stated"] * len(table) for name in names]
    rows = zip(*columns, table["split"].to_pylist(), strict=True)
    found = Counter((str(source), str(licence or "not stated")) for source, licence, split in rows if split == "train")
    return [(source, licence, n) for (source, licence), n in found.most_common()]


def without_paths(provenance: dict[str, Any]) -> dict[str, Any]:
    """A provenance in which the settings name files without their folders."""

    def name(key: str, value: Any) -> Any:
        if key in PATHS and isinstance(value, (list, tuple)):
            return [Path(item).name for item in value]
        return Path(value).name if key in PATHS and isinstance(value, str) else value

    settings = {
        section: {key: name(key, value) for key, value in table.items()}
        for section, table in provenance.get("settings", {}).items()
    }
    return {**provenance, **({"settings": settings} if settings else {})}
