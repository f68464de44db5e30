"""Crystal structures as a table: the parquet columns, and the same packed in memory.

One row is one structure in spglib's standardised conventional cell. Parquet columns: ``id`` (``source:original``),
``source``, ``origin`` (one of ``ORIGINS``), ``formula``, ``sg`` (1 to 230), ``hall`` (Hall number of the setting),
``a b c alpha beta gamma`` (Å, degrees), ``split`` (one of ``SPLITS``) and, as lists over the asymmetric unit, ``elem``
(atomic number), ``occ``, ``x y z`` (fractional) and ``mult`` (images in the cell). Mixed sites are several entries at
one position. Further columns are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ORIGINS = ("experiment", "dft_known", "dft", "dft_hypothetical", "experiment_mof")
"""How a structure is known."""
SPLITS = ("train", "val", "test")
COLUMNS = ("id", "origin", "split", "sg", "hall", "a", "b", "c", "alpha", "beta", "gamma")
"""Columns of one value a structure that must be there."""
ATOM_COLUMNS = ("elem", "occ", "x", "y", "z", "mult")
"""Columns of one value an atom of the asymmetric unit."""


@dataclass(frozen=True)
class Structures:
    """S structures, M atoms of asymmetric units in all, one structure after the other."""

    id: np.ndarray
    """``source:original id``, str, shape (S,)."""
    space_group: np.ndarray
    """1 to 230, int64, shape (S,)."""
    hall: np.ndarray
    """Hall number of spglib, int64, shape (S,)."""
    cell: np.ndarray
    """Conventional cell in Å and degrees, float64, shape (S, 6)."""
    origin: np.ndarray
    """Index into ``ORIGINS``, shape (S,)."""
    split: np.ndarray
    """Index into ``SPLITS``, shape (S,)."""
    start: np.ndarray
    """First atom of each structure, and M, int64, shape (S + 1,)."""
    number: np.ndarray
    """Atomic number, int64, shape (M,)."""
    occupancy: np.ndarray
    """0 to 1, shape (M,)."""
    position: np.ndarray
    """Fractional coordinates, float64, shape (M, 3)."""
    multiplicity: np.ndarray
    """Images of the atom in the conventional cell, int64, shape (M,)."""
