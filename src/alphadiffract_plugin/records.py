"""The records that the steps exchange: frozen, documented field by field, equal after a round trip through JSON.

Angles are in degrees, lengths in Å; ``inv_d2`` is 1/d² in 1/Å². A cell is ``(a, b, c, alpha, beta, gamma)``. That of a
:class:`Candidate` is the conventional cell in the standard setting of its space group (b unique for monoclinic groups,
hexagonal axes for rhombohedral ones); that of a :class:`LatticeProposal` is a Niggli-reduced cell.
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
    """One measured constant-wavelength powder pattern; its angles ascend between 0 and 180 degrees."""

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
    """Its name in tables, plots and file names; no method reads it."""
    source: str = ""
    """Where it came from: path and reader, 'arrays', or 'GSAS-II project'."""

    def __post_init__(self) -> None:
        freeze(self, "two_theta", "intensity", "esd")

    @property
    def wavelength(self) -> float:
        """Wavelength in Å of the line that positions refer to (Kα1)."""
        return self.wavelengths[0]


@dataclass(frozen=True, eq=False)
class Peaks(Record):
    """Diffraction lines found in a histogram, ascending in two_theta; a Kα1-Kα2 pair is one line."""

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
    """A lattice that the network proposes."""

    crystal_system: str
    """One of ``CRYSTAL_SYSTEMS``."""
    cell: Cell
    """Niggli-reduced cell (Å, degrees), too rough to be refined directly."""
    spread: Cell
    """Standard deviation of each of the six over the answers that were averaged, and within them (Å, degrees)."""
    weight: float
    """The network's probability of this crystal system, or of this Bravais lattice if it distinguishes them."""


@dataclass(frozen=True, eq=False)
class Prediction(Record):
    """The network's prediction for one histogram."""

    crystal_system_probability: Floats
    """Probability of each of ``CRYSTAL_SYSTEMS``, shape (7,), sums to 1."""
    space_group_probability: Floats
    """Probability of space groups 1 to 230, shape (230,), sums to 1."""
    lattices: tuple[LatticeProposal, ...]
    """Proposed lattices, the most probable first."""
    member_space_group_probability: Floats
    """``space_group_probability`` of each member of the ensemble, shape (M, 230)."""
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
    """Probability of this cell with this space group, 0 to 1. Without a cell: probability that none of the cells is
    right and that this is the space group."""
    extinction_symbol: str = ""
    """Extinction symbol of the International Tables, such as ``P n a -``. Groups with the same symbol differ in the
    intensities of their lines only. Empty where absences were not tested."""
    same_extinctions: tuple[int, ...] = ()
    """Numbers of all space groups with the same systematic absences in this cell, ``space_group`` among them. The
    positions of the lines cannot distinguish these groups."""
    m20: float = math.nan
    """Figure of merit M20 of de Wolff (1968) over the first 20 indexed lines, or all if there are fewer."""
    f20: float = math.nan
    """Figure of merit F_N of Smith & Snyder (1979) over the same lines."""
    lines_used: int = 0
    """Number of observed lines that ``m20`` and ``f20`` refer to."""
    unindexed: tuple[float, ...] = ()
    """two_theta in degrees of the lines found, up to the 45th, that no allowed reflection explains."""
    zero_shift: float = 0.0
    """two_theta(observed) − two_theta(calculated) in degrees, refined with the cell."""
    displacement: float = 0.0
    """Shift of two_theta by a displaced sample in degrees, times cos θ; refined with the cell."""
    rwp: float = math.nan
    """Weighted profile residual in per cent of this program's own Le Bail fit up to the 45th line, with line shape and
    background refined; NaN where no fit was made."""
    origin: str = ""
    """The step that proposed the cell, or the space group if there is no cell: ``network`` or ``search``."""

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
    """The answer of an indexer for one histogram."""

    histogram: str
    """``Histogram.name``."""
    indexer: str
    """Name of the indexer that answered."""
    wavelength: float
    """Wavelength in Å that positions refer to."""
    candidates: tuple[Candidate, ...]
    """Ranked, the most probable first; empty if nothing explains the pattern."""
    peaks: Peaks | None = None
    """The lines that were used; None if the indexer uses none."""
    prediction: Prediction | None = None
    """The network's prediction; None if no network was used."""
    notes: tuple[str, ...] = ()
    """What a reader should know about this answer, in sentences."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The resolved settings, as JSON types."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of this package and of the libraries that it used."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each step."""
    wavelengths: tuple[float, ...] = ()
    """``Histogram.wavelengths``: one wavelength in Å, or Kα1 and Kα2; empty if the indexer does not say."""


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
    """What a seeder made, and the outcome of its fit."""

    seeder: str
    """Name of the seeder."""
    target: str
    """The file or folder that was made."""
    files: tuple[str, ...]
    """Every file made, below or beside ``target``."""
    phases: tuple[str, ...]
    """Names of the phases; the fit uses the first."""
    converged: bool | None = None
    """Whether the fit converged; None if none was run."""
    rwp: float = math.nan
    """Rwp in per cent after the fit."""
    gof: float = math.nan
    """Goodness of fit after the fit."""
    cell: Cell | None = None
    """Refined cell of the first phase (Å, degrees)."""
    cell_esd: Cell | None = None
    """Its standard uncertainties."""
    steps: tuple[tuple[str, float], ...] = ()
    """The steps of the refinement in order, each with Rwp in per cent after it."""
    notes: tuple[str, ...] = ()
    """What a reader should know about the seed, in sentences."""
    control: RandomCellControl | None = None
    """The candidates beside random cells in the same short fit; None if no control was made."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The resolved settings, as JSON types."""
    method: str = ""
    """``Le Bail`` or ``Rietveld``, the last fit whose outcome was kept; empty if none was run."""
