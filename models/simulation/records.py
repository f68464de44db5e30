"""What crosses the seams of the simulation: atoms, then lines, both batches of tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True)
class Atoms:
    """N crystals through the atoms of their asymmetric units, M atoms in all, one crystal after the other.

    Coordinates belong to the setting of ``hall``. An atom's images under all operations of its group, each weighted
    by ``multiplicity`` over their number, make the cell: no image is sought twice.
    """

    hall: Tensor
    """Hall number of spglib, 1 to 530, int64, shape (N,)."""
    space_group: Tensor
    """0 to 229, int64, shape (N,)."""
    metric: Tensor
    """Direct metric of the conventional cell in Å², float64, shape (N, 3, 3)."""
    crystal: Tensor
    """Which crystal an atom belongs to, ascending, int64, shape (M,)."""
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
    """Miller indices of one reflection of each line, on the axes that the network learns
    (:mod:`.axes`), float32, shape (N, K, 3)."""
    intensity: Tensor
    """|F|²·m, the strongest of a crystal at 1, 0 where padded, float32, shape (N, K)."""
    basis: Tensor
    """Rows a*, b*, c* in 1/Å: Cholesky factor of the reciprocal metric on those axes, float32, shape (N, 3, 3)."""
    space_group: Tensor
    """0 to 229, int64, shape (N,)."""

    def take(self, which: Tensor) -> LineList:
        """Those of some of the crystals: indices, shape (M,); one may be taken several times."""
        return LineList(*(getattr(self, field.name)[which] for field in fields(self)))
