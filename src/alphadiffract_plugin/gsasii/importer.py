"""Copy our importer and our exporter into GSAS-II's folders for those of users, and remove them from there."""

from __future__ import annotations

import sys
from pathlib import Path

from alphadiffract_plugin import hooks
from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.output import check_folder, make_folder, write_text, writing

NAME = "G2phase_alphadiffract.py"
"""Name of the importer; GSAS-II loads every ``G2phase*.py`` in its folder of importers."""

EXPORTER = "G2export_alphadiffract.py"
"""Name of the exporter, which indexes; GSAS-II loads every ``G2export*.py`` in its folder of exporters."""

PROJECT = "alphadiffract_project.py"
"""Name of the file that the exporter loads from its own folder."""

OURS = "alphadiffract-plugin gsasii install-hook"
"""Text that every version of our files contains."""


def user_folder() -> Path:
    """Where GSAS-II (from September 2025 on) looks for a user's files, on any system: ``~/.GSASII``."""
    return Path("~/.GSASII").expanduser()


def places(folder: Path | None = None) -> tuple[Path, ...]:
    """Paths of our three files: in GSAS-II's own folders, or all in another folder."""
    imports, exports = (folder, folder) if folder else (user_folder() / "imports", user_folder() / "exports")
    return imports / NAME, exports / PROJECT, exports / EXPORTER


def install(folder: Path | None = None) -> list[tuple[Path, str]]:
    """Copy the files to their :func:`places`, in folders that are made if they do not exist.

    The exporter is given the Python that runs now: the indexer will run with it. No file that is not ours is replaced.

    Returns
    -------
    Each file, with one of ``installed``, ``updated``, ``already there``.

    Raises
    ------
    OutputError : a file of that name is not ours, or a folder cannot be written; nothing is copied then.
    """
    paths = places(folder)
    olds = [_ours(path) for path in paths]
    for path in paths:
        check_folder(path.parent)
    done = []
    for path, old in zip(paths, olds, strict=True):
        text = (Path(hooks.__file__).parent / "gsasii" / path.name).read_text(encoding="utf-8")
        text = text.replace('\nPYTHON = ""\n', f"\nPYTHON = {sys.executable!r}\n")
        if old != text:
            write_text(make_folder(path.parent) / path.name, text)
        done.append((path, "already there" if old == text else "installed" if old is None else "updated"))
    return done


def remove(folder: Path | None = None) -> list[tuple[Path, bool]]:
    """Remove the files from their :func:`places`; returns each path, and whether the file was there.

    Raises
    ------
    OutputError : a file of that name is not ours, and all stay; or one cannot be removed.
    """
    there = [(path, _ours(path) is not None) for path in places(folder)]
    for path, was_there in there:
        if was_there:
            with writing(path, fault="cannot be removed", fix="remove it by hand"):
                path.unlink()
    return there


def looks_there(gsasii_folder: Path) -> bool:
    """Whether the GSAS-II in this folder loads what lies in :func:`user_folder`."""
    try:
        text = (gsasii_folder / "GSASIIfiles.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return ".GSASII/imports" in text and ".GSASII/exports" in text


def _ours(path: Path) -> str | None:
    """The text of our file at this path; None if there is none.

    Raises
    ------
    OutputError : the file is not ours, or cannot be read.
    """
    if not path.exists():
        return None
    with writing(path, fault="cannot be read", fix="move it away"):
        text = path.read_text(encoding="utf-8", errors="replace")
    if OURS not in text:
        raise OutputError(
            "is there already and was not written by this program",
            fix="move it away, or give another --folder",
            where=path,
        )
    return text
