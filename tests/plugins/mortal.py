"""An indexer that dies, sleeps or fails oddly by the name of the pattern; processes know it by its module."""

import os
import time

import instant

from alphadiffract_plugin.hooks import Indexer, hookimpl


class OddError(Exception):
    """An error that no other process can make again: it wants two arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@hookimpl
def rietveld_indexers():
    yield Indexer("mortal", "dies on the pattern 'dies'", index)


def index(histogram, settings):
    if histogram.name.startswith("dies"):
        os._exit(9)
    if histogram.name.startswith("sleeps"):
        time.sleep(3600)
    if histogram.name.startswith("odd"):
        raise OddError("this", "that")
    return instant.index(histogram, settings)
