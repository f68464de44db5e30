"""Extinction classes: which space groups, in which settings, have the same systematic absences on given axes.

A class belongs to one Bravais lattice; each of its settings says how to transform the given axes into those of the
standard setting. All classes are read from a table that ``derive_extinction`` derives from gemmi's operations.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from alphadiffract_plugin.arrays import Bools, Floats, Ints
from alphadiffract_plugin.crystal.cells import Cell, cell_from_direct_metric, direct_metric_from_cell
from alphadiffract_plugin.crystal.symmetry import (
    Operations,
    extinct,
    lattice_family,
    standard_setting,
    symbol_from_space_group,
)

_SAME_AXES = [[1, 0, 0, 0, 1, 0, 0, 0, 1]]


@dataclass(frozen=True, eq=False)
class Setting:
    """One space group on the axes of its class."""

    space_group: int
    """International number."""
    symbol: str
    """Hermann-Mauguin symbol of the setting, e.g. ``P n a m``."""
    to_standard: Floats
    """Columns: axes of the standard setting in terms of the axes of the class, shape (3, 3)."""
    same_symbol: Ints
    """Changes of the standard axes that keep the symbol of a monoclinic group, shape (n, 3, 3); else the identity."""

    def standard_axes(self, cell: Cell) -> Floats:
        """Columns: axes of the standard setting for a cell (Å, degrees), shape (3, 3).

        They are those of ``to_standard``. For a monoclinic cell several pairs of a and c may have the same symbol; the
        pair whose angle is nearest to 90 degrees, and obtuse, is taken.
        """
        choices = self.to_standard @ self.same_symbol
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
    """Rotations and translations (24ths) of one member: those of them that all absences of the class come from."""

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
    table = _table()
    return tuple(
        ExtinctionClass(
            symbol=entry["symbol"],
            settings=tuple(
                Setting(
                    number,
                    symbol,
                    np.array(axes).reshape(3, 3) / 24,
                    _changes_that_keep_the_symbol(number),
                )
                for number, symbol, axes in entry["settings"]
            ),
            operations=(
                np.array(entry["rotations"], np.int64).reshape(-1, 3, 3),
                np.array(entry["translations"], np.int64).reshape(-1, 3),
            ),
        )
        for entry in table["classes"][f"{family} {centring}"]
    )


def lines_of_classes(classes: Sequence[ExtinctionClass], hkl: Ints, first: Ints) -> Bools:
    """Which lines are present in each of C classes, shape (C, R).

    Parameters
    ----------
    hkl : indices, those of one line together, shape (H, 3).
    first : where the indices of each of the R lines begin, and H, shape (R + 1,).
    """
    from alphadiffract_plugin.crystal.reflection_kernels import lines_left

    rotations, shifts = (np.concatenate(parts) for parts in zip(*(c.operations for c in classes), strict=True))
    begin = np.cumsum([0, *(len(c.operations[0]) for c in classes)])
    return lines_left(hkl, first, rotations, shifts, begin)


def setting_of_group(space_group: int) -> Setting:
    """A space group on the axes of its own standard setting."""
    symbol = symbol_from_space_group(space_group)
    return Setting(space_group, symbol, np.eye(3), _changes_that_keep_the_symbol(space_group))


def _changes_that_keep_the_symbol(space_group: int) -> Ints:
    """See :attr:`Setting.same_symbol`."""
    changes: Ints = np.array(_table()["same_symbol"].get(str(space_group), _SAME_AXES)).reshape(-1, 3, 3)
    return changes


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(
        files("alphadiffract_plugin").joinpath("data/extinction_classes.json").read_text()
    )
    return table


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
