"""The lines of many structures, packed once: hkl and |F|²·m of every line down to a smallest d, in one ``.npz``.

Lines hold no wavelength and no profile; :mod:`.patterns` turns them into patterns. Structures have no displacement
parameters, so their atoms are at rest; the simulation adds an overall displacement factor.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
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
"""Structures that are packed at a time."""


@dataclass(frozen=True)
class LineTable:
    """The lines of S structures, one after the other; T lines in all."""

    hkl: np.ndarray
    """Miller indices on the axes that the network learns (:mod:`.axes`), int8, shape (T, 3)."""
    intensity: np.ndarray
    """|F|²·m, the strongest of a structure at 1, float32, shape (T,)."""
    start: np.ndarray
    """First line of each structure, and T, int64, shape (S + 1,)."""
    reciprocal_metric: np.ndarray
    """In 1/Å², float64, shape (S, 3, 3)."""
    space_group: np.ndarray
    """1 to 230, shape (S,)."""
    origin: np.ndarray
    """Index into ``columns.ORIGINS``, shape (S,)."""
    split: np.ndarray
    """Index into ``table.SPLITS``, shape (S,)."""

    def save(self, path: Path) -> None:
        """Write one ``.npz``."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> LineTable:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError : the file is no such table.
        """
        try:
            with np.load(path) as stored:
                return cls(**{f.name: stored[f.name] for f in fields(cls)})
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            told = "this holds no packed lines" if Path(path).exists() else "there is no such file"
            raise InputError(told, fix="remove it: it is packed again from the structure files", where=path) from error


def atoms_from_structures(structures: Structures, which: np.ndarray, device: torch.device | str = "cpu") -> Atoms:
    """The chosen structures (indices, shape (N,)) as a batch on a device; atoms at rest."""
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
    """The lines of every structure; each at most ``structure_factors.MOST_LINES``, the strongest.

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
        raise InputError("there are no structures to pack", fix="name a file that holds some")
    batches = np.array_split(np.arange(n), -(-n // BATCH))
    parts, metric = [], []
    for which in progress.track(batches, "packing lines"):
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
