"""The whole contract: a pluggy project and an entry-point group, both named ``rietveld``, and three hooks.

Hooks yield typed records; the host lists them and selects by name, so no plugin races another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from alphadiffract_plugin.records import Histogram, IndexingResult, SeedReport
    from alphadiffract_plugin.settings import Settings

PROJECT = "rietveld"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Indexer:
    """A way from a histogram to ranked cells and space groups."""

    name: str
    """What a user types after ``--indexer``: lower case, words joined by hyphens."""
    summary: str
    """One line for ``alphadiffract-plugin plugins``."""
    index: Callable[[Histogram, Settings], IndexingResult]
    """Called once a histogram, in the process that asked; heavy imports belong inside it. Returns a result with no
    candidates if it has no answer; raises an error that says how to fix it if the histogram is not for it."""


@dataclass(frozen=True)
class Seeder:
    """A way from ranked answers to the start of a refinement."""

    name: str
    """What a user types after ``--seed``."""
    summary: str
    """One line for ``alphadiffract-plugin plugins``."""
    seed: Callable[[Histogram, IndexingResult, Path, Settings], SeedReport]
    """Called with the folder to write into (it exists); must leave nothing half-written behind."""


@hookspec
def rietveld_indexers() -> Iterable[Indexer]:
    """Yield the indexers that this plugin offers; called once, when a host first lists or selects one."""


@hookspec
def rietveld_seeders() -> Iterable[Seeder]:
    """Yield the seeders that this plugin offers; called once, when a host first lists or selects one."""


@hookspec
def rietveld_commands(app: typer.Typer) -> None:
    """Add commands to the host's command line; called once, before it parses its arguments."""
