"""GSAS powder files: the records STD, ESD, FXY and FXYE of one constant-wavelength bank.

Format: A. C. Larson & R. B. Von Dreele, GSAS Manual (LAUR 86-748), "Powder diffraction data". Angles are in
hundredths of a degree. STD holds ten pairs a line (number of detectors in 2 places, their mean counts in 6), ESD five
pairs (counts and esd in 8 places each), as many as the bank says; FXY and FXYE one point a line, to the end of the
file. The files hold no wavelength.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.readers.reading import NotReadError, Reading

BANK = re.compile(r"^BANK[ \t]+\d+[ \t]", re.M)
"""What tells a GSAS file from other text."""

_TIME_OF_FLIGHT = ("SLOG", "RALF", "TIME_MAP", "LOG6", "LPSD", "COND")


def reading_from_gsas(text: str, path: Path) -> Reading:
    """The pattern in such a text.

    Raises
    ------
    RadiationError : the bank is binned in time of flight, or by energy.
    InputError : several banks, an unknown record type, or a line that is no such record.
    """
    lines = text.splitlines()
    banks = [index for index, line in enumerate(lines) if BANK.match(line)]
    first = banks[0]
    words = lines[first].split()
    kind = words[4].upper() if len(words) > 4 else ""
    if kind.startswith(_TIME_OF_FLIGHT) or any(line.startswith("TIME_MAP") for line in lines[:first]):
        raise _time_of_flight(f"binned by {kind}", path, first + 1)
    if kind.startswith("EDS"):
        raise RadiationError(
            "this is an energy-dispersive pattern", fix="give a pattern of one wavelength", where=path, line=first + 1
        )
    if len(banks) > 1:
        raise InputError(
            f"this file holds {len(banks)} banks",
            fix="keep the title and the records of one BANK in a file of its own",
            where=path,
            line=banks[1] + 1,
        )
    record = words[-1].upper() if words[-1].upper() in _RECORDS else "STD"
    try:
        points, start, step = int(words[2]), float(words[5]), float(words[6])
    except (IndexError, ValueError):
        raise _not_understood(lines[first], path, first + 1) from None
    if words[-1].isalpha() and words[-1].upper() not in _RECORDS and words[-1].upper() != kind:
        raise _not_understood(lines[first], path, first + 1)
    rows: list[tuple[float, float, float]] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[first + 1 :], start=first + 2):
        if len(rows) >= points and not record.startswith("FXY"):
            break
        if line.strip() and not line.startswith("#"):
            try:
                found = _RECORDS[record](line.expandtabs())
            except ValueError:
                raise _not_understood(line, path, number) from None
            rows += found
            numbers += [number] * len(found)
    if not record.startswith("FXY"):
        rows, numbers = rows[:points], numbers[:points]
    table = np.array(rows, dtype=float).reshape(-1, 3)
    two_theta = table[:, 0] / 100 if record.startswith("FXY") else (start + step * np.arange(len(table))) / 100
    if len(two_theta) and np.max(two_theta) > 180:
        raise _time_of_flight(f"ends at {np.max(two_theta) * 100:.0f}", path, first + 1)
    return Reading(
        two_theta=two_theta,
        intensity=table[:, 1],
        esd=None if record == "FXY" else table[:, 2],
        lines=np.array(numbers),
        reader=f"GSAS {record}",
        where=path,
    )


def _std(line: str) -> list[tuple[float, float, float]]:
    """Ten fields of a count of detectors and their mean counts y: esd √(y/n), at least that of one count."""
    rows = []
    for begin in range(0, len(line.rstrip()), 8):
        detectors, counts = line[begin : begin + 2], float(line[begin + 2 : begin + 8])
        spread = max(int(detectors) if detectors.strip() else 1, 1)
        rows.append((0.0, counts, max(counts, 1.0) ** 0.5 / spread**0.5))
    return rows


def _esd(line: str) -> list[tuple[float, float, float]]:
    line = line.rstrip()
    fields = [float(line[begin : begin + 8]) for begin in range(0, len(line), 8)]
    return [(0.0, counts, esd) for counts, esd in zip(fields[::2], fields[1::2], strict=True)]


def _fxye(line: str) -> list[tuple[float, float, float]]:
    position, counts, esd = (float(word) for word in line.replace(",", " ").split()[:3])
    return [(position, counts, esd)]


def _fxy(line: str) -> list[tuple[float, float, float]]:
    position, counts = (float(word) for word in line.replace(",", " ").split()[:2])
    return [(position, counts, 0.0)]


_RECORDS = {"STD": _std, "ESD": _esd, "FXYE": _fxye, "FXY": _fxy}


def _time_of_flight(sign: str, path: Path, line: int) -> RadiationError:
    return RadiationError(
        f"this is a time-of-flight pattern ({sign})",
        fix="give a pattern of one wavelength over two_theta in degrees; time of flight is not supported",
        where=path,
        line=line,
    )


def _not_understood(text: str, path: Path, line: int) -> NotReadError:
    return NotReadError(
        f"this is no GSAS record that is understood: {text.strip()[:50]!r}",
        fix="write the pattern as text columns two_theta, intensity, esd",
        where=path,
        line=line,
    )
