"""Stories of a structure on other axes than the phase that it belongs to: its atoms arrive where they belong."""

import dataclasses

import gemmi
import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.gsasii.structures import group_of_candidate, rank_of_structure, structure_from_cif
from alphadiffract_plugin.recipes.recipe_records import Atom
from alphadiffract_plugin.recipes.structure_recipe import (
    Group,
    OtherCrystal,
    at_special_position,
    atoms_in_setting,
    free_coordinates,
    one_per_orbit,
    polar_axes,
)
from alphadiffract_plugin.records import Candidate

CELLS = {
    5: (12.1, 5.3, 8.7, 90.0, 104.0, 90.0),
    14: (5.95, 21.6, 7.53, 90.0, 103.78, 90.0),
    15: (12.1, 5.3, 8.7, 90.0, 104.0, 90.0),
    33: (8.48, 6.958, 5.398, 90.0, 90.0, 90.0),
    62: (8.48, 5.398, 6.958, 90.0, 90.0, 90.0),
    70: (7.71, 8.54, 8.53, 90.0, 90.0, 90.0),
    88: (5.24, 5.24, 11.37, 90.0, 90.0, 90.0),
    167: (5.033, 5.033, 13.742, 90.0, 90.0, 120.0),
    227: (10.496, 10.496, 10.496, 90.0, 90.0, 90.0),
}
"""Groups with several settings: unique axes and cell choices, orders of axes, two origins, two lattices of R."""
SETTINGS = [group for group in gemmi.spacegroup_table() if group.number in CELLS]
GENERAL = Atom("A1", "Fe", (0.137, 0.211, 0.073))


def group_of(setting, cell):
    operations = list(setting.operations())
    rotations = np.array([operation.rot for operation in operations], dtype=float) / gemmi.Op.DEN
    shifts = np.array([operation.tran for operation in operations], dtype=float) / gemmi.Op.DEN
    return Group(cell, rotations, shifts, setting.xhm())


def candidate_of(number, cell, **more):
    symbol, system = crystal.symbol_from_space_group(number), crystal.crystal_system_from_space_group(number)
    return Candidate(cell, (0.0,) * 6, number, symbol, system, 0.9, **more)


def standard(number):
    return group_of_candidate(candidate_of(number, CELLS[number]))


def intensities(atoms, group):
    """|F|² of the lines with indices up to 4, one value a spacing, of point scatterers: what a powder pattern shows."""
    index = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inv_d2 = np.einsum("ni,ij,nj->n", index, np.linalg.inv(group.metric), index)
    images = np.concatenate([group.rotations @ np.array(atom.xyz) + group.shifts for atom in atoms])
    strength = np.abs(np.exp(2j * np.pi * index @ images.T).sum(axis=1)) ** 2
    order = np.argsort(inv_d2)[1:120]
    return {round(float(inv_d2[one]), 6): strength[np.abs(inv_d2 - inv_d2[one]) < 1e-7].sum() for one in order}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.xhm())
def test_every_setting_of_a_group_leads_to_the_same_pattern(setting):
    ours = standard(setting.number)
    # x(standard) = P x(setting) + p: gemmi's basisop leads from the standard setting to this one
    change = setting.basisop
    turn = np.array(change.rot, dtype=float) / gemmi.Op.DEN
    shift = np.array(change.tran, dtype=float) / gemmi.Op.DEN
    reference = gemmi.get_spacegroup_reference_setting(setting.number).basisop
    from_reference = np.array(reference.rot, dtype=float) / gemmi.Op.DEN
    reference_shift = np.array(reference.tran, dtype=float) / gemmi.Op.DEN
    here = turn @ np.linalg.solve(from_reference, np.array(GENERAL.xyz) - reference_shift) + shift
    axes = from_reference @ np.linalg.inv(turn)  # columns: axes of this setting in the standard ones
    metric = axes.T @ ours.metric @ axes
    edges = np.sqrt(np.diag(metric))
    angles = [np.degrees(np.arccos(metric[i, j] / edges[i] / edges[j])) for i, j in ((1, 2), (0, 2), (0, 1))]
    theirs = group_of(setting, (*edges.tolist(), *map(float, angles)))
    try:
        (placed,) = atoms_in_setting([dataclasses.replace(GENERAL, xyz=tuple(here))], theirs, ours)
    except OtherCrystal as difference:
        pytest.fail(f"{difference}")
    wanted, found = intensities([GENERAL], ours), intensities([placed], ours)
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_a_cell_that_differs_by_a_per_cent_is_the_same_and_by_two_it_is_not():
    ours = standard(62)
    for factor, same in ((1.008, True), (1.02, False)):
        theirs = dataclasses.replace(ours, cell=(8.48 * factor, 5.398, 6.958, 90.0, 90.0, 90.0))
        if same:
            assert atoms_in_setting([GENERAL], theirs, ours) == (GENERAL,)
        else:
            with pytest.raises(OtherCrystal, match="the cells differ: the structure has P n m a, 8.6496 5.398 6.958"):
                atoms_in_setting([GENERAL], theirs, ours)


def test_another_group_with_the_same_cell_is_said_so():
    theirs = dataclasses.replace(standard(33), cell=(8.48, 5.398, 6.958, 90.0, 90.0, 90.0))
    with pytest.raises(OtherCrystal, match="the cells agree, but not the space groups: the structure has P n a 21"):
        atoms_in_setting([GENERAL], theirs, standard(62))


def test_rounded_coordinates_are_put_on_the_special_position():
    zincite = group_of(gemmi.SpaceGroup("P 63 m c"), (3.2483, 3.2483, 5.2041, 90.0, 90.0, 120.0))
    zinc = at_special_position(Atom("Zn", "Zn", (0.3333, 0.6667, 0.0)), zincite)
    assert zinc.xyz == pytest.approx((1 / 3, 2 / 3, 0), abs=1e-12)
    moves = free_coordinates(zinc, zincite)
    assert moves == pytest.approx(np.diag([0, 0, 1]))
    assert polar_axes(zincite) == [2]
    assert polar_axes(standard(62)) == []
    twice = [zinc, Atom("Zn2", "Zn", (0.6667, 0.3333, 0.5)), Atom("O", "O", (0.3333, 0.6667, 0.38))]
    assert [atom.label for atom in one_per_orbit(twice, zincite)] == ["Zn", "O"]


def test_labels_become_unique():
    other = dataclasses.replace(GENERAL, xyz=(0.3, 0.4, 0.1))
    assert [atom.label for atom in atoms_in_setting([GENERAL, other], standard(62), standard(62))] == ["A1", "A1_2"]


CIF = """data_model
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M '{symbol}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{atoms}
"""
FLUORITE = ["0 0 0", "0 .5 .5", ".5 0 .5", ".5 .5 0"]


def test_a_structure_written_without_symmetry_gets_it_from_its_atoms(tmp_path):
    rows = [f"Si{n} Si {xyz}" for n, xyz in enumerate(FLUORITE)]
    rows += [f"Mg{n} Mg {x} {y} {z}" for n, (x, y, z) in enumerate(np.ndindex(2, 2, 2))]
    rows = [row if row.startswith("Si") else _quarter(row) for row in rows]
    path = tmp_path / "mg2si.cif"
    path.write_text(CIF.format(a=6.3347, symbol="P 1", atoms="\n".join(rows)))
    structure = structure_from_cif(path)
    ours = group_of_candidate(candidate_of(225, (6.33,) * 3 + (90.0,) * 3))
    placed = atoms_in_setting(structure.atoms, structure.group, ours)
    assert sorted((atom.element, len(one_per_orbit([atom], ours))) for atom in placed) == [("Mg", 1), ("Si", 1)]
    assert sum(atom.element == "Mg" for atom in placed) == 1


def _quarter(row):
    label, element, *numbers = row.split()
    return " ".join([label, element, *(str(0.25 + 0.5 * int(number)) for number in numbers)])


def test_the_candidate_of_a_structure_is_found_and_none_is_said_so(tmp_path):
    path = tmp_path / "lab6.cif"
    path.write_text(CIF.format(a=4.157, symbol="P m -3 m", atoms="La La 0 0 0\nB B 0.2 0.5 0.5"))
    structure = structure_from_cif(path)
    wrong, right = candidate_of(221, (8.0,) * 3 + (90.0,) * 3), candidate_of(221, (4.16,) * 3 + (90.0,) * 3)
    assert rank_of_structure(structure, [wrong, right], path) == 1
    with pytest.raises(InputError, match="none of the 1 candidates .* the candidate has P m -3 m, 8 8 8 90 90 90"):
        rank_of_structure(structure, [wrong], path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no atoms"),
        ("not a cif", "is not a CIF that can be read"),
        (CIF.format(a=4.157, symbol="P m -3 m", atoms="X1 X .1 .2 .3"), "has no atoms"),
        (CIF.format(a=4.157, symbol="Q 9", atoms="La La 0 0 0"), "no space group that is known"),
    ],
)
def test_a_file_without_a_structure_is_refused(tmp_path, text, fault):
    path = tmp_path / "x.cif"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        structure_from_cif(path)
    with pytest.raises(InputError, match="is not a CIF that can be read"):
        structure_from_cif(tmp_path / "nowhere.cif")
