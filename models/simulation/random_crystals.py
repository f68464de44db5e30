"""Random crystals in batches: a space group, Wyckoff positions, elements, a cell and coordinates are drawn.

The positions are chosen so that the crystal has no more symmetry than its space group (:mod:`.wyckoff`); atoms are
placed far from the others, one after the other; where some remain too close, the cell expands. Networks that are
trained on such crystals also recognise structure types that they have not seen (Schopmans et al., Digital Discovery 2,
1414, 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from alphadiffract_plugin.models.simulation.random_settings import RandomSettings

from .choose_sites import Sites, choose_sites, draw_sizes
from .elements import elements
from .place_atoms import place_atoms
from .random_cells import random_metrics
from .records import Atoms, LineList
from .structure_factors import D_MIN, lines_from_atoms
from .symmetry import default_settings


def random_lines(
    n: int,
    generator: torch.Generator,
    *,
    prior: Tensor | None = None,
    device: torch.device | str = "cpu",
    d_min: float = D_MIN,
) -> LineList:
    """The lines of n random crystals; see :func:`random_crystals` and :func:`lines_from_atoms`."""
    return lines_from_atoms(random_crystals(n, generator, prior=prior, device=device), d_min=d_min)


def random_crystals(
    n: int,
    generator: torch.Generator,
    *,
    prior: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Atoms:
    """Random crystals in the default settings of their space groups.

    Parameters
    ----------
    n : number of crystals.
    generator : source of all random numbers, on the device.
    prior : probability of each space group, shape (230,); see :func:`.random_settings.prior_from_name`. All are equally
        probable if it is not given.
    device : where to make them.
    """
    settings = RandomSettings()
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
    """A crystal of each group (N,), with the sizes of :func:`.choose_sites.draw_sizes`."""
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
    """The crystals, of which some (indices) are replaced by others where these have more room."""
    better = other.closeness > made.closeness[which]
    parts = {f.name: getattr(made, f.name).clone() for f in fields(_Drafts)}
    for name, values in parts.items():
        values[which[better]] = getattr(other, name)[better]
    return _Drafts(**parts)


def _draw_elements(sites: Sites, settings: RandomSettings, generator: torch.Generator) -> Tensor:
    """Atomic numbers (N, S): atoms without free coordinates are all different, the others share a few elements."""
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
