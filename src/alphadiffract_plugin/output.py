"""Writing results: what cannot be written is refused before work starts, and a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from alphadiffract_plugin.errors import OutputError

OVERWRITE = "choose another place, or give --overwrite to replace it"


@contextlib.contextmanager
def writing(where: Path, *, fault: str = "cannot be written", fix: str = "choose another place") -> Iterator[None]:
    """Report an OSError inside as an OutputError about the file or folder ``where``.

    Raises
    ------
    OutputError : the file system refused; the message gives its reason.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{fault}: {error.strerror or error}", fix=fix, where=where) from error


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a file in a scratch folder beside ``path``, then rename it: no reader finds half a file.

    Raises
    ------
    OutputError : the folder cannot be written, or the disk is full.
    """
    with writing(path), scratch_beside(path.parent, path.name[:40]) as folder:  # a name has at most 255 bytes
        whole = folder / path.name
        write(whole)
        whole.chmod(0o666 & ~_umask())
        os.replace(whole, path)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all; see :func:`write_whole`."""
    return write_whole(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))


@contextlib.contextmanager
def scratch_beside(folder: Path, label: str) -> Iterator[Path]:
    """A hidden scratch folder ``.LABEL-...`` in a folder; those of processes that were killed are removed first."""
    remove_leftovers(folder, label)
    scratch = _make_scratch(folder, label)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A scratch folder among the temporary files of the system; those of this user's killed runs are removed first."""
    system = Path(tempfile.gettempdir())
    for left in _abandoned(system, _OURS):
        with contextlib.suppress(OSError):
            if os.name != "posix" or left.stat().st_uid == os.getuid():
                shutil.rmtree(left, ignore_errors=True)
    scratch = _make_scratch(system, _OURS)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove_leftovers(folder: Path, label: str) -> None:
    """Remove the scratch folders that a killed process left in a folder.

    Where it was killed inside :func:`emptied`, the files that it had moved aside come back first: none is lost.
    """
    for left in _abandoned(folder, label):
        with contextlib.suppress(OSError):
            if (left / _ASIDE).is_dir():
                home = folder / label
                home.mkdir(exist_ok=True)
                for path in (left / _ASIDE).iterdir():
                    os.replace(path, home / path.name)
            shutil.rmtree(left, ignore_errors=True)


_OURS = "alphadiffract"
"""Label of scratch folders among the temporary files of the system."""

_ASIDE = "before"
"""Folder within a scratch folder that holds files of the user."""

_DAY = 86400.0
"""Seconds after which a scratch folder is abandoned, if it can't be asked whether its process still runs."""


def _make_scratch(folder: Path, label: str) -> Path:
    """A new scratch folder whose name tells the process that it belongs to."""
    return Path(tempfile.mkdtemp(dir=folder, prefix=f".{label}-{os.getpid()}.{_machine()}-"))


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", platform.node()) or "machine"


def _abandoned(folder: Path, label: str) -> list[Path]:
    """The scratch folders of processes that no longer run; none in a folder that is not there."""
    if not folder.is_dir():
        return []
    return [path for path in folder.glob(f".{glob.escape(label)}-*") if _is_abandoned(path, label)]


def _is_abandoned(path: Path, label: str) -> bool:
    """Whether a folder is a scratch folder of a process that no longer runs."""
    made = re.fullmatch(rf"\.{re.escape(label)}-(?:(\d+)\.([A-Za-z0-9]+)-)?[a-z0-9_]{{8}}", path.name)
    if not made or path.is_symlink() or not path.is_dir():
        return False
    if made[1] and made[2] == _machine() and os.name == "posix":
        try:
            os.kill(int(made[1]), 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False
    return time.time() - path.stat().st_mtime > _DAY


def check_unprotected(path: Path) -> None:
    """Refuse to replace a file that its owner protected against writing.

    Raises
    ------
    OutputError : names the file.
    """
    if path.exists() and not (os.access(path, os.W_OK) and path.stat().st_mode & 0o222):
        raise OutputError(
            "this file is write-protected", fix="save under another name, or allow writing to it", where=path
        )


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written into; nothing is made.

    Raises
    ------
    OutputError : it is a file, or lies below one, or the nearest existing folder may not be written to.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise OutputError("this is a file, and the output needs a folder here", fix="choose another place", where=there)
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            "you may not write into this folder", fix="choose another place, or change its permissions", where=there
        )


def check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written or is already there.

    Raises
    ------
    OutputError : its folder is missing or not writable; it is a folder; or it exists and ``overwrite`` is False.
    """
    if not path.parent.is_dir():
        raise OutputError("this folder does not exist", fix="make it first, or choose another place", where=path.parent)
    check_folder(path.parent)
    check_absent([path], overwrite=overwrite)
    if path.is_dir():
        raise OutputError("this is a folder", fix="give the name of a file", where=path)


def check_absent(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse to replace existing output.

    Raises
    ------
    OutputError : one of them exists, other than an empty folder, and ``overwrite`` is False.
    """
    if overwrite:
        return
    for path in paths:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise OutputError("this is already there", fix=OVERWRITE, where=path)


def make_folder(folder: Path) -> Path:
    """The folder, made with its parents if it is not there.

    Raises
    ------
    OutputError : it cannot be made.
    """
    with writing(folder, fault="cannot be made"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def emptied(folder: Path, *, made_before: Iterable[str | Path] = ()) -> Iterator[Path]:
    """The folder, empty while the block fills it anew; after an error what lay there before is back.

    Files that were there before come back after success too, so that no file of the user is lost; only those of
    ``made_before``, and those that the block made again, are gone.

    Raises
    ------
    OutputError : the folder cannot be made or renamed.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        aside = _make_scratch(folder.parent, folder.name)
        before = aside / _ASIDE
        os.replace(folder, before)
        folder.mkdir()
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(before, folder)
        raise
    else:
        outdated = {Path(file).name for file in made_before}
        with writing(folder):
            for path in before.iterdir():
                if path.name not in outdated and not (folder / path.name).exists():
                    os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def only_here(folder: Path) -> Iterator[None]:
    """Refuse to work in a folder that another process is filling; a killed process no longer counts.

    Where the system cannot lock folders, as on Windows, nothing is refused.

    Raises
    ------
    OutputError : another process of this program is writing into the folder.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                "another process is writing into this folder",
                fix="wait until it has finished, or choose another place",
                where=folder,
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
