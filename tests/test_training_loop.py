"""A very short training: it learns, resumes, and leaves a model folder that loads."""

import csv
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.models import checkpoint  # noqa: E402
from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork, Warp, loss  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID  # noqa: E402
from alphadiffract_plugin.models.simulation import patterns as simulate  # noqa: E402
from alphadiffract_plugin.models.simulation.lines import LineTable  # noqa: E402
from alphadiffract_plugin.models.training import loop as train  # noqa: E402
from alphadiffract_plugin.models.training import validation  # noqa: E402
from alphadiffract_plugin.models.training.sources import Crystals  # noqa: E402
from alphadiffract_plugin.models.training.validation import stratified  # noqa: E402

SMALL = CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32, dropout=0.0)


@pytest.fixture(scope="module")
def table():
    """Twelve primitive crystals in turn cubic and tetragonal with a long c, all reflections alike."""
    hkl = np.array(list(np.ndindex(4, 4, 8)))[1:]
    metrics = np.array([np.diag([1, 1, 0.15 if i % 2 else 1]) / (4.0 + 0.15 * i) ** 2 for i in range(12)])
    within = np.einsum("ri,sij,rj->sr", hkl, metrics, hkl) < 1 / 1.2**2
    return LineTable(
        hkl=np.concatenate([hkl[keep] for keep in within]).astype(np.int8),
        intensity=np.ones(within.sum(), np.float32),
        start=np.cumsum([0, *within.sum(1)]),
        reciprocal_metric=metrics,
        space_group=np.array([221, 123] * 6),
        origin=np.zeros(12, int),
        split=np.array([0] * 10 + [1, 1]),
    )


def test_the_network_learns_to_tell_cubic_from_tetragonal(table):
    torch.manual_seed(1)
    crystals = Crystals(table, COMPACT_GRID, torch.device("cpu"))
    network = CompactNetwork(SMALL)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    calm = dataclasses.replace(simulate.Effects(), noise=(1e-3, 1e-3), impurity=(1e-3, 1e-3), cut=0.0, texture=0.0)
    losses = []
    for _ in range(120):
        x, group, q = crystals.patterns(torch.arange(10), calm, generator)
        value = loss(network(x), group, q)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert np.mean(losses[-5:]) < 0.15 * losses[0]
    x, group, _ = crystals.patterns(torch.arange(10).repeat(4), calm, generator)
    with torch.inference_mode():
        right = network.eval()(x).space_group_logits.argmax(1) == group
    assert right.float().mean() > 0.75  # chance: 0.5


def test_training_stops_in_time_resumes_and_leaves_a_model_that_loads(table, tmp_path):
    plan = train.Plan(minutes=0.03, batch=4)
    first = checkpoint.load(train.train(table, plan, tmp_path, SMALL))
    seen = first.config["provenance"]["patterns_seen"]
    assert seen >= 4 and first.config["provenance"]["seed"] == plan.seed and first.grid == COMPACT_GRID
    second = checkpoint.load(train.train(table, train.Plan(minutes=0.05, batch=4), tmp_path, SMALL))
    assert second.config["provenance"]["patterns_seen"] > seen
    with open(tmp_path / "log.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["system"] for row in rows} == {"t", "c", "all"}
    assert {int(row["patterns"]) for row in rows} == {seen, second.config["provenance"]["patterns_seen"]}


def test_the_figures_of_a_model_are_printed_as_a_table(table, tmp_path, capsys):
    checkpoint.save(CompactNetwork(SMALL), COMPACT_GRID, tmp_path / "untrained", provenance={})
    table.save(tmp_path / "lines.npz")
    validation.main(
        ["--model", str(tmp_path / "untrained"), "--structures", str(tmp_path / "lines.npz"), "--split", "val"]
    )
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    assert [row[1].strip() for row in rows[2:]] == ["tetragonal", "cubic", "all"]
    assert rows[-1][2].strip() == "2"


def test_only_the_train_split_is_drawn_and_validation_is_stratified(table):
    crystals = Crystals(table, COMPACT_GRID, torch.device("cpu"))
    weights = crystals.weights()
    assert weights[10:].sum() == 0 and weights.sum() == pytest.approx(1)
    assert sorted(stratified(table, "val", 60, 1)) == [10, 11]


def test_the_lattice_loss_counts_only_what_symmetry_leaves_free_of_the_true_type():
    torch.manual_seed(2)
    answer = CompactNetwork(SMALL).eval()(torch.rand(2, 2, 4096))
    group = torch.tensor([224, 0])
    q = torch.zeros(2, 6)
    changed = q.clone()
    changed[0, 1:] = 9.0  # a cubic cell has one free parameter
    assert loss(answer, group, q).item() == pytest.approx(loss(answer, group, changed).item())
    changed[1, 5] = 9.0  # a triclinic cell has six
    assert loss(answer, group, changed) > loss(answer, group, q) + 0.1


def test_on_an_axis_of_ln_d_a_larger_cubic_cell_is_the_same_pattern_further_on():
    warp = Warp(4096, (5.0, 80.0), 8192)
    two_theta, ln_sine = np.linspace(5, 80, 4096), np.log(np.sin(np.radians([2.5, 40.0])))
    step = (ln_sine[1] - ln_sine[0]) / 8192
    for a in (4.0, 4.4):
        sine = 1.540593 * np.sqrt([1, 2, 3]) / (2 * a)
        y = np.exp(-0.5 * ((two_theta[:, None] - 2 * np.degrees(np.arcsin(sine))) / 0.03) ** 2).sum(1)
        warped = warp(torch.as_tensor(np.stack([y, np.ones_like(y)])[None], dtype=torch.float32))[0].numpy()
        assert np.allclose(warped[1], 1, atol=0.02)
        for expected in (np.log(sine) - ln_sine[0]) / step:
            near = np.arange(int(expected) - 60, int(expected) + 60)
            centre = (near * warped[0][near]).sum() / warped[0][near].sum()
            assert centre == pytest.approx(expected, abs=2)
