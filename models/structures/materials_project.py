"""Crystals of the Materials Project, asked through its own client with the user's own key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alphadiffract_plugin.errors import StructureError

from .build import Reported
from .standardise import MOST_ATOMS

FIELDS = ["material_id", "structure", "theoretical"]


def reported_by_materials_project(
    *, elements: Sequence[str] = (), ids: Sequence[str] = (), stable: bool = False
) -> list[Reported]:
    """The crystals that the Materials Project holds; ``dft_known`` where an experiment reported them, else ``dft``.

    Parameters
    ----------
    elements : symbols that each must hold.
    ids : ``mp-149`` ...; none for all.
    stable : only those on the convex hull.

    Raises
    ------
    StructureError : the client is not installed, the key is missing, the service does not answer, or nothing matches.
    """
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        told = "the Materials Project is asked through its client mp-api, which is not installed"
        raise StructureError(told, fix="pip install mp-api") from error
    query: dict[str, Any] = {"deprecated": False, "num_sites": (1, MOST_ATOMS), "fields": FIELDS}
    query |= {"elements": list(elements)} if elements else {}
    query |= {"material_ids": list(ids)} if ids else {}
    query |= {"is_stable": True} if stable else {}
    try:
        with MPRester() as client:
            documents = client.materials.summary.search(**query)
    except Exception as error:  # the client raises errors of its own, of requests and of its key check
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        fix = "set MP_API_KEY to your key (materialsproject.org/api), and check the network and the ids"
        raise StructureError(f"the Materials Project did not answer: {told}", fix=fix) from error
    if not documents:
        raise StructureError("the Materials Project holds no such crystal", fix="ask for fewer elements or other ids")
    return [
        Reported(f"mp:{d.material_id}", "dft" if d.theoretical else "dft_known", str(d.material_id), d.structure)
        for d in documents
    ]
