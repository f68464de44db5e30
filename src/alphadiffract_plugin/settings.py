"""Every setting of the product: one frozen record a step, each field with its default, unit and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

from alphadiffract_plugin.records import Record


@dataclass(frozen=True, eq=False)
class NetworkSettings(Record):
    """How the network is asked."""

    model: str = "default"
    """Name of a model (see ``models list``), or the path of a model folder."""
    device: str = "auto"
    """``auto`` (the GPU if there is one), ``cpu`` or ``cuda``."""
    augmentations: int = 4
    """Copies of the pattern, slightly shifted and noisy, whose answers are averaged."""


@dataclass(frozen=True, eq=False)
class PeakSettings(Record):
    """How lines are found."""

    significance: float = 4.0
    """A line's height over its noise must reach this."""
    most: int = 60
    """At most so many lines are kept, the lowest angles first."""


@dataclass(frozen=True, eq=False)
class SearchSettings(Record):
    """How cells are searched."""

    lines: int = 20
    """Number of lowest-angle lines that a cell must explain."""
    impurities: int = 3
    """Lines among them that may stay unexplained; the indexer ``gsasii`` drops cells with more, ours weighs each."""
    volume_min: float = 20.0
    """Smallest primitive-cell volume in Å³."""
    volume_max: float = 3000.0
    """Largest conventional-cell volume in Å³."""
    length_max: float = 40.0
    """Longest cell edge in Å."""
    seconds: float = 60.0
    """After so many seconds no further lattice is begun: a safeguard, far above what a search takes."""
    keep: int = 40
    """Distinct lattices handed to the next step."""


@dataclass(frozen=True, eq=False)
class RankSettings(Record):
    """How answers are ranked."""

    keep: int = 20
    """Ranked answers in the result."""


@dataclass(frozen=True, eq=False)
class SeedSettings(Record):
    """How a refinement is seeded."""

    keep: int = 5
    """Candidates that become phases or CIF files; only the first is used in the fit."""
    cycles: int = 3
    """Least-squares cycles a step."""
    overwrite: bool = False
    """Whether existing output may be replaced."""


@dataclass(frozen=True, eq=False)
class Settings(Record):
    """All settings of one run; written beside every result."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    """How the network is asked."""
    peaks: PeakSettings = field(default_factory=PeakSettings)
    """How lines are found."""
    search: SearchSettings = field(default_factory=SearchSettings)
    """How cells are searched."""
    rank: RankSettings = field(default_factory=RankSettings)
    """How answers are ranked."""
    seed: SeedSettings = field(default_factory=SeedSettings)
    """How a refinement is seeded."""
    random_seed: int = 20260101
    """Seed of everything random."""
