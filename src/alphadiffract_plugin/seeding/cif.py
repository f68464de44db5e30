"""A candidate as a crystal without atoms: a diffpy.structure object, and CIF text that other programs open.

A CIF without any atom is refused by pymatgen, diffpy.structure and GSAS-II. So one dummy atom (type ``X``,
``_atom_site_calc_flag dum``) stands in a general position, where every operation of the group shows. GSAS-II takes
it for hydrogen. In polar groups a single orbit is more symmetric than its group: believe the group that the file names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alphadiffract_plugin.records import Candidate

if TYPE_CHECKING:
    from diffpy.structure import Structure

DUMMY = (0.137, 0.211, 0.073)
"""Fractional coordinates of the dummy atom, in no special position of any space group."""


def structure_from_candidate(candidate: Candidate) -> Structure:
    """The candidate as diffpy.structure ``Structure``: its lattice, and the dummy as the only atom listed.

    Raises
    ------
    ValueError : the cell is no cell.
    """
    from diffpy.structure import Atom, Lattice, Structure

    try:
        lattice = Lattice(*candidate.cell)
    except Exception as error:  # diffpy raises LatticeError, ValueError or ZeroDivisionError
        raise ValueError(f"{candidate.cell} is no cell: {error}") from error
    structure = Structure([Atom("X", DUMMY, label="X1")], lattice=lattice, title=candidate.space_group_symbol)
    structure.pdffit = {"spcgr": candidate.space_group_symbol.replace(" ", "")}
    return structure


def cif_from_candidate(candidate: Candidate, rank: int) -> str:
    """CIF text of a candidate: cell with esds, space group with its operations (origin 2), the dummy atom.

    Parameters
    ----------
    candidate : its cell must be in the standard setting.
    rank : its place in the answer, counted from 1; names the data block.
    """
    import gemmi

    structure = structure_from_candidate(candidate)
    group = gemmi.get_spacegroup_reference_setting(candidate.space_group)
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = zip(names, structure.lattice.abcABG(), candidate.cell_esd, strict=True)
    lines = [
        "# Cell and space group found by alphadiffract-plugin. X1 is a dummy: delete it before you refine.",
        f"data_candidate_{rank}",
        *(f"_cell_{name} {_with_esd(value, esd)}" for name, value, esd in cell),
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


def _with_esd(value: float, esd: float) -> str:
    """A number with its standard uncertainty in the last digits, as CIF has it: 8.4801(12)."""
    if not esd > 0 or esd >= 1:
        return f"{value:.6g}" if value == round(value, 2) else f"{value:.5f}"
    digits = 1
    while round(esd * 10**digits) < 2:
        digits += 1
    return f"{value:.{digits}f}({round(esd * 10**digits)})"
