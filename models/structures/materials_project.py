"""Crystals of the Materials Project, downloaded through its client with the key of the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alphadiffract_plugin.errors import StructureError

from .build import Reported
from .standardise import MOST_ATOMS

FIELDS = ["material_id", "structure", "theoretical"]
"""What is asked of each crystal."""


def reported_by_materials_project(
    *, elements: Sequence[str] = (), ids: Sequence[str] = (), stable: bool = False
) -> list[Reported]:
    """Crystals of the Materials Project, of origin ``dft_known`` where an experiment reported them, else ``dft``.

    Parameters
    ----------
    elements : symbols of elements that each crystal must contain.
    ids : such as ``mp-149``; all crystals if there are none.
    stable : only crystals on the convex hull.

    Raises
    ------
    StructureError : the client is not installed, the key is missing, the service fails, or there is no such crystal.
    """
    try:
        from mp_api.client import MPRester
    except ImportError as error:
        what = "the Materials Project needs its client mp-api, which is not installed"
        raise StructureError(what, fix="run `pip install mp-api`") from error
    query: dict[str, Any] = {"deprecated": False, "num_sites": (1, MOST_ATOMS), "fields": FIELDS}
    query |= {"elements": list(elements)} if elements else {}
    query |= {"material_ids": list(ids)} if ids else {}
    query |= {"is_stable": True} if stable else {}
    try:
        with MPRester() as client:
            documents = client.materials.summary.search(**query)
    except Exception as error:  # the client raises many kinds of errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        fix = "set MP_API_KEY to your key (materialsproject.org/api), and check the network connection and the ids"
        raise StructureError(f"the Materials Project did not answer: {reason}", fix=fix) from error
    if not documents:
        raise StructureError("the Materials Project holds no such crystal", fix="ask for fewer elements or other ids")
    return [
        Reported(f"mp:{d.material_id}", "dft" if d.theoretical else "dft_known", str(d.material_id), d.structure)
        for d in documents
    ]
