"""Lines to measured-looking patterns on the model's grid: batched, on the device, random only through a generator.

Each pattern is its lines put on the grid (every line split linearly between its two neighbours) and convolved with
profiles in Fourier space. Widths change along the pattern: profiles are made at a few angles ("nodes") and a line
is shared by the two nodes beside it, so one inverse FFT makes a pattern, with full tails and without loops.

Profile: Gaussian * Lorentzian * one-sided exponential towards low angles (axial divergence), in degrees of
two_theta. Real patterns differ from the paper's simulation in Kα2, zero shift, sample displacement, residual
background, texture and impurities; all of them are in here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..grid import Grid

NODES = 6
"""Angles at which profiles are made."""
KALPHA2 = 1.544427 / 1.540593
"""Wavelength of Cu Kα2 over Kα1."""


@dataclass(frozen=True)
class Effects:
    """Ranges of everything that is drawn; pairs are (low, high), drawn log-uniformly where marked (log)."""

    strain: float = 0.012
    """Standard deviation of each symmetry-allowed strain of the cell."""
    dilation: float = 0.012
    """Standard deviation of the isotropic strain of the cell."""
    gaussian: tuple[float, float] = (0.02, 0.20)
    """FWHM of the Gaussian at every angle, degrees (log)."""
    gaussian_slope: float = 0.15
    """Largest Gaussian FWHM that grows with tan θ, degrees."""
    size: tuple[float, float] = (0.003, 0.25)
    """Lorentzian FWHM cos θ, degrees: crystallite size (log)."""
    microstrain: tuple[float, float] = (0.005, 0.5)
    """Lorentzian FWHM / tan θ, degrees: microstrain (log)."""
    asymmetry: float = 0.06
    """Largest decay length of the low-angle tail at two_theta = 20°, degrees; it falls as 1/tan(two_theta)."""
    kalpha2_share: float = 0.6
    """Share of patterns with the full doublet; the others keep up to 0.15 of Kα1 in half of the cases."""
    zero: float = 0.04
    """Standard deviation of the zero shift, degrees."""
    displacement: float = 0.05
    """Standard deviation of the shift that goes as cos θ, degrees."""
    b_iso: tuple[float, float] = (0.2, 3.0)
    """Overall displacement factor, Å² (log)."""
    texture: float = 0.35
    """Standard deviation of ln r of March-Dollase, in half of the patterns."""
    jitter: tuple[float, float] = (0.03, 0.5)
    """Standard deviation of ln(intensity) line by line (log)."""
    impurity: tuple[float, float] = (0.01, 0.2)
    """Height of another phase's pattern, in a quarter of the patterns (log)."""
    background: tuple[float, float] = (0.001, 0.05)
    """Height of a smooth residual background over the maximum (log)."""
    noise: tuple[float, float] = (0.0005, 0.02)
    """Noise of the background over the maximum (log)."""
    poisson: tuple[float, float] = (500.0, 50_000.0)
    """Counts at the maximum (log)."""
    cut: float = 0.5
    """Share of patterns whose measured range is cut."""


def reciprocal_basis(reciprocal_metric: Tensor) -> Tensor:
    """Rows a*, b*, c* in Cartesian axes, (N, 3, 3): a* along x, b* in the x-y plane.

    So a monoclinic b lies along y, and the c of tetragonal, trigonal and hexagonal cells along z.
    """
    return torch.linalg.cholesky(reciprocal_metric)


def strain_cells(basis: Tensor, system: Tensor, effects: Effects, generator: torch.Generator) -> Tensor:
    """Reciprocal bases (N, 3, 3) after a random strain that keeps the crystal system (N,)."""
    n, device = len(basis), basis.device
    e = torch.randn(n, 6, generator=generator, device=device, dtype=basis.dtype) * effects.strain
    xx, yy, zz, yz, xz, xy = e.unbind(1)
    axial, cubic = (system >= 3), (system == 6)
    yy = torch.where(axial, xx, yy)
    zz = torch.where(cubic, xx, zz)
    low, triclinic = (system <= 1), (system == 0)
    xz, yz, xy = xz * low, yz * triclinic, xy * triclinic
    strain = torch.stack((xx, xy, xz, xy, yy, yz, xz, yz, zz), 1).reshape(n, 3, 3)
    dilation = torch.randn(n, 1, 1, generator=generator, device=device, dtype=basis.dtype) * effects.dilation
    return basis @ (torch.eye(3, device=device, dtype=basis.dtype) * (1 + dilation) + strain)


def simulate(
    hkl: Tensor,
    intensity: Tensor,
    basis: Tensor,
    system: Tensor,
    grid: Grid,
    effects: Effects,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Patterns on the grid.

    Parameters
    ----------
    hkl : Miller indices, shape (N, K, 3).
    intensity : |F|²·m, shape (N, K), 0 where padded.
    basis : rows a*, b*, c* in 1/Å, shape (N, 3, 3).
    system : crystal system, 0 to 6, shape (N,).
    grid, effects : where and what to draw.
    generator : all randomness, on the device of ``hkl``.

    Returns
    -------
    intensity : shape (N, L), at least 0, at most 1, 0 where not measured.
    coverage : shape (N, L), 1 where measured, else 0.
    """
    draw = _Draw(len(hkl), hkl.device, generator)
    vector = hkl @ basis  # (N, K, 3)
    inv_d2 = vector.square().sum(-1).clamp_min(1e-6)
    height = intensity * (-0.5 * draw.log(effects.b_iso) * inv_d2).exp()
    height = height * _march_dollase(vector, basis, system, inv_d2, effects, draw)
    height = height * (draw.log(effects.jitter) * draw.normal(hkl.shape[1])).exp()

    sin_theta = 0.5 * grid.wavelength * inv_d2.sqrt()
    height = height * _lorentz_polarisation(sin_theta, draw)
    ratio = torch.where(draw.share(effects.kalpha2_share) > 0, 0.5, draw.share(0.5) * draw.uniform(0, 0.15))
    sines = torch.cat((sin_theta, sin_theta * KALPHA2), 1)
    heights = torch.cat((height, height * ratio), 1) * (sines < 0.999)
    theta = sines.clamp_max(0.999).asin()
    shift = effects.zero * draw.normal(1) + effects.displacement * draw.normal(1) * theta.cos()
    y = _render(torch.rad2deg(2 * theta) + shift, heights, grid, effects, draw)

    other = y.roll(1, 0) * draw.share(0.25) * draw.log(effects.impurity)
    y = y + other + _background(grid, effects, draw, y)
    counts, noise = draw.log(effects.poisson), draw.log(effects.noise)
    y = y + draw.normal(grid.length) * (y.clamp_min(0) / counts + noise.square()).sqrt()
    y = (y - noise * draw.uniform(-1.0, 1.5)).clamp_min(0)
    coverage = _coverage(grid, effects, draw, y)
    y = y * coverage
    return y / y.amax(1, keepdim=True).clamp_min(1e-6), coverage


class _Draw:
    """Random numbers of shape (N, 1) or (N, n)."""

    def __init__(self, n: int, device: torch.device, generator: torch.Generator) -> None:
        self.n, self.device, self.generator = n, device, generator

    def uniform(self, low: float, high: float, n: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(self.n, n, device=self.device, generator=self.generator)

    def log(self, low_high: tuple[float, float]) -> Tensor:
        return self.uniform(math.log(low_high[0]), math.log(low_high[1])).exp()

    def normal(self, n: int) -> Tensor:
        return torch.randn(self.n, n, device=self.device, generator=self.generator)

    def share(self, share: float) -> Tensor:
        return (self.uniform(0, 1) < share).float()


def _march_dollase(
    vector: Tensor, basis: Tensor, system: Tensor, inv_d2: Tensor, effects: Effects, draw: _Draw
) -> Tensor:
    """March (1932), Dollase (1986), in half of the patterns, about a*, b* or c*; about c* alone from tetragonal on.

    So all reflections of a line lie at the same angle to the axis, except in cubic cells, where it is a mere jitter.
    """
    which = torch.where(system >= 3, 2, (draw.uniform(0, 3).long() % 3).squeeze(1))
    axis = basis[torch.arange(len(basis), device=basis.device), which]
    cos2 = (vector @ axis[:, :, None]).squeeze(-1).square() / (inv_d2 * axis.square().sum(1, keepdim=True))
    r = (effects.texture * draw.normal(1) * draw.share(0.5)).exp()
    return (r * r * cos2 + (1 - cos2).clamp_min(0) / r) ** -1.5


def _lorentz_polarisation(sin_theta: Tensor, draw: _Draw) -> Tensor:
    """At Cu Kα for most patterns, at a shorter wavelength and without polarisation (synchrotron) for the others."""
    synchrotron = draw.share(0.2)
    s2 = (sin_theta * (1 - synchrotron * draw.uniform(0.3, 0.7))).square().clamp(1e-5, 0.998)
    monochromator = draw.uniform(0.75, 1.0) * (1 - synchrotron)
    return (1 + monochromator * (1 - 2 * s2).square()) / (s2 * (1 - s2).sqrt())


def _render(two_theta: Tensor, height: Tensor, grid: Grid, effects: Effects, draw: _Draw) -> Tensor:
    """Lines (N, K) in degrees on the grid, convolved with their profiles, maximum 1: (N, L)."""
    n, pad = len(two_theta), 256
    total = grid.length + 2 * pad
    place = (two_theta - grid.two_theta_min) / grid.step + pad
    inside = (place >= 0) & (place < total - 1)
    height, place = height * inside, place.clamp(0, total - 1.001)
    cell, part = place.floor(), place.frac()
    node = (place / (total - 1) * (NODES - 1)).clamp(0, NODES - 1.001)
    low, share = node.floor(), node.frac()
    base = (low * total + cell).long()
    index = torch.cat((base, base + 1, base + total, base + total + 1), 1)
    weight = torch.cat(
        (
            height * (1 - share) * (1 - part),
            height * (1 - share) * part,
            height * share * (1 - part),
            height * share * part,
        ),
        1,
    )
    field = torch.zeros(n, NODES * total, device=height.device).scatter_add_(1, index, weight)
    spectrum = torch.fft.rfft(field.reshape(n, NODES, total))
    y = torch.fft.irfft((spectrum * _profiles(grid, total, pad, effects, draw)).sum(1), n=total)
    y = y[:, pad : pad + grid.length].clamp_min(0)
    return y / y.amax(1, keepdim=True).clamp_min(1e-12)


def _profiles(grid: Grid, total: int, pad: int, effects: Effects, draw: _Draw) -> Tensor:
    """Fourier transforms of the profiles at the nodes, area 1, (N, NODES, total // 2 + 1)."""
    nodes = torch.linspace(0, total - 1, NODES, device=draw.device) - pad
    two_theta = torch.deg2rad((grid.two_theta_min + grid.step * nodes).clamp(2.0, 170.0))
    tan, cos = (two_theta / 2).tan(), (two_theta / 2).cos()
    gaussian2 = draw.log(effects.gaussian).square() + (draw.uniform(0, effects.gaussian_slope) * tan).square()
    lorentzian = draw.log(effects.size) / cos + draw.log(effects.microstrain) * tan
    tail = draw.uniform(0, effects.asymmetry) * math.tan(math.radians(20)) / two_theta.clamp_max(1.5).tan()
    frequency = torch.fft.rfftfreq(total, d=grid.step, device=draw.device)  # cycles per degree
    g = (math.pi**2 / (4 * math.log(2))) * gaussian2[:, :, None] * frequency.square()
    size = (-g - math.pi * lorentzian[:, :, None] * frequency).exp()
    return size / torch.complex(torch.ones_like(size), -2 * math.pi * tail[:, :, None] * frequency)


def _background(grid: Grid, effects: Effects, draw: _Draw, like: Tensor) -> Tensor:
    """A smooth residual background (N, L): a hump, a slope and what a low-angle tail leaves."""
    x = torch.linspace(0, 1, grid.length, device=like.device)
    hump = (-0.5 * ((x - draw.uniform(0, 1)) / draw.uniform(0.05, 0.4)).square()).exp()
    tail = (-x / draw.uniform(0.03, 0.3)).exp()
    shape = draw.uniform(0, 1) * hump + draw.uniform(0, 1) * tail + draw.uniform(0, 1)
    return draw.log(effects.background) * shape / shape.amax(1, keepdim=True)


def _coverage(grid: Grid, effects: Effects, draw: _Draw, like: Tensor) -> Tensor:
    """1 where measured: the whole grid, or from up to 20 % of it to at least 60 % of it."""
    x = torch.linspace(0, 1, grid.length, device=like.device)
    cut = draw.share(effects.cut)
    return ((x >= cut * draw.uniform(0, 0.2)) & (x <= 1 - cut * draw.uniform(0, 0.4))).float()
