"""How far apart two space groups are: hops on the graph of maximal subgroups.

Two groups are neighbours if one is a maximal subgroup of the other, up to setting (International Tables A1; the Bilbao
server's MAXSUB). The table is pymatgen's ``maximal_subgroups``, number to numbers, so that no
symbol of a setting has to be parsed. Isomorphic subgroups, which most groups have, would connect a group to itself and
are left out.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from alphadiffract_plugin.arrays import Bools


@functools.cache
def neighbours() -> Bools:
    """Whether two groups are neighbours, shape (230, 230), symmetric, False on the diagonal."""
    from pymatgen.symmetry.groups import SYMM_DATA

    edge = np.zeros((230, 230), bool)
    for number, subgroups in SYMM_DATA["maximal_subgroups"].items():
        edge[int(number) - 1, np.array(subgroups) - 1] = True
    edge |= edge.T
    np.fill_diagonal(edge, False)
    edge.setflags(write=False)
    return edge


@functools.cache
def distances() -> npt.NDArray[np.uint8]:
    """Hops of the shortest path between space groups 1..230, uint8, shape (230, 230); at most 6.

    The distance of AlphaDiffract's graph earth mover's distance (arXiv:2603.23367).
    """
    from scipy.sparse.csgraph import shortest_path

    hops: npt.NDArray[np.uint8] = shortest_path(neighbours(), directed=False, unweighted=True).astype(np.uint8)
    hops.setflags(write=False)
    return hops
