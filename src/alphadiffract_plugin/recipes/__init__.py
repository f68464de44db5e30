"""How a GSAS-II project is filled, fitted by Le Bail, and refined by Rietveld, step by step.

These modules need numpy and the standard library alone, since a bundle carries a copy of them: ``recipe_records`` holds
the records they take and return, ``project_recipe`` adds phases and lists, ``lebail_recipe`` orders the fit,
``lebail_start`` sets its starting values, ``lebail_steps`` makes single steps; ``structure_recipe`` brings atoms into
the setting of a phase, ``rietveld_recipe`` orders their refinement, ``rietveld_steps`` makes its steps.
"""

from alphadiffract_plugin.recipes.lebail_recipe import fit_by_lebail
from alphadiffract_plugin.recipes.project_recipe import seed_project
from alphadiffract_plugin.recipes.recipe_records import LeBailResult, RietveldResult
from alphadiffract_plugin.recipes.rietveld_recipe import fit_by_rietveld

__all__ = ["LeBailResult", "RietveldResult", "fit_by_lebail", "fit_by_rietveld", "seed_project"]
