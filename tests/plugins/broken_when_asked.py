"""A plugin that imports, and fails when asked what it offers."""

from alphadiffract_plugin.hooks import hookimpl


@hookimpl
def rietveld_indexers():
    raise RuntimeError("the licence server does not answer")


@hookimpl
def rietveld_commands(app):
    raise RuntimeError("no commands today")
