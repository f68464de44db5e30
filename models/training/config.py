"""Every setting of a training run: one frozen tree, read from one TOML file and saved with the run, resolved.

Sections: ``[network]`` (``architecture`` and the fields of its config), ``[data]``, ``[effects]`` (``preset``,
``instrument`` and the fields of :class:`..simulation.effects.Effects`), ``[loss]`` and ``[training]``. What is not
given has the default that stands below; the resolved file holds every value.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import SettingsError

from .toml import Document, written

if TYPE_CHECKING:
    import torch

    from ..compact_network import CompactConfig
    from ..grid import Grid, Normalisation
    from ..open_network import OpenConfig
    from ..simulation.effects import Effects
    from .losses import LossSettings

SECTIONS = ("network", "data", "effects", "loss", "training", "versions")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
SCHEDULES = ("cosine", "constant")
OPTIMISERS = ("muon", "adamw")
MAY_CHANGE = ("minutes", "checkpoint_minutes", "validate_every", "compile", "threads")
"""Settings of ``[training]`` that a resumed run may have otherwise than it began."""


@dataclass(frozen=True)
class DataSettings:
    """What the network is trained on."""

    structures: tuple[str, ...] = ()
    """Parquet files of structures (``structures build`` makes them), relative to the TOML file."""
    random: float = 0.0
    """Share of the patterns that are of crystals made up on the spot, 0 to 1; with 1 no structures are needed."""
    prior: str = "natural"
    """How often made-up crystals have each space group: ``natural``, ``flat``, or a file of 230 weights."""
    temper: float = 0.7
    """A space group of natural frequency f among the structures is drawn as f to this power: 1 natural, 0 uniform."""
    pool: int = 1024
    """Made-up crystals that are held at a time, over all shards; they are replaced as they are used."""
    reuse: int = 8
    """Patterns that are drawn of a made-up crystal on average, each of another cell, profile and texture."""
    benchmark: str = ""
    """Index (CSV) of measured patterns: structures with the lattice and space group of one are refused."""
    allow_leaks: bool = False
    """Train on such structures all the same."""
    validation: int = 60
    """Structures of the validation split of each crystal system, at most, that the network is judged on."""

    def __post_init__(self) -> None:
        _range(self, random=(0, 1), temper=(0, 1), pool=(1, None), reuse=(1, None), validation=(1, None))
        if not self.structures and self.random < 1:
            raise SettingsError(
                "structures is empty", mend='name parquet files: structures = ["..."], or set random = 1'
            )


@dataclass(frozen=True)
class TrainingSettings:
    """How the network is trained."""

    patterns: int = 2_000_000
    """Patterns seen in all: the budget, on which the schedule runs."""
    batch: int = 64
    """Patterns a step, over all processes."""
    learning_rate: float = 1.2e-3
    """Peak of the schedule."""
    weight_decay: float = 0.02
    """Of both optimisers."""
    warmup: float = 0.02
    """Share of the budget over which the learning rate rises to its peak."""
    schedule: str = "cosine"
    """What follows: ``cosine`` to 1 % of the peak, or ``constant``."""
    average: float = 0.999
    """Decay of the running average of the weights, which is what is judged and kept; 0 keeps the last weights."""
    optimiser: str = "muon"
    """``muon`` for the matrices of the compact network's blocks, from torch 2.9 on, and AdamW for the rest; or
    ``adamw`` for all."""
    clip: float = 2.0
    """Largest norm of the gradient."""
    precision: str = "auto"
    """``bf16-mixed``, ``32-true``, or ``auto``: bf16-mixed on a GPU, 32-true on a CPU, where bf16 pays only if the
    processor computes in it (1.4 times as fast on one with AVX-512 BF16)."""
    threads: int = 0
    """CPU threads of a process; 0 leaves the choice to torch: all cores, which is slow where others use them too."""
    compile: bool = False
    """Compile the network first (torch.compile)."""
    seed: int = 20261121
    """Of the weights and of everything drawn."""
    shards: int = 0
    """Parts of a batch that are drawn each by itself; processes share them. 0: as many as processes at the start."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    validate_every: int = 100_000
    """Patterns between validations."""
    minutes: float = 0.0
    """A session stops after so many minutes, and can be resumed; 0: when the budget is spent."""
    start_from: str = ""
    """A model folder, or the folder or checkpoint of a run, whose weights to begin with."""

    def __post_init__(self) -> None:
        _range(
            self,
            patterns=(1, None),
            batch=(1, None),
            learning_rate=(1e-12, None),
            weight_decay=(0, None),
            warmup=(0, 1),
            average=(0, 0.999999),
            clip=(1e-12, None),
            seed=(0, None),
            shards=(0, None),
            threads=(0, None),
            checkpoint_minutes=(0, None),
            validate_every=(1, None),
            minutes=(0, None),
        )
        for name, known in (("precision", PRECISIONS), ("schedule", SCHEDULES), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} is {getattr(self, name)!r}", mend=f"choose one of {', '.join(known)}")
        if self.shards and self.batch % self.shards:
            raise SettingsError(
                f"batch {self.batch} cannot be cut into shards {self.shards}", mend="make batch a multiple of shards"
            )


@dataclass(frozen=True)
class RunSettings:
    """All of it."""

    network: CompactConfig | OpenConfig
    """The architecture is told by its class."""
    effects: Effects
    """What is drawn of the instrument and the sample."""
    loss: LossSettings
    """Weights of the terms of the loss."""
    data: DataSettings
    """What the network is trained on."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """How."""

    @property
    def architecture(self) -> str:
        """``compact`` or ``open``."""
        return type(self.network).__name__.removesuffix("Config").lower()

    @property
    def grid(self) -> Grid:
        """Where the network's input lies."""
        from ..grid import COMPACT_GRID, OPEN_GRID

        if self.architecture == "open":
            return dataclasses.replace(OPEN_GRID, length=self.network.input_length)
        low, high = self.network.two_theta
        return dataclasses.replace(
            COMPACT_GRID, two_theta_min=low, two_theta_max=high, length=self.network.input_length
        )

    @property
    def normalisation(self) -> Normalisation:
        """How the network's input is scaled."""
        from ..grid import COMPACT_NORMALISATION, OPEN_NORMALISATION

        return OPEN_NORMALISATION if self.architecture == "open" else COMPACT_NORMALISATION

    def to_dict(self) -> dict[str, Any]:
        """Sections of plain values."""
        return {
            "network": {"architecture": self.architecture} | dataclasses.asdict(self.network),
            "data": dataclasses.asdict(self.data),
            "effects": dataclasses.asdict(self.effects),
            "loss": dataclasses.asdict(self.loss),
            "training": dataclasses.asdict(self.training),
        }

    def to_toml(self) -> str:
        """The resolved file, with the versions of what made it."""
        return written(self.to_dict() | {"versions": versions()})


def read(path: Path, *, instrument: Path | None = None) -> RunSettings:
    """The settings of a TOML file; ``instrument`` overrides the profile ranges by those of an ``.instprm`` file.

    Raises
    ------
    SettingsError : a section or key is unknown, or a value is of another type or out of range; with file and line.
    """
    from .losses import LossSettings

    document = Document.read(path)
    document.know(SECTIONS, document.values)
    data = document.record(DataSettings, "data")
    training = document.record(TrainingSettings, "training")
    return RunSettings(
        network=_network(document),
        effects=_effects(document, instrument),
        loss=document.record(LossSettings, "loss"),
        data=dataclasses.replace(
            data,
            structures=tuple(_beside(path, name) for name in data.structures),
            benchmark=_beside(path, data.benchmark),
            prior=data.prior if data.prior in ("natural", "flat") else _beside(path, data.prior),
        ),
        training=dataclasses.replace(training, start_from=_beside(path, training.start_from)),
    )


def difference(before: RunSettings, now: RunSettings) -> str:
    """The first setting that a resumed run must not change, as text; empty if there is none."""
    old, new = before.to_dict(), now.to_dict()
    for name, section in old.items():
        for key in sorted({*section, *new[name]}):
            free = name == "training" and (key in MAY_CHANGE or (key == "shards" and not new[name][key]))
            if not free and section.get(key) != new[name].get(key):
                return f"[{name}] {key} was {section.get(key)!r} and is {new[name].get(key)!r}"
    return ""


def versions() -> dict[str, str]:
    """Of this package and of what it trains with."""
    import lightning.fabric
    import numpy
    import torch

    from alphadiffract_plugin import __version__

    return {
        "alphadiffract-plugin": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.fabric.__version__,
        "numpy": numpy.__version__,
    }


def machine(device: torch.device) -> str:
    """What it is trained on: the GPU, or the processor and its cores."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _network(document: Document) -> CompactConfig | OpenConfig:
    from ..compact_network import CompactConfig
    from ..open_network import OpenConfig

    configs = {"compact": CompactConfig, "open": OpenConfig}
    table = document.table("network")
    architecture = table.pop("architecture", "compact")
    if architecture not in configs:
        raise document.refuse(
            f"[network] architecture is {architecture!r}",
            f"choose one of {', '.join(configs)}",
            "network",
            "architecture",
        )
    return document.record(configs[architecture], "network", table)


def _effects(document: Document, instrument: Path | None) -> Effects:
    from ..simulation.effects import PRESETS, Effects, effects_from_instrument

    table = document.table("effects")
    preset, file = table.pop("preset", "laboratory"), table.pop("instrument", "")
    if preset not in PRESETS:
        raise document.refuse(
            f"[effects] preset is {preset!r}", f"choose one of {', '.join(PRESETS)}", "effects", "preset"
        )
    base = PRESETS[preset]
    if instrument or file:
        base = effects_from_instrument(Path(instrument or _beside(document.path, file)), base)
    return document.record(Effects, "effects", table, base, check_types=False)


def _beside(path: Path, name: str) -> str:
    """A path that stands in a file, as an absolute one; empty stays empty."""
    return str((Path(path).resolve().parent / Path(name).expanduser()).resolve()) if name else ""


def _range(settings: object, **limits: tuple[float | None, float | None]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if (low is not None and value < low) or (high is not None and value > high):
            allowed = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
            raise SettingsError(f"{name} is {value!r}", mend=f"give {allowed}")
