"""Instrument makers' files, read by geddes (x and y); what it leaves out is read here: wavelength, axis, scans.

PANalytical xrdml, Rigaku ras and rasx, Bruker raw, uxd and brml. A file that holds several scans, or a scan over
another axis than two_theta, is refused.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.radiation import wavelengths_from_file
from alphadiffract_plugin.readers.reading import NotReadError, Reading

Wavelengths = tuple[tuple[float, ...] | None, float]

UNPACKED_MAX = 500_000_000
"""Most bytes that a zipped file may unpack to."""


def vendor_format(head: bytes, path: Path) -> str | None:
    """The name of the instrument maker's format that a file begins like, or None.

    Raises
    ------
    InputError : a zip archive that is none of these formats, or unpacks to more than ``UNPACKED_MAX``.
    """
    if head.startswith(b"PK\x03\x04"):
        return _zipped_format(path)
    if head.startswith((b"RAW ", b"RAW2", b"RAW1.01", b"RAW4.0")):
        return "Bruker raw"
    text = head.decode("latin-1")
    if "<xrdMeasurement" in text:
        return "xrdml"
    if "*RAS_DATA_START" in text or "*RAS_HEADER_START" in text:
        return "Rigaku ras"
    if re.search(r"^_FILEVERSION\s*=|^_2THETA(COUNTS|CPS)?\b", text, re.M):
        return "Bruker uxd"
    return None


def reading_from_vendor(path: Path, name: str) -> Reading:
    """The pattern in a file of the format ``name``.

    Raises
    ------
    InputError : several scans, another axis, or a file that geddes cannot read.
    """
    scans, axis, (wavelengths, ratio) = _DETAILS[name](path)
    if scans > 1:
        raise InputError(
            f"this {name} file holds {scans} scans",
            fix="export one scan a file as xy, with the instrument's software or PowDLL",
            where=path,
        )
    if axis and not re.search(r"2\s*theta|two\s*theta|gonio|coupled|locked", axis, re.I):
        raise InputError(
            f"this {name} file holds a scan over {axis}", fix="give a scan over two_theta (theta-2theta)", where=path
        )
    two_theta, intensity = points_from_geddes(path, name)
    return Reading(
        two_theta=two_theta,
        intensity=intensity,
        reader=f"{name}, by geddes",
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        radiation="xray",
        where=path,
    )


def points_from_geddes(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """two_theta and intensity of a file, by geddes."""
    import geddes

    try:
        pattern = geddes.read(str(path))
    except (ValueError, OSError) as error:
        raise NotReadError(
            f"this {name} file cannot be read: {error}",
            fix="export the pattern as text columns two_theta, intensity (xy)",
            where=path,
        ) from error
    return np.array(pattern.x, dtype=float), np.array(pattern.y, dtype=float)


def _zipped_format(path: Path) -> str:
    with _unzipped(path) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > UNPACKED_MAX:
        raise InputError(
            f"this archive unpacks to more than {UNPACKED_MAX // 1_000_000} MB",
            fix="export the pattern as text columns",
            where=path,
        )
    names = [member.filename for member in members]
    if any(re.search(r"RawData\d+\.xml$", name) for name in names):
        return "Bruker brml"
    if any(re.search(r"Profile\d+\.txt$", name) for name in names):
        return "Rigaku rasx"
    raise InputError(
        "this is a zip archive, not a pattern", fix="unpack it and give the pattern file inside", where=path
    )


@contextlib.contextmanager
def _unzipped(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, whatever is broken in it raised as InputError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"this zip archive is broken: {error}", fix="copy or export the file again", where=path
        ) from error


def _doublet(first: str | float, second: str | float, ratio: str | float, name: str = "") -> Wavelengths:
    """Two stated wavelengths, none without the first; the second counts only if it and the ratio are above 0.

    What is no number counts as 0.
    """
    alpha1, alpha2, share = (_number(value) for value in (first, second, ratio))
    alone = wavelengths_from_file([alpha1], name=name)
    if alone[0] is None or not (alpha2 > 0 and share > 0):
        return alone
    return wavelengths_from_file([alpha1, alpha2], ratio=share, name=name)


def _number(value: str | float) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _found(pattern: str, text: str, default: str = "0") -> str:
    match = re.search(pattern, text, re.S)
    return match[1] if match else default


def _xrdml(path: Path) -> tuple[int, str, Wavelengths]:
    text = path.read_text(encoding="utf-8", errors="replace")
    first, second, ratio = (
        _found(rf"<{tag}[^>]*>\s*([\d.]+)\s*<", text) for tag in ("kAlpha1", "kAlpha2", "ratioKAlpha2KAlpha1")
    )
    if _found(r'<usedWavelength\s+intended="([^"]*)"', text, "").replace(" ", "").lower() == "k-alpha1":
        second = "0"
    scans = len(re.findall(r"<scan\s", text))
    return scans, _found(r'<scan\s[^>]*scanAxis="([^"]*)"', text, ""), _doublet(first, second, ratio)


def _ras(path: Path) -> tuple[int, str, Wavelengths]:
    text = path.read_text(encoding="latin-1")
    first, second = (_found(rf'\*HW_XG_WAVE_LENGTH_ALPHA{line}\s+"([\d.]+)"', text) for line in "12")
    if _found(r'\*MEAS_COND_XG_WAVE_TYPE\s+"([^"]*)"', text, "").lower() == "ka1":
        second = "0"
    axis = _found(r'\*MEAS_SCAN_AXIS_X\s+"([^"]*)"', text, "")
    return len(re.findall(r"^\*RAS_INT_START", text, re.M)), axis, _doublet(first, second, 0.5)


def _rasx(path: Path) -> tuple[int, str, Wavelengths]:
    profiles, text = _members(path, r"Profile\d+\.txt$", r"MesurementConditions\d+\.xml$")
    first, second = (_found(rf"<WavelengthKalpha{line}>([\d.]+)<", text) for line in "12")
    if _found(r"<WaveType>([^<]*)<", text, "").lower() == "ka1":
        second = "0"
    return profiles, _found(r"<AxisName>([^<]*)<", text, ""), _doublet(first, second, 0.5)


def _brml(path: Path) -> tuple[int, str, Wavelengths]:
    scans, text = _members(path, r"RawData\d+\.xml$", r"RawData\d+\.xml$")
    values = (_found(rf'<WaveLength{tag}\s[^>]*Value="([\d.]+)"', text) for tag in ("Alpha1", "Alpha2", "Ratio"))
    axes = dict.fromkeys(re.findall(r'<ScanAxisInfo[^>]*AxisName="([^"]*)"', text))
    return scans, " and ".join(axes), _doublet(*values)


def _members(path: Path, counted: str, wanted: str) -> tuple[int, str]:
    """How many members have a name like ``counted``, and the text of the first like ``wanted``."""
    with _unzipped(path) as archive:
        names = archive.namelist()
        first = next((name for name in names if re.search(wanted, name)), None)
        text = archive.read(first).decode("utf-8", errors="replace") if first else ""
    return sum(bool(re.search(counted, name)) for name in names), text


def _uxd(path: Path) -> tuple[int, str, Wavelengths]:
    text = path.read_text(encoding="latin-1")
    values = (_found(rf"_WL{tag}\s*=\s*([^\s;]+)", text) for tag in ("1", "2", "RATIO"))
    return (
        len(re.findall(r"^_2THETA\w*\s*$", text, re.M)),
        _found(r"_DRIVE\s*=\s*'?([\w ]+)", text, ""),
        _doublet(*values),
    )


def _raw(path: Path) -> tuple[int, str, Wavelengths]:
    """The tube's lines stand as five doubles (mean, Kα1, Kα2, Kβ, ratio) in versions 1.01 and 4."""
    data = path.read_bytes()
    lines: Sequence[float] = ()
    if data.startswith(b"RAW1.01") and len(data) >= 656:
        lines = struct.unpack_from("<5d", data, 616)
    elif data.startswith(b"RAW4"):
        position = 61
        while position + 112 <= len(data):
            kind, length = struct.unpack_from("<ii", data, position)
            if kind == 30:
                lines = struct.unpack_from("<5d", data, position + 72)
            if kind in (0, 30, 160) or length <= 8:
                break
            position += length
    scans = struct.unpack_from("<i", data, 12)[0] if data.startswith(b"RAW1.01") and len(data) >= 16 else 1
    return scans, "", _doublet(lines[1], lines[2], lines[4]) if lines else (None, 0.0)


_DETAILS = {
    "xrdml": _xrdml,
    "Rigaku ras": _ras,
    "Rigaku rasx": _rasx,
    "Bruker brml": _brml,
    "Bruker uxd": _uxd,
    "Bruker raw": _raw,
}
