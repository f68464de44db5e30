"""From a measured powder pattern to a ranked unit cell and space group, and a seeded GSAS-II refinement.

:mod:`alphadiffract_plugin.pipeline` is the whole flow in one page, :mod:`alphadiffract_plugin.records` the records that
the steps exchange, :mod:`alphadiffract_plugin.hooks` the contract for other packages. Importing this package imports
neither torch nor GSAS-II.
"""

__version__ = "0.1.0"
