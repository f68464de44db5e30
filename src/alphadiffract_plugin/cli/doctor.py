"""The command ``doctor``: which of torch, CUDA, readers, GSAS-II, models and plugins work, and how to get the rest."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin import __version__
from alphadiffract_plugin.errors import AlphaDiffractError
from alphadiffract_plugin.hooks import PluginError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alphadiffract_plugin.hooks import RietveldPlugins

SMOKE_SECONDS = 120
"""Seconds that GSAS-II gets to make, save and open a project; it needs about two."""


def doctor(
    gsasii: Annotated[
        bool, typer.Option("--gsasii", help="Also make, save and open a small project with GSAS-II (seconds).")
    ] = False,
) -> None:
    """Check Python, torch, CUDA, GSAS-II, models and plugins, and say how to install what is missing."""
    from alphadiffract_plugin import registry
    from alphadiffract_plugin.report.tables import print_report

    print_report(doctor_report(examine(registry.plugins(), gsasii=gsasii)))


@dataclass(frozen=True)
class Finding:
    """What was found of one component."""

    what: str
    """Name of the component."""
    state: str
    """``ok``, ``optional`` (missing, but most commands work without it) or ``missing``."""
    found: str
    """The version or the place, or the error."""
    fix: str = ""
    """What to do about it; empty if nothing is missing."""


def examine(plugins: RietveldPlugins, *, gsasii: bool = False) -> Iterator[Finding]:
    """Look for everything in turn; a failure becomes a finding, not an error.

    Parameters
    ----------
    plugins : the plugins of this process.
    gsasii : also make, save and open a project with GSAS-II, which takes some seconds.
    """
    from alphadiffract_plugin.gsasii import INSTALL

    yield Finding("alphadiffract-plugin", "ok", f"{__version__} on Python {platform.python_version()}")
    yield from _guarded("torch", _torch, "pip install --force-reinstall torch")
    yield from _guarded("readers", _readers, "pip install --force-reinstall geddes")
    yield from _guarded("GSAS-II", _gsasii, f"install it: {INSTALL}")
    if gsasii:
        yield from _guarded("GSAS-II in use", _gsasii_at_work, f"install it again: {INSTALL}")
    yield from _guarded("models", _models, "pip install --force-reinstall alphadiffract-plugin")
    yield from _guarded("plugins", lambda: _plugins(plugins), "uninstall the plugin that is named")


def _guarded(what: str, look: Callable[[], Iterator[Finding]], fix: str) -> Iterator[Finding]:
    try:
        yield from look()
    except (AlphaDiffractError, PluginError) as error:
        reason, _, remedy = str(error).partition("\n  How to fix it: ")
        yield Finding(what, "missing", reason, remedy or fix)
    except Exception as error:  # a library may fail in any way at import
        yield Finding(what, "missing", f"{type(error).__name__}: {error}", fix)


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding("torch", "ok", torch.__version__)
    if torch.cuda.is_available():
        yield Finding("CUDA", "ok", f"{torch.version.cuda}: {torch.cuda.get_device_name(0)}")
    elif torch.version.cuda is None:
        fix = "with an NVIDIA GPU: install a CUDA build of torch (pytorch.org); without one: nothing to do"
        yield Finding("CUDA", "optional", "this torch was built without CUDA; the CPU is used", fix)
    else:
        fix = "with an NVIDIA GPU: check its driver with nvidia-smi; without one: nothing to do"
        yield Finding("CUDA", "optional", "no GPU was found; the CPU is used", fix)


def _readers() -> Iterator[Finding]:
    import geddes  # noqa: F401

    yield Finding("geddes (reads pattern files)", "ok", version("geddes"))
    try:
        yield Finding("rietx (reads more of them)", "ok", version("rietx"))
    except PackageNotFoundError:
        yield Finding("rietx (reads more of them)", "optional", "not installed", "pip install rietx")


def _gsasii() -> Iterator[Finding]:
    from alphadiffract_plugin.gsasii import INSTALL, installation

    found = installation.find()
    if found is None:
        fix = f"to make .gpx projects, install it: {INSTALL}"
        yield Finding("GSAS-II", "optional", "not found; bundles are made without it", fix)
    else:
        yield Finding("GSAS-II", "ok", str(found))


def _gsasii_at_work() -> Iterator[Finding]:
    from alphadiffract_plugin.gsasii import INSTALL, installation

    if installation.find() is None:
        yield Finding("GSAS-II in use", "missing", "GSAS-II was not found", f"install it: {INSTALL}")
        return
    command, begin = [sys.executable, "-m", "alphadiffract_plugin.gsasii.smoke"], time.monotonic()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SMOKE_SECONDS,
        )
        code, steps, faults = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        output = late.stdout or ""  # text on Windows, bytes elsewhere
        code, steps, faults = None, output.decode(errors="replace") if isinstance(output, bytes) else output, ""
    seconds = time.monotonic() - begin
    if code == 0:
        done_in = f"a project was made, saved, opened again and calculated in {seconds:.1f} s"
        yield Finding("GSAS-II in use", "ok", done_in)
        return
    step = (steps.splitlines() or ["starting"])[-1]
    reason = (faults.strip().splitlines() or [f"exit code {code}"])[-1]
    reason = f"it was stopped after {SMOKE_SECONDS} s" if code is None else reason
    fix = f"'python -m {command[-1]}' shows the whole output; if it does not help, install GSAS-II again: {INSTALL}"
    yield Finding("GSAS-II in use", "missing", f"{step} failed: {reason}", fix)


def _models() -> Iterator[Finding]:
    from alphadiffract_plugin.models.catalogue import list_models, resolve

    for info in list_models():
        what = f"model {info.name}" + (" (default)" if info.default else "")
        yield Finding(what, "ok", f"{info.architecture}, {info.size / 1e6:.1f} MB, {info.folder}")
    resolve("default")


def _plugins(plugins: RietveldPlugins) -> Iterator[Finding]:
    yield Finding("indexers", "ok", ", ".join(plugins.indexers))
    yield Finding("seeders", "ok", ", ".join(plugins.seeders))
    for name, reason in sorted(plugins.broken.items()):
        fix = "install the package that it lacks, or uninstall it; the other plugins work"
        yield Finding(f"plugin {name}", "missing", reason, fix)


def doctor_report(findings: Iterable[Finding]) -> Iterator[RenderableType]:
    """One line for each finding, and how to fix it where something is missing."""
    from rich.text import Text

    styles = {"ok": "green", "optional": "yellow", "missing": "bold red"}
    known = list(findings)
    width = max(len(finding.what) for finding in known) + 2
    for finding in known:
        yield Text.assemble((f"{finding.state:9}", styles[finding.state]), f"{finding.what:{width}}{finding.found}")
        if finding.fix:
            yield f"{'':{9 + width}}How to fix it: {finding.fix}"
