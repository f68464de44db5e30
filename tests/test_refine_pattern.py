"""The fit that an answer is reported with: as good as GSAS-II's of the same model, and the same on renamed axes."""

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.peaks.find_peaks import fit_peaks
from alphadiffract_plugin.peaks.profile import Shape, profiles
from alphadiffract_plugin.records import Candidate, Histogram, IndexingResult
from alphadiffract_plugin.settings import PeakSettings, Settings
from alphadiffract_plugin.whole_pattern.pattern_data import points_fitted
from alphadiffract_plugin.whole_pattern.refine_pattern import refine_pattern

ANGLESITE = (8.480, 5.398, 6.958, 90.0, 90.0, 90.0)
UNKNOWN = (np.nan,) * 6


def candidate(cell, space_group, **more):
    symbol = crystal.symbol_from_space_group(space_group)
    system = crystal.crystal_system_from_space_group(space_group)
    return Candidate(cell, UNKNOWN, space_group, symbol, system, 1.0, **more)


P_N_M_A = candidate(ANGLESITE, 62, displacement=-0.06)


@pytest.fixture(scope="module")
def lines(pbso4_xray):
    return fit_peaks(pbso4_xray, PeakSettings())


def rwp(histogram, lines, *candidates, **options):
    return [answer.rwp for answer in refine_pattern(histogram, lines, candidates, **options)]


@pytest.mark.gsasii
def test_rwp_of_anglesite_is_that_of_gsasii_for_the_same_model_within_a_tenth(pbso4_xray, lines, tmp_path):
    """Six Chebyshev terms, symmetric lines, the same points and weights; skewed lines then make ours lower still."""
    from alphadiffract_plugin.gsasii.seeder import seed

    stop = points_fitted(pbso4_xray, lines)
    points = {"two_theta": pbso4_xray.two_theta[:stop], "intensity": pbso4_xray.intensity[:stop]}
    judged = replace(pbso4_xray, **points, esd=lines.noise[:stop])
    result = IndexingResult("anglesite", "known", judged.wavelength, (P_N_M_A,))
    theirs = seed(judged, result, tmp_path / "fit", Settings())
    assert theirs.converged
    plain = replace(lines, background=np.zeros_like(lines.background))
    (ours,) = rwp(pbso4_xray, plain, P_N_M_A, skewed=False)
    assert ours == pytest.approx(theirs.rwp, rel=0.1)
    assert rwp(pbso4_xray, lines, P_N_M_A)[0] < ours


def test_rwp_of_a_pattern_of_which_all_is_known_is_what_its_noise_leaves():
    """Skewed lines whose mixing changes, on a sloping background: Rwp² = Σ w σ² / Σ w y² = N / Σ w y²."""
    shape = Shape(0.02, -0.01, 0.01, 0.3, (1.5405929,), 0.0, eta_slope=0.5, asymmetry=-0.25)
    x = np.arange(15.0, 110.0, 0.02)
    place = crystal.two_theta_from_inv_d2(
        crystal.allowed_inv_d2((4.15683,) * 3 + (90.0,) * 3, 221, 1.1), shape.wavelengths[0]
    )
    mean = 300 - x + profiles(x, place, shape, reach=40).value @ np.linspace(900, 300, len(place))
    counts = np.random.default_rng(0).poisson(mean).astype(float)
    histogram = Histogram(x, counts, np.sqrt(counts), shape.wavelengths, 0.0)
    lines = fit_peaks(histogram, PeakSettings())
    (found,) = rwp(histogram, lines, candidate((4.1565,) * 3 + (90.0,) * 3, 221))
    stop = points_fitted(histogram, lines)
    assert found == pytest.approx(100 * np.sqrt(stop / counts[:stop].sum()), rel=0.03)
    assert rwp(histogram, lines, candidate((4.1565,) * 3 + (90.0,) * 3, 221), skewed=False)[0] > 1.03 * found


def test_groups_of_the_same_reflections_come_out_alike_and_wrong_absences_worse(pbso4_xray, lines):
    """P n a 21 is P n m a without the mirror, its axes a, c, b; P n n m misses reflections that are there."""
    a, b, c, *angles = ANGLESITE
    same, wrong = candidate((a, c, b, *angles), 33, displacement=-0.06), candidate(ANGLESITE, 58, displacement=-0.06)
    true, alike, worse = rwp(pbso4_xray, lines, P_N_M_A, same, wrong)
    assert alike == pytest.approx(true, rel=1e-3)
    assert worse > 2 * true


def test_what_cannot_be_refined_stays_as_it_is(pbso4_xray, lines):
    opinion = candidate(UNKNOWN, 62)
    huge = candidate((25.0, 26.0, 27.0, 88.0, 93.0, 97.0), 2, rwp=12.0)
    assert refine_pattern(pbso4_xray, lines, (opinion, huge)) == (opinion, huge)
    assert refine_pattern(pbso4_xray, lines, ()) == ()


def test_only_rwp_changes(pbso4_xray, lines):
    (answer,) = refine_pattern(pbso4_xray, lines, (P_N_M_A,))
    assert replace(answer, rwp=P_N_M_A.rwp) == P_N_M_A
