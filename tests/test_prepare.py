"""From a measured histogram to the network's input."""

import dataclasses

import numpy as np
import pytest

from alphadiffract_plugin.crystal import two_theta_at_wavelength
from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.models.grid import COMPACT_GRID, COMPACT_NORMALISATION, OPEN_GRID, OPEN_NORMALISATION
from alphadiffract_plugin.prediction.prepare import background, prepare, resample
from alphadiffract_plugin.records import Histogram

LAB6 = 4.15683
POINTS = np.linspace(COMPACT_GRID.two_theta_min, COMPACT_GRID.two_theta_max, COMPACT_GRID.length)


def lab6_lines(wavelength):
    """two_theta in degrees of the lines of LaB6 with h² + k² + l² up to 9."""
    return 2 * np.degrees(np.arcsin(wavelength * np.sqrt([1, 2, 3, 4, 5, 6, 8, 9]) / (2 * LAB6)))


def place_of(y, expected, reach=0.4):
    """Height-weighted place in degrees of the line expected on the compact grid."""
    near = np.abs(POINTS - expected) < reach
    top = np.where(near & (y > 0.5 * y[near].max()), y, 0)
    return (POINTS * top).sum() / top.sum()


def test_one_crystal_measured_with_copper_and_at_a_synchrotron_lands_on_the_same_points(lab6_lab, lab6_ssrl):
    """The same d goes to the same point, whatever the wavelength (the instruments are off by up to 0.08°)."""
    for histogram, tolerance in ((lab6_ssrl, 0.04), (lab6_lab, 0.1)):
        y, coverage = prepare(histogram, COMPACT_GRID, COMPACT_NORMALISATION)
        assert coverage[POINTS > 16].all()
        for expected in lab6_lines(COMPACT_GRID.wavelength):
            assert place_of(y, expected) == pytest.approx(expected, abs=tolerance)


def test_a_conversion_that_forgets_to_halve_the_angle_would_be_off_by_most_of_a_degree():
    """A published front end seems to do so: at 40 degrees of Cu Kα it misses by 0.8 degrees at 20 keV."""
    right = two_theta_at_wavelength(np.array([40.0]), 1.5406, 0.6199)[0]
    wrong = np.degrees(np.arcsin(0.6199 / 1.5406 * np.sin(np.radians(40.0))))
    assert right == pytest.approx(15.82, abs=0.01)
    assert abs(wrong - right) > 0.7


def test_angles_go_to_another_wavelength_and_back():
    two_theta = np.linspace(3, 100, 50)
    there = two_theta_at_wavelength(two_theta, 1.540593, 0.7296)
    assert two_theta_at_wavelength(there, 0.7296, 1.540593) == pytest.approx(two_theta)
    assert np.isnan(two_theta_at_wavelength(np.array([150.0]), 0.7, 1.54)).all()


def gaussian_line(step, *, at=30.0, fwhm=0.3, wavelength=COMPACT_GRID.wavelength):
    x = np.arange(10, 70, step)
    return Histogram(x, 1000 * np.exp(-4 * np.log(2) * ((x - at) / fwhm) ** 2), None, (wavelength,))


def test_a_fine_scan_is_averaged_and_a_coarse_one_joined_up():
    fine, _ = resample(gaussian_line(0.001), COMPACT_GRID)
    coarse, _ = resample(gaussian_line(0.05), COMPACT_GRID)
    assert fine.sum() == pytest.approx(coarse.sum(), rel=0.01)
    for y in (fine, coarse):
        assert (POINTS * y).sum() / y.sum() == pytest.approx(30, abs=0.002)
    rng = np.random.default_rng(1)
    x = np.arange(10, 70, 0.001)
    noise, _ = resample(Histogram(x, rng.normal(100, 10, len(x)), None, (1.540593,)), COMPACT_GRID)
    assert np.std(noise[POINTS > 11][:2000]) < 4  # 18 points a cell


def test_what_was_not_measured_is_marked_and_zero():
    y, coverage = prepare(gaussian_line(0.02), COMPACT_GRID, COMPACT_NORMALISATION)
    assert not coverage[POINTS < 9.9].any() and coverage[(POINTS > 10.1) & (POINTS < 69.9)].all()
    assert not y[coverage == 0].any()


def test_a_region_that_was_left_out_is_not_covered_and_a_lost_point_is():
    whole = gaussian_line(0.02)
    x = whole.two_theta
    without = np.flatnonzero((x < 40) | (x > 50))
    cut = dataclasses.replace(whole, two_theta=x[without], intensity=whole.intensity[without])
    y, coverage = prepare(cut, COMPACT_GRID, COMPACT_NORMALISATION)
    gap = (POINTS > 40.02) & (POINTS < 49.98)
    assert not coverage[gap].any() and not y[gap].any()
    assert coverage[(POINTS > 10.1) & (POINTS < 69.9) & ((POINTS < 39.9) | (POINTS > 50.1))].all()
    lost = np.delete(np.arange(len(x)), [1500, 1501])
    cut = dataclasses.replace(whole, two_theta=x[lost], intensity=whole.intensity[lost])
    assert np.array_equal(resample(cut, COMPACT_GRID)[1], resample(whole, COMPACT_GRID)[1])


def test_a_background_is_taken_off_and_lines_keep_their_height():
    clean = gaussian_line(0.02)
    x = clean.two_theta
    rng = np.random.default_rng(2)
    curved = 3000 * np.exp(-x / 15) + 500 + 300 * np.exp(-(((x - 25) / 9) ** 2))
    raw = dataclasses.replace(clean, intensity=rng.poisson(clean.intensity * 5 + curved))
    y, coverage = resample(raw, COMPACT_GRID)
    measured = coverage > 0
    left = y[measured] - background(y[measured], COMPACT_GRID)
    place = POINTS[measured]
    assert left.max() == pytest.approx(5000, rel=0.06)
    assert np.abs(np.median(left[np.abs(place - 30) > 2])) < 60


def test_the_scaling_is_that_of_the_model(lab6_lab):
    compact, _ = prepare(lab6_lab, COMPACT_GRID, COMPACT_NORMALISATION)
    published, coverage = prepare(lab6_lab, OPEN_GRID, OPEN_NORMALISATION)
    assert compact.max() == 1 and compact.min() == 0
    assert published.max() == 100 and published[coverage > 0].min() == 0


def test_real_patterns_of_every_kind_become_finite_inputs(zincite_ssrl, tartrate_ssrl, mg2si_iucr, pbso4_xray):
    for histogram in (zincite_ssrl, tartrate_ssrl, mg2si_iucr, pbso4_xray):
        for grid, normalisation in ((COMPACT_GRID, COMPACT_NORMALISATION), (OPEN_GRID, OPEN_NORMALISATION)):
            x = prepare(histogram, grid, normalisation)
            assert x.shape == (2, grid.length) and np.isfinite(x).all() and (x >= 0).all()


def test_neutrons_are_not_for_this_network(pbso4_neutron):
    with pytest.raises(RadiationError, match="X-ray intensities"):
        prepare(pbso4_neutron, COMPACT_GRID, COMPACT_NORMALISATION)


def test_a_pattern_outside_of_the_networks_range_and_an_empty_one_are_refused():
    x = np.linspace(20, 25, 500)
    with pytest.raises(InputError, match=r"covers 7 % of the network's range"):
        prepare(Histogram(x, x, None, (1.540593,)), COMPACT_GRID, COMPACT_NORMALISATION)
    x = np.linspace(100, 150, 500)
    with pytest.raises(InputError, match="covers 0 %"):
        prepare(Histogram(x, x, None, (1.540593,)), COMPACT_GRID, COMPACT_NORMALISATION)
    x = np.linspace(10, 70, 3000)
    with pytest.raises(InputError, match="no line stands above"):
        prepare(Histogram(x, 0 * x, None, (1.540593,)), COMPACT_GRID, COMPACT_NORMALISATION)
