"""The filters and the SNIP background do what those of scipy and pybaselines do."""

import numpy as np
import pytest
from scipy import ndimage, signal

from alphadiffract_plugin.peaks import filters


@pytest.fixture(scope="module")
def y(pbso4_xray):
    return pbso4_xray.intensity


@pytest.mark.parametrize("sigma", [0.7, 1.3, 6.0])
def test_the_gaussian_and_its_curvature_are_those_of_scipy(y, sigma):
    assert filters.smoothed(y, sigma) == pytest.approx(ndimage.gaussian_filter1d(y, sigma), rel=1e-12)
    expected = ndimage.gaussian_filter1d(y, sigma, order=2)
    assert filters.smoothed(y, sigma, curvature=True) == pytest.approx(expected, abs=1e-12 * y.max())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 15])
def test_the_moving_mean_is_that_of_scipy(y, size):
    assert filters.moving_mean(y, size) == pytest.approx(ndimage.uniform_filter1d(y, size), rel=1e-9)


@pytest.mark.parametrize("reach", [0, 1, 2, 5, 30])
def test_the_moving_maximum_is_that_of_scipy(y, reach):
    assert (filters.moving_maximum(y, reach) == ndimage.maximum_filter1d(y, 2 * reach + 1)).all()


def test_maxima_prominences_and_widths_are_those_of_scipy(y):
    """Counts have plateaus, whose middle is taken."""
    tops = filters.local_maxima(y)
    assert (tops == signal.find_peaks(y)[0]).all()
    assert (filters.prominences(y, tops) == signal.peak_prominences(y, tops)[0]).all()
    high = tops[np.argsort(filters.prominences(y, tops))[-12:]]
    assert filters.half_widths(y, high) == pytest.approx(signal.peak_widths(y, high, rel_height=0.5)[0], rel=1e-12)


@pytest.mark.parametrize(("half_window", "smoothing"), [(5, 1), (60, 7)])
def test_the_snip_background_is_that_of_pybaselines(y, half_window, smoothing):
    """Not on whole counts: there rounding decides whether a point lies above the mean of two others."""
    smooth = pytest.importorskip("pybaselines.smooth")
    y = y + np.random.default_rng(3).random(len(y))
    expected, _ = smooth.snip(y, max_half_window=half_window, decreasing=True, smooth_half_window=smoothing)
    assert filters.snip(y, half_window, smoothing) == pytest.approx(expected, rel=1e-9)


def test_a_pattern_shorter_than_the_window_has_a_background_too():
    assert filters.snip(np.array([3.0, 1.0, 4.0, 1.0, 5.0]), 60, 3).shape == (5,)
