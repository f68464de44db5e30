"""Unit cells from line positions.

``search_cells`` searches the Bravais lattices, ``effort`` says how thoroughly, and ``search_further`` goes on where no
cell is clearly right. ``assignments`` and ``zones`` propose cells from a few lines, ``screen_cells`` chooses among
them, ``refine_cells`` refines the chosen ones on all lines and scores them, ``superlattices`` makes lattices of two and
three times the volume, and ``large_shifts`` estimates a shift of all lines. ``merit`` has the figures of merit M20 and
F20. The modules ``*_kernels`` hold the compiled inner loops, with their equations in the docstrings.
"""

from alphadiffract_plugin.indexing.merit import Merit, merit_of_lines
from alphadiffract_plugin.indexing.refine_cells import TrialCell, pull_onto_lines
from alphadiffract_plugin.indexing.search_cells import Found, distinct_lattices, search_cells

__all__ = ["Found", "Merit", "TrialCell", "distinct_lattices", "merit_of_lines", "pull_onto_lines", "search_cells"]
