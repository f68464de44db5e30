"""Peak shapes: area, width, derivatives, and where Kα2 goes."""

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin.profile import Shape, profiles

KA1, KA2 = 1.5405929, 1.5444274
SHARP = Shape(u=0.0, v=0.0, w=0.01, eta=0.4, wavelengths=(KA1,), kalpha2_ratio=0.0)
DOUBLET = replace(SHARP, wavelengths=(KA1, KA2), kalpha2_ratio=0.5)
X = np.arange(20.0, 80.0, 0.005)


def drawn(shape, position, fwhm=None):
    return profiles(X, np.array(position), shape, fwhm)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("base", [SHARP, DOUBLET], ids=["single", "doublet"])
def test_a_line_has_unit_area_but_for_the_tails_that_are_not_drawn(base, eta):
    """Drawn to seven widths: a Lorentzian keeps 95.5 % of its area there, 2/π · arctan 14."""
    value = drawn(replace(base, eta=eta), [35.0, 60.0]).value.toarray()
    expected = 1 - eta * (1 - 2 / np.pi * np.arctan(14))
    assert value.sum(0) * 0.005 == pytest.approx([expected, expected], rel=2e-3)


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
    assert value == pytest.approx(alone @ [2 / 3, 1 / 3], abs=1e-12)


def test_kalpha2_of_a_line_near_180_degrees_does_not_exist():
    """sin θ would be above one: the partner is put at 180 degrees, off every measured axis."""
    x = np.arange(170.0, 179.5, 0.01)
    value = profiles(x, np.array([178.0]), DOUBLET).value.toarray()[:, 0]
    assert np.isfinite(value).all()
    assert x[value.argmax()] == pytest.approx(178.0, abs=0.01)


@pytest.mark.parametrize("shape", [SHARP, DOUBLET], ids=["single", "doublet"])
def test_the_derivatives_are_those_of_finite_differences(shape):
    position = np.array([30.0, 45.0, 70.0])
    width = np.array([0.1, 0.12, 0.2])
    exact = drawn(shape, position, width)
    step = 1e-5

    def value(shift=0.0, stretch=0.0, mixing=0.0):
        mixed = replace(shape, eta=shape.eta + mixing)
        return drawn(mixed, position + shift, width * np.exp(stretch)).value.toarray()

    near = np.abs(X[:, None] - position) < 5 * width
    for derivative, change in (
        (exact.by_position, {"shift": step}),
        (exact.by_log_width, {"stretch": step}),
        (exact.by_eta, {"mixing": step}),
    ):
        back = {name: -size for name, size in change.items()}
        numerical = (value(**change) - value(**back)) / (2 * step)
        expected = derivative.toarray()
        scale = np.abs(expected).max()
        # Kα2 moves with d(2θ2)/d(2θ1) = λ2/λ1 · cos θ1 / cos θ2, within 1 % of one
        assert np.abs(numerical - expected)[near].max() < (1e-4 if shape is SHARP else 1e-2) * scale


def test_the_width_follows_caglioti_and_never_vanishes():
    shape = Shape(u=0.02, v=-0.01, w=0.005, eta=0.5, wavelengths=(KA1,), kalpha2_ratio=0.0)
    t = np.tan(np.radians(45.0))
    assert shape.fwhm(np.array([90.0]))[0] == pytest.approx(np.sqrt(0.02 * t * t - 0.01 * t + 0.005))
    falling = replace(shape, u=0.0, v=-0.1)
    assert (falling.fwhm(np.arange(10.0, 170.0, 10.0)) > 0.02).all()


def test_lines_off_the_axis_leave_empty_columns():
    value = drawn(SHARP, [10.0, 50.0, 150.0]).value
    assert value.shape == (len(X), 3)
    assert np.diff(value.indptr).tolist()[0::2] == [0, 0]
    assert value[:, [1]].sum() * 0.005 == pytest.approx(0.98, abs=0.02)
