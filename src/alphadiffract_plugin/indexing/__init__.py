"""Unit cells from line positions.

``search_cells`` runs the search of the Bravais lattices, ``effort`` says how much of it, ``screen_cells``,
``assignments`` and ``zones`` propose cells from few lines, ``refine_cells`` fits them to all lines and scores them,
``doubling`` makes lattices of twice the volume, ``merit`` holds the figures of merit M20 and F20. The ``*_kernels``
are the compiled inner loops, their equations written above them.
"""

from alphadiffract_plugin.indexing.merit import Merit, merit_of_lines
from alphadiffract_plugin.indexing.refine_cells import TrialCell, pull_onto_lines
from alphadiffract_plugin.indexing.search_cells import Found, distinct_lattices, search_cells

__all__ = ["Found", "Merit", "TrialCell", "distinct_lattices", "merit_of_lines", "pull_onto_lines", "search_cells"]
