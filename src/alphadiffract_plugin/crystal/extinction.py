"""Extinction classes: which space groups, in which settings, have the same systematic absences on given axes.

All classes are derived from the symmetry operations of gemmi's table of 564 settings. A class belongs to one Bravais
lattice; each of its settings says how to transform the given axes into those of the standard setting.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.cells import Cell, cell_from_direct_metric, direct_metric_from_cell
from alphadiffract_plugin.crystal.symmetry import (
    Operations,
    crystal_system_from_space_group,
    extinct,
    lattice_family,
    operations_from_space_group,
    operations_of,
    short_symbol,
    standard_setting,
)

if TYPE_CHECKING:
    import gemmi


@dataclass(frozen=True, eq=False)
class Setting:
    """One space group on the axes of its class."""

    space_group: int
    """International number."""
    symbol: str
    """Hermann-Mauguin symbol of the setting, e.g. ``P n a m``."""
    to_standard: Floats
    """Columns: axes of the standard setting in terms of the axes of the class, shape (3, 3)."""

    def standard_axes(self, cell: Cell) -> Floats:
        """Columns: axes of the standard setting for a cell (Å, degrees), shape (3, 3).

        They are those of ``to_standard``. For a monoclinic cell several pairs of a and c may have the same symbol; the
        pair whose angle is nearest to 90 degrees, and obtuse, is taken.
        """
        choices = self.to_standard @ _same_symbol(self.space_group)
        metric = np.swapaxes(choices, 1, 2) @ direct_metric_from_cell(cell) @ choices
        cosine = metric[:, 0, 2] / np.sqrt(metric[:, 0, 0] * metric[:, 2, 2])
        best: Floats = choices[np.argmin(np.abs(cosine) + 1e-6 * (cosine > 0) + 1e-9 * np.arange(len(cosine)))]
        return best

    def standard_cell(self, cell: Cell) -> Cell:
        """The cell (Å, degrees) on those axes."""
        axes = self.standard_axes(cell)
        return cell_from_direct_metric(axes.T @ direct_metric_from_cell(cell) @ axes)


@dataclass(frozen=True, eq=False)
class ExtinctionClass:
    """Settings of space groups with the same systematic absences, which line positions cannot distinguish."""

    symbol: str
    """Extinction symbol as in International Tables A (2016), 1.6.4: ``P n - a``; a dash stands for no absences."""
    settings: tuple[Setting, ...]
    """At most one setting of each space group."""
    operations: Operations
    """Rotations and translations (24ths) of one member, whose absences are those of the class."""

    def extinct(self, hkl: Ints) -> Bools:
        """Which indices are absent, shape (H,)."""
        return extinct(hkl, self.operations)

    @property
    def space_groups(self) -> tuple[int, ...]:
        """Numbers of the space groups in the class, ascending."""
        return tuple(sorted(setting.space_group for setting in self.settings))


@functools.cache
def extinction_classes(family: str, centring: str) -> tuple[ExtinctionClass, ...]:
    """The extinction classes of a Bravais lattice, the class with the fewest absences first.

    Monoclinic axes are b unique. Orthorhombic axes may stand in any order, so that each setting of a group counts.

    Parameters
    ----------
    family : symmetry of the axes, see :func:`symmetry.lattice_family`.
    centring : P, C, I, F or R.
    """
    grid = np.array(list(itertools.product(range(-6, 7), range(0, 7), range(0, 7))))
    grid = grid[np.any(grid != 0, 1)]
    groups: defaultdict[bytes, list[tuple[gemmi.SpaceGroup, Operations]]] = defaultdict(list)
    for group in _settings(family, centring):
        operations = operations_of(group)
        groups[extinct(grid, operations).tobytes()].append((group, operations))
    classes = []
    for members in groups.values():
        seen: dict[int, Setting] = {}
        for group, _ in members:
            seen.setdefault(group.number, Setting(group.number, short_symbol(group), _to_standard(group)))
        symbol = _symbol([short_symbol(group) for group, _ in members], family, members[0][1])
        classes.append(ExtinctionClass(symbol, tuple(seen.values()), members[0][1]))
    classes.sort(key=lambda c: int(extinct(grid, c.operations).sum()))
    classes[0] = replace(classes[0], symbol=" ".join([centring, *("-" for _ in _axes(family, centring))]))
    return tuple(classes)


def _settings(family: str, centring: str) -> list[gemmi.SpaceGroup]:
    import gemmi

    def fits(group: gemmi.SpaceGroup) -> bool:
        if lattice_family(group.crystal_system_str()) != family or group.ext == "R":
            return False
        if family == "monoclinic" and (group.monoclinic_unique_axis() != "b" or group.qualifier.startswith("-b")):
            return False
        return group.hm[0] == centring and "a)" not in group.hm and not group.hm.endswith(("2a", "3a"))

    return [group for group in gemmi.spacegroup_table() if fits(group)]


def _to_standard(group: gemmi.SpaceGroup) -> Floats:
    there = standard_setting(group.number).basisop
    combined = there.inverse() * group.basisop
    return np.array(combined.rot) / combined.DEN


@functools.cache
def _same_symbol(space_group: int) -> Ints:
    """Changes of axes that keep the standard symbol of a monoclinic group, shape (n, 3, 3); of others the identity."""
    if crystal_system_from_space_group(space_group) != "monoclinic":
        return np.eye(3, dtype=int)[None]
    operations = operations_from_space_group(space_group)
    grid = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    absent = extinct(grid, operations)
    changes = [np.eye(3, dtype=int)]
    for p, q, r, s in itertools.product(range(-2, 3), repeat=4):
        change = np.array([[p, 0, r], [0, p * s - q * r, 0], [q, 0, s]])
        if abs(p * s - q * r) == 1 and (extinct(grid @ change, operations) == absent).all():
            changes.append(change)
    return np.array(changes)


_SAME_ABSENCES = {"32": "31", "43": "41", "65": "61", "64": "62"}

_AXES = {
    "triclinic": ((1, 0, 0),),
    "monoclinic": ((0, 1, 0),),
    "orthorhombic": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "tetragonal": ((0, 0, 1), (1, 0, 0), (1, 1, 0)),
    "hexagonal": ((0, 0, 1), (1, 0, 0), (1, 1, 0)),
    "cubic": ((0, 0, 1), (1, 1, 1), (1, 1, 0)),
}
"""The direction that each position of a Hermann-Mauguin symbol after the centring refers to."""


def _axes(family: str, centring: str) -> tuple[tuple[int, int, int], ...]:
    return _AXES[family][:2] if centring == "R" else _AXES[family]


def _symbol(symbols: list[str], family: str, operations: Operations) -> str:
    """The extinction symbol: glide planes and screw axes that all symbols share, dashes elsewhere.

    As in the International Tables, a screw axis is left out where glide planes alone cause its absences. Glide planes
    joined by a comma occur together.
    """
    parts = [symbol.split() for symbol in symbols]
    shown = [parts[0][0]]
    for i, axis in enumerate(_axes(family, shown[0]), start=1):
        here = [part[i] if i < len(part) else "-" for part in parts]
        screw = "" if _follows_from_glides(axis, operations) else _shared(map(_screw, here))
        shown.append("/".join(text for text in (screw, _shared(map(_glide, here))) if text) or "-")
    return " ".join(shown)


def _follows_from_glides(axis: tuple[int, int, int], operations: Operations) -> bool:
    """Whether mirror planes, glide planes and the centring alone cause the absences along an axis."""
    rotations, shifts = operations
    along = np.arange(1, 13)[:, None] * np.array(axis)
    use = (np.trace(rotations, axis1=1, axis2=2) == 3) | (
        (np.trace(rotations, axis1=1, axis2=2) == 1) & (np.linalg.det(rotations) < 0)
    )
    return bool((extinct(along, (rotations[use], shifts[use])) == extinct(along, operations)).all())


def _shared(marks: Iterable[str | None]) -> str:
    found = set(marks)
    return ",".join(sorted(mark for mark in found if mark)) if None not in found else ""


def _glide(text: str) -> str | None:
    return next((letter for letter in text if letter in "abcdne"), None)


def _screw(text: str) -> str | None:
    axis = text.split("/")[0]
    is_screw = len(axis) == 2 and axis[0] in "2346" and axis[1] in "12345"
    return _SAME_ABSENCES.get(axis, axis) if is_screw else None


@functools.cache
def standard_extinction_symbol(space_group: int) -> str:
    """Extinction symbol of a space group in its standard setting; empty if no class holds it."""
    group = standard_setting(space_group)
    centring, family = group.hm[0], lattice_family(group.crystal_system_str())
    for extinction in extinction_classes(family, centring):
        for setting in extinction.settings:
            if setting.space_group == space_group and np.allclose(setting.to_standard, np.eye(3)):
                return extinction.symbol
    return ""
