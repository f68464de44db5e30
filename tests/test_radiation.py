"""Wavelengths by name and number: the tubes of every laboratory, and what cannot be meant."""

import math
import re

import pytest

from alphadiffract_plugin.errors import WavelengthError
from alphadiffract_plugin.radiation import KALPHA, NAMES, radiation_from_text, wavelengths_from_file


def test_cu_kalpha_is_the_doublet_that_certifies_lab6():
    # NIST certified SRM 660 with Kα1 = 1.5405929 Å (Hölzer et al. 1997)
    assert radiation_from_text("CuKa") == ((1.5405929, 1.5444274), 0.5)
    assert radiation_from_text("CuKa1") == ((1.5405929,), 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "CuKa",
        "cuka",
        "CUKA",
        "Cu Ka",
        "Cu-Kα",
        "CuKα",
        "Cu K-alpha",
        "cu k_alpha",
        r"Cu K\a",
        " CuKa ",
        "CuKalpha",
        "CuKa1,2",
    ]
    + ["Cu Kα1,2", "CuKa1+CuKa2", "CuKα1+2"],
)
def test_however_a_person_writes_the_doublet(text):
    assert radiation_from_text(text) == radiation_from_text("CuKa")


@pytest.mark.parametrize("text", ["CuKa1", "Cu Kα1", "CuKα₁", "Cu K-alpha 1", r"Cu K\a~1~"])
def test_however_a_person_writes_one_line(text):
    assert radiation_from_text(text) == ((1.5405929,), 0.0)


@pytest.mark.parametrize("name", [n for n in NAMES if n[:2] not in ("Mn", "Ni", "Ga")])
def test_the_table_agrees_with_that_of_pymatgen(name):
    # pymatgen keeps Bearden's scale, 20 ppm shorter, and for the doublet its mean
    from pymatgen.analysis.diffraction.xrd import WAVELENGTHS

    (first, *second), ratio = radiation_from_text(name)
    ours = (first + ratio * second[0]) / (1 + ratio) if second else first
    assert ours == pytest.approx(WAVELENGTHS[name], rel=1.2e-4)


@pytest.mark.parametrize("anode", KALPHA)
def test_kalpha2_is_the_longer_by_less_than_one_per_cent(anode):
    first, second = KALPHA[anode]
    assert 1 < second / first < 1.01


def test_the_splitting_follows_the_element_number():
    # the spin-orbit splitting of the 2p level grows like (Z - 3.5)^4 (Sommerfeld), so a slip in one value stands out
    number = {"Cr": 24, "Mn": 25, "Fe": 26, "Co": 27, "Ni": 28, "Cu": 29, "Ga": 31, "Mo": 42, "Ag": 47}
    scaled = [(1 / a - 1 / b) / (number[anode] - 3.5) ** 4 for anode, (a, b) in KALPHA.items()]
    assert max(scaled) / min(scaled) < 1.15


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5406", ((1.5406,), 0.0)),
        (1.5406, ((1.5406,), 0.0)),
        ("1,5406", ((1.5406,), 0.0)),
        ("0.4139090", ((0.413909,), 0.0)),
        ("1.540593/1.544427", ((1.540593, 1.544427), 0.5)),
        ("1.5406,1.5443", ((1.5406, 1.5443), 0.5)),
        ("1.5406, 1.5443, 0.45", ((1.5406, 1.5443), 0.45)),
        ("1.5406;1.5443", ((1.5406, 1.5443), 0.5)),
        ("1,5406 1,5443", ((1.5406, 1.5443), 0.5)),
        ("1.5405 / 1.5443 / 0.45", ((1.5405, 1.5443), 0.45)),
    ],
)
def test_numbers(text, expected):
    assert radiation_from_text(text) == expected


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("CuKa3", "CuKa or CuKa1"),
        ("CuKb", "CuKa"),
        ("Cu", "CuKa"),
        ("MoKaa", "MoKa"),
        ("sunlight", "known: CrKa"),
        ("", "known: CrKa"),
        ("1,5406,1,5443", "Kα1/Kα2 with an optional ratio, 1.5406/1.5444/0.5"),
        ("CuKa2", "CuKa or CuKa1"),
        ("20", "20 keV = 0.61992 Å"),
        ("8.048", "8.048 keV = 1.5406 Å"),
        ("154.06", "154.06 pm = 1.5406 Å"),
        ("0.015406", "0.015406 nm = 0.15406 Å"),
        ("20 keV", "0.61992"),
        ("0.15406 nm", "1.5406"),
        ("0 keV", "known: CrKa"),
        ("0", "such as 1.5406"),
        ("-1.54", "such as 1.5406"),
        ("nan", "such as 1.5406"),
        ("inf", "such as 1.5406"),
        ("1.5443/1.5405", "the shorter first"),
        ("1.54/0.71", "the shorter first"),
        ("1.5405/1.5443/2", "0.5, or one wavelength"),
        ("1/2/3/4", "Kα1/Kα2/ratio"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_how_to_fix_it(text, fix):
    with pytest.raises(WavelengthError, match=re.escape(fix)):
        radiation_from_text(text)


def test_the_energy_hint_is_right():
    # 12.398 keV is 1 Å by the definition of the electronvolt
    with pytest.raises(WavelengthError) as raised:
        radiation_from_text(17.479)
    assert float(re.search(r"keV = ([\d.]+) Å", raised.value.fix)[1]) == pytest.approx(KALPHA["Mo"][0], rel=1e-4)


def test_a_file_that_gives_the_mean_of_a_tube_means_its_doublet():
    assert wavelengths_from_file([1.5418]) == radiation_from_text("CuKa")
    assert wavelengths_from_file([1.54184]) == radiation_from_text("CuKa")
    assert wavelengths_from_file([0.7107]) == ((0.7107,), 0.0)
    assert wavelengths_from_file([0.71073], name=r"Mo K\a") == radiation_from_text("MoKa")
    assert wavelengths_from_file([1.54056], name=r"Cu K\a~1~") == ((1.54056,), 0.0)
    assert wavelengths_from_file([1.54056], name=r"Cu K\a") == radiation_from_text("CuKa")


def test_a_file_that_gives_nothing_usable_gives_nothing():
    assert wavelengths_from_file([]) == (None, 0.0)
    assert wavelengths_from_file([0.0, math.nan]) == (None, 0.0)
    assert wavelengths_from_file([1.5406, 1.54439], ratio=0.0) == ((1.5406,), 0.0)
