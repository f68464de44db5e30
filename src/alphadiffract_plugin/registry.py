"""The plugins of this process: the built-in one, and every installed package with a ``rietveld`` entry point."""

from __future__ import annotations

import functools

from alphadiffract_plugin.hooks import RietveldPlugins


@functools.cache
def plugins() -> RietveldPlugins:
    """The one plugin manager of this process; entry points are looked up when first asked.

    >>> sorted(plugins().indexers)[:2]
    ['alphadiffract', 'alphadiffract-net']
    """
    from alphadiffract_plugin import plugin

    return RietveldPlugins(builtin=[("alphadiffract", plugin)])
