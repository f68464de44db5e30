"""What rebuilds a compact network, and the axis on which it looks at a pattern; neither needs torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.errors import SettingsError

AXES = ("ln_d", "two_theta")


@dataclass(frozen=True)
class CompactConfig:
    """Everything that rebuilds the network."""

    input_length: int = 4096
    """Points of the pattern, equally spaced in two_theta."""
    two_theta: tuple[float, float] = (5.0, 80.0)
    """First and last point in degrees."""
    axis: str = "ln_d"
    """Quantity in which the points inside the network are equally spaced: ``ln_d`` or ``two_theta``."""
    warped_length: int = 8192
    """Points of the same range inside the network."""
    patch: int = 32
    """Points inside the network that make a patch; the first convolution covers two patches."""
    channels: tuple[int, ...] = (96, 160, 256)
    """Width of each stage; every stage after the first halves the length."""
    blocks: tuple[int, ...] = (2, 2, 3)
    """Blocks of each stage."""
    kernel: int = 7
    """Length of the depthwise convolution."""
    expansion: int = 2
    """Hidden width of a block over its channels. ConvNeXt has 4; with 2 more is learned in an hour on one core."""
    segments: int = 16
    """Parts of the pattern over which the last stage is averaged; more than one, because positions matter."""
    hidden: int = 384
    """Width of the layer before the heads."""
    dropout: float = 0.1
    """Dropout before the heads."""

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise SettingsError(f"axis is {self.axis!r}, which is not known", fix=f"choose one of {', '.join(AXES)}")


def intervals(
    length: int, two_theta: tuple[float, float], warped: int, axis: str = "ln_d"
) -> tuple[Ints, Floats, Floats]:
    """Where the intervals of equal steps of the axis begin and end among the points of a pattern.

    Returns
    -------
    Whole and fractional part of each edge, in points, shape (warped + 1,) each, and the widths, shape (warped,).
    """
    edges = np.linspace(*two_theta, warped + 1)
    if axis == "ln_d":
        low, high = np.log(np.sin(np.radians(np.array(two_theta) / 2)))
        edges = 2 * np.degrees(np.arcsin(np.exp(np.linspace(low, high, warped + 1))))
    place: Floats = np.clip((edges - two_theta[0]) / (two_theta[1] - two_theta[0]), 0, 1) * length
    left = np.minimum(place.astype(int), length - 1)
    return left, place - left, np.diff(place)
