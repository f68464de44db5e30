"""Cells from line positions alone: one mineral of each crystal system, and a published benchmark."""

import importlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
import spglib

from alphadiffract_plugin import crystal, threads
from alphadiffract_plugin.crystal.bravais import LATTICES, Lattice
from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.indexing import superlattices
from alphadiffract_plugin.indexing.assignments import assignments
from alphadiffract_plugin.indexing.effort import EFFORTS
from alphadiffract_plugin.indexing.refine_cells import TrialCell, pull_onto_lines
from alphadiffract_plugin.indexing.screen_cells import largest_volume
from alphadiffract_plugin.peaks.observed import line_likelihood_ratio, observed_from_peaks
from alphadiffract_plugin.records import Peaks
from alphadiffract_plugin.settings import SearchSettings, every_setting

search_cells = importlib.import_module("alphadiffract_plugin.indexing.search_cells")
COPPER = 1.5405929

MINERALS = {
    "almandine": ((11.526, 11.526, 11.526, 90.0, 90.0, 90.0), 230, 1),
    "corundum": ((4.7589, 4.7589, 12.991, 90.0, 90.0, 120.0), 167, 5),
    "beryl": ((9.215, 9.215, 9.192, 90.0, 90.0, 120.0), 192, 3),
    "zircon": ((6.607, 6.607, 5.982, 90.0, 90.0, 90.0), 141, 1),
    "forsterite": ((4.756, 10.207, 5.980, 90.0, 90.0, 90.0), 62, 1),
    "wollastonite": ((7.94, 7.32, 7.07, 90.03, 95.37, 103.43), 2, 5),
}
"""Cell, space group, and the place down to which the search may put the cell; the monoclinic one is bethanechol."""

ALBITE = (8.142, 12.785, 7.159, 94.19, 116.61, 87.68)
"""Low albite (Harlow & Brown 1980, Am. Mineral. 65, 986), space group C -1."""
ALBITE_SEEN = np.array(
    [(1, 0, 0), (-1, 1, 1), (1, 1, 0), (1, 0, 1), (0, -1, 2), (-1, -1, 2), (0, -2, 1), (-2, 0, 1), (-1, 0, 2)]
    + [(-2, 1, 0), (-2, 1, 1), (2, 0, 0), (0, 0, 2), (0, 2, 0), (-1, -2, 1), (-2, 0, 2), (-1, -2, 2), (1, -1, 2)]
    + [(-2, -1, 2), (2, -1, 1)]
)
"""Indices on the primitive cell of lines that patterns of feldspars show; its lowest others are too weak."""

BETHANECHOL = (8.875, 16.408, 7.137, 90.0, 93.84, 90.0)
BETHANECHOL_LINES = {
    "E": (
        1.54056,
        [10.765, 13.522, 14.690, 15.398, 16.336, 16.453, 17.312, 18.828, 19.699, 20.031]
        + [20.752, 21.641, 22.414, 22.788, 23.152, 23.528, 23.872, 24.970, 25.365, 25.549],
    ),
    "Ab": (
        1.5418,
        [6.690, 9.417, 10.849, 13.135, 13.601, 14.757, 15.492, 16.463, 17.419, 18.925]
        + [19.730, 20.131, 20.841, 21.722, 22.508, 23.224, 23.614, 23.979, 25.085, 25.650],
    ),
}
"""Bergmann, Le Bail, Shirley & Zlokazov (2004), Z. Kristallogr. 219, 783, table 6: wavelength in Å and two_theta in
degrees of set E, a laboratory measurement, and of set Ab, an old card with three impurity lines among its first 20
and shifted by more than half a tenth of a degree."""


def peaks_at(two_theta, *, esd=0.01, fwhm=0.1, area=None, wavelength=COPPER):
    """Lines of equal strength, or of such areas, at ``two_theta`` in degrees."""
    count = len(two_theta)
    area = np.full(count, 100.0) if area is None else area
    return Peaks(two_theta, np.full(count, esd), area, np.full(count, fwhm), np.full(count, 50.0), wavelength)


def measured(cell, space_group, seed=0):
    """22 lines with noise of 0.01 degrees, all shifted by 0.05, and two weak lines of something else among them.

    Lines nearer than 0.08 degrees to the one before are taken as one with it.
    """
    rng = np.random.default_rng(seed)
    place = crystal.two_theta_from_inv_d2(crystal.allowed_inv_d2(cell, space_group, 1.26), COPPER)
    apart = [place[0]]
    for two_theta in place:
        if two_theta - apart[-1] > 0.08:
            apart.append(two_theta)
    lines = np.array(apart[:22])
    area = rng.uniform(20, 1000, len(lines))
    lines = lines + 0.05 + rng.normal(0, 0.01, len(lines))
    lines = np.append(lines, rng.uniform(lines[0], lines[-1], 2))
    area = np.append(area, rng.uniform(20, 100, 2))
    order = np.argsort(lines)
    return peaks_at(lines[order], area=area[order])


def reduced(cell, centring):
    basis = spglib.niggli_reduce(crystal.primitive_basis(cell, centring), eps=1e-5)
    return basis @ basis.T


def place_of(cell, centring, trials):
    """Where among the distinct lattices the true one stands, from 1; its edges and angles within half a per cent."""
    truth = reduced(cell, centring)
    size = np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
    for place, trial in enumerate(trials, start=1):
        found = reduced(crystal.cell_from_metric(trial.metric), trial.lattice.centring)
        if (np.abs(found - truth) < 0.01 * size).all():
            return place
    return None


def found_cells(*arguments):
    """The trials of a search, best score first."""
    return search_cells.search_cells(*arguments).trials


@pytest.fixture
def few_lattices(monkeypatch):
    """Search cubic, hexagonal and tetragonal lattices only: a tenth of the time."""
    monkeypatch.setattr(search_cells, "LATTICES", LATTICES[:7])


@pytest.mark.parametrize("name", MINERALS)
def test_the_cell_of_a_mineral_is_found_from_22_lines_two_strangers_and_a_zero_shift(name):
    cell, space_group, lowest = MINERALS[name]
    trials = found_cells(measured(cell, space_group), SearchSettings())
    trials = search_cells.distinct_lattices(trials, 20)
    place = place_of(cell, crystal.symbol_from_space_group(space_group)[0], trials)
    assert place is not None
    assert place <= lowest
    assert trials[place - 1].zero_shift == pytest.approx(0.05, abs=0.03)
    assert trials[place - 1].origin == "search"


def test_the_triclinic_cell_is_found_in_nearly_every_noise():
    """The third noise hides it: with the spurious-line prior of an earlier fit it was found there too."""
    cell, space_group, _ = MINERALS["wollastonite"]
    found = [
        place_of(cell, "P", search_cells.distinct_lattices(trials, 5)) is not None
        for seed in (1, 2, 3, 4)
        for trials in [found_cells(measured(cell, space_group, seed), SearchSettings())]
    ]
    assert sum(found) >= 3


def test_albite_is_found_though_the_shortest_lines_are_absent():
    """Of the three shortest reciprocal axes of the primitive cell one alone is seen, and few sums of two."""
    cell = crystal.cell_from_direct_metric(reduced(ALBITE, "C"))
    two_theta = crystal.two_theta_from_inv_d2(
        crystal.quadratic_form(ALBITE_SEEN) @ crystal.metric_from_cell(cell), COPPER
    )
    noise = np.random.default_rng(3).normal(0, 0.005, len(two_theta))
    peaks = peaks_at(np.sort(two_theta + 0.03 + noise), esd=0.004)
    trials = search_cells.distinct_lattices(found_cells(peaks, SearchSettings()), 3)
    assert place_of(ALBITE, "C", trials) == 1


def test_half_a_cell_is_doubled_to_the_true_one():
    """Wollastonite's lattice with every second plane taken out, in each of the seven ways."""
    cell, space_group, _ = MINERALS["wollastonite"]
    observed = observed_from_peaks(measured(cell, space_group), 20)
    basis = crystal.primitive_basis(cell, "P")
    for halved in np.linalg.inv(list(superlattices._bases(2))) @ basis:
        metric = crystal.metric_from_cell(crystal.cell_from_direct_metric(halved @ halved.T))
        half = TrialCell(Lattice("triclinic", "P"), metric, 0.05, 0.0, "search")
        doubles = search_cells.multiplied(observed, [half], SearchSettings(), EFFORTS["normal"])
        best = max(doubles, key=lambda trial: trial.score)
        assert place_of(cell, "P", [best]) == 1
        assert best.score > pull_onto_lines(observed, half.lattice, np.array([[*metric, 0.05]]), "search")[0].score


def test_the_published_benchmark_is_indexed_where_the_programs_of_2004_indexed_it():
    """Set E by all of them: the cell is first."""
    wavelength, lines = BETHANECHOL_LINES["E"]
    trials = found_cells(peaks_at(lines, esd=0.005, wavelength=wavelength), SearchSettings())
    first, second, *_ = search_cells.distinct_lattices(trials, 20)
    assert place_of(BETHANECHOL, "P", [first]) == 1
    assert (first.lattice.family, first.lattice.centring) == ("monoclinic", "P")
    assert first.score > second.score + 5


def test_three_impurity_lines_in_twenty_leave_the_cell_among_the_first_twenty():
    """Set Ab, which only one of the programs of 2004 put first without help."""
    wavelength, lines = BETHANECHOL_LINES["Ab"]
    trials = found_cells(peaks_at(lines, wavelength=wavelength), SearchSettings())
    assert place_of(BETHANECHOL, "P", search_cells.distinct_lattices(trials, 20)) is not None


def test_the_same_lines_give_the_same_cells(few_lattices):
    peaks = measured(*MINERALS["zircon"][:2])
    first, second = (found_cells(peaks, SearchSettings()) for _ in range(2))
    assert len(first) == len(second) > 20
    for a, b in zip(first, second, strict=True):
        assert (a.lattice, a.score, a.zero_shift) == (b.lattice, b.score, b.zero_shift)
        assert (a.metric == b.metric).all()
    assert [t.score for t in first] == sorted((t.score for t in first), reverse=True)


def test_volume_and_length_stay_within_the_settings(few_lattices):
    """Refinement moves a cell by a few per cent at most; a centred cell may be half as large again.

    The length is that of 1/a*, which is √3/2 of a hexagonal edge.
    """
    settings = SearchSettings(volume_min=60, volume_max=300, length_max=9)
    trials = found_cells(measured(*MINERALS["zircon"][:2]), settings)
    assert len(trials) > 20
    for trial in trials:
        a, b, c, *_ = cell = crystal.cell_from_metric(trial.metric)
        volume = np.sqrt(np.linalg.det(crystal.direct_metric_from_cell(cell)))
        assert 60 * 0.9 < volume < 300 * 1.1 * (1 if trial.lattice.points == 1 else 1.5)
        assert max(a, b, c) < 9 * 1.05 * (2 / np.sqrt(3) if trial.lattice.family == "hexagonal" else 1)
    assert place_of(MINERALS["zircon"][0], "I", search_cells.distinct_lattices(trials, 20)) == 1
    too_small = SearchSettings(volume_max=100)
    trials = found_cells(measured(*MINERALS["zircon"][:2]), too_small)
    assert place_of(MINERALS["zircon"][0], "I", search_cells.distinct_lattices(trials, 40)) is None


def test_when_the_time_is_up_no_further_lattice_is_begun_and_the_rest_is_named(monkeypatch):
    """A clock that goes one second a look: three lattices in three seconds, the simplest first."""
    monkeypatch.setattr(search_cells, "monotonic", itertools.count().__next__)
    found = search_cells.search_cells(measured(*MINERALS["zircon"][:2]), SearchSettings(seconds=3))
    assert {trial.lattice for trial in found.trials} == set(LATTICES[:3])
    assert found.left_out == LATTICES[3:]


def test_without_a_limit_the_clock_is_not_asked(monkeypatch, few_lattices):
    monkeypatch.setattr(search_cells, "monotonic", itertools.count(0, 1e9).__next__)
    found = search_cells.search_cells(measured(*MINERALS["zircon"][:2]), SearchSettings())
    assert {trial.lattice.family for trial in found.trials} >= {"cubic", "hexagonal", "tetragonal"}
    assert found.left_out == ()


def test_the_lattices_that_the_network_holds_likely_are_searched_while_there_is_time(monkeypatch):
    """Zircon, with time for two lattices: found if the network says tetragonal, else the cubic ones are tried."""
    tetragonal = np.array([0.01, 0.01, 0.02, 0.9, 0.02, 0.02, 0.02])
    for probability, families in ((tetragonal, {"tetragonal"}), (None, {"cubic"})):
        monkeypatch.setattr(search_cells, "monotonic", itertools.count().__next__)
        peaks, settings = measured(*MINERALS["zircon"][:2]), SearchSettings(seconds=2)
        trials = found_cells(peaks, settings, "cpu", probability)
        assert {trial.lattice.family for trial in trials} == families
        place = place_of(MINERALS["zircon"][0], "I", search_cells.distinct_lattices(trials, 20))
        assert (place == 1) == (probability is tetragonal)


def searched_families(trials):
    """Families of lattices that were searched, beside those that doubling a cell may lead to."""
    return {trial.lattice.family for trial in trials if trial.lattice.free >= 4}


def test_the_search_ends_when_a_cell_is_clearly_right():
    """Forsterite is found among the lattices of high symmetry: no monoclinic lattice is searched for it."""
    cell, space_group, _ = MINERALS["forsterite"]
    peaks, settings = measured(cell, space_group), SearchSettings()
    observed = observed_from_peaks(peaks, 20)
    levels = search_cells.search_levels(observed, settings)
    first = next(levels)
    best = sorted(first.trials, key=lambda trial: -trial.score)
    assert search_cells.clearly_right(observed, replace(first, trials=best), settings)
    assert len(found_cells(peaks, settings)) == len(best)
    assert place_of(cell, "P", search_cells.distinct_lattices(best, 3)) is not None


def test_a_cell_that_leaves_more_lines_than_may_be_impurities_ends_no_search():
    observed = observed_from_peaks(measured(*MINERALS["forsterite"][:2]), 20)
    metric = crystal.metric_from_cell(MINERALS["forsterite"][0])
    right = TrialCell(Lattice("orthorhombic", "P"), metric, 0.05, 60.0, "search")
    wrong = replace(right, metric=metric * 1.01)
    unlikely, unsearched = replace(right, score=30.0), replace(right, lattice=Lattice("monoclinic", "P"))
    for trials in ([right], [unlikely], [wrong], [unsearched], []):
        found = search_cells.Found(trials, searched=LATTICES[:11])
        assert search_cells.clearly_right(observed, found, SearchSettings()) == any(trial is right for trial in trials)


def test_levels_of_effort_search_less_or_more():
    """Wollastonite is triclinic: quick leaves such lattices out, and no level asks the others' numbers."""
    cell, space_group, _ = MINERALS["wollastonite"]
    peaks = measured(cell, space_group)
    quick = found_cells(peaks, SearchSettings(effort="quick"))
    normal = found_cells(peaks, SearchSettings(effort="normal"))
    assert "triclinic" not in searched_families(quick)
    assert searched_families(normal) == {"monoclinic", "triclinic"}
    assert len(quick) < len(normal)
    with pytest.raises(SettingsError, match="quick, normal or thorough"):
        SearchSettings(effort="lazy")


def test_settings_name_the_levels_that_the_search_has():
    names = every_setting()["search.effort"].allowed.choices
    assert tuple(EFFORTS) == names
    for small, large in itertools.pairwise(EFFORTS[name] for name in names):
        assert SearchSettings().largest_volume == 3000 <= SearchSettings(effort="thorough").largest_volume
        for name in ("first_lines", "held", "refined"):
            small_numbers, large_numbers = dict(getattr(small, name)), dict(getattr(large, name))
            assert all(small_numbers[free] < large_numbers[free] for free in small_numbers)


def test_thorough_takes_larger_cells_unless_the_settings_say_how_large():
    lattice = Lattice("cubic", "P")
    assert largest_volume(lattice, SearchSettings()) == 3000
    assert largest_volume(lattice, SearchSettings(effort="thorough")) == 20000
    assert largest_volume(lattice, SearchSettings(effort="thorough", volume_max=500.0)) == 500
    assert largest_volume(Lattice("cubic", "F"), SearchSettings(volume_max=500.0)) == 750


def test_one_thread_and_two_give_the_same_cells(few_lattices):
    peaks = measured(*MINERALS["zircon"][:2])
    answers = []
    for number in (1, 2):
        with threads.limited(number):
            answers.append(found_cells(peaks, SearchSettings()))
    for one, two in zip(*answers, strict=True):
        assert (one.lattice, one.score, one.zero_shift) == (two.lattice, two.score, two.zero_shift)
        assert (one.metric == two.metric).all()


def test_four_lines_are_enough_to_be_asked(few_lattices):
    """LaB6 of which 100 to 200 were measured: the true cell is among the answers."""
    two_theta = crystal.two_theta_from_inv_d2(np.arange(1, 5) / 4.15683**2, COPPER)
    trials = found_cells(peaks_at(two_theta), SearchSettings())
    assert place_of((4.15683,) * 3 + (90.0,) * 3, "P", search_cells.distinct_lattices(trials, 40)) is not None


def test_pulling_onto_lines_refines_cell_and_zero_shift():
    """Forsterite from a cell one per cent off comes to rest at the truth and the shift."""
    cell, space_group, _ = MINERALS["forsterite"]
    observed = observed_from_peaks(measured(cell, space_group), 20)
    lattice = Lattice("orthorhombic", "P")
    start = np.append(crystal.metric_from_cell(cell)[:3] * [1.01, 0.995, 1.005], 0.0)
    (trial, *_) = pull_onto_lines(observed, lattice, start[None], "network")
    assert crystal.cell_from_metric(trial.metric) == pytest.approx(cell, rel=1e-3)
    assert trial.zero_shift == pytest.approx(0.05, abs=0.02)
    assert trial.origin == "network"
    assert pull_onto_lines(observed, lattice, np.zeros((0, 4)), "network") == []


def test_distinct_lattices_are_distinct_and_monoclinic_ones_reduced():
    """Gypsum on three sets of axes is one lattice; its cell doubled is another."""
    gypsum = np.array([6.284, 15.2, 5.677, 90.0, 114.1, 90.0])
    metric = crystal.tensor_from_metric(crystal.metric_from_cell(gypsum))

    def trial(axes, score):
        direct = np.linalg.inv(axes.T @ metric @ axes)
        found = crystal.metric_from_cell(crystal.cell_from_direct_metric(direct))
        return search_cells.TrialCell(Lattice("monoclinic", "C"), found, 0.0, score, "search")

    other_axes = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1.0]])
    trials = [trial(np.eye(3), 9.0), trial(other_axes, 8.0), trial(np.diag([1, 1, 0.5]), 7.0)]
    kept = search_cells.distinct_lattices(trials, 10)
    assert [t.score for t in kept] == [9.0, 7.0]
    assert crystal.cell_from_metric(kept[0].metric) == pytest.approx(gypsum, abs=1e-3)
    only = search_cells.distinct_lattices([trial(other_axes, 8.0)], 10)
    assert crystal.cell_from_metric(only[0].metric) == pytest.approx(gypsum, abs=1e-3)
    assert len(search_cells.distinct_lattices(trials, 1)) == 1


# the lines themselves


def test_weak_low_angle_lines_are_distrusted_and_passed_over():
    area = np.full(24, 100.0)
    area[0] = 0.2
    peaks = peaks_at(np.linspace(10, 60, 24), area=area)
    observed = observed_from_peaks(peaks, 20)
    assert len(observed.two_theta) == 20
    assert observed.two_theta[0] == peaks.two_theta[1]
    every = observed_from_peaks(peaks, 20, every=True)
    assert every.two_theta[0] == peaks.two_theta[0]
    assert every.spurious[0] > 0.5 > every.spurious[1:].max()


def test_a_line_on_a_calculated_place_speaks_for_a_cell_and_the_less_the_more_places_there_are():
    observed = observed_from_peaks(peaks_at([20.0, 30.0, 40.0]), 3)
    hit = line_likelihood_ratio(observed, np.zeros(3), np.full(3, 0.5))
    crowded = line_likelihood_ratio(observed, np.zeros(3), np.full(3, 5.0))
    missed = line_likelihood_ratio(observed, np.full(3, 1.0), np.full(3, 0.5))
    assert (hit > 2).all()
    assert (crowded < hit - 1).all()
    assert missed == pytest.approx(np.log(observed.spurious))


# the fourteen lattices


def test_there_are_fourteen_lattices_with_as_many_parameters_as_textbooks_say():
    assert len(LATTICES) == 14
    assert {lattice.family: lattice.free for lattice in LATTICES} == {
        "cubic": 1,
        "hexagonal": 2,
        "tetragonal": 2,
        "orthorhombic": 3,
        "monoclinic": 4,
        "triclinic": 6,
    }


@pytest.mark.parametrize("lattice", LATTICES[:-1], ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_low_index_assignments_hold_the_one_that_gives_the_cell_back(lattice):
    """Among all that a few of the first lines may be is one that gives the parameters of a general cell."""
    metric = np.array([0.0271, 0.0188, 0.0132, 0.0011, 0.0023, 0.0017])
    parameters = {1: [0.0271], 2: [0.0271, 0.0132], 3: metric[:3], 4: metric[[0, 1, 2, 4]]}[lattice.free]
    design = lattice.design(lattice.indices(27))
    lines = np.sort(design @ parameters)[:9]
    few = {1: 3, 2: 5, 3: 6, 4: 6}[lattice.free]
    chosen = np.array(list(itertools.combinations(range(few), lattice.free)))
    found = np.einsum("tij,sj->sti", assignments(lattice), lines[chosen]).reshape(-1, lattice.free)
    volume = np.abs(np.linalg.det(crystal.tensor_from_metric(found @ lattice.metric_map)))
    truth = np.linalg.det(crystal.tensor_from_metric(np.array(parameters) @ lattice.metric_map))
    likely = found[np.isclose(volume, truth, rtol=1e-6)]
    calculated = np.sort(likely @ design.T)[:, : len(lines)]
    assert (np.abs(calculated - lines).max(1) < 1e-9).any()


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: f"{lattice.family}-{lattice.centring}")
def test_the_density_of_lines_is_volume_over_points_and_multiplicity(lattice):
    """4/3 π (1/d)³ V indices in a sphere, shared out: what the search takes for chance agrees with counting."""
    cell = {
        "cubic": (9.1, 9.1, 9.1, 90, 90, 90),
        "hexagonal": (9.1, 9.1, 11.3, 90, 90, 120),
        "tetragonal": (9.1, 9.1, 11.3, 90, 90, 90),
        "orthorhombic": (8.2, 9.1, 11.3, 90, 90, 90),
        "monoclinic": (8.2, 9.1, 11.3, 90, 104, 90),
        "triclinic": (8.2, 9.1, 11.3, 81, 104, 97),
    }[lattice.family]
    metric = crystal.metric_from_cell(cell)
    reach = 1.2
    hkl = crystal.indices_within(metric, reach)
    value = np.sort(crystal.quadratic_form(hkl[crystal.centred(hkl, lattice.centring)]) @ metric)
    lines = (np.diff(value, prepend=-1) > 1e-9).sum()
    volume = np.sqrt(np.linalg.det(crystal.direct_metric_from_cell(cell)))
    expected = 4 / 3 * np.pi * reach**1.5 * volume / (lattice.points * lattice.multiplicity)
    assert 0.6 < expected / lines < 1.5
