"""The records that cross the seams: frozen, documented field by field, equal after a JSON round trip.

Angles are in degrees, lengths in angstrom; ``inv_d2`` is 1/d² in 1/Å² (never "Q"). A cell is always
``(a, b, c, alpha, beta, gamma)`` of the conventional cell in the standard setting (b unique for monoclinic,
hexagonal axes for rhombohedral).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import inv_d2_from_two_theta
from alphadiffract_plugin.crystal.cells import Cell, volume_from_cell
from alphadiffract_plugin.crystal.symmetry import (
    CRYSTAL_SYSTEMS,
    crystal_system_from_space_group,
    symbol_from_space_group,
)
from alphadiffract_plugin.json_record import Record, freeze

__all__ = [
    "CRYSTAL_SYSTEMS",
    "Candidate",
    "Cell",
    "ControlFit",
    "Histogram",
    "IndexingResult",
    "LatticeProposal",
    "Peaks",
    "Prediction",
    "RandomCellControl",
    "SeedReport",
]

BETTER_THAN_CHANCE = 0.67
"""Largest ratio of the excess chi squared of a fit to that of the best random cell that still counts as better than
chance. The excess is what exceeds the chi squared of the noise alone. Two thirds was chosen by hand: right cells of the
test patterns stay far below it (0.02 to 0.12), and wrong ones come out at 1 or above."""


@dataclass(frozen=True, eq=False)
class Histogram(Record):
    """One measured constant-wavelength powder pattern, checked: ascending finite two_theta in (0, 180)."""

    two_theta: Floats
    """Diffraction angle in degrees, shape (N,), strictly ascending."""
    intensity: Floats
    """Counts or any intensity linear in counts, shape (N,)."""
    esd: Floats | None
    """Standard uncertainty of ``intensity``, shape (N,), > 0; None where the file gives none."""
    wavelengths: tuple[float, ...]
    """Wavelength in Å: one number, or Kα1 and Kα2."""
    kalpha2_ratio: float = 0.0
    """Intensity of Kα2 over Kα1; 0 for a single wavelength."""
    radiation: str = "xray"
    """``xray`` or ``neutron``."""
    instrument: dict[str, float | str] = field(default_factory=dict)
    """Instrument parameters under GSAS-II's names (U, V, W, X, Y, Z, SH/L, Zero, Polariz. ...), as far as known."""
    name: str = "histogram"
    """What to call it in tables, plots and file names; never an input of any method."""
    source: str = ""
    """Where it came from: path and reader, or 'arrays', or 'GSAS-II project'."""

    def __post_init__(self) -> None:
        freeze(self, "two_theta", "intensity", "esd")

    @property
    def wavelength(self) -> float:
        """Wavelength in Å of the line that positions refer to (Kα1)."""
        return self.wavelengths[0]


@dataclass(frozen=True, eq=False)
class Peaks(Record):
    """Diffraction lines found in a histogram, ascending in two_theta, Kα2 resolved."""

    two_theta: Floats
    """Position of the Kα1 line in degrees, shape (P,)."""
    two_theta_esd: Floats
    """Standard uncertainty of the position in degrees, shape (P,)."""
    area: Floats
    """Integrated intensity (Kα1 and Kα2 together) in counts × degrees, shape (P,)."""
    fwhm: Floats
    """Full width at half maximum in degrees, shape (P,)."""
    significance: Floats
    """Area over its standard uncertainty, shape (P,)."""
    wavelength: float
    """Wavelength in Å that ``two_theta`` refers to."""

    def __post_init__(self) -> None:
        freeze(self, "two_theta", "two_theta_esd", "area", "fwhm", "significance")

    def __len__(self) -> int:
        return len(self.two_theta)

    @property
    def inv_d2(self) -> Floats:
        """1/d² in 1/Å², shape (P,)."""
        return inv_d2_from_two_theta(self.two_theta, self.wavelength)


@dataclass(frozen=True, eq=False)
class LatticeProposal(Record):
    """One lattice that the network proposes."""

    crystal_system: str
    """One of ``CRYSTAL_SYSTEMS``."""
    cell: Cell
    """Niggli-reduced cell as the network gives it (Å, degrees): coarse, never to be refined directly."""
    spread: Cell
    """Standard deviation of each of the six, within and between the answers averaged (Å, degrees)."""
    weight: float
    """Probability that the network gives this crystal system, or this centring of it where it tells them apart."""


@dataclass(frozen=True, eq=False)
class Prediction(Record):
    """What the network says of one histogram."""

    crystal_system_probability: Floats
    """Probability of each of ``CRYSTAL_SYSTEMS``, shape (7,), sums to 1."""
    space_group_probability: Floats
    """Probability of space groups 1 to 230, shape (230,), sums to 1."""
    lattices: tuple[LatticeProposal, ...]
    """Proposed lattices, the most probable first."""
    member_space_group_probability: Floats
    """The same per ensemble member, shape (M, 230)."""
    model: str
    """Name of the model folder."""

    def __post_init__(self) -> None:
        freeze(self, "crystal_system_probability", "space_group_probability", "member_space_group_probability")


@dataclass(frozen=True, eq=False)
class Candidate(Record):
    """One answer: a conventional cell with a space group, and the evidence for it."""

    cell: Cell
    """(a, b, c, alpha, beta, gamma) in Å and degrees, standard setting; NaN where none was found."""
    cell_esd: Cell
    """Standard uncertainties of ``cell``, alike where symmetry makes values alike; 0 for angles that symmetry fixes,
    NaN where unknown."""
    space_group: int
    """International number, 1 to 230."""
    space_group_symbol: str
    """Hermann-Mauguin symbol with blanks between the axes, as GSAS-II takes it: ``P n m a``."""
    crystal_system: str
    """One of ``CRYSTAL_SYSTEMS``."""
    probability: float
    """Probability of this cell with this space group, 0 to 1; without a cell, of this group and of no cell found."""
    extinction_symbol: str = ""
    """The extinction class in the notation of the International Tables, e.g. ``P n a -``; its groups differ only
    in intensities. Empty where it was not tested."""
    same_extinctions: tuple[int, ...] = ()
    """All space groups whose reflections are extinct alike in this cell: the pattern's line positions cannot
    tell them apart. Holds ``space_group``."""
    m20: float = math.nan
    """Figure of merit of de Wolff (1968) over the first 20 lines (fewer if fewer were found)."""
    f20: float = math.nan
    """Figure of merit of Smith & Snyder (1979) over the same lines."""
    lines_used: int = 0
    """Number of observed lines that ``m20`` and ``f20`` refer to."""
    unindexed: tuple[float, ...] = ()
    """two_theta in degrees of the found lines, up to the 45th, that no reflection of the group explains."""
    zero_shift: float = 0.0
    """two_theta(observed) − two_theta(calculated) in degrees, refined with the cell."""
    displacement: float = 0.0
    """Further shift of two_theta by a displaced sample, in degrees at θ = 0, refined too; it goes with cos θ."""
    rwp: float = math.nan
    """Weighted profile residual in per cent of our own Le Bail fit up to the 45th line, line shape and background
    refined; NaN where none was made."""
    origin: str = ""
    """Which step proposed the cell, or the group if there is no cell: ``network`` or ``search``."""

    @classmethod
    def of_group(
        cls, space_group: int, *, cell: Cell, cell_esd: Cell, probability: float, **evidence: Any
    ) -> Candidate:
        """A candidate with the standard symbol and the crystal system of its space group.

        Parameters
        ----------
        space_group : international number; raises ValueError outside 1 to 230.
        cell, cell_esd, probability : the fields of these names.
        evidence : any other field, by its name.
        """
        return cls(
            cell=cell,
            cell_esd=cell_esd,
            space_group=space_group,
            space_group_symbol=symbol_from_space_group(space_group),
            crystal_system=crystal_system_from_space_group(space_group),
            probability=probability,
            **evidence,
        )

    @property
    def has_cell(self) -> bool:
        """Whether a cell was found, and not the space group alone."""
        return all(math.isfinite(value) for value in self.cell)

    @property
    def volume(self) -> float:
        """Cell volume in Å³; NaN without a cell."""
        return float(volume_from_cell(self.cell))


@dataclass(frozen=True, eq=False)
class IndexingResult(Record):
    """What an indexer answers for one histogram."""

    histogram: str
    """``Histogram.name``."""
    indexer: str
    """Name of the indexer that answered."""
    wavelength: float
    """Wavelength in Å that positions refer to."""
    candidates: tuple[Candidate, ...]
    """Ranked, the most probable first; empty if nothing explains the pattern."""
    peaks: Peaks | None = None
    """The lines that were used; None if the indexer picks none."""
    prediction: Prediction | None = None
    """What the network said; None if none was asked."""
    notes: tuple[str, ...] = ()
    """What a reader should know of this answer, in sentences."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The resolved settings, as JSON types."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of this package and of what it used."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each step."""


@dataclass(frozen=True, eq=False)
class ControlFit(Record):
    """One cell in the short Le Bail fit that the random-cell control consists of."""

    name: str
    """Whose cell: ``candidate 1`` in the order of the answer, or ``random cell 1``."""
    space_group_symbol: str
    """Hermann-Mauguin symbol, as in :class:`Candidate`."""
    cell: Cell
    """Cell that the fit started from (Å, degrees)."""
    reflections: int
    """Number of reflections within the range of the control. More reflections make a low Rwp easier to reach."""
    rwp: float
    """Rwp in per cent of the points near the found lines after the short fit, at most 100; NaN where none was made."""


@dataclass(frozen=True, eq=False)
class RandomCellControl(Record):
    """A control experiment: the kept candidates beside random cells, all in the same short Le Bail fit in GSAS-II."""

    candidates: tuple[ControlFit, ...]
    """The kept candidates, in the order of the answer."""
    random_cells: tuple[ControlFit, ...]
    """Cells of the volume and the space group of the first candidate, drawn at random."""
    two_theta: tuple[float, float]
    """Range of all these fits in degrees."""
    background_rwp: float
    """Rwp in per cent of the same points with the background alone, without any cell."""
    noise_rwp: float
    """Rwp in per cent that the noise alone would leave at these points: the expected value."""
    verdict: tuple[str, ...]
    """What follows for the candidates, in sentences."""

    @property
    def beats_random(self) -> bool:
        """Whether the first candidate fits clearly better than chance."""
        return self.beats_chance(self.candidates[0].rwp)

    @property
    def chance_rwp(self) -> float:
        """Rwp in per cent that chance reaches: the lowest of the random cells and of the background alone."""
        fitted = (fit.rwp for fit in self.random_cells if not math.isnan(fit.rwp))
        return min(self.background_rwp, *fitted, 100.0)

    def beats_chance(self, rwp: float) -> bool:
        """Whether an Rwp in per cent is clearly lower than what chance reaches.

        Rwp² is proportional to chi squared, so the test is
        Rwp² - noise² <= ``BETTER_THAN_CHANCE`` * (chance² - noise²), where noise is ``noise_rwp`` and chance is
        ``chance_rwp``. If chance reaches the noise already, no cell passes: the pattern does not determine a cell, or
        its esds are too large.
        """
        excess, excess_by_chance = (value**2 - self.noise_rwp**2 for value in (rwp, self.chance_rwp))
        return excess_by_chance > 0 and max(excess, 0.0) <= BETTER_THAN_CHANCE * excess_by_chance

    def __str__(self) -> str:
        """The fits as a table, followed by the verdict."""
        low, high = self.two_theta
        rows = [f"Short Le Bail fits from {low:.2f} to {high:.2f} degrees, in a scratch copy (Rwp near the lines):"]
        for fit in (*self.candidates, *self.random_cells):
            rwp = "  not fitted" if math.isnan(fit.rwp) else f"Rwp {fit.rwp:5.1f} %"
            cell = " ".join(f"{value:.5g}" for value in fit.cell)
            rows.append(
                f"  {fit.name:<13} {rwp:>11}  {fit.reflections:>4} reflections  {fit.space_group_symbol}, {cell}"
            )
        rows.append(f"  background alone: Rwp {self.background_rwp:.1f} %; noise alone: {self.noise_rwp:.1f} %")
        return "\n".join([*rows, *(f"  {sentence}" for sentence in self.verdict)])


@dataclass(frozen=True, eq=False)
class SeedReport(Record):
    """What a seeder made, and what came of it."""

    seeder: str
    """Name of the seeder."""
    target: str
    """The file or folder that was made."""
    files: tuple[str, ...]
    """Every file made, below or beside ``target``."""
    phases: tuple[str, ...]
    """Names of the phases seeded, the first in use."""
    converged: bool | None = None
    """Whether the Le Bail fit converged; None if none was run."""
    rwp: float = math.nan
    """Rwp in per cent after the fit."""
    gof: float = math.nan
    """Goodness of fit after the fit."""
    cell: Cell | None = None
    """Refined cell of the first phase (Å, degrees)."""
    cell_esd: Cell | None = None
    """Its standard uncertainties."""
    steps: tuple[tuple[str, float], ...] = ()
    """What was refined in turn, with Rwp in per cent after it."""
    notes: tuple[str, ...] = ()
    """What a reader should know."""
    control: RandomCellControl | None = None
    """The candidates beside random cells in the same short fit; None if no control was made."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The resolved settings, as JSON types."""
