"""Trial cells from the approximate lattices of the network, refined against the observed lines."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.crystal.bravais import LATTICES, BravaisCell, bravais_from_basis, primitive_basis
from alphadiffract_plugin.crystal.cells import metric_from_cell
from alphadiffract_plugin.crystal.symmetry import lattice_family
from alphadiffract_plugin.indexing.refine_cells import TrialCell, pull_onto_lines
from alphadiffract_plugin.peaks.observed import observed_from_peaks
from alphadiffract_plugin.records import LatticeProposal, Peaks, Prediction
from alphadiffract_plugin.settings import Settings

_DRAWS = 400
"""Cells drawn around a lattice of probability 1: least squares corrects errors of a few per cent, and the spread of the
network is wider."""
_TOLERANCES = (1e-3, 0.01, 0.03, 0.1)
"""Relative tolerances, tried in turn, within which the lattice must have the symmetry of its crystal system."""
_SLANTED = {4: {3: (0, 2)}, 6: {3: (1, 2), 4: (0, 2), 5: (0, 1)}}
"""For lattices with so many free parameters: those that depend on an angle, and those of the two edges beside it."""


def trials_from_prediction(prediction: Prediction, peaks: Peaks, settings: Settings) -> list[TrialCell]:
    """Cells drawn around the lattices of the network, within their spread, and refined; best score first.

    More cells are drawn around more probable lattices. The result depends on ``settings.random_seed`` alone.
    """
    observed = observed_from_peaks(peaks, settings.search.lines)
    rng = np.random.default_rng(settings.random_seed)
    trials: list[TrialCell] = []
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


def bravais_of_proposal(proposal: LatticeProposal) -> BravaisCell | None:
    """The Bravais lattice and conventional cell of a lattice of the network; None if it lacks its symmetry."""
    family = lattice_family(proposal.crystal_system)
    basis = primitive_basis(proposal.cell, "P")
    for tolerance in _TOLERANCES:
        found = bravais_from_basis(basis, tolerance)
        if found.family == family:
            return found
    return None
