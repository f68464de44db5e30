"""The compiled inner loops of the search against plain formulas, against torch, and against spglib."""

import importlib
import itertools
import subprocess
import sys

import numpy as np
import pytest
import spglib

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal.bravais import LATTICES, Lattice, bravais_from_basis, primitive_basis
from alphadiffract_plugin.indexing.effort import EFFORTS
from alphadiffract_plugin.indexing.refine_cells import pull_onto_lines
from alphadiffract_plugin.indexing.superlattices import _bases, multiplied_cells
from alphadiffract_plugin.peaks.observed import Observed, line_likelihood_ratio
from alphadiffract_plugin.settings import SearchSettings

screen_cells = importlib.import_module("alphadiffract_plugin.indexing.screen_cells")
COPPER = 1.5405929
ANORTHIC = (7.94, 7.32, 7.07, 90.03, 95.37, 103.43)
QUICK = EFFORTS["quick"]


@pytest.fixture
def observed():
    """The first 18 lines of wollastonite with noise, the ninth of them a likely stranger."""
    rng = np.random.default_rng(2)
    two_theta = crystal.two_theta_from_inv_d2(crystal.allowed_inv_d2(ANORTHIC, 2, 0.4)[:18], COPPER)
    spurious = np.full(18, 0.05)
    spurious[8] = 0.8
    return Observed(
        np.sort(two_theta + rng.normal(0.02, 0.01, 18)), np.full(18, 0.012), spurious, np.ones(18), COPPER, 1.0
    )


# screening


@pytest.mark.parametrize(
    "lattice",
    [LATTICES[0], LATTICES[3], LATTICES[8], LATTICES[12], LATTICES[13]],
    ids=lambda lattice: f"{lattice.family}-{lattice.centring}",
)
def test_compiled_code_and_torch_hold_the_same_cells(observed, lattice):
    """Sums in single precision end differently in the last digits: a line at the edge of an interval may go either way.

    So 98 of 100 cells must be the same, and the ordered scores the same to 0.002 nats but for such lines.
    """
    inv_d2 = observed.inv_d2(0.03)
    sieve = screen_cells._sieve(observed, inv_d2, lattice, SearchSettings(), QUICK)
    most = dict(QUICK.held)[lattice.free]
    compiled, score = screen_cells._screen_by_kernel(observed, inv_d2, lattice, sieve, most, QUICK, "cpu")
    by_torch, torch_score = screen_cells._screen_by_torch(observed, inv_d2, lattice, sieve, most, QUICK, "cpu")
    assert len(compiled) == len(by_torch) > 20
    same = set(map(tuple, compiled.round(5))) & set(map(tuple, by_torch.round(5)))
    assert len(same) >= 0.98 * len(set(map(tuple, by_torch.round(5))))
    difference = np.abs(np.sort(score) - np.sort(torch_score))
    assert np.quantile(difference, 0.95) < 2e-3


def test_the_score_of_the_screening_is_the_formula_above_it(observed):
    """A tetragonal lattice; the few cells are scored again in double precision, line by line."""
    lattice, inv_d2 = Lattice("tetragonal", "P"), observed.inv_d2(0.0)
    sieve = screen_cells._sieve(observed, inv_d2, lattice, SearchSettings(), QUICK)
    cells, score = screen_cells._screen_by_kernel(observed, inv_d2, lattice, sieve, 50, QUICK, "cpu")
    expected, hit, miss = sieve.chance.astype(float)
    again = []
    for x in cells:
        volume = (x[0] ** 2 * x[1]) ** -0.5
        place = np.clip((x @ sieve.design) * sieve.scale, 0, len(sieve.table) - 1).astype(int)
        bits = np.bitwise_or.reduce(sieve.table[place])
        explained = (bits >> np.arange(len(hit)) & 1).astype(bool)
        again.append(np.where(explained, hit - np.log(-np.expm1(-expected * volume)), miss).sum())
    assert np.median(np.abs(score - again)) < 1e-4


def test_more_cells_held_are_the_same_first_ones(observed):
    """The bound by which cells are passed over costs none of the best."""
    lattice, inv_d2 = Lattice("monoclinic", "P"), observed.inv_d2(0.03)
    sieve = screen_cells._sieve(observed, inv_d2, lattice, SearchSettings(), QUICK)
    few, many = (
        np.sort(screen_cells._screen_by_kernel(observed, inv_d2, lattice, sieve, most, QUICK, "cpu")[1])[::-1]
        for most in (100, 3000)
    )
    assert (few == many[:100]).all()


# least squares on the lines


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_the_score_of_a_refined_cell_is_the_likelihood_ratio_of_its_lines(observed, lattice):
    """Nearest lines by looking at all, the ratio by the function that the whole-pattern fit uses, and the prices."""
    general = np.array([0.0271, 0.0188, 0.0232, 0.0011, 0.0023, 0.0017])
    trial = pull_onto_lines(observed, lattice, np.append(lattice.parameters(general), 0.01)[None], "search")[0]
    longest = 80 if lattice.free < 3 else 50 if lattice.free == 3 else 36
    calculated = lattice.design(lattice.indices(longest)) @ lattice.parameters(trial.metric)
    per_degree = observed.inv_d2_per_degree()
    target = observed.inv_d2() - trial.zero_shift * per_degree
    nearest = calculated[np.abs(target[:, None] - calculated).argmin(1)]
    volume = np.linalg.det(crystal.tensor_from_metric(trial.metric)) ** -0.5
    density = 2 * np.pi * np.sqrt(observed.inv_d2()) * per_degree * volume / (lattice.points * lattice.multiplicity)
    ratio = line_likelihood_ratio(observed, (target - nearest) / per_degree, np.maximum(density, 0.02)).sum()
    assert trial.score == pytest.approx(ratio - 6 * lattice.free - 0.5 * (trial.zero_shift / 0.05) ** 2, abs=1e-6)


def test_least_squares_ends_where_the_weighted_sum_of_squares_is_least(observed):
    """From the true triclinic cell: no small step of a parameter or the zero shift makes the lines fit better."""
    lattice = Lattice("triclinic", "P")
    metric = crystal.metric_from_cell(ANORTHIC)
    trial = pull_onto_lines(observed, lattice, np.append(metric, 0.0)[None], "search")[0]
    design, per_degree = lattice.design(lattice.indices(36)), observed.inv_d2_per_degree()

    def misfit(x):
        off = np.abs(observed.inv_d2()[:, None] - x[6] * per_degree[:, None] - x[:6] @ design.T).min(1) / per_degree
        off = off[off < 0.03]
        return (off**2 / (observed.sigma[0] ** 2 + 0.003**2) / (1 + (off / 0.012) ** 4)).sum() + (x[6] / 0.05) ** 2

    best = np.append(trial.metric, trial.zero_shift)
    for step in np.diag([3e-5] * 6 + [0.02]):
        assert misfit(best) < min(misfit(best + step), misfit(best - step))


# which lattices are the same


def test_seven_norms_are_those_of_the_lattice_and_not_of_its_basis():
    from alphadiffract_plugin.indexing.distinct_kernels import seven_norms

    rng = np.random.default_rng(4)
    for _ in range(50):
        basis = rng.normal(size=(3, 3)) * 3 + np.diag([5.0, 7.0, 11.0])
        change = np.tril(rng.integers(-3, 4, (3, 3)), -1) + np.eye(3)
        other = (change @ change.T) @ basis
        one, two = seven_norms(np.array([basis @ basis.T, other @ other.T]))
        assert one == pytest.approx(two, rel=1e-7)
        shortest = spglib.niggli_reduce(basis, eps=1e-7)[0]
        assert one[0] == pytest.approx(shortest @ shortest, rel=1e-9)
    cubic = seven_norms(np.array([np.eye(3) * 9.0]))[0]
    assert cubic == pytest.approx([9, 9, 9, 18, 18, 18, 27])


@pytest.mark.parametrize(("index", "count"), [(2, 7), (3, 13)])
@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_a_multiplied_cell_is_the_bravais_cell_of_the_superlattice(lattice, index, count):
    """The table of axes against spglib's answer for this very cell."""
    from alphadiffract_plugin.indexing.distinct_kernels import seven_norms

    metric = lattice.parameters(np.array([0.021, 0.017, 0.0291, 0.0051, 0.0063, 0.0037])) @ lattice.metric_map
    basis = primitive_basis(crystal.cell_from_metric(metric), lattice.centring)
    bases, cells = list(_bases(index)), multiplied_cells(lattice, metric, index)
    assert len(bases) == count
    for change, (child, found) in zip(bases, cells, strict=True):
        expected = bravais_from_basis(change @ basis, 1e-4)
        assert (child.family, child.centring) == (expected.family, expected.centring)
        assert child.parameters(found) @ child.metric_map == pytest.approx(found, abs=1e-9)
        primitive = primitive_basis(crystal.cell_from_metric(found), child.centring)
        one, two = seven_norms(np.array([primitive @ primitive.T, (change @ basis) @ (change @ basis).T]))
        assert one == pytest.approx(two, rel=1e-6)
        if child.family == "monoclinic":
            a, _, c, _, e, _ = found
            assert abs(e) <= min(2 * a if child.centring == "C" else a, c) * (1 + 1e-9)


# what a start costs


def test_a_search_on_the_cpu_imports_no_torch_and_a_command_without_a_search_no_numba():
    code = (
        "import sys, numpy as np\n"
        "import alphadiffract_plugin.pipeline\n"
        "assert not {'torch', 'numba'} & set(sys.modules)\n"
        "from alphadiffract_plugin.records import Peaks\n"
        "from alphadiffract_plugin.indexing import search_cells\n"
        "from alphadiffract_plugin.settings import SearchSettings\n"
        "lines = np.array([21.36, 30.38, 37.44, 43.51, 48.96, 53.99])\n"
        "peaks = Peaks(lines, *(np.full(6, value) for value in (0.01, 100.0, 0.1, 50.0)), 1.5406)\n"
        "assert search_cells(peaks, SearchSettings(effort='quick')).trials\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_order_of_the_lowest_lines_is_among_the_chosen(observed):
    """Three lines of the first eight trusted ones, each once; the likely stranger is not among them."""
    chosen = screen_cells._chosen_lines(observed, Lattice("orthorhombic", "P"), QUICK)
    trusted = [0, 1, 2, 3, 4, 5, 6, 7]
    assert list(map(tuple, chosen)) == list(itertools.combinations(trusted, 3))
