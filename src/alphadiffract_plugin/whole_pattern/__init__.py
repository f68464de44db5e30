"""Whole-pattern fits (Pawley, Le Bail) of cells: what the pattern says for a cell and an extinction class.

``pattern_data`` prepares the points, ``positions`` calculates where reflections are, ``fit_lattice`` fits one cell,
``fit_pattern`` all cells with their extinction classes, and ``refine_pattern`` refines the ranked answers.
"""

from alphadiffract_plugin.whole_pattern.fit_pattern import Evidence, FittedClass, fit_pattern
from alphadiffract_plugin.whole_pattern.refine_pattern import refine_pattern

__all__ = ["Evidence", "FittedClass", "fit_pattern", "refine_pattern"]
