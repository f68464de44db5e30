"""Derive the extinction classes of all lattices from the symmetry operations of gemmi's table of 564 settings.

Nothing is typed in. ``python -m alphadiffract_plugin.crystal.derive_extinction`` prints the table that ``extinction``
reads, ``data/extinction_classes.json``: to derive it at every start would take half a second.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from alphadiffract_plugin.arrays import Ints
from alphadiffract_plugin.crystal.symmetry import (
    Operations,
    extinct,
    lattice_family,
    operations_from_space_group,
    operations_of,
    short_symbol,
    standard_setting,
)

if TYPE_CHECKING:
    import gemmi

LATTICES = {
    "cubic": "PIF",
    "hexagonal": "PR",
    "tetragonal": "PI",
    "orthorhombic": "PCIFA",
    "monoclinic": "PC",
    "triclinic": "P",
}
"""Centrings by lattice family; A is that of the standard settings of some orthorhombic groups."""


def table() -> dict[str, Any]:
    """The classes of every lattice, and the changes of axes of the monoclinic groups, in plain numbers.

    Axes are in twenty-fourths, matrices row by row.
    """
    lattices = [(family, centring) for family, letters in LATTICES.items() for centring in letters]
    return {
        "classes": {f"{family} {centring}": _classes(family, centring) for family, centring in lattices},
        "same_symbol": {str(n): _same_symbol(n).reshape(-1, 9).tolist() for n in range(3, 16)},
    }


def _classes(family: str, centring: str) -> list[dict[str, Any]]:
    grid = np.array(list(itertools.product(range(-6, 7), range(0, 7), range(0, 7))))
    grid = grid[np.any(grid != 0, 1)]
    groups: defaultdict[bytes, list[tuple[gemmi.SpaceGroup, Operations]]] = defaultdict(list)
    for group in _settings(family, centring):
        operations = operations_of(group)
        groups[extinct(grid, operations).tobytes()].append((group, operations))
    classes = []
    for members in groups.values():
        seen: dict[int, list[Any]] = {}
        for group, _ in members:
            seen.setdefault(group.number, [group.number, short_symbol(group), _to_standard(group)])
        rotations, shifts = _telling(members[0][1])
        classes.append(
            {
                "symbol": _symbol([short_symbol(group) for group, _ in members], family, members[0][1]),
                "settings": list(seen.values()),
                "rotations": rotations.reshape(-1, 9).tolist(),
                "translations": shifts.tolist(),
            }
        )
    absences = [int(np.frombuffer(key, bool).sum()) for key in groups]
    classes = [classes[i] for i in np.argsort(absences, kind="stable")]
    classes[0]["symbol"] = " ".join([centring, *("-" for _ in _axes(family, centring))])
    return classes


def _telling(operations: Operations) -> Operations:
    """The operations that all absences come from: those that add none, seen on indices up to 6, are left out."""
    rotations, shifts = operations
    grid = np.array(list(itertools.product(range(-6, 7), repeat=3)))
    fixed = np.array([(grid @ turn == grid).all(1) for turn in rotations])
    absent = fixed & ((shifts @ grid.T) % 24 != 0)
    so_far, kept = np.zeros(len(grid), bool), []
    for i in np.argsort(-absent.sum(1), kind="stable"):
        if (absent[i] & ~so_far).any():
            so_far |= absent[i]
            kept.append(i)
    return rotations[kept], shifts[kept]


def _settings(family: str, centring: str) -> list[gemmi.SpaceGroup]:
    import gemmi

    def fits(group: gemmi.SpaceGroup) -> bool:
        if lattice_family(group.crystal_system_str()) != family or group.ext == "R":
            return False
        if family == "monoclinic" and (group.monoclinic_unique_axis() != "b" or group.qualifier.startswith("-b")):
            return False
        return group.hm[0] == centring and "a)" not in group.hm and not group.hm.endswith(("2a", "3a"))

    return [group for group in gemmi.spacegroup_table() if fits(group)]


def _to_standard(group: gemmi.SpaceGroup) -> list[int]:
    """Columns: axes of the standard setting in twenty-fourths of those at hand, row by row."""
    there = standard_setting(group.number).basisop
    combined = there.inverse() * group.basisop
    return (np.array(combined.rot) * (24 // combined.DEN)).ravel().tolist()


def _same_symbol(space_group: int) -> Ints:
    """Changes of axes that keep the standard symbol of a monoclinic group, shape (n, 3, 3)."""
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


if __name__ == "__main__":
    print(json.dumps(table(), separators=(",", ":")))
