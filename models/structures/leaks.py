"""Leaks: structures whose lattice and space group a benchmark pattern has, so that training must not see them.

A structure leaks if a benchmark row has its space group, and some basis of its primitive lattice has the lengths of the
reduced primitive cell of that row within 2 % and its angles within 1 degree. Lattices are reduced by Selling's method
(Delaunay; International Tables A, 3.1.2) and compared in every basis that small integers make of three shortest
vectors, so that neither the setting nor rounding at the limits of the reduction matters.
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.arrays import Bools
from alphadiffract_plugin.benchmark_index import CELL_COLUMNS, read_index
from alphadiffract_plugin.errors import InputError

from .checks import centring_of_hall
from .table import Structures

if TYPE_CHECKING:
    import pyarrow

LENGTH_TOLERANCE = 0.02
"""Largest relative difference of the lengths of equal lattices."""
ANGLE_TOLERANCE = 1.0
"""Largest difference of the angles of equal lattices, in degrees."""
STAMP = b"alphadiffract.filtered"
"""Key of the parquet metadata with the benchmarks that a file was filtered against."""
_COARSE = 0.06
"""Largest difference of ln(length) of the shortest vectors of equal lattices: 2 % in length and 1 degree of shear."""
_PAIRS_AT_ONCE = 400
_STEPS = 200
"""Each step of Selling's method lowers the sum of squares; a cell that needs so many is left as it then is."""


@dataclass(frozen=True)
class Benchmark:
    """The lattices of a benchmark index."""

    path: Path
    """The index."""
    sha256: str
    """SHA-256 of the index file."""
    rows: int
    """Number of rows of the index."""
    without_cell: int
    """Number of rows without a cell or space group; their structures cannot be recognised."""
    space_group: np.ndarray
    """1 to 230, of the R rows with a cell and a space group, shape (R,)."""
    cell: np.ndarray
    """Conventional cells in the standard setting, or Niggli cells, Å and degrees, shape (R, 6)."""
    niggli: np.ndarray
    """Which cells are Niggli cells, bool, shape (R,)."""


def read_benchmark(path: Path) -> Benchmark:
    """The lattices of an index of measured patterns, each from its conventional cell, or else from its Niggli cell.

    Raises
    ------
    InputError : the index cannot be read, or it has no column with a space group or none with a cell.
    """
    index = read_index(Path(path), ("space_group_number",))
    if "niggli" not in index.columns and not set(CELL_COLUMNS) <= set(index.columns):
        raise InputError(
            "this index has no column with a cell",
            fix=f"give it the column niggli, or the columns {', '.join(CELL_COLUMNS)}",
            where=path,
        )
    known = [(row, row.cell or row.niggli) for row in index.rows if row.space_group and (row.cell or row.niggli)]
    return Benchmark(
        path=index.path,
        sha256=index.sha256,
        rows=len(index.rows),
        without_cell=len(index.rows) - len(known),
        space_group=np.array([row.space_group for row, _ in known], dtype=np.int64),
        cell=np.array([cell for _, cell in known], dtype=float).reshape(-1, 6),
        niggli=np.array([row.cell is None for row, _ in known], dtype=bool),
    )


def leaks(structures: Structures, index: Path | Benchmark) -> Bools:
    """Which structures have the space group and the lattice of a row of a benchmark index, shape (S,).

    Raises
    ------
    InputError : see :func:`read_benchmark`.
    """
    benchmark = index if isinstance(index, Benchmark) else read_benchmark(index)
    found = np.zeros(len(structures), bool)
    if not len(benchmark.cell):
        return found
    ours = shortest_vectors(primitive(structures.cell, centring_of_hall()[structures.hall - 1]))
    theirs = shortest_vectors(primitive(benchmark.cell, _standard_centring(benchmark)))
    for group in np.unique(benchmark.space_group):
        mine = np.flatnonzero(structures.space_group == group)
        rows = np.flatnonzero(benchmark.space_group == group)
        lengths = np.log(np.linalg.norm(ours[mine], axis=-1))[:, None] - np.log(np.linalg.norm(theirs[rows], axis=-1))
        first, second = np.nonzero((np.abs(lengths) < _COARSE).all(-1))
        for part in np.array_split(np.arange(len(first)), 1 + len(first) // _PAIRS_AT_ONCE):
            same = _same_lattice(ours[mine[first[part]]], theirs[rows[second[part]]])
            found[mine[first[part][same]]] = True
    return found


def _standard_centring(benchmark: Benchmark) -> np.ndarray:
    """Centring letters of the standard settings, shape (R,); rhombohedral axes are recognised by their angles."""
    import gemmi

    letters = np.array([gemmi.get_spacegroup_reference_setting(int(n)).centring_type() for n in benchmark.space_group])
    rhombohedral = (letters == "R") & (np.abs(benchmark.cell[:, 5] - 120) > 0.01)
    return np.where(rhombohedral | benchmark.niggli, "P", letters)


def primitive(cell: np.ndarray, centring: np.ndarray) -> np.ndarray:
    """Primitive basis vectors in Å as rows, (S, 3, 3), of conventional cells (S, 6) with centring letters (S,)."""
    from alphadiffract_plugin.crystal.bravais import primitive_basis

    transform = {str(x): primitive_basis((1, 1, 1, 90, 90, 90), str(x)) for x in np.unique(centring)}
    lengths, cosine = cell[:, :3], np.cos(np.radians(cell[:, 3:]))
    gram = np.ones((len(cell), 3, 3))
    for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        gram[:, i, j] = gram[:, j, i] = cosine[:, k]
    basis = np.linalg.cholesky(gram * lengths[:, :, None] * lengths[:, None, :])
    changes = np.stack([transform[str(x)] for x in centring]) if len(cell) else basis
    return np.asarray(changes @ basis)


def shortest_vectors(basis: np.ndarray) -> np.ndarray:
    """Three shortest vectors that span each lattice, ascending, shape (S, 3, 3), of bases as rows (S, 3, 3).

    Selling's method: as long as two of the four vectors a, b, c, -(a+b+c) make an acute angle, the sum of their squares
    can be lowered. The shortest vectors are then among the four vectors and the sums of two of them.
    """
    four = np.concatenate((basis, -basis.sum(1, keepdims=True)), 1)
    pairs = np.array(list(itertools.combinations(range(4), 2)))
    others = np.array([[k for k in range(4) if k not in pair] for pair in pairs])
    todo = np.arange(len(four))
    for _ in range(_STEPS):
        now = four[todo]
        products = np.einsum("spi,spi->sp", now[:, pairs[:, 0]], now[:, pairs[:, 1]])
        worst = products.argmax(1)
        acute = products.max(1) > 1e-9 * np.einsum("sij,sij->s", now, now)
        todo, now, worst = todo[acute], now[acute], worst[acute]
        if not len(todo):
            break
        row = np.arange(len(todo))
        i, j = pairs[worst].T
        k, m = others[worst].T
        pushed = now[row, i]
        fresh = now.copy()
        fresh[row, i] = -pushed
        fresh[row, k] = now[row, k] + pushed
        fresh[row, m] = now[row, m] + pushed
        four[todo] = fresh
    seven = np.concatenate((four, four[:, [0]] + four[:, 1:]), 1)
    order = np.argsort(np.linalg.norm(seven, axis=-1), axis=1, kind="stable")
    seven = np.take_along_axis(seven, order[:, :, None], 1)
    volume = np.abs(np.einsum("si,ski->sk", np.cross(seven[:, 0], seven[:, 1]), seven))
    third = (volume > 0.5 * np.abs(np.linalg.det(basis))[:, None]).argmax(1)
    return np.stack((seven[:, 0], seven[:, 1], seven[np.arange(len(seven)), third]), 1)


@functools.cache
def _changes() -> np.ndarray:
    """Integer changes of basis with entries -1, 0, 1 and determinant 1, shape (3480, 3, 3).

    Those with determinant -1 are their negatives, which change no metric.
    """
    every = np.array(list(itertools.product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
    return np.asarray(every[np.linalg.det(every).round() == 1])


def _same_lattice(ours: np.ndarray, theirs: np.ndarray) -> Bools:
    """Whether pairs of reduced bases (P, 3, 3) span the same lattice within the tolerances, shape (P,)."""
    changes = _changes()
    ours, theirs = ours @ ours.transpose(0, 2, 1), theirs @ theirs.transpose(0, 2, 1)
    vectors, which = np.unique(changes.reshape(-1, 3), axis=0, return_inverse=True)
    gram = vectors @ ours @ vectors.T
    length = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    angle = np.degrees(np.arccos(np.clip(gram / length[:, :, None] / length[:, None, :], -1, 1)))
    axes = which.reshape(-1, 3)
    goal_length = np.sqrt(np.diagonal(theirs, axis1=1, axis2=2))
    goal_angle = np.degrees(np.arccos(np.clip(theirs / goal_length[:, :, None] / goal_length[:, None, :], -1, 1)))
    same = np.ones((len(ours), len(changes)), bool)
    for k in range(3):
        close = np.abs(length / goal_length[:, [k]] - 1) <= LENGTH_TOLERANCE
        same &= close[:, axes[:, k]]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        close = np.abs(angle - goal_angle[:, i, j][:, None, None]) <= ANGLE_TOLERANCE
        same &= close[:, axes[:, i], axes[:, j]]
    return np.asarray(same.any(1))


def stamped(table: pyarrow.Table, benchmark: Benchmark, removed: int) -> pyarrow.Table:
    """The table with a note in its metadata that so many structures leaked to this benchmark and were removed."""
    note = {"index": benchmark.path.name, "sha256": benchmark.sha256, "rows": benchmark.rows, "removed": removed}
    notes = [old for old in filtered_against(table.schema.metadata) if old["sha256"] != benchmark.sha256]
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), STAMP: json.dumps([*notes, note]).encode("utf-8")}
    )


def filtered_against(metadata: dict[bytes, bytes] | None) -> list[dict[str, Any]]:
    """The notes of :func:`stamped` in the metadata of a table: index, sha256, rows, removed."""
    notes: list[dict[str, Any]] = json.loads((metadata or {}).get(STAMP, b"[]"))
    return notes
