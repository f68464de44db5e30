"""An indexer that fails with an error of its own, and seeders that fail in several ways."""

from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.hooks import Indexer, Seeder, hookimpl
from alphadiffract_plugin.records import IndexingResult


@hookimpl
def rietveld_indexers():
    yield Indexer("crashing", "divides by zero", index)
    yield Indexer("wordy", "returns text", lambda histogram, settings: "P n m a")
    yield Indexer("boundless", "returns an infinite wavelength", boundless)


@hookimpl
def rietveld_seeders():
    yield Seeder("crashing", "fails", seed)
    yield Seeder("careless", "divides by zero", lambda histogram, result, folder, settings: 1 / 0)
    yield Seeder("silent", "reports nothing", lambda histogram, result, folder, settings: None)


def index(histogram, settings):
    return 1 / 0


def boundless(histogram, settings):
    return IndexingResult(histogram.name, "boundless", float("inf"), ())


def seed(histogram, result, folder, settings):
    raise GSASIIError("the fit did not start", fix="look at the cell")
