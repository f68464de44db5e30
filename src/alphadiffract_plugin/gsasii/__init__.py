"""Everything that touches GSAS-II: find it, and index, seed and refine in an open project.

>>> from alphadiffract_plugin import gsasii                                # doctest: +SKIP
>>> result = gsasii.index(histogram)                                       # doctest: +SKIP
>>> phases = gsasii.seed(project, histogram, result)                       # doctest: +SKIP
>>> print(gsasii.refine(project, histogram, phases[0], result).rwp)        # doctest: +SKIP
>>> gsasii.to_rietveld(project, histogram, phases[0], "model.cif").rwp     # doctest: +SKIP
>>> gsasii.save(project)                                                   # doctest: +SKIP
"""

from alphadiffract_plugin.gsasii.installation import (
    FOLDER_VARIABLE,
    INSTALL,
    Installation,
    find,
    module,
    quiet,
    refine_function,
    scriptable,
)
from alphadiffract_plugin.gsasii.project import control_fits, index, open_project, refine, save, seed
from alphadiffract_plugin.gsasii.rietveld import to_rietveld
from alphadiffract_plugin.recipes.recipe_records import Atom

__all__ = [
    "Atom",
    "FOLDER_VARIABLE",
    "INSTALL",
    "Installation",
    "find",
    "index",
    "module",
    "open_project",
    "quiet",
    "refine",
    "refine_function",
    "save",
    "scriptable",
    "seed",
    "control_fits",
    "to_rietveld",
]
