"""The files and records that a refinement starts from.

``answer`` selects the candidates that can be seeded, ``bundle`` writes the folder that needs no GSAS-II, ``cif`` and
``instprm`` write its files, ``staging`` moves files into place, all or none.
"""

from alphadiffract_plugin.seeding.answer import notebook_entry, seedable
from alphadiffract_plugin.seeding.cif import cif_from_candidate, structure_from_candidate
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram

__all__ = ["cif_from_candidate", "instprm_from_histogram", "notebook_entry", "seedable", "structure_from_candidate"]
