"""Read the atoms of a CIF, or of a list, in the setting of a phase."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.recipes.recipe_records import Atom, cell_from_numbers
from alphadiffract_plugin.recipes.structure_recipe import (
    LARGEST_U,
    USUAL_U,
    Group,
    OtherCrystal,
    at_special_position,
    atoms_in_setting,
    group_of_phase,
    one_per_orbit,
    unique_labels,
)
from alphadiffract_plugin.records import Candidate, Cell

if TYPE_CHECKING:
    import gemmi

SYMMETRIC = 0.01
"""Atoms of a CIF without symmetry are equivalent if an operation brings them within this distance in Å."""


@dataclasses.dataclass(frozen=True)
class Structure:
    """Atoms with the cell and the space group that they belong to."""

    group: Group
    """Cell and space group."""
    atoms: tuple[Atom, ...]
    """At least one."""


def atoms_for_phase(source: str | Path | Sequence[Atom], phase: Any) -> tuple[Atom, ...]:
    """Atoms in the setting of a G2Phase, on special positions where they belong, one per orbit.

    Parameters
    ----------
    source : a CIF in any setting, or atoms in the setting of the phase.
    phase : with the cell and the space group to compare with.

    Raises
    ------
    InputError : the file cannot be read, has no atoms, or is of another crystal than the phase; it says what differs.
    """
    ours = group_of_phase(phase)
    if not isinstance(source, (str, Path)):
        _check_atoms(source)
        return tuple(unique_labels(one_per_orbit([at_special_position(atom, ours) for atom in source], ours)))
    structure = structure_from_cif(Path(source))
    try:
        return atoms_in_setting(structure.atoms, structure.group, ours)
    except OtherCrystal as difference:
        raise InputError(
            f"is not the crystal of phase {phase.name}: {difference}",
            fix="give the structure of this phase, or take the phase of another candidate",
            where=source,
        ) from difference


def _check_atoms(atoms: Sequence[Atom]) -> None:
    """Refuse an empty list of atoms, an unknown element, which GSAS-II would take for nothing, and coordinates of NaN.

    Raises
    ------
    InputError : names the atom.
    """
    import gemmi

    if not atoms:
        raise InputError("there are no atoms to refine", fix="give at least one atom")
    for atom in atoms:
        if gemmi.Element(atom.element.rstrip("+-0123456789")).atomic_number == 0:
            raise InputError(f"{atom.element!r} of atom {atom.label} is not an element", fix="give a chemical symbol")
        if not np.isfinite(atom.xyz).all():
            raise InputError(f"the coordinates of atom {atom.label} are not numbers", fix="give three numbers")


def rank_of_structure(structure: Structure, candidates: Sequence[Candidate], path: str | Path) -> int:
    """Place, counted from 0, of the first candidate that has the cell and the space group of a structure.

    Raises
    ------
    InputError : there is none; it says in what the first candidate differs.
    """
    differences = []
    for rank, candidate in enumerate(candidates):
        try:
            atoms_in_setting(structure.atoms, structure.group, group_of_candidate(candidate))
        except OtherCrystal as difference:
            differences.append(str(difference))
        else:
            return rank
    raise InputError(
        f"is the crystal of none of the {len(candidates)} candidates that become phases; of the first one "
        f"{differences[0].replace('the phase has', 'the candidate has')}",
        fix="seed without it and look at the candidates, or keep more of them with --set seed.keep=20",
        where=path,
    )


def group_of_candidate(candidate: Candidate) -> Group:
    """Cell and space group of a candidate."""
    rotations, shifts = crystal.operations_from_space_group(candidate.space_group)
    return Group(candidate.cell, rotations.astype(float), shifts / 24, candidate.space_group_symbol)


def structure_from_cif(path: Path) -> Structure:
    """The first structure with atoms in a CIF; one that is written without symmetry gets its symmetry from its atoms.

    Raises
    ------
    InputError : the file cannot be read, or it has no atoms, cell or space group that gemmi knows.
    """
    import gemmi

    fix = "give a CIF with a cell, a space group and atoms"
    try:
        document = gemmi.cif.read(str(path))
        models = (gemmi.make_small_structure_from_block(block) for block in document)
        model = next((model for model in models if model.sites), None)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"is not a CIF that can be read: {error}", fix=fix, where=path) from error
    atoms = tuple(_atom(site) for site in model.sites if _is_real(site)) if model else ()
    if model is None or not atoms:
        raise InputError("has no atoms", fix=fix, where=path)
    operations = _operations(model)
    if operations is None or not model.cell.is_crystal():
        raise InputError("has no cell, or no space group that is known", fix=fix, where=path)
    rotations = np.array([operation.rot for operation in operations], dtype=float) / gemmi.Op.DEN
    shifts = np.array([operation.tran for operation in operations], dtype=float) / gemmi.Op.DEN
    symbol = model.spacegroup.xhm() if model.spacegroup else model.spacegroup_hm or "its operations"
    structure = Structure(Group(cell_from_numbers(model.cell.parameters), rotations, shifts, symbol), atoms)
    return with_symmetry(structure) if len(rotations) == 1 else structure


def with_symmetry(structure: Structure) -> Structure:
    """A structure that is written in P 1, in the standard setting of the space group that its atoms have."""
    import spglib

    kinds = [(atom.element, atom.occupancy) for atom in structure.atoms]
    numbers = [sorted(set(kinds)).index(kind) + 1 for kind in kinds]
    lattice = np.linalg.cholesky(structure.group.metric).tolist()
    found = spglib.get_symmetry_dataset((lattice, [atom.xyz for atom in structure.atoms], numbers), symprec=SYMMETRIC)
    if found is None or found.number == 1:
        return structure
    operations = spglib.get_symmetry_from_database(found.hall_number) or {}
    group = Group(
        _cell_from_lattice(found.std_lattice),
        operations["rotations"].astype(float),
        operations["translations"],
        f"{found.international} (found from atoms in P 1)",
    )
    names = sorted(set(kinds))
    atoms = []
    for place, (number, (x, y, z)) in enumerate(zip(found.std_types, found.std_positions, strict=True), start=1):
        element, occupancy = names[number - 1]
        atoms.append(Atom(f"{element}{place}", element, (float(x), float(y), float(z)), occupancy))
    return Structure(group, tuple(atoms))


def _cell_from_lattice(lattice: np.ndarray) -> Cell:
    """Cell in Å and degrees of edges in rows."""
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = [
        lattice[one] @ lattice[other] / (lengths[one] * lengths[other]) for one, other in ((1, 2), (0, 2), (0, 1))
    ]
    return cell_from_numbers((*lengths, *np.degrees(np.arccos(cosines))))


def _operations(model: gemmi.SmallStructure) -> list[gemmi.Op] | None:
    """The operations that a CIF lists, otherwise those of its symbol; None if it has neither."""
    import gemmi

    if model.symops:
        return list(gemmi.GroupOps([gemmi.Op(text) for text in model.symops]))
    return list(model.spacegroup.operations()) if model.spacegroup else None


def _is_real(site: gemmi.SmallStructure.Site) -> bool:
    """Whether a site holds an atom of a known element."""
    return site.occ > 0 and site.element.atomic_number > 0


def _atom(site: gemmi.SmallStructure.Site) -> Atom:
    """A site as an atom; of anisotropic displacements the mean counts."""
    u = site.u_iso or (site.aniso.u11 + site.aniso.u22 + site.aniso.u33) / 3
    x, y, z = site.fract.tolist()
    return Atom(site.label, site.element.name, (x, y, z), site.occ, u if 0 < u <= LARGEST_U else USUAL_U)
