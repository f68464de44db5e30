"""Reported crystals to rows of a table: checked in several processes, without duplicates, each rejection counted."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import StructureError
from alphadiffract_plugin.output import write_whole
from alphadiffract_plugin.progress import track

from .columns import CELL, ORIGINS
from .standardise import Rejection, row_from_structure

if TYPE_CHECKING:
    import pyarrow
    from pymatgen.core.structure import Structure

SAME_VOLUME = 0.02
"""Relative difference of the volume per atom up to which crystals of one formula and group count as duplicates."""
ALONE = 100
"""Up to so many crystals are checked in this process, because starting others would take longer."""

Formula = tuple[tuple[str, float], ...] | str
"""A formula, or symbols with atomic fractions."""


@dataclass(frozen=True)
class Reported:
    """One crystal as reported."""

    identity: str
    """``source:original id``."""
    origin: str
    """One of ``columns.ORIGINS``."""
    where: str
    """The file, or the id in a database."""
    structure: Structure | None = None
    """None if it has to be read from the CIF ``where``."""


@dataclass(frozen=True)
class Rejected:
    """One crystal that was left out."""

    file: str
    """``Reported.where``."""
    reason: str
    """Why, in the words by which rejections are counted."""
    detail: str
    """The figures."""


@dataclass(frozen=True)
class Built:
    """What became of the crystals."""

    rows: list[dict[str, Any]]
    """Rows of the crystals that are kept."""
    rejected: list[Rejected]
    """The crystals that were left out."""

    @property
    def reasons(self) -> Counter[str]:
        """How many were left out for each reason."""
        return Counter(item.reason for item in self.rejected)


def cifs_in(folder: Path, origin: str) -> list[Reported]:
    """The CIFs in a folder and the folders below it, or one CIF.

    Raises
    ------
    StructureError : there is no such folder, or no CIF in it.
    """
    if folder.is_file() and folder.suffix.lower() == ".cif":
        return [Reported(f"{folder.parent.resolve().name}:{folder.stem}", origin, str(folder))]
    if not folder.is_dir():
        named = "file" if folder.suffix.lower() == ".cif" else "folder"
        what = "this file is not a CIF" if folder.exists() else f"there is no such {named}"
        fix = "name a folder of .cif files, one .cif file, or mp for the Materials Project"
        raise StructureError(what, fix=fix, where=folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".cif" and path.is_file())
    if not files:
        what = "the folder holds no .cif files" if any(folder.iterdir()) else "the folder is empty"
        raise StructureError(what, fix="name a folder that holds .cif files", where=folder)
    name = folder.resolve().name
    return [
        Reported(f"{name}:{path.relative_to(folder).with_suffix('').as_posix()}", origin, str(path)) for path in files
    ]


def build(reported: Sequence[Reported], *, workers: int) -> Built:
    """Check every crystal and remove duplicates.

    Raises
    ------
    StructureError : a worker process died (killed, or out of memory).
    """
    rows: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    for kept, left_out in _checked(reported, workers):
        rows += kept
        rejected += left_out
    rows, repeated = without_duplicates(rows)
    where = {item.identity: item.where for item in reported}
    rejected += [
        Rejected(where.get(i, where.get(i.rpartition("#")[0], i)), "duplicate", f"of {of}") for i, of in repeated
    ]
    return Built(rows, rejected)


def _checked(reported: Sequence[Reported], workers: int) -> Iterator[tuple[list[dict[str, Any]], list[Rejected]]]:
    if workers == 1 or len(reported) <= ALONE:
        yield from map(check, track(reported, "reading crystals"))
        return
    with ProcessPoolExecutor(workers) as pool:
        try:
            yield from track(pool.map(check, reported, chunksize=16), "reading crystals", len(reported))
        except BrokenProcessPool as error:
            fix = "give --workers 1 to find the file that causes it, or free memory"
            raise StructureError("a process that reads crystals ended unexpectedly", fix=fix) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def check(reported: Reported) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """The rows and the rejections of one report; a CIF may hold several crystals."""
    rows: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    try:
        found = [reported.structure] if reported.structure is not None else structures_from_cif(Path(reported.where))
    except Rejection as reason:
        return [], [Rejected(reported.where, reason.reason, reason.detail)]
    for number, structure in enumerate(found, 1):
        identity = reported.identity if len(found) == 1 else f"{reported.identity}#{number}"
        try:
            rows.append(row_from_structure(structure, identity=identity, origin=reported.origin))
        except Rejection as reason:
            rejected.append(Rejected(reported.where, reason.reason, reason.detail))
    return rows, rejected


def structures_from_cif(path: Path) -> list[Structure]:
    """The crystals of a CIF, read by pymatgen; occupancies up to 1.05 are scaled to 1.

    Raises
    ------
    Rejection : the file is empty, cannot be parsed, has no atoms, or a site has an occupancy above 1.05.
    """
    from pymatgen.io.cif import CifParser

    parser = None
    try:
        if not path.read_bytes().strip():
            raise Rejection("empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = CifParser(path, occupancy_tolerance=1.05)
            return parser.parse_structures(primitive=False, on_error="ignore")
    except Rejection:
        raise
    except Exception as error:  # the parser raises many kinds of errors
        detail = " ".join([*getattr(parser, "warnings", ()), f"{type(error).__name__}: {error}"]).replace("\n", " ")
        if "exceeded tolerance" in detail:
            raise Rejection("occupancy above 1", detail) from error
        raise Rejection("no atoms" if _lacks_atoms(path) else "cannot be parsed", detail) from error


def _lacks_atoms(path: Path) -> bool:
    """Whether a file is a CIF without any coordinates."""
    import gemmi

    try:
        return not any(len(block.find_values("_atom_site_fract_x")) for block in gemmi.cif.read(str(path)))
    except (ValueError, RuntimeError, OSError):
        return False


def without_duplicates(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """One row of each formula, space group and volume per atom; and pairs of a removed id and the id it repeats.

    Of duplicates the one with the first origin in ``columns.ORIGINS`` is kept, and of these the first.
    """
    kept: dict[tuple[Formula, int], list[dict[str, Any]]] = {}
    repeated = []
    left_out = set()
    for place, row in sorted(enumerate(rows), key=lambda item: ORIGINS.index(item[1]["origin"])):
        volume = row["volume"] / row["n_atoms"]
        alike = kept.setdefault((_rounded(row), row["sg"]), [])
        of = next((r for r in alike if abs(r["volume"] / r["n_atoms"] / volume - 1) < SAME_VOLUME), None)
        if of is None:
            alike.append(row)
        else:
            left_out.add(place)
            repeated.append((row["id"], of["id"]))
    return [row for place, row in enumerate(rows) if place not in left_out], repeated


def _rounded(row: dict[str, Any]) -> Formula:
    """The formula; for a disordered crystal its atomic fractions to two decimals."""
    if row["ordered"]:
        return str(row["formula"])
    return tuple((s, round(float(f), 2)) for s, f in re.findall(r"([A-Z][a-z]?)([\d.]+)", row["formula"]))


def table_from_rows(rows: list[dict[str, Any]]) -> pyarrow.Table:
    """The rows as a table, with the types of the files."""
    import pyarrow as pa

    real, small, lists = pa.float32(), pa.int16(), pa.list_
    kinds = {name: pa.string() for name in ("id", "source", "origin", "formula", "chemkey", "wyckoff", "split")}
    kinds |= {name: real for name in (*CELL, "volume", "n_atoms")}
    kinds |= {name: lists(real) for name in ("occ", "x", "y", "z")}
    kinds |= {"elem": lists(pa.uint8()), "mult": lists(pa.uint16()), "ordered": pa.bool_()}
    kinds |= {"sg": pa.uint8(), "hall": small, "n_sites": small}
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, kinds[name]) for name in rows[0]]))


def write_rejected(rejected: Sequence[Rejected], path: Path) -> Path:
    """Write a CSV file of the crystals that were left out: file, reason, detail."""

    def fill(scratch: Path) -> None:
        with scratch.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("file", "reason", "detail"))
            writer.writerows((item.file, item.reason, item.detail) for item in rejected)

    return write_whole(path, fill)
