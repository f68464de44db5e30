"""What is known of lines before any cell: which may be satellites of the tube, and by how much all are shifted."""

import dataclasses

import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.indexing.large_shifts import likely_shifts
from alphadiffract_plugin.peaks.observed import satellites, spurious_probability, strong_lines, width_scale
from alphadiffract_plugin.radiation import KALPHA, KBETA, TUNGSTEN
from alphadiffract_plugin.records import Peaks

COPPER = KALPHA["Cu"][0]
SILICON, QUARTZ = (5.4307, 5.4307, 5.4307, 90.0, 90.0, 90.0), (4.9130, 4.9130, 5.4050, 90.0, 90.0, 120.0)


def lines(two_theta, area, wavelength=COPPER, fwhm=0.1):
    order = np.argsort(two_theta)
    two_theta, area = np.array(two_theta, float)[order], np.array(area, float)[order]
    return Peaks(
        two_theta=two_theta,
        two_theta_esd=np.full(len(two_theta), 0.002),
        area=area,
        fwhm=np.full(len(two_theta), fwhm),
        significance=np.clip(area, 5, 100),
        wavelength=wavelength,
    )


def of_cell(cell, space_group, wavelength=COPPER, reach=90.0):
    inv_d2 = crystal.allowed_inv_d2(cell, space_group, float(crystal.inv_d2_from_two_theta(reach, wavelength)))
    return crystal.two_theta_from_inv_d2(inv_d2, wavelength)


def test_silicons_k_beta_and_tungsten_lines_are_satellites_of_its_own_lines():
    silicon = of_cell(SILICON, 227)[:3]
    d = COPPER / (2 * np.sin(np.radians(silicon / 2)))
    k_beta, tungsten = (np.degrees(2 * np.arcsin(w / (2 * d[:1]))) for w in (KBETA["Cu"], TUNGSTEN))
    peaks = lines([*silicon, *k_beta, *tungsten], [100, 60, 30, 3, 2])
    assert peaks.two_theta[satellites(peaks)] == pytest.approx(sorted([*k_beta, *tungsten]))
    assert (spurious_probability(peaks)[satellites(peaks)] >= 0.9).all()


def test_a_strong_line_is_no_satellite_and_a_synchrotron_has_none():
    first = of_cell(SILICON, 227)[0]
    k_beta = np.degrees(2 * np.arcsin(KBETA["Cu"] / COPPER * np.sin(np.radians(first / 2))))
    strong = lines([first, k_beta, 50, 60], [100, 40, 50, 30])
    assert not satellites(strong).any()
    assert not satellites(lines([first, k_beta, 50, 60], [100, 3, 50, 30], wavelength=1.54)).any()


def test_the_lines_of_quartz_are_the_strong_ones_of_a_rock():
    """Twelve weak lines of other minerals lie between the first eight of quartz."""
    quartz = of_cell(QUARTZ, 154)[:8]
    others = np.random.default_rng(3).uniform(20, 60, 12)
    peaks = lines([*quartz, *others], [*np.linspace(100, 20, 8), *np.full(12, 2.0)])
    strong = strong_lines(peaks, 8)
    assert strong.two_theta == pytest.approx(quartz)
    assert strong.spurious.max() <= 0.2


@pytest.mark.parametrize("shift", [0.6, -0.45])
def test_a_large_shift_is_seen_in_the_orders_of_reflection(shift):
    """Anglesite: of its forty first lines many are first, second and third orders of the same planes."""
    anglesite = of_cell((8.480, 5.398, 6.958, 90.0, 90.0, 90.0), 62)[:40]
    shifts = likely_shifts(lines(anglesite + shift, np.full(40, 50.0), fwhm=0.08))
    assert min(abs(found - shift) for found in shifts) < 0.03


def test_windows_follow_the_width_of_the_lines_and_the_wavelength():
    usual = lines([20, 30, 40, 50], [9, 9, 9, 9])
    assert width_scale(usual) == 1.0
    assert width_scale(dataclasses.replace(usual, fwhm=np.full(4, 0.36))) == pytest.approx(3.0)
    synchrotron = dataclasses.replace(usual, fwhm=np.full(4, 0.03), wavelength=0.25)
    assert width_scale(synchrotron) == pytest.approx(0.25, abs=0.1)
