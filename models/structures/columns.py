"""The columns of a table of crystal structures."""

from __future__ import annotations

ORIGINS = ("experiment", "dft_known", "dft", "dft_hypothetical", "experiment_mof")
"""How a structure is known; the first is the best known."""


SPLITS = ("train", "val", "test")
"""What a structure is for; see :func:`.split.split_of`."""


CELL = ("a", "b", "c", "alpha", "beta", "gamma")
"""Columns of the conventional cell, Å and degrees."""


COLUMNS = ("id", "origin", "split", "sg", "hall", *CELL)
"""Columns with one value for each structure that a table must have."""


ATOM_COLUMNS = ("elem", "occ", "x", "y", "z", "mult")
"""Columns with one value for each atom of the asymmetric unit."""


HEAVIEST = 98
"""Californium: the last element with a tabulated form factor."""


BUILD = "make the file by 'alphadiffract-plugin structures build'"
"""How to fix a file that is not such a table."""
