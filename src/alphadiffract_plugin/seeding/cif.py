"""A candidate as a crystal without atoms: a diffpy.structure object, and CIF text that other programs open.

pymatgen, diffpy.structure and GSAS-II refuse a CIF without atoms. So there is one dummy atom (type ``X``,
``_atom_site_calc_flag dum``) in a general position, where every operation of the group shows. GSAS-II takes it for
hydrogen. In polar groups a single orbit is more symmetric than its group: the group that the file names is the right
one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alphadiffract_plugin.records import Candidate
from alphadiffract_plugin.uncertainty import value_with_esd

if TYPE_CHECKING:
    from diffpy.structure import Structure

DUMMY = (0.137, 0.211, 0.073)
"""Fractional coordinates of the dummy atom, in no special position of any space group."""


def structure_from_candidate(candidate: Candidate) -> Structure:
    """The candidate as a diffpy.structure ``Structure``: its lattice, and the dummy as its only atom.

    Raises
    ------
    ValueError : the six numbers are not a cell.
    """
    from diffpy.structure import Atom, Lattice, Structure

    try:
        lattice = Lattice(*candidate.cell)
    except Exception as error:  # diffpy raises LatticeError, ValueError or ZeroDivisionError
        raise ValueError(f"{candidate.cell} is not a cell: {error}") from error
    structure = Structure([Atom("X", DUMMY, label="X1")], lattice=lattice, title=candidate.space_group_symbol)
    structure.pdffit = {"spcgr": candidate.space_group_symbol.replace(" ", "")}
    return structure


def cif_from_candidate(candidate: Candidate, rank: int) -> str:
    """CIF text of a candidate: cell with esds, space group with its operations (origin 2), the dummy atom.

    Parameters
    ----------
    candidate : with its cell in the standard setting.
    rank : its place in the answer, counted from 1, which names the data block.
    """
    import gemmi

    structure = structure_from_candidate(candidate)
    group = gemmi.get_spacegroup_reference_setting(candidate.space_group)
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = zip(names, structure.lattice.abcABG(), candidate.cell_esd, strict=True)
    lines = [
        "# Cell and space group found by alphadiffract-plugin. X1 is a dummy: delete it before you refine.",
        f"data_candidate_{rank}",
        *(f"_cell_{name} {value_with_esd(value, esd, decimals=5)}" for name, value, esd in cell),
        f"_cell_volume {structure.lattice.volume:.4f}",
        f"_space_group_crystal_system {candidate.crystal_system}",
        f"_space_group_IT_number {candidate.space_group}",
        f"_space_group_name_H-M_alt '{candidate.space_group_symbol}'",
        f"_symmetry_space_group_name_H-M '{candidate.space_group_symbol}'",
        f"_space_group_name_Hall '{group.hall}'",
        "loop_",
        "_space_group_symop_operation_xyz",
        *(f"'{operation.triplet()}'" for operation in group.operations()),
        "loop_",
        *(f"_atom_site_{name}" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")),
        *(f"_atom_site_{name}" for name in ("occupancy", "calc_flag")),
        *(f"{atom.label} {atom.element} {atom.x:.3f} {atom.y:.3f} {atom.z:.3f} 1 dum" for atom in structure),
    ]
    return "\n".join(lines) + "\n"
