"""One reported crystal to one row in the standardised conventional cell of spglib, or the reason why it is rejected.

The filters are those of AlphaDiffract (Andrejevic et al., arXiv:2603.23367): the space group stays the same over the
tolerances of ``SYMPRECS`` and ``ANGLE_TOLERANCES``; the lattice keeps the symmetry of that group within
``METRIC_TOLERANCE``; the volume and the number of atoms are limited. Sites of different composition count as different
atoms, so that disordered crystals have their true symmetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.crystal.cells import cell_from_direct_metric

from .columns import ATOM_COLUMNS, CELL, HEAVIEST
from .split import chemical_system, split_of

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure
    from spglib import SpglibDataset

SYMPRECS = (0.01, 0.1)
"""Both ends of the range of distances in Å within which atoms count as equivalent."""
ANGLE_TOLERANCES = (0.1, 5.0)
"""Both ends of the range of tolerances in degrees of the angles between basis vectors."""
METRIC_TOLERANCE = 1e-3
"""Largest strain by which an operation of the group may change the reported lattice."""
MOST_VOLUME = 100_000.0
"""Largest volume of the cell in Å³."""
MOST_ATOMS = 500
"""Largest number of positions in the cell."""
CLOSEST, CLOSEST_TO_HYDROGEN = 0.85, 0.35
"""Least distances in Å of sites that are occupied at the same time."""
LEAST_OCCUPANCY = 1e-3
"""Least occupancy of an element on a site; smaller ones are left out."""
_SAME_PLACE = 0.02
"""Distance in Å up to which images of an atom coincide."""


class Rejection(Exception):
    """Why a crystal is left out: a ``reason``, by which rejections are counted, and the ``detail``."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def row_from_structure(structure: Structure, *, identity: str, origin: str) -> dict[str, Any]:
    """The row (columns of :mod:`.table`) of a crystal.

    Parameters
    ----------
    structure : the cell and atoms as reported; mixed and partial occupancies are allowed.
    identity : ``source:original id``.
    origin : one of ``columns.ORIGINS``.

    Raises
    ------
    Rejection : the crystal fails a filter.
    """
    basis, position = np.array(structure.lattice.matrix), np.array(structure.frac_coords)
    sites = compositions(structure)
    kept = [i for i, site in enumerate(sites) if site]
    if not kept:
        raise Rejection("no atoms")
    if len(kept) > MOST_ATOMS:
        raise Rejection("too many atoms", f"{len(kept)}; at most {MOST_ATOMS}")
    if abs(np.linalg.det(basis)) >= MOST_VOLUME:
        raise Rejection("cell too large", f"{abs(np.linalg.det(basis)):.0f} Å³; below {MOST_VOLUME:.0f}")
    check_distances(structure, sites)
    kinds = sorted({tuple(sites[i].items()) for i in kept})
    labels = [1 + kinds.index(tuple(sites[i].items())) for i in kept]
    found = stable_symmetry((basis, position[kept], labels))
    return _row(found, kinds, identity=identity, origin=origin)


def compositions(structure: Structure) -> list[dict[int, float]]:
    """Occupancy by atomic number, ascending, of each site; empty for a vacant site.

    Raises
    ------
    Rejection : an element is unknown or has no tabulated form factor, or an occupancy is above 1.
    """
    sites = []
    for site in structure:
        by_number: dict[int, float] = {}
        for species, amount in site.species.items():
            number = getattr(species, "Z", None)
            if not isinstance(number, (int, np.integer)) or not 1 <= number <= HEAVIEST:
                raise Rejection("unknown element", str(species))
            by_number[int(number)] = by_number.get(int(number), 0.0) + float(amount)
        total = sum(by_number.values())
        if total > 1 + 1e-3:
            raise Rejection("occupancy above 1", f"{total:.3f}")
        sites.append({z: round(o, 4) for z, o in sorted(by_number.items()) if o >= LEAST_OCCUPANCY})
    return sites


def check_distances(structure: Structure, sites: list[dict[int, float]]) -> None:
    """Reject atoms at impossible distances, unless their occupancies add up to 1 at most.

    Raises
    ------
    Rejection : two atoms are too close; the detail gives the distance.
    """
    first, second, _, distance = structure.get_neighbor_list(CLOSEST, exclude_self=True)
    total = np.array([sum(site.values()) for site in sites])
    light = np.array([1 in site for site in sites])
    least = np.where(light[first] | light[second], CLOSEST_TO_HYDROGEN, CLOSEST)
    close = (distance < least) & (total[first] + total[second] > 1.02)
    if close.any():
        raise Rejection("atoms too close", f"{distance[close].min():.2f} Å")


SpglibCell = tuple[Any, Any, Any]
"""Basis vectors in Å as rows, fractional coordinates, and labels of atoms; spglib declares lists but takes arrays."""


def stable_symmetry(cell: SpglibCell) -> SpglibDataset:
    """The symmetry that spglib finds with the smallest distance and largest angle, if all tolerances give its group.

    Raises
    ------
    Rejection : no symmetry is found, it depends on the tolerances, or the lattice does not have it.
    """
    import spglib

    datasets = []
    for symprec in SYMPRECS:
        for angle in reversed(ANGLE_TOLERANCES):
            try:
                now = spglib.get_symmetry_dataset(cell, symprec=symprec, angle_tolerance=angle)
            except Exception as error:  # since spglib 2.7 the user chooses whether it raises errors of its own
                raise Rejection("no symmetry found", str(error)) from error
            if now is None:
                raise Rejection("no symmetry found", f"at {symprec} Å and {angle} degrees")
            datasets.append(now)
            if now.number != datasets[0].number:
                detail = f"{datasets[0].number} at {SYMPRECS[0]} Å, {now.number} at {symprec} Å and {angle} degrees"
                raise Rejection("space group depends on the tolerance", detail)
    found = datasets[0]
    metric = cell[0] @ cell[0].T
    edges = np.sqrt(np.diag(metric))
    images = found.rotations.transpose(0, 2, 1) @ metric @ found.rotations
    off = np.abs((images - metric) / np.outer(edges, edges)).max() / 2
    if off > METRIC_TOLERANCE:
        raise Rejection("cell not of its crystal system", f"strained by {off:.4f} for space group {found.number}")
    return found


def _row(
    found: SpglibDataset, kinds: list[tuple[tuple[int, float], ...]], *, identity: str, origin: str
) -> dict[str, Any]:
    import gemmi
    import spglib

    basis, position, labels = found.std_lattice, found.std_positions, found.std_types
    if len(position) > MOST_ATOMS:
        raise Rejection("too many atoms", f"{len(position)} in the conventional cell; at most {MOST_ATOMS}")
    standardised: SpglibCell = (basis, position, labels)
    again = spglib.get_symmetry_dataset(standardised, symprec=SYMPRECS[0])
    if again is None or again.number != found.number:
        raise Rejection("space group depends on the tolerance", "the standardised cell has another one")
    orbits, first, images = np.unique(again.crystallographic_orbits, return_index=True, return_counts=True)
    _check_orbits(found.hall_number, basis, position[first], images)

    atoms = [(z, o, *position[i], int(m), again.wyckoffs[i]) for i, m in zip(first, images, strict=True)
             for z, o in kinds[labels[i] - 1]]  # fmt: skip
    amounts: dict[str, float] = {}
    for z, o, _, _, _, m, _ in atoms:
        amounts[gemmi.Element(z).name] = amounts.get(gemmi.Element(z).name, 0.0) + o * m
    total = sum(amounts.values())
    ordered = all(len(kinds[labels[i] - 1]) == 1 and kinds[labels[i] - 1][0][1] > 0.999 for i in first)
    key = chemical_system(amounts)
    cell = cell_from_direct_metric(basis @ basis.T)
    columns = dict(zip(ATOM_COLUMNS, map(list, zip(*(atom[:6] for atom in atoms), strict=True)), strict=True))
    return {
        "id": identity,
        "source": identity.partition(":")[0],
        "origin": origin,
        "formula": formula(amounts, ordered=ordered),
        "chemkey": key,
        "ordered": ordered,
        "sg": int(found.number),
        "hall": int(found.hall_number),
        **dict(zip(CELL, (*cell[:3], *(round(angle, 5) for angle in cell[3:])), strict=True)),
        "volume": float(abs(np.linalg.det(basis))),
        "n_sites": len(position),
        "n_atoms": float(total),
        **columns,
        "wyckoff": "".join(atom[6] for atom in atoms),
        "split": split_of(key),
    }


def _check_orbits(hall: int, basis: np.ndarray, position: np.ndarray, images: np.ndarray) -> None:
    """Reject atoms with another number of images under the operations of the setting than spglib counts."""
    import spglib

    operations = spglib.get_symmetry_from_database(hall)
    if operations is None:
        raise ValueError(f"spglib has no setting with the Hall number {hall}")
    image = np.einsum("nij,pj->pni", operations["rotations"], position) + operations["translations"]
    delta = image[:, :, None] - image[:, None]
    delta -= np.round(delta)
    near = (np.linalg.norm(delta @ basis, axis=-1) < _SAME_PLACE).sum(-1)
    distinct = (1 / near).sum(-1)
    if np.abs(distinct - images).max() > 1e-6:
        raise Rejection("space group depends on the tolerance", "an atom is very close to a special position")


def formula(amounts: dict[str, float], *, ordered: bool) -> str:
    """Elements by symbol with the smallest whole numbers, ``O2Ti``; atomic fractions if disordered, ``K0.250...``."""
    total = sum(amounts.values())
    if not ordered:
        return "".join(f"{symbol}{amount / total:.3f}" for symbol, amount in sorted(amounts.items()))
    counts = {symbol: round(amount) for symbol, amount in amounts.items()}
    divisor = int(np.gcd.reduce(list(counts.values())))
    return "".join(f"{s}{n // divisor if n > divisor else ''}" for s, n in sorted(counts.items()))
