"""Turn the network's coarse lattices into cells: conventional ones to show, and trials pulled onto the lines."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.crystal.bravais import LATTICES, bravais_from_basis, primitive_basis
from alphadiffract_plugin.crystal.cells import metric_from_cell
from alphadiffract_plugin.crystal.symmetry import lattice_family
from alphadiffract_plugin.indexing.refine_cells import Trial, pull_onto_lines
from alphadiffract_plugin.peaks.observed import observed_from_peaks
from alphadiffract_plugin.records import LatticeProposal, Peaks, Prediction
from alphadiffract_plugin.settings import Settings

_DRAWS = 400
"""Cells drawn around a proposal; least squares reaches a few per cent, the network's spread is wider."""
_TOLERANCES = (1e-3, 0.01, 0.03, 0.1)
"""Fractions by which the proposal's lattice points may move to reach the symmetry of its crystal system."""
_SLANTED = {4: {3: (0, 2)}, 6: {3: (1, 2), 4: (0, 2), 5: (0, 1)}}
"""By number of free parameters: each that belongs to an angle, and those of the two edges beside it."""


def trials_from_prediction(prediction: Prediction, peaks: Peaks, settings: Settings) -> list[Trial]:
    """The network's lattices, drawn around within their spread and pulled onto the lines, best score first.

    More cells are drawn around the more probable lattices. Deterministic for ``settings.random_seed``.
    """
    observed = observed_from_peaks(peaks, settings.search.lines)
    rng = np.random.default_rng(settings.random_seed)
    trials: list[Trial] = []
    for proposal in prediction.lattices:
        draws = int(_DRAWS * proposal.weight)
        found = bravais_of_proposal(proposal)
        if draws == 0 or found is None:
            continue
        lattice = next(x for x in LATTICES if (x.family, x.centring) == (found.family, found.centring))
        relative = np.clip(np.array(proposal.spread[:3]) / np.array(proposal.cell[:3]), 0.01, 0.3)
        parameters = lattice.parameters(metric_from_cell(found.cell))
        drawn = parameters * np.exp(2 * relative.mean() * rng.standard_normal((draws, lattice.free)))
        for column, (i, j) in _SLANTED.get(lattice.free, {}).items():
            size = np.sqrt(parameters[i] * parameters[j])
            drawn[:, column] += relative.mean() * size * rng.standard_normal(draws)
        start = np.column_stack([drawn, np.full(draws, 0.02)])
        trials += pull_onto_lines(observed, lattice, start, "network")
    return sorted(trials, key=lambda trial: -trial.score)


def bravais_of_proposal(proposal: LatticeProposal) -> object | None:
    """The Bravais lattice and conventional cell of a lattice that the network proposes; None if it is no lattice."""
    family = lattice_family(proposal.crystal_system)
    basis = primitive_basis(proposal.cell, "P")
    for tolerance in _TOLERANCES:
        found = bravais_from_basis(basis, tolerance)
        if found.family == family:
            return found
    return None
