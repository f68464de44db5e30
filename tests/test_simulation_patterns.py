"""Patterns of real materials: each effect does what its formula says, and nothing else."""

import dataclasses
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.crystal.cells import direct_metric_from_cell  # noqa: E402
from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID, OPEN_GRID, Grid  # noqa: E402
from alphadiffract_plugin.models.simulation import patterns  # noqa: E402
from alphadiffract_plugin.models.simulation.effects import PRESETS, Effects  # noqa: E402
from alphadiffract_plugin.models.simulation.records import Atoms, LineList  # noqa: E402
from alphadiffract_plugin.models.simulation.structure_factors import lines_from_atoms  # noqa: E402

IDEAL, LABORATORY = PRESETS["ideal"], PRESETS["laboratory"]
LAB6 = (221, 517, (4.15683, 4.15683, 4.15683, 90, 90, 90), (57, 1, 0, 0, 0), (5, 6, 0.1996, 0.5, 0.5))
ZINCITE = (186, 480, (3.2483, 3.2483, 5.2041, 90, 90, 120), (30, 2, 1 / 3, 2 / 3, 0), (8, 2, 1 / 3, 2 / 3, 0.382))
ANGLESITE = (
    *(62, 292, (8.480, 5.398, 6.958, 90, 90, 90)),
    *((82, 4, 0.188, 0.25, 0.167), (16, 4, 0.0633, 0.25, 0.6842), (8, 4, 0.908, 0.25, 0.596)),
    *((8, 4, 0.194, 0.25, 0.543), (8, 8, 0.0819, 0.0265, 0.809)),
)
GYPSUM = (
    *(15, 90, (6.284, 15.200, 6.523, 90, 127.41, 90)),
    *((20, 4, 0.5, 0.0797, 0.25), (16, 4, 0, 0.0772, 0.75), (8, 8, 0.9632, 0.1319, 0.5505)),
    *((8, 8, 0.7582, 0.0223, 0.6671), (8, 8, 0.3796, 0.1821, 0.4588)),
)
MATERIALS = {"LaB6": LAB6, "zincite": ZINCITE, "anglesite": ANGLESITE, "gypsum": GYPSUM}
"""Space group, Hall number, cell, and atoms as (Z, multiplicity, x, y, z)."""
FINE = Grid(wavelength=1.5405929, two_theta_min=5.0, two_theta_max=80.0, length=16384)


def lines_of(material, copies=1):
    """The lines of copies of a material, in one batch."""
    group, hall, cell, *atoms = material
    number, multiplicity, *xyz = zip(*atoms, strict=True)
    one = Atoms(
        hall=torch.tensor([hall]),
        space_group=torch.tensor([group - 1]),
        metric=torch.as_tensor(direct_metric_from_cell(cell))[None],
        crystal=torch.zeros(len(atoms), dtype=torch.long),
        number=torch.tensor(number),
        occupancy=torch.ones(len(atoms)),
        position=torch.tensor(xyz, dtype=torch.float64).T.contiguous(),
        multiplicity=torch.tensor(multiplicity),
        b_iso=torch.zeros(len(atoms)),
    )
    found = lines_from_atoms(one)
    return LineList(*(getattr(found, f.name).repeat_interleave(copies, 0) for f in dataclasses.fields(LineList)))


def simulated(material, effects=IDEAL, *, seed=1, copies=1, grid=COMPACT_GRID, **changes):
    """Intensity and coverage of copies of one material, shape (copies, L) each."""
    effects = dataclasses.replace(effects, **changes)
    generator = torch.Generator().manual_seed(seed)
    lines = patterns.strain(lines_of(material, copies), effects, generator)
    return patterns.simulate(lines, grid, effects, generator)


def angles(grid):
    return np.linspace(grid.two_theta_min, grid.two_theta_max, grid.length)


def bragg(inv_d2, wavelength=1.540593):
    return 2 * math.degrees(math.asin(wavelength * math.sqrt(inv_d2) / 2))


def fwhm(two_theta, y):
    """Width in degrees of the only line of a pattern, between its half heights."""
    above = np.flatnonzero(y > y.max() / 2)
    first, last = above[0], above[-1]
    left = np.interp(y.max() / 2, y[first - 1 : first + 1], two_theta[first - 1 : first + 1])
    right = np.interp(-y.max() / 2, -y[last : last + 2], two_theta[last : last + 2])
    return right - left


def one_line(inv_d2, **changes):
    """The pattern of a single line on a fine grid."""
    line = LineList(
        torch.ones(1, 1, 3), torch.ones(1, 1), torch.eye(3)[None] * math.sqrt(inv_d2 / 3), torch.tensor([0])
    )
    effects = dataclasses.replace(IDEAL, **changes)
    return patterns.simulate(line, FINE, effects, torch.Generator().manual_seed(1))[0][0].double().numpy()


def test_the_lines_of_lab6_stand_where_bragg_puts_them():
    y, two_theta = simulated(LAB6)[0][0].numpy(), angles(COMPACT_GRID)
    for h2 in (1, 2, 3, 4, 5, 6, 8, 9):
        expected = bragg(h2 / 4.15683**2)
        near = np.abs(two_theta - expected) < 0.3
        centre = (two_theta[near] * y[near] ** 2).sum() / (y[near] ** 2).sum()
        assert centre == pytest.approx(expected, abs=0.005)
    assert two_theta[y.argmax()] == pytest.approx(30.384, abs=0.02)  # 1 1 0, the strongest of LaB6


@pytest.mark.parametrize("inv_d2", [0.04, 0.2, 0.45])
def test_gaussian_widths_follow_caglioti_paoletti_and_ricci(inv_d2):
    theta = math.radians(bragg(inv_d2) / 2)
    expected = math.sqrt(8 * math.log(2) * (20 * math.tan(theta) ** 2 - 6 * math.tan(theta) + 8)) / 100
    measured = fwhm(angles(FINE), one_line(inv_d2, u=20, v=-6, w=8, size=0, microstrain=0))
    # 2 %: profiles are made at six angles and shared by the lines between
    assert measured == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("inv_d2", [0.04, 0.2, 0.45])
def test_crystallites_and_microstrain_broaden_as_gsasii_says(inv_d2):
    theta = math.radians(bragg(inv_d2) / 2)
    size = 1.8 * 1.540593 / (math.pi * 0.05) / math.cos(theta) / 100
    strain = math.degrees(4000e-6 * math.tan(theta))
    quiet = {"w": 0.01, "size": 0, "microstrain": 0}
    two_theta = angles(FINE)
    assert fwhm(two_theta, one_line(inv_d2, **quiet | {"size": 0.05})) == pytest.approx(size, rel=0.03)
    # half a step of the compact grid: between 5 and 18° profiles are shared by a node without strain and one with it
    tolerance = max(0.03 * strain, COMPACT_GRID.step / 2)
    assert fwhm(two_theta, one_line(inv_d2, **quiet | {"microstrain": 4000})) == pytest.approx(strain, abs=tolerance)


@pytest.mark.parametrize(("w", "x"), [(20, 3), (10, 10), (3, 20)])
def test_the_voigt_profile_is_the_pseudo_voigt_of_thompson_cox_and_hastings(w, x):
    """Their equations (1987) for the width and the mixing, within their own accuracy: 1 % of the maximum."""
    y, two_theta, place = one_line(0.2, w=w, x=x, size=0, microstrain=0), angles(FINE), bragg(0.2)
    g = math.sqrt(8 * math.log(2) * w) / 100
    lorentz = x / 100 / math.cos(math.radians(place / 2))
    powers = (1, 2.69269, 2.42843, 4.47163, 0.07842, 1)
    width = sum(c * g ** (5 - i) * lorentz**i for i, c in enumerate(powers)) ** 0.2
    eta = 1.36603 * (lorentz / width) - 0.47719 * (lorentz / width) ** 2 + 0.11116 * (lorentz / width) ** 3
    t = (two_theta - place) / width
    theirs = eta * 2 / (math.pi * width) / (1 + 4 * t * t)
    theirs += (1 - eta) * math.sqrt(4 * math.log(2) / math.pi) / width * np.exp(-4 * math.log(2) * t * t)
    assert np.abs(y - theirs / theirs.max()).max() < 0.012


def test_kalpha2_stands_beside_kalpha1_at_half_its_height():
    y, two_theta = simulated(LAB6, kalpha2_share=1, kalpha2_ratio=0.5)[0][0].numpy(), angles(COMPACT_GRID)
    place = [bragg(9 / 4.15683**2, w) for w in (1.540593, 1.544427)]  # 2 2 1 and 3 0 0
    height = [y[np.abs(two_theta - p).argmin()] for p in place]
    assert height[1] / height[0] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("changes", "inv_d2", "shift"),
    [
        ({"zero": 0.1}, 0.05, 0.1),
        ({"zero": -0.1}, 0.4, -0.1),
        ({"displacement": 0.2}, 0.4, 0.2 * math.cos(math.asin(1.5405929 * math.sqrt(0.4) / 2))),
        ({"zero": 0.04, "wavelength": 0.7}, 0.2, None),
    ],
)
def test_zero_shift_and_displacement_move_lines_as_they_move_on_the_instrument(changes, inv_d2, shift):
    if shift is None:  # 0.04° at 0.7 Å, seen at the grid's wavelength through d
        d = 0.7 / 2 / math.sin(math.radians(bragg(inv_d2, 0.7) / 2 + 0.02))
        shift = bragg(1 / d**2) - bragg(inv_d2)
    y = one_line(inv_d2, size=0, microstrain=0, w=8, **changes)
    assert (angles(FINE) * y**2).sum() / (y**2).sum() - bragg(inv_d2) == pytest.approx(shift, abs=0.002)


def test_axial_divergence_drags_low_lines_towards_low_angles():
    """By the mean shift of Finger, Cox & Jephcoat for S = H: (S + H)²/L² · cot 2θ / 12."""
    y = one_line(0.03, size=0, microstrain=0, w=8, sh_l=0.06)
    two_theta, place = angles(FINE), bragg(0.03)
    shift = -math.degrees(0.06**2 / 12 / math.tan(math.radians(place)))
    near = np.abs(two_theta - place) < 1.5
    assert (two_theta[near] * y[near]).sum() / y[near].sum() - place == pytest.approx(shift, rel=0.12)
    left, right = (y[np.abs(two_theta - place - d).argmin()] for d in (-0.15, 0.15))
    assert left > 2 * right


def test_texture_of_zincite_plates_follows_march_and_dollase():
    r, two_theta = 0.7, angles(FINE)
    still, textured = (simulated(ZINCITE, grid=FINE, texture=t, texture_share=1)[0][0].numpy() for t in (0, r))

    def area(y, inv_d2):
        near = np.abs(two_theta - bragg(inv_d2)) < 0.3
        return y[near].sum()

    basal, prism = 4 / 5.2041**2, 4 / 3 / 3.2483**2  # 0 0 2 along c*, 1 0 0 normal to it
    found = (area(textured, basal) / area(textured, prism)) / (area(still, basal) / area(still, prism))
    assert found == pytest.approx(r**-3 / r**1.5, rel=0.03)
    assert patterns.march_dollase(torch.tensor([0.25]), torch.tensor(1.0)).item() == pytest.approx(1.0)


def test_displacement_of_atoms_damps_the_lines_at_high_angles():
    grid, hot = FINE, 2.0
    cold, warm = (simulated(LAB6, grid=grid, b_iso=b)[0][0].numpy() for b in (0, hot))
    low, high = (np.abs(angles(grid) - bragg(h2 / 4.15683**2)).argmin() for h2 in (2, 9))
    expected = math.exp(-0.5 * hot * 7 / 4.15683**2)
    assert (warm[high] / warm[low]) / (cold[high] / cold[low]) == pytest.approx(expected, rel=0.02)


def test_poisson_and_gaussian_noise_of_the_paper_have_its_statistics():
    clean = simulated(GYPSUM)[0][0]
    counted = simulated(GYPSUM, counts=100, copies=400)[0]
    counted = counted / counted.mean(0)[clean.argmax()]  # each was scaled by its own noisy maximum
    bright = clean > 0.3
    spread = counted.std(0)[bright] / (clean[bright] / 100).sqrt()
    assert spread.mean().item() == pytest.approx(1.0, abs=0.12)
    level = simulated(GYPSUM, noise=0.05, copies=200, background=0.5)[0]
    flat = clean < 0.002
    assert (level.std(0)[flat] / level.mean()).mean() > 0.03
    assert counted.mean(0)[bright].numpy() == pytest.approx(clean[bright].numpy(), rel=0.12)


def test_a_cut_pattern_is_zero_outside_of_what_was_measured():
    y, coverage = simulated(ANGLESITE, cut_share=1, cut_low=0.1, cut_high=0.25)
    two_theta = angles(COMPACT_GRID)
    assert np.array_equal(coverage[0].numpy() > 0, (two_theta >= 12.5 - 1e-6) & (two_theta <= 61.25 + 1e-6))
    assert (y[coverage == 0] == 0).all() and y.max() == 1
    assert simulated(ANGLESITE)[1].min() == 1


def test_what_the_instrument_cannot_reach_is_not_measured():
    reach = bragg((2 / 2.4) ** 2 * 0.999**2)
    coverage = simulated(ANGLESITE, wavelength=2.4)[1][0].numpy()
    assert angles(COMPACT_GRID)[coverage > 0].max() == pytest.approx(min(reach, 80), abs=0.05)
    assert simulated(ANGLESITE, wavelength=0.6)[1].min() == 1


def test_an_impurity_is_the_pattern_of_the_next_crystal_and_one_alone_has_none():
    effects = dataclasses.replace(IDEAL, impurity=0.3, impurity_share=1)
    both = [lines_of(material) for material in (LAB6, ZINCITE)]
    wide = max(lines.intensity.shape[1] for lines in both)

    def pad(t):
        return torch.nn.functional.pad(t, (0, 0, 0, wide - t.shape[1]) if t.ndim == 3 else (0, wide - t.shape[1]))

    hkl, intensity = (torch.cat([pad(getattr(lines, name)) for lines in both]) for name in ("hkl", "intensity"))
    basis, group = (torch.cat([getattr(lines, name) for lines in both]) for name in ("basis", "space_group"))
    y, _ = patterns.simulate(LineList(hkl, intensity, basis, group), COMPACT_GRID, effects, torch.Generator())
    lab6, zincite = simulated(LAB6)[0][0], simulated(ZINCITE)[0][0]
    assert torch.allclose(y[0], (lab6 + 0.3 * zincite) / (lab6 + 0.3 * zincite).max(), atol=2e-3)
    assert torch.equal(simulated(LAB6, impurity=0.3, impurity_share=1)[0][0], lab6)


def test_foreign_lines_are_few_and_weak():
    clean = simulated(LAB6, copies=30)[0]
    foreign = simulated(LAB6, copies=30, foreign=0.1, foreign_share=1)[0]
    difference = foreign - clean
    assert 0.005 < difference.max() < 0.11 and difference.min() > -1e-3
    assert (difference > 0.003).float().mean() < 0.02


@pytest.mark.parametrize(
    "effect",
    [
        *("b_iso", "u", "w", "size", "microstrain", "sh_l", "kalpha2_share", "zero", "displacement"),
        *("texture_share", "jitter", "impurity_share", "foreign_share", "background", "cut_share", "counts"),
    ],
)
def test_switching_off_one_effect_changes_nothing_but_that_effect(effect):
    """Every other draw stays the same: what is common to both runs, such as the noise, still agrees."""
    usual = dataclasses.replace(LABORATORY, noise=(0.02, 0.05), leftover=(1.0, 1.0))
    generators = [torch.Generator().manual_seed(7) for _ in range(2)]
    draws = [
        patterns.Draw(6, effects, generator)
        for effects, generator in zip((usual, dataclasses.replace(usual, **{effect: 0})), generators, strict=True)
    ]
    for name in (f.name for f in dataclasses.fields(Effects) if f.type == "Range" and f.name != effect):
        assert torch.equal(draws[0](name), draws[1](name)), name
    before, after = (simulated(ANGLESITE, usual, seed=7, copies=6, **change)[0] for change in ({}, {effect: 0}))
    assert not torch.equal(before, after)
    same_noise = np.corrcoef(before[:, 3000:].diff().flatten(), after[:, 3000:].diff().flatten())[0, 1]
    assert same_noise > 0.5 or effect in ("cut_share",)


@pytest.mark.parametrize("grid", [COMPACT_GRID, OPEN_GRID])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_generator_gives_the_same_patterns_and_every_pattern_is_usable(preset, grid):
    first, coverage = simulated(ANGLESITE, PRESETS[preset], seed=3, copies=12, grid=grid)
    again, _ = simulated(ANGLESITE, PRESETS[preset], seed=3, copies=12, grid=grid)
    assert torch.equal(first, again)
    assert torch.isfinite(first).all() and (first >= 0).all()
    assert torch.allclose(first.amax(1), torch.ones(12))
    assert (first[coverage == 0] == 0).all() and (coverage.mean(1) > 0.35).all()
    if preset != "ideal":
        assert not torch.equal(first, simulated(ANGLESITE, PRESETS[preset], seed=4, copies=12, grid=grid)[0])


@pytest.mark.parametrize("name", MATERIALS)
def test_strain_keeps_the_crystal_system(name):
    lines = lines_of(MATERIALS[name], 200)
    strained = patterns.strain(lines, LABORATORY, torch.Generator().manual_seed(1)).basis
    cells = lattice.cell_from_metric(np.linalg.inv((strained @ strained.mT).double().numpy()))
    free = lattice.FREE[lattice.SYSTEM_LETTERS[lattice.system_of_group()[MATERIALS[name][0] - 1]]]
    assert sum(np.ptp(cells, axis=0) > 1e-2) == {1: 3, 2: 3, 3: 3, 4: 4}[free]
    assert 0.005 < np.std(np.log(cells[:, 0])) < 0.04
    if free == 2:
        assert cells[:, 0] == pytest.approx(cells[:, 1], rel=1e-5)
    if free == 1:
        assert np.ptp(cells[:, :3], axis=1).max() < 1e-4
