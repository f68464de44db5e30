"""The contract between a Rietveld program and its indexers and seeders; it needs no package but pluggy."""

from alphadiffract_plugin.hooks.manager import PluginError, RietveldPlugins
from alphadiffract_plugin.hooks.specs import Indexer, Seeder, hookimpl

__all__ = ["Indexer", "PluginError", "RietveldPlugins", "Seeder", "hookimpl"]
