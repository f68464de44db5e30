"""A step of training: draw patterns, calculate loss and gradient, change the weights; and the state to save.

Random numbers depend on (seed, step, shard) alone: a batch is divided into equal shards, each with a generator of its
own, and process r of W takes the shards r, r + W, ... So a run that was stopped continues with the losses that it would
have had, and W processes learn the same as one.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from alphadiffract_plugin.errors import SettingsError, TrainingError

from .. import checkpoint, lattice
from ..compact_network import CompactNetwork, set_lattice_scale
from .config import RunSettings, machine, versions
from .data import Data
from .losses import loss
from .records import Batch
from .run_folder import read_checkpoint
from .sources import batch, generator_of, true_parameters

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from ..checkpoint import Network

TERMS = ("total", "space_group", "crystal_system", "gemd", "lattice")
"""Terms of the loss, in the order of the log."""
SCALE_SAMPLE = 4096
"""Number of crystals from which mean and standard deviation of the lattice heads are calculated."""
LAST_RATE = 0.01
"""Learning rate at the end of the schedule ``cosine``, relative to the peak."""


@dataclass
class Progress:
    """How far a run has progressed."""

    step: int = 0
    """Steps done."""
    patterns: int = 0
    """Patterns seen."""
    seconds: float = 0.0
    """Seconds of training, over all sessions."""


class Trainer:
    """Network, optimisers and data of a run, and the parts of a step."""

    average: Network
    """The running average of the network's weights."""

    def __init__(self, settings: RunSettings, data: Data, fabric: Fabric, shards: int) -> None:
        self.settings, self.data, self.fabric, self.shards = settings, data, fabric, shards
        self.device = fabric.device
        torch.manual_seed(settings.training.seed)
        fields = settings.to_dict()["network"]
        self.network = checkpoint.build(fields.pop("architecture"), fields).to(self.device)
        self.optimisers = make_optimisers(self.network, settings)
        self.precision = settings.training.precision
        if self.precision == "auto":
            self.precision = "bf16-mixed" if self.device.type == "cuda" else "32-true"
        self.done = Progress()

    def initialise(self) -> None:
        """Set the initial weights: those of ``start_from``, or random ones with lattice heads of the right scale."""
        if self.settings.training.start_from:
            load_weights(self.network, Path(self.settings.training.start_from))
        elif isinstance(self.network, CompactNetwork):
            self._set_lattice_scale(self.network)
        self.average = copy.deepcopy(self.network)

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.average = copy.deepcopy(self.network)
        self.average.load_state_dict(state["average"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.done = Progress(state["step"], state["patterns"], state["seconds"])

    def state(self) -> dict[str, Any]:
        """The state that :meth:`resume` needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        } | vars(self.done)

    def launch(self) -> None:
        """Set up network and optimisers with Fabric, after :meth:`initialise` or :meth:`resume`."""
        self.average.requires_grad_(False)
        module: nn.Module = self.network
        if self.settings.training.compile:
            module = cast(nn.Module, torch.compile(self.network))  # a module for a module
        self.module, *wrapped = self.fabric.setup(module, *self.optimisers)
        self.wrapped = wrapped

    def draw(self, step: int) -> Batch:
        """The shards of a step that belong to this process, in one batch."""
        mine = range(self.fabric.global_rank, self.shards, self.fabric.world_size)
        parts = [self.shard(step, shard) for shard in mine]
        return Batch(*(torch.cat(column) for column in zip(*(vars(part).values() for part in parts), strict=True)))

    def shard(self, step: int, shard: int) -> Batch:
        """One shard of a step."""
        settings, source = self.settings, self.data.source
        source.turn(step, shard)
        generator = generator_of(self.device, settings.training.seed, step, shard)
        n = settings.training.batch // self.shards
        return batch(source, settings.grid, settings.normalisation, settings.effects, n, generator)

    def learn(self, drawn: Batch) -> tuple[Tensor, Tensor]:
        """Forward and backward pass: the terms of the loss, shape (5,), and the norm of the gradient."""
        number = generator_of(
            torch.device("cpu"), self.settings.training.seed, self.done.step, self.fabric.global_rank, 2
        )
        torch.manual_seed(number.initial_seed())
        for optimiser in self.wrapped:
            optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            answer = self.module(self.inputs(drawn))
        terms = loss(answer, drawn, self.settings.loss)
        self.fabric.backward(terms["total"])
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.training.clip)
        return torch.stack([terms[name].detach() for name in TERMS]), norm

    def update(self, rate: float) -> None:
        """One step of the optimisers and of the running average, with this learning rate."""
        for optimiser, wrapped in zip(self.optimisers, self.wrapped, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate
            wrapped.step()
        self.done.step += 1
        self.done.patterns += self.settings.training.batch
        decay = min(self.settings.training.average, (1 + self.done.step) / (10 + self.done.step))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch does not annotate it
        average(list(self.average.parameters()), list(self.network.parameters()), self.done.step)

    def rate(self) -> float:
        """Learning rate of the next step."""
        training = self.settings.training
        done = self.done.patterns / training.patterns
        rising = min(1.0, (self.done.patterns + training.batch) / max(training.warmup * training.patterns, 1))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, done))) if training.schedule == "cosine" else 1.0
        return training.learning_rate * rising * max(LAST_RATE, fall)

    def not_finite(self, step: int, rate: float) -> TrainingError:
        """The error for a loss or gradient of this step that is NaN or infinite, naming the shards it comes from."""
        bad = torch.zeros(self.shards, device=self.device)
        for shard in range(self.fabric.global_rank, self.shards, self.fabric.world_size):
            drawn = self.shard(step, shard)
            with torch.no_grad():
                terms = loss(self.network(self.inputs(drawn)), drawn, self.settings.loss)
            bad[shard] = float(not torch.isfinite(terms["total"]))
        total = cast(Tensor, self.fabric.all_reduce(bad, reduce_op="sum"))  # a tensor for a tensor
        found = total.nonzero().flatten().tolist()
        where = (
            f"the loss of shard {', '.join(map(str, found))}"
            if found
            else f"the gradient (shards 0 to {self.shards - 1})"
        )
        return TrainingError(
            f"{where} is NaN or infinite at step {step}, learning rate {rate:.3g}; the weights were not changed",
            fix="begin a new run with start_from set to the folder of this one, and a lower learning_rate or clip",
        )

    def inputs(self, drawn: Batch) -> Tensor:
        """The part of a batch that the network takes."""
        return drawn.x[:, 0] if self.settings.architecture == "open" else drawn.x

    def provenance(self) -> dict[str, Any]:
        """How the weights were made, for ``config.json``."""
        return {
            "patterns_seen": self.done.patterns,
            "steps": self.done.step,
            "minutes": round(self.done.seconds / 60, 2),
            "seed": self.settings.training.seed,
            "processes": self.fabric.world_size,
            "precision": self.precision,
            "settings": self.settings.to_dict(),
            "data_sha256": self.data.sha256,
            "machine": machine(self.device),
            "versions": versions(),
        }

    def _set_lattice_scale(self, network: CompactNetwork) -> None:
        self.data.source.turn(0, 0)
        lines = self.data.source.draw(SCALE_SAMPLE, generator_of(self.device, self.settings.training.seed, 0, 0, 3))
        kind = torch.as_tensor(lattice.type_of_group(), device=self.device)[lines.space_group]
        set_lattice_scale(network, true_parameters(lines.basis, kind).cpu().numpy(), kind.cpu().numpy())


def make_optimisers(network: nn.Module, settings: RunSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks of ``compact`` and AdamW for the rest; before torch 2.9 AdamW alone."""
    rate, decay = settings.training.learning_rate, settings.training.weight_decay
    inner = {name: p for name, p in network.named_parameters() if name.startswith("body") and p.ndim == 2}
    if not inner or settings.training.optimiser == "adamw" or not hasattr(torch.optim, "Muon"):
        return [torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)]
    rest = [p for name, p in network.named_parameters() if name not in inner]
    muon = torch.optim.Muon(inner.values(), lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [torch.optim.AdamW(rest, lr=rate, weight_decay=decay), muon]


def load_weights(network: nn.Module, start: Path) -> None:
    """Load the weights of a model folder, of the folder of a run, or of a checkpoint.

    Raises
    ------
    SettingsError : the weights do not fit the network, or there are none.
    """
    if (start / "config.json").is_file():
        state = checkpoint.load(start).network.state_dict()
    else:
        file = start / "checkpoint.pt" if start.is_dir() else start
        if not file.is_file():
            raise SettingsError(
                "start_from is neither a model nor a run",
                fix="give a model folder, or the folder of a run",
                where=start,
            )
        state = read_checkpoint(file)["average"]
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise SettingsError(
            f"these weights do not fit [network]: {str(error).splitlines()[1].strip()}",
            fix="give [network] the same architecture and fields as the model to start from",
            where=start,
        ) from error
