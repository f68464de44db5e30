"""The compiled loops against the same in plain numpy, on anglesite's pattern and its orthorhombic cell."""

import numpy as np
import pytest
import scipy.linalg

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal import reflection_kernels
from alphadiffract_plugin.crystal.bravais import LATTICES, Lattice
from alphadiffract_plugin.crystal.extinction import extinction_classes
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks import run_kernels
from alphadiffract_plugin.peaks.observed import line_likelihood
from alphadiffract_plugin.whole_pattern import kernels
from alphadiffract_plugin.whole_pattern.fit_lattice import FittedLattice, fit_lattice, fit_lattices
from alphadiffract_plugin.whole_pattern.pattern_data import pattern_data

ANGLESITE = (8.480, 5.398, 6.958, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def fit(pbso4_xray, anglesite) -> FittedLattice:
    """A cell of twice the volume, so that there are superstructure reflections as well."""
    a, b, c, *angles = ANGLESITE
    trial = TrialCell(
        Lattice("orthorhombic", "P"), crystal.metric_from_cell((a, 2 * b, c, *angles)), 0.01, 0.0, "search"
    )
    return fit_lattice(pattern_data(pbso4_xray, anglesite.peak_fit), trial)


def test_products_and_the_gram_matrix_are_those_of_the_full_matrix(fit):
    full, weight = fit.columns.toarray(), fit.data.weight
    rng = np.random.default_rng(1)
    factor, columns = rng.standard_normal((full.shape[1], 3)), rng.standard_normal((full.shape[0], 2))
    assert fit.columns @ factor == pytest.approx(full @ factor, rel=1e-9, abs=1e-9)
    assert fit.columns @ factor[:, 0] == pytest.approx(full @ factor[:, 0], rel=1e-9, abs=1e-9)
    assert fit.columns.dot(columns) == pytest.approx(full.T @ columns, rel=1e-9, abs=1e-9)
    gram = full.T @ (full * weight[:, None])
    assert fit.gram.toarray() == pytest.approx(gram, rel=1e-10, abs=1e-12 * gram.max())
    assert fit.gram.lower.shape[1] < len(gram) / 3, "the matrix is a narrow band"
    assert fit.columns.scaled(factor[:, 0]).toarray() == pytest.approx(full * factor[:, 0])


@pytest.mark.parametrize("every", [1, 3])
def test_the_banded_solution_is_that_of_the_full_equations(fit, every):
    use = np.arange(0, len(fit.order), every)
    scale = np.linspace(0.5, 3, len(use))
    full = fit.gram.toarray()[np.ix_(use, use)]
    largest = full.max()
    full = full * scale[:, None] * scale / largest + np.eye(len(use))
    right = np.random.default_rng(2).standard_normal((len(use), 2))
    lower, first = kernels.factor(
        fit.gram.lower / fit.gram.toarray()[np.ix_(use, use)].max(), fit.gram.low, use, scale, 1.0
    )
    assert kernels.solve(lower, first, right) == pytest.approx(np.linalg.solve(full, right), rel=1e-9, abs=1e-12)
    assert kernels.inverse_diagonal(lower, first) == pytest.approx(np.diag(np.linalg.inv(full)), rel=1e-10)
    dense = scipy.linalg.cholesky(full, lower=True)
    assert lower[:, -1] == pytest.approx(np.diag(dense), rel=1e-10)


def test_the_lines_that_each_class_leaves_are_those_of_gemmi(fit):
    classes = extinction_classes("orthorhombic", "P")
    allowed = fit.allowed(classes)
    line = np.repeat(np.arange(len(fit.two_theta)), np.diff(fit.first))
    for found, left in zip(classes, allowed, strict=True):
        number = found.settings[0].space_group
        expected = np.zeros(len(fit.two_theta), bool)
        expected[line[~found.extinct(fit.hkl)]] = True
        assert (left == expected).all(), number
        if np.allclose(found.settings[0].to_standard, np.eye(3)):
            absent = crystal.extinct(fit.hkl, crystal.operations_from_space_group(number))
            assert (found.extinct(fit.hkl) == absent).all(), number


def test_the_line_ratios_are_those_of_the_formula(fit):
    allowed = fit.allowed(extinction_classes("orthorhombic", "P"))
    assert len(fit.main) > 2
    assert fit.line_ratios(allowed) == pytest.approx([_line_ratio(fit, left) for left in allowed], rel=1e-10)


def _line_ratio(fit, allowed):
    """The mean over three degrees of purity of the pattern."""
    spurious = fit.data.observed.spurious
    odds = spurious / (1 - spurious)
    moved = [(share, np.exp(shift) * odds) for shift, share in ((-1.5, 0.25), (0.0, 0.5), (2.0, 0.25))]
    return np.log(sum(share * np.exp(_line_ratio_of(fit, allowed, o / (1 + o))) for share, o in moved))


def _line_ratio_of(fit, allowed, spurious):
    """In a superstructure nearly all strong lines are main reflections, and the others only share the weak ones."""
    observed, density = fit.data.observed, fit.data.density

    def likelihood(which):
        off = np.abs(fit.data.position[:, None] - fit.two_theta[which]).min(1, initial=360.0)
        return line_likelihood(observed, off) / ((which.sum() + 1) * density)

    def ratio(value):
        return np.log((1 - spurious) * value + spurious).sum()

    total = ratio(likelihood(allowed))
    share = 0.3 / (1 + (observed.height / 0.05) ** 2)
    for main in fit.main:
        if (allowed & main).any() and (allowed & ~main).any():
            mixed = (1 - share) * likelihood(allowed & main) + share * likelihood(allowed & ~main)
            total = np.logaddexp(total, ratio(mixed) - np.log(max(len(fit.main), 7)))
    return total


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_the_indices_are_those_of_a_full_grid(lattice):
    metric = np.array([1, 1.3, 0.7, 0.1, 0.2, 0.3]) @ np.linalg.pinv(lattice.metric_map) @ lattice.metric_map / 40
    reach = 0.5
    grid = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3, indexing="ij"), -1).reshape(-1, 3)
    h, k, l = grid.T  # noqa: E741
    grid = grid[(l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))]
    value = crystal.quadratic_form(grid) @ metric
    expected = grid[(value <= reach) & crystal.centred(grid, lattice.centring)]
    shifts = crystal.centring_translations(lattice.centring)
    hkl, line = crystal.reflections_within(metric, reach, shifts, 10**6)
    assert sorted(map(tuple, hkl)) == sorted(map(tuple, expected))
    inv_d2 = crystal.quadratic_form(hkl) @ metric
    assert (np.diff(inv_d2) > -1e-12).all()
    assert line[-1] + 1 == len(np.unique(inv_d2.round(9)))
    assert crystal.reflections_within(metric, reach, shifts, len(hkl) - 1) is None


def test_each_loop_is_compiled_for_one_kind_of_arguments(anglesite):
    """A second kind, such as arrays that may not be written to, would be compiled again: seconds at a first run."""
    assert anglesite.fits
    for module in (reflection_kernels, run_kernels, kernels):
        for name, loop in vars(module).items():
            if hasattr(loop, "signatures"):
                assert len(loop.signatures) <= 1, (name, loop.signatures)


def test_the_device_code_refines_cells_as_the_compiled_code_does(pbso4_xray, anglesite):
    """Several lattices in one batch, torch on the CPU: cells to 1e-9, zero shift and displacement to 1e-9 degrees."""
    data = pattern_data(pbso4_xray, anglesite.peak_fit)
    shapes = {"orthorhombic": (8.48, 5.40, 6.95, 90, 90, 90), "triclinic": (8.48, 5.40, 6.96, 90.1, 90.2, 89.9)}
    shapes |= {"cubic": (8.5, 8.5, 8.5, 90, 90, 90), "monoclinic": (8.47, 5.41, 6.96, 90, 90.3, 90)}
    trials = [
        TrialCell(Lattice(family, "P"), crystal.metric_from_cell(cell), 0.02, 0.0, "search")
        for family, cell in shapes.items()
    ]
    for ours, theirs in zip(fit_lattices(data, trials), fit_lattices(data, trials, "cpu:0"), strict=True):
        assert theirs.trial.metric == pytest.approx(ours.trial.metric, rel=1e-9, abs=1e-14)
        assert theirs.trial.zero_shift == pytest.approx(ours.trial.zero_shift, abs=1e-9)
        assert theirs.displacement == pytest.approx(ours.displacement, abs=1e-9)
