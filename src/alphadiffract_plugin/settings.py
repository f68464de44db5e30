"""Every setting: one frozen record a step, each field with its default, unit, allowed values and meaning.

A new setting is one line here, and the docstring below it. The checks, the options ``--set`` and ``--config`` of the
command line, the table of ``alphadiffract-plugin settings`` and the page of the documentation are made from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from alphadiffract_plugin.errors import SettingsError
from alphadiffract_plugin.setting_fields import SettingInfo, StepSettings, setting, settings_of

Kind = TypeVar("Kind", bound=StepSettings)
LISTED = "'alphadiffract-plugin settings' lists them all"
"""Where a user finds every setting."""
_NEAR = 0.7
"""A key is suggested in place of an unknown one if difflib's ratio of the two is at least this: a slip of the keys
gives 0.9."""
_NOT_YET = {"crystal_system", "crystal_systems", "lattice", "lattices"}
"""Names that users try in vain: all crystal systems and lattices are searched."""
MOST_VOLUME = 100000
"""Largest volume in Å³ that may be asked for: that of a small protein."""
MOST_LENGTH = 500
"""Longest cell edge in Å that may be asked for."""
_LARGEST_VOLUMES = {"quick": 3000.0, "normal": 3000.0, "thorough": 20000.0}
"""Largest volumes in Å³ where none is set: most inorganic cells are smaller than 3000."""


def _refuses_unknown_names(record: type[Kind]) -> type[Kind]:
    """Let a record refuse an unknown name with the message that a wrong key has, in place of Python's TypeError."""
    made = record.__init__
    known = {f.name for f in dataclasses.fields(record)}
    prefix = f"{record._section}." if record._section else ""

    @functools.wraps(made)
    def init(self: Kind, *values: Any, **named: Any) -> None:
        check_keys(f"{prefix}{name}" for name in named if name not in known)
        made(self, *values, **named)

    record.__init__ = init  # type: ignore[method-assign, assignment]  # a dataclass has just made the one that it replaces
    return record


@_refuses_unknown_names
@dataclass(frozen=True, eq=False)
class NetworkSettings(StepSettings, section="network"):
    """How the network is used."""

    model: str = setting("default")
    """Name of a model (see ``alphadiffract-plugin models list``), or the path of a model folder."""
    device: str = setting("auto", choices=("auto", "cpu", "cuda"))
    """Where the network computes; ``auto`` takes the GPU if there is one."""
    augmentations: int = setting(4, least=1, most=1000)
    """The network's answers to so many slightly shifted and noisy copies of the pattern are averaged."""


@_refuses_unknown_names
@dataclass(frozen=True, eq=False)
class PeakSettings(StepSettings, section="peaks"):
    """How lines are found."""

    significance: float = setting(4.0, above=0, most=1000)
    """The height of a line over the noise, and its area over its uncertainty, must reach this ratio."""
    most: int = setting(60, least=4, most=1000)
    """At most so many lines are kept, those at the lowest angles."""


@_refuses_unknown_names
@dataclass(frozen=True, eq=False)
class SearchSettings(StepSettings, section="search"):
    """How cells are searched."""

    lines: int = setting(20, least=5, most=30)
    """Number of lines at the lowest angles that cells are compared with. Fewer than five determine no cell."""
    impurities: int = setting(3, least=0, most=30)
    """A cell ends the search early only if it leaves at most so many of these lines unexplained. It drops no cell of
    the default indexer, where each unexplained line has a penalty instead. The indexer ``gsasii`` drops cells that
    leave more."""
    volume_min: float = setting(20.0, unit="Å³", above=0, most=MOST_VOLUME)
    """Smallest volume of the primitive cell. Changed from its default, it holds for every answer; the default bounds
    only what the search tries."""
    volume_max: float | None = setting(
        None, unit="Å³", above=0, most=MOST_VOLUME, none="3000 Å³ in the search, 20000 Å³ where effort is thorough"
    )
    """Largest volume of the conventional cell in the answers; it must be larger than ``volume_min``. If it is none, the
    search tries cells up to 3000 Å³ (20000 Å³ where ``effort`` is ``thorough``), centred ones up to 1.5 times that, and
    cells that the network proposes may be larger."""
    length_max: float = setting(40.0, unit="Å", above=0, most=MOST_LENGTH)
    """Longest cell edge. Changed from its default, it holds for every answer; the default bounds only what the search
    tries."""
    effort: str = setting("normal", choices=("quick", "normal", "thorough"))
    """How much is searched. ``quick`` takes fewer of the first lines and no triclinic lattice, ``thorough`` takes more
    of everything and larger cells. The search ends earlier if a cell is clearly right; otherwise ``normal`` goes on
    to nearly as much as ``thorough``. The answer depends on the work allowed, never on the speed of the machine."""
    seconds: float | None = setting(None, unit="s", above=0, most=1000000, none="no limit")
    """After this time no further lattice is begun, and a note names those that were not searched. If it is none, there
    is no limit; the indexer ``gsasii``, whose search has no other end, then stops after 60 s."""
    keep: int = setting(40, least=1, most=1000)
    """Number of distinct lattices that go on to the fit of the whole pattern."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.largest_volume <= self.volume_min:
            raise SettingsError(
                f"search.volume_max is {self.largest_volume:g} and search.volume_min is {self.volume_min:g}",
                fix="give a volume_max above volume_min, both in Å³",
            )

    @property
    def largest_volume(self) -> float:
        """Largest volume of a primitive conventional cell in Å³."""
        return _LARGEST_VOLUMES[self.effort] if self.volume_max is None else self.volume_max


@_refuses_unknown_names
@dataclass(frozen=True, eq=False)
class RankSettings(StepSettings, section="rank"):
    """How answers are ranked."""

    keep: int = setting(20, least=1, most=1000)
    """Number of ranked answers in the result."""


@_refuses_unknown_names
@dataclass(frozen=True, eq=False)
class SeedSettings(StepSettings, section="seed"):
    """How a refinement is seeded."""

    keep: int = setting(5, least=1, most=100)
    """Number of candidates that become phases or CIF files; the fit uses the first one alone."""
    cycles: int = setting(3, least=1, most=100)
    """Least-squares cycles in each step of the fit."""
    rietveld: str = setting("")
    """Path of a CIF with which the seeder ``gsasii`` goes on from the Le Bail fit to a Rietveld refinement; empty to
    end with the Le Bail fit."""


@_refuses_unknown_names
@dataclass(frozen=True, eq=False)
class Settings(StepSettings):
    """All settings of one run; the resolved values are written beside every result.

    A section may also be given as a dictionary: ``Settings(search={"volume_max": 800})``.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    """How the network is used."""
    peaks: PeakSettings = field(default_factory=PeakSettings)
    """How lines are found."""
    search: SearchSettings = field(default_factory=SearchSettings)
    """How cells are searched."""
    rank: RankSettings = field(default_factory=RankSettings)
    """How answers are ranked."""
    seed: SeedSettings = field(default_factory=SeedSettings)
    """How a refinement is seeded."""
    random_seed: int = setting(20260101, least=0, most=2**32 - 1)
    """Seed of every random number; the same seed gives the same answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in sections().items():
            given = getattr(self, name)
            if isinstance(given, Mapping):
                check_keys(f"{name}.{key}" for key in given)
                object.__setattr__(self, name, kind(**given))
            elif not isinstance(given, kind):
                raise SettingsError(
                    f"{name} is {given!r}", fix=f"give {kind.__name__}(...), or a dictionary of its settings"
                )

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with other values of some keys: ``{"search.volume_max": 800}``.

        Raises
        ------
        SettingsError : a key is unknown, or a value out of range.
        """
        check_keys(changes)
        by_section: dict[str, dict[str, Any]] = {}
        for key, value in changes.items():
            section, _, name = key.rpartition(".")
            by_section.setdefault(section, {})[name] = value
        replaced = by_section.pop("", {})
        for section, values in by_section.items():
            replaced[section] = dataclasses.replace(getattr(self, section), **values)
        return dataclasses.replace(self, **replaced)


@functools.cache
def sections() -> dict[str, type[StepSettings]]:
    """The records within :class:`Settings`, by the names of its fields."""
    hints = typing.get_type_hints(Settings)
    return {f.name: hints[f.name] for f in dataclasses.fields(Settings) if "allowed" not in f.metadata}


@functools.cache
def every_setting() -> dict[str, SettingInfo]:
    """Every setting by its key, in the order of the records."""
    return {info.key: info for record in (*sections().values(), Settings) for info in settings_of(record)}


def check_keys(keys: Iterable[str]) -> None:
    """Refuse a key that no setting has.

    Raises
    ------
    SettingsError : names the nearest key, and the values that it may have.
    """
    known = every_setting()
    for key in keys:
        if key not in known:
            raise SettingsError(f"there is no setting {key!r}", fix=f"{_nearest(key, known)}{LISTED}")


def _nearest(key: str, known: Mapping[str, SettingInfo]) -> str:
    """The setting that was probably meant: one of this name in any section, or one spelt alike."""
    name = key.rpartition(".")[2]
    if name in _NOT_YET:
        return "crystal systems and lattices cannot be chosen yet, all are searched; "
    words: dict[str, list[str]] = {}
    for other in known:
        words.setdefault(_sorted_words(other), []).append(other)
    near = [
        k for found in difflib.get_close_matches(_sorted_words(key), words, n=1, cutoff=_NEAR) for k in words[found]
    ]
    if not near:
        return ""
    meant = " or ".join(f"{other} ({known[other].wanted}, default {known[other].default_in_words})" for other in near)
    return f"did you mean {meant}? "


def _sorted_words(key: str) -> str:
    """The words of a key without its section in alphabetical order, so that ``max_volume`` is near ``volume_max``."""
    return " ".join(sorted(key.rpartition(".")[2].split("_")))
