"""Loading real patterns: what comes out is what was measured, with the wavelength it was measured with."""

import numpy as np
import pytest

from alphadiffract_plugin.errors import AlphaDiffractError, OutputError, RadiationError, WavelengthError
from alphadiffract_plugin.load import histogram_from_arrays, histogram_from_file, write_xye


def bragg(a, hkl, wavelength):
    """two_theta in degrees of the lines hkl of a cubic cell a."""
    return np.degrees(2 * np.arcsin(wavelength * np.sqrt(np.sum(np.square(hkl), axis=1)) / (2 * a)))


def top_near(histogram, position, window):
    """two_theta of the highest point within ``window`` degrees of a position."""
    near = np.abs(histogram.two_theta - position) < window
    return histogram.two_theta[near][np.argmax(histogram.intensity[near])]


@pytest.mark.parametrize(("name", "step"), [("lab6_lab", 0.0131), ("lab6_ssrl", 0.005)])
def test_the_lines_of_lab6_stand_where_its_certified_cell_puts_them(name, step, request):
    # NIST: a = 4.15683 Å. The tops of the lines fall on steps, hence two steps; the instrument's zero shifts all alike.
    histogram = request.getfixturevalue(name)
    hkl = [[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 0, 0], [2, 1, 0], [2, 1, 1], [2, 2, 0], [3, 1, 0], [3, 1, 1], [3, 2, 1]]
    shifts = [top_near(histogram, place, 0.15) - place for place in bragg(4.15683, hkl, histogram.wavelength)]
    assert np.ptp(shifts) < 2 * step
    assert abs(np.mean(shifts)) < 0.1


def test_anglesite_comes_with_its_doublet_and_counting_esds(pbso4_xray):
    assert pbso4_xray.wavelengths == (1.5405, 1.5443)
    assert pbso4_xray.kalpha2_ratio == 0.5
    assert pbso4_xray.radiation == "xray"
    assert pbso4_xray.name == "pbso4_xray"
    assert len(pbso4_xray.two_theta) == 6001
    assert (pbso4_xray.two_theta[0], pbso4_xray.two_theta[-1]) == (10.0, 160.0)
    assert np.allclose(pbso4_xray.esd, np.sqrt(pbso4_xray.intensity), rtol=1e-3)


def test_anglesite_with_neutrons(pbso4_neutron):
    assert pbso4_neutron.radiation == "neutron"
    assert pbso4_neutron.wavelengths == (1.909,)
    assert pbso4_neutron.kalpha2_ratio == 0


def test_a_background_that_was_subtracted_leaves_negative_points_and_they_stay(zincite_ssrl):
    assert np.mean(zincite_ssrl.intensity < 0) > 0.2
    assert zincite_ssrl.esd is None


def test_arrays_load_like_the_file_they_came_from(pbso4_xray):
    arrays = histogram_from_arrays(
        pbso4_xray.two_theta.tolist(), pbso4_xray.intensity, pbso4_xray.esd, wavelength="1.5405/1.5443"
    )
    assert np.array_equal(arrays.two_theta, pbso4_xray.two_theta)
    assert np.array_equal(arrays.intensity, pbso4_xray.intensity)
    assert np.array_equal(arrays.esd, pbso4_xray.esd)
    assert (arrays.wavelengths, arrays.source) == (pbso4_xray.wavelengths, "arrays")


def test_a_histogram_does_not_change_when_the_callers_array_does(pbso4_xray):
    counts = np.array(pbso4_xray.intensity)
    histogram = histogram_from_arrays(pbso4_xray.two_theta, counts, wavelength="CuKa")
    counts[:] = 0
    assert np.array_equal(histogram.intensity, pbso4_xray.intensity)


def test_a_descending_axis_is_turned_round(pbso4_xray):
    columns = [column[::-1] for column in (pbso4_xray.two_theta, pbso4_xray.intensity, pbso4_xray.esd)]
    turned = histogram_from_arrays(*columns, wavelength="CuKa")
    assert np.array_equal(turned.two_theta, pbso4_xray.two_theta)
    assert np.array_equal(turned.intensity, pbso4_xray.intensity)
    assert np.array_equal(turned.esd, pbso4_xray.esd)


def test_a_row_given_twice_is_dropped(pbso4_xray):
    twice = np.insert(np.arange(6001), 3000, 2999)
    columns = [column[twice] for column in (pbso4_xray.two_theta, pbso4_xray.intensity)]
    assert np.array_equal(histogram_from_arrays(*columns, wavelength="CuKa").two_theta, pbso4_xray.two_theta)


def test_a_detector_that_begins_below_zero_loses_those_points(pbso4_neutron):
    shifted = pbso4_neutron.two_theta - 15
    histogram = histogram_from_arrays(shifted, pbso4_neutron.intensity, wavelength=1.909, radiation="neutron")
    assert np.array_equal(histogram.two_theta, shifted[shifted > 0])
    assert np.array_equal(histogram.intensity, pbso4_neutron.intensity[shifted > 0])


def test_uneven_steps_and_gaps_stay_as_they_are(pbso4_xray):
    keep = (np.arange(6001) % 7 != 3) & ~((pbso4_xray.two_theta > 60) & (pbso4_xray.two_theta < 65))
    histogram = histogram_from_arrays(pbso4_xray.two_theta[keep], pbso4_xray.intensity[keep], wavelength="CuKa")
    assert np.array_equal(histogram.two_theta, pbso4_xray.two_theta[keep])


def test_an_esd_of_zero_means_no_weight(pbso4_xray):
    esd = 2 * np.array(pbso4_xray.esd)
    largest = np.max(esd)
    esd[[10, 20, 30]] = [0, -1, np.nan]
    histogram = histogram_from_arrays(pbso4_xray.two_theta, pbso4_xray.intensity, esd, wavelength="CuKa")
    assert np.array_equal(histogram.esd[[10, 20, 30]], [largest] * 3)
    assert np.array_equal(np.delete(histogram.esd, [10, 20, 30]), np.delete(esd, [10, 20, 30]))


def test_no_counts_have_the_esd_of_one_count_where_the_others_are_their_square_roots(pbso4_xray):
    counts = np.array(pbso4_xray.intensity)
    counts[100:120] = 0
    histogram = histogram_from_arrays(pbso4_xray.two_theta, counts, np.sqrt(counts), wavelength="CuKa")
    assert np.all(histogram.esd[100:120] == 1)


def test_a_column_of_zeros_is_no_esd(pbso4_xray):
    zeros = np.zeros(6001)
    assert histogram_from_arrays(pbso4_xray.two_theta, pbso4_xray.intensity, zeros, wavelength="CuKa").esd is None


def test_xye_reads_back_equal(pbso4_xray, zincite_ssrl, tmp_path):
    again = histogram_from_file(write_xye(pbso4_xray, tmp_path / "a.xye"), wavelength="1.5405/1.5443")
    assert np.array_equal(again.two_theta, pbso4_xray.two_theta)
    assert np.array_equal(again.intensity, pbso4_xray.intensity)
    assert np.array_equal(again.esd, pbso4_xray.esd)
    without = histogram_from_file(write_xye(zincite_ssrl, tmp_path / "b.xye"), wavelength=0.729568)
    assert np.array_equal(without.intensity, zincite_ssrl.intensity)
    assert np.array_equal(without.esd, np.sqrt(np.maximum(zincite_ssrl.intensity, 1)))


def test_xye_is_written_whole_or_not_at_all(pbso4_xray, tmp_path):
    with pytest.raises(OutputError, match="choose another"):
        write_xye(pbso4_xray, tmp_path / "no such folder" / "a.xye")
    assert list(tmp_path.iterdir()) == []
    write_xye(pbso4_xray, tmp_path / "a.xye")
    assert [path.name for path in tmp_path.iterdir()] == ["a.xye"]


INSTPRM = """#GSAS-II instrument parameter file; do not add/delete items!
Type:PXC
Bank:1.0
Lam1:1.5405; Lam2:1.5443
I(L2)/I(L1):0.5
Zero:0.0
Polariz.:0.7
U:2.0
V:-2.0
W:5.0
X:0.0
Y:0.0
Z:0.0
SH/L:0.002
Azimuth:0.0
Source:CuKa
"""


def test_the_wavelength_and_the_profile_may_come_from_an_instprm(examples, tmp_path):
    (tmp_path / "lab.instprm").write_text(INSTPRM)
    histogram = histogram_from_file(examples / "pbso4_xray.xye", wavelength=tmp_path / "lab.instprm")
    assert histogram.wavelengths == (1.5405, 1.5443)
    assert histogram.kalpha2_ratio == 0.5
    assert histogram.instrument["U"] == 2.0
    assert histogram.instrument["SH/L"] == 0.002
    assert histogram.instrument["Source"] == "CuKa"
    assert histogram == histogram_from_file(examples / "pbso4_xray.xye", wavelength=str(tmp_path / "lab.instprm"))


def test_an_instprm_of_neutrons_makes_a_neutron_pattern(data, tmp_path):
    (tmp_path / "d1a.instprm").write_text("#GSAS-II instrument parameter file\nType:PNC\nLam:1.909\nZero:0.0\n")
    histogram = histogram_from_file(data / "pbso4_neutron.xye", wavelength=tmp_path / "d1a.instprm")
    assert (histogram.radiation, histogram.wavelengths) == ("neutron", (1.909,))


@pytest.mark.parametrize(
    ("text", "kind", "fix"),
    [
        (INSTPRM.replace("PXC", "PNT"), RadiationError, "one wavelength"),
        (INSTPRM.replace("PXC", "PXE"), RadiationError, "one wavelength"),
        (INSTPRM.replace("Lam1:1.5405; Lam2:1.5443\n", ""), WavelengthError, "--wavelength CuKa"),
        (INSTPRM.replace("1.5405", "15.405"), WavelengthError, "in Å"),
        (INSTPRM + "CorrectionCode:import os\n", AlphaDiffractError, "delete that line"),
        ("10 5\n11 6\n", AlphaDiffractError, "give an .instprm file"),
        (None, AlphaDiffractError, "check the path"),
    ],
)
def test_an_instprm_that_is_of_no_use_is_refused(examples, tmp_path, text, kind, fix):
    path = tmp_path / "bad.instprm"
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind, match=fix) as raised:
        histogram_from_file(examples / "pbso4_xray.xye", wavelength=path)
    assert str(path) in str(raised.value)


def test_code_in_an_instprm_is_never_run(examples, tmp_path):
    (tmp_path / "bad.instprm").write_text(f"{INSTPRM}CorrectionCode:open(r'{tmp_path}/ran', 'w')\n")
    with pytest.raises(AlphaDiffractError) as raised:
        histogram_from_file(examples / "pbso4_xray.xye", wavelength=tmp_path / "bad.instprm")
    assert raised.value.line == 17
    assert not (tmp_path / "ran").exists()
