"""The network alone as an indexer: its space groups, with its own coarse cells, as in the published method."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin import crystal
from alphadiffract_plugin.prediction.propose import bravais_of_proposal
from alphadiffract_plugin.provenance import timed, versions
from alphadiffract_plugin.records import Candidate, Cell, Histogram, IndexingResult, Prediction
from alphadiffract_plugin.settings import Settings


def conventional_cell(prediction: Prediction, crystal_system: str, centring: str) -> tuple[Cell, Cell]:
    """The network's cell for a crystal system and centring, and its spread (Å, degrees); NaN if it gives none.

    The centring A is met by C, axes renamed; orthorhombic axes ascend as far as the centring lets them, since the
    network does not say how a group's symbol lies on them.
    """
    for proposal in prediction.lattices:
        found = bravais_of_proposal(proposal) if proposal.crystal_system == crystal_system else None
        if found is not None and found.centring == ("C" if centring == "A" else centring):
            a, b, c, *angles = found.cell
            cell = (c, b, a, *angles) if centring == "A" else found.cell
            relative = np.mean(np.array(proposal.spread[:3]) / np.array(proposal.cell[:3]))
            free = {"triclinic": (1, 1, 1), "monoclinic": (0, 1, 0)}.get(crystal_system, (0, 0, 0))
            angle = float(max(proposal.spread[3:]))
            return cell, (*(float(relative * edge) for edge in cell[:3]), *(angle * f for f in free))
    return (np.nan,) * 6, (np.nan,) * 6


def index_by_network(histogram: Histogram, settings: Settings) -> IndexingResult:
    """Space groups ranked by the network alone, with its own coarse cells: the answer of the published method.

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
        notes=("The cells are the network's own, wrong by tens of per cent: do not refine from them.",),
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
