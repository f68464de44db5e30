"""Unit cells from line positions.

``search_cells`` runs the search of all Bravais lattices, ``screen_cells`` and ``zones`` propose cells from few lines,
``refine_cells`` fits them to all lines and scores them, ``merit`` holds the figures of merit M20 and F20.
"""

from alphadiffract_plugin.indexing.merit import Merit, merit_of_lines
from alphadiffract_plugin.indexing.refine_cells import Trial, pull_onto_lines
from alphadiffract_plugin.indexing.search_cells import distinct_lattices, search_cells

__all__ = ["Merit", "Trial", "distinct_lattices", "merit_of_lines", "pull_onto_lines", "search_cells"]
