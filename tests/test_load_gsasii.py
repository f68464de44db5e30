"""A histogram that GSAS-II already holds in memory: the object is imitated, so GSAS-II is not needed."""

from types import SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin.errors import InputError, RadiationError, WavelengthError
from alphadiffract_plugin.load import histogram_from_gsasii

LAB = {
    "Type": ["PXC", "PXC", 0],
    "Bank": [1.0, 1.0, 0],
    "Lam1": [1.5405, 1.5405, 0],
    "Lam2": [1.5443, 1.5443, 0],
    "I(L2)/I(L1)": [0.5, 0.5, 0],
    "Zero": [0.0, 0.012, True],
    "U": [2.0, 1.7, True],
    "Source": ["CuKa", "CuKa", ""],
}
D1A = {"Type": ["PNC", "PNC", 0], "Lam": [1.909, 1.9092, True], "Zero": [0.0, 0.0, 0]}


def held(histogram, parameters=LAB, *, limits=None, mask=None):
    """What G2Project.histogram(0) returns, as far as it is read: lists in dicts, [initial, current, refine]."""
    zeros = np.zeros_like(histogram.two_theta)
    columns = [np.array(histogram.two_theta), np.array(histogram.intensity), 1 / np.array(histogram.esd) ** 2, zeros]
    if mask is not None:
        columns = [np.ma.MaskedArray(column, mask) for column in columns]
    full = [float(histogram.two_theta[0]), float(histogram.two_theta[-1])]
    data = {
        "data": [{"wR": 9.1}, columns, "PWDR pbso4"],
        "Limits": [tuple(full), *(limits or [full])],
        "Instrument Parameters": [parameters, {}],
    }
    return SimpleNamespace(data=data, name="PWDR pbso4.xye")


def test_counts_esds_and_current_instrument_come_over(pbso4_xray):
    histogram = histogram_from_gsasii(held(pbso4_xray))
    assert np.array_equal(histogram.two_theta, pbso4_xray.two_theta)
    assert np.array_equal(histogram.intensity, pbso4_xray.intensity)
    assert np.allclose(histogram.esd, pbso4_xray.esd)
    assert (histogram.wavelengths, histogram.kalpha2_ratio) == ((1.5405, 1.5443), 0.5)
    assert (histogram.instrument["Zero"], histogram.instrument["U"]) == (0.012, 1.7)
    assert (histogram.name, histogram.source) == ("PWDR pbso4.xye", "GSAS-II project")
    assert type(histogram).from_json(histogram.to_json()) == histogram


def test_a_neutron_histogram_is_known_as_such(pbso4_neutron):
    histogram = histogram_from_gsasii(held(pbso4_neutron, D1A))
    assert (histogram.radiation, histogram.wavelengths) == ("neutron", (1.9092,))


def test_limits_and_excluded_regions_are_left_out(pbso4_xray):
    x = pbso4_xray.two_theta
    histogram = histogram_from_gsasii(held(pbso4_xray, limits=[[15.0, 120.0], [40.0, 42.0], [80.0, 81.0]]))
    keep = (x >= 15) & (x <= 120) & ~((x >= 40) & (x <= 42)) & ~((x >= 80) & (x <= 81))
    assert np.array_equal(histogram.two_theta, x[keep])
    assert np.array_equal(histogram.intensity, pbso4_xray.intensity[keep])


def test_masked_points_are_left_out(pbso4_xray):
    mask = (pbso4_xray.two_theta > 30) & (pbso4_xray.two_theta < 31)
    assert np.array_equal(histogram_from_gsasii(held(pbso4_xray, mask=mask)).two_theta, pbso4_xray.two_theta[~mask])


def test_a_point_of_weight_zero_keeps_next_to_none(pbso4_xray):
    project = held(pbso4_xray)
    project.data["data"][1][2][100] = 0.0
    assert histogram_from_gsasii(project).esd[100] == pytest.approx(np.max(pbso4_xray.esd))


def test_the_project_is_left_as_it_was(pbso4_xray):
    project = held(pbso4_xray)
    histogram = histogram_from_gsasii(project)
    project.data["data"][1][1][:] = 0
    assert np.array_equal(histogram.intensity, pbso4_xray.intensity)


@pytest.mark.parametrize(
    ("parameters", "kind", "expected"),
    [
        ({**D1A, "Type": ["PNT", "PNT", 0]}, RadiationError, "time of flight"),
        ({**D1A, "Type": ["PXE", "PXE", 0]}, RadiationError, "energy dispersive"),
        ({**D1A, "Type": ["PNB", "PNB", 0]}, RadiationError, "pink beam"),
        ({**D1A, "Type": ["SXC", "SXC", 0]}, RadiationError, "not a known one"),
        ({"Type": ["PXC", "PXC", 0]}, WavelengthError, "hold no wavelength"),
        ({**D1A, "Lam": [1.9, 19.0, 0]}, WavelengthError, "outside 0.05 to 5"),
    ],
)
def test_an_instrument_of_no_use_is_refused(pbso4_neutron, parameters, kind, expected):
    with pytest.raises(kind, match=expected) as raised:
        histogram_from_gsasii(held(pbso4_neutron, parameters))
    assert "PWDR pbso4.xye" in str(raised.value)


@pytest.mark.parametrize(
    "thing", [None, 7, "a.gpx", SimpleNamespace(data={}), SimpleNamespace(data={"data": [{}, []]})]
)
def test_another_object_is_refused_with_what_to_give(thing):
    with pytest.raises(InputError, match=r"not a GSAS-II powder histogram.*\n.*histogram\(0\)"):
        histogram_from_gsasii(thing)
