"""The records that the recipes take and return: found lines, candidates, atoms, and the result of a fit.

This file needs numpy and the standard library alone. A bundle carries a copy of it beside ``make_project.py``, which
reads the records from ``result.json``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""An array of real numbers."""

CellNumbers = tuple[float, float, float, float, float, float]
"""(a, b, c, alpha, beta, gamma) in Å and degrees."""


@dataclass(frozen=True)
class FoundLines:
    """Diffraction lines found in the pattern, ascending in two_theta; at least one."""

    two_theta: Floats
    """Position of the Kα1 line in degrees, shape (P,)."""
    two_theta_esd: Floats
    """Standard uncertainty of the position in degrees, shape (P,)."""
    area: Floats
    """Integrated intensity (Kα1 and Kα2 together) in counts × degrees, shape (P,)."""
    fwhm: Floats
    """Full width at half maximum in degrees, shape (P,)."""
    wavelength: float
    """Wavelength in Å that ``two_theta`` refers to."""

    @property
    def d(self) -> Floats:
        """Lattice spacing in Å, shape (P,), by Bragg's law: λ / (2 sin θ)."""
        return np.asarray(self.wavelength / (2 * np.sin(np.radians(self.two_theta / 2))))


@dataclass(frozen=True)
class SeedCandidate:
    """A cell with a space group that becomes a phase."""

    cell: CellNumbers
    """Conventional cell in the standard setting, in Å and degrees."""
    space_group_symbol: str
    """Hermann-Mauguin symbol with blanks between the axes, such as ``P n m a``."""
    crystal_system: str
    """One of the seven crystal systems, in lower case."""
    m20: float
    """Figure of merit M20; 0 where it is not known."""
    unindexed: int
    """Number of found lines that no reflection explains."""
    zero_shift: float
    """two_theta(observed) - two_theta(calculated) in degrees, the same for all lines."""
    displacement: float
    """Further shift in degrees at θ = 0 by a displaced sample; it decreases with cos θ."""

    @property
    def low_angle_shift(self) -> float:
        """Shift of the lines at low angles in degrees: both shifts together."""
        return self.zero_shift + self.displacement


@dataclass(frozen=True)
class SeedAnswer:
    """The part of an answer that a GSAS-II project is seeded from."""

    candidates: tuple[SeedCandidate, ...]
    """Ranked, the most probable first."""
    lines: FoundLines | None
    """The lines that were found; None if there are none."""


@dataclass(frozen=True)
class Atom:
    """An atom of a structure that a Rietveld refinement starts from."""

    label: str
    """Its name, such as ``O1``."""
    element: str
    """Chemical symbol, such as ``O``."""
    xyz: tuple[float, float, float]
    """Coordinates in fractions of the edges."""
    occupancy: float = 1.0
    """Fraction of the sites that it occupies."""
    u_iso: float = 0.01
    """Isotropic displacement parameter U in Å²."""


@dataclass(frozen=True)
class RietveldResult:
    """What a Rietveld refinement in GSAS-II came to."""

    converged: bool
    """Whether Rwp settled, lower than at the start, with atoms that explain the intensities."""
    rwp: float
    """Rwp in per cent of all points within the limits; NaN if the first step failed."""
    start_rwp: float
    """Rwp in per cent with the atoms as given and all else as it was, the scale alone refined; NaN as ``rwp``."""
    free_rwp: float
    """Rwp in per cent with free (Le Bail) intensities and all else as at the start or as at the end, whichever is less:
    about the least that atoms could reach."""
    gof: float
    """Goodness of fit; NaN where GSAS-II gives none."""
    cell: CellNumbers | None
    """Refined cell in Å and degrees; None if the first step failed."""
    cell_esd: CellNumbers | None
    """Standard uncertainties of ``cell``."""
    steps: tuple[tuple[str, float], ...]
    """What was refined in turn, and Rwp in per cent after it."""
    notes: tuple[str, ...]
    """What a reader should know, in sentences."""


@dataclass(frozen=True)
class LeBailResult:
    """What a Le Bail fit in GSAS-II came to."""

    converged: bool
    """Whether the cell could be refined and Rwp settled."""
    rwp: float
    """Rwp in per cent of all points within the limits; NaN if the first step failed."""
    line_rwp: float
    """Rwp in per cent of the points within a line width of the found lines; NaN as ``rwp``."""
    gof: float
    """Goodness of fit; NaN where GSAS-II gives none."""
    cell: CellNumbers | None
    """Refined cell in Å and degrees; None if the cell could not be refined: then the project is as it was."""
    cell_esd: CellNumbers | None
    """Standard uncertainties of ``cell``."""
    steps: tuple[tuple[str, float], ...]
    """What was refined in turn, and Rwp in per cent after it."""
    notes: tuple[str, ...]
    """What a reader should know, in sentences."""


def answer_from_json(document: dict[str, Any]) -> SeedAnswer:
    """The answer in the JSON of an IndexingResult whose candidates all have cells."""
    return SeedAnswer(
        candidates=tuple(_candidate(candidate) for candidate in document["candidates"]),
        lines=lines_from_json(document.get("peaks")),
    )


def lines_from_json(document: dict[str, Any] | None) -> FoundLines | None:
    """The lines in the JSON of a Peaks record; None if there are none."""
    if not document or not document["two_theta"]:
        return None
    names = ("two_theta", "two_theta_esd", "area", "fwhm")
    columns = {name: np.array(document[name], dtype=float) for name in names}
    return FoundLines(wavelength=float(document["wavelength"]), **columns)


def cell_from_numbers(values: Any) -> CellNumbers:
    """Six numbers as a cell."""
    a, b, c, alpha, beta, gamma = (float(value) for value in values)
    return a, b, c, alpha, beta, gamma


def volume_of_cell(cell: CellNumbers) -> float:
    """Volume in Å³ of a cell in Å and degrees; NaN for impossible angles."""
    a, b, c, *angles = cell
    ca, cb, cg = (math.cos(math.radians(angle)) for angle in angles)
    square = 1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg
    return a * b * c * math.sqrt(square) if square > 0 else math.nan


def _candidate(document: dict[str, Any]) -> SeedCandidate:
    return SeedCandidate(
        cell=cell_from_numbers(document["cell"]),
        space_group_symbol=document["space_group_symbol"],
        crystal_system=document["crystal_system"],
        m20=float(document["m20"] or 0.0),
        unindexed=len(document["unindexed"]),
        zero_shift=float(document["zero_shift"]),
        displacement=float(document["displacement"]),
    )
