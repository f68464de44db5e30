"""Lines of real and of simulated patterns: all of them, no more, where they belong, and as sure as they say."""

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.errors import PeaksError
from alphadiffract_plugin.peaks.background import background_of, noise_of
from alphadiffract_plugin.peaks.find_peaks import find_peaks, fit_peaks
from alphadiffract_plugin.peaks.profile import Shape, profiles
from alphadiffract_plugin.records import Histogram
from alphadiffract_plugin.settings import PeakSettings

KA1, KA2 = 1.5405929, 1.5444274
LAB6 = (4.15683,) * 3 + (90.0,) * 3
SHAPE = Shape(u=0.01, v=0.0, w=0.006, eta=0.5, wavelengths=(KA1, KA2), kalpha2_ratio=0.5)


@pytest.fixture(scope="module")
def lab6_at_ssrl(lab6_ssrl):
    return find_peaks(lab6_ssrl)


@pytest.fixture(scope="module")
def lab6_at_home(lab6_lab):
    return find_peaks(lab6_lab)


def off_the_cell(peaks, cell, space_group):
    """two_theta(observed) − two_theta(calculated) of the nearest line, a zero shift and a displacement taken off.

    Returns them with the lines calculated, each in degrees.
    """
    reach = (2 * np.sin(np.radians(peaks.two_theta[-1] / 2 + 0.1)) / peaks.wavelength) ** 2
    place = crystal.two_theta_from_inv_d2(crystal.allowed_inv_d2(cell, space_group, reach), peaks.wavelength)
    off = (peaks.two_theta[:, None] - place)[np.arange(len(peaks)), nearest(peaks.two_theta, place)]
    shifts = np.column_stack([np.ones(len(peaks)), np.cos(np.radians(peaks.two_theta / 2))])
    good = np.abs(off) < 0.15
    for _ in range(3):
        fit = np.linalg.lstsq(shifts[good], off[good], rcond=None)[0]
        good = np.abs(off - shifts @ fit) < 0.3 * peaks.fwhm
    moved = place + fit[0] + fit[1] * np.cos(np.radians(place / 2))
    return off - shifts @ fit, moved


def nearest(values, places):
    return np.abs(np.asarray(values)[:, None] - places).argmin(1)


def simulated(position, area, *, seed=0, shape=SHAPE, background=50.0, step=0.02, first=15.0, last=90.0):
    """Counts of lines at ``position`` (degrees) with ``area`` (counts × degrees), with Poisson noise."""
    x = np.arange(first, last, step)
    mean = background + profiles(x, np.array(position), shape).value @ np.array(area, float)
    counts = np.random.default_rng(seed).poisson(mean).astype(float)
    return Histogram(x, counts, np.sqrt(np.maximum(counts, 1)), shape.wavelengths, shape.kalpha2_ratio)


# LaB6, whose lines everyone knows


def test_every_line_of_lab6_is_found_at_a_synchrotron_to_two_thousandths_of_a_degree(lab6_at_ssrl):
    off, place = off_the_cell(lab6_at_ssrl, LAB6, 221)
    found = np.abs(off) < 0.002
    in_range = place[(place > 5) & (place < 59)]
    assert len(in_range) == 26
    assert np.abs(lab6_at_ssrl.two_theta[found] - in_range[:, None]).min(1).max() < 0.003
    assert lab6_at_ssrl.area[~found].max(initial=0) < 1e-3 * lab6_at_ssrl.area.max()
    assert (~found).sum() <= 3


def test_every_line_of_lab6_is_found_at_home_and_no_kalpha2_with_them(lab6_at_home):
    """Axial divergence skews the low lines of this instrument: a fifth of a width is what is left at 21 degrees."""
    off, place = off_the_cell(lab6_at_home, LAB6, 221)
    found = np.abs(off) < 0.02
    assert found.sum() == len(place) == 20
    assert (~found).sum() <= 1
    partner = 2 * np.degrees(np.arcsin(np.sin(np.radians(lab6_at_home.two_theta / 2)) * KA2 / KA1))
    apart = partner > lab6_at_home.two_theta + lab6_at_home.fwhm
    assert apart.sum() >= 15
    assert np.abs(lab6_at_home.two_theta[:, None] - partner[apart]).min() > lab6_at_home.fwhm.min()


def test_the_width_of_a_sharp_instrument_is_that_seen_by_eye(lab6_ssrl, lab6_at_ssrl):
    """Half the height of the strongest line is passed 0.03 degrees apart."""
    strongest = lab6_at_ssrl.area.argmax()
    near = np.abs(lab6_ssrl.two_theta - lab6_at_ssrl.two_theta[strongest]) < 0.2
    x, y = lab6_ssrl.two_theta[near], lab6_ssrl.intensity[near]
    above = x[y > y.max() / 2]
    assert lab6_at_ssrl.fwhm[strongest] == pytest.approx(above[-1] - above[0], abs=0.008)


def test_lines_of_anglesite_are_lines_of_anglesite(pbso4_xray):
    """Many overlap; what is found still lies within a third of a width of something that the cell allows."""
    peaks = find_peaks(pbso4_xray)
    off, _ = off_the_cell(peaks, (8.480, 5.398, 6.958, 90.0, 90.0, 90.0), 62)
    first = peaks.two_theta < 60
    assert first.sum() >= 35
    assert (np.abs(off) < peaks.fwhm / 3)[first].mean() > 0.9


def test_the_same_pattern_gives_the_same_lines(lab6_ssrl, lab6_at_ssrl):
    assert find_peaks(lab6_ssrl) == lab6_at_ssrl


# simulated lines, of which the truth is known


def test_positions_and_areas_scatter_as_their_uncertainties_say():
    """Twelve lines, eight measurements: (found − true) / esd has a standard deviation of about one.

    A little less, because the uncertainty allows for peak shapes that a pseudo-Voigt does not follow.
    """
    position = np.linspace(20, 85, 12)
    area = np.geomspace(20, 400, 12)
    pulls, area_pulls = [], []
    for seed in range(8):
        peaks = find_peaks(simulated(position, area, seed=seed))
        assert len(peaks) == 12
        pulls.append((peaks.two_theta - position) / peaks.two_theta_esd)
        area_pulls.append((peaks.area - area) / (peaks.area / peaks.significance))
    assert 0.5 < np.std(pulls) < 1.3
    assert abs(np.mean(pulls)) < 0.35
    assert 0.4 < np.std(area_pulls) < 1.5


def test_the_width_and_the_mixing_come_back():
    lines = fit_peaks(simulated(np.linspace(20, 85, 14), np.full(14, 500.0)), PeakSettings())
    angle = np.array([25.0, 50.0, 80.0])
    assert lines.shape.fwhm(angle) == pytest.approx(SHAPE.fwhm(angle), rel=0.05)
    assert lines.shape.eta == pytest.approx(0.5, abs=0.1)


def test_the_doublet_of_a_strong_line_is_one_line():
    """At 85 degrees Kα2 stands 0.25 degrees, two widths, away."""
    peaks = find_peaks(simulated([30.0, 45.0, 60.0, 72.0, 85.0], [3000.0] * 5))
    assert peaks.two_theta == pytest.approx([30, 45, 60, 72, 85], abs=0.005)


def test_a_line_on_the_kalpha2_of_another_is_found_if_it_is_strong():
    second = 2 * np.degrees(np.arcsin(np.sin(np.radians(40)) * KA2 / KA1))
    peaks = find_peaks(simulated([25.0, 35.0, 50.0, 80.0, second], [1000.0, 1000.0, 1000.0, 1000.0, 2000.0]))
    assert peaks.two_theta == pytest.approx([25, 35, 50, 80, second], abs=0.01)


@pytest.mark.parametrize(("second", "widths"), [(1.0, 0.95), (0.5, 1.2), (0.2, 1.5)])
def test_a_shoulder_is_a_line(second, widths):
    """Neighbours at a synchrotron: equal ones part at one width, one a fifth as strong at one and a half."""
    single = replace(SHAPE, wavelengths=(KA1,), kalpha2_ratio=0.0)
    position = [25.0, 40.0, 40.0 + widths * single.fwhm(np.array([40.0]))[0], 60.0, 75.0]
    peaks = find_peaks(simulated(position, [2000.0, 3000.0, 3000.0 * second, 2000.0, 2000.0], shape=single))
    assert peaks.two_theta == pytest.approx(position, abs=0.005)


def test_counts_may_be_in_any_unit():
    histogram = simulated([25.0, 35.0, 50.0, 60.0, 80.0], [300.0] * 5)
    bare = replace(histogram, esd=None)
    scaled = replace(bare, intensity=bare.intensity * 1e-4)
    assert find_peaks(scaled).two_theta == pytest.approx(find_peaks(bare).two_theta, abs=1e-4)
    assert find_peaks(scaled).area == pytest.approx(find_peaks(bare).area * 1e-4, rel=1e-3)


def test_at_most_so_many_lines_are_kept_the_lowest_first():
    histogram = simulated(np.linspace(20, 85, 12), np.full(12, 500.0))
    peaks = fit_peaks(histogram, PeakSettings(most=7)).peaks
    assert peaks.two_theta == pytest.approx(np.linspace(20, 85, 12)[:7], abs=0.01)


def test_how_weak_a_line_may_be_is_a_setting():
    """A line of area 8 on a background of 50 counts stands ten of its uncertainties high, its top about six."""
    position = [25.0, 35.0, 50.0, 60.0, 70.0]
    histogram = simulated(position, [500.0, 500.0, 500.0, 500.0, 8.0])
    usual = find_peaks(histogram)
    assert usual.two_theta == pytest.approx(position, abs=0.03)
    assert 7 < usual.significance[-1] < 14
    assert len(fit_peaks(histogram, PeakSettings(significance=8.0)).peaks) == 4


# nothing to find


@pytest.mark.parametrize("background", [0.0, 5.0, 400.0])
def test_noise_holds_no_lines_and_the_error_says_what_to_do(background):
    for seed in range(5):
        with pytest.raises(PeaksError, match=r"(no|\d) diffraction lines? stands? above the noise") as caught:
            find_peaks(simulated([50.0], [0.0], background=background, seed=seed))
        assert "measure longer" in caught.value.fix


def test_noise_without_uncertainties_holds_no_lines_either():
    rng = np.random.default_rng(5)
    x = np.arange(10, 90, 0.02)
    for noise in (rng.normal(0, 1, len(x)), 1e4 + rng.normal(0, 30, len(x)), np.zeros(len(x)), np.full(len(x), 7.0)):
        with pytest.raises(PeaksError):
            find_peaks(Histogram(x, noise, None, (KA1,)))


def test_three_lines_are_too_few_for_a_cell():
    with pytest.raises(PeaksError, match="3 diffraction lines"):
        find_peaks(simulated([30.0, 50.0, 70.0], [500.0] * 3))


# what the fit stands on


def test_the_background_is_that_under_the_lines():
    x = np.arange(10, 90, 0.02)
    truth = 200 + 800 * np.exp(-((x - 10) ** 2) / 300) + 100 * np.exp(-((x - 25) ** 2) / 50)
    lines = profiles(x, np.linspace(20, 85, 25), SHAPE).value @ np.full(25, 400.0)
    counts = np.random.default_rng(0).poisson(truth + lines).astype(float)
    found = background_of(Histogram(x, counts, None, (KA1,)))
    away = (lines < 1) & (x > 12) & (x < 88)
    assert np.abs(found / truth - 1)[away].max() < 0.12
    assert np.median(found / truth) == pytest.approx(1, abs=0.03)


def test_noise_is_the_files_own_or_that_of_the_scatter():
    rng = np.random.default_rng(0)
    x = np.arange(10, 90, 0.02)
    histogram = Histogram(x, 100 + rng.normal(0, 6, len(x)), None, (KA1,))
    assert np.median(noise_of(histogram, histogram.intensity - 100)) == pytest.approx(6, rel=0.15)
    given = replace(histogram, esd=np.full(len(x), 2.5))
    assert (noise_of(given, given.intensity - 100) == 2.5).all()
