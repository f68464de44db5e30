"""What a network is told of its answers: real crystals, and answers that are right, nearly right or wrong."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.crystal.bravais import primitive_basis  # noqa: E402
from alphadiffract_plugin.crystal.cells import direct_metric_from_cell  # noqa: E402
from alphadiffract_plugin.errors import SettingsError  # noqa: E402
from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.compact_network import Answer, CompactConfig, CompactNetwork  # noqa: E402
from alphadiffract_plugin.models.niggli import niggli_from_metric, niggli_from_parameters, niggli_from_reciprocal  # noqa: E402
from alphadiffract_plugin.models.open_network import OpenAnswer  # noqa: E402
from alphadiffract_plugin.models.training.losses import LossSettings, loss  # noqa: E402
from alphadiffract_plugin.models.training.records import Batch  # noqa: E402
from alphadiffract_plugin.models.training.sources import true_parameters  # noqa: E402

TERMS = ("space_group", "crystal_system", "gemd", "lattice")
CRYSTALS = {  # conventional cell, space group, Niggli-reduced cell
    "silicon": ((5.4307,) * 3 + (90.0,) * 3, 227, (3.8401,) * 3 + (60.0,) * 3),
    "iron": ((2.8665,) * 3 + (90.0,) * 3, 229, (2.4825,) * 3 + (109.4712,) * 3),
    "calcite": ((4.9896, 4.9896, 17.061, 90.0, 90.0, 120.0), 167, (4.9896, 4.9896, 6.3751, 66.962, 66.962, 60.0)),
    "anglesite": ((5.398, 6.958, 8.480, 90.0, 90.0, 90.0), 62, (5.398, 6.958, 8.480, 90.0, 90.0, 90.0)),
    "albite": ((8.142, 12.785, 7.159, 94.19, 116.61, 87.68), 2, None),
}
"""On the network's axes; the Niggli cells of cF, cI, rR and oP are a/√2 with 60°, a√3/2 with 109.47°, and so on."""


def batch_of(*names: str) -> Batch:
    metrics = np.stack([np.linalg.inv(direct_metric_from_cell(CRYSTALS[name][0])) for name in names])
    group = np.array([CRYSTALS[name][1] - 1 for name in names])
    basis = torch.as_tensor(np.linalg.cholesky(metrics))
    return Batch(
        x=torch.zeros(len(names), 2, 8),
        space_group=torch.as_tensor(group),
        parameters=true_parameters(basis, torch.as_tensor(lattice.type_of_group()[group])),
        basis=basis.float(),
    )


def sure_of(groups: list[int], *, logit: float = 40.0) -> torch.Tensor:
    """Logits (N, 230) of a network that is sure."""
    return logit * torch.nn.functional.one_hot(torch.tensor(groups) - 1, 230).float()


def compact_answer(batch: Batch, groups: list[int]) -> Answer:
    mean = batch.parameters[:, None].expand(-1, 15, -1)
    return Answer(sure_of(groups), mean, torch.full_like(mean, 0.1))


def open_answer(batch: Batch, groups: list[int], cells: torch.Tensor) -> OpenAnswer:
    systems = torch.as_tensor(lattice.system_of_group())[torch.tensor(groups) - 1]
    return OpenAnswer(40.0 * torch.nn.functional.one_hot(systems, 7).float(), sure_of(groups), cells)


@pytest.mark.parametrize("name", ["silicon", "iron", "calcite", "anglesite"])
def test_the_niggli_cell_is_that_of_the_tables(name):
    batch = batch_of(name)
    kind = torch.as_tensor(lattice.type_of_group())[batch.space_group]
    cell = niggli_from_reciprocal(batch.basis, kind)[0]
    assert cell.tolist() == pytest.approx(CRYSTALS[name][2], abs=2e-3)


def test_skewed_and_symmetric_lattices_reduce_together_as_spglib_reduces_each():
    import spglib

    rng = np.random.default_rng(3)
    bases = []
    for name, (cell, group, _) in CRYSTALS.items():
        centring = lattice.LATTICE_TYPES[lattice.type_of_group()[group - 1]][1]
        for _ in range(6):
            skew = np.eye(3, dtype=int)
            for _ in range(4):
                i, j = rng.permutation(3)[:2]
                skew[i] += rng.integers(-3, 4) * skew[j]
            bases.append(skew @ primitive_basis(cell, centring))
            assert abs(np.linalg.det(skew)) == pytest.approx(1), name
    metrics = np.stack([basis @ basis.T for basis in bases])
    together = niggli_from_metric(torch.as_tensor(metrics)).numpy()
    reduced = [spglib.niggli_reduce(basis, eps=1e-4) for basis in bases]
    alone = np.concatenate([lattice.cell_from_metric((basis @ basis.T)[None]) for basis in reduced])
    assert together == pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("architecture", ["compact", "open"])
def test_a_right_answer_costs_nothing_but_what_the_lattice_cannot_be_sure_of(architecture):
    names = list(CRYSTALS)
    batch, truth = batch_of(*names), [CRYSTALS[name][1] for name in names]
    cells = niggli_from_reciprocal(batch.basis, torch.as_tensor(lattice.type_of_group())[batch.space_group])
    right = compact_answer(batch, truth) if architecture == "compact" else open_answer(batch, truth, cells)
    terms = loss(right, batch, LossSettings())
    assert all(terms[name] == pytest.approx(0, abs=1e-5) for name in ("space_group", "crystal_system", "gemd"))
    least = np.log(0.1) if architecture == "compact" else 0.0  # of a spread of 0.1 per parameter, and no error
    assert terms["lattice"].item() == pytest.approx(least, abs=1e-4)


def test_gemd_counts_the_hops_that_a_wrong_answer_is_away():
    batch = batch_of("anglesite", "silicon")
    hops = {
        (62, 227): 0,  # both right
        (33, 227): 0.5,  # Pna21 for Pnma: one hop for one of two patterns
        (62, 221): 1.0,  # Pm-3m for Fd-3m: two hops
    }
    for groups, expected in hops.items():
        assert loss(compact_answer(batch, list(groups)), batch, LossSettings())["gemd"].item() == pytest.approx(
            expected
        )
    undecided = Answer(torch.zeros(2, 230), *compact_answer(batch, [62, 227])[1:])
    assert 2.5 < loss(undecided, batch, LossSettings())["gemd"].item() < 3.5  # the mean of the graph is 3.05


def test_the_compact_network_pays_for_a_wrong_system_only_if_the_group_is_of_another():
    batch = batch_of("anglesite")
    sister, stranger = (loss(compact_answer(batch, [group]), batch, LossSettings()) for group in (33, 14))
    assert sister["space_group"].item() == pytest.approx(stranger["space_group"].item())
    assert sister["crystal_system"] < 1e-5 < 10 < stranger["crystal_system"]


def test_the_open_network_pays_the_square_of_its_error_in_angstrom_and_degrees():
    batch = batch_of("silicon")
    cell = torch.tensor([CRYSTALS["silicon"][2]]) + torch.tensor([[1.0, 0, 0, 3.0, 0, 0]])
    terms = loss(open_answer(batch, [227], cell), batch, LossSettings())
    assert terms["lattice"].item() == pytest.approx((1 + 9) / 6, rel=1e-3)
    assert terms["total"].item() == pytest.approx(terms["lattice"].item(), rel=1e-3)


def test_the_lattice_counts_only_what_symmetry_leaves_free_of_the_true_type():
    torch.manual_seed(2)
    answer = CompactNetwork(CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32)).eval()(torch.rand(2, 2, 4096))
    batch = batch_of("silicon", "albite")

    def lattice_loss(row: int, column: int) -> float:
        parameters = batch.parameters.clone()
        parameters[row, column] += 9
        return loss(answer, dataclasses.replace(batch, parameters=parameters), LossSettings())["lattice"].item()

    unchanged = loss(answer, batch, LossSettings())["lattice"].item()
    assert lattice_loss(0, 1) == pytest.approx(unchanged)  # a cubic cell has one free parameter
    assert lattice_loss(1, 5) > unchanged + 0.1  # a triclinic cell has six


def test_the_total_is_the_weighted_sum_and_a_weight_of_zero_leaves_a_term_out_but_in_the_log():
    batch = batch_of("anglesite", "calcite")
    answer = compact_answer(batch, [33, 14])
    settings = LossSettings(space_group=2.0, crystal_system=0.5, gemd=0.0, lattice=1.0)
    terms = {name: value.item() for name, value in loss(answer, batch, settings).items()}
    expected = 2 * terms["space_group"] + 0.5 * terms["crystal_system"] + 0.3 * terms["lattice"]
    assert terms["total"] == pytest.approx(expected)
    assert terms["gemd"] > 0


def test_what_is_minimised_has_a_gradient_for_every_weight_of_both_networks():
    from alphadiffract_plugin.models.open_network import OpenConfig, OpenNetwork

    batch = batch_of("anglesite", "calcite")
    for network, x in (
        (CompactNetwork(CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32)), torch.rand(2, 2, 4096)),
        (
            OpenNetwork(OpenConfig(cs_hidden=(8,), sg_hidden=(8,), lp_hidden=(8,), head_dropout=0.0)),
            torch.rand(2, 8192),
        ),
    ):
        loss(network.eval()(x), batch, LossSettings())["total"].backward()
        silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not silent


@pytest.mark.parametrize("weights", [{"gemd": -1.0}, {"lattice": float("nan")}, dict.fromkeys(TERMS, 0.0)])
def test_weights_that_teach_nothing_are_refused(weights):
    with pytest.raises(SettingsError, match="weight"):
        LossSettings(**weights)


def test_free_parameters_become_the_niggli_cell_that_they_came_from():
    batch = batch_of(*CRYSTALS)
    kind = torch.as_tensor(lattice.type_of_group())[batch.space_group]
    back, direct = niggli_from_parameters(batch.parameters, kind), niggli_from_reciprocal(batch.basis, kind)
    assert torch.allclose(back, direct, atol=2e-3)
