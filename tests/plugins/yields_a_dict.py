"""A plugin that yields no record."""

from alphadiffract_plugin.hooks import hookimpl


@hookimpl
def rietveld_indexers():
    yield {"name": "dict-indexer"}
