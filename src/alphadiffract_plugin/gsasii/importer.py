"""Copy our importer into GSAS-II's folder of user importers, and remove it from there."""

from __future__ import annotations

from pathlib import Path

from alphadiffract_plugin import hooks
from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.output import check_folder, make_folder, write_text, writing

NAME = "G2phase_alphadiffract.py"
"""Name of the file; GSAS-II loads every ``G2phase*.py`` there."""

OURS = "alphadiffract-plugin gsasii install-hook"
"""Text that every version of our importer contains."""


def user_folder() -> Path:
    """Where GSAS-II (from September 2025 on) looks for a user's importers: ``~/.GSASII/imports``, on any system."""
    return Path("~/.GSASII/imports").expanduser()


def install(folder: Path) -> tuple[Path, str]:
    """Copy the importer into a folder, which is made if it does not exist. A file that is not ours is not replaced.

    Returns
    -------
    The file, and one of ``installed``, ``updated``, ``already there``.

    Raises
    ------
    OutputError : a file of that name is not ours, or the folder cannot be written.
    """
    text = (Path(hooks.__file__).parent / "gsasii" / NAME).read_text(encoding="utf-8")
    path = folder / NAME
    old = _ours(path)
    if old == text:
        return path, "already there"
    check_folder(folder)
    write_text(make_folder(folder) / NAME, text)
    return path, "installed" if old is None else "updated"


def remove(folder: Path) -> tuple[Path, bool]:
    """Remove our importer from a folder; returns its path, and whether it was there.

    Raises
    ------
    OutputError : the file of that name is not ours, or cannot be removed.
    """
    path = folder / NAME
    if _ours(path) is None:
        return path, False
    with writing(path, fault="cannot be removed", fix="remove it by hand"):
        path.unlink()
    return path, True


def looks_there(gsasii_folder: Path) -> bool:
    """Whether the GSAS-II in this folder loads the importers of :func:`user_folder`."""
    try:
        return ".GSASII/imports" in (gsasii_folder / "GSASIIfiles.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _ours(path: Path) -> str | None:
    """The text of our importer at this path; None if there is no file.

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
