"""The built-in plugin: the indexers, seeders and commands of this package. Heavy imports happen when one is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alphadiffract_plugin.hooks import Indexer, Seeder, hookimpl

if TYPE_CHECKING:
    import typer

    from alphadiffract_plugin.records import Histogram, IndexingResult, SeedReport
    from alphadiffract_plugin.settings import Settings


@hookimpl
def rietveld_indexers() -> Iterator[Indexer]:
    """The indexers: the whole flow, the network alone, and GSAS-II's indexing."""
    yield Indexer("alphadiffract", "network, search on the lines, whole-pattern fit (the default)", _whole_flow)
    yield Indexer("alphadiffract-net", "the network alone: space groups, and cells that are rough", _network_alone)
    yield Indexer("gsasii", "GSAS-II's indexing of the same lines, for comparison", _gsasii_indexing)


@hookimpl
def rietveld_seeders() -> Iterator[Seeder]:
    """The seeders: a bundle of plain files, and a GSAS-II project."""
    yield Seeder("bundle", "pattern, instrument, CIFs and a GSAS-II script; needs no GSAS-II", _bundle)
    yield Seeder("gsasii", "a .gpx project with a converged Le Bail fit; needs GSAS-II", _gsasii_project, _check_gsasii)


@hookimpl
def rietveld_commands(app: typer.Typer) -> None:
    """The commands for training networks, and those for work in GSAS-II."""
    from alphadiffract_plugin.cli.structures import structures

    app.add_typer(structures, name="structures")

    from alphadiffract_plugin.cli.train import train

    app.command("train")(train)

    from alphadiffract_plugin.cli.simulate import simulate

    app.command("simulate")(simulate)

    from alphadiffract_plugin.cli.evaluate import evaluate, release

    app.command("evaluate")(evaluate)
    app.command("release")(release)

    from alphadiffract_plugin.cli.gsasii import gsasii

    app.add_typer(gsasii, name="gsasii")


def _check_gsasii() -> None:
    from alphadiffract_plugin.gsasii import installation

    if installation.find() is None:
        raise installation.missing()


def _whole_flow(histogram: Histogram, settings: Settings) -> IndexingResult:
    from alphadiffract_plugin import threads
    from alphadiffract_plugin.pipeline import index_histogram

    with threads.limited():
        return index_histogram(histogram, settings)


def _network_alone(histogram: Histogram, settings: Settings) -> IndexingResult:
    from alphadiffract_plugin import threads
    from alphadiffract_plugin.prediction.alone import index_by_network

    with threads.limited():
        return index_by_network(histogram, settings)


def _gsasii_indexing(histogram: Histogram, settings: Settings) -> IndexingResult:
    from alphadiffract_plugin.gsasii.indexer import index

    return index(histogram, settings)


def _bundle(histogram: Histogram, result: IndexingResult, folder: Path, settings: Settings) -> SeedReport:
    from alphadiffract_plugin.seeding.bundle import seed

    return seed(histogram, result, folder, settings)


def _gsasii_project(histogram: Histogram, result: IndexingResult, folder: Path, settings: Settings) -> SeedReport:
    from alphadiffract_plugin.gsasii.seeder import seed

    return seed(histogram, result, folder, settings)
