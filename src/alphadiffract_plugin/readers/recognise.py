"""Recognise the format of a file by its content, and read it with the reader of that format."""

from __future__ import annotations

import codecs
import importlib.util
import re
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.radiation import wavelengths_from_file
from alphadiffract_plugin.readers.cif import reading_from_cif
from alphadiffract_plugin.readers.columns import reading_from_text
from alphadiffract_plugin.readers.gsas import BANK, reading_from_gsas
from alphadiffract_plugin.readers.headed import headed_format, reading_from_headed
from alphadiffract_plugin.readers.reading import NotReadError, Reading, opened_for_reading
from alphadiffract_plugin.readers.vendor import reading_from_vendor, vendor_format

BYTES_MAX = 200_000_000
"""Largest size in bytes of a file that is read; a pattern of a million points as text has about 30 MB."""

_NOT_READ = {
    b"\x89HDF": "an HDF5 file (NeXus)",
    b"RAW_": "a Stoe raw file",
    b"V3RD": "a Philips rd file",
    b"V5RD": "a Philips rd file",
    b"FI": "a Rigaku raw file",
    b"\xd0\xcf\x11\xe0": "a file of Microsoft Office",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"II*": "an image of a detector",
    b"MM\x00*": "an image of a detector",
}
"""Formats that are not read here, by the bytes with which they begin."""


def reading_from_file(path: Path) -> Reading:
    """The pattern that the reader of its format finds in a file.

    Raises
    ------
    InputError : it is missing, a folder, empty, too large, damaged, or of an unknown format; names file and line.
    RadiationError : time of flight or energy-dispersive.
    """
    head = _head(path)
    try:
        name = vendor_format(head, path)
        if name is not None:
            return reading_from_vendor(path, name)
        text = _text(path, head)
        if BANK.search(text):
            return reading_from_gsas(text, path)
        name = headed_format(text)
        if name is not None:
            return reading_from_headed(text, path, name)
        if re.search(r"^\s*_pd_|^\s*_diffrn_", text, re.M) or path.suffix.lower() == ".cif":
            return reading_from_cif(text, path)
        return reading_from_text(text, path)
    except NotReadError:
        other = _reading_by_rietx(path)
        if other is None:
            raise
        return other


def _head(path: Path) -> bytes:
    """The first bytes of a file that exists, is a file, is not empty and not too large."""
    with opened_for_reading(path):
        if path.is_dir():
            raise InputError("this is a folder", fix="give the pattern files in it, such as FOLDER/*.xye", where=path)
        if not path.exists():
            raise InputError("there is no such file", fix="check the path", where=path)
        if not path.is_file():
            raise InputError("this is no regular file", fix="copy the pattern into a regular file", where=path)
        size = path.stat().st_size
        if size == 0:
            raise InputError("this file is empty", fix="copy or export the pattern again", where=path)
        if size > BYTES_MAX:
            raise InputError(
                f"this file has {size / 1e6:.0f} MB; a powder pattern has less than {BYTES_MAX // 1_000_000} MB",
                fix="give the integrated pattern, not the images or events from which it was made",
                where=path,
            )
        with path.open("rb") as file:
            return file.read(65536)


def _text(path: Path, head: bytes) -> str:
    """The whole file as text.

    Raises
    ------
    NotReadError : it is a binary file.
    """
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    is_gsas = BANK.search(head.decode("latin-1"))
    if path.suffix.lower() == ".gpx":
        raise InputError(
            "this is a GSAS-II project, not a pattern",
            fix="open it in a script and give its histogram to gsasii.index, or export the histogram as xye",
            where=path,
        )
    if encoding != "utf-16" and b"\x00" in head and not is_gsas:
        named = (words for begin, words in _NOT_READ.items() if head.startswith(begin))
        raise NotReadError(
            f"this is {next(named, 'a binary file of an unknown format')}",
            fix="export the pattern as text columns two_theta, intensity, esd (PowDLL does it)",
            where=path,
        )
    data = path.read_bytes()
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _reading_by_rietx(path: Path) -> Reading | None:
    """What the optional rietx reads; None if it is not installed or cannot read the file either."""
    if importlib.util.find_spec("rietx") is None:
        return None
    import rietx

    try:
        pattern = rietx.read_pattern(path)
    except Exception:  # bare exceptions of many kinds; the message of our own reader is the one to show
        return None
    if pattern.two_theta is None:
        raise RadiationError(
            "this is a time-of-flight pattern",
            fix="give a pattern of one wavelength over two_theta in degrees; time of flight is not supported",
            where=path,
        )
    lines = [float(pattern.metadata.get(key) or 0) for key in ("wavelength", "wavelength_alpha2")]
    wavelengths, ratio = wavelengths_from_file(lines)
    return Reading(
        two_theta=np.array(pattern.two_theta),
        intensity=np.array(pattern.intensity),
        esd=None if pattern.sigma is None else np.array(pattern.sigma),
        reader="rietx",
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        where=path,
    )
