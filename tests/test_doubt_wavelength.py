"""A wrong wavelength is told where it can be: beside a tube's, or with lines split as a tube's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin import pipeline
from alphadiffract_plugin.indexing import Found
from alphadiffract_plugin.peaks.doubt_wavelength import doubts_about_wavelength
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.pipeline import index_histogram
from alphadiffract_plugin.radiation import radiation_from_text
from alphadiffract_plugin.records import Histogram, Peaks
from alphadiffract_plugin.settings import Settings

NO_LINES = Peaks([20.0], [0.01], [1.0], [0.1], [5.0], 1.0)
X = np.arange(10.0, 90.0, 0.02)


def of(wavelength, radiation="xray"):
    """What is said of a wavelength alone."""
    wavelengths, ratio = radiation_from_text(wavelength)
    histogram = Histogram(X, np.ones_like(X), None, wavelengths, ratio, radiation)
    return list(doubts_about_wavelength(histogram, NO_LINES))


def measured_as(histogram, wavelength):
    """What is said of a measured pattern if that is given as its wavelength."""
    wavelengths, ratio = radiation_from_text(wavelength)
    given = replace(histogram, wavelengths=wavelengths, kalpha2_ratio=ratio)
    return list(doubts_about_wavelength(given, find_peaks(given)))


# The value alone


@pytest.mark.parametrize(
    "wavelength",
    [
        *("CuKa", "CuKa1", "MoKa", "CoKa", "CrKa", "FeKa", "AgKa"),
        *("1.5406", "1.54056", "1.5405", "1.54439", "1.5444"),  # Kα1 and Kα2 of several tables
        *("1.5418", "1.54184", "1.54187", "1.54178", "0.7107", "0.71073", "0.5609", "1.7903", "1.9373", "2.2909"),
        *("1.5405/1.5443", "1.54056/1.54439", "1.5406/1.5444/0.497", "0.70926/0.71354", "0.5594/0.5638"),
        *("0.413909", "0.729568", "0.49935", "0.45789", "0.82615", "1.0", "1.2", "1.6", "2.394"),
    ],
)
def test_what_is_right_and_what_is_of_a_synchrotron_is_not_doubted(wavelength):
    assert of(wavelength) == []


@pytest.mark.parametrize(
    ("wavelength", "first", "mean"),
    [
        ("1.5421", "by 0.10 % from Cu Kα1 (1.54059 Å)", "by 0.01 % from the mean Kα (1.54187 Å)"),
        ("1.54", "by 0.04 % from Cu Kα1 (1.54059 Å)", "by 0.12 % from the mean Kα (1.54187 Å)"),
        ("0.71", "by 0.10 % from Mo Kα1 (0.70932 Å)", "by 0.11 % from the mean Kα (0.71075 Å)"),
        ("1.79", "by 0.06 % from Co Kα1 (1.78900 Å)", "by 0.02 % from the mean Kα (1.79028 Å)"),
    ],
)
def test_a_number_beside_those_of_a_tube_is_told_with_what_it_would_change(wavelength, first, mean):
    [note] = of(wavelength)
    assert note.startswith(f"The wavelength {wavelength} Å differs {first} and {mean}. If one of them is right")


def test_a_doublet_a_thousandth_too_long_is_told():
    [note] = of("1.542134/1.545972")
    assert note == (
        "The wavelength 1.54213 Å differs by 0.10 % from Cu Kα1 (1.54059 Å). "
        "If the tube has a Cu anode, every cell edge is wrong by 0.10 %."
    )


@pytest.mark.parametrize("wavelength", ["1.5406/1.54187", "1.5406/1.5484", "0.7093/0.7111"])
def test_kalpha2_of_no_element_is_told(wavelength):
    [note] = of(wavelength)
    assert "are not Kα1 and Kα2 of" in note


def test_neutrons_of_a_length_like_that_of_copper_are_no_mistake():
    """1.5403 Å is the usual wavelength of BT-1, at the reactor of NIST."""
    assert len(of("1.5403")) == 1
    assert of("1.5403", radiation="neutron") == []


# The value and the lines


@pytest.mark.parametrize("name", ["pbso4_xray", "lab6_lab"])
def test_the_mean_given_for_resolved_doublets_is_told_with_how_much_it_changes(name, request):
    """The mean of Kα1 and Kα2 is 0.083 % longer than Kα1, by which the lines were found."""
    [note] = measured_as(request.getfixturevalue(name), "1.54187")
    assert "split into Kα1 and Kα2 of Cu" in note
    assert note.endswith("Give the wavelength as CuKa. With 1.54187 Å every cell edge is 0.08 % too long.")


@pytest.mark.parametrize("name", ["pbso4_xray", "lab6_lab"])
def test_kalpha1_alone_given_for_resolved_doublets_is_told_and_the_doublet_is_not(name, request):
    histogram = request.getfixturevalue(name)
    [note] = measured_as(histogram, "CuKa1")
    assert note.endswith("Give the wavelength as CuKa.")
    assert measured_as(histogram, "CuKa") == []


@pytest.mark.parametrize("name", ["lab6_ssrl", "zincite_ssrl", "tartrate_ssrl", "mg2si_iucr"])
def test_sharp_lines_of_one_wavelength_are_never_taken_for_doublets(name, request):
    """Patterns of synchrotrons passed off as those of tubes; tartrate has 60 lines below 23 degrees."""
    histogram = request.getfixturevalue(name)
    peaks = find_peaks(histogram)
    for tube in ("CuKa1", "1.5418", "MoKa1", "CoKa1"):
        given = replace(histogram, wavelengths=radiation_from_text(tube)[0])
        assert list(doubts_about_wavelength(given, peaks)) == []


def test_the_mean_is_right_where_the_lines_are_too_broad_to_be_split(lab6_lab):
    """LaB6 smeared to half a degree: the doublet, 0.2 degrees apart at 75, is one line everywhere."""
    from scipy.ndimage import gaussian_filter1d

    to_80 = lab6_lab.two_theta < 80
    step = np.median(np.diff(lab6_lab.two_theta))
    broad = gaussian_filter1d(lab6_lab.intensity, 0.5 / 2.355 / step)[to_80]
    smeared = replace(lab6_lab, two_theta=lab6_lab.two_theta[to_80], intensity=broad, esd=lab6_lab.esd[to_80])
    assert measured_as(smeared, "1.5418") == []
    sharp = replace(smeared, intensity=lab6_lab.intensity[to_80])
    assert len(measured_as(sharp, "1.5418")) == 1


def test_the_answer_of_the_flow_says_it(lab6_lab, monkeypatch):
    monkeypatch.setattr(pipeline, "search_cells", lambda *arguments: Found([]))
    wrong = replace(lab6_lab, wavelengths=(1.5421,), kalpha2_ratio=0.0)
    notes = index_histogram(wrong, Settings()).notes
    assert any(note.startswith("The wavelength 1.5421 Å differs by 0.10 % from Cu Kα1") for note in notes)
    assert any(note.endswith("With 1.5421 Å every cell edge is 0.10 % too long.") for note in notes)
    monkeypatch.setattr(pipeline, "_prediction", lambda histogram, settings, notes: None)
    assert not any("avelength" in note for note in index_histogram(lab6_lab, Settings()).notes)
