"""Every setting of the product: one frozen record a step, each field with its default, unit and meaning."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field, fields

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.json_record import Record

DEVICES = ("auto", "cpu", "cuda")
"""Where torch may compute."""
LINES = (5, 30)
"""Fewest and most lines of a search: fewer determine no cell, and the screening holds them as bits of 32."""


def _check(settings: Record, **least: float) -> None:
    """Refuse a number that is no finite one, is below its least value, or is no whole one where it counts things.

    A least value of 0 for a field of type float means above 0.
    """
    kinds = {f.name: f.type for f in fields(settings)}
    for name, bound in least.items():
        value, whole = getattr(settings, name), kinds[name] == "int"
        number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
        if number and math.isfinite(value) and (value >= bound if whole else value > bound):
            continue
        _refuse(settings, name, f"{'a whole number of at least' if whole else 'a number above'} {bound:g}")


def _refuse(settings: Record, name: str, allowed: str) -> None:
    raise SettingsError(f"{type(settings).__name__}.{name} is {getattr(settings, name)!r}", fix=f"give {allowed}")


@dataclass(frozen=True, eq=False)
class NetworkSettings(Record):
    """How the network is asked."""

    model: str = "default"
    """Name of a model (see ``models list``), or the path of a model folder."""
    device: str = "auto"
    """``auto`` (the GPU if there is one), ``cpu`` or ``cuda``."""
    augmentations: int = 4
    """Copies of the pattern, slightly shifted and noisy, whose answers are averaged; at least 1."""

    def __post_init__(self) -> None:
        _check(self, augmentations=1)
        if self.device not in DEVICES:
            raise SettingsError(f"no device {self.device!r}", fix="choose auto, cpu or cuda")


@dataclass(frozen=True, eq=False)
class PeakSettings(Record):
    """How lines are found."""

    significance: float = 4.0
    """A line's height over its noise, and its area over its uncertainty, must reach this; above 0."""
    most: int = 60
    """At most so many lines are kept, the lowest angles first; at least 4."""

    def __post_init__(self) -> None:
        _check(self, significance=0, most=4)


@dataclass(frozen=True, eq=False)
class SearchSettings(Record):
    """How cells are searched."""

    lines: int = 20
    """Number of lowest-angle lines by which a cell is judged, 5 to 30."""
    impurities: int = 3
    """Lines among them that may stay unexplained; the indexer ``gsasii`` drops cells with more, ours weighs each."""
    volume_min: float = 20.0
    """Smallest primitive-cell volume in Å³; above 0."""
    volume_max: float = 3000.0
    """Largest conventional-cell volume in Å³, 1.5 times that for centred cells; above ``volume_min``. Cells that the
    network proposes are not bounded."""
    length_max: float = 40.0
    """Longest cell edge in Å."""
    seconds: float = 60.0
    """After so many seconds no further lattice is begun: a safeguard, far above what a search takes; above 0."""
    keep: int = 40
    """Distinct lattices handed to the next step; at least 1."""

    def __post_init__(self) -> None:
        _check(self, lines=LINES[0], impurities=0, volume_min=0, volume_max=0, length_max=0, seconds=0, keep=1)
        if self.lines > LINES[1]:
            _refuse(self, "lines", f"{LINES[0]} to {LINES[1]}")
        if self.volume_max <= self.volume_min:
            _refuse(self, "volume_max", f"more than volume_min, {self.volume_min:g}")


@dataclass(frozen=True, eq=False)
class RankSettings(Record):
    """How answers are ranked."""

    keep: int = 20
    """Ranked answers in the result; at least 1."""

    def __post_init__(self) -> None:
        _check(self, keep=1)


@dataclass(frozen=True, eq=False)
class SeedSettings(Record):
    """How a refinement is seeded."""

    keep: int = 5
    """Candidates that become phases or CIF files; only the first is used in the fit; at least 1."""
    cycles: int = 3
    """Least-squares cycles a step; at least 1."""
    overwrite: bool = False
    """Whether existing output may be replaced."""

    def __post_init__(self) -> None:
        _check(self, keep=1, cycles=1)


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
    """Seed of everything random; at least 0."""

    def __post_init__(self) -> None:
        _check(self, random_seed=0)
