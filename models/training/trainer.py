"""What a step of training does: draw its patterns, learn from them, change the weights; and all that must be kept.

All that is random is a function of (seed, step, shard): a batch is cut into equal shards, each drawn by a generator of
its own, and process r of W takes the shards r, r + W, ... So a run that was stopped goes on with the losses that it
would have had, and W processes learn what one would have learnt.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from alphadiffract_plugin.errors import SettingsError, TrainingError

from .. import checkpoint
from .config import RunSettings, machine, versions
from .data import Data
from .losses import loss
from .records import Batch
from .run_folder import read_checkpoint
from .sources import batch, generator_of, true_parameters

if TYPE_CHECKING:
    from lightning.fabric import Fabric

TERMS = ("total", "space_group", "crystal_system", "gemd", "lattice")
"""Of the loss, in the order of the log."""
SCALE_SAMPLE = 4096
"""Crystals from which the lattice heads get their mean and standard deviation."""
LAST_RATE = 0.01
"""The schedule ``cosine`` ends at this share of the peak."""


@dataclass
class Progress:
    """How far a run has come."""

    step: int = 0
    """Steps done."""
    patterns: int = 0
    """Patterns seen."""
    seconds: float = 0.0
    """Spent training, over all sessions."""


class Trainer:
    """Networks, optimisers and data of a run, and what is done with them in a step."""

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
        """Weights to begin with: those of ``start_from``, or random ones with the scale of the cells."""
        if self.settings.training.start_from:
            load_weights(self.network, Path(self.settings.training.start_from))
        elif self.settings.architecture == "compact":
            self._set_lattice_scale()
        self.average = copy.deepcopy(self.network)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint stands."""
        self.network.load_state_dict(state["network"])
        self.average = copy.deepcopy(self.network)
        self.average.load_state_dict(state["average"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.done = Progress(state["step"], state["patterns"], state["seconds"])

    def state(self) -> dict[str, Any]:
        """What :meth:`resume` needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        } | vars(self.done)

    def launch(self) -> None:
        """Hand network and optimisers to Fabric; after :meth:`initialise` or :meth:`resume`."""
        self.average.requires_grad_(False)
        module = torch.compile(self.network) if self.settings.training.compile else self.network
        self.module, *wrapped = self.fabric.setup(module, *self.optimisers)
        self.wrapped = wrapped

    def draw(self, step: int) -> Batch:
        """The shards of a step that are this process's, in one batch."""
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
        """Forward and backward: the terms of the loss, shape (5,), and the norm of the gradient; weights stay."""
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
        """Step of the optimisers and of the average."""
        for optimiser, wrapped in zip(self.optimisers, self.wrapped, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate
            wrapped.step()
        self.done.step += 1
        self.done.patterns += self.settings.training.batch
        decay = min(self.settings.training.average, (1 + self.done.step) / (10 + self.done.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def rate(self) -> float:
        """Learning rate of the next step."""
        training = self.settings.training
        done = self.done.patterns / training.patterns
        rising = min(1.0, (self.done.patterns + training.batch) / max(training.warmup * training.patterns, 1))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, done))) if training.schedule == "cosine" else 1.0
        return training.learning_rate * rising * max(LAST_RATE, fall)

    def refuse(self, step: int, rate: float) -> TrainingError:
        """The error for a loss or gradient of this step that is no number, naming the shards that it came from."""
        bad = torch.zeros(self.shards, device=self.device)
        for shard in range(self.fabric.global_rank, self.shards, self.fabric.world_size):
            drawn = self.shard(step, shard)
            with torch.no_grad():
                terms = loss(self.network(self.inputs(drawn)), drawn, self.settings.loss)
            bad[shard] = float(not torch.isfinite(terms["total"]))
        found = self.fabric.all_reduce(bad, reduce_op="sum").nonzero().flatten().tolist()
        where = (
            f"the loss of shard {', '.join(map(str, found))}"
            if found
            else f"the gradient (shards 0 to {self.shards - 1})"
        )
        return TrainingError(
            f"{where} is no number at step {step}, learning rate {rate:.3g}; the weights were not touched",
            fix="begin a new run with start_from = the checkpoint of this one, and a lower learning_rate or clip",
        )

    def inputs(self, drawn: Batch) -> Tensor:
        """What the network takes of a batch."""
        return drawn.x[:, 0] if self.settings.architecture == "open" else drawn.x

    def provenance(self) -> dict[str, Any]:
        """How the weights came to be."""
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

    def _set_lattice_scale(self) -> None:
        from .. import lattice
        from ..compact_network import set_lattice_scale

        self.data.source.turn(0, 0)
        lines = self.data.source.draw(SCALE_SAMPLE, generator_of(self.device, self.settings.training.seed, 0, 0, 3))
        kind = torch.as_tensor(lattice.type_of_group(), device=self.device)[lines.space_group]
        set_lattice_scale(self.network, true_parameters(lines.basis, kind).cpu().numpy(), kind.cpu().numpy())


def make_optimisers(network: nn.Module, settings: RunSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the compact network's blocks, and AdamW; or AdamW alone, and before torch 2.9."""
    usual = {"lr": settings.training.learning_rate, "weight_decay": settings.training.weight_decay}
    inner = {name: p for name, p in network.named_parameters() if name.startswith("body") and p.ndim == 2}
    if not inner or settings.training.optimiser == "adamw" or not hasattr(torch.optim, "Muon"):
        return [torch.optim.AdamW(network.parameters(), **usual)]
    rest = [p for name, p in network.named_parameters() if name not in inner]
    return [torch.optim.AdamW(rest, **usual), torch.optim.Muon(inner.values(), adjust_lr_fn="match_rms_adamw", **usual)]


def load_weights(network: nn.Module, start: Path) -> None:
    """The weights of a model folder, of a run's folder or of its checkpoint.

    Raises
    ------
    SettingsError : they don't fit the network, or there are none.
    """
    if (start / "config.json").is_file():
        state = checkpoint.load(start).network.state_dict()
    else:
        file = start / "checkpoint.pt" if start.is_dir() else start
        if not file.is_file():
            raise SettingsError(
                "start_from names nothing", fix="give a model folder, or the folder of a run", where=start
            )
        state = read_checkpoint(file)["average"]
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise SettingsError(
            f"these weights don't fit [network]: {str(error).splitlines()[1].strip()}",
            fix="give [network] the architecture and the fields of the model to start from",
            where=start,
        ) from error
