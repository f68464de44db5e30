"""Crystal structures as a table: the columns of parquet files, and the same as arrays in memory.

One row is one structure in spglib's standardised conventional cell. Parquet columns: ``id`` (``source:original``),
``source``, ``origin`` (one of ``ORIGINS``), ``formula``, ``sg`` (1 to 230), ``hall`` (Hall number of the setting),
``a b c alpha beta gamma`` (Å, degrees), ``split`` (one of ``SPLITS``) and, as lists over the asymmetric unit, ``elem``
(atomic number), ``occ``, ``x y z`` (fractional) and ``mult`` (images in the cell). A mixed site has several entries at
one position. Other columns are kept as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.errors import StructureError
from alphadiffract_plugin.models.structures.columns import BUILD, CELL, ORIGINS, SPLITS

if TYPE_CHECKING:
    import pyarrow


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
    """0 to 1; refined ones may reach 1.05; shape (M,)."""
    position: np.ndarray
    """Fractional coordinates, float64, shape (M, 3)."""
    multiplicity: np.ndarray
    """Images of the atom in the conventional cell, int64, shape (M,)."""

    def __len__(self) -> int:
        return len(self.space_group)


def read(paths: Sequence[Path]) -> Structures:
    """The structures of parquet files, checked, one file after the other.

    Raises
    ------
    StructureError : see :func:`read_table`.
    """
    return unpack(read_table(paths))


def read_table(paths: Sequence[Path]) -> pyarrow.Table:
    """The rows of parquet files, checked, with all their columns.

    Notes on filtering (:func:`.leaks.stamped`) are kept for a single file only, because they need not hold for several.

    Raises
    ------
    StructureError : a file is missing, empty or not parquet, lacks a column, or has an impossible value.
    """
    from .checks import checked

    require_pyarrow()
    import pyarrow as pa

    if not paths:
        raise StructureError("no structure file was named", fix="name one or more .parquet files")
    tables = [checked(_parquet(Path(path)), Path(path)) for path in paths]
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables, promote_options="permissive").replace_schema_metadata(None)


def _parquet(path: Path) -> pyarrow.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        raise StructureError(
            "this is a folder, not a structure file", fix=f"name a .parquet file, or {BUILD}", where=path
        )
    if not path.is_file():
        raise StructureError("there is no such file", fix=f"check the path, or {BUILD}", where=path)
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise StructureError(f"this is not a parquet file: {reason}", fix=f"{BUILD} from CIFs", where=path) from error
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table[field.name].cast(field.type.value_type))
    return table


def unpack(table: pyarrow.Table) -> Structures:
    """The structures of a checked table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def column(name: str, kind: type) -> np.ndarray:
        return np.asarray(table[name].to_numpy()).astype(kind)

    def atoms(name: str, kind: type) -> np.ndarray:
        return np.asarray(pc.list_flatten(table[name]).to_numpy()).astype(kind)

    def place(name: str, words: tuple[str, ...]) -> np.ndarray:
        return np.asarray(pc.index_in(table[name], pa.array(words)).to_numpy()).astype(np.int64)

    counts = pc.list_value_length(table["elem"]).to_numpy()
    return Structures(
        id=np.array(table["id"].to_pylist(), dtype=str),
        space_group=column("sg", np.int64),
        hall=column("hall", np.int64),
        cell=np.stack([column(name, float) for name in CELL], 1),
        origin=place("origin", ORIGINS),
        split=place("split", SPLITS),
        start=np.concatenate(([0], np.cumsum(counts, dtype=np.int64))),
        number=atoms("elem", np.int64),
        occupancy=atoms("occ", float),
        position=np.stack([atoms(name, float) for name in "xyz"], 1),
        multiplicity=atoms("mult", np.int64),
    )


def take(structures: Structures, which: np.ndarray) -> Structures:
    """Some of the structures with their atoms, by indices or a mask of shape (S,)."""
    which = np.arange(len(structures))[which]
    count = np.diff(structures.start)[which]
    start = np.concatenate(([0], np.cumsum(count)))
    atom = np.repeat(structures.start[which] - start[:-1], count) + np.arange(start[-1])
    per_atom = {"number", "occupancy", "position", "multiplicity"}
    parts = {
        f.name: getattr(structures, f.name)[atom if f.name in per_atom else which]
        for f in dataclasses.fields(structures)
        if f.name != "start"
    }
    return Structures(start=start, **parts)


def write(rows: pyarrow.Table, path: Path) -> Path:
    """Write a table; a file that cannot be completed is not left behind.

    Raises
    ------
    OutputError : the file cannot be written, or the disk is full.
    """
    import pyarrow.parquet as pq

    from alphadiffract_plugin.output import write_whole

    kinds = {field.name: str(field.type) for field in rows.schema}
    words = [name for name, kind in kinds.items() if kind == "string"]
    floats = [name for name in CELL if kinds[name] == "float"] + [f"{name}.list.element" for name in "xyz"]
    return write_whole(
        path,
        lambda scratch: pq.write_table(
            rows,
            scratch,
            compression="zstd",
            compression_level=19,
            use_dictionary=words,
            column_encoding={name: "BYTE_STREAM_SPLIT" for name in floats},
        ),
    )


def require_pyarrow() -> None:
    """Raise StructureError if pyarrow, which the extra ``train`` installs, is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise StructureError(
            "structure files need pyarrow, which is not installed", fix="run pip install 'alphadiffract-plugin[train]'"
        ) from error
