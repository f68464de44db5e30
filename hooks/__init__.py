"""The contract between a Rietveld workflow and its indexers: markers, specs, manager. Imports pluggy alone."""

from alphadiffract_plugin.hooks.manager import PluginError, RietveldPlugins
from alphadiffract_plugin.hooks.specs import Indexer, Seeder, hookimpl

__all__ = ["Indexer", "PluginError", "RietveldPlugins", "Seeder", "hookimpl"]
