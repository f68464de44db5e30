"""The ranges of instrument makers' files that hold several, and of Bruker RAW1.01 files of every kind of scan.

Sources: DIFFRAC-plus XCH 5.0 manual (2002), appendix A, for RAW1.01; the XRDMeasurement schema of PANalytical; the
files of Rigaku themselves for ras and rasx.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.readers.ranges import Range
from alphadiffract_plugin.readers.reading import NotReadError

_RAW_HEAD, _RAW_RANGE_HEAD = 712, 304
"""Bytes of the headings of a RAW1.01 file and of each of its ranges."""
RAW_SCANS = {
    0: "two_theta",
    1: "two_theta",
    2: "two_theta",
    20: "two_theta",
    129: "two_theta",
    130: "two_theta",
    3: "omega (rocking curve)",
    4: "chi",
    5: "phi",
}
"""The axis that is scanned in a RAW1.01 range of this type: locked and unlocked coupled, detector scan, PSD fixed scan
(129) and PSD fast scan (130) run over two_theta."""


def ranges_of_raw(path: Path) -> list[Range]:
    """The ranges of a Bruker RAW1.01 file.

    Raises
    ------
    InputError : a scan over another axis than two_theta.
    NotReadError : the file is cut off, or holds more than the counts of each point.
    """
    data = path.read_bytes()
    try:
        ranges, position = [], _RAW_HEAD
        for _ in range(struct.unpack_from("<i", data, 12)[0]):
            points, two_theta = struct.unpack_from("<i8xd", data, position + 4)
            step, seconds, kind = struct.unpack_from("<d8xfi", data, position + 176)
            width, extra = struct.unpack_from("<ii", data, position + 252)
            if RAW_SCANS.get(kind, "two_theta") != "two_theta":
                raise InputError(
                    f"this Bruker raw file holds a scan over {RAW_SCANS[kind]}",
                    fix="give a scan over two_theta (theta-2theta)",
                    where=path,
                )
            if width != 4 or points <= 0 or not 0 < step < 5:
                raise NotReadError(
                    f"this Bruker raw file (scan type {kind}, {width} bytes a point) is of a kind that is not read",
                    fix="export the pattern as text columns two_theta, intensity (xy), or as raw version 4",
                    where=path,
                )
            begin = position + _RAW_RANGE_HEAD + extra
            counts = np.array(struct.unpack_from(f"<{points}f", data, begin))
            ranges.append(Range(two_theta + step * np.arange(points), counts, seconds=max(seconds, 0.0)))
            position = begin + 4 * points
    except struct.error as error:
        raise NotReadError(
            "this Bruker raw file ends before its last point", fix="copy or export the file again", where=path
        ) from error
    return ranges


def ranges_of_xrdml(path: Path) -> list[Range]:
    """The scans of a PANalytical xrdml file, as counts."""
    ranges = []
    for scan in ElementTree.fromstring(path.read_bytes()).iterfind(".//{*}scan"):
        values = _numbers(scan, "intensities")
        counts = values if len(values) else _numbers(scan, "counts")
        attenuation = _numbers(scan, "beamAttenuationFactors")
        if not len(values) and len(attenuation) == len(counts):
            counts = counts * attenuation
        axis = next((one for one in scan.iterfind(".//{*}positions") if one.get("axis") == "2Theta"), None)
        if axis is None or not len(counts):
            continue
        listed = _numbers(axis, "listPositions")
        if len(listed) != len(counts):
            ends = [*_numbers(axis, "startPosition"), *_numbers(axis, "endPosition")]
            if len(ends) != 2:
                continue
            listed = np.linspace(ends[0], ends[1], len(counts))
        seconds = _numbers(scan, "commonCountingTime")
        ranges.append(Range(listed, counts, seconds=float(seconds[0]) if len(seconds) else 0.0))
    return ranges


def ranges_of_ras(path: Path) -> list[Range]:
    """The scans of a Rigaku ras file: two_theta, intensity and the factor of the attenuator."""
    text = path.read_text(encoding="latin-1")
    return [_range_of_rows(body) for body in re.findall(r"\*RAS_INT_START\s*\n(.*?)\*RAS_INT_END", text, re.S)]


def ranges_of_rasx(path: Path) -> list[Range]:
    """The scans of a Rigaku rasx file."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if re.search(r"Profile\d+\.txt$", name))
        return [_range_of_rows(archive.read(name).decode("utf-8-sig")) for name in names]


RANGES: dict[str, Callable[[Path], list[Range]]] = {
    "xrdml": ranges_of_xrdml,
    "Rigaku ras": ranges_of_ras,
    "Rigaku rasx": ranges_of_rasx,
    "Bruker raw": ranges_of_raw,
}
"""The formats of which several ranges can be read."""


def _numbers(element: ElementTree.Element, tag: str) -> np.ndarray:
    found = element.find(f".//{{*}}{tag}")
    words = [] if found is None or found.text is None else found.text.split()
    return np.array([float(word) for word in words])


def _range_of_rows(text: str) -> Range:
    table = np.array([[float(word) for word in line.split()] for line in text.splitlines() if line.strip()])
    factor = table[:, 2] if table.shape[1] > 2 else 1.0
    return Range(table[:, 0], table[:, 1] * factor)
