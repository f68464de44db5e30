"""Put our importer into GSAS-II's folder of user importers, and take it away."""

from __future__ import annotations

from pathlib import Path

from alphadiffract_plugin import hooks
from alphadiffract_plugin.errors import OutputError
from alphadiffract_plugin.output import check_folder, make_folder, write_text, writing

NAME = "G2phase_alphadiffract.py"
"""The file; GSAS-II reads every ``G2phase*.py`` there."""

OURS = "alphadiffract-plugin gsasii install-hook"
"""What stands in every version of our importer."""


def user_folder() -> Path:
    """Where GSAS-II (from September 2025 on) looks for importers of a user: ``~/.GSASII/imports``, on any system."""
    return Path("~/.GSASII/imports").expanduser()


def install(folder: Path) -> tuple[Path, str]:
    """Copy the importer into a folder, which is made if it is not there; nothing that is not ours is replaced.

    Returns
    -------
    The file, and ``installed``, ``updated`` or ``already there``.

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
    """Take our importer out of a folder; True if it was there.

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
    """Whether a GSAS-II, by the folder of its modules, reads the importers of :func:`user_folder`."""
    try:
        return ".GSASII/imports" in (gsasii_folder / "GSASIIfiles.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _ours(path: Path) -> str | None:
    """The text of our importer at this place; None if nothing is there."""
    if not path.exists():
        return None
    with writing(path, fault="cannot be read", fix="move it away"):
        text = path.read_text(encoding="utf-8", errors="replace")
    if OURS not in text:
        raise OutputError("is there already, and not ours", fix="move it away, or give another --folder", where=path)
    return text
