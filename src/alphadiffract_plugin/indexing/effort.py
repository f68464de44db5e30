"""How much work a search does: a table of numbers for each level of effort, none of them a time.

``normal`` is what the benchmark's figures are measured with: its numbers were chosen on measured patterns with known
cells as those beyond which fewer than one more cell in a hundred was found. ``quick`` leaves out what is rarely needed
for easy patterns. ``thorough`` doubles or so what ``normal`` does in every direction and takes larger cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HIGH, MONOCLINIC, TRICLINIC = ("cubic", "hexagonal", "tetragonal", "orthorhombic"), ("monoclinic",), ("triclinic",)


@dataclass(frozen=True)
class Effort:
    """The numbers of one level. Mappings go by the number of free parameters of a lattice: 1, 2, 3, 4 or 6."""

    families: tuple[tuple[str, ...], ...] = (HIGH, MONOCLINIC, TRICLINIC)
    """Families of lattices searched one after another, the search ending when the best cell is clearly right."""
    zero_shifts: tuple[float, ...] = (0.03, -0.03)
    """Zero shifts in degrees around which cells are proposed: with the window of the screening they reach as far as
    those of most diffractometers; least squares refines them."""
    more_zero_shifts: tuple[float, ...] = (0.09, -0.09)
    """And these for lattices of one or two parameters, where they cost nothing and badly aligned samples are found."""
    first_lines: tuple[tuple[int, int], ...] = ((1, 10), (2, 12), (3, 11), (4, 9))
    """By number of parameters, so many of the first trusted lines are given indices, which leaves a few strangers."""
    quadruples: tuple[int, int] = (26, 2000)
    """So many low indices, and sets of four of them, that monoclinic cells are proposed from."""
    index_range: float = 1.0
    """Factor of the largest h² + k² + l² of every list of indices."""
    axes: int = 12
    """Three of so many lowest trusted lines are taken for the axes of a triclinic cell."""
    zones: int = 12
    """Zones kept of each pair of them."""
    held: tuple[tuple[int, int], ...] = ((1, 300), (2, 300), (3, 900), (4, 4000), (6, 3600))
    """By number of parameters, best cells held by the screening around one zero shift; many of them are the same."""
    refined: tuple[tuple[int, int], ...] = ((1, 200), (2, 250), (3, 800), (4, 800), (6, 800))
    """By number of parameters, so many of these at most, each different, are pulled onto the lines."""
    doubled: int = 30
    """So many of the best lattices are tried with twice their volume: half a cell leaves only its weak lines over."""

    def zero_shifts_of(self, free: int) -> tuple[float, ...]:
        """Zero shifts in degrees for a lattice of so many parameters."""
        return self.zero_shifts + (self.more_zero_shifts if free < 3 else ())


_NORMAL = Effort()
EFFORTS = {
    "quick": replace(
        _NORMAL,
        families=(HIGH, MONOCLINIC),
        more_zero_shifts=(),
        first_lines=((1, 8), (2, 9), (3, 8), (4, 7)),
        held=((1, 200), (2, 200), (3, 500), (4, 2000), (6, 2000)),
        refined=((1, 100), (2, 100), (3, 300), (4, 400), (6, 400)),
        doubled=0,
    ),
    "normal": _NORMAL,
    "thorough": replace(
        _NORMAL,
        zero_shifts=(0.03, -0.03, 0.09, -0.09),
        more_zero_shifts=(),
        first_lines=((1, 14), (2, 16), (3, 14), (4, 11)),
        quadruples=(32, 4000),
        index_range=1.6,
        axes=15,
        zones=16,
        held=((1, 600), (2, 600), (3, 2000), (4, 8000), (6, 8000)),
        refined=((1, 400), (2, 500), (3, 1600), (4, 1600), (6, 1600)),
        doubled=60,
    ),
}
"""By name, the levels of ``SearchSettings.effort``."""
