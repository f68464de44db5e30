"""A plugin that offers an indexer under a name that another one has."""

from alphadiffract_plugin.hooks import Indexer, hookimpl


@hookimpl
def rietveld_indexers():
    yield Indexer("instant", "an impostor", lambda histogram, settings: None)
