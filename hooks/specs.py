"""The whole contract: a pluggy project and an entry-point group, both named ``rietveld``, and three hooks.

Hooks yield records, from which the host chooses by name; the order in which plugins are found does not matter.
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
    """A method that finds ranked cells and space groups of a histogram."""

    name: str
    """Name to give after ``--indexer``, in lower case with hyphens between words."""
    summary: str
    """One line of description for ``alphadiffract-plugin plugins``."""
    index: Callable[[Histogram, Settings], IndexingResult]
    """Function that the host calls once for each histogram, in its own process; slow imports belong inside it. It
    returns a result without candidates if it finds no answer, and raises an error that says how to fix it if the
    histogram cannot be used."""


@dataclass(frozen=True)
class Seeder:
    """A method that turns ranked answers into the start of a refinement."""

    name: str
    """Name to give after ``--seed``."""
    summary: str
    """One line of description for ``alphadiffract-plugin plugins``."""
    seed: Callable[[Histogram, IndexingResult, Path, Settings], SeedReport]
    """Function that the host calls with an empty folder to write into; it must not leave incomplete files. The host
    clears the folder before, and restores it if the seeder fails."""
    check: Callable[[], None] | None = None
    """Function that the host calls before it indexes anything, if the user chose this seeder by name. Where the seeder
    cannot work, it raises an error that says how to fix it. None if it always can."""


@hookspec
def rietveld_indexers() -> Iterable[Indexer]:
    """Yield the indexers of this plugin; the host calls it once, when it first lists or chooses an indexer."""
    return ()


@hookspec
def rietveld_seeders() -> Iterable[Seeder]:
    """Yield the seeders of this plugin; the host calls it once, when it first lists or chooses a seeder."""
    return ()


@hookspec
def rietveld_commands(app: typer.Typer) -> None:
    """Add commands to the command line of the host; the host calls it once, before it parses its arguments."""
