"""Find GSAS-II and import it without its prints. No other module of this package imports GSAS-II."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import AlphaDiffractError, GSASIIError

INSTALL = "https://advancedphotonsource.github.io/GSAS-II-tutorials/install.html"
"""GSAS-II's own page on its installation."""

FOLDER_VARIABLE = "GSASII_PATH"
"""Environment variable that names the folder of a GSAS-II that Python does not find by itself."""

log = logging.getLogger("alphadiffract_plugin.gsasii")
"""Gets everything that GSAS-II prints, at level DEBUG."""


@dataclass(frozen=True)
class Installation:
    """A GSAS-II that was found, not yet imported."""

    folder: Path
    """Where GSASIIscriptable.py lies."""
    package: str
    """``GSASII.`` if it is imported as a package, else empty (before 2025)."""
    how: str
    """How it was found: ``as package GSASII``, ``on sys.path``, or ``named by GSASII_PATH``."""
    version: str
    """Its version, ``5.7.9``, or ``unknown version``."""

    def __str__(self) -> str:
        return f"{self.version}, {self.how}, in {self.folder}"


def find() -> Installation | None:
    """The GSAS-II that ``GSASII_PATH`` names or Python finds; None if there is none. Imports nothing of it."""
    named = os.environ.get(FOLDER_VARIABLE)
    for base in _bases(Path(named).expanduser()) if named else ():
        if (base / "GSASII" / "GSASIIscriptable.py").is_file():
            return _installation(base / "GSASII", "GSASII.", f"named by {FOLDER_VARIABLE}")
        if (base / "GSASIIscriptable.py").is_file():
            return _installation(base, "", f"named by {FOLDER_VARIABLE}")
    for module, package, how in (("GSASII", "GSASII.", "as package GSASII"), ("GSASIIscriptable", "", "on sys.path")):
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(module)
            if spec and spec.origin and (Path(spec.origin).parent / "GSASIIscriptable.py").is_file():
                return _installation(Path(spec.origin).parent, package, how)
    return None


def _bases(named: Path) -> Iterator[Path]:
    """Where GSAS-II may be if a user named this folder: it may be the package, its parent, or an installer's folder."""
    if (named / "__init__.py").is_file():
        yield named.parent
    yield from (named, named / "GSAS-II")


def _installation(folder: Path, package: str, how: str) -> Installation:
    tag = None
    with contextlib.suppress(OSError):
        tag = re.search(r"git_versiontag = 'v?([\d.]+)'", (folder / "git_verinfo.py").read_text(encoding="utf-8"))
    return Installation(folder, package, how, tag[1] if tag else "unknown version")


@functools.cache
def scriptable() -> Any:
    """The module GSASIIscriptable, imported once.

    Raises
    ------
    GSASIIError : it is not there, or fails to import.
    """
    return module("GSASIIscriptable")


def refine_function() -> Any:
    """``GSASIIstrMain.Refine``, which returns its failure; ``G2Project.refine`` hides it."""
    return module("GSASIIstrMain").Refine


def module(name: str) -> Any:
    """A module of GSAS-II by its bare name, such as ``GSASIIspc``.

    Raises
    ------
    GSASIIError : GSAS-II is not there, or fails to import.
    """
    found = find()
    if found is None:
        raise missing()
    path = str(found.folder.parent if found.package else found.folder)
    if found.how.startswith("named") and path not in sys.path:
        sys.path.insert(0, path)
    try:
        with quiet():
            return importlib.import_module(found.package + name)
    except Exception as error:  # binaries that do not fit raise exceptions of any kind
        raise GSASIIError(
            f"GSAS-II ({found}) fails to import: {type(error).__name__}: {error}", fix=f"install it again: {INSTALL}"
        ) from error


def missing() -> GSASIIError:
    """The error to raise where there is no GSAS-II."""
    return GSASIIError(
        "GSAS-II is not importable", fix=f"install it: {INSTALL} (or name its folder in {FOLDER_VARIABLE})"
    )


class _Log:
    """A text stream that writes its lines to the log."""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.rstrip, text.splitlines())):
            log.debug(line)
        return len(text)

    def flush(self) -> None:
        """Do nothing, since nothing is buffered."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Write what GSAS-II prints to the log ``alphadiffract_plugin.gsasii`` (level DEBUG), and ignore its warnings."""
    with contextlib.redirect_stdout(_Log()), contextlib.redirect_stderr(_Log()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def translated_errors(what: str, fix: str) -> Iterator[None]:
    """Report an exception inside as a GSASIIError: GSAS-II raises bare exceptions of many kinds.

    Parameters
    ----------
    what : what GSAS-II could not do; the exception is added.
    fix : what to do about it.

    Raises
    ------
    GSASIIError : in place of any exception that is neither ours nor an OSError.
    """
    try:
        yield
    except (AlphaDiffractError, OSError):
        raise
    except Exception as error:
        raise GSASIIError(f"{what}: {type(error).__name__}: {error}", fix=fix) from error
