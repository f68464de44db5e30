"""Whole-pattern fits (Pawley, Le Bail) of a cell: the evidence of the profile for a cell and an extinction class.

``pattern_data`` prepares the points, ``positions`` places reflections, ``fit_lattice`` fits one cell, ``fit_pattern``
all cells and their extinction classes, ``refine_pattern`` what is answered.
"""

from alphadiffract_plugin.whole_pattern.fit_pattern import Evidence, FittedClass, fit_pattern
from alphadiffract_plugin.whole_pattern.refine_pattern import refine_pattern

__all__ = ["Evidence", "FittedClass", "fit_pattern", "refine_pattern"]
