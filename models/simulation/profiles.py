"""Lines on a grid, convolved with their profiles: a Voigt function with a tail towards low angles.

Each line is split linearly between its two neighbours on the grid, and profiles are convolved in Fourier space. Widths
change along the pattern: profiles are made at a few angles ("nodes") and a line is shared by the two nodes beside it,
so one inverse FFT gives a whole pattern with complete tails.

The profile is the Voigt function itself, Gaussian * Lorentzian, of which Thompson, Cox & Hastings (1987) is the usual
approximation (they agree within 1 % of the maximum), and a one-sided exponential for axial divergence.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ..grid import Grid
from .draws import Draw

NODES = 6
"""Angles at which profiles are made."""
CROWDING = 1.6
"""Node i lies at the part (i / (NODES - 1))^CROWDING of the grid: more at low angles, where cot 2θ of axial divergence
changes fastest."""
PAD = 256
"""Points beyond either end of the grid from which tails reach into it."""


@functools.cache
def _fast_length(least: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(least, real=True))


def render(two_theta: Tensor, area: Tensor, grid: Grid, scale: float, draw: Draw) -> Tensor:
    """Patterns of lines convolved with their profiles, shape (N, L).

    Parameters
    ----------
    two_theta : positions of the lines on the grid in degrees, shape (N, K).
    area : areas of the lines, shape (N, K).
    grid : where the patterns lie.
    scale : wavelength of the instrument over that of the grid.
    draw : the random numbers, of which those of the widths are used.
    """
    n, total = len(two_theta), _fast_length(grid.length + 2 * PAD)
    place = (two_theta - grid.two_theta_min) / grid.step + PAD
    area = area * ((place >= 0) & (place < total - 1))
    place = place.clamp(0, total - 1.001)
    cell, part = place.floor(), place.frac()
    along = ((place - PAD) / (grid.length - 1)).clamp(0, 1)
    node = (along ** (1 / CROWDING) * (NODES - 1)).clamp_max(NODES - 1.001)
    low, share = node.floor(), node.frac()
    base = (low * total + cell).long()
    near, far = area * (1 - share), area * share
    index = torch.cat((base, base + 1, base + total, base + total + 1), 1)
    weight = torch.cat((near * (1 - part), near * part, far * (1 - part), far * part), 1)
    field = torch.zeros(n, NODES * total, device=area.device).scatter_add_(1, index, weight)
    spectrum = torch.fft.rfft(field.reshape(n, NODES, total))
    y: Tensor = torch.fft.irfft(_blurred(spectrum, grid, total, scale, draw), n=total)
    return y[:, PAD : PAD + grid.length].clamp_min(0)


def _blurred(spectrum: Tensor, grid: Grid, total: int, scale: float, draw: Draw) -> Tensor:
    """Spectra at the nodes (N, NODES, F) times those of profiles of area 1 there, summed over the nodes, (N, F)."""
    nodes = torch.linspace(0, 1, NODES) ** CROWDING * (grid.length - 1)
    variance, lorentzian, tail = widths(grid, nodes, scale, draw)
    frequency: Tensor = torch.fft.rfftfreq(total, d=grid.step, device=spectrum.device)  # cycles per degree
    f = frequency * math.pi
    damping = ((-2 * variance[:, :, None] * f - lorentzian[:, :, None]) * f).exp()
    if draw.effects.range_of("sh_l")[1] == 0:
        return (spectrum * damping).sum(1)
    phase = 2 * tail[:, :, None] * f
    damping = damping / (1 + phase.square())
    return (spectrum * torch.complex(damping, damping * phase)).sum(1)


def widths(grid: Grid, points: Tensor, scale: float, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussian variance (degrees²), Lorentzian FWHM and decay length of the tail (degrees), at points of the grid.

    Each has shape (N, P) and is in degrees of two_theta on the grid: widths are calculated at the wavelength of the
    instrument, ``scale`` times that of the grid, and converted to the grid through d.
    """
    on_grid = torch.deg2rad((grid.two_theta_min + grid.step * points.to(draw.units.device)).clamp(2.0, 170.0) / 2)
    theta = (scale * on_grid.sin()).clamp_max(0.99).asin()
    tan, cos = theta.tan(), theta.cos()
    stretch = cos / (scale * on_grid.cos())
    wavelength, effects = scale * grid.wavelength, draw.effects
    variance = (draw("u") * tan * tan + draw("v") * tan + draw("w")).clamp_min(1e-3) * 1e-4
    lorentzian = (draw("x") / cos + draw("y") * tan) * 0.01 + draw("microstrain") * tan * 1e-6 * (180 / math.pi)
    if effects.range_of("size")[1]:
        lorentzian = lorentzian + 0.018 * wavelength / (math.pi * draw("size")) / cos
    tail = draw("sh_l").square() / 12 * (180 / math.pi) / (2 * theta).clamp_max(1.5).tan()
    return variance * stretch.square(), lorentzian * stretch, tail * stretch
