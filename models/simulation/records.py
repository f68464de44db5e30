"""The records of the simulation: atoms, then lines, both as batches of tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True)
class Atoms:
    """The atoms in the asymmetric units of N crystals, M atoms in all, one crystal after the other.

    Coordinates refer to the setting of ``hall``. The cell holds the images of an atom under all operations of its
    group, each weighted by ``multiplicity`` over the number of operations, so that coinciding images need not be found.
    """

    hall: Tensor
    """Hall number of spglib, 1 to 530, int64, shape (N,)."""
    space_group: Tensor
    """0 to 229, int64, shape (N,)."""
    metric: Tensor
    """Direct metric of the conventional cell in Å², float64, shape (N, 3, 3)."""
    crystal: Tensor
    """Index of the crystal that an atom belongs to, ascending, int64, shape (M,)."""
    number: Tensor
    """Atomic number, int64, shape (M,)."""
    occupancy: Tensor
    """0 to 1, shape (M,)."""
    position: Tensor
    """Fractional coordinates, float64, shape (M, 3)."""
    multiplicity: Tensor
    """Images of the atom in the conventional cell, int64, shape (M,)."""
    b_iso: Tensor
    """Isotropic displacement factor B in Å², shape (M,)."""


@dataclass(frozen=True)
class LineList:
    """The diffraction lines of N crystals, padded to K each; independent of wavelength and profile."""

    hkl: Tensor
    """Miller indices of one reflection of each line, on the axes of the network (:mod:`.axes`), float32, shape
    (N, K, 3)."""
    intensity: Tensor
    """|F|²·m relative to the strongest line of the crystal, 0 where padded, float32, shape (N, K)."""
    basis: Tensor
    """Rows a*, b*, c* in 1/Å: Cholesky factor of the reciprocal metric on those axes, float32, shape (N, 3, 3)."""
    space_group: Tensor
    """0 to 229, int64, shape (N,)."""

    def take(self, which: Tensor) -> LineList:
        """The lines of some of the crystals (indices, shape (M,)); one may be taken several times."""
        return LineList(*(getattr(self, field.name)[which] for field in fields(self)))
