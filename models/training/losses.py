"""The loss: cross-entropies of the symmetry, the graph earth mover's distance, and a term of the lattice.

For the ``open`` network it is the published loss with μ = 1 (arXiv:2603.23367). For ``compact`` the crystal system
follows from the space group, and the term of the lattice is a likelihood; see :mod:`..compact_network`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from alphadiffract_plugin.errors import SettingsError

from .. import lattice
from ..compact_network import Answer
from ..maximal_subgroups import distances
from ..niggli import niggli_from_reciprocal
from ..open_network import OpenAnswer
from .records import Batch

LIKELIHOOD_SCALE = 0.3
"""Factor of the lattice term of ``compact``, chosen by hand: with 1 it outweighs the two cross-entropies once these are
small."""


@dataclass(frozen=True)
class LossSettings:
    """Weight of each term of the loss; a term of weight 0 is still logged."""

    space_group: float = 1.0
    """Weight of the cross-entropy of the space group; 1 as published."""
    crystal_system: float = 1.0
    """Weight of the cross-entropy of the crystal system; 1 as published."""
    gemd: float = 1.0
    """Weight of the expected number of hops from the true space group on the maximal-subgroup graph, which makes wrong
    answers neighbours of the right one; 1 as published, where 0, 1 and 2 were tried."""
    lattice: float = 1.0
    """Weight of the lattice term: the squared error for ``open``, as published, and 0.3 times the negative
    log-likelihood for ``compact``."""

    def __post_init__(self) -> None:
        weights = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise SettingsError(f"the weight {name} of the loss is {weight}", fix="give a number of at least 0")
        if not any(weights.values()):
            raise SettingsError("every weight of the loss is 0", fix="give at least one weight above 0")


def loss(answer: Answer | OpenAnswer, batch: Batch, settings: LossSettings) -> dict[str, Tensor]:
    """Mean loss of N patterns: the weighted sum ``total``, and each term without its weight.

    ``space_group`` and ``crystal_system`` are cross-entropies in nats. ``gemd`` is the expected number of hops,
    Σ_k D[true, k] p_k. ``lattice`` is, for ``compact``, the negative log-likelihood in nats per free cell parameter of
    the true lattice type; for ``open``, the squared error of the Niggli cell in Å² and degrees², mean of six.
    """
    if isinstance(answer, OpenAnswer):
        log_p = functional.log_softmax(answer.sg_logits.float(), -1)
        log_system = functional.log_softmax(answer.cs_logits.float(), -1)
        term, scale = _squared_error(answer, batch), 1.0
    else:
        log_p = functional.log_softmax(answer.space_group_logits.float(), -1)
        log_system = (log_p.exp() @ _tables(log_p.device).members).clamp_min(1e-9).log()
        term, scale = _likelihood(answer, batch), LIKELIHOOD_SCALE
    tables = _tables(log_p.device)
    terms = {
        "space_group": functional.nll_loss(log_p, batch.space_group),
        "crystal_system": functional.nll_loss(log_system, tables.system[batch.space_group]),
        "gemd": (tables.hops[batch.space_group] * log_p.exp()).sum(-1).mean(),
        "lattice": term,
    }
    weights = {name: getattr(settings, name) for name in terms} | {"lattice": scale * settings.lattice}
    return {
        "total": torch.stack([weights[name] * value for name, value in terms.items() if weights[name]]).sum()
    } | terms


def _likelihood(answer: Answer, batch: Batch) -> Tensor:
    """Gaussian negative log-likelihood per free parameter of the true lattice type."""
    tables = _tables(batch.x.device)
    kind = tables.kind[batch.space_group]
    rows = torch.arange(len(kind), device=kind.device)
    free = tables.free[kind]
    mean, sigma = answer.lattice_mean[rows, kind].float(), answer.lattice_sigma[rows, kind].float()
    nll = 0.5 * ((batch.parameters - mean) / sigma) ** 2 + sigma.log()
    return ((nll * free).sum(-1) / free.sum(-1)).mean()


def _squared_error(answer: OpenAnswer, batch: Batch) -> Tensor:
    kind = _tables(batch.x.device).kind[batch.space_group]
    return functional.mse_loss(answer.lp.float(), niggli_from_reciprocal(batch.basis, kind))


@dataclass(frozen=True)
class _Tables:
    """Tables of the 230 space groups, on one device."""

    system: Tensor
    members: Tensor
    kind: Tensor
    free: Tensor
    hops: Tensor


@functools.cache
def _tables(device: torch.device) -> _Tables:
    system = torch.as_tensor(lattice.system_of_group(), device=device)
    return _Tables(
        system=system,
        members=functional.one_hot(system, 7).float(),
        kind=torch.as_tensor(lattice.type_of_group(), device=device),
        free=torch.as_tensor(lattice.ties()[2], dtype=torch.float32, device=device),
        hops=torch.tensor(distances(), dtype=torch.float32, device=device),
    )
