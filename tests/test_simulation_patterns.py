"""Lines and patterns of real materials, against Bragg's law and against pymatgen."""

import gemmi
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.crystal import direct_metric_from_cell  # noqa: E402
from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID  # noqa: E402
from alphadiffract_plugin.models.simulation import lines  # noqa: E402
from alphadiffract_plugin.models.simulation import patterns as simulate  # noqa: E402
from alphadiffract_plugin.models.training.sources import true_parameters  # noqa: E402


def row(sg, hall, cell, *atoms):
    """A structure as the parquet files have it: atoms are (Z, occupancy, multiplicity, x, y, z)."""
    columns = zip(*atoms, strict=True)
    return {"sg": sg, "hall": hall} | dict(
        zip(("a", "b", "c", "alpha", "beta", "gamma"), cell, strict=True),
        **dict(zip(("elem", "occ", "mult", "x", "y", "z"), columns, strict=True)),
    )


LAB6 = row(221, 517, (4.15683, 4.15683, 4.15683, 90, 90, 90), (57, 1, 1, 0, 0, 0), (5, 1, 6, 0.1996, 0.5, 0.5))
ZINCITE = row(
    186, 480, (3.2483, 3.2483, 5.2041, 90, 90, 120), (30, 1, 2, 1 / 3, 2 / 3, 0), (8, 1, 2, 1 / 3, 2 / 3, 0.382)
)
ANGLESITE = row(
    62,
    292,
    (8.480, 5.398, 6.958, 90, 90, 90),
    (82, 1, 4, 0.188, 0.25, 0.167),
    (16, 1, 4, 0.0633, 0.25, 0.6842),
    (8, 1, 4, 0.908, 0.25, 0.596),
    (8, 1, 4, 0.194, 0.25, 0.543),
    (8, 1, 8, 0.0819, 0.0265, 0.809),
)
GYPSUM = row(
    15,
    90,
    (6.284, 15.200, 6.523, 90, 127.41, 90),
    (20, 1, 4, 0.5, 0.0797, 0.25),
    (16, 1, 4, 0, 0.0772, 0.75),
    (8, 1, 8, 0.9632, 0.1319, 0.5505),
    (8, 1, 8, 0.7582, 0.0223, 0.6671),
    (8, 1, 8, 0.3796, 0.1821, 0.4588),
)
MATERIALS = {"LaB6": LAB6, "zincite": ZINCITE, "anglesite": ANGLESITE, "gypsum": GYPSUM}

STILL = simulate.Effects(
    strain=0.0,
    dilation=0.0,
    gaussian=(0.05, 0.05),
    gaussian_slope=0.0,
    size=(0.003, 0.003),
    microstrain=(0.005, 0.005),
    asymmetry=0.0,
    kalpha2_share=0.0,
    zero=0.0,
    displacement=0.0,
    texture=0.0,
    jitter=(1e-6, 1e-6),
    impurity=(1e-9, 1e-9),
    background=(1e-9, 1e-9),
    noise=(1e-6, 1e-6),
    poisson=(1e9, 1e9),
    cut=0.0,
)
"""A diffractometer and a sample without a fault."""


def simulated(material, effects=STILL, *, seed=1, copies=1):
    """Intensity and coverage of copies of one material, shape (copies, 4096) each."""
    hkl, intensity, reciprocal = lines.powder_lines(material)
    basis = simulate.reciprocal_basis(torch.as_tensor(reciprocal)[None]).float().expand(copies, 3, 3)
    system = torch.full((copies,), int(lattice.system_of_group()[material["sg"] - 1]))
    generator = torch.Generator().manual_seed(seed)
    basis = simulate.strain_cells(basis, system, effects, generator)
    return simulate.simulate(
        torch.as_tensor(hkl).float().expand(copies, -1, 3),
        torch.as_tensor(intensity).float().expand(copies, -1),
        basis,
        system,
        COMPACT_GRID,
        effects,
        generator,
    )


def test_the_lines_of_lab6_stand_where_bragg_puts_them():
    y = simulated(LAB6)[0][0].numpy()
    two_theta = np.linspace(5, 80, 4096)
    for h2 in (1, 2, 3, 4, 5, 6, 8, 9):
        expected = 2 * np.degrees(np.arcsin(1.540593 * np.sqrt(h2) / (2 * 4.15683)))
        near = np.abs(two_theta - expected) < 0.3
        centre = (two_theta[near] * y[near] ** 2).sum() / (y[near] ** 2).sum()
        assert centre == pytest.approx(expected, abs=0.005)
    assert two_theta[y.argmax()] == pytest.approx(30.384, abs=0.02)  # 1 1 0, the strongest of LaB6


@pytest.mark.parametrize("name", MATERIALS)
def test_lines_agree_with_pymatgen_in_place_and_height(name):
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.core import Lattice, Structure

    material = MATERIALS[name]
    cell = [material[k] for k in ("a", "b", "c", "alpha", "beta", "gamma")]
    number, _, position = lines.expand(material, direct_metric_from_cell(cell))
    structure = Structure(Lattice.from_parameters(*cell), [gemmi.Element(int(z)).name for z in number], position)
    theirs = XRDCalculator("CuKa1").get_pattern(structure, two_theta_range=(5, 80), scaled=False)

    hkl, intensity, reciprocal = lines.powder_lines(material)
    sine = 1.540593 / 2 * np.sqrt(np.einsum("ri,ij,rj->r", hkl, reciprocal, hkl))
    theta = np.arcsin(sine)
    ours = intensity * (1 + np.cos(2 * theta) ** 2) / (sine**2 * np.cos(theta))
    grid = np.arange(5, 80, 0.01)
    profile = [
        (np.exp(-0.5 * ((grid[:, None] - x) / 0.05) ** 2) * y).sum(1)
        for x, y in ((np.degrees(2 * theta), ours), (theirs.x, theirs.y))
    ]
    scaled = [p / p.max() for p in profile]
    assert np.abs(scaled[0] - scaled[1]).max() < 0.02


def test_kalpha2_stands_beside_kalpha1_at_half_its_height():
    import dataclasses

    y = simulated(LAB6, dataclasses.replace(STILL, kalpha2_share=1.0))[0][0].numpy()
    two_theta = np.linspace(5, 80, 4096)
    place = [2 * np.degrees(np.arcsin(w * 3 / (2 * 4.15683))) for w in (1.540593, 1.544427)]  # 2 2 1 and 3 0 0
    height = [y[np.abs(two_theta - p).argmin()] for p in place]
    assert height[1] / height[0] == pytest.approx(0.5, abs=0.06)


def test_the_same_generator_gives_the_same_patterns_and_every_pattern_is_usable():
    first, coverage = simulated(ANGLESITE, simulate.Effects(), seed=3, copies=16)
    again, _ = simulated(ANGLESITE, simulate.Effects(), seed=3, copies=16)
    other, _ = simulated(ANGLESITE, simulate.Effects(), seed=4, copies=16)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.isfinite(first).all() and (first >= 0).all()
    assert torch.allclose(first.amax(1), torch.ones(16))
    assert (first[coverage == 0] == 0).all() and (coverage.mean(1) > 0.35).all() and (coverage.mean(1) < 1).any()


def test_wide_lines_keep_their_area_and_their_tails():
    import dataclasses

    wide = dataclasses.replace(STILL, size=(0.5, 0.5), gaussian=(0.02, 0.02))
    narrow, broad = simulated(LAB6)[0][0], simulated(LAB6, wide)[0][0]
    assert broad.sum() / narrow.sum() > 4  # both have their maximum at 1
    between = int((25.5 - 5) / COMPACT_GRID.step)
    assert broad[between] > 20 * narrow[between]


@pytest.mark.parametrize("name", MATERIALS)
def test_strain_keeps_the_crystal_system_and_the_target_follows_the_cell(name):
    material = MATERIALS[name]
    _, _, reciprocal = lines.powder_lines(material)
    system = torch.full((200,), int(lattice.system_of_group()[material["sg"] - 1]))
    kind = torch.full((200,), int(lattice.type_of_group()[material["sg"] - 1]))
    basis = simulate.reciprocal_basis(torch.as_tensor(reciprocal)[None]).float().expand(200, 3, 3)
    strained = simulate.strain_cells(basis, system, simulate.Effects(), torch.Generator().manual_seed(1))
    cells = lattice.cell_from_metric(np.linalg.inv((strained @ strained.transpose(1, 2)).double().numpy()))
    described = lattice.cell_from_parameters(true_parameters(strained, kind).double().numpy(), int(kind[0]))
    assert np.abs(described - cells).max() < 1e-3
    assert 0.005 < np.std(np.log(cells[:, 0])) < 0.04


def test_parquet_files_are_packed_once_and_come_back_equal(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [m | {"origin": "experiment", "split": s} for m, s in ((LAB6, "train"), (GYPSUM, "val"))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "two.parquet")
    table = lines.pack([tmp_path / "two.parquet"])
    table.save(tmp_path / "two.npz")
    again = lines.LineTable.load(tmp_path / "two.npz")
    assert again.space_group.tolist() == [221, 15] and again.split.tolist() == [0, 1]
    assert np.array_equal(again.hkl, table.hkl) and again.start[-1] == len(again.intensity)
