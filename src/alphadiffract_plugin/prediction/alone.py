"""The network as an indexer by itself: its space groups with its approximate cells, as in the published method."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal.cells import NO_CELL
from alphadiffract_plugin.prediction.propose import bravais_of_proposal
from alphadiffract_plugin.provenance import timed, versions
from alphadiffract_plugin.records import Candidate, Cell, Histogram, IndexingResult, Prediction
from alphadiffract_plugin.settings import Settings


def conventional_cell(prediction: Prediction, crystal_system: str, centring: str) -> tuple[Cell, Cell]:
    """The cell of the network for a crystal system and centring, and its spread (Å, degrees); NaN if there is none.

    For the centring A, the axes a and c of a C centred cell are exchanged. Orthorhombic axes are sorted a ≤ b ≤ c as
    far as the centring allows, because the network does not say which axis of the symbol is which.
    """
    for proposal in prediction.lattices:
        found = bravais_of_proposal(proposal) if proposal.crystal_system == crystal_system else None
        if found is not None and found.centring == ("C" if centring == "A" else centring):
            a, b, c, alpha, beta, gamma = found.cell
            if centring == "A":
                a, c = c, a
            relative = float(np.mean(np.array(proposal.spread[:3]) / np.array(proposal.cell[:3])))
            angle = float(max(proposal.spread[3:]))
            free = {"triclinic": (1, 1, 1), "monoclinic": (0, 1, 0)}.get(crystal_system, (0, 0, 0))
            spread = (relative * a, relative * b, relative * c, angle * free[0], angle * free[1], angle * free[2])
            return (a, b, c, alpha, beta, gamma), spread
    return NO_CELL, NO_CELL


def index_by_network(histogram: Histogram, settings: Settings) -> IndexingResult:
    """Space groups ranked by the network alone, with its approximate cells: the answer of the published method.

    Raises
    ------
    RadiationError, InputError, ModelError : as :func:`predict.predict`.
    """
    from alphadiffract_plugin.prediction.predict import predict

    timings: dict[str, float] = {}
    with timed(timings, "predict"):
        prediction = predict(histogram, settings)
    order = np.argsort(-prediction.space_group_probability, kind="stable")[: settings.rank.keep]
    return IndexingResult(
        histogram=histogram.name,
        indexer="alphadiffract-net",
        wavelength=histogram.wavelength,
        candidates=tuple(_unrefined(prediction, int(group) + 1) for group in order),
        prediction=prediction,
        notes=("The cells are estimates of the network, wrong by tens of per cent. Do not refine from them.",),
        settings=settings.to_dict(),
        versions=versions(),
        timings=timings,
    )


def _unrefined(prediction: Prediction, space_group: int) -> Candidate:
    symbol = crystal.symbol_from_space_group(space_group)
    system = crystal.crystal_system_from_space_group(space_group)
    cell, spread = conventional_cell(prediction, system, symbol[0])
    return Candidate.of_group(
        space_group,
        cell=cell,
        cell_esd=spread,
        probability=float(prediction.space_group_probability[space_group - 1]),
        origin="network",
    )
