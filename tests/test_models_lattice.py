"""Cells as the network describes them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.crystal.cells import direct_metric_from_cell  # noqa: E402
from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.simulation.axes import standard_changes  # noqa: E402
from alphadiffract_plugin.models.training.sources import true_parameters  # noqa: E402

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
    basis = np.linalg.cholesky(np.linalg.inv(direct_metric_from_cell(CELLS[name])))
    q = true_parameters(torch.as_tensor(basis[None]), torch.tensor([kind])).double().numpy()
    assert np.count_nonzero(q) <= np.count_nonzero(lattice.ties()[2][kind]) == lattice.FREE[name[0]]
    assert lattice.cell_from_parameters(q, kind)[0] == pytest.approx(CELLS[name], rel=1e-6)  # q is float32


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


def standard(cell, space_group, rebase=((1, 0, 0), (0, 1, 0), (0, 0, 1))):
    """The cell on the network's axes, of a cell that is described in another basis first."""
    metric = np.array(rebase) @ direct_metric_from_cell(cell) @ np.array(rebase).T
    change = standard_changes(torch.as_tensor(metric[None]), torch.tensor([space_group - 1]))[0].numpy()
    assert abs(np.linalg.det(change)) == pytest.approx(1)
    return lattice.cell_from_metric((change @ metric @ change.T)[None])[0]


def test_orthorhombic_axes_ascend_and_a_centred_cells_become_c_centred():
    assert standard((8.48, 5.398, 6.958, 90, 90, 90), 62) == pytest.approx((5.398, 6.958, 8.48, 90, 90, 90))
    # A faces b, c of the old cell become C: they stay apart from its a
    assert standard((9.0, 7.0, 5.0, 90, 90, 90), 38) == pytest.approx((5.0, 7.0, 9.0, 90, 90, 90))
    assert standard((4.0, 7.0, 5.0, 90, 90, 90), 38) == pytest.approx((5.0, 7.0, 4.0, 90, 90, 90))


@pytest.mark.parametrize("space_group", [14, 15])
def test_descriptions_of_one_monoclinic_lattice_meet_in_its_shortest_axes(space_group):
    """Gypsum; with C centring a keeps its parity, so a changes by twice c."""
    gypsum, even = (6.284, 15.2, 6.523, 90, 127.41, 90), 2 if space_group == 15 else 1
    found = standard(gypsum, space_group)
    for n, m in ((1, 0), (0, 1), (-2, 1), (3, -1)):
        rebase = np.array([[1, 0, even * n], [0, 1, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 1, 0], [m, 0, 1]])
        assert standard(gypsum, space_group, rebase) == pytest.approx(found)
    assert 90 <= found[4] < 125
    a, _, c = direct_metric_from_cell(found)[[0, 0, 2], [0, 2, 2]]
    assert abs(direct_metric_from_cell(found)[0, 2]) <= min(a / 2, even * c / 2) + 1e-9  # nothing left to reduce
