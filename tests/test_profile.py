"""Peak shapes: area, width, derivatives, and where Kα2 goes."""

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin.peaks.profile import Shape, cot_two_theta, profiles

KA1, KA2 = 1.5405929, 1.5444274
SHARP = Shape(u=0.0, v=0.0, w=0.01, eta=0.4, wavelengths=(KA1,), kalpha2_ratio=0.0)
DOUBLET = replace(SHARP, wavelengths=(KA1, KA2), kalpha2_ratio=0.5)
SKEWED = replace(SHARP, asymmetry=-0.2)
X = np.arange(20.0, 80.0, 0.005)


def drawn(shape, position):
    return profiles(X, np.array(position), shape)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("base", [SHARP, DOUBLET], ids=["single", "doublet"])
def test_a_line_has_unit_area_but_for_the_tails_that_are_not_drawn(base, eta):
    """Drawn to seven widths: a Lorentzian keeps 95.5 % of its area there, 2/π · arctan 14.

    Of a doublet both lines are drawn over the window of both, which keeps a little more.
    """
    value = drawn(replace(base, eta=eta), [35.0, 60.0]).value.toarray()
    expected = 1 - eta * (1 - 2 / np.pi * np.arctan(14))
    assert value.sum(0) * 0.005 == pytest.approx([expected, expected], rel=2e-3 if base is SHARP else 6e-3)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_line_is_half_as_high_half_a_width_off(eta):
    shape = replace(SHARP, eta=eta)
    value = profiles(np.array([39.95, 40.0, 40.05]), np.array([40.0]), shape).value.toarray()[:, 0]
    assert value[[0, 2]] / value[1] == pytest.approx([0.5, 0.5])


def test_kalpha2_stands_where_braggs_law_puts_it_with_its_share():
    """At 2 arcsin(sin θ · λ2/λ1): 0.163 degrees on for 60 degrees, with half the height of Kα1."""
    value = drawn(DOUBLET, [60.0]).value.toarray()[:, 0]
    second = 2 * np.degrees(np.arcsin(np.sin(np.radians(30)) * KA2 / KA1))
    assert second - 60 == pytest.approx(0.1647, abs=1e-3)
    alone = drawn(SHARP, [60.0, second]).value.toarray()
    both = (alone > 0).all(1)
    assert both.sum() > 200
    assert value[both] == pytest.approx((alone @ [2 / 3, 1 / 3])[both], abs=1e-12)


def test_kalpha2_of_a_line_near_180_degrees_does_not_exist():
    """sin θ would be above one: the partner is put at 180 degrees, off every measured axis."""
    x = np.arange(170.0, 179.5, 0.01)
    value = profiles(x, np.array([178.0]), DOUBLET).value.toarray()[:, 0]
    assert np.isfinite(value).all()
    assert x[value.argmax()] == pytest.approx(178.0, abs=0.01)


@pytest.mark.parametrize("shape", [SHARP, DOUBLET, SKEWED], ids=["single", "doublet", "skewed"])
def test_the_derivatives_are_those_of_finite_differences(shape):
    position = np.array([30.0, 45.0, 70.0])
    exact = drawn(shape, position)
    step = 1e-5

    def value(shift=0.0, stretch=0.0, mixing=0.0, skew=0.0):
        w = shape.w * np.exp(2 * stretch)
        mixed = replace(shape, w=w, eta=shape.eta + mixing, asymmetry=shape.asymmetry + skew)
        return drawn(mixed, position + shift).value.toarray()

    near = np.abs(X[:, None] - position) < 0.5
    for derivative, change in (
        (exact.by_position.toarray(), {"shift": step}),
        (exact.by_log_width.toarray(), {"stretch": step}),
        (exact.by_eta.toarray(), {"mixing": step}),
        (exact.by_skewness.toarray() * cot_two_theta(position), {"skew": step}),
    ):
        back = {name: -size for name, size in change.items()}
        numerical = (value(**change) - value(**back)) / (2 * step)
        expected = derivative
        scale = np.abs(expected).max()
        # Kα2 moves with d(2θ2)/d(2θ1) = λ2/λ1 · cos θ1 / cos θ2, within 1 % of one; the skewness changes with position
        tolerance = {SHARP: 1e-4, DOUBLET: 1e-2, SKEWED: 1e-3}[shape]
        assert np.abs(numerical - expected)[near].max() < tolerance * scale


def test_the_width_follows_caglioti_and_never_vanishes():
    shape = Shape(u=0.02, v=-0.01, w=0.005, eta=0.5, wavelengths=(KA1,), kalpha2_ratio=0.0)
    t = np.tan(np.radians(45.0))
    assert shape.fwhm(np.array([90.0]))[0] == pytest.approx(np.sqrt(0.02 * t * t - 0.01 * t + 0.005))
    falling = replace(shape, u=0.0, v=-0.1)
    assert (falling.fwhm(np.arange(10.0, 170.0, 10.0)) > 0.02).all()


def test_lines_off_the_axis_leave_empty_columns():
    value = drawn(SHARP, [10.0, 50.0, 150.0]).value
    assert value.shape == (len(X), 3)
    assert value.count.tolist()[0::2] == [0, 0]
    assert value.toarray()[:, 1].sum() * 0.005 == pytest.approx(0.98, abs=0.02)


def test_axial_divergence_gives_low_lines_a_tail_to_low_angles_and_high_lines_none():
    """The area stays, the tail goes with cot 2θ and is gone at 90 degrees."""
    x = np.arange(15.0, 100.0, 0.005)
    low, right = profiles(x, np.array([20.0, 90.0]), replace(SHARP, asymmetry=-0.2)).value.toarray().T
    straight = profiles(x, np.array([20.0, 90.0]), SHARP).value.toarray()
    assert low.sum() == pytest.approx(straight[:, 0].sum(), rel=1e-6)
    assert low[x < 20].sum() > 1.1 * low[x > 20].sum()
    assert (low >= 0).all()
    assert right == pytest.approx(straight[:, 1], abs=1e-9)


def test_the_lorentzian_fraction_changes_with_the_angle_and_stays_a_fraction():
    shape = replace(SHARP, eta=0.3, eta_slope=0.5)
    assert shape.mixing(np.array([90.0])) == pytest.approx(0.3 + 0.5 * np.tan(np.radians(45)))
    assert shape.mixing(np.array([170.0])) == 1
