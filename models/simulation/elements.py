"""How often the elements occur and what volume their atoms take: the chemistry of random crystals.

    python -m alphadiffract_plugin.models.simulation.elements ELEMENTS.json STRUCTURES.parquet...

derives the table that the package carries as ``data/elements.json`` from real structures.
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from alphadiffract_plugin.crystal.cells import volume_from_cell

from ..structures.columns import HEAVIEST
from ..structures.table import Structures, read

LEAST_VOLUME = 4.0
"""Least volume of an atom in Å³: the fit gives almost none to hydrogen and small cations."""


@dataclass(frozen=True)
class Elements:
    """The elements 1 to 98; entry Z - 1 is that of atomic number Z."""

    frequency: np.ndarray
    """Share of the structures that hold it, shape (98,)."""
    abundance: np.ndarray
    """Mean share of the atoms in structures that hold it, shape (98,)."""
    volume: np.ndarray
    """Volume that an atom takes in Å³, shape (98,)."""


@functools.cache
def elements() -> Elements:
    """The table that the package carries."""
    document = json.loads(files("alphadiffract_plugin").joinpath("data/elements.json").read_text())
    return Elements(*(np.array(document[key]) for key in ("frequency", "abundance", "volume")))


def derive(structures: Structures) -> Elements:
    """The table derived from real structures.

    Volumes come from non-negative least squares, in which each structure counts relative to its own volume.
    """
    from scipy.optimize import nnls

    n = len(structures.space_group)
    owner = np.repeat(np.arange(n), np.diff(structures.start))
    atoms = np.zeros((n, HEAVIEST))
    np.add.at(atoms, (owner, structures.number - 1), structures.occupancy * structures.multiplicity)
    volume = volume_from_cell(structures.cell)
    holds = (atoms > 0).sum(0)
    share = atoms / atoms.sum(1, keepdims=True)
    room, _ = nnls(atoms / volume[:, None], np.ones(n))
    typical = np.median(volume / atoms.sum(1))
    room = np.where(holds >= 5, np.maximum(room, LEAST_VOLUME), typical)
    return Elements(frequency=holds / n, abundance=share.sum(0) / np.maximum(holds, 1), volume=room)


def main() -> None:
    """Write the table."""
    found = derive(read([Path(name) for name in sys.argv[2:]]))
    what = f"Elements 1 to {HEAVIEST}: share of structures that hold one, mean share of their atoms, volume in Å³"
    document = {"what": what} | {key: [round(float(x), 5) for x in value] for key, value in vars(found).items()}
    Path(sys.argv[1]).write_text(json.dumps(document, indent=1).replace(",\n  ", ", ").replace("[\n  ", "[") + "\n")


if __name__ == "__main__":
    main()
