"""The compact network on a processor, without torch: the equations of :mod:`.compact_network` in numpy.

Loading torch takes longer than everything else that one answer needs. On a processor the default network is therefore
evaluated here; training, GPUs and other architectures use torch. A test holds the two against each other.

Shapes: N patterns, C channels, L positions along the pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Singles

from . import lattice
from .compact_config import CompactConfig, intervals

EPSILON = 1e-5
"""Added to the variance in a LayerNorm, as in torch."""


@dataclass(frozen=True)
class Output:
    """What the network predicts for N patterns."""

    space_group_logits: Singles
    """(N, 230)."""
    lattice_mean: Singles
    """(N, 15, 6): the free parameters q of each lattice type."""
    lattice_sigma: Singles
    """(N, 15, 6): their standard deviations."""


@dataclass(frozen=True)
class CompactForward:
    """A trained compact network; calling it gives its predictions."""

    config: CompactConfig
    """Its sizes."""
    weights: Mapping[str, Singles]
    """Its weights by their names in the model file, float32."""

    def __call__(self, x: Singles) -> Output:
        """Predictions for patterns (N, 2, L): intensity on the grid, 0 where not measured, and coverage, 0 or 1."""
        y = self._stem(self._warped(x)) + self.weights["position"]
        at = 0
        for stage, depth in enumerate(self.config.blocks):
            if stage:
                y = self._halved(y, f"body.{at}")
                at += 1
            for _ in range(depth):
                y = y + self._added(y, f"body.{at}")
                at += 1
        y = self._normalised(y, "norm")
        segments: Singles = y.reshape(len(y), self.config.segments, -1, y.shape[-1]).mean(2)
        y = segments.reshape(len(y), -1)
        y = hardswish(self._linear(y, "gather"))
        lattices = self._linear(y, "lattice").reshape(len(y), -1, 2, 6)
        mean, log_sigma = lattices[:, :, 0], lattices[:, :, 1]
        return Output(
            space_group_logits=self._linear(y, "space_group"),
            lattice_mean=self.weights["lattice_offset"] + self.weights["lattice_scale"] * mean,
            lattice_sigma=self.weights["lattice_scale"] * np.exp(np.clip(log_sigma, -6, 2)),
        )

    def _warped(self, x: Singles) -> Singles:
        """Patterns on equal steps of the network's axis: means over its intervals, (N, 2, L) to (N, 2, L')."""
        config = self.config
        left, part, width = intervals(config.input_length, config.two_theta, config.warped_length, config.axis)
        total: Singles = np.pad(np.cumsum(x, axis=-1, dtype=np.float64).astype(np.float32), ((0, 0), (0, 0), (1, 0)))
        below, above = total[..., left], total[..., left + 1]
        upto: Singles = below + part.astype(np.float32) * (above - below)
        steps: Singles = upto[..., 1:] - upto[..., :-1]
        warped: Singles = np.divide(steps, width.astype(np.float32))
        return warped

    def _stem(self, x: Singles) -> Singles:
        """A convolution of two patches every patch: (N, 2, L') to (N, L' / patch, C)."""
        patch = self.config.patch
        half = patch // 2
        padded = np.pad(x, ((0, 0), (0, 0), (half, half)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * patch, axis=-1)[:, :, ::patch]
        columns = windows.transpose(0, 2, 1, 3).reshape(len(x), windows.shape[2], -1)
        kernel = self.weights["stem.weight"]
        stem: Singles = columns @ kernel.reshape(len(kernel), -1).T + self.weights["stem.bias"]
        return stem

    def _added(self, x: Singles, name: str) -> Singles:
        """What a block adds: depthwise convolution, LayerNorm and a pointwise network, (N, L, C) to the same shape."""
        kernel = self.weights[f"{name}.depthwise.weight"][:, 0]  # (C, k)
        taps = kernel.shape[1]
        before = (taps - 1) // 2
        padded = np.pad(x, ((0, 0), (before, taps - 1 - before), (0, 0)))
        y = self.weights[f"{name}.depthwise.bias"] + sum(
            padded[:, tap : tap + x.shape[1]] * kernel[:, tap] for tap in range(taps)
        )
        y = hardswish(self._linear(self._normalised(y, f"{name}.norm"), f"{name}.expand"))
        return self._linear(y, f"{name}.contract")

    def _halved(self, x: Singles, name: str) -> Singles:
        """LayerNorm, then one vector from each two neighbours: (N, L, C) to (N, L/2, C')."""
        y = self._normalised(x, f"{name}.norm")
        return self._linear(y.reshape(len(y), y.shape[1] // 2, -1), f"{name}.merge")

    def _normalised(self, x: Singles, name: str) -> Singles:
        """LayerNorm over the last axis."""
        centred = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(EPSILON))
        normalised: Singles = centred * scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return normalised

    def _linear(self, x: Singles, name: str) -> Singles:
        product: Singles = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return product


def hardswish(x: Singles) -> Singles:
    """The activation x · min(max(x + 3, 0), 6) / 6."""
    value: Singles = x * np.clip(x + 3, 0, 6) / np.float32(6)
    return value


def weight_shapes(config: CompactConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each weight that a compact network of these sizes has, by its name in the model file."""
    c = config.channels
    shapes: dict[str, tuple[int, ...]] = {
        "position": (config.warped_length // config.patch, c[0]),
        "stem.weight": (c[0], 2, 2 * config.patch),
        "stem.bias": (c[0],),
        "lattice_offset": (len(lattice.LATTICE_TYPES), 6),
        "lattice_scale": (len(lattice.LATTICE_TYPES), 6),
    }

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name: str, width: int) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)

    at = 0
    for stage, (width, depth) in enumerate(zip(c, config.blocks, strict=True)):
        if stage:
            norm(f"body.{at}.norm", c[stage - 1])
            linear(f"body.{at}.merge", 2 * c[stage - 1], width)
            at += 1
        for _ in range(depth):
            shapes[f"body.{at}.depthwise.weight"] = (width, 1, config.kernel)
            shapes[f"body.{at}.depthwise.bias"] = (width,)
            norm(f"body.{at}.norm", width)
            linear(f"body.{at}.expand", width, config.expansion * width)
            linear(f"body.{at}.contract", config.expansion * width, width)
            at += 1
    norm("norm", c[-1])
    linear("gather", config.segments * c[-1], config.hidden)
    linear("space_group", config.hidden, 230)
    linear("lattice", config.hidden, len(lattice.LATTICE_TYPES) * 12)
    return shapes
