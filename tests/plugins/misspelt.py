"""A plugin with a misspelt hook: it would be ignored without a word."""

from alphadiffract_plugin.hooks import hookimpl


@hookimpl
def rietveld_indexer():
    yield from ()
