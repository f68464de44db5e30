"""Line lists to patterns that look measured, on the grid of a network: in batches, random only through a generator.

Sample and instrument give each line its area, its position and its profile (:mod:`.profiles`); background and noise
are added. :mod:`.effects` says which effects there are and from which ranges they are drawn. All random numbers are
drawn in one order, even for effects that are off (:mod:`.draws`), so that switching one off changes nothing else.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from .. import lattice
from ..grid import Grid
from ..lattice import CUBIC, MONOCLINIC, TETRAGONAL, TRICLINIC
from .draws import FOREIGN, Draw
from .effects import Effects
from .profiles import render
from .records import LineList


def strain(lines: LineList, effects: Effects, generator: torch.Generator) -> LineList:
    """The same lines, of cells that are strained at random within their crystal systems."""
    basis, system = lines.basis, _systems(str(lines.basis.device))[lines.space_group]
    n = len(basis)
    unit = torch.rand(n, 7, generator=generator, device=basis.device, dtype=basis.dtype)
    (low, high), (least, most) = effects.range_of("strain"), effects.range_of("dilation")
    e = low + (high - low) * unit[:, :6]
    dilation = least + (most - least) * unit[:, 6, None, None]
    xx, yy, zz, yz, xz, xy = e.unbind(1)
    yy = torch.where(system >= TETRAGONAL, xx, yy)
    zz = torch.where(system == CUBIC, xx, zz)
    xz = xz * (system <= MONOCLINIC)
    yz, xy = yz * (system == TRICLINIC), xy * (system == TRICLINIC)
    tensor = torch.stack((xx, xy, xz, xy, yy, yz, xz, yz, zz), 1).reshape(n, 3, 3)
    moved = basis @ (torch.eye(3, device=basis.device, dtype=basis.dtype) * (1 + dilation) + tensor)
    return dataclasses.replace(lines, basis=moved)


def simulate(lines: LineList, grid: Grid, effects: Effects, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Simulated patterns on the grid.

    Parameters
    ----------
    lines : of N crystals; see :func:`strain`.
    grid : where the patterns lie.
    effects : ranges of the effects that are drawn.
    generator : source of all random numbers, on the device of ``lines``.

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
    y = _scaled(render(*_doublet(sine, area, grid, scale, draw), grid, scale, draw))

    if n > 1:
        y = y + y.roll(1, 0) * (draw("impurity") * draw.occurs("impurity_share"))
    y = y + _background(grid, draw)
    if effects.range_of("counts")[1] > 0:
        counts = draw("counts")
        y = torch.poisson(y * counts, generator=generator) / counts
    noise = draw("noise")
    y = torch.addcmul(y + noise * draw("leftover"), gaussian, noise).clamp_min_(0)
    coverage = _coverage(grid, scale, draw)
    return _scaled(y * coverage), coverage


def march_dollase(cos2: Tensor, r: Tensor) -> Tensor:
    """Intensity factor (r² cos²α + sin²α / r)^(-3/2) at an angle α to the texture axis (March 1932, Dollase 1986)."""
    return (r * r * cos2 + (1 - cos2).clamp_min(0) / r) ** -1.5


@functools.cache
def _systems(device: str) -> Tensor:
    return torch.as_tensor(lattice.system_of_group(), device=device)


def _scaled(y: Tensor) -> Tensor:
    return y / y.amax(1, keepdim=True).clamp_min(1e-12)


def _texture(vector: Tensor, inv_d2: Tensor, lines: LineList, draw: Draw) -> Tensor:
    """March-Dollase factor about a*, b* or c*, and about c* alone in tetragonal and higher systems.

    All reflections of a line then lie at the same angle to the axis. Cubic cells are the exception; there the factor
    acts like a random change of the intensities.
    """
    if draw.effects.range_of("texture")[1] == 0 or draw.effects.texture_share == 0:
        return torch.ones_like(inv_d2)
    basis, system = lines.basis, _systems(str(inv_d2.device))[lines.space_group]
    which = torch.where(system >= TETRAGONAL, 2, (draw.unit("axis") * 3).long().squeeze(1).clamp_max(2))
    axis = basis[torch.arange(len(basis), device=basis.device), which]
    cos2 = (vector @ axis[:, :, None]).squeeze(-1).square() / (inv_d2 * axis.square().sum(1, keepdim=True))
    return march_dollase(cos2, torch.where(draw.occurs("texture_share") > 0, draw("texture"), 1.0))


def _lorentz_polarisation(sine: Tensor, scale: float, draw: Draw) -> Tensor:
    """Lorentz and polarisation factor at sin θ on the grid.

    A pattern moves to the wavelength of the grid with its heights, which changes areas by the ratio of the Lorentz
    factors: so the Lorentz factor is that of the grid's wavelength, and polarisation that of the instrument's.
    """
    polarised = draw.occurs("synchrotron_share")
    p = polarised + (1 - polarised) * draw("polarisation")
    s2 = sine.square().clamp(1e-5, 0.998)
    return (p + (1 - p) * (1 - 2 * scale * scale * s2).square()) / (s2 * (1 - s2).sqrt())


def _doublet(sine: Tensor, area: Tensor, grid: Grid, scale: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """Shifted two_theta on the grid, and areas, of all lines: Kα1, Kα2 and foreign ones, shape (N, 2K + 3) each."""
    effects = draw.effects
    ratio = torch.where(draw.occurs("kalpha2_share") > 0, draw("kalpha2_ratio"), draw("kalpha2_rest"))
    if effects.kalpha2_share or effects.range_of("kalpha2_rest")[1]:
        sine = torch.cat((sine, sine * effects.kalpha2_wavelength), 1)
        area = torch.cat((area, area * ratio), 1)
    theta = (scale * sine).clamp_max(0.999).asin()
    theta = theta + torch.deg2rad(0.5 * (draw("zero") + draw("displacement") * theta.cos()))
    if scale != 1:
        theta = (theta.sin() / scale).clamp_max(0.999).asin()
    two_theta = torch.rad2deg(2 * theta)
    if effects.foreign_share and effects.range_of("foreign")[1]:
        places = torch.cat([draw.unit(f"place_{i}") for i in range(FOREIGN)], 1)
        areas = torch.cat([draw.unit(f"area_{i}") for i in range(FOREIGN)], 1).square()
        top = area.amax(1, keepdim=True) * draw("foreign") * draw.occurs("foreign_share")
        two_theta = torch.cat((two_theta, grid.two_theta_min + grid.step * (grid.length - 1) * places), 1)
        area = torch.cat((area, areas * top), 1)
    return two_theta, area


def _background(grid: Grid, draw: Draw) -> Tensor:
    """A smooth background (N, L): a hump, a constant and a tail at low angles."""
    x = torch.linspace(0, 1, grid.length, device=draw.units.device)
    hump = (-0.5 * ((x - draw.unit("hump_centre")) / (0.05 + 0.35 * draw.unit("hump_width"))).square()).exp()
    tail = (-x / (0.03 + 0.27 * draw.unit("tail_length"))).exp()
    shape = draw.unit("hump") * hump + draw.unit("tail") * tail + draw.unit("level")
    return draw("background") * _scaled(shape)


def _coverage(grid: Grid, scale: float, draw: Draw) -> Tensor:
    """1 where measured, else 0, (N, L): between the cuts, and where the wavelength of the instrument can reach."""
    x = torch.linspace(0, 1, grid.length, device=draw.units.device)
    reach = math.degrees(2 * math.asin(min(1.0, 0.999 / scale)))
    last = min(1.0, (reach - grid.two_theta_min) / (grid.step * (grid.length - 1)))
    cut = draw.occurs("cut_share")
    return ((x >= cut * draw("cut_low")) & (x <= (1 - cut * draw("cut_high")).clamp_max(last))).float()
