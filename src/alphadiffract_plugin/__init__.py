"""From a measured powder pattern to a ranked unit cell and space group, and a seeded GSAS-II refinement.

The flow is told in :mod:`alphadiffract_plugin.pipeline`; the records that cross its seams are in
:mod:`alphadiffract_plugin.records`; the contract for other packages is :mod:`alphadiffract_plugin.hooks`.
Importing this package imports neither torch nor GSAS-II.
"""

__version__ = "0.1.0"
