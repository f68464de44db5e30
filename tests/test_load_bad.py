"""What is no pattern is refused: the right error, the file, the line and what to do about it.

Each fault is made in a real pattern, LaB6 from a laboratory, so that nothing but the fault is wrong.
"""

import numpy as np
import pytest

from alphadiffract_plugin.errors import InputError, RadiationError, WavelengthError
from alphadiffract_plugin.load import histogram_from_arrays, histogram_from_file


@pytest.fixture(scope="module")
def rows(data):
    """The rows of the pattern as text, from 15 to 124 degrees; row n stands on line n + 1 of a file made of them."""
    return [row for row in (data / "lab6_lab.xye").read_text().splitlines() if not row.startswith("#")][::8]


def changed(rows, index, row):
    return [*rows[:index], row, *rows[index + 1 :]]


def columns(rows, *order):
    return [" ".join(row.split()[i] for i in order) for row in rows]


def scaled(rows, factor, offset=0.0):
    return [f"{float(x) * factor + offset:.6f} {y}" for x, y, *_ in (row.split() for row in rows)]


def with_counts(rows, counts):
    return [f"{row.split()[0]} {counts(float(row.split()[1]))}" for row in rows]


TEXT = {
    "NaN counts": (lambda r: changed(r, 41, "20.5 nan 3"), InputError, 42, "intensity is nan", "delete the point"),
    "infinite counts": (lambda r: changed(r, 41, "20.5 inf 3"), InputError, 42, "intensity is inf", "delete the point"),
    "NaN angle": (lambda r: changed(r, 41, "nan 5 3"), InputError, 42, "two_theta is nan", "delete the point"),
    "text among the numbers": (
        lambda r: changed(r, 41, "paused here"),
        InputError,
        42,
        "paused here",
        "start it with #",
    ),
    "a missing value": (lambda r: changed(r, 41, "20.5 -- 3"), InputError, 42, "20.5 -- 3", "delete the line"),
    "a short row": (lambda r: changed(r, 41, "20.5 3"), InputError, 42, "2 numbers, the rows above have 3", "columns"),
    "cut off in a number": (lambda r: [*r[:-1], r[-1][:5]], InputError, 1048, "has 1 number", "cut off"),
    "one column": (lambda r: columns(r, 1), InputError, 1, "one column", "intensity in the second"),
    "four nameless columns": (lambda r: columns(r, 0, 1, 2, 1), InputError, None, "4 columns", "keep three columns"),
    "a letter": (
        lambda r: ["Dear editor,", "enclosed is our pattern."],
        InputError,
        None,
        "no row of numbers",
        "rows of",
    ),
    "a heading alone": (lambda r: ["# 2theta counts"], InputError, None, "no row of numbers", "rows of"),
    "numbers here and there": (lambda r: ["a 1", "2 3", "b", "4"], InputError, None, "no table", "one row per point"),
    "two points": (lambda r: r[:2], InputError, None, "2 points", "whole measured pattern"),
    "twelve points": (lambda r: r[:12], InputError, None, "12 points", "not a list of peaks"),
    "an angle twice": (lambda r: changed(r, 41, r[40].split()[0] + " 7 3"), InputError, 42, "twice", "average the two"),
    "an axis that goes back": (lambda r: [*r[:600], *r[200:]], InputError, 601, "goes back from", "sort the rows"),
    "two scans one after the other": (
        lambda r: [*r, *r],
        InputError,
        1049,
        "goes back",
        "each scan as a file of its own",
    ),
    "swapped columns": (
        lambda r: columns([row for row in r if 15 < float(row.split()[1]) < 9e9], 1, 0),
        InputError,
        None,
        "look swapped",
        "two_theta first",
    ),
    "beyond 180 degrees": (lambda r: scaled(r, 1.6), InputError, 930, "not below 180", "another quantity"),
    "far below 0 degrees": (lambda r: scaled(r, 1, -60), InputError, 1, "not above 0", "leave out the points"),
    "time of flight": (lambda r: scaled(r, 300), RadiationError, None, "time of flight", "one wavelength"),
    "hundredths of a degree": (lambda r: scaled(r, 100), RadiationError, None, "time of flight", "hundredths"),
    "d in place of two_theta": (lambda r: scaled(r, -0.05, 7), InputError, None, "d = ", "d or Q"),
    "named time of flight": (lambda r: ["# TOF  I  esd", *r], RadiationError, None, "time of flight", "one wavelength"),
    "named Q": (lambda r: ["# Q(1/A)  I  esd", *r], InputError, None, "is Q, not two_theta", "in degrees"),
    "named Q by pyFAI": (lambda r: ["#  q_nm^-1    I", *r], InputError, None, "is Q, not two_theta", "in degrees"),
    "named Q by FIT2D": (
        lambda r: ["lab6", "Q (Inverse Nanometres)", "Intensity", " 1048", *columns(r, 0, 1)],
        InputError,
        None,
        "is Q, not two_theta",
        "in degrees",
    ),
    "named d": (lambda r: ["# d-spacing  I  esd", *r], InputError, None, "is d, not two_theta", "in degrees"),
    "all counts negative": (lambda r: with_counts(r, lambda y: -y), InputError, 147, "mostly negative", "give counts"),
    "mostly negative": (lambda r: with_counts(r, lambda y: y - 9000), InputError, 710, "mostly negative", "background"),
    "all counts zero": (
        lambda r: with_counts(r, lambda y: 0),
        InputError,
        None,
        "every intensity is 0",
        "second column",
    ),
    "constant counts": (
        lambda r: with_counts(r, lambda y: 7),
        InputError,
        None,
        "every intensity is 7",
        "second column",
    ),
}


@pytest.mark.parametrize("fault", TEXT)
def test_a_text_that_is_no_pattern_is_refused(fault, rows, tmp_path):
    text, kind, line, what, fix = TEXT[fault]
    path = tmp_path / "bad.xye"
    path.write_text("\n".join(text(rows)) + "\n")
    with pytest.raises(kind) as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert what in raised.value.what
    assert fix in raised.value.fix
    assert raised.value.where == path
    if line is not None:
        assert raised.value.line == line
        assert f"{path}, line {line}: " in str(raised.value)


def test_the_rows_without_a_fault_load(rows, tmp_path):
    (tmp_path / "good.xye").write_text("\n".join(rows))
    assert len(histogram_from_file(tmp_path / "good.xye", wavelength="CuKa").two_theta) == len(rows) == 1048


def test_comment_lines_count_as_lines(rows, tmp_path):
    path = tmp_path / "bad.xye"
    path.write_text("\n".join(["# one", "", "# three", *changed(rows, 41, "20.5 nan 3")]))
    with pytest.raises(InputError) as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert raised.value.line == 45


def test_the_line_is_right_in_a_pattern_that_descends(rows, tmp_path):
    path = tmp_path / "bad.xye"
    path.write_text("\n".join(changed(rows[::-1], 41, "300 7 3")))
    with pytest.raises(InputError, match="goes back") as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert raised.value.line in (41, 42)


BYTES = {
    "empty": (b"", "this file is empty", "again"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "a picture", "text columns"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(512), "HDF5", "text columns"),
    "a zip of something else": (b"PK\x03\x04" + bytes(100), "zip archive is broken", "again"),
    "a Bruker raw cut short": (b"RAW1.01\0" + bytes(64), "Bruker raw file cannot be read", "text columns"),
    "an xrdml cut short": (
        b"<?xml version='1.0'?><xrdMeasurements><xrdMeas",
        "xrdml file cannot be read",
        "text columns",
    ),
    "a GSAS file cut in a record": (
        b"t\nBANK 1 10 1 CONST 1000 2 0 0 ESD\n     5.0     2.0     7.0\n",
        "not a GSAS record",
        "columns",
    ),
}


@pytest.mark.parametrize("fault", BYTES)
def test_a_file_of_another_kind_is_refused(fault, tmp_path):
    content, what, fix = BYTES[fault]
    path = tmp_path / "bad.dat"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        histogram_from_file(path, wavelength="CuKa")
    assert what in raised.value.what
    assert fix in raised.value.fix
    assert raised.value.where == path


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="no such file.*\n.*check the path"):
        histogram_from_file(tmp_path / "no.xy", wavelength="CuKa")
    with pytest.raises(InputError, match="a folder.*\n.*xye"):
        histogram_from_file(tmp_path, wavelength="CuKa")


def test_a_file_of_two_gigabytes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "events.xy"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)
    monkeypatch.setattr(type(path), "open", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(InputError, match="2000 MB.*\n.*integrated pattern"):
        histogram_from_file(path, wavelength="CuKa")


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    import zipfile

    from alphadiffract_plugin.readers import vendor

    monkeypatch.setattr(vendor, "UNPACKED_MAX", 1_000_000)
    path = tmp_path / "bomb.brml"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Experiment0/RawData0.xml", " " * 2_000_000)
    with pytest.raises(InputError, match="unpacks to more than 1 MB"):
        histogram_from_file(path)


def test_no_wavelength_is_never_guessed(data):
    path = data / "lab6_lab.xye"
    with pytest.raises(WavelengthError, match="does not say its wavelength.*\n.*--wavelength CuKa") as raised:
        histogram_from_file(path)
    assert raised.value.where == path
    with pytest.raises(WavelengthError, match="no wavelength was given"):
        histogram_from_arrays(np.arange(10, 60, 0.1), np.ones(500), wavelength=None)


def test_a_wavelength_in_nanometres_that_looks_like_one_in_angstrom(data):
    # 0.15406 Å is a possible wavelength, but not for a scan to 125 degrees: nothing reaches d = 0.09 Å
    with pytest.raises(WavelengthError, match="0.15406 nm would be 1.5406 Å") as raised:
        histogram_from_file(data / "lab6_lab.xye", wavelength=0.15406)
    assert raised.value.where == data / "lab6_lab.xye"


def test_an_unknown_radiation_and_a_tube_for_neutrons(data):
    with pytest.raises(RadiationError, match="'electron' is unknown.*\n.*xray or neutron"):
        histogram_from_file(data / "lab6_lab.xye", wavelength="CuKa", radiation="electron")
    with pytest.raises(WavelengthError, match="doublet.*neutron"):
        histogram_from_file(data / "pbso4_neutron.xye", wavelength="CuKa", radiation="neutron")


@pytest.mark.parametrize(
    ("two_theta", "intensity", "esd"),
    [
        (np.arange(10, 60, 0.1), np.ones(499), None),
        (np.arange(10, 60, 0.1), np.ones(500), np.ones(400)),
        (np.ones((500, 2)), np.ones((500, 2)), None),
        (7.0, 5.0, None),
    ],
)
def test_arrays_that_do_not_fit_together(two_theta, intensity, esd):
    with pytest.raises(InputError, match="shapes.*\n.*one length"):
        histogram_from_arrays(two_theta, intensity, esd, wavelength="CuKa")


def test_an_empty_array_is_no_pattern():
    with pytest.raises(InputError, match="0 points"):
        histogram_from_arrays([], [], wavelength="CuKa")
