"""How a GSAS-II project is filled and fitted by Le Bail, step by step.

These modules need numpy and the standard library alone, since a bundle carries a copy of them: ``recipe_records`` holds
the records they take and return, ``project_recipe`` adds phases and lists, ``lebail_recipe`` orders the fit,
``lebail_start`` sets its starting values, ``lebail_steps`` makes single steps.
"""

from alphadiffract_plugin.recipes.lebail_recipe import fit_by_lebail
from alphadiffract_plugin.recipes.project_recipe import seed_project
from alphadiffract_plugin.recipes.recipe_records import LeBailResult

__all__ = ["LeBailResult", "fit_by_lebail", "seed_project"]
