"""GSAS powder files: the records STD, ESD, FXY and FXYE of one constant-wavelength bank.

Format: A. C. Larson & R. B. Von Dreele, GSAS Manual (LAUR 86-748), "Powder diffraction data". Angles are in
hundredths of a degree. STD holds ten pairs per line (number of detectors in 2 places, their mean counts in 6), ESD five
pairs (counts and esd in 8 places each), as many points as the bank says; FXY and FXYE one point per line, to the end of
the file. The files hold no wavelength.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.readers.reading import NotReadError, Reading

BANK = re.compile(r"^BANK[ \t]+\d+[ \t]", re.M)
"""The line by which a GSAS file is recognised."""

_TIME_OF_FLIGHT = ("SLOG", "RALF", "TIME_MAP", "LOG6", "LPSD", "COND")
"""Ways of binning that are in time of flight."""

Point = tuple[float, float, float]
"""Position in hundredths of a degree (0 where the record has none), intensity and esd (0 where it has none)."""


@dataclass(frozen=True)
class _Bank:
    """What the BANK line says."""

    line: int
    """Its line in the file, counted from 1."""
    record: str
    """STD, ESD, FXY or FXYE."""
    points: int
    """Number of points of an STD or ESD record."""
    start: float
    """First angle in hundredths of a degree."""
    step: float
    """Step in hundredths of a degree."""

    @property
    def has_positions(self) -> bool:
        """Whether each point has a position of its own (FXY, FXYE)."""
        return self.record.startswith("FXY")


def reading_from_gsas(text: str, path: Path) -> Reading:
    """The pattern in such a text.

    Raises
    ------
    RadiationError : the bank is binned in time of flight, or by energy.
    InputError : several banks, an unknown record type, or a line that is not such a record.
    """
    lines = text.splitlines()
    bank = _bank(lines, path)
    points, numbers = _points(lines, bank, path)
    table = np.array(points, dtype=float).reshape(-1, 3)
    hundredths = table[:, 0] if bank.has_positions else bank.start + bank.step * np.arange(len(table))
    two_theta = hundredths / 100
    if len(two_theta) and np.max(two_theta) > 180:
        raise _time_of_flight(f"ends at {np.max(two_theta) * 100:.0f}", path, bank.line)
    return Reading(
        two_theta=two_theta,
        intensity=table[:, 1],
        esd=None if bank.record == "FXY" else table[:, 2],
        lines=np.array(numbers, dtype=np.int64),
        reader=f"GSAS {bank.record}",
        where=path,
    )


def _bank(lines: list[str], path: Path) -> _Bank:
    """The one bank of a file, refused if it is not of constant wavelength or not understood."""
    places = [index for index, line in enumerate(lines) if BANK.match(line)]
    first = places[0]
    number, words = first + 1, lines[first].split()
    binning = words[4].upper() if len(words) > 4 else ""
    if binning.startswith(_TIME_OF_FLIGHT) or any(line.startswith("TIME_MAP") for line in lines[:first]):
        raise _time_of_flight(f"binned by {binning}", path, number)
    if binning.startswith("EDS"):
        raise RadiationError(
            "this is an energy-dispersive pattern", fix="give a pattern of one wavelength", where=path, line=number
        )
    if len(places) > 1:
        raise InputError(
            f"this file holds {len(places)} banks",
            fix="keep the title and the records of one BANK in a file of its own",
            where=path,
            line=places[1] + 1,
        )
    last = words[-1].upper()
    if last.isalpha() and last not in _RECORDS and last != binning:
        raise _not_understood(lines[first], path, number)
    try:
        points, start, step = int(words[2]), float(words[5]), float(words[6])
    except (IndexError, ValueError):
        raise _not_understood(lines[first], path, number) from None
    return _Bank(number, last if last in _RECORDS else "STD", points, start, step)


def _points(lines: list[str], bank: _Bank, path: Path) -> tuple[list[Point], list[int]]:
    """The points behind the BANK line, and the line of the file that each comes from."""
    points: list[Point] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[bank.line :], start=bank.line + 1):
        if len(points) >= bank.points and not bank.has_positions:
            break
        if line.strip() and not line.startswith("#"):
            try:
                found = _RECORDS[bank.record](line.expandtabs())
            except ValueError:
                raise _not_understood(line, path, number) from None
            points += found
            numbers += [number] * len(found)
    end = None if bank.has_positions else bank.points
    return points[:end], numbers[:end]


def _std(line: str) -> list[Point]:
    """Ten fields of a number of detectors n and their mean counts y; the esd is √(y/n), at least that of one count."""
    points = []
    for begin in range(0, len(line.rstrip()), 8):
        detectors, counts = line[begin : begin + 2], float(line[begin + 2 : begin + 8])
        averaged = max(int(detectors) if detectors.strip() else 1, 1)
        points.append((0.0, counts, max(counts, 1.0) ** 0.5 / averaged**0.5))
    return points


def _esd(line: str) -> list[Point]:
    line = line.rstrip()
    fields = [float(line[begin : begin + 8]) for begin in range(0, len(line), 8)]
    return [(0.0, counts, esd) for counts, esd in zip(fields[::2], fields[1::2], strict=True)]


def _fxye(line: str) -> list[Point]:
    position, counts, esd = (float(word) for word in line.replace(",", " ").split()[:3])
    return [(position, counts, esd)]


def _fxy(line: str) -> list[Point]:
    position, counts = (float(word) for word in line.replace(",", " ").split()[:2])
    return [(position, counts, 0.0)]


_RECORDS = {"STD": _std, "ESD": _esd, "FXYE": _fxye, "FXY": _fxy}
"""The reader of one line of each record type."""


def _time_of_flight(sign: str, path: Path, line: int) -> RadiationError:
    return RadiationError(
        f"this is a time-of-flight pattern ({sign})",
        fix="give a pattern of one wavelength over two_theta in degrees; time of flight is not supported",
        where=path,
        line=line,
    )


def _not_understood(text: str, path: Path, line: int) -> NotReadError:
    return NotReadError(
        f"this is not a GSAS record of a known type: {text.strip()[:50]!r}",
        fix="write the pattern as text columns two_theta, intensity, esd",
        where=path,
        line=line,
    )
