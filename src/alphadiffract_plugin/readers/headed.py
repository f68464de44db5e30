"""Formats of one column of intensities below a heading that holds start, step and stop.

Philips and PANalytical UDF, Rigaku asc and Sietronics cpi. The wavelengths that they state are those of a tube; a
single one, beside the name of the anode, stands for its doublet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.radiation import KALPHA2_RATIO, wavelengths_from_file
from alphadiffract_plugin.readers.ranges import Range, merged
from alphadiffract_plugin.readers.reading import NotReadError, Reading, Wavelengths

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def headed_format(text: str) -> str | None:
    """The format that such a text shows, or None."""
    if text.lstrip().upper().startswith("SIETRONICS XRD SCAN"):
        return "Sietronics cpi"
    if re.search(r"^\s*RawScan\s*$", text, re.M) and re.search(r"^\s*DataAngleRange\s*,", text, re.M):
        return "Philips udf"
    if re.search(r"^\*START\s*=", text, re.M) and re.search(r"^\*COUNT\s*=", text, re.M):
        return "Rigaku asc"
    return None


def reading_from_headed(text: str, path: Path, name: str) -> Reading:
    """The pattern in a text of the format ``name``.

    Raises
    ------
    InputError : a scan over another axis, or as many scans over the same angles.
    NotReadError : start, step or the intensities are missing, or there are not as many as the heading says.
    """
    ranges, (wavelengths, ratio) = _READERS[name](text, path)
    pattern = ranges[0] if len(ranges) == 1 else merged(ranges, name, path)
    return Reading(
        two_theta=pattern.two_theta,
        intensity=pattern.intensity,
        esd=pattern.esd,
        reader=name if len(ranges) == 1 else f"{name}, {len(ranges)} ranges merged",
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        radiation="xray",
        where=path,
    )


def _udf(text: str, path: Path) -> tuple[list[Range], Wavelengths]:
    heading, body = re.split(r"^\s*RawScan\s*$", text, maxsplit=1, flags=re.M)
    fields = dict(re.findall(r"^\s*(\w+)\s*,(.*?),?\s*/?\s*$", heading, re.M))
    ends = _numbers(fields.get("DataAngleRange", ""))
    points = _range(ends[:1], _numbers(fields.get("ScanStepSize", ""))[:1], ends[1:2], body.split("/")[0], path)
    lines = [_first(fields.get(key, "")) for key in ("LabdaAlpha1", "LabdaAlpha2", "RatioAlpha21")]
    return [points], _tube(lines[0], lines[1], lines[2], fields.get("Anode", ""))


def _cpi(text: str, path: Path) -> tuple[list[Range], Wavelengths]:
    heading, _, body = text.partition("SCANDATA")
    lines = [line.strip() for line in heading.strip().splitlines()] + [""] * 6
    start, stop, step = (_numbers(line)[:1] for line in lines[1:4])
    return [_range(start, step, stop, body, path)], _tube(_first(lines[5]), 0.0, 0.0, lines[4])


def _asc(text: str, path: Path) -> tuple[list[Range], Wavelengths]:
    fields = {key: value.strip() for key, value in re.findall(r"^\*(\w+)\s*=(.*)$", text, re.M)}
    axis = fields.get("SCAN_AXIS", "")
    if axis and not re.search(r"2\s*theta", axis, re.I):
        raise InputError(
            f"this Rigaku asc file holds a scan over {axis}",
            fix="give a scan over two_theta (2theta/theta)",
            where=path,
        )
    ranges = []
    for group in re.split(r"^\*BEGIN\s*$", text, flags=re.M):
        own = {
            key: _numbers(value)[:1] for key, value in re.findall(r"^\*(START|STEP|STOP|COUNT)\s*=(.*)$", group, re.M)
        }
        if "COUNT" not in own:
            continue
        body = "\n".join(line for line in group.splitlines() if not line.lstrip().startswith(("*", "#")))
        ranges.append(_range(own.get("START", []), own.get("STEP", []), own.get("STOP", []), body, path))
    lines = [_first(fields.get(f"WAVE_LENGTH{line}", "")) for line in "12"]
    return ranges, _tube(lines[0], lines[1], KALPHA2_RATIO if lines[1] else 0.0, fields.get("TARGET", ""))


_READERS: dict[str, Callable[[str, Path], tuple[list[Range], Wavelengths]]] = {
    "Philips udf": _udf,
    "Sietronics cpi": _cpi,
    "Rigaku asc": _asc,
}


def _range(start: list[float], step: list[float], stop: list[float], body: str, path: Path) -> Range:
    """The points of one range; a number of intensities that start, step and stop do not give is refused."""
    words = re.split(r"[\s,;]+", body.strip(" \t\r\n,;"))
    bad = next((word for word in words if not _NUMBER.fullmatch(word)), None)
    if not (start and step and step[0] > 0) or bad is not None:
        what = "the heading lacks start or step" if bad is None else f"{bad!r} among the intensities is no number"
        raise NotReadError(
            f"this pattern cannot be read: {what}",
            fix="export the pattern as text columns two_theta, intensity (xy)",
            where=path,
        )
    counts: Floats = np.array([float(word) for word in words])
    expected = round((stop[0] - start[0]) / step[0]) + 1 if stop else len(counts)
    if abs(len(counts) - expected) > 1:
        raise NotReadError(
            f"the heading says {expected} points ({start[0]:g} to {stop[0]:g} in steps of {step[0]:g}), "
            f"the file has {len(counts)}",
            fix="copy or export the file again; it may be cut off",
            where=path,
        )
    return Range(start[0] + step[0] * np.arange(len(counts), dtype=np.float64), counts)


def _tube(first: float, second: float, ratio: float, anode: str) -> Wavelengths:
    """The wavelengths that the heading states; a single one beside its anode is the doublet of that anode."""
    if second > 0:
        return wavelengths_from_file([first, second], ratio=ratio)
    return wavelengths_from_file([first], name=f"{anode.strip()} Ka" if anode.strip() else "")


def _numbers(text: str) -> list[float]:
    return [float(word) for word in _NUMBER.findall(text)]


def _first(text: str) -> float:
    return next(iter(_numbers(text)), 0.0)
