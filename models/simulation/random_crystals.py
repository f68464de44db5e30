"""Random crystals, made in batches on the device: a space group, Wyckoff positions, elements, a cell, places.

Everything is a function of (settings, prior, generator). The positions are chosen so that the crystal has its space
group and no more (:mod:`.wyckoff`); atoms are put where they are farthest from the others, one after the other; where
some remain too close, the cell expands. Training on such crystals carries over to unseen structure types (Schopmans
et al., Digital Discovery 2, 1414, 2023).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alphadiffract_plugin.errors import SettingsError

from .choose_sites import Sites, choose_sites, draw_sizes
from .elements import elements
from .place_atoms import place_atoms
from .random_cells import random_metrics
from .records import Atoms, Lines
from .structure_factors import D_MIN, MOST_LINES, lines_from_atoms
from .symmetry import default_settings


@dataclass(frozen=True)
class RandomSettings:
    """What random crystals are like; (low, high) pairs are drawn log-uniformly."""

    sites: tuple[float, float] = (2.0, 14.9)
    """Atoms of the asymmetric unit, rounded down."""
    atoms: tuple[float, float] = (4.0, 100.0)
    """Most atoms of the primitive cell; more where the group has no position so small."""
    special: float = 0.5
    """A position of multiplicity m is chosen in proportion to m to the minus this."""
    elements: int = 5
    """Most kinds of elements, but for atoms that sit on points."""
    partial: float = 0.08
    """Share of the sites that are not fully occupied: from 0.3 to 1."""
    b_iso: tuple[float, float] = (0.05, 0.8)
    """Displacement factor B of each atom, Å²; the simulation adds an overall one."""
    density: float = 0.12
    """Standard deviation of ln(volume) about the sum of the atomic volumes."""
    axes: float = 0.35
    """Standard deviation of the logarithm of each axial ratio."""
    beta: tuple[float, float] = (90.5, 125.0)
    """Monoclinic angle, degrees."""
    contact: float = 0.55
    """Two atoms come no closer than this times the sum of the radii of spheres of their atomic volumes."""
    trials: int = 12
    """Places that are tried for each atom."""
    expand: float = 0.9
    """A crystal whose cell would have to expand by more than one over this is drawn again."""
    redraw: int = 4
    """So often; then the roomiest of the draws expands."""


def random_lines(
    n: int,
    generator: torch.Generator,
    *,
    prior: Tensor | None = None,
    settings: RandomSettings | None = None,
    device: torch.device | str = "cpu",
    d_min: float = D_MIN,
    most_lines: int = MOST_LINES,
) -> Lines:
    """The lines of n random crystals; arguments as of :func:`random_crystals` and :func:`lines_from_atoms`."""
    crystals = random_crystals(n, generator, prior=prior, settings=settings, device=device)
    return lines_from_atoms(crystals, d_min=d_min, most_lines=most_lines)


def random_crystals(
    n: int,
    generator: torch.Generator,
    *,
    prior: Tensor | None = None,
    settings: RandomSettings | None = None,
    device: torch.device | str = "cpu",
) -> Atoms:
    """Random crystals in the default settings of their space groups.

    Parameters
    ----------
    n : how many.
    generator : all randomness, on the device.
    prior : probability of each space group, shape (230,); flat if not given; see :func:`prior_from_name`.
    settings : what they are like.
    device : where to make them.
    """
    settings = settings or RandomSettings()
    weights = torch.ones(230) if prior is None else prior
    group = torch.multinomial(weights.to(device).double(), n, replacement=True, generator=generator)
    sizes = draw_sizes(group, settings, generator)
    made = _drafts(group, sizes, settings, generator)
    for _ in range(settings.redraw):
        tight = (made.closeness < settings.expand).nonzero().squeeze(1)
        if not len(tight):
            break
        again = _drafts(group[tight], (sizes[0][tight], sizes[1][tight]), settings, generator)
        made = _with(made, tight, again)
    metric = made.metric * made.closeness.double().clamp_max(1.0).pow(-2)[:, None, None]
    used = made.used
    return Atoms(
        hall=torch.as_tensor(default_settings(), device=device)[group],
        space_group=group,
        metric=metric,
        crystal=used.nonzero()[:, 0],
        number=made.number[used],
        occupancy=made.occupancy[used],
        position=made.position[used],
        multiplicity=made.multiplicity[used],
        b_iso=made.b_iso[used],
    )


@dataclass(frozen=True)
class _Drafts:
    """Crystals before their cells expand, padded to S sites; fields as of ``Atoms``, shapes (N, ...) or (N, S, ...)."""

    metric: Tensor
    used: Tensor
    number: Tensor
    occupancy: Tensor
    position: Tensor
    multiplicity: Tensor
    b_iso: Tensor
    closeness: Tensor


def _drafts(
    group: Tensor, sizes: tuple[Tensor, Tensor], settings: RandomSettings, generator: torch.Generator
) -> _Drafts:
    """A crystal of each group (N,), of a size of :func:`.choose_sites.draw_sizes`."""
    sites = choose_sites(group, sizes, settings, generator)
    number = _draw_elements(sites, settings, generator)
    device = group.device
    uniform = torch.rand(3, *number.shape, generator=generator, device=device)
    occupancy = torch.where(uniform[0] < settings.partial, 0.3 + 0.7 * uniform[1], 1.0)
    low, high = np.log(settings.b_iso)
    each = torch.as_tensor(elements().volume, device=device)[number - 1]
    spread = settings.density * torch.randn(len(group), generator=generator, device=device, dtype=torch.float64)
    volume = (each * sites.used * occupancy * sites.multiplicity).sum(1) * spread.exp()
    metric = random_metrics(group, volume, settings, generator)
    radius = (3 / (4 * np.pi) * each).pow(1 / 3)
    position, closeness = place_atoms(sites, metric, radius.float(), settings, generator)
    return _Drafts(
        metric=metric,
        used=sites.used,
        number=number,
        occupancy=occupancy,
        position=position,
        multiplicity=sites.multiplicity,
        b_iso=(low + (high - low) * uniform[2]).exp(),
        closeness=closeness,
    )


def _with(made: _Drafts, which: Tensor, other: _Drafts) -> _Drafts:
    """The crystals, with others in some places where these are roomier."""
    better = other.closeness > made.closeness[which]
    parts = {f.name: getattr(made, f.name).clone() for f in fields(_Drafts)}
    for name, values in parts.items():
        values[which[better]] = getattr(other, name)[better]
    return _Drafts(**parts)


def prior_from_name(name: str | Path) -> Tensor:
    """Probability of each space group, float64, shape (230,).

    Parameters
    ----------
    name : ``flat``, ``natural`` (as frequent as among known structures, none rarer than half a structure in all), or a
        JSON file that holds 230 weights.

    Raises
    ------
    SettingsError : there is no such file, or it holds no such list.
    """
    if name == "flat":
        return torch.full((230,), 1 / 230, dtype=torch.float64)
    if name == "natural":
        document = json.loads(files("alphadiffract_plugin").joinpath("data/space_group_frequency.json").read_text())
        weights = np.sum(list(document["counts"].values()), 0) + 0.5
        return torch.as_tensor(weights / weights.sum())
    mend = 'say "flat", "natural", or name a JSON file that holds a list of 230 weights'
    try:
        weights = np.array(json.loads(Path(name).read_text(encoding="utf-8")), float)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the prior {str(name)!r} is no file that can be read", mend=mend) from error
    except (ValueError, TypeError) as error:
        raise SettingsError("this is no JSON list of numbers", mend=mend, where=name) from error
    if weights.shape != (230,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum():
        raise SettingsError("these are not 230 weights, none negative and one positive", mend=mend, where=name)
    return torch.as_tensor(weights / weights.sum())


def _draw_elements(sites: Sites, settings: RandomSettings, generator: torch.Generator) -> Tensor:
    """Atomic numbers (N, S): atoms on points differ from one another, the others share a few elements."""
    n, most = sites.used.shape
    device = sites.used.device
    table = elements()
    frequency = torch.as_tensor(table.frequency, device=device).float()
    noise = -(-torch.rand(n, len(frequency), generator=generator, device=device).clamp_min(1e-9).log()).log()
    kinds = (noise + frequency.clamp_min(1e-6).log()).topk(most, dim=1).indices  # (N, S), all different
    few = 2 + (torch.rand(n, 1, generator=generator, device=device) * (settings.elements - 1)).long()
    slot = torch.arange(most, device=device)
    share = torch.as_tensor(table.abundance, device=device).float()[kinds] * (slot < few)
    other = torch.multinomial(share, most, replacement=True, generator=generator)
    own = (slot < few) | (sites.freedom == 0)
    return kinds.gather(1, torch.where(own, slot.expand(n, -1), other)) + 1
