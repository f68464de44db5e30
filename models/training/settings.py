"""What a network is trained on, and how: the sections ``[data]`` and ``[training]``, every key with its default."""

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
                "structures is empty", fix='name parquet files: structures = ["..."], or set random = 1'
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
                raise SettingsError(f"{name} is {getattr(self, name)!r}", fix=f"choose one of {', '.join(known)}")
        if self.shards and self.batch % self.shards:
            raise SettingsError(
                f"batch {self.batch} cannot be cut into shards {self.shards}", fix="make batch a multiple of shards"
            )


def _range(settings: object, **limits: tuple[float | None, float | None]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if (low is not None and value < low) or (high is not None and value > high):
            allowed = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
            raise SettingsError(f"{name} is {value!r}", fix=f"give {allowed}")
