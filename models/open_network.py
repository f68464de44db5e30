"""``open``: the network of AlphaDiffract, key by key.

N. Andrejevic et al., arXiv:2603.23367 (2026); released as OpenAlphaDiffract (BSD-3-Clause). Its ``model.safetensors``
loads here unchanged: 8,734,989 parameters. Written from the paper's description and the published shapes.

Shapes: N patterns, C = 80 channels, L points of the pattern.

    (N, 1, 8192) -> stage 1 -> (N, 80, 818) -> stage 2 -> (N, 80, 81) -> stage 3 -> (N, 80, 7) -> (N, 560) -> 3 heads
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class OpenConfig:
    """Everything that rebuilds the network; the defaults are the released one."""

    input_length: int = 8192
    """Points of the pattern."""
    channels: tuple[int, ...] = (80, 80, 80)
    """Width of each stage."""
    kernel_sizes: tuple[int, ...] = (100, 50, 25)
    """Length of each stage's depthwise convolution."""
    strides: tuple[int, ...] = (5, 5, 5)
    """Length and stride of each stage's first average."""
    drop_path: float = 0.3
    """Share of patterns whose block is skipped in training."""
    head_dropout: float = 0.5
    """Dropout after each hidden layer of the heads."""
    cs_hidden: tuple[int, ...] = (2300, 1150)
    """Hidden widths of the crystal-system head."""
    sg_hidden: tuple[int, ...] = (2300, 1150)
    """Hidden widths of the space-group head."""
    lp_hidden: tuple[int, ...] = (512, 256)
    """Hidden widths of the lattice head."""
    lp_bounds_min: tuple[float, ...] = (0.0,) * 6
    """Lower bounds of a, b, c (Å) and alpha, beta, gamma (degrees)."""
    lp_bounds_max: tuple[float, ...] = (500.0, 500.0, 500.0, 180.0, 180.0, 180.0)
    """Upper bounds of a, b, c (Å) and alpha, beta, gamma (degrees)."""
    gemd: bool = False
    """Whether the file of weights also holds the 230 x 230 distances on the maximal-subgroup graph."""


class OpenAnswer(NamedTuple):
    """What the network predicts for N patterns."""

    cs_logits: Tensor
    """(N, 7), in the order of ``records.CRYSTAL_SYSTEMS``."""
    sg_logits: Tensor
    """(N, 230)."""
    lp: Tensor
    """(N, 6): the Niggli-reduced cell in Å and degrees."""


class ConvBlock(nn.Module):
    """Depthwise convolution and pointwise network of hidden width 4 C, without a norm: (N, C, L) to the same shape."""

    def __init__(self, channels: int, kernel: int, drop_path: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.pad = ((kernel - 1) // 2, kernel // 2)  # even kernels: one more on the right
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """One block, with its shortcut."""
        y: Tensor = self.dwconv(nn.functional.pad(x, self.pad)).transpose(1, 2)  # (N, L, C)
        y = self.pwconv2(nn.functional.gelu(self.pwconv1(y))).transpose(1, 2)
        if self.training and self.drop_path:
            kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
            y = y * kept / (1 - self.drop_path)
        return x + y


class Stage(nn.Module):
    """A change of width where it is needed, then one block: (N, C, L) to (N, C', L)."""

    def __init__(self, width: int, channels: int, kernel: int, drop_path: float) -> None:
        super().__init__()
        self.pwconv = nn.Sequential(nn.Linear(width, channels), nn.GELU()) if width != channels else None
        self.block = ConvBlock(channels, kernel, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """One stage."""
        if self.pwconv is not None:
            x = self.pwconv(x.transpose(1, 2)).transpose(1, 2)
        y: Tensor = self.block(x)
        return y


class Backbone(nn.Module):
    """Three stages, each followed by two average poolings: (N, 1, L) to (N, C * L')."""

    def __init__(self, config: OpenConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for channels, kernel, stride in zip(config.channels, config.kernel_sizes, config.strides, strict=True):
            pool = nn.Sequential(nn.AvgPool1d(stride, stride), nn.AvgPool1d(3, 2))
            layers += [Stage(width, channels, kernel, config.drop_path), pool]
            width = channels
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The features of all channels, one channel after the other."""
        features: Tensor = self.net(x).flatten(1)
        return features


def _head(width: int, hidden: tuple[int, ...], classes: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, classes))


class OpenNetwork(nn.Module):
    """The network that the docstring of this module describes."""

    lp_min: Tensor
    lp_max: Tensor

    def __init__(self, config: OpenConfig) -> None:
        super().__init__()
        self.config = config
        length = config.input_length
        for stride in config.strides:
            length = (length // stride - 3) // 2 + 1
        features = config.channels[-1] * length
        self.backbone = Backbone(config)
        self.cs_head = _head(features, config.cs_hidden, 7, config.head_dropout)
        self.sg_head = _head(features, config.sg_hidden, 230, config.head_dropout)
        self.lp_head = _head(features, config.lp_hidden, 6, config.head_dropout)
        self.register_buffer("lp_min", torch.tensor(config.lp_bounds_min))
        self.register_buffer("lp_max", torch.tensor(config.lp_bounds_max))
        if config.gemd:
            self.register_buffer("gemd_distance_matrix", torch.zeros(230, 230))

    def forward(self, x: Tensor) -> OpenAnswer:
        """Predictions for patterns (N, L) that are scaled to the range 0 to 100."""
        y = self.backbone(x[:, None])  # (N, 560)
        lp = self.lp_min + (self.lp_max - self.lp_min) * torch.sigmoid(self.lp_head(y))
        return OpenAnswer(cs_logits=self.cs_head(y), sg_logits=self.sg_head(y), lp=lp)
