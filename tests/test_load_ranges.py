"""A pattern measured in ranges is put together again, whatever the ranges have in common, and is the pattern itself."""

import struct

import numpy as np
import pytest

from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.load import histogram_from_file


@pytest.fixture(scope="module")
def points(pbso4_xray):
    """two_theta, counts of anglesite: 800 points from 20 to 39.975 degrees in steps of 0.025."""
    return np.round(pbso4_xray.two_theta[400:1200], 3), np.round(pbso4_xray.intensity[400:1200])


def part(points, begin, end, factor=1.0):
    return points[0][begin:end], points[1][begin:end] * factor


def text(parts):
    return "".join(f"{x:.3f} {y:.1f}\n" for x_y in parts for x, y in zip(*x_y, strict=True))


def xrdml(parts, seconds):
    scans = "".join(
        '<scan scanAxis="Gonio"><dataPoints><positions axis="2Theta" unit="deg">'
        f"<startPosition>{x[0]}</startPosition><endPosition>{x[-1]}</endPosition></positions>"
        f'<commonCountingTime unit="seconds">{time}</commonCountingTime>'
        f'<intensities unit="counts">{" ".join(f"{value:.0f}" for value in y)}</intensities></dataPoints></scan>'
        for (x, y), time in zip(parts, seconds, strict=True)
    )
    return (
        '<?xml version="1.0"?><xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5"><xrdMeasurement>'
        '<usedWavelength intended="K-Alpha"><kAlpha1 unit="Angstrom">1.540598</kAlpha1></usedWavelength>'
        f"{scans}</xrdMeasurement></xrdMeasurements>"
    )


def ras(parts):
    scans = "".join(
        '*RAS_HEADER_START\n*HW_XG_WAVE_LENGTH_ALPHA1 "1.540598"\n*MEAS_SCAN_AXIS_X "TwoThetaTheta"\n*RAS_HEADER_END\n'
        f"*RAS_INT_START\n{text([one]).replace(chr(10), ' 1.0000' + chr(10))}*RAS_INT_END\n"
        for one in parts
    )
    return f"*RAS_DATA_START\n{scans}*RAS_DATA_END\n"


def raw(parts, seconds, kind=0):
    """Bruker RAW1.01, whose ranges have scan type ``kind``."""
    head = bytearray(712)
    head[:8] = b"RAW1.01\0"
    struct.pack_into("<ii", head, 8, 1, len(parts))
    struct.pack_into("<5d", head, 616, 1.54184, 1.540598, 1.544426, 1.39222, 0.5)
    data = bytes(head)
    for (x, y), time in zip(parts, seconds, strict=True):
        scan = bytearray(304)
        struct.pack_into("<ii", scan, 0, 304, len(y))
        struct.pack_into("<dd", scan, 8, x[0] / 2, x[0])
        struct.pack_into("<d", scan, 176, 0.025)
        struct.pack_into("<fi", scan, 192, time, kind)
        struct.pack_into("<ii", scan, 252, 4, 16)
        data += bytes(scan) + bytes(16) + struct.pack(f"<{len(y)}f", *y)
    return data


WRITERS = {
    "ranges.xy": lambda parts: text(parts).encode(),
    "ranges.xrdml": lambda parts: xrdml(parts, [1] * len(parts)).encode(),
    "ranges.ras": lambda parts: ras(parts).encode(),
    "ranges.raw": lambda parts: raw(parts, [1] * len(parts)),
}
CUTS = {
    "that overlap": [(0, 300), (280, 600), (560, 800)],
    "that share one point": [(0, 301), (300, 800)],
    "end to end": [(0, 300), (300, 800)],
    "from the last": [(400, 800), (0, 410)],
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("cuts", CUTS.values(), ids=list(CUTS))
def test_ranges_are_merged_to_the_pattern_from_which_they_were_cut(cuts, name, points, tmp_path):
    path = tmp_path / name
    path.write_bytes(WRITERS[name]([part(points, *cut) for cut in cuts]))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.two_theta, points[0], atol=1e-6)
    assert np.allclose(histogram.intensity, points[1])
    one_table = name == "ranges.xy" and np.all(np.diff(np.ravel(cuts)) >= -1)  # rows that never go back
    assert (f"{len(cuts)} ranges merged" in histogram.source) != one_table


@pytest.mark.parametrize("writer", [xrdml, raw])
def test_a_range_counted_for_longer_is_brought_to_the_same_time(writer, points, tmp_path):
    # high angles counted four times as long: all is given for that time, with the esds of what was counted
    content = writer([part(points, 0, 400), part(points, 400, 800, 4.0)], [1, 4])
    path = tmp_path / "ranges.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.intensity, 4 * points[1])
    assert np.allclose(histogram.esd[:400], 4 * np.sqrt(points[1][:400]))
    assert np.allclose(histogram.esd[400:], 2 * np.sqrt(points[1][400:]))


def test_a_range_without_a_time_is_scaled_by_its_overlap(points, tmp_path):
    path = tmp_path / "ranges.xy"
    path.write_text(text([part(points, 0, 420), part(points, 380, 800, 3.0)]))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.intensity, points[1], rtol=1e-3)


def test_points_at_other_angles_are_taken_from_one_range_each_side_of_the_middle(points, tmp_path):
    low, high = part(points, 0, 400), part(points, 360, 800)
    path = tmp_path / "ranges.xy"
    path.write_text(text([low, (high[0] + 0.01, high[1])]))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert len(histogram.two_theta) == 800
    assert np.all(np.diff(histogram.two_theta) > 0)
    assert histogram.two_theta[379:381] == pytest.approx([points[0][379], points[0][380] + 0.01])


def test_a_fast_scan_with_a_linear_detector_is_a_scan_over_two_theta(points, tmp_path):
    path = tmp_path / "fast.raw"
    path.write_bytes(raw([points], [1], kind=130))
    histogram = histogram_from_file(path)
    assert np.allclose(histogram.two_theta, points[0])
    assert np.array_equal(histogram.intensity, points[1])
    assert histogram.wavelengths == (1.540598, 1.544426)


def test_a_rocking_curve_and_a_raw_file_cut_off_are_refused(points, tmp_path):
    path = tmp_path / "bad.raw"
    path.write_bytes(raw([points], [1], kind=3))
    with pytest.raises(InputError, match="a scan over omega"):
        histogram_from_file(path)
    path.write_bytes(raw([points], [1])[:-5])
    with pytest.raises(InputError, match="ends before its last point"):
        histogram_from_file(path)


def test_a_wrong_angle_in_a_row_is_no_new_range(points, tmp_path):
    two_theta = points[0].copy()
    two_theta[200] += 1.0
    path = tmp_path / "bad.xy"
    path.write_text(text([(two_theta, points[1])]))
    with pytest.raises(InputError, match="goes back from 26 to 25.025"):
        histogram_from_file(path, wavelength="CuKa")
