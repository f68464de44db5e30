"""Files whose heading says what the numbers are: the wavelength, the radiation, start and step, the columns.

The pattern is anglesite throughout, written here as the instruments and the programs of laboratories write it.
"""

import numpy as np
import pytest

from alphadiffract_plugin.errors import InputError, WavelengthError
from alphadiffract_plugin.load import histogram_from_file

CU = (1.540598, 1.544426)


@pytest.fixture(scope="module")
def points(pbso4_xray):
    """two_theta, counts: 800 points from 20 to 39.975 degrees in steps of 0.025."""
    return np.round(pbso4_xray.two_theta[400:1200], 3), np.round(pbso4_xray.intensity[400:1200])


def in_rows(counts, width, join=", "):
    return "\n".join(join.join(f"{y:.0f}" for y in counts[i : i + width]) for i in range(0, len(counts), width))


def udf(points, axis="20.00000, 39.97500"):
    return (
        "SampleIdent,anglesite,/\nTitle1,,/\nAnode,Cu,/\nLabdaAlpha1, 1.540598,/\nLabdaAlpha2, 1.544426,/\n"
        f"RatioAlpha21, 0.50000,/\nMonochromatorUsed,NO,/\nDataAngleRange,  {axis},/\nScanStepSize, 0.02500000,/\n"
        f"ScanType,CONTINUOUS,/\nRawScan\n{in_rows(points[1], 8, ',     ')}/\n"
    )


def cpi(points):
    heading = ["SIETRONICS XRD SCAN", "20.0", "39.975", "0.025", "Cu", "1.54056", "1-1-2000", "1", "anglesite"]
    return "\n".join([*heading, "SCANDATA", in_rows(points[1], 1), ""])


def asc(points, axis="2theta/theta", parts=1):
    counts, angles = points[1].reshape(parts, -1), points[0].reshape(parts, -1)
    groups = "".join(
        f"*BEGIN\n*GROUP\t=  {i}\n*START\t=  {angles[i, 0]}\n*STOP\t=  {angles[i, -1]}\n"
        f"*STEP\t=  0.025\n*COUNT\t=  {len(part)}\n{in_rows(part, 4)}\n*END\n"
        for i, part in enumerate(counts)
    )
    return (
        f"*TYPE\t=  Raw\n*CLASS\t=  ASCII CLASS\n*SCAN_AXIS\t=  {axis}\n*XUNIT\t=  deg\n*YUNIT\t=  counts\n"
        f"*WAVE_LENGTH1\t=  {CU[0]}\n*WAVE_LENGTH2\t=  {CU[1]}\n*GROUP_COUNT\t=  {parts}\n{groups}*EOF\n"
    )


def panalytical(points, ratio=0.5, alpha2=CU[1]):
    return (
        "[Measurement conditions],\nSample identification,\n"
        'Comment - 1,"Configuration=Spinner, Owner=User-1, Creation date=10/4/2011 2:53:33 PM"\nAnode material,Cu\n'
        f"K-Alpha1 wavelength,{CU[0]}\nK-Alpha2 wavelength,{alpha2}\nRatio K-Alpha2/K-Alpha1,{ratio}\n"
        "Monochromator used,NO\nGenerator voltage,40\nScan range,20.0,39.975\nScan step size,0.025\nNo. of points,800\n"
        "[Scan points],\nAngle,Intensity,\n" + "".join(f"{x:.8f},{y:.0f}\n" for x, y in zip(*points, strict=True))
    )


@pytest.mark.parametrize(
    ("text", "reader"),
    [(udf, "Philips udf"), (asc, "Rigaku asc"), (panalytical, "text columns")],
    ids=["UDF", "asc", "csv of PANalytical"],
)
def test_start_step_and_both_lines_of_the_tube_stand_in_the_heading(text, reader, points, tmp_path):
    path = tmp_path / "anglesite.dat"
    path.write_text(text(points))
    histogram = histogram_from_file(path)
    assert np.allclose(histogram.two_theta, points[0], atol=1e-9)
    assert np.array_equal(histogram.intensity, points[1])
    assert (histogram.wavelengths, histogram.kalpha2_ratio, histogram.radiation) == (CU, 0.5, "xray")
    assert reader in histogram.source


def test_the_groups_of_an_asc_are_merged(points, tmp_path):
    path = tmp_path / "anglesite.asc"
    path.write_text(asc(points, parts=2))
    histogram = histogram_from_file(path)
    assert np.allclose(histogram.two_theta, points[0])
    assert np.array_equal(histogram.intensity, points[1])
    assert "2 ranges merged" in histogram.source


def test_a_cpi_that_names_its_anode_and_kalpha1_has_the_doublet_of_the_anode(points, tmp_path):
    path = tmp_path / "anglesite.cpi"
    path.write_text(cpi(points))
    histogram = histogram_from_file(path)
    assert np.allclose(histogram.two_theta, points[0])
    assert np.array_equal(histogram.intensity, points[1])
    assert (histogram.wavelengths, histogram.kalpha2_ratio) == ((1.5405929, 1.5444274), 0.5)


def test_a_csv_of_panalytical_whose_kalpha2_was_stripped_has_one_wavelength(points, tmp_path):
    path = tmp_path / "anglesite.csv"
    path.write_text(panalytical(points, ratio=0))
    assert histogram_from_file(path).wavelengths == CU[:1]


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        (lambda p: udf(p, axis="20.0, 60.0"), "the heading says 1601 points .* the file has 800", "cut off"),
        (lambda p: udf(p).replace("ScanStepSize", "Step"), "lacks start or step", "text columns"),
        (lambda p: cpi(p) + "THE END\n", "'THE' among the intensities", "text columns"),
        (lambda p: asc(p, axis="omega"), "scan over omega", "over two_theta"),
    ],
    ids=["cut off", "no step", "text at the end", "a rocking curve"],
)
def test_a_heading_that_does_not_fit_is_named(text, what, fix, points, tmp_path):
    path = tmp_path / "bad.dat"
    path.write_text(text(points))
    with pytest.raises(InputError, match=rf"{what}[^\n]*\n.*{fix}"):
        histogram_from_file(path, wavelength="CuKa")


def columns(points):
    return "".join(f"{x:.3f} {y:.1f} {np.sqrt(y):.2f}\n" for x, y in zip(*points, strict=True))


@pytest.mark.parametrize(
    ("heading", "wavelengths"),
    [
        ("1.5406\n", (1.5406,)),
        ("  0.826 \n", (0.826,)),
        ("1.5418\n", (1.5405929, 1.5444274)),
        ("Wavelength,0.41391\n", (0.41391,)),
        ("# wavelength 0.41391 A\n", (0.41391,)),
        (f"# K-Alpha1 = {CU[0]}, K-Alpha2 = {CU[1]}\n", CU),
    ],
    ids=["DASH", "with blanks", "the mean of a doublet", "a csv", "without a sign", "both lines"],
)
def test_a_wavelength_in_the_first_lines_is_read(heading, wavelengths, points, tmp_path):
    path = tmp_path / "anglesite.xye"
    path.write_text(heading + columns(points))
    histogram = histogram_from_file(path)
    assert np.array_equal(histogram.intensity, points[1])
    assert histogram.wavelengths == wavelengths


@pytest.mark.parametrize("heading", ["800\n", "293.15\n", "1.0\n", "7.25\n"], ids=str.strip)
def test_another_number_alone_on_the_first_line_is_no_wavelength(heading, points, tmp_path):
    path = tmp_path / "anglesite.xye"
    path.write_text(heading + columns(points))
    with pytest.raises(WavelengthError, match="does not say its wavelength"):
        histogram_from_file(path)


def test_a_block_with_the_heading_of_psi_was_measured_with_neutrons(pbso4_neutron, tmp_path):
    counts = np.round(pbso4_neutron.intensity)
    start, step = pbso4_neutron.two_theta[0], np.median(np.diff(pbso4_neutron.two_theta))
    stop = start + step * (len(counts) - 1)
    path = tmp_path / "hrpt.dat"
    path.write_text(
        f"HRPT, anglesite\nlambda=  1.90900, T=   0.000\n {start:8.3f} {step:8.3f} {stop:8.3f} 18000000., sample\n"
        + in_rows(counts, 10, "    ")
        + "\n"
    )
    histogram = histogram_from_file(path)
    assert (histogram.wavelengths, histogram.radiation) == ((1.909,), "neutron")
    assert np.array_equal(histogram.intensity, counts)
    assert histogram_from_file(path, radiation="xray").radiation == "xray"


def test_dates_beside_the_points_are_left_out(points, tmp_path):
    path = tmp_path / "beamline.dat"
    rows = "".join(
        f"{i} {x:.4f} 1.0 {y:.1f} 1 07/07/2022 19:15:{i % 60:02d}\n"
        for i, (x, y) in enumerate(zip(*points, strict=True))
    )
    path.write_text("image  twotheta  dspacing  intensity  frame  date  time\n" + rows)
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.two_theta, points[0])
    assert np.array_equal(histogram.intensity, points[1])
    assert "chosen by their headings" in histogram.source


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_date_of_two_words_is_one_column_where_the_table_has_separators(separator, points, tmp_path):
    path = tmp_path / "beamline.csv"
    rows = [f"{x:.3f}|{y:.0f}|7 July 2022, evening" for x, y in zip(*points, strict=True)]
    text = "\n".join(["2theta|counts|measured on", *rows]).replace("|", separator)
    path.write_text(text if separator != "," else text.replace(", evening", ""))
    assert np.array_equal(histogram_from_file(path, wavelength="CuKa").intensity, points[1])


@pytest.mark.parametrize(
    ("heading", "change", "what"),
    [
        ("a b c", lambda row: row, r"columns are text, and no heading names .*column 3 \('12:00'\)"),
        ("2theta counts time", lambda row: row.replace(" 12", "? 12", 1), "the column 'counts' is text here: '.*[?]'"),
    ],
    ids=["nameless", "a mark beside a count"],
)
def test_text_where_numbers_are_needed_is_named_with_its_line(heading, change, what, points, tmp_path):
    rows = [f"{x:.3f} {y:.0f} 12:00" for x, y in zip(*points, strict=True)]
    path = tmp_path / "bad.dat"
    path.write_text("\n".join([heading, change(rows[0]), *rows[1:]]))
    with pytest.raises(InputError, match=what) as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert raised.value.line == 2
