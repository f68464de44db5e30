"""Instrument makers' files: geddes reads the points; wavelength, axis and number of scans are read here.

PANalytical xrdml, Rigaku ras and rasx, Bruker raw, uxd and brml. Ranges that continue each other are merged
(``scans``); several scans over the same angles, or a scan over another axis than two_theta, are refused.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.radiation import KALPHA2_RATIO, wavelengths_from_file
from alphadiffract_plugin.readers.ranges import Range, merged
from alphadiffract_plugin.readers.reading import NotReadError, Reading, Wavelengths
from alphadiffract_plugin.readers.scans import RANGES

UNPACKED_MAX = 500_000_000
"""Largest size in bytes that a zipped file may unpack to; a scan of a million points has about 50 MB."""


class _Header(NamedTuple):
    """What is read here of a file, beside the points."""

    scans: int
    """Number of scans in the file."""
    axis: str
    """Name of the axis that was scanned; empty where the file does not say."""
    wavelengths: Wavelengths
    """Wavelengths, and the intensity of Kα2 over Kα1."""


def vendor_format(head: bytes, path: Path) -> str | None:
    """The instrument maker's format that the beginning of a file shows, or None.

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
    InputError : several scans over the same angles, another axis, or a file that cannot be read.
    """
    scans, axis, (wavelengths, ratio) = _HEADERS[name](path)
    if axis and not re.search(r"2\s*theta|two\s*theta|gonio|coupled|locked", axis, re.I):
        raise InputError(
            f"this {name} file holds a scan over {axis}", fix="give a scan over two_theta (theta-2theta)", where=path
        )
    pattern, reader = _pattern(path, name, scans)
    return Reading(
        two_theta=pattern.two_theta,
        intensity=pattern.intensity,
        esd=pattern.esd,
        reader=reader,
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        radiation="xray",
        where=path,
    )


def _pattern(path: Path, name: str, scans: int) -> tuple[Range, str]:
    """The points of the file, and who read them: ranges of their own format are read here, the others by geddes."""
    if name == "Bruker raw" and path.read_bytes()[:7] != b"RAW1.01":
        return Range(*points_from_geddes(path, name)), f"{name}, by geddes"
    if name == "Bruker raw" or (scans > 1 and name in RANGES):
        ranges = RANGES[name](path)
        if len(ranges) == 1:
            return Range(ranges[0].two_theta, ranges[0].intensity), name
        if len(ranges) > 1:
            return merged(ranges, name, path), f"{name}, {len(ranges)} ranges merged"
    if scans > 1:
        raise InputError(
            f"this {name} file holds {scans} scans",
            fix="export each scan to a file of its own as xy, with the instrument's software or PowDLL",
            where=path,
        )
    return Range(*points_from_geddes(path, name)), f"{name}, by geddes"


def points_from_geddes(path: Path, name: str) -> tuple[Floats, Floats]:
    """two_theta in degrees and intensity of a file, read by geddes."""
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
        "this is a zip archive without a pattern of a known format",
        fix="unpack it and give the pattern file inside",
        where=path,
    )


@contextlib.contextmanager
def _unzipped(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; any fault in it is raised as InputError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"this zip archive is broken: {error}", fix="copy or export the file again", where=path
        ) from error


def _doublet(first: str | float, second: str | float, ratio: str | float) -> Wavelengths:
    """Wavelengths that a file gives: none without the first; the second only if it and the ratio are above 0.

    Anything that is not a number counts as 0.
    """
    alpha1, alpha2, share = (_number(value) for value in (first, second, ratio))
    alone = wavelengths_from_file([alpha1])
    if alone[0] is None or not (alpha2 > 0 and share > 0):
        return alone
    return wavelengths_from_file([alpha1, alpha2], ratio=share)


def _number(value: str | float) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _found(pattern: str, text: str, default: str = "0") -> str:
    match = re.search(pattern, text, re.S)
    return match[1] if match else default


def _element(content: bytes, name: str, path: Path) -> ElementTree.Element:
    """The root of an XML document.

    Raises
    ------
    NotReadError : it is not XML, or was cut off.
    """
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: an unknown encoding
        raise NotReadError(
            f"this {name} file cannot be read: it is not complete XML ({error})",
            fix="copy or export the file again, perhaps as text columns two_theta, intensity (xy)",
            where=path,
        ) from error


def _content(root: ElementTree.Element, tag: str, default: str = "0") -> str:
    """The text of the first element of this tag, in whatever namespace."""
    found = root.find(f".//{{*}}{tag}")
    return default if found is None or found.text is None else found.text.strip()


def _attribute(root: ElementTree.Element, tag: str, name: str, default: str = "0") -> str:
    """An attribute of the first element of this tag, in whatever namespace."""
    found = root.find(f".//{{*}}{tag}")
    return default if found is None else found.get(name, default)


def _xrdml(path: Path) -> _Header:
    root = _element(path.read_bytes(), "xrdml", path)
    first, second, ratio = (_content(root, tag) for tag in ("kAlpha1", "kAlpha2", "ratioKAlpha2KAlpha1"))
    intended = _attribute(root, "usedWavelength", "intended", "").replace(" ", "").lower()
    optics = root.iterfind(".//{*}incidentBeamPath//")
    if intended == "k-alpha1" and any("monochromator" in element.tag.lower() for element in optics):
        second = "0"  # "K-Alpha 1" alone is what most files say, whatever reaches the sample
    scans = root.findall(".//{*}scan")
    return _Header(len(scans), scans[0].get("scanAxis", "") if scans else "", _doublet(first, second, ratio))


def _ras(path: Path) -> _Header:
    text = path.read_text(encoding="latin-1")
    first, second = (_found(rf'\*HW_XG_WAVE_LENGTH_ALPHA{line}\s+"([\d.]+)"', text) for line in "12")
    if _found(r'\*MEAS_COND_XG_WAVE_TYPE\s+"([^"]*)"', text, "").lower() == "ka1":
        second = "0"
    axis = _found(r'\*MEAS_SCAN_AXIS_X\s+"([^"]*)"', text, "")
    scans = len(re.findall(r"^\*RAS_INT_START", text, re.M))
    return _Header(scans, axis, _doublet(first, second, KALPHA2_RATIO))


def _rasx(path: Path) -> _Header:
    profiles, content = _members(path, r"Profile\d+\.txt$", r"MesurementConditions\d+\.xml$")
    if content is None:
        return _Header(profiles, "", (None, 0.0))
    root = _element(content, "Rigaku rasx", path)
    first, second = (_content(root, f"WavelengthKalpha{line}") for line in "12")
    if _content(root, "WaveType", "").lower() == "ka1":
        second = "0"
    return _Header(profiles, _content(root, "AxisName", ""), _doublet(first, second, KALPHA2_RATIO))


def _brml(path: Path) -> _Header:
    scans, content = _members(path, r"RawData\d+\.xml$", r"RawData\d+\.xml$")
    if content is None:
        return _Header(scans, "", (None, 0.0))
    root = _element(content, "Bruker brml", path)
    first, second, ratio = (_attribute(root, f"WaveLength{tag}", "Value") for tag in ("Alpha1", "Alpha2", "Ratio"))
    axes = dict.fromkeys(name for axis in root.findall(".//{*}ScanAxisInfo") if (name := axis.get("AxisName")))
    return _Header(scans, " and ".join(axes), _doublet(first, second, ratio))


def _members(path: Path, counted: str, wanted: str) -> tuple[int, bytes | None]:
    """How many members of an archive have a name like ``counted``, and the content of the first like ``wanted``."""
    with _unzipped(path) as archive:
        names = archive.namelist()
        first = next((name for name in names if re.search(wanted, name)), None)
        content = archive.read(first) if first else None
    return sum(bool(re.search(counted, name)) for name in names), content


def _uxd(path: Path) -> _Header:
    text = path.read_text(encoding="latin-1")
    first, second, ratio = (_found(rf"_WL{tag}\s*=\s*([^\s;]+)", text) for tag in ("1", "2", "RATIO"))
    scans = len(re.findall(r"^_2THETA\w*\s*$", text, re.M))
    return _Header(scans, _found(r"_DRIVE\s*=\s*'?([\w ]+)", text, ""), _doublet(first, second, ratio))


def _raw(path: Path) -> _Header:
    """Versions 1.01 and 4 hold the lines of the tube as five doubles: mean, Kα1, Kα2, Kβ, ratio."""
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
    return _Header(scans, "", _doublet(lines[1], lines[2], lines[4]) if lines else (None, 0.0))


_HEADERS: dict[str, Callable[[Path], _Header]] = {
    "xrdml": _xrdml,
    "Rigaku ras": _ras,
    "Rigaku rasx": _rasx,
    "Bruker brml": _brml,
    "Bruker uxd": _uxd,
    "Bruker raw": _raw,
}
