"""Cells, lattices and space groups, held against gemmi and against minerals that everyone knows."""

import itertools

import gemmi
import numpy as np
import pytest
import spglib
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alphadiffract_plugin import crystal

COPPER = 1.5405929
ALL_GROUPS = range(1, 231)

MINERALS = {
    "LaB6": ((4.15683,) * 3 + (90.0,) * 3, "P m -3 m"),
    "anglesite": ((8.480, 5.398, 6.958, 90.0, 90.0, 90.0), "P n m a"),
    "calcite": ((4.9896, 4.9896, 17.061, 90.0, 90.0, 120.0), "R -3 c"),
    "arsenic": ((3.7598, 3.7598, 10.5475, 90.0, 90.0, 120.0), "R -3 m"),
    "quartz": ((4.9134, 4.9134, 5.4052, 90.0, 90.0, 120.0), "P 32 2 1"),
    "anatase": ((3.7845, 3.7845, 9.5143, 90.0, 90.0, 90.0), "I 41/a m d"),
    "diopside": ((9.746, 8.899, 5.251, 90.0, 105.63, 90.0), "C 2/c"),
    "malachite": ((3.240, 11.974, 9.502, 90.0, 98.75, 90.0), "P 21/c"),
    "wollastonite": ((7.94, 7.32, 7.07, 90.03, 95.37, 103.43), "P -1"),
}

LATTICES = {
    ("cubic", "P"): MINERALS["LaB6"][0],
    ("cubic", "I"): (2.8665,) * 3 + (90.0,) * 3,
    ("cubic", "F"): (5.43102,) * 3 + (90.0,) * 3,
    ("hexagonal", "P"): MINERALS["quartz"][0],
    ("hexagonal", "R"): MINERALS["calcite"][0],
    ("tetragonal", "P"): (4.5937, 4.5937, 2.9587, 90.0, 90.0, 90.0),
    ("tetragonal", "I"): MINERALS["anatase"][0],
    ("orthorhombic", "P"): (5.398, 6.958, 8.480, 90.0, 90.0, 90.0),
    ("orthorhombic", "C"): (3.784, 9.26, 6.63, 90.0, 90.0, 90.0),
    ("orthorhombic", "I"): (4.72, 5.51, 6.53, 90.0, 90.0, 90.0),
    ("orthorhombic", "F"): (10.467, 12.866, 24.486, 90.0, 90.0, 90.0),
    ("monoclinic", "P"): MINERALS["malachite"][0],
    ("monoclinic", "C"): MINERALS["diopside"][0],
    ("triclinic", "P"): MINERALS["wollastonite"][0],
}
"""One cell of each Bravais lattice: iron, silicon, rutile, sulphur (F) and others beside the minerals above."""


@given(
    st.tuples(*[st.floats(2.0, 40.0)] * 3, *[st.floats(60.0, 120.0)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_a_cell_goes_to_its_reciprocal_metric_and_back(cell):
    cosines = np.cos(np.radians(cell[3:]))
    assume(1 - (cosines**2).sum() + 2 * cosines.prod() > 0.05)
    assert crystal.cell_from_metric(crystal.metric_from_cell(cell)) == pytest.approx(cell, rel=1e-7)


@given(st.tuples(*[st.floats(2.0, 40.0)] * 3, *[st.floats(75.0, 105.0)] * 3), st.tuples(*[st.integers(-9, 9)] * 3))
@settings(max_examples=60, deadline=None)
def test_the_metric_gives_the_d_spacing_that_gemmi_gives(cell, hkl):
    ours = crystal.quadratic_form(np.array([hkl])) @ crystal.metric_from_cell(cell)
    assert ours[0] == pytest.approx(gemmi.UnitCell(*cell).calculate_1_d2(hkl), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", MINERALS)
def test_the_lines_of_a_mineral_are_those_that_gemmi_allows(name):
    """Every index within reach, one by one, through gemmi's own cell and its own test of absences."""
    cell, symbol = MINERALS[name]
    group = gemmi.find_spacegroup_by_name(symbol)
    reach = 1 / 0.9**2
    box = gemmi.UnitCell(*cell)
    absent = group.operations().is_systematically_absent
    top = [int(edge / 0.9) + 1 for edge in cell[:3]]
    box_of_indices = itertools.product(range(-top[0], top[0] + 1), range(-top[1], top[1] + 1), range(top[2] + 1))
    present = [hkl for hkl in box_of_indices if any(hkl) and not absent(hkl)]
    expected = {round(box.calculate_1_d2(hkl), 7) for hkl in present}
    expected = np.array(sorted(value for value in expected if value <= reach))
    expected = expected[np.diff(expected, prepend=-1) > 2e-7]
    assert crystal.allowed_inv_d2(cell, group.number, reach) == pytest.approx(expected, abs=3e-7)


@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("calcite", {(0, 1, 2): 3.855, (1, 0, 4): 3.035, (1, 1, 0): 2.495, (1, 1, 3): 2.284}),
        ("quartz", {(1, 0, 0): 4.255, (1, 0, 1): 3.343, (1, 1, 0): 2.457, (1, 0, 2): 2.281, (1, 1, 2): 1.817}),
    ],
)
def test_known_lines_lie_where_mineralogists_look_for_them(name, d):
    """d in Å; calcite's strongest line is 104 at 3.035, quartz's 101 at 3.343."""
    cell, symbol = MINERALS[name]
    metric = crystal.metric_from_cell(cell)
    allowed = crystal.allowed_inv_d2(cell, gemmi.find_spacegroup_by_name(symbol).number, 1 / 1.8**2)
    for hkl, expected in d.items():
        value = crystal.quadratic_form(np.array(hkl)) @ metric
        assert 1 / np.sqrt(value) == pytest.approx(expected, abs=1.1e-3)
        assert np.abs(allowed - value).min() < 1e-9


def test_silicon_reflects_copper_radiation_where_every_diffractometer_is_checked():
    """As in the certificate of SRM 640; 222 at 58.86 is forbidden by the site of the atoms, not by the space group."""
    lines = crystal.allowed_inv_d2(LATTICES["cubic", "F"], 227, 4.0)
    two_theta = crystal.two_theta_from_inv_d2(lines, COPPER)
    assert two_theta[:6] == pytest.approx([28.442, 47.302, 56.121, 58.855, 69.129, 76.375], abs=2e-3)
    assert (np.isnan(two_theta) == (lines > (2 / COPPER) ** 2)).all()
    assert np.isnan(two_theta).any()


@pytest.mark.parametrize(("family", "centring"), LATTICES)
def test_a_lattice_is_recognised_from_any_primitive_basis(family, centring):
    """Its primitive vectors, mixed and turned, give the same conventional cell back."""
    cell = LATTICES[family, centring]
    mixed = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]]) @ crystal.primitive_basis(cell, centring)
    turned = mixed @ np.linalg.qr(np.arange(9).reshape(3, 3) + 2.0 * np.eye(3))[0]
    found = crystal.bravais_from_basis(turned, 1e-4)
    assert (found.family, found.centring) == (family, centring)
    if family == "triclinic":
        assert sorted(found.cell[:3]) == pytest.approx(sorted(cell[:3]), rel=1e-6)
    else:
        assert found.cell == pytest.approx(cell, rel=1e-6)


def test_a_nearly_cubic_lattice_is_cubic_only_within_the_tolerance():
    """BaTiO3 at room temperature, 3.9945 and 4.0335 Å: one per cent from cubic."""
    basis = crystal.primitive_basis((3.9945, 3.9945, 4.0335, 90, 90, 90), "P")
    assert crystal.bravais_from_basis(basis, 1e-3).family == "tetragonal"
    assert crystal.bravais_from_basis(basis, 2e-2).family == "cubic"


@pytest.mark.parametrize("letter", "PABCIFR")
def test_centring_allows_what_gemmi_allows(letter):
    number = {"P": "P 1", "A": "A 1", "B": "B 1", "C": "C 1", "I": "I 1", "F": "F 1", "R": "R 3"}[letter]
    operations = gemmi.find_spacegroup_by_name(number).operations()
    operations.sym_ops = [gemmi.Op("x,y,z")]
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3)
    expected = [not operations.is_systematically_absent(list(hkl)) for hkl in grid]
    assert crystal.centred(grid, letter).tolist() == expected
    basis = crystal.primitive_basis((1, 1, 1, 90, 90, 90), letter)
    assert np.linalg.det(basis) == pytest.approx(1 / (1 + len(crystal.centring_translations(letter))))


@pytest.mark.parametrize("name", ["P 1", "A 1", "B 1", "C 1", "I 1", "F 1", "R 3:H"])
def test_a_primitive_basis_spans_the_lattice_of_gemmis(name):
    change = gemmi.SpaceGroup(name).centred_to_primitive()
    theirs, ours = np.array(change.rot) / change.DEN, crystal.primitive_basis((1, 1, 1, 90, 90, 90), name[0]).T
    whole = np.linalg.inv(theirs) @ ours
    assert whole == pytest.approx(np.round(whole), abs=1e-9)
    assert abs(np.linalg.det(ours)) == pytest.approx(abs(np.linalg.det(theirs)))


@pytest.mark.parametrize("number", ALL_GROUPS)
def test_a_symbol_names_its_group_in_the_standard_setting(number):
    symbol = crystal.symbol_from_space_group(number)
    found = gemmi.find_spacegroup_by_name(symbol, 90, 120)
    assert found.number == number
    assert found.hm == gemmi.get_spacegroup_reference_setting(number).hm
    assert crystal.crystal_system_from_space_group(number) == found.crystal_system_str()


def test_symbols_are_written_as_gsas_ii_takes_them():
    symbols = {number: crystal.symbol_from_space_group(number) for number in (2, 14, 15, 62, 167, 194, 227)}
    assert symbols == {
        2: "P -1",
        14: "P 21/c",
        15: "C 2/c",
        62: "P n m a",
        167: "R -3 c",
        194: "P 63/m m c",
        227: "F d -3 m",
    }


def absent_by_definition(index, operations):
    """International Tables A, 1.6.3: an operation maps the index onto itself with a phase other than 2πn."""
    return any((index @ turn == index).all() and index @ shift % 24 for turn, shift in zip(*operations, strict=True))


@pytest.mark.parametrize("number", ALL_GROUPS)
def test_absences_are_those_of_the_definition(number):
    rng = np.random.default_rng(number)
    special = np.array([[h, 0, 0] for h in range(1, 7)])
    special = np.concatenate([np.roll(special, turn, 1) for turn in range(3)])
    plane = rng.integers(-6, 7, (60, 3))
    plane[np.arange(60), rng.integers(0, 3, 60)] = 0
    diagonal = rng.integers(-6, 7, (30, 3))
    diagonal[:, 1] = diagonal[:, 0] * rng.choice([-1, 1], 30)
    hkl = np.concatenate([special, plane, diagonal, rng.integers(-6, 7, (40, 3))])
    operations = crystal.operations_from_space_group(number)
    assert crystal.extinct(hkl, operations).tolist() == [absent_by_definition(index, operations) for index in hkl]
    assert len(operations[0]) == len(gemmi.get_spacegroup_reference_setting(number).operations())


def test_absences_are_those_of_gemmi_in_all_its_settings():
    grid = np.array(list(itertools.product(range(-6, 7), range(7), range(7))), np.int32)
    for group in gemmi.spacegroup_table():
        theirs = group.operations().systematic_absences(grid)
        assert (crystal.extinct(grid, crystal.operations_of(group)) == theirs).all(), group.xhm()


def test_there_is_no_space_group_0_or_231():
    for number in (0, 231, -1):
        with pytest.raises(ValueError, match="numbers go from 1 to 230"):
            crystal.crystal_system_from_space_group(number)
    assert crystal.crystal_system_from_space_group(1) == "triclinic"
    assert crystal.crystal_system_from_space_group(230) == "cubic"


def test_indices_come_in_order_one_of_each_friedel_pair_and_fill_the_sphere():
    metric = crystal.metric_from_cell(MINERALS["wollastonite"][0])
    reach = 1.5
    hkl = crystal.indices_within(metric, reach)
    value = crystal.quadratic_form(hkl) @ metric
    assert (np.diff(value) >= 0).all()
    assert value[-1] <= reach
    both = {tuple(index) for index in np.concatenate([hkl, -hkl])}
    assert len(both) == 2 * len(hkl)
    volume = gemmi.UnitCell(*MINERALS["wollastonite"][0]).volume
    assert 2 * len(hkl) == pytest.approx(4 / 3 * np.pi * reach**1.5 * volume, rel=0.03)
    assert crystal.indices_within(metric, reach, limit=50).tolist() == hkl[:50].tolist()


def test_bragg_s_law_goes_there_and_back():
    """LaB6 (NIST SRM 660c, a = 4.156826 Å): 100 lies at 21.358 degrees with Cu Kα1, at 5.85 with 0.4246 Å."""
    assert crystal.d_from_two_theta(21.358, COPPER) == pytest.approx(4.156826, abs=2e-4)
    assert crystal.inv_d2_from_two_theta(21.358, COPPER) == pytest.approx(4.156826**-2, rel=1e-4)
    assert crystal.two_theta_from_inv_d2(4.156826**-2, COPPER) == pytest.approx(21.358, abs=1e-3)
    assert crystal.two_theta_at_wavelength(21.358, COPPER, 0.4246) == pytest.approx(5.855, abs=2e-3)
    assert np.isnan(crystal.two_theta_at_wavelength(150.0, 0.7, COPPER))
    assert np.isnan(crystal.two_theta_from_inv_d2(2.0, COPPER))
    low, high = (crystal.inv_d2_from_two_theta(angle, COPPER) for angle in (90, 90.0001))
    assert crystal.inv_d2_per_degree(90, COPPER) == pytest.approx((high - low) / 1e-4, rel=1e-4)


def test_the_volume_of_a_metric_is_that_of_gemmi_and_spglib():
    for cell, _ in MINERALS.values():
        direct = crystal.direct_metric_from_cell(cell)
        volume = gemmi.UnitCell(*cell).volume
        assert crystal.volume_from_cell(cell) == pytest.approx(volume)
        assert np.sqrt(np.linalg.det(direct)) == pytest.approx(volume)
        assert np.sqrt(np.linalg.det(crystal.tensor_from_metric(crystal.metric_from_cell(cell)))) == pytest.approx(
            1 / volume
        )
        reduced = spglib.niggli_reduce(crystal.primitive_basis(cell, "P"))
        assert abs(np.linalg.det(reduced)) == pytest.approx(volume)
