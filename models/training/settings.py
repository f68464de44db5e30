"""The sections ``[data]`` and ``[training]`` of a run: what a network is trained on, and how."""

from __future__ import annotations

from dataclasses import dataclass

from alphadiffract_plugin.errors import SettingsError

PRECISIONS = ("auto", "32-true", "bf16-mixed")
SCHEDULES = ("cosine", "constant")
OPTIMISERS = ("muon", "adamw")


@dataclass(frozen=True)
class DataSettings:
    """What the network is trained on."""

    structures: tuple[str, ...] = ()
    """Parquet files of structures (``structures build`` makes them), relative to the TOML file."""
    random: float = 0.0
    """Share of the patterns that are of random crystals, 0 to 1; with 1 no structures are needed."""
    prior: str = "natural"
    """How often random crystals have each space group: ``natural``, ``flat``, or a file of 230 weights."""
    temper: float = 0.7
    """Exponent t: a space group of frequency f among the structures is drawn in proportion to f^t; 0 is uniform."""
    pool: int = 1024
    """Number of random crystals in memory, over all shards; they are replaced as they are used."""
    reuse: int = 8
    """Mean number of patterns of one random crystal, each with another strain, profile and texture."""
    benchmark: str = ""
    """Index (CSV) of measured patterns; structures with the lattice and space group of one of them are refused."""
    allow_leaks: bool = False
    """Whether such structures are allowed after all."""
    validation: int = 60
    """Largest number of structures of each crystal system in a validation."""

    def __post_init__(self) -> None:
        _range(self, random=(0, 1), temper=(0, 1), pool=(1, None), reuse=(1, None), validation=(1, None))
        if not self.structures and self.random < 1:
            raise SettingsError(
                "structures is empty", fix='name parquet files by structures = ["..."], or set random = 1'
            )


@dataclass(frozen=True)
class TrainingSettings:
    """How the network is trained."""

    patterns: int = 2_000_000
    """Number of patterns of the whole run, over which the schedule of the learning rate runs."""
    batch: int = 64
    """Number of patterns in a step, over all processes."""
    learning_rate: float = 1.2e-3
    """Learning rate at the peak of the schedule."""
    weight_decay: float = 0.02
    """Weight decay of both optimisers."""
    warmup: float = 0.02
    """Share of the run over which the learning rate rises to its peak."""
    schedule: str = "cosine"
    """Learning rate after that: ``cosine`` falls to 1 % of the peak, ``constant`` stays."""
    average: float = 0.999
    """Decay of the running average of the weights, which is validated and saved; with 0 it is the last weights."""
    optimiser: str = "muon"
    """``muon`` for the matrices of the compact network's blocks, from torch 2.9 on, and AdamW for the rest; or
    ``adamw`` for all."""
    clip: float = 2.0
    """Largest norm of the gradient; a larger one is scaled down to it."""
    precision: str = "auto"
    """``bf16-mixed``, ``32-true``, or ``auto``: bf16-mixed on a GPU and 32-true on a CPU. On a CPU with AVX-512 BF16,
    bf16-mixed is 1.4 times as fast; on others it is slower."""
    threads: int = 0
    """CPU threads of a process; 0 for the default of torch, all cores, which is slow if they are busy otherwise."""
    compile: bool = False
    """Whether the network is compiled first (torch.compile)."""
    seed: int = 20261121
    """Seed of the initial weights and of all random numbers."""
    shards: int = 0
    """Parts of a batch that are drawn independently and shared among the processes; 0: one for each process."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    validate_every: int = 100_000
    """Number of patterns between validations."""
    minutes: float = 0.0
    """Minutes after which a session stops, so that it can be resumed; 0 for no limit."""
    start_from: str = ""
    """Model folder, or folder or checkpoint of a run, whose weights to begin with."""

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
                raise SettingsError(f"{name} is {getattr(self, name)!r}", fix=f"choose one of {', '.join(known)}")
        if self.shards and self.batch % self.shards:
            raise SettingsError(
                f"batch {self.batch} cannot be divided into {self.shards} shards", fix="make batch a multiple of shards"
            )


def _range(settings: object, **limits: tuple[float | None, float | None]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if (low is not None and value < low) or (high is not None and value > high):
            allowed = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
            raise SettingsError(f"{name} is {value!r}", fix=f"give {allowed}")
