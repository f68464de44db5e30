"""Lines to measured-looking patterns on the model's grid: batched, on the device, random only through a generator.

Each pattern is its lines put on the grid (every line split linearly between its two neighbours) and convolved with
profiles in Fourier space. Widths change along the pattern: profiles are made at a few angles ("nodes") and a line
is shared by the two nodes beside it, so one inverse FFT makes a pattern, with full tails and without loops.

The profile is the Voigt function itself, Gaussian * Lorentzian, of which Thompson, Cox & Hastings (1987) is the usual
approximation (they agree within 1 % of the maximum), and a one-sided exponential for axial divergence. What is drawn,
and from which range, stands in :mod:`.effects`. All draws are made whatever is switched off, in one order, so that
switching off one effect changes nothing but that effect.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from .. import lattice
from ..grid import Grid
from .effects import Effects
from .records import Lines

NODES = 6
"""Angles at which profiles are made."""
CROWDING = 1.6
"""Node i lies at (i / (NODES - 1)) to this power of the grid: axial divergence goes as cot 2θ, so they crowd there."""
PAD = 256
"""Points beyond either end of the grid from which tails reach into it."""
FOREIGN = 3
"""Most lines of no crystal."""
_NAMES = tuple(field.name for field in dataclasses.fields(Effects)) + (
    *("axis", "hump_centre", "hump_width", "hump", "tail_length", "tail", "level"),
    *(f"place_{i}" for i in range(FOREIGN)),
    *(f"area_{i}" for i in range(FOREIGN)),
)


def reciprocal_basis(reciprocal_metric: Tensor) -> Tensor:
    """Rows a*, b*, c* in Cartesian axes, (N, 3, 3): a* along x, b* in the x-y plane.

    So a monoclinic b lies along y, and the c of tetragonal, trigonal and hexagonal cells along z.
    """
    return torch.linalg.cholesky(reciprocal_metric)


def strain(lines: Lines, effects: Effects, generator: torch.Generator) -> Lines:
    """The same lines of cells that are strained at random, each within its crystal system."""
    basis, system = lines.basis, _systems(str(lines.basis.device))[lines.space_group]
    n = len(basis)
    unit = torch.rand(n, 7, generator=generator, device=basis.device, dtype=basis.dtype)
    e = effects.strain[0] + (effects.strain[1] - effects.strain[0]) * unit[:, :6]
    dilation = effects.dilation[0] + (effects.dilation[1] - effects.dilation[0]) * unit[:, 6, None, None]
    xx, yy, zz, yz, xz, xy = e.unbind(1)
    yy = torch.where(system >= 3, xx, yy)
    zz = torch.where(system == 6, xx, zz)
    xz = xz * (system <= 1)
    yz, xy = yz * (system == 0), xy * (system == 0)
    tensor = torch.stack((xx, xy, xz, xy, yy, yz, xz, yz, zz), 1).reshape(n, 3, 3)
    moved = basis @ (torch.eye(3, device=basis.device, dtype=basis.dtype) * (1 + dilation) + tensor)
    return dataclasses.replace(lines, basis=moved)


def simulate(lines: Lines, grid: Grid, effects: Effects, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Patterns on the grid.

    Parameters
    ----------
    lines : of N crystals, strained already if they are to be.
    grid, effects : where, and what to draw.
    generator : all randomness, on the device of ``lines``.

    Returns
    -------
    intensity : shape (N, L), at least 0, at most 1, 0 where not measured.
    coverage : shape (N, L), 1 where measured, else 0.
    """
    n, k = lines.intensity.shape
    draw = Draw(n, effects, generator)
    jitter = torch.randn(n, k, generator=generator, device=generator.device)
    gaussian = torch.randn(n, grid.length, generator=generator, device=generator.device)
    scale = (effects.wavelength or grid.wavelength) / grid.wavelength

    vector = lines.hkl @ lines.basis  # (N, K, 3)
    inv_d2 = vector.square().sum(-1).clamp_min(1e-6)
    sine = 0.5 * grid.wavelength * inv_d2.sqrt()
    area = lines.intensity * (jitter * draw("jitter") - 0.5 * draw("b_iso") * inv_d2).exp()
    area = area * _texture(vector, inv_d2, lines, draw) * _lorentz_polarisation(sine, scale, draw)
    area = area * (sine * scale < 0.999)
    y = _scaled(_render(*_doublet(sine, area, grid, scale, draw), grid, scale, draw))

    if n > 1:
        y = y + y.roll(1, 0) * (draw("impurity") * draw.met("impurity_share"))
    y = y + _background(grid, draw)
    if effects.counts[1] > 0:
        counts = draw("counts")
        y = torch.poisson(y * counts, generator=generator) / counts
    noise = draw("noise")
    y = torch.addcmul(y + noise * draw("leftover"), gaussian, noise).clamp_min_(0)
    coverage = _coverage(grid, scale, draw)
    return _scaled(y * coverage), coverage


def march_dollase(cos2: Tensor, r: Tensor) -> Tensor:
    """Factor of intensity at an angle to the axis of orientation whose cos² is given (March 1932, Dollase 1986)."""
    return (r * r * cos2 + (1 - cos2).clamp_min(0) / r) ** -1.5


class Draw:
    """Everything that is drawn once a pattern, by name; each value is a column (N, 1)."""

    def __init__(self, n: int, effects: Effects, generator: torch.Generator) -> None:
        self.effects = effects
        self.units = torch.rand(len(_NAMES), n, 1, generator=generator, device=generator.device)

    def unit(self, name: str) -> Tensor:
        """Uniform on 0 to 1."""
        return self.units[_NAMES.index(name)]

    def __call__(self, name: str) -> Tensor:
        """Of the range of an effect."""
        low, high = getattr(self.effects, name)
        unit = self.unit(name)
        if self.effects.log and low > 0:
            return (unit * math.log(high / low)).exp() * low
        return low + (high - low) * unit

    def met(self, share: str) -> Tensor:
        """1 for the share of patterns that an effect meets, else 0."""
        return (self.unit(share) < getattr(self.effects, share)).float()


@functools.cache
def _systems(device: str) -> Tensor:
    return torch.as_tensor(lattice.system_of_group(), device=device)


def _scaled(y: Tensor) -> Tensor:
    return y / y.amax(1, keepdim=True).clamp_min(1e-12)


def _texture(vector: Tensor, inv_d2: Tensor, lines: Lines, draw: Draw) -> Tensor:
    """March-Dollase about a*, b* or c*; about c* alone from tetragonal on.

    So all reflections of a line lie at the same angle to the axis, except in cubic cells, where it is a mere jitter.
    """
    if draw.effects.texture[1] == 0 or draw.effects.texture_share == 0:
        return torch.ones_like(inv_d2)
    basis, system = lines.basis, _systems(str(inv_d2.device))[lines.space_group]
    which = torch.where(system >= 3, 2, (draw.unit("axis") * 3).long().squeeze(1).clamp_max(2))
    axis = basis[torch.arange(len(basis), device=basis.device), which]
    cos2 = (vector @ axis[:, :, None]).squeeze(-1).square() / (inv_d2 * axis.square().sum(1, keepdim=True))
    return march_dollase(cos2, torch.where(draw.met("texture_share") > 0, draw("texture"), 1.0))


def _lorentz_polarisation(sine: Tensor, scale: float, draw: Draw) -> Tensor:
    """Lorentz and polarisation factor at sin θ on the grid.

    Patterns are moved to the grid with their heights, which changes areas: the Lorentz factor of the grid's wavelength
    does just that. Polarisation is that at the instrument's wavelength.
    """
    polarised = draw.met("synchrotron_share")
    p = polarised + (1 - polarised) * draw("polarisation")
    s2 = sine.square().clamp(1e-5, 0.998)
    return (p + (1 - p) * (1 - 2 * scale * scale * s2).square()) / (s2 * (1 - s2).sqrt())


def _doublet(sine: Tensor, area: Tensor, grid: Grid, scale: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """Places in two_theta on the grid and areas of all lines: Kα1, Kα2 and foreign, shifted; (N, 2K + 3) each."""
    effects = draw.effects
    ratio = torch.where(draw.met("kalpha2_share") > 0, draw("kalpha2_ratio"), draw("kalpha2_rest"))
    if effects.kalpha2_share or effects.kalpha2_rest[1]:
        sine = torch.cat((sine, sine * effects.kalpha2_wavelength), 1)
        area = torch.cat((area, area * ratio), 1)
    theta = (scale * sine).clamp_max(0.999).asin()
    theta = theta + torch.deg2rad(0.5 * (draw("zero") + draw("displacement") * theta.cos()))
    if scale != 1:
        theta = (theta.sin() / scale).clamp_max(0.999).asin()
    two_theta = torch.rad2deg(2 * theta)
    if effects.foreign_share and effects.foreign[1]:
        places = torch.cat([draw.unit(f"place_{i}") for i in range(FOREIGN)], 1)
        areas = torch.cat([draw.unit(f"area_{i}") for i in range(FOREIGN)], 1).square()
        top = area.amax(1, keepdim=True) * draw("foreign") * draw.met("foreign_share")
        two_theta = torch.cat((two_theta, grid.two_theta_min + grid.step * (grid.length - 1) * places), 1)
        area = torch.cat((area, areas * top), 1)
    return two_theta, area


@functools.cache
def _fast_length(least: int) -> int:
    from scipy.fft import next_fast_len

    return next_fast_len(least, real=True)


def _render(two_theta: Tensor, area: Tensor, grid: Grid, scale: float, draw: Draw) -> Tensor:
    """Lines (N, K) in degrees on the grid, convolved with their profiles: (N, L)."""
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
    y = torch.fft.irfft(_blurred(spectrum, grid, total, scale, draw), n=total)
    return y[:, PAD : PAD + grid.length].clamp_min(0)


def _blurred(spectrum: Tensor, grid: Grid, total: int, scale: float, draw: Draw) -> Tensor:
    """Spectra at the nodes (N, NODES, F) times those of the profiles there (of area 1), their sum (N, F)."""
    nodes = torch.linspace(0, 1, NODES) ** CROWDING * (grid.length - 1)
    variance, lorentzian, tail = widths(grid, nodes, scale, draw)
    frequency = torch.fft.rfftfreq(total, d=grid.step, device=spectrum.device)  # cycles per degree
    f = frequency * math.pi
    damping = ((-2 * variance[:, :, None] * f - lorentzian[:, :, None]) * f).exp()
    if draw.effects.sh_l[1] == 0:
        return (spectrum * damping).sum(1)
    phase = 2 * tail[:, :, None] * f
    damping = damping / (1 + phase.square())
    return (spectrum * torch.complex(damping, damping * phase)).sum(1)


def widths(grid: Grid, points: Tensor, scale: float, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussian variance (degrees²), Lorentzian FWHM and decay length of the tail (degrees), at points of the grid.

    Each is of shape (N, P) and in degrees of the grid's two_theta: widths are made at the instrument's wavelength,
    which is ``scale`` times the grid's, and taken to the grid through d.
    """
    on_grid = torch.deg2rad((grid.two_theta_min + grid.step * points.to(draw.units.device)).clamp(2.0, 170.0) / 2)
    theta = (scale * on_grid.sin()).clamp_max(0.99).asin()
    tan, cos = theta.tan(), theta.cos()
    stretch = cos / (scale * on_grid.cos())
    wavelength, effects = scale * grid.wavelength, draw.effects
    variance = (draw("u") * tan * tan + draw("v") * tan + draw("w")).clamp_min(1e-3) * 1e-4
    lorentzian = (draw("x") / cos + draw("y") * tan) * 0.01 + draw("microstrain") * tan * 1e-6 * (180 / math.pi)
    if effects.size[1]:
        lorentzian = lorentzian + 0.018 * wavelength / (math.pi * draw("size")) / cos
    tail = draw("sh_l").square() / 12 * (180 / math.pi) / (2 * theta).clamp_max(1.5).tan()
    return variance * stretch.square(), lorentzian * stretch, tail * stretch


def _background(grid: Grid, draw: Draw) -> Tensor:
    """A smooth background (N, L): a hump, a level and what a low-angle tail leaves."""
    x = torch.linspace(0, 1, grid.length, device=draw.units.device)
    hump = (-0.5 * ((x - draw.unit("hump_centre")) / (0.05 + 0.35 * draw.unit("hump_width"))).square()).exp()
    tail = (-x / (0.03 + 0.27 * draw.unit("tail_length"))).exp()
    shape = draw.unit("hump") * hump + draw.unit("tail") * tail + draw.unit("level")
    return draw("background") * _scaled(shape)


def _coverage(grid: Grid, scale: float, draw: Draw) -> Tensor:
    """1 where measured, (N, L): not beyond the cuts, nor where the instrument's wavelength cannot reach."""
    x = torch.linspace(0, 1, grid.length, device=draw.units.device)
    reach = math.degrees(2 * math.asin(min(1.0, 0.999 / scale)))
    last = min(1.0, (reach - grid.two_theta_min) / (grid.step * (grid.length - 1)))
    cut = draw.met("cut_share")
    return ((x >= cut * draw("cut_low")) & (x <= (1 - cut * draw("cut_high")).clamp_max(last))).float()
