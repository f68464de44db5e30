"""A part of a pattern or of a list of lines: a range, less lines and ranges that are to be ignored."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats
from alphadiffract_plugin.errors import InputError, SettingsError
from alphadiffract_plugin.readers.line_list import KINDS, LineList

_RANGE = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(?:[-–:]|\.\.|to)\s*(\d+\.?\d*|\.\d+)\s*")
_NEAR_ANGLE, _NEAR_SHARE = 0.15, 0.01
"""A line to be ignored lies within so many degrees of the position given, or within that share of d or 1/d²."""


@dataclass(frozen=True)
class Selection:
    """What is used of a pattern or a list."""

    within: tuple[float, float] | None = None
    """Smallest and largest position; None for all."""
    excluded: tuple[tuple[float, float], ...] = ()
    """Ranges that are left out."""
    lines: tuple[float, ...] = ()
    """Positions of single lines that are left out."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()

    def __str__(self) -> str:
        """The selection in words: ``from 10 to 80, without 26.6 and 44.7 to 45.2``."""
        words = [f"from {self.within[0]:g} to {self.within[1]:g}"] if self.within else []
        out = [*(f"{one:g}" for one in self.lines), *(f"{low:g} to {high:g}" for low, high in self.excluded)]
        return ", ".join([*words, *(["without " + " and ".join(out)] if out else [])])

    def mask(self, positions: Floats) -> Bools:
        """Which positions are in the range and in none of the ranges that are left out, shape (N,)."""
        keep = np.ones(len(positions), dtype=bool)
        if self.within is not None:
            keep &= (positions >= self.within[0]) & (positions <= self.within[1])
        for low, high in self.excluded:
            keep &= (positions < low) | (positions > high)
        return keep

    def of_list(self, lines: LineList) -> LineList:
        """The lines of a list that are used; positions are in the unit of the list.

        Raises
        ------
        InputError : no line is left, or there is none where one is to be ignored.
        """
        keep = self.mask(lines.positions)
        for position in self.lines:
            off = np.abs(lines.positions - position)
            nearest = int(off.argmin()) if len(off) else -1
            near = _NEAR_ANGLE if lines.kind == "two_theta" else _NEAR_SHARE * position
            if nearest < 0 or off[nearest] > near:
                raise no_line_there(position, lines.positions, f"{lines.kind}, {KINDS[lines.kind]}", lines.where)
            keep[nearest] = False
        if not keep.any():
            raise InputError(
                f"none of the {len(keep)} lines is left {self}",
                fix=f"give a range that holds lines; they lie from {lines.positions.min():g} to "
                f"{lines.positions.max():g} ({lines.kind})",
                where=lines.where,
            )
        return lines.part(keep)


def selection_from_text(within: str | None = None, exclude: str | None = None) -> Selection:
    """The selection that ``--range 10-80`` and ``--exclude 26.6,44.7-45.2`` mean.

    Raises
    ------
    SettingsError : a text is no range, or no list of positions and ranges.
    """
    ranges: list[tuple[float, float]] = []
    lines: list[float] = []
    for word in (exclude or "").split(",") if exclude is not None else ():
        match = _RANGE.fullmatch(word)
        if match:
            ranges.append(_ascending(match, word, "--exclude"))
            continue
        try:
            lines.append(float(word))
        except ValueError:
            raise SettingsError(
                f"--exclude: {word.strip()!r} is neither a position nor a range",
                fix="give positions and ranges with commas between them, such as 26.6,44.7-45.2",
            ) from None
        if not 0 < lines[-1] < np.inf:
            raise SettingsError(f"--exclude: {word.strip()!r} is no position", fix="give positions above 0")
    whole = None
    if within is not None:
        match = _RANGE.fullmatch(within)
        if not match:
            raise SettingsError(f"--range: {within!r} is no range", fix="give two numbers, such as 10-80")
        whole = _ascending(match, within, "--range")
    return Selection(whole, tuple(ranges), tuple(lines))


def no_line_there(position: float, positions: Floats, unit: str, where: object) -> InputError:
    """The error for a line that is to be ignored where there is none."""
    nearest = f"; the nearest is at {positions[np.abs(positions - position).argmin()]:g}" if len(positions) else ""
    return InputError(
        f"there is no line at {position:g} ({unit}){nearest}",
        fix="give the position of a line that was found, or a range such as 44.7-45.2",
        where=None if where is None else str(where),
    )


def _ascending(match: re.Match[str], text: str, option: str) -> tuple[float, float]:
    low, high = float(match[1]), float(match[2])
    if not low < high:
        raise SettingsError(
            f"{option}: {text.strip()!r} does not ascend", fix="give the lower end first, such as 10-80"
        )
    return low, high
