"""The line lists of many structures: hkl and |F|²·m of every line down to a smallest d, in one ``.npz`` file.

Lines do not depend on the wavelength or the profile; :mod:`.patterns` turns them into patterns. Structure files have no
displacement parameters, so atoms are at rest here; the simulation adds an overall displacement factor.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from alphadiffract_plugin import progress
from alphadiffract_plugin.crystal.cells import direct_metric_from_cell
from alphadiffract_plugin.errors import InputError

from ..structures.table import Structures
from .axes import standard_changes
from .records import Atoms, LineList
from .structure_factors import D_MIN, lines_from_atoms

BATCH = 1024
"""Structures whose lines are calculated at a time."""


@dataclass(frozen=True)
class LineTable:
    """The lines of S structures, T lines in all, one structure after the other."""

    hkl: np.ndarray
    """Miller indices on the axes of the network (:mod:`.axes`), int8, shape (T, 3)."""
    intensity: np.ndarray
    """|F|²·m, relative to the strongest line of the structure, float32, shape (T,)."""
    start: np.ndarray
    """First line of each structure, and T, int64, shape (S + 1,)."""
    reciprocal_metric: np.ndarray
    """In 1/Å², float64, shape (S, 3, 3)."""
    space_group: np.ndarray
    """1 to 230, shape (S,)."""
    origin: np.ndarray
    """Index into ``columns.ORIGINS``, shape (S,)."""
    split: np.ndarray
    """Index into ``columns.SPLITS``, shape (S,)."""

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> LineTable:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError : the file is missing or damaged.
        """
        try:
            with np.load(path) as stored:
                return cls(**{f.name: stored[f.name] for f in fields(cls)})
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            what = "this file does not hold packed lines" if Path(path).exists() else "there is no such file"
            raise InputError(what, fix="delete it; it is made again from the structure files", where=path) from error


def atoms_from_structures(structures: Structures, which: np.ndarray, device: torch.device | str = "cpu") -> Atoms:
    """Some of the structures (indices, shape (N,)) as a batch on a device; their atoms are at rest."""
    counts = np.diff(structures.start)[which]
    crystal = np.repeat(np.arange(len(which)), counts)
    atom = np.arange(len(crystal)) - np.repeat(np.cumsum(counts) - counts, counts) + structures.start[which][crystal]

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, device=device)

    return Atoms(
        hall=tensor(structures.hall[which]),
        space_group=tensor(structures.space_group[which] - 1),
        metric=tensor(np.moveaxis(direct_metric_from_cell(structures.cell[which].T), -1, 0).copy()),
        crystal=tensor(crystal),
        number=tensor(structures.number[atom]),
        occupancy=tensor(structures.occupancy[atom]),
        position=tensor(structures.position[atom]),
        multiplicity=tensor(structures.multiplicity[atom]),
        b_iso=torch.zeros(len(atom), device=device),
    )


def pack(structures: Structures, *, d_min: float = D_MIN, device: torch.device | str = "cpu") -> LineTable:
    """The lines of every structure, of each at most the ``structure_factors.MOST_LINES`` strongest.

    Parameters
    ----------
    structures : what to pack.
    d_min : smallest d, Å.
    device : where to compute.

    Raises
    ------
    InputError : there are no structures, or a cell edge is too long (:func:`.reflections.box_sizes`).
    """
    n = len(structures.space_group)
    if not n:
        raise InputError("there are no structures", fix="name a structure file that holds some")
    batches = np.array_split(np.arange(n), -(-n // BATCH))
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    metric: list[np.ndarray] = []
    for which in progress.track(batches, "calculating lines"):
        atoms = atoms_from_structures(structures, which, device)
        parts.append(_unpadded(lines_from_atoms(atoms, d_min=d_min)))
        change = standard_changes(atoms.metric, atoms.space_group)
        metric.append(torch.linalg.inv(change @ atoms.metric @ change.mT).cpu().numpy())
    hkl, intensity, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return LineTable(
        hkl=hkl,
        intensity=intensity,
        start=np.concatenate(([0], np.cumsum(counts))),
        reciprocal_metric=np.concatenate(metric),
        space_group=structures.space_group,
        origin=structures.origin,
        split=structures.split,
    )


def _unpadded(lines: LineList) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices (T, 3), intensities (T,) and the number of lines of each crystal (N,)."""
    held = lines.intensity > 0
    return (
        lines.hkl[held].to(torch.int8).cpu().numpy(),
        lines.intensity[held].cpu().numpy(),
        held.sum(1).cpu().numpy(),
    )
