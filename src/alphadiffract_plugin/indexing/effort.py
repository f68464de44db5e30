"""How much work a search does: for each level of effort a table of numbers, none of which is a time.

The figures of the benchmark are measured with ``normal``. ``quick`` leaves out what easy patterns rarely need.
``thorough`` does about twice as much as ``normal`` in every respect. Where no cell is clearly right after the fit,
``normal`` goes on with nearly the numbers of ``thorough``, and ``thorough`` with larger ones: of 23 measured patterns
whose lattice ``normal`` alone did not find, longer lists of indices found seven, all numbers together thirteen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HIGH, MONOCLINIC, TRICLINIC = ("cubic", "hexagonal", "tetragonal", "orthorhombic"), ("monoclinic",), ("triclinic",)


@dataclass(frozen=True)
class Effort:
    """The numbers of one level. Pairs begin with the number of free parameters of a lattice: 1, 2, 3, 4 or 6."""

    families: tuple[tuple[str, ...], ...] = (HIGH, MONOCLINIC, TRICLINIC)
    """Families of lattices that are searched one after the other, until the best cell is clearly right."""
    zero_shifts: tuple[float, ...] = (0.03, -0.03)
    """Zero shifts in degrees for which cells are proposed. Within the window of the screening they cover most
    diffractometers; least squares refines them."""
    more_zero_shifts: tuple[float, ...] = (0.09, -0.09)
    """Further zero shifts for lattices of one or two parameters, which take little time, for misaligned samples."""
    first_lines: tuple[tuple[int, int], ...] = ((1, 10), (2, 12), (3, 11), (4, 9))
    """By number of parameters, the number of the first trusted lines to which indices are assigned. A few of these
    lines may be of impurities."""
    quadruples: tuple[int, int] = (26, 2000)
    """Number of low indices, and of sets of four of them, from which monoclinic cells are proposed."""
    index_range: float = 1.0
    """Factor of the largest h² + k² + l² in every list of indices."""
    axes: int = 12
    """Number of the first trusted lines of which three are the axes of a triclinic cell."""
    zones: int = 12
    """Number of zones kept of each pair of these lines."""
    held: tuple[tuple[int, int], ...] = ((1, 300), (2, 300), (3, 900), (4, 4000), (6, 3600))
    """By number of parameters, the number of best cells that the screening keeps for one zero shift; many are equal."""
    refined: tuple[tuple[int, int], ...] = ((1, 200), (2, 250), (3, 800), (4, 800), (6, 800))
    """By number of parameters, the largest number of different ones among these that are refined."""
    doubled: int = 30
    """Number of the best lattices that are tried with twice their volume: half of the true cell leaves only weak lines
    unexplained."""
    tripled: int = 3
    """Number of the best lattices that are tried with three times their volume."""
    further: Effort | None = None
    """What is searched in addition, in all families, if none of the cells is clearly right after the fit."""

    def zero_shifts_of(self, free: int) -> tuple[float, ...]:
        """Zero shifts in degrees for a lattice of so many parameters."""
        return self.zero_shifts + (self.more_zero_shifts if free < 3 else ())


_THOROUGH = Effort(
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
    tripled=20,
)
_DEEPEST = replace(_THOROUGH, quadruples=(40, 8000), index_range=2.5, axes=18, zones=24)
_NORMAL = Effort(further=replace(_THOROUGH, zero_shifts=(0.03, -0.03), more_zero_shifts=(0.09, -0.09)))
EFFORTS = {
    "quick": replace(
        _NORMAL,
        families=(HIGH, MONOCLINIC),
        more_zero_shifts=(),
        first_lines=((1, 8), (2, 9), (3, 8), (4, 7)),
        held=((1, 200), (2, 200), (3, 500), (4, 2000), (6, 2000)),
        refined=((1, 100), (2, 100), (3, 300), (4, 400), (6, 400)),
        doubled=0,
        tripled=0,
        further=None,
    ),
    "normal": _NORMAL,
    "thorough": replace(_THOROUGH, further=_DEEPEST),
}
"""The levels of ``SearchSettings.effort`` by name."""
