"""How far apart two space groups are: hops on the graph of maximal subgroups.

Two groups are neighbours if one is a maximal subgroup of the other, up to setting (International Tables A1; the Bilbao
server's MAXSUB). The table is pymatgen's ``maximal_subgroups``, number to numbers, so that no setting or symbol has to
be understood. Isomorphic subgroups, which most groups have, would join a group to itself and are left out.
"""

from __future__ import annotations

import functools

import numpy as np


@functools.cache
def neighbours() -> np.ndarray:
    """Which groups are neighbours: bool, shape (230, 230), symmetric, False on the diagonal."""
    from pymatgen.symmetry.groups import SYMM_DATA

    edge = np.zeros((230, 230), bool)
    for number, subgroups in SYMM_DATA["maximal_subgroups"].items():
        edge[int(number) - 1, np.array(subgroups) - 1] = True
    edge |= edge.T
    np.fill_diagonal(edge, False)
    edge.setflags(write=False)
    return edge


@functools.cache
def distances() -> np.ndarray:
    """Hops of the shortest path between space groups 1..230, uint8, shape (230, 230); at most 6.

    The distance of AlphaDiffract's graph earth mover's distance (arXiv:2603.23367).
    """
    from scipy.sparse.csgraph import shortest_path

    hops = shortest_path(neighbours(), directed=False, unweighted=True).astype(np.uint8)
    hops.setflags(write=False)
    return hops
