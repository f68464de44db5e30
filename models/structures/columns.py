"""The columns of a table of crystal structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


ORIGINS = ("experiment", "dft_known", "dft", "dft_hypothetical", "experiment_mof")
"""How a structure is known."""


SPLITS = ("train", "val", "test")
"""What a structure is for; see :func:`.split.split_of`."""


CELL = ("a", "b", "c", "alpha", "beta", "gamma")
"""Columns of the conventional cell, Å and degrees."""


COLUMNS = ("id", "origin", "split", "sg", "hall", *CELL)
"""Columns of one value a structure that must be there."""


ATOM_COLUMNS = ("elem", "occ", "x", "y", "z", "mult")
"""Columns of one value an atom of the asymmetric unit."""


HEAVIEST = 98
"""Californium: the last element with a tabulated form factor."""


BUILD = "make it with 'alphadiffract-plugin structures build'"
"""How to fix a file that is none of ours."""
