"""One measured pattern, anglesite, in the formats people have: it must come out the same from each.

The files of instrument makers are written here in their least form; geddes and we read them as if they were real.
"""

import struct
import sys
import zipfile
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin.errors import InputError, RadiationError, WavelengthError
from alphadiffract_plugin.load import histogram_from_file

CU = (1.540598, 1.544426)


@pytest.fixture(scope="module")
def points(pbso4_xray):
    """two_theta, counts: 800 points from 20 to 40 degrees, rounded so that every format can hold them."""
    return np.round(pbso4_xray.two_theta[400:1200], 3), np.round(pbso4_xray.intensity[400:1200])


def rows(points, form="{:.3f} {:.0f}\n", esd=False):
    columns = (*points, np.sqrt(points[1])) if esd else points
    return "".join(form.format(*row) for row in zip(*columns, strict=True))


TEXT = {
    "blanks": lambda p: rows(p),
    "tabs": lambda p: rows(p, "{:.3f}\t{:.0f}\n"),
    "commas": lambda p: rows(p, "{:.3f},{:.0f}\n"),
    "commas and blanks": lambda p: rows(p, "{:.3f}, {:.0f}\n"),
    "semicolons": lambda p: rows(p, "{:.3f};{:.0f}\n"),
    "decimal commas": lambda p: rows(p, "{:.3f} {:.1f}\n").replace(".", ","),
    "decimal commas and semicolons": lambda p: rows(p, "{:.3f};{:.1f}\n").replace(".", ","),
    "exponents": lambda p: rows(p, "{:.5e} {:.6E}\n"),
    "quotes": lambda p: '"Angle","Intensity"\n' + rows(p, '"{:.3f}","{:.0f}"\n'),
    "Windows line ends": lambda p: rows(p, "{:.3f} {:.0f}\r\n"),
    "old Mac line ends": lambda p: rows(p, "{:.3f} {:.0f}\r"),
    "no last line end": lambda p: rows(p).rstrip(),
    "blank lines": lambda p: "\n\n" + rows(p) + "\n\n",
    "comments": lambda p: "# lead sulphate\n! 1989\n' CPD\n; Hill\n% a\n// b\n" + rows(p),
    "a comment block": lambda p: "/* measured\n1 2 3\n*/\n" + rows(p),
    "comments at the ends of rows": lambda p: rows(p, "{:.3f} {:.0f}  # counted\n"),
    "lines of text above": lambda p: "Lead sulphate\nRound robin, 1989\n" + rows(p),
    "the number of points above": lambda p: "PbSO4\n800\n" + rows(p),
    "a byte-order mark": lambda p: "\ufeff" + rows(p),
    "a CHI heading": lambda p: "pbso4\n2-Theta Angle (Degrees)\nIntensity\n       800\n" + rows(p, " {:.7E} {:.7E}\n"),
    "named columns": lambda p: "Angle,TimePerStep,Intensity\n" + rows(p, "{0:.3f},0.5,{1:.0f}\n"),
    "named columns in another order": lambda p: "# Iobs  2theta\n" + rows(p, "{1:.0f} {0:.3f}\n"),
    "rows from the highest angle": lambda p: rows([column[::-1] for column in p]),
    "a start-step-stop block": lambda p: (
        "20.0 0.025 39.975 PbSO4\n" + "\n".join(" ".join(f"{y:.0f}" for y in row) for row in p[1].reshape(-1, 10))
    ),
    "a block of one column": lambda p: "20.0 0.025 39.975\n" + "\n".join(f"{y:.0f}" for y in p[1]),
}


@pytest.mark.parametrize("how", TEXT)
def test_text_however_it_is_written(how, points, tmp_path):
    path = tmp_path / "pbso4.txt"
    path.write_bytes(TEXT[how](points).encode("utf-8"))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.two_theta, points[0], atol=1e-9)
    assert np.array_equal(histogram.intensity, points[1])
    assert histogram.esd is None


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_text_in_another_encoding(encoding, points, tmp_path):
    path = tmp_path / "pbso4.txt"
    path.write_bytes(("# Å, Bleisulfat für Übungen\n" + rows(points)).encode(encoding))
    assert np.array_equal(histogram_from_file(path, wavelength="CuKa").intensity, points[1])


@pytest.mark.parametrize(
    "text",
    [
        lambda p: rows(p, "{:.3f} {:.0f} {:.6f}\n", esd=True),
        lambda p: "# 2theta  esd  counts\n" + rows(p, "{0:.3f}\t{2:.6f}\t{1:.0f}\n", esd=True),
        lambda p: "Angle,TimePerStep,Intensity,ESD\n" + rows(p, "{0:.3f},1,{1:.0f},{2:.6f}\n", esd=True),
        lambda p: (
            "FullProf, INSTRM 3\n 20.0 0.025 39.975\n"
            + "\n".join(
                " ".join(f"{y:.4f}" for y in row) for row in np.concatenate([p[1], np.sqrt(p[1])]).reshape(-1, 10)
            )
        ),
    ],
    ids=["third column", "named esd", "HighScore csv", "second half of a block"],
)
def test_esds_are_read_where_the_text_has_them(text, points, tmp_path):
    path = tmp_path / "pbso4.xye"
    path.write_text(text(points))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.array_equal(histogram.intensity, points[1])
    assert np.allclose(histogram.esd, np.sqrt(points[1]), atol=1e-3)


def test_a_third_column_that_is_another_pattern_is_no_esd(points, tmp_path):
    path = tmp_path / "fit.txt"
    path.write_text(rows((*points, points[1] * 1.01), "{:.3f} {:.0f} {:.2f}\n"))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert histogram.esd is None
    assert "too large for an esd" in histogram.source


@pytest.mark.parametrize(
    ("line", "wavelengths"),
    [
        ("# wavelength = 0.4139090", (0.413909,)),
        ("# Wavelength (A): 0.4139090", (0.413909,)),
        ("# Wavelength: 4.13909e-11 m", (0.413909,)),
        ("# wavelength: 0.0413909 nm", (0.413909,)),
        ("' Lambda = 0.413909 Angstrom", (0.413909,)),
        ("##X-RAY WAVELENGTH=1.541838", (1.5405929, 1.5444274)),
        ("# wavelength = 0.413909. measured at 11-BM", (0.413909,)),
    ],
)
def test_a_wavelength_stated_above_the_numbers_is_taken(line, wavelengths, points, tmp_path):
    path = tmp_path / "pbso4.xy"
    path.write_text(f"{line}\n{rows(points)}")
    histogram = histogram_from_file(path)
    assert histogram.wavelengths == pytest.approx(wavelengths)
    assert "wavelength from the file" in histogram.source
    given = histogram_from_file(path, wavelength="CuKa1")
    assert given.wavelengths == (1.5405929,)
    assert ("though the file says 0.413909" in given.source) == (wavelengths[0] < 1)


@pytest.mark.parametrize("said", ["...", "1.5.4", "1,5406", "1e999", "Cu"])
def test_a_stated_wavelength_that_is_no_number_is_asked_for(said, points, tmp_path):
    (tmp_path / "pbso4.xy").write_text(f"# lambda = {said}\n{rows(points)}")
    with pytest.raises(WavelengthError, match="wavelength"):
        histogram_from_file(tmp_path / "pbso4.xy")
    (tmp_path / "pbso4.uxd").write_text(uxd(points).replace(str(CU[0]), said))
    with pytest.raises(WavelengthError, match="wavelength"):
        histogram_from_file(tmp_path / "pbso4.uxd")
    (tmp_path / "pbso4.xrdml").write_text(xrdml(points).replace(str(CU[1]), "1.5.4"))
    assert histogram_from_file(tmp_path / "pbso4.xrdml").wavelengths == CU[:1]


def gsas(kind, points, title="PbSO4"):
    counts, esd = points[1], np.sqrt(points[1])
    if kind == "STD":
        body = [f"{1:2d}{y:6.0f}" for y in counts]
        width = 10
    elif kind == "ESD":
        body = [f"{y:8.1f}{s:8.3f}" for y, s in zip(counts, esd, strict=True)]
        width = 5
    else:
        body = [f"{x * 100:.1f} {y:.1f} {s:.4f}" for x, y, s in zip(*points, esd, strict=True)]
        width = 1
    lines = ["".join(body[i : i + width]).ljust(80) for i in range(0, len(body), width)]
    return f"{title.ljust(80)}\nBANK 1 800 {len(lines)} CONST 2000.0 2.5 0 0 {kind}\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["STD", "ESD", "FXYE"])
def test_gsas_files_in_hundredths_of_a_degree(kind, points, tmp_path):
    path = tmp_path / "PBSO4.XRA"
    path.write_text(gsas(kind, points))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.two_theta, points[0], atol=1e-9)
    assert np.array_equal(histogram.intensity, points[1])
    assert np.allclose(histogram.esd, np.sqrt(points[1]), atol=1e-3)
    assert f"GSAS {kind}" in histogram.source


def test_gsas_counts_averaged_over_detectors_have_smaller_esds(points, tmp_path):
    # the neutron files of the GSAS-II tutorials: "4   120" is the mean of four detectors, esd √(120/4)
    path = tmp_path / "garnet.raw"
    path.write_text(gsas("STD", points).replace("\n 1", "\n 4"))
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.esd[::10], np.sqrt(points[1][::10] / 4))
    assert np.allclose(histogram.esd[1::10], np.sqrt(points[1][1::10]))


def test_a_stray_byte_in_the_title_of_a_gsas_file_does_no_harm(points, tmp_path):
    path = tmp_path / "lamno3.gsas"
    path.write_bytes(gsas("ESD", points, title="50 K e\x00X\xff").encode("latin-1"))
    assert np.array_equal(histogram_from_file(path, wavelength="CuKa").intensity, points[1])


@pytest.mark.parametrize(
    ("bank", "kind", "expected"),
    [
        ("BANK 1 800 80 SLOG 1000.0 30000.0 0.0004 0 FXYE", RadiationError, "time-of-flight"),
        ("BANK 1 800 80 RALF 1000 8 1000 0.0004 ALT", RadiationError, "time-of-flight"),
        ("BANK 1 800 80 TIME_MAP 1", RadiationError, "time-of-flight"),
        ("BANK 1 800 80 CONST 150000.0 800.0 0 0 STD", RadiationError, "time-of-flight"),
        ("BANK 1 800 80 EDS 0.1 0.02 0 0 STD", RadiationError, "energy-dispersive"),
        ("BANK 1 800 80 CONST 2000.0 2.5 0 0 QXYZ", InputError, "not a GSAS record"),
        ("BANK 1 800 80 CONST", InputError, "not a GSAS record"),
    ],
)
def test_gsas_banks_that_are_of_no_use_are_refused_with_their_line(bank, kind, expected, points, tmp_path):
    path = tmp_path / "bank.gsas"
    lines = gsas("STD", points).splitlines()
    path.write_text("\n".join([lines[0], bank, *lines[2:]]))
    with pytest.raises(kind, match=expected) as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert (raised.value.where, raised.value.line) == (path, 2)


def test_a_gsas_file_of_two_banks_is_refused(points, tmp_path):
    path = tmp_path / "two.gsas"
    path.write_text(gsas("STD", points) + gsas("STD", points).split("\n", 1)[1])
    with pytest.raises(InputError, match="holds 2 banks") as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert raised.value.line == 83


def cif(points, *, head="", column="_pd_meas_counts_total", form="{:.3f} {:.0f}\n"):
    return f"data_pbso4\n{head}\nloop_\n_pd_meas_2theta_scan\n{column}\n" + rows(points, form)


@pytest.mark.parametrize(
    ("head", "wavelengths", "ratio", "radiation"),
    [
        ("_diffrn_radiation_wavelength 0.49935(2)", (0.49935,), 0, "xray"),
        ("_diffrn_radiation_wavelength 1.54060\n_diffrn_radiation_type 'Cu K\\a'", (1.5405929, 1.5444274), 0.5, "xray"),
        ("_diffrn_radiation_wavelength 1.54060\n_diffrn_radiation_type 'Cu K\\a~1~'", (1.5406,), 0, "xray"),
        ("_diffrn_radiation_wavelength 1.5418", (1.5405929, 1.5444274), 0.5, "xray"),
        ("_diffrn_radiation_wavelength 1.909\n_diffrn_radiation_probe neutron", (1.909,), 0, "neutron"),
        ("_diffrn_radiation.probe neutron\n_diffrn_radiation_wavelength.wavelength 1.91", (1.91,), 0, "neutron"),
        (
            "loop_\n_diffrn_radiation_wavelength_id\n_diffrn_radiation_wavelength\n_diffrn_radiation_wavelength_wt\n"
            "1 1.5405 1.0\n2 1.5443 0.45",
            (1.5405, 1.5443),
            0.45,
            "xray",
        ),
    ],
)
def test_a_powder_cif_brings_its_wavelength(head, wavelengths, ratio, radiation, points, tmp_path):
    path = tmp_path / "pbso4.cif"
    path.write_text(cif(points, head=head))
    histogram = histogram_from_file(path)
    assert np.allclose(histogram.two_theta, points[0])
    assert np.array_equal(histogram.intensity, points[1])
    assert (histogram.wavelengths, histogram.kalpha2_ratio, histogram.radiation) == (wavelengths, ratio, radiation)


def test_a_powder_cif_with_a_range_in_place_of_angles(points, tmp_path):
    path = tmp_path / "pbso4.cif"
    head = "".join(
        f"_pd_meas_2theta_range_{end} {value}\n" for end, value in (("min", 20.0), ("max", 39.975), ("inc", 0.025))
    )
    path.write_text(f"data_a\n{head}loop_\n_pd_meas_counts_total\n" + "\n".join(f"{y:.0f}" for y in points[1]))
    assert np.allclose(histogram_from_file(path, wavelength="CuKa").two_theta, points[0])


@pytest.mark.parametrize("brackets", [True, False])
def test_a_powder_cif_gives_esds_in_brackets_or_as_weights(brackets, points, tmp_path):
    path = tmp_path / "pbso4.cif"
    if brackets:
        body = "".join(f"{x:.3f} {y:.0f}({np.sqrt(y):.0f})\n" for x, y in zip(*points, strict=True))
        names = ""
    else:
        body = "".join(f"{x:.3f} {y:.0f} {1 / y:.8f}\n" for x, y in zip(*points, strict=True))
        names = "_pd_proc_ls_weight\n"
    path.write_text(f"data_a\nloop_\n_pd_proc_2theta_corrected\n_pd_proc_intensity_total\n{names}{body}")
    histogram = histogram_from_file(path, wavelength="CuKa")
    assert np.allclose(histogram.esd, np.sqrt(points[1]), atol=0.51 if brackets else 1e-2)


def test_weights_of_a_powder_cif_that_are_no_weights_are_left_out(points, tmp_path):
    # many deposited CIFs have σ itself under the name of the weight
    path = tmp_path / "pbso4.cif"
    body = "".join(f"{x:.3f} {y:.0f} {np.sqrt(y):.3f}\n" for x, y in zip(*points, strict=True))
    path.write_text(f"data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n_pd_proc_ls_weight\n{body}")
    assert histogram_from_file(path, wavelength="CuKa").esd is None


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (
            lambda p: "data_a\n_cell_length_a 8.48\n_diffrn_radiation_wavelength 1.54\n",
            InputError,
            "no measured powder",
        ),
        (lambda p: cif(p) + "\n" + cif(p).replace("data_pbso4", "data_two"), InputError, "holds 2 patterns"),
        (lambda p: cif(p).replace("_pd_meas_2theta_scan", "_pd_meas_time_of_flight"), RadiationError, "time-of-flight"),
        (
            lambda p: cif(p).replace("_pd_meas_2theta_scan", "_pd_proc_d_spacing"),
            InputError,
            "not as many values of two_theta",
        ),
        (lambda p: cif(p) + "\n5 6 7", InputError, "this CIF cannot be read"),
    ],
    ids=["a structure", "two patterns", "time of flight", "d spacings", "a broken loop"],
)
def test_a_cif_without_one_pattern_is_refused(text, kind, expected, points, tmp_path):
    path = tmp_path / "bad.cif"
    path.write_text(text(points))
    with pytest.raises(kind, match=expected):
        histogram_from_file(path, wavelength="CuKa")


def xrdml(points, *, intended="K-Alpha", monochromator="", axis="Gonio", scans=1):
    scan = (
        f'<scan appendNumber="0" mode="Continuous" scanAxis="{axis}" status="Completed"><dataPoints>'
        '<positions axis="2Theta" unit="deg"><startPosition>20.0</startPosition><endPosition>39.975</endPosition>'
        '</positions><commonCountingTime unit="seconds">1.0</commonCountingTime><intensities unit="counts">'
        f"{' '.join(f'{y:.0f}' for y in points[1])}</intensities></dataPoints></scan>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5" '
        f'status="Completed"><xrdMeasurement measurementType="Scan"><usedWavelength intended="{intended}">'
        f'<kAlpha1 unit="Angstrom">{CU[0]}</kAlpha1><kAlpha2 unit="Angstrom">{CU[1]}</kAlpha2>'
        "<ratioKAlpha2KAlpha1>0.5000</ratioKAlpha2KAlpha1></usedWavelength>"
        f"{monochromator}"
        f"{scan * scans}</xrdMeasurement></xrdMeasurements>"
    )


JOHANSSON = '<incidentBeamPath><monochromator name="Johansson Ge 111"></monochromator></incidentBeamPath>'
GRAPHITE = '<diffractedBeamPath><monochromator name="Flat graphite"></monochromator></diffractedBeamPath>'


def ras(points, *, wave="Ka", axis="TwoThetaTheta", scans=1):
    scan = (
        f'*RAS_HEADER_START\n*HW_XG_WAVE_LENGTH_ALPHA1 "{CU[0]}"\n*HW_XG_WAVE_LENGTH_ALPHA2 "{CU[1]}"\n'
        f'*MEAS_COND_XG_WAVE_TYPE "{wave}"\n*MEAS_SCAN_AXIS_X "{axis}"\n*RAS_HEADER_END\n*RAS_INT_START\n'
        f"{rows(points, '{:.4f} {:.4f} 1.0000' + chr(10))}*RAS_INT_END\n"
    )
    return f"*RAS_DATA_START\n{scan * scans}*RAS_DATA_END\n"


def uxd(points, *, ratio=0.5):
    counts = "\n".join(f"{y:.0f}" for y in points[1])
    return (
        f"; PbSO4\n_FILEVERSION=2\n_WL1={CU[0]}\n_WL2={CU[1]}\n_WLRATIO={ratio}\n; Data for range 1\n_DRIVE='COUPLED'\n"
        f"_STEPSIZE=0.025000\n_STEPCOUNT=800\n_START=20.000000\n_COUNTS\n{counts}\n"
    )


def raw(points, *, ratio=0.5, scans=1):
    """Bruker RAW1.01: a head of 712 bytes, then for each scan a head of 304 and the counts as floats."""
    head = bytearray(712)
    head[:8] = b"RAW1.01\0"
    struct.pack_into("<ii", head, 8, 1, scans)
    head[608:610] = b"Cu"
    struct.pack_into("<5d", head, 616, 1.54184, *CU, 1.39222, ratio)
    scan = bytearray(304)
    struct.pack_into("<ii", scan, 0, 304, len(points[1]))
    struct.pack_into("<dd", scan, 8, points[0][0] / 2, points[0][0])
    struct.pack_into("<d", scan, 176, 0.025)
    struct.pack_into("<i", scan, 252, 4)
    return bytes(head) + (bytes(scan) + struct.pack(f"<{len(points[1])}f", *points[1])) * scans


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def rasx(path, points, *, wave="Ka", scans=1):
    conditions = (
        "<MeasurementConditions><HWConfigurations><XrayGenerator>"
        f"<WaveType>{wave}</WaveType><WavelengthKalpha1>{CU[0]}</WavelengthKalpha1>"
        f"<WavelengthKalpha2>{CU[1]}</WavelengthKalpha2></XrayGenerator></HWConfigurations>"
        "<ScanInformation><AxisName>TwoThetaTheta</AxisName></ScanInformation></MeasurementConditions>"
    )
    contents = "".join(
        f'<Data{scan} Type="Profile"><ContentHashList Name="Profile{scan}.txt" ContentHash="0" />'
        f'<ContentHashList Name="MesurementConditions{scan}.xml" ContentHash="0" /></Data{scan}>'
        for scan in range(scans)
    )
    members = {"root.xml": f'<?xml version="1.0"?><Root Version="1.1.0.0">{contents}</Root>'}
    for scan in range(scans):
        members[f"Data{scan}/Profile{scan}.txt"] = rows(points, "{:.4f}\t{:.4f}\t1\n")
        members[f"Data{scan}/MesurementConditions{scan}.xml"] = conditions
    zipped(path, members)


def brml(path, points, *, ratio=0.5):
    datum = "".join(f"<Datum>1,1,{x:.4f},{x / 2:.4f},{y:.0f}</Datum>" for x, y in zip(*points, strict=True))
    views = (
        '<RawDataView xsi:type="FixedRawDataView" Start="0" Length="1" LogicName="MeasuredTime" />'
        '<RawDataView xsi:type="FixedRawDataView" Start="1" Length="1" LogicName="AbsorptionFactor" />'
        '<RawDataView xsi:type="VaryingRawDataView" Start="2" Length="2"><Varying LogicName="ScanAxes">'
        '<FieldDefinitions FieldName="TwoTheta" AxisId="TwoTheta" />'
        '<FieldDefinitions FieldName="Theta" AxisId="Theta" /></Varying></RawDataView>'
        '<RawDataView xsi:type="RecordedRawDataView" Start="4" Length="1">'
        '<Recording LogicName="ScanCounter1" /></RawDataView>'
    )
    text = (
        '<?xml version="1.0"?><RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><FixedInformation><Tube>'
        f'<WaveLengthAlpha1 Unit="Å" Value="{CU[0]}" /><WaveLengthAlpha2 Unit="Å" Value="{CU[1]}" />'
        f'<WaveLengthRatio Unit="" Value="{ratio}" /></Tube></FixedInformation><DataRoutes>'
        '<DataRoute RouteFlag="Measured"><ScanInformation VisibleName="Coupled TwoTheta/Theta"><ScanAxes>'
        '<ScanAxisInfo AxisId="TwoTheta" AxisName="TwoTheta" VisibleName="2Theta" Unit="°"><Start>20</Start>'
        "<Stop>39.975</Stop><Increment>0.025</Increment></ScanAxisInfo>"
        '<ScanAxisInfo AxisId="Theta" AxisName="Theta" VisibleName="Theta" Unit="°"><Start>10</Start>'
        "<Stop>19.9875</Stop><Increment>0.0125</Increment></ScanAxisInfo></ScanAxes></ScanInformation>"
        f"{datum}<DataViews>{views}</DataViews></DataRoute></DataRoutes></RawData>"
    )
    names = "<DataContainer><RawDataReferenceList><string>Experiment0/RawData0.xml</string></RawDataReferenceList>"
    zipped(path, {"Experiment0/DataContainer.xml": f"{names}</DataContainer>", "Experiment0/RawData0.xml": text})


VENDOR = {
    "pbso4.xrdml": lambda path, p: path.write_text(xrdml(p)),
    "pbso4.ras": lambda path, p: path.write_text(ras(p)),
    "pbso4.rasx": rasx,
    "pbso4.uxd": lambda path, p: path.write_text(uxd(p)),
    "pbso4.raw": lambda path, p: path.write_bytes(raw(p)),
    "pbso4.brml": brml,
}


@pytest.mark.parametrize("name", VENDOR)
def test_instrument_makers_files_bring_their_wavelengths(name, points, tmp_path):
    VENDOR[name](tmp_path / name, points)
    histogram = histogram_from_file(tmp_path / name)
    assert np.allclose(histogram.two_theta, points[0], atol=1e-6)
    assert np.array_equal(histogram.intensity, points[1])
    assert (histogram.wavelengths, histogram.kalpha2_ratio, histogram.radiation) == (CU, 0.5, "xray")
    assert "wavelength from the file" in histogram.source


MONOCHROMATIC = {
    "pbso4.xrdml": lambda path, p: path.write_text(xrdml(p, intended="K-Alpha 1", monochromator=JOHANSSON)),
    "pbso4.ras": lambda path, p: path.write_text(ras(p, wave="Ka1")),
    "pbso4.rasx": lambda path, p: rasx(path, p, wave="Ka1"),
    "pbso4.uxd": lambda path, p: path.write_text(uxd(p, ratio=0)),
    "pbso4.raw": lambda path, p: path.write_bytes(raw(p, ratio=0)),
    "pbso4.brml": lambda path, p: brml(path, p, ratio=0),
}


@pytest.mark.parametrize("name", MONOCHROMATIC)
def test_where_kalpha2_was_removed_there_is_one_wavelength(name, points, tmp_path):
    MONOCHROMATIC[name](tmp_path / name, points)
    histogram = histogram_from_file(tmp_path / name)
    assert (histogram.wavelengths, histogram.kalpha2_ratio) == (CU[:1], 0.0)


@pytest.mark.parametrize("monochromator", ["", GRAPHITE], ids=["none", "before the detector"])
def test_an_xrdml_that_intends_kalpha1_holds_the_doublet_unless_a_monochromator_stands_in_the_incident_beam(
    monochromator, points, tmp_path
):
    path = tmp_path / "pbso4.xrdml"
    path.write_text(xrdml(points, intended="K-Alpha 1", monochromator=monochromator))
    histogram = histogram_from_file(path)
    assert (histogram.wavelengths, histogram.kalpha2_ratio) == (CU, 0.5)


SEVERAL = {
    "two.xrdml": lambda path, p: path.write_text(xrdml(p, scans=2)),
    "two.ras": lambda path, p: path.write_text(ras(p, scans=2)),
    "two.rasx": lambda path, p: rasx(path, p, scans=2),
    "two.raw": lambda path, p: path.write_bytes(raw(p, scans=2)),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_a_file_of_several_scans_is_refused_and_not_cut_to_the_first(name, points, tmp_path):
    SEVERAL[name](tmp_path / name, points)
    with pytest.raises(InputError, match="holds 2 scans"):
        histogram_from_file(tmp_path / name)


def test_a_rocking_curve_is_no_powder_pattern(points, tmp_path):
    (tmp_path / "omega.xrdml").write_text(xrdml(points, axis="Omega"))
    with pytest.raises(InputError, match="scan over Omega"):
        histogram_from_file(tmp_path / "omega.xrdml")


def test_a_format_is_recognised_by_the_content_not_from_the_name(points, tmp_path):
    (tmp_path / "pbso4.dat").write_text(xrdml(points))
    (tmp_path / "pbso4.xy").write_text(gsas("STD", points))
    assert "xrdml" in histogram_from_file(tmp_path / "pbso4.dat").source
    assert "GSAS STD" in histogram_from_file(tmp_path / "pbso4.xy", wavelength="CuKa").source


def test_rietx_reads_what_nobody_else_can_where_it_is_installed(points, tmp_path, monkeypatch):
    (tmp_path / "stoe.raw").write_bytes(b"RAW_1.06\0\0\0" + bytes(2000))
    with pytest.raises(InputError, match="a Stoe raw file.*\n.*PowDLL"):
        histogram_from_file(tmp_path / "stoe.raw", wavelength="CuKa1")
    x, y = [10 + 0.1 * i for i in range(300)], [1 + (i == 9) for i in range(300)]
    known = {"anode": "Mo", "wavelength": "0.709319", "wavelength_alpha2": "0.71361"}
    rietx = ModuleType("rietx")
    rietx.__spec__ = ModuleSpec("rietx", None)
    rietx.read_pattern = lambda path: SimpleNamespace(two_theta=x, tof=None, intensity=y, sigma=None, metadata=known)
    monkeypatch.setitem(sys.modules, "rietx", rietx)
    histogram = histogram_from_file(tmp_path / "stoe.raw")
    assert (len(histogram.two_theta), histogram.wavelengths) == (300, (0.709319, 0.71361))
    assert "rietx; wavelength from the file" in histogram.source
