"""Cells as the network describes them."""

import numpy as np
import pytest

from alphadiffract_plugin.crystal import direct_metric_from_cell
from alphadiffract_plugin.models import lattice

CELLS = {
    "aP": (5.0, 6.0, 7.0, 80.0, 85.0, 70.0),
    "mP": (5.0, 9.0, 6.0, 90.0, 104.0, 90.0),
    "oF": (5.0, 9.0, 11.0, 90.0, 90.0, 90.0),
    "tI": (4.59, 4.59, 2.96, 90.0, 90.0, 90.0),
    "rR": (4.99, 4.99, 17.06, 90.0, 90.0, 120.0),
    "cF": (5.4307, 5.4307, 5.4307, 90.0, 90.0, 90.0),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_comes_back_from_its_free_parameters(name):
    kind = lattice.LATTICE_TYPES.index(name)
    reciprocal = np.linalg.inv(direct_metric_from_cell(CELLS[name]))
    q = lattice.parameters_from_metric(reciprocal[None], np.array([kind]))
    assert np.count_nonzero(lattice.ties()[2][kind]) == lattice.FREE[name[0]]
    assert lattice.cell_from_parameters(q, kind)[0] == pytest.approx(CELLS[name], abs=1e-6)


def test_whatever_the_network_says_a_cubic_cell_is_cubic_and_a_hexagonal_one_hexagonal():
    q = np.random.default_rng(1).normal(-1.5, 0.3, (50, 6))
    cubic = lattice.cell_from_parameters(q, lattice.LATTICE_TYPES.index("cP"))
    assert np.allclose(cubic[:, :1], cubic[:, :3]) and np.allclose(cubic[:, 3:], 90)
    hexagonal = lattice.cell_from_parameters(q, lattice.LATTICE_TYPES.index("hP"))
    assert np.allclose(hexagonal[:, 0], hexagonal[:, 1]) and np.allclose(hexagonal[:, 3:], (90, 90, 120))


def test_every_space_group_has_its_lattice_type():
    kinds = [lattice.LATTICE_TYPES[k] for k in lattice.type_of_group()]
    known = {1: "aP", 14: "mP", 15: "mC", 38: "oC", 62: "oP", 70: "oF", 141: "tI", 152: "rP", 167: "rR", 194: "hP"}
    assert {number: kinds[number - 1] for number in known} == known
    assert [np.count_nonzero(lattice.system_of_group() == s) for s in range(7)] == [2, 13, 59, 68, 25, 27, 36]


def test_orthorhombic_axes_ascend_and_a_centred_cells_become_c_centred():
    change = lattice.standard_axes(direct_metric_from_cell((8.48, 5.398, 6.958, 90, 90, 90)), 62)
    assert (change @ (8.48, 5.398, 6.958)).tolist() == [5.398, 6.958, 8.48]
    change = lattice.standard_axes(direct_metric_from_cell((9.0, 7.0, 5.0, 90, 90, 90)), 38)
    assert (change @ (9.0, 7.0, 5.0)).tolist() == [5.0, 7.0, 9.0]  # A faces b, c of the old cell become C


@pytest.mark.parametrize("space_group", [14, 15])
def test_two_descriptions_of_one_monoclinic_lattice_meet(space_group):
    metric = direct_metric_from_cell((6.284, 15.2, 6.523, 90, 127.41, 90))
    other = np.array([[1, 0, 0], [0, -1, 0], [-1, 0, -1]])  # another choice of c, allowed with C centring
    cells = []
    for m in (metric, other @ metric @ other.T):
        change = lattice.standard_axes(m, space_group)
        assert abs(round(np.linalg.det(change))) == 1
        cells.append(lattice.cell_from_metric((change @ m @ change.T)[None])[0])
    assert cells[0] == pytest.approx(cells[1])
    assert 90 <= cells[0][4] < 130
