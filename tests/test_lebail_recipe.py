"""Stories of the Le Bail recipe that need no GSAS-II: where the background starts, and what counts near the lines."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin.recipes.lebail_start import lower_envelope, start_background
from alphadiffract_plugin.recipes.lebail_steps import LeBailFit
from alphadiffract_plugin.recipes.recipe_records import lines_from_json

TWO_THETA = np.arange(10.0, 90.0, 0.02)
WIDTH = 0.1
LEVEL = 17 + 6 * np.cos(TWO_THETA / 40)
"""Counts of the background: of a laboratory pattern that is mostly noise."""


def pattern(lines, counts=60.0):
    """Counts with noise, their esds, and the lines as a found list."""
    mean = LEVEL + sum(counts * np.exp(-4 * np.log(2) * ((TWO_THETA - line) / WIDTH) ** 2) for line in lines)
    found = {"two_theta": list(lines), "fwhm": [WIDTH] * len(lines), "wavelength": 1.5406}
    found |= {"two_theta_esd": [0.01] * len(lines), "area": [counts * WIDTH] * len(lines)}
    intensity = np.random.default_rng(5).poisson(mean).astype(float)
    return intensity, np.sqrt(np.maximum(intensity, 1.0)), mean, lines_from_json(found)


def drawn(terms):
    return np.polynomial.chebyshev.chebval(2 * (TWO_THETA - 10) / (TWO_THETA[-1] - 10) - 1, terms)


def test_the_background_starts_at_the_mean_level_away_from_the_lines():
    intensity, esd, _, found = pattern(np.arange(15.0, 90.0, 2.5))
    started = drawn(start_background(TWO_THETA, intensity, esd, 6, found))
    # a noise of 4 counts leaves the mean of 3000 points within 0.1; weights of counts pull it down by a count
    assert np.abs(started - LEVEL).max() < 2.5
    assert abs(np.mean(started - LEVEL)) < 1.5


def test_behind_the_last_found_line_the_background_follows_the_low_values():
    lines = np.concatenate([np.arange(15.0, 50.0, 2.5), np.arange(52.0, 90.0, 0.3)])
    intensity, esd, _, found = pattern(lines, counts=300.0)
    columns = ("two_theta", "two_theta_esd", "area", "fwhm")
    few = dataclasses.replace(found, **{name: getattr(found, name)[:14] for name in columns})
    started = drawn(start_background(TWO_THETA, intensity, esd, 6, few))
    crowded = TWO_THETA > 55
    assert np.mean(intensity[crowded]) > LEVEL[crowded].mean() + 80
    assert np.mean((started - LEVEL)[crowded]) < 12


@pytest.mark.parametrize("lines", [[], np.arange(10.0, 90.0, 0.7)])
def test_without_lines_or_with_lines_everywhere_the_low_values_tell(lines):
    intensity, esd, _, found = pattern(lines)
    low = lower_envelope(TWO_THETA, intensity, esd, 6)
    assert start_background(TWO_THETA, intensity, esd, 6, found) == low
    assert start_background(TWO_THETA, intensity, esd, 6, None) == low


def test_noise_gathered_between_the_lines_does_not_count_against_a_cell():
    intensity, esd, mean, found = pattern(np.arange(15.0, 90.0, 2.5))
    near = (np.abs(TWO_THETA[:, None] - found.two_theta) <= WIDTH).any(axis=1)
    calculated = np.where(near, mean, intensity + 30)
    columns = [TWO_THETA, intensity, esd**-2.0, calculated]
    data = {"data": [{}, columns, "noisy"], "Limits": [(10.0, 90.0), [10.0, 90.0]]}
    fit = SimpleNamespace(histogram=SimpleNamespace(data=data))
    rwp, noise = LeBailFit.line_rwp(fit, found)
    whole, _ = LeBailFit.line_rwp(fit, None)
    assert rwp == pytest.approx(noise, rel=0.1), "all that is left near the lines is noise"
    assert whole > 100
    columns[3] = LEVEL
    assert LeBailFit.line_rwp(fit, found)[0] > 2 * rwp, "without a cell the lines are left"
