"""What a step of training draws and learns: the right structures, balanced, and the same whoever draws them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork, Warp  # noqa: E402
from alphadiffract_plugin.models.grid import (  # noqa: E402
    COMPACT_GRID,
    COMPACT_NORMALISATION,
    OPEN_GRID,
    OPEN_NORMALISATION,
)
from alphadiffract_plugin.models.simulation.effects import PRESETS  # noqa: E402
from alphadiffract_plugin.models.simulation.lines import LineTable  # noqa: E402
from alphadiffract_plugin.models.simulation.records import LineList  # noqa: E402
from alphadiffract_plugin.models.training.losses import LossSettings, loss  # noqa: E402
from alphadiffract_plugin.models.training.sources import (  # noqa: E402
    CHUNKS,
    MixedSource,
    RandomSource,
    TableSource,
    batch,
    drawing_weights,
    generator_of,
    scaled,
)

SMALL = CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32, dropout=0.0)
CPU = torch.device("cpu")


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


def crystals(count, generator):
    """Stand-ins for made-up crystals, each told by the intensity of its one line."""
    return LineList(
        hkl=torch.ones(count, 1, 3),
        intensity=torch.rand(count, 1, generator=generator),
        basis=torch.eye(3).repeat(count, 1, 1) / 4,
        space_group=torch.full((count,), 194),
    )


def test_the_network_learns_to_tell_cubic_from_tetragonal(table):
    torch.manual_seed(1)
    source, network = TableSource(table, CPU), CompactNetwork(SMALL)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)

    def draw(n, step):
        return batch(source, COMPACT_GRID, COMPACT_NORMALISATION, PRESETS["ideal"], n, generator_of(CPU, 1, step))

    losses = []
    for step in range(200):
        drawn = draw(10, step)
        value = loss(network(drawn.x), drawn, LossSettings())["total"]
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert np.mean(losses[-5:]) < 0.2 * losses[0]
    drawn = draw(40, 1000)
    with torch.inference_mode():
        right = network.eval()(drawn.x).space_group_logits.argmax(1) == drawn.space_group
    assert right.float().mean() > 0.75  # chance: 0.5


def test_only_the_train_split_is_drawn(table):
    weights = drawing_weights(table, 0.7)
    assert weights[10:].sum() == 0 and weights.sum() == pytest.approx(1)
    drawn = TableSource(table, CPU).draw(500, generator_of(CPU, 1))
    assert set(drawn.space_group.tolist()) == {220, 122}
    longest = 1 / drawn.basis[:, 0, 0].min()  # a = 4.0 + 0.15 i Å, i < 10
    assert longest < 4.0 + 0.15 * 9.5


@pytest.mark.parametrize(("temper", "ratio"), [(1.0, 9.0), (0.0, 1.0)])
def test_tempering_goes_from_natural_to_uniform(table, temper, ratio):
    many = np.array([221] * 90 + [230] * 10)
    big = LineTable(
        hkl=table.hkl[:0],
        intensity=table.intensity[:0],
        start=np.zeros(101, int),
        reciprocal_metric=np.zeros((100, 3, 3)),
        space_group=many,
        origin=np.zeros(100, int),
        split=np.zeros(100, int),
    )
    weights = drawing_weights(big, temper)
    assert weights[many == 221].sum() / weights[many == 230].sum() == pytest.approx(ratio)


def test_a_pool_is_a_function_of_step_and_shard_and_is_replaced_bit_by_bit():
    def pooled(visits):
        source = RandomSource(crystals, CPU, pool=4 * CHUNKS, steps=3, seed=7)
        for step, shard in visits:
            source.turn(step, shard)
        return source.draw(1000, generator_of(CPU, 5)).intensity.unique()

    straight = pooled([(step, 1) for step in range(10)])
    resumed = pooled([(9, 0), (9, 1)])
    assert torch.equal(straight, resumed)
    later, other = pooled([(12, 1)]), pooled([(9, 0)])
    kept = np.intersect1d(straight, later)
    assert len(kept) == len(straight) * (CHUNKS - 1) // CHUNKS  # one part of eight is new
    assert not len(np.intersect1d(straight, other))


def test_a_mix_holds_the_asked_share_of_made_up_crystals(table):
    made_up = RandomSource(crystals, CPU, pool=CHUNKS, steps=1, seed=1)
    mix = MixedSource(TableSource(table, CPU), made_up, 0.3)
    mix.turn(0, 0)
    drawn = mix.draw(4000, generator_of(CPU, 2))
    share = (drawn.space_group == 194).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.03)  # four standard deviations
    assert drawn.hkl.shape[:2] == drawn.intensity.shape


def test_patterns_are_scaled_as_measured_ones_are():
    y = torch.tensor([[0.0, 0.2, 1.0, 0.0]])
    coverage = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    assert scaled(y, coverage, COMPACT_NORMALISATION)[0].tolist() == pytest.approx([0, 0.2**0.5, 1, 0])
    assert scaled(y, coverage, OPEN_NORMALISATION)[0].tolist() == pytest.approx([0, 0, 100, 0])


def test_patterns_of_the_open_network_lie_on_its_grid(table):
    drawn = batch(TableSource(table, CPU), OPEN_GRID, OPEN_NORMALISATION, PRESETS["paper"], 4, generator_of(CPU, 3))
    assert drawn.x.shape == (4, 2, 8192) and drawn.x[:, 0].amax(1).tolist() == pytest.approx([100.0] * 4)
    assert torch.isfinite(drawn.parameters).all()


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
