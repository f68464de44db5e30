"""The lattices of two or three times the volume of a lattice, each on the axes of its own Bravais lattice."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bravais import Lattice, bravais_from_basis, primitive_basis
from alphadiffract_plugin.crystal.cells import (
    cell_from_direct_metric,
    cell_from_metric,
    metric_from_cell,
    metric_from_tensor,
    tensor_from_metric,
)

_GENERAL = (0.0271, 0.0188, 0.0132, 0.0011, 0.0023, 0.0017)
"""A reciprocal metric in 1/Å² without relations between its terms."""
_STEPS = 100
"""Most steps of the reduction of two axes."""


def multiplied_cells(lattice: Lattice, metric: Floats, index: int) -> list[tuple[Lattice, Floats]]:
    """Bravais lattice and reciprocal metric of each of the lattices of ``index`` times the volume.

    There are seven of twice and thirteen of three times the volume. Each has the symmetry that follows from that of the
    given lattice.
    """
    children, change = _children(lattice, index)
    metrics = metric_from_tensor(change.transpose(0, 2, 1) @ tensor_from_metric(metric) @ change)
    return [(child, _reduced(child, found)) for child, found in zip(children, metrics, strict=True)]


def _bases(index: int) -> Iterator[Floats]:
    """Bases of the lattices of ``index`` times the volume, as rows in terms of a primitive basis.

    They are the Hermite normal forms of this determinant.
    """
    for a, b, c in itertools.product(range(1, index + 1), repeat=3):
        if a * b * c == index:
            for d, e, f in itertools.product(range(a), range(a), range(b)):
                yield np.array([[a, 0, 0], [d, b, 0], [e, f, c]], float)


@functools.cache
def _children(lattice: Lattice, index: int) -> tuple[list[Lattice], Floats]:
    """Bravais lattices of the n lattices, and the axes of ``lattice`` as rows in terms of theirs, shape (n, 3, 3).

    They are the same for every cell of the lattice, so spglib finds them once, for a cell without further relations.
    """
    import spglib

    cell = cell_from_metric(lattice.parameters(np.array(_GENERAL)) @ lattice.metric_map)
    conventional, primitive = primitive_basis(cell, "P"), primitive_basis(cell, lattice.centring)
    children, changes = [], []
    for change in _bases(index):
        basis = change @ primitive
        bravais = bravais_from_basis(basis, 1e-4)
        data: Any = spglib.get_symmetry_dataset((basis.tolist(), [[0.0, 0.0, 0.0]], [1]), symprec=1e-4)
        standard = np.linalg.inv(data.transformation_matrix).T @ basis
        children.append(Lattice(bravais.family, bravais.centring))
        changes.append(conventional @ np.linalg.inv(standard))
    return children, np.array(changes)


def _reduced(lattice: Lattice, metric: Floats) -> Floats:
    """The metric on the shortest axes, for monoclinic and triclinic lattices; that of others is returned as it is.

    Monoclinic axes change by l -> l + n h, or by h -> h + m l with m even where the centring C needs h + k even.
    """
    if lattice.family == "triclinic":
        import spglib

        basis = spglib.niggli_reduce(primitive_basis(cell_from_metric(metric), "P"), eps=1e-5)
        return metric if basis is None else metric_from_cell(cell_from_direct_metric(basis @ basis.T))
    if lattice.family == "monoclinic":
        a, b, c, _, e, _ = metric.tolist()
        even = 2 if lattice.centring == "C" else 1
        for _ in range(_STEPS):
            n = round(-e / (2 * c))
            a, e = a + n * (e + n * c), e + 2 * n * c
            m = even * round(-e / (2 * a * even))
            c, e = c + m * (e + m * a), e + 2 * m * a
            if n == m == 0:
                break
        return np.array([a, b, c, 0, e, 0])
    return metric
