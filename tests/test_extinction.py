"""Extinction classes: which space groups the positions of lines cannot tell apart."""

import itertools
import json
from importlib.resources import files

import gemmi
import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal.bravais import LATTICES
from alphadiffract_plugin.crystal.derive_extinction import table
from alphadiffract_plugin.crystal.extinction import extinction_classes, standard_extinction_symbol

GENERAL_CELL = {
    "triclinic": (6.1, 7.3, 8.7, 81.0, 96.0, 103.0),
    "monoclinic": (6.1, 7.3, 8.7, 90.0, 103.0, 90.0),
    "orthorhombic": (6.1, 7.3, 8.7, 90.0, 90.0, 90.0),
    "tetragonal": (6.1, 6.1, 8.7, 90.0, 90.0, 90.0),
    "hexagonal": (6.1, 6.1, 8.7, 90.0, 90.0, 120.0),
    "cubic": (8.7, 8.7, 8.7, 90.0, 90.0, 90.0),
}
"""Cells without accidental symmetry."""

INTERNATIONAL_TABLES = {
    ("monoclinic", "P"): "P -|P 21|P a|P c|P n|P 21/a|P 21/c|P 21/n",
    ("monoclinic", "C"): "C -|C c",
    ("tetragonal", "P"): (
        "P - - -|P - 21 -|P 42 - -|P 42 21 -|P 41 - -|P 41 21 -|P - - c|P - 21 c|P - b -|P - b c|P - c -|P - c c|"
        "P - n -|P - n c|P n - -|P 42/n - -|P n - c|P n b -|P n b c|P n c -|P n c c|P n n -|P n n c"
    ),
    ("tetragonal", "I"): "I - - -|I 41 - -|I - - d|I - c -|I - c d|I 41/a - -|I a - d|I a c d",
    ("hexagonal", "P"): "P - - -|P - - c|P - c -|P - c c|P 63 - -|P 31,62 - -|P 61 - -",
    ("hexagonal", "R"): "R - -|R - c",
    ("cubic", "P"): "P - - -|P 21,42 - -|P 41 - -|P - - n|P a - -|P n - -|P n - n",
    ("cubic", "I"): "I - - -|I 41 - -|I - - d|I a - -|I a - d",
    ("cubic", "F"): "F - - -|F 41 - -|F d - -|F - - c|F d - c",
}
"""The extinction symbols of International Tables A (2005), table 3.1.4.1. Two pairs that it parts by Laue class lie on
the same lines of a powder pattern: 31 with 62, and 21 with 42 in cubic groups."""


def classes_of_all_lattices():
    return [(lattice, found) for lattice in LATTICES for found in extinction_classes(lattice.family, lattice.centring)]


def the_class(family, centring, symbol):
    found = [c for c in extinction_classes(family, centring) if c.symbol == symbol]
    assert len(found) == 1
    return found[0]


def test_every_space_group_is_in_a_class_and_on_its_standard_axes():
    """But for A m m 2 and its three like, whose standard A is searched as C: there they stand on other axes."""
    settings = [setting for _, found in classes_of_all_lattices() for setting in found.settings]
    assert {setting.space_group for setting in settings} == set(range(1, 231))
    standard = {setting.space_group for setting in settings if np.allclose(setting.to_standard, np.eye(3))}
    assert standard == set(range(1, 231)) - {38, 39, 40, 41}


def test_every_space_group_has_an_extinction_symbol_that_begins_with_its_centring():
    for number in range(1, 231):
        letter = crystal.symbol_from_space_group(number)[0]
        assert standard_extinction_symbol(number).split()[0] == letter


@pytest.mark.parametrize(("family", "centring"), INTERNATIONAL_TABLES)
def test_the_symbols_are_those_of_the_international_tables(family, centring):
    found = {c.symbol for c in extinction_classes(family, centring)}
    assert found == set(INTERNATIONAL_TABLES[family, centring].split("|"))


def test_orthorhombic_classes_in_all_orders_of_the_axes_are_111():
    """As in table 3.1.4.1: 71 with P, 8 with I, 5 with F, and 27 with A, B or C, of which the search needs C alone."""
    count = {letter: len(extinction_classes("orthorhombic", letter)) for letter in "PCIF"}
    assert count == {"P": 71, "C": 9, "I": 8, "F": 5}
    assert count["P"] + 3 * count["C"] + count["I"] + count["F"] == 111


@pytest.mark.parametrize(
    ("family", "centring", "symbol", "groups"),
    [
        ("orthorhombic", "P", "P n - a", (33, 62)),
        ("orthorhombic", "P", "P 21 21 21", (19,)),
        ("orthorhombic", "P", "P b c a", (61,)),
        ("orthorhombic", "C", "C - c a,b", (41, 64)),
        ("orthorhombic", "F", "F d d d", (70,)),
        ("monoclinic", "P", "P 21/c", (14,)),
        ("monoclinic", "C", "C c", (9, 15)),
        ("tetragonal", "P", "P - n -", (102, 118, 136)),
        ("tetragonal", "I", "I a - d", (141,)),
        ("hexagonal", "P", "P - - c", (159, 163, 186, 190, 194)),
        ("hexagonal", "R", "R - c", (161, 167)),
        ("cubic", "F", "F - - -", (196, 202, 209, 216, 225)),
        ("cubic", "F", "F d - -", (203, 227)),
        ("cubic", "I", "I a - d", (230,)),
        ("triclinic", "P", "P -", (1, 2)),
    ],
)
def test_known_classes_hold_known_groups(family, centring, symbol, groups):
    assert the_class(family, centring, symbol).space_groups == groups


def test_anglesite_belongs_to_one_class_however_its_axes_are_named():
    """P n m a with its axes in six orders: six classes on the axes at hand, one on the standard ones."""
    cells = {}
    for found in extinction_classes("orthorhombic", "P"):
        for setting in found.settings:
            if setting.space_group == 62:
                cells[found.symbol] = setting.symbol
    assert cells == {
        "P n - a": "P n m a",
        "P - n b": "P m n b",
        "P b n -": "P b n m",
        "P c - n": "P c m n",
        "P - c n": "P m c n",
        "P n a -": "P n a m",
    }
    on_other_axes = the_class("orthorhombic", "P", "P b n -").settings
    setting = next(s for s in on_other_axes if s.space_group == 62)
    assert setting.standard_cell((6.958, 8.480, 5.398, 90, 90, 90)) == pytest.approx((8.480, 5.398, 6.958, 90, 90, 90))
    assert standard_extinction_symbol(62) == "P n - a"
    assert standard_extinction_symbol(33) == "P n a -"


def test_a_cell_in_p_21_n_becomes_one_in_p_21_c_with_the_angle_nearest_to_90_degrees():
    """Bethanechol chloride, published as P 21/n; its other cells in P 21/c have 139.7, 142.7 degrees and more."""
    setting = the_class("monoclinic", "P", "P 21/n").settings[0]
    cell = (8.875, 16.408, 7.137, 90.0, 93.84, 90.0)
    assert setting.standard_cell(cell) == pytest.approx((7.137, 16.408, 11.010, 90, 126.459, 90), abs=1e-3)
    acute = (7.137, 16.408, 11.010, 90, 180 - 126.459, 90)
    setting = the_class("monoclinic", "P", "P 21/c").settings[0]
    assert setting.standard_cell(acute) == pytest.approx((7.137, 16.408, 11.010, 90, 126.459, 90), abs=1e-3)
    assert np.linalg.det(setting.standard_axes(acute)) == pytest.approx(1)


def test_gypsum_in_c_2_c_has_the_cell_of_todays_tables_from_that_of_old_ones():
    """6.284 15.208 5.677 Å 114.09° in C 2/c and 6.284 15.208 6.526 Å 127.43° are one lattice."""
    setting = next(s for s in the_class("monoclinic", "C", "C c").settings if s.space_group == 15)
    a, b, c, _, beta, _ = setting.standard_cell((6.284, 15.208, 6.5264, 90, 127.433, 90))
    assert (a, b, c, beta) == pytest.approx((6.284, 15.208, 5.677, 114.09), abs=5e-3)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_the_lines_stay_where_they_are_when_the_axes_become_standard(lattice):
    """Each setting of each class: lines of the class on the axes at hand = lines of the group on its own axes."""
    cell = GENERAL_CELL[lattice.family]
    metric = crystal.metric_from_cell(cell)
    reach = 0.35
    hkl = crystal.indices_within(metric, reach)
    for found in extinction_classes(lattice.family, lattice.centring):
        value = crystal.quadratic_form(hkl[~found.extinct(hkl)]) @ metric
        expected = value[np.diff(value, prepend=-1) > 1e-7]
        for setting in found.settings:
            standard = crystal.allowed_inv_d2(setting.standard_cell(cell), setting.space_group, reach)
            assert standard == pytest.approx(expected, abs=1e-9), (found.symbol, setting.symbol)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_classes_differ_and_their_members_do_not(lattice):
    """Also far out: indices to 12, where screw axes of order 6 and d glides come round again."""
    axial = np.array([axis for n in range(1, 13) for axis in ((n, 0, 0), (0, n, 0), (0, 0, n), (n, n, 0), (n, n, n))])
    grid = np.array([hkl for hkl in itertools.product(range(-4, 5), range(5), range(5)) if any(hkl)])
    far = np.random.default_rng(7).integers(-12, 13, (40, 3)) * np.repeat(1 - np.eye(3, dtype=int), 14, 0)[:40]
    hkl = np.concatenate([axial, grid, far])
    seen = set()
    for found in extinction_classes(lattice.family, lattice.centring):
        absent = found.extinct(hkl)
        for setting in found.settings:
            own = crystal.operations_of(gemmi.SpaceGroup(full_symbol(setting.symbol, lattice.family)))
            assert (crystal.extinct(hkl, own) == absent).all(), setting.symbol
        seen.add(absent.tobytes())
    assert len(seen) == len(extinction_classes(lattice.family, lattice.centring))


def full_symbol(symbol, family):
    """Monoclinic symbols with their ones, so that gemmi takes the b axis as unique."""
    letter, *axes = symbol.split()
    if family == "monoclinic":
        return f"{letter} 1 {axes[0]} 1"
    return f"{symbol}:H" if letter == "R" else symbol


def test_the_first_class_of_a_lattice_has_no_absences_but_those_of_the_centring():
    grid = np.array([hkl for hkl in itertools.product(range(-4, 5), range(5), range(5)) if any(hkl)])
    for lattice in LATTICES:
        first = extinction_classes(lattice.family, lattice.centring)[0]
        assert (first.extinct(grid) == ~crystal.centred(grid, lattice.centring)).all()
        assert set(first.symbol.split()) == {lattice.centring, "-"}


def test_the_table_is_what_is_derived_from_gemmi():
    """It is written by ``python -m alphadiffract_plugin.crystal.derive_extinction``."""
    kept = files("alphadiffract_plugin").joinpath("data/extinction_classes.json").read_text()
    assert json.loads(kept) == table()
