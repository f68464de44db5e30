"""A reproducible choice of some structures, spread over the crystal systems and space groups."""

from __future__ import annotations

import hashlib

import numpy as np

from .. import lattice


def spread(identity: np.ndarray, space_group: np.ndarray, per_system: int) -> np.ndarray:
    """Indices, ascending, of at most ``per_system`` structures of each crystal system.

    Within a system the space groups take turns; within a group the order is that of the SHA-1 of the id. So the choice
    does not depend on the order of the rows.

    Parameters
    ----------
    identity : ids, shape (S,).
    space_group : 1 to 230, shape (S,).
    per_system : largest number of structures of each system.
    """
    lot = np.array(
        [hashlib.sha1(name.encode("utf-8"), usedforsecurity=False).hexdigest() for name in identity.tolist()]
    )
    order = np.lexsort((lot, space_group))
    group = space_group[order]
    first = np.flatnonzero(np.diff(group, prepend=-1))
    turn = np.arange(len(group)) - np.repeat(first, np.diff(np.append(first, len(group))))
    system = lattice.system_of_group()[group - 1]
    by_turn = np.lexsort((lot[order], turn, system))
    begins = np.searchsorted(system[by_turn], np.arange(7))
    place = np.arange(len(group)) - begins[system[by_turn]]
    return np.sort(order[by_turn[place < per_system]])
