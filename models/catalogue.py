"""Which models there are, by name: those in the package and the user's own.

The user's models lie in the data folder of the platform (on Linux ``~/.local/share/alphadiffract-plugin/models``), or
where the environment variable ``ALPHADIFFRACT_MODELS`` says. Every command that takes the name of a model also takes
the path of a model folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import ModelError
from alphadiffract_plugin.output import writing

DEFAULT = "compact-duo-2026-11"
"""Name of the model that ``default`` stands for."""
RELEASED = Path(__file__).parent / "released"
"""Folder of the models that come with the package."""
_FILES = ("config.json", "model.safetensors", "card.md", "README.md", "LICENSE", "maxsub.json")


@dataclass(frozen=True)
class ModelInfo:
    """One model that can be asked for by name."""

    name: str
    """Name to give on the command line."""
    folder: Path
    """Its folder."""
    packaged: bool
    """Whether it comes with the package."""
    default: bool
    """Whether ``default`` stands for it."""
    architecture: str
    """``compact`` or ``open``."""
    size: int
    """Size of the weights of all its members, in bytes."""
    members: int = 1
    """Number of networks whose answers are averaged."""


@dataclass(frozen=True)
class ModelDetails:
    """What ``models show`` prints."""

    info: ModelInfo
    """Its line in the list."""
    config: dict[str, Any]
    """Its ``config.json``; for an ensemble, ``{"members": {name: config.json}}``."""
    card: str
    """Its model card (Markdown); empty if it has none."""


def user_folder() -> Path:
    """The folder of the user's models; it need not exist."""
    chosen = os.environ.get("ALPHADIFFRACT_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("alphadiffract-plugin", appauthor=False) / "models"


def list_models() -> list[ModelInfo]:
    """Every model known by name, those of the package first; folders without a readable config are left out."""
    found = []
    for root, packaged in ((RELEASED, True), (user_folder(), False)):
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            try:
                found.append(_info(folder, packaged=packaged))
            except ModelError:
                continue
    return found


def show(model: str) -> ModelDetails:
    """The config and the card of a model given by name or path.

    Raises
    ------
    ModelError : there is no such model, or its config cannot be read.
    """
    from .checkpoint import members
    from .model_config import read_config

    folder = resolve(model)
    info = _info(folder, packaged=folder.parent == RELEASED)
    cards = [folder / name for name in ("card.md", "README.md") if (folder / name).is_file()]
    card = cards[0].read_text(encoding="utf-8") if cards else ""
    if members(folder) == (folder,):
        return ModelDetails(info, read_config(folder), card)
    return ModelDetails(info, {"members": {part.name: read_config(part) for part in members(folder)}}, card)


def resolve(model: str) -> Path:
    """Folder of a model given as ``default``, by name, or as the path of a model folder or an ensemble.

    Raises
    ------
    ModelError : there is no such model; the message names those there are.
    """
    from .checkpoint import members

    name = DEFAULT if model == "default" else model
    for root in (RELEASED, user_folder()):
        if "/" not in name and "\\" not in name and name not in ("", ".", "..") and (root / name).is_dir():
            return root / name
    folder = Path(name).expanduser()
    if (members(folder)[0] / "config.json").is_file():
        return folder.resolve()
    known = ", ".join(sorted(info.name for info in list_models())) or "none"
    raise ModelError(
        f"there is no model called {model!r}",
        fix=f"give one of {known}; or give the path of a model folder, or add one by `alphadiffract-plugin models add`",
    )


def add(source: str) -> ModelInfo:
    """Copy a model folder, or one from the Hugging Face hub, to the user's models; a failed copy leaves nothing behind.

    Parameters
    ----------
    source : path of a model folder, or ``owner/name`` on the hub (needs ``huggingface_hub``).

    Raises
    ------
    ModelError : the model does not load, its name is taken, or the hub cannot be reached.
    OutputError : the user's folder cannot be written.
    """
    from .checkpoint import load_members

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(source).expanduser()
        if not folder.exists() and source.count("/") == 1 and not source.startswith((".", "/", "~")):
            folder = _fetch(source, Path(scratch) / source.split("/")[1])
        folder = folder.resolve()
        load_members(folder)
        target = user_folder() / folder.name
        if target.exists() or (RELEASED / folder.name).exists():
            raise ModelError(
                f"there is already a model called {folder.name!r}",
                fix="rename the folder that you add, or remove the existing one",
                where=target,
            )
        _copy(folder, target)
    return _info(target, packaged=False)


def _copy(folder: Path, target: Path) -> None:
    """Copy the files of a model and its members beside the target, then rename the copy in one step."""
    from .checkpoint import members

    fix = "make the folder writable, or set ALPHADIFFRACT_MODELS to another folder"
    with writing(target.parent, fault="the model cannot be written here", fix=fix):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".adding-") as scratch:
            whole = Path(scratch) / target.name
            whole.mkdir()
            for part in dict.fromkeys((folder, *members(folder))):
                into = whole / part.relative_to(folder)
                into.mkdir(exist_ok=True)
                for name in _FILES:
                    if (part / name).is_file():
                        shutil.copyfile(part / name, into / name)
            whole.rename(target)


def _fetch(hub_id: str, folder: Path) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"{hub_id!r} is not a local folder, and huggingface_hub, which is needed to download it, is not installed",
            fix="run `pip install huggingface_hub`, or download the files yourself and give their folder",
        ) from error
    try:
        snapshot_download(hub_id, local_dir=folder, allow_patterns=[*_FILES, *(f"member-*/{name}" for name in _FILES)])
    except Exception as error:  # the hub client raises many kinds: no such repository, no network, no permission
        raise ModelError(
            f"{hub_id!r} could not be downloaded from the hub ({type(error).__name__}: {error})".splitlines()[0],
            fix="check the name and the network connection, or download the files yourself and give their folder",
        ) from error
    return folder


def _info(folder: Path, *, packaged: bool) -> ModelInfo:
    from .checkpoint import members
    from .model_config import read_config

    parts = members(folder)
    config = read_config(parts[0])
    weights = [part / "model.safetensors" for part in parts]
    return ModelInfo(
        name=folder.name,
        folder=folder,
        packaged=packaged,
        default=packaged and folder.name == DEFAULT,
        architecture=str(config.get("architecture", "open")),
        size=sum(file.stat().st_size for file in weights if file.is_file()),
        members=len(parts),
    )
