"""``compact``: a small network of our own, which trains on two CPU cores.

A one-dimensional ConvNeXt (Liu et al., arXiv:2201.03545) over patches of the pattern, with additions to AlphaDiffract
(arXiv:2603.23367): an axis of ln d, on which the pattern of a larger cell is the same pattern shifted; a mask of the
measured range as a second channel; LayerNorm; a learned embedding of the position; the probability of a crystal system
as the sum over its space groups, so that the two never disagree; and for each lattice type a head that predicts the
Cholesky factor of the reciprocal metric with its standard deviation (:mod:`.lattice`).

Shapes: N patterns, C channels, L positions along the pattern.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import lattice
from .compact_config import CompactConfig, intervals


class Answer(NamedTuple):
    """What the network predicts for N patterns."""

    space_group_logits: Tensor
    """(N, 230)."""
    lattice_mean: Tensor
    """(N, 15, 6): the free parameters q of each lattice type."""
    lattice_sigma: Tensor
    """(N, 15, 6): their standard deviations."""


class Warp(nn.Module):
    """Resample patterns from equal steps of two_theta to equal steps of ln d or two_theta: (N, 2, L) to (N, 2, L').

    Each new point is the mean over its interval, a difference of the cumulative sum.
    """

    left: Tensor
    part: Tensor
    width: Tensor

    def __init__(self, length: int, two_theta: tuple[float, float], warped: int, axis: str = "ln_d") -> None:
        super().__init__()
        left, part, width = intervals(length, two_theta, warped, axis)
        self.register_buffer("left", torch.as_tensor(left), persistent=False)
        self.register_buffer("part", torch.as_tensor(part, dtype=torch.float32), persistent=False)
        self.register_buffer("width", torch.as_tensor(width, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The resampled patterns."""
        total = functional.pad(x.cumsum(-1), (1, 0))
        upto = torch.lerp(total[..., self.left], total[..., self.left + 1], self.part)
        resampled: Tensor = upto.diff() / self.width
        return resampled


class Block(nn.Module):
    """Depthwise convolution, LayerNorm and a pointwise network, with a shortcut: (N, L, C) to the same shape."""

    def __init__(self, channels: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding="same", groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.contract = nn.Linear(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        added: Tensor = self.contract(functional.hardswish(self.expand(self.norm(y))))
        return x + added


class Halve(nn.Module):
    """LayerNorm, then one vector from each two neighbours: (N, L, C) to (N, L/2, C')."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.merge = nn.Linear(2 * channels, wider)

    def forward(self, x: Tensor) -> Tensor:
        """One halving."""
        halved: Tensor = self.merge(self.norm(x).reshape(len(x), x.shape[1] // 2, -1))
        return halved


class CompactNetwork(nn.Module):
    """The network that the docstring of this module describes."""

    lattice_offset: Tensor
    lattice_scale: Tensor

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        c, positions = config.channels, config.warped_length // config.patch
        self.warp = Warp(config.input_length, config.two_theta, config.warped_length, config.axis)
        self.stem = nn.Conv1d(2, c[0], 2 * config.patch, stride=config.patch, padding=config.patch // 2)
        self.position = nn.Parameter(torch.randn(positions, c[0]) * 0.2)
        body: list[nn.Module] = []
        for stage, (width, depth) in enumerate(zip(c, config.blocks, strict=True)):
            if stage:
                body.append(Halve(c[stage - 1], width))
            body += [Block(width, config.kernel, config.expansion) for _ in range(depth)]
        self.body = nn.Sequential(*body)
        self.norm = nn.LayerNorm(c[-1])
        self.gather = nn.Linear(config.segments * c[-1], config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.space_group = nn.Linear(config.hidden, 230)
        self.lattice = nn.Linear(config.hidden, len(lattice.LATTICE_TYPES) * 12)
        self.register_buffer("lattice_offset", torch.zeros(len(lattice.LATTICE_TYPES), 6))
        self.register_buffer("lattice_scale", torch.ones(len(lattice.LATTICE_TYPES), 6))

    def forward(self, x: Tensor) -> Answer:
        """Predictions for patterns (N, 2, L): intensity on the grid, 0 where not measured, and coverage, 0 or 1."""
        y = self.stem(self.warp(x)).transpose(1, 2) + self.position  # (N, L/patch, C)
        y = self.norm(self.body(y))
        y = y.reshape(len(y), self.config.segments, -1, y.shape[-1]).mean(2).flatten(1)  # (N, segments * C)
        y = self.dropout(functional.hardswish(self.gather(y)))
        mean, log_sigma = self.lattice(y).float().reshape(len(y), -1, 2, 6).unbind(2)
        return Answer(
            space_group_logits=self.space_group(y).float(),
            lattice_mean=self.lattice_offset + self.lattice_scale * mean,
            lattice_sigma=self.lattice_scale * log_sigma.clamp(-6, 2).exp(),
        )


def set_lattice_scale(network: CompactNetwork, parameters: np.ndarray, kinds: np.ndarray) -> None:
    """Scale the lattice heads by mean and standard deviation of q (S, 6) of structures of these types (S,)."""
    for k in range(len(lattice.LATTICE_TYPES)):
        q = parameters[kinds == k]
        if len(q) > 1:
            network.lattice_offset[k] = torch.as_tensor(q.mean(0))
            network.lattice_scale[k] = torch.as_tensor(np.maximum(q.std(0), 0.02))
