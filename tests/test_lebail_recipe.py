"""Stories of the Le Bail recipe that need no GSAS-II: where the background starts, and what counts near the lines."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.recipes import lebail_recipe
from alphadiffract_plugin.recipes.lebail_background import (
    BackgroundFunction,
    anchored,
    lower_envelope,
    start_background,
)
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


FUNCTION = BackgroundFunction("chebyschev-1", 6, 10.0, TWO_THETA[-1], 1.5406)


def drawn(terms):
    return np.polynomial.chebyshev.chebval(2 * (TWO_THETA - 10) / (TWO_THETA[-1] - 10) - 1, terms)


def test_the_background_starts_at_the_mean_level_away_from_the_lines():
    intensity, esd, _, found = pattern(np.arange(15.0, 90.0, 2.5))
    started = drawn(start_background(TWO_THETA, intensity, esd, FUNCTION, found))
    # a noise of 4 counts leaves the mean of 3000 points within 0.1; weights of counts pull it down by a count
    assert np.abs(started - LEVEL).max() < 2.5
    assert abs(np.mean(started - LEVEL)) < 1.5


def test_behind_the_last_found_line_the_background_follows_the_low_values():
    lines = np.concatenate([np.arange(15.0, 50.0, 2.5), np.arange(52.0, 90.0, 0.3)])
    intensity, esd, _, found = pattern(lines, counts=300.0)
    columns = ("two_theta", "two_theta_esd", "area", "fwhm")
    few = dataclasses.replace(found, **{name: getattr(found, name)[:14] for name in columns})
    started = drawn(start_background(TWO_THETA, intensity, esd, FUNCTION, few))
    crowded = TWO_THETA > 55
    assert np.mean(intensity[crowded]) > LEVEL[crowded].mean() + 80
    assert np.mean((started - LEVEL)[crowded]) < 12


def test_a_line_at_the_upper_limit_that_no_search_finds_does_not_raise_the_background_there(pbso4_neutron):
    # anglesite with neutrons, lines 0.5 degrees wide and 1 apart: that at 93.8 degrees is not found up to 94.2
    part = pbso4_neutron.two_theta < 94.23
    x, y, esd = (getattr(pbso4_neutron, name)[part] for name in ("two_theta", "intensity", "esd"))
    lines = find_peaks(dataclasses.replace(pbso4_neutron, two_theta=x, intensity=y, esd=esd))
    assert 91.9 < lines.two_theta[-1] < 92.3
    function = BackgroundFunction("chebyschev-1", 6, x[0], x[-1], 1.909)
    started = function.columns(x) @ np.array(start_background(x, y, esd, function, lines_from_json(lines.to_dict())))
    between = y[(x > 58.6) & (x < 59.4)].mean()  # the last stretch without lines: 222 counts
    assert np.abs(started[x > 60] / between - 1).max() < 0.1


@pytest.mark.parametrize("lines", [[], np.arange(10.0, 90.0, 0.7)])
def test_without_lines_or_with_lines_everywhere_the_low_values_tell(lines):
    intensity, esd, _, found = pattern(lines)
    low = anchored(FUNCTION, lower_envelope(TWO_THETA, intensity, esd))
    assert start_background(TWO_THETA, intensity, esd, FUNCTION, found) == low
    assert start_background(TWO_THETA, intensity, esd, FUNCTION, None) == low


KINDS = ("chebyschev", "chebyschev-1", "cosine", "Q^2 power series", "Q^-2 power series")
INTERPOLATED = ("lin interpolate", "inv interpolate", "log interpolate")


@pytest.mark.parametrize("kind", [*KINDS, *INTERPOLATED])
@pytest.mark.parametrize("gap", [(10.0, 30.0), (30.0, 60.0), (60.0, 90.0)])
def test_no_background_runs_away_where_lines_cover_the_pattern(kind, gap):
    lines = np.concatenate([np.arange(12.0, 90.0, 4.0), np.arange(gap[0] + 0.2, gap[1], 0.35)])
    intensity, esd, _, found = pattern(np.sort(lines), counts=400.0)
    function = dataclasses.replace(FUNCTION, kind=kind)
    started = function.columns(TWO_THETA) @ np.array(start_background(TWO_THETA, intensity, esd, function, found))
    assert started.min() > 0
    assert started.max() < 60, "the lines in the gap have 400 counts"


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_background_that_was_subtracted_starts_at_zero_and_not_below(level):
    rng = np.random.default_rng(7)
    esd = np.full(len(TWO_THETA), 4.0)
    intensity = level + rng.normal(0, 4, len(TWO_THETA))
    _, _, _, found = pattern(np.arange(15.0, 90.0, 2.5))
    started = drawn(start_background(TWO_THETA, intensity, esd, FUNCTION, found))
    assert started.min() >= 0
    assert started.max() < 3


class Alternating:
    """A fit whose whole steps go from one side of the minimum to the other without end, as Le Bail fits can."""

    def __init__(self, path):
        self.place, self.rwp, self.best = [1.0], 8.79, str(path / "best")
        self.project = SimpleNamespace(filename=str(path / "fit.gpx"))
        self.wholes = 0
        (path / "best").write_text("")

    def refined_values(self):
        return [(self.place, 0)]

    def measure(self):
        self.rwp = 8.63 + 0.1 * abs(self.place[0]) + (0.06 if self.place[0] > 0.2 else 0.0)

    def step(self, what, worse):
        self.place[0] *= -0.99
        self.wholes += 1
        self.measure()
        return True

    def half_way_back(self, before):
        self.place[0] = (self.place[0] + before[0]) / 2
        self.measure()

    def go_back(self, path):
        raise AssertionError("a fit that settled stays where it is")


def test_a_fit_that_alternates_between_two_values_is_settled_by_half_steps(tmp_path):
    fit = Alternating(tmp_path)
    assert lebail_recipe._rounds(fit)
    assert abs(fit.place[0]) < 0.02
    assert fit.wholes < 8


class Pausing(Alternating):
    """A fit that stands still for one round before it goes on, as anglesite with neutrons does up to 94 degrees."""

    def __init__(self, path):
        super().__init__(path)
        self.rwp, self.rounds = 6.64, iter((6.62, 6.34, 4.77, 3.54, 3.41, 3.35, 3.32, 3.30))

    def step(self, what, worse):
        self.rwp = next(self.rounds)
        return True


def test_one_round_without_progress_is_not_the_end(tmp_path):
    fit = Pausing(tmp_path)
    assert lebail_recipe._rounds(fit)
    assert fit.rwp == 3.30


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
