"""Whole patterns against cells: anglesite on its own cell, on others, and with a stranger in the sample."""

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.peaks.find_peaks import fit_peaks
from alphadiffract_plugin.peaks.profile import profiles
from alphadiffract_plugin.settings import PeakSettings
from alphadiffract_plugin.whole_pattern.fit_pattern import fit_pattern

ANGLESITE = (8.480, 5.398, 6.958, 90.0, 90.0, 90.0)
ORTHORHOMBIC = Lattice("orthorhombic", "P")


def trial(cell, lattice=ORTHORHOMBIC, zero_shift=0.0):
    return TrialCell(lattice, crystal.metric_from_cell(cell), zero_shift, 0.0, "search")


def scaled(*factors):
    return (*(edge * factor for edge, factor in zip(ANGLESITE, factors, strict=False)), 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def classes(pbso4_xray, anglesite):
    """The extinction classes of anglesite's own cell, by symbol."""
    return {fit.extinction.symbol: fit for fit in fit_pattern(pbso4_xray, anglesite.peak_fit, [trial(ANGLESITE)])}


@pytest.fixture(scope="module")
def right(classes):
    return classes["P n - a"]


def test_the_cell_is_refined_on_the_whole_pattern(pbso4_xray, anglesite):
    """From as far off as the search leaves it, to where the start from the published cell ends too."""
    ends = [
        next(f for f in fit_pattern(pbso4_xray, anglesite.peak_fit, [start]) if f.extinction.symbol == "P n - a")
        for start in (trial(scaled(1.0003, 0.9998, 1.0002), zero_shift=-0.02), trial(ANGLESITE))
    ]
    cells = [np.array(crystal.cell_from_metric(fit.trial.metric)) for fit in ends]
    assert cells[0][:3] == pytest.approx(cells[1][:3], rel=3e-4)
    assert cells[1][:3] == pytest.approx(ANGLESITE[:3], rel=5e-4)
    assert (cells[0][3:] == 90).all()


def test_its_uncertainty_is_a_few_ten_thousandths_of_an_angstrom(right):
    sigma = np.sqrt(np.diag(right.covariance)[:3])
    edges = 0.5 * sigma / right.trial.metric[:3] * ANGLESITE[:3]
    assert (edges > 1e-4).all()
    assert (edges < 2e-3).all()
    assert (right.covariance[3:] == 0).all()


def test_the_class_of_the_true_space_group_explains_all_with_fewest_reflections(classes, right):
    """P n m a: against no extinctions as good a fit with fewer lines to hit, against more extinctions a better fit."""
    assert right.extinction.space_groups == (33, 62)
    assert right.unexplained == ()
    assert right.rwp < 16
    every = [fit for symbol, fit in classes.items() if symbol != "P n - a"]
    assert right.evidence.lines > max(fit.evidence.lines for fit in every if fit.rwp < 1.1 * right.rwp)
    worse = [fit for fit in every if fit.evidence.lines >= right.evidence.lines]
    assert all(fit.rwp > 1.3 * right.rwp or fit.unexplained for fit in worse)


def test_on_renamed_axes_the_class_is_the_same_under_another_symbol(pbso4_xray, anglesite, right):
    """P n m a with b, c, a for its axes is P m c n."""
    a, b, c, *angles = ANGLESITE
    fits = fit_pattern(pbso4_xray, anglesite.peak_fit, [trial((b, c, a, *angles))])
    fit = next(fit for fit in fits if fit.extinction.space_groups == (33, 62) and not fit.unexplained)
    assert fit.extinction.symbol == "P - c n"
    assert fit.evidence.lines == pytest.approx(right.evidence.lines, rel=1e-3)
    assert fit.rwp == pytest.approx(right.rwp, rel=1e-3)


@pytest.mark.parametrize(
    "cell",
    [scaled(1.02, 1.0, 1.0), scaled(1.0, 0.985, 1.01), scaled(1.05, 1.05, 1.05)],
    ids=["a off by 2 %", "b and c off", "all off by 5 %"],
)
def test_a_wrong_cell_has_less_evidence(pbso4_xray, anglesite, right, cell):
    fits = fit_pattern(pbso4_xray, anglesite.peak_fit, [trial(cell)])
    best = max(fits, key=lambda fit: fit.evidence.lines)
    assert best.evidence.lines < right.evidence.lines - 30
    assert min(fit.rwp for fit in fits) > 1.5 * right.rwp
    assert len(best.unexplained) > 3


def test_a_cell_twice_too_large_explains_as_much_and_has_less_evidence(pbso4_xray, anglesite, right):
    fits = fit_pattern(pbso4_xray, anglesite.peak_fit, [trial(scaled(1.0, 2.0, 1.0))])
    best = max(fits, key=lambda fit: fit.evidence.lines)
    assert right.evidence.lines > best.evidence.lines + 3
    whole = next(fit for fit in fits if set(fit.extinction.symbol.split()[1:]) == {"-"}) if fits else None
    assert whole is None or whole.evidence.lines < right.evidence.lines - 10


def test_a_doubled_cube_of_lab6_whose_own_lines_are_all_absent_has_less_evidence(lab6_lab):
    """F m -3 m with a doubled edge has the lines of P m -3 m among its own, and can be nothing but a superstructure."""
    lines = fit_peaks(lab6_lab, PeakSettings())
    edges = {"P": 4.15683, "F": 2 * 4.15683}
    trials = [trial((a, a, a, 90.0, 90.0, 90.0), Lattice("cubic", centring)) for centring, a in edges.items()]
    evidence = {
        fit.trial.lattice.centring: fit.evidence.lines
        for fit in fit_pattern(lab6_lab, lines, trials)
        if fit.extinction.symbol in ("P - - -", "F - - -")
    }
    assert evidence["P"] - evidence["F"] > 1


def test_a_shift_of_the_whole_pattern_is_taken_up_and_leaves_the_cell(pbso4_xray, anglesite, right):
    """A tenth of a degree: as zero shift or as displacement, which differ little over this range."""
    shifted = replace(pbso4_xray, two_theta=pbso4_xray.two_theta + 0.1)
    lines = fit_peaks(shifted, PeakSettings())
    fits = fit_pattern(shifted, lines, [trial(ANGLESITE, zero_shift=0.08)])
    fit = next(f for f in fits if f.extinction.symbol == "P n - a")
    middle = np.cos(np.radians(20))
    before = right.trial.zero_shift + right.displacement * middle
    assert fit.trial.zero_shift + fit.displacement * middle - before == pytest.approx(0.1, abs=0.02)
    assert crystal.cell_from_metric(fit.trial.metric)[:3] == pytest.approx(ANGLESITE[:3], rel=1.5e-3)


def test_a_strangers_line_is_left_over_and_costs_a_bounded_amount(pbso4_xray, right):
    """One line at 35.2 degrees, as strong as the fifth of the pattern, where anglesite has none."""
    shape = fit_peaks(pbso4_xray, PeakSettings()).shape
    stranger = profiles(pbso4_xray.two_theta, np.array([35.2]), shape).value.toarray()[:, 0]
    dirty = replace(pbso4_xray, intensity=pbso4_xray.intensity + 2000 * 0.15 * stranger)
    fits = fit_pattern(dirty, fit_peaks(dirty, PeakSettings()), [trial(ANGLESITE)])
    fit = next(f for f in fits if f.extinction.symbol == "P n - a")
    assert np.abs(np.array(fit.unexplained) - 35.2).min() < 0.03
    assert len(fit.unexplained) <= 2
    assert right.evidence.lines - 12 < fit.evidence.lines < right.evidence.lines


def test_a_cell_with_too_many_reflections_is_left_out(pbso4_xray, anglesite):
    huge = TrialCell(Lattice("triclinic", "P"), crystal.metric_from_cell((25, 26, 27, 88, 93, 97)), 0.0, 0.0, "search")
    tiny = trial((1.0, 1.0, 1.0, 90.0, 90.0, 90.0))
    assert fit_pattern(pbso4_xray, anglesite.peak_fit, [huge, tiny]) == []
    assert fit_pattern(pbso4_xray, anglesite.peak_fit, []) == []


def test_every_cell_keeps_its_best_class_however_many_there_are(anglesite):
    """Sixty pairs are fitted and one of each cell besides: none is lost before the ranking sees it."""
    cells = {id(fit.trial) for fit in anglesite.fits}
    assert len(cells) > 20
    assert len(anglesite.fits) <= 60 + len(cells)


def test_a_cell_that_two_trials_are_refined_to_is_listed_once(pbso4_xray, anglesite):
    trials = [replace(trial(ANGLESITE), score=50.0), replace(trial(scaled(1.0003, 0.9998, 0.9997)), score=40.0)]
    fits = fit_pattern(pbso4_xray, anglesite.peak_fit, trials)
    assert {fit.trial.score for fit in fits} == {50.0}
