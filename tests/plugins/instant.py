"""An indexer and a seeder that answer at once, so that stories about the command line take milliseconds."""

from dataclasses import replace

from alphadiffract_plugin.hooks import Indexer, Seeder, hookimpl
from alphadiffract_plugin.records import Candidate, IndexingResult, SeedReport

ANGLESITE = Candidate(
    cell=(8.4801, 5.3979, 6.9586, 90.0, 90.0, 90.0),
    cell_esd=(0.0003, 0.0002, 0.0012, 0.0, 0.0, 0.0),
    space_group=62,
    space_group_symbol="P n m a",
    crystal_system="orthorhombic",
    probability=0.93,
    same_extinctions=(33, 62),
    m20=88.5,
    rwp=9.12,
)


@hookimpl
def rietveld_indexers():
    yield Indexer("instant", "answers anglesite", index)
    yield Indexer("speechless", "answers nothing", lambda histogram, settings: _result(histogram, ()))


@hookimpl
def rietveld_seeders():
    yield Seeder("note", "one line of text", seed)


def index(histogram, settings):
    return replace(_result(histogram, (ANGLESITE,)), settings=settings.to_dict())


def _result(histogram, candidates):
    notes = ("this is a test",)
    return IndexingResult(histogram.name, "instant", histogram.wavelength, candidates, notes=notes)


def seed(histogram, result, folder, settings):
    path = folder / "cell.txt"
    path.write_text(f"{result.candidates[0].cell}\n")
    return SeedReport("note", str(folder), (str(path),), ("P n m a",))
