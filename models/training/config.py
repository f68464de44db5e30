"""Every setting of a training run, read from one TOML file and saved with the run, defaults included.

Sections: ``[network]`` (``architecture`` and the fields of its config), ``[data]``, ``[effects]`` (``preset``,
``instrument`` and the fields of :class:`..simulation.effects.Effects`), ``[loss]`` and ``[training]``
(:mod:`.settings`). A setting that is not given has the default of its class.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import ModelError

from .settings import DataSettings, TrainingSettings
from .toml import Document, written

if TYPE_CHECKING:
    import torch

    from ..compact_config import CompactConfig
    from ..grid import Grid, Normalisation
    from ..open_network import OpenConfig
    from ..simulation.effects import Effects
    from .losses import LossSettings

SECTIONS = ("network", "data", "effects", "loss", "training", "versions")
MOST_POINTS = 131072
"""Largest number of points of a pattern that a network may take; the published network takes 8192."""
MAY_CHANGE = ("minutes", "checkpoint_minutes", "validate_every", "compile", "threads")
"""Settings of ``[training]`` that may change when a run is resumed."""


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run."""

    network: CompactConfig | OpenConfig
    """Config of the network; its class says which architecture it is."""
    effects: Effects
    """Effects of the instrument, the sample and the counting that are simulated."""
    loss: LossSettings
    """Weights of the terms of the loss."""
    data: DataSettings
    """What the network is trained on."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """How it is trained."""

    @property
    def architecture(self) -> str:
        """``compact`` or ``open``."""
        return type(self.network).__name__.removesuffix("Config").lower()

    @property
    def grid(self) -> Grid:
        """Where the network's input lies."""
        from ..grid import COMPACT_GRID, OPEN_GRID
        from ..open_network import OpenConfig

        if isinstance(self.network, OpenConfig):
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
        """The sections, as dictionaries of plain values."""
        return {
            "network": {"architecture": self.architecture} | dataclasses.asdict(self.network),
            "data": dataclasses.asdict(self.data),
            "effects": dataclasses.asdict(self.effects),
            "loss": dataclasses.asdict(self.loss),
            "training": dataclasses.asdict(self.training),
        }

    def to_toml(self) -> str:
        """The file with every setting, and the versions of the packages that wrote it."""
        return written(self.to_dict() | {"versions": versions()})


def read(path: Path, *, instrument: Path | None = None) -> RunSettings:
    """The settings in a TOML file; an ``.instprm`` file given as ``instrument`` replaces the ranges of the profile.

    Raises
    ------
    SettingsError : a section or key is unknown, or a value has the wrong type or is out of range; with file and line.
    """
    from .losses import LossSettings

    document = Document.read(path)
    document.check_names(SECTIONS, document.values)
    data = document.record(DataSettings, "data")
    training = document.record(TrainingSettings, "training")
    return RunSettings(
        network=_network(document),
        effects=effects_of(document, instrument),
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
    """A sentence about the first setting that differs and must not; empty if there is none."""
    old, new = before.to_dict(), now.to_dict()
    for name, section in old.items():
        for key in sorted({*section, *new[name]}):
            free = name == "training" and (key in MAY_CHANGE or (key == "shards" and not new[name][key]))
            if not free and section.get(key) != new[name].get(key):
                return f"[{name}] {key} was {section.get(key)!r} and is {new[name].get(key)!r}"
    return ""


def versions() -> dict[str, str]:
    """Versions of this package and of the packages that it trains with."""
    import torch

    from alphadiffract_plugin import __version__

    return {
        "alphadiffract-plugin": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: metadata.version(name) for name in ("lightning", "numpy")},
    }


def machine(device: torch.device) -> str:
    """Name of the GPU, or of the processor with its number of cores."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _network(document: Document) -> CompactConfig | OpenConfig:
    from ..compact_config import CompactConfig
    from ..open_network import OpenConfig

    table = document.table("network")
    architecture = table.pop("architecture", "compact")
    config: CompactConfig | OpenConfig
    if architecture == "compact":
        config = document.record(CompactConfig, "network", table)
    elif architecture == "open":
        config = document.record(OpenConfig, "network", table)
    else:
        raise document.error(
            f"[network] architecture is {architecture!r}", "choose one of compact, open", "network", "architecture"
        )
    _check_values(document, config)
    _check_shapes(document, architecture, config)
    return config


def _check_values(document: Document, config: CompactConfig | OpenConfig) -> None:
    """Raise SettingsError for a size, a share or a range that no network can have."""
    for name, value in dataclasses.asdict(config).items():
        sizes = [one for one in (value if isinstance(value, tuple) else (value,)) if type(one) is int]
        least = 2 if name.endswith("length") else 1
        fix = ""
        if sizes and min(sizes) < least:
            fix = f"give at least {least}"
        elif name.endswith("length") and value > MOST_POINTS:
            fix = f"give at most {MOST_POINTS}"
        elif name in ("dropout", "head_dropout", "drop_path") and not 0 <= value < 1:
            fix = "give 0, or a share below 1"
        elif name == "two_theta" and not 0 < value[0] < value[1] < 180:
            fix = "give two angles between 0 and 180 degrees, the lower first"
        if fix:
            given = list(value) if isinstance(value, tuple) else value
            raise document.error(f"[network] {name} is {given!r}", fix, "network", name)


def _check_shapes(document: Document, architecture: str, config: CompactConfig | OpenConfig) -> None:
    """Raise SettingsError for sizes that do not fit together: the network is given an empty pattern."""
    import torch

    from ..checkpoint import build

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            network = build(architecture, dataclasses.asdict(config)).eval()
            network(torch.zeros((1, config.input_length) if architecture == "open" else (1, 2, config.input_length)))
        except (ModelError, RuntimeError, LookupError, ArithmeticError) as error:
            reason = error.__cause__ if isinstance(error, ModelError) else error
            fix = (
                "give channels, kernel_sizes and strides the same length, and smaller strides if no points are left"
                if architecture == "open"
                else "give blocks as many numbers as channels, and halve warped_length / patch once for each further "
                "channel: the result must be a multiple of segments"
            )
            raise document.error(f"[network] these sizes do not fit together: {reason}", fix, "network") from error


def effects_of(document: Document, instrument: Path | None) -> Effects:
    """The effects in the section ``[effects]``, with radiation and widths of an ``.instprm`` file if one is given.

    Raises
    ------
    SettingsError : the preset or a key is unknown, or a range is impossible; with file and line.
    InputError, WavelengthError, RadiationError : see :func:`..simulation.effects.effects_from_instrument`.
    """
    from ..simulation.effects import PRESETS, Effects, effects_from_instrument

    table = document.table("effects")
    preset, file = table.pop("preset", "laboratory"), table.pop("instrument", "")
    if preset not in PRESETS:
        renamed = " (ideal was called still before)" if preset == "still" else ""
        raise document.error(
            f"[effects] preset is {preset!r}", f"choose one of {', '.join(PRESETS)}{renamed}", "effects", "preset"
        )
    base = PRESETS[preset]
    if instrument or file:
        base = effects_from_instrument(Path(instrument or _beside(document.path, file)), base)
    return document.record(Effects, "effects", table, base, check_types=False)


def _beside(path: Path, name: str) -> str:
    """The absolute path of a name that is relative to a file; an empty name stays empty."""
    return str((Path(path).resolve().parent / Path(name).expanduser()).resolve()) if name else ""
