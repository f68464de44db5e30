"""The graph of maximal subgroups: what crystallographers know of a few groups, and what must hold of all."""

import numpy as np
import pytest

from alphadiffract_plugin.models.maximal_subgroups import distances, neighbours


def hops(one: int, other: int) -> int:
    return int(distances()[one - 1, other - 1])


@pytest.mark.parametrize(
    ("group", "subgroup"),
    [
        (221, 123),  # Pm-3m stretched along c: P4/mmm, as BaTiO3's paraelectric cube under a tetragonal strain
        (221, 225),  # ordered double perovskites: Pm-3m to Fm-3m with a doubled edge
        (123, 47),  # P4/mmm to Pmmm
        (62, 14),  # Pnma to P21/c, both of so many minerals
        (62, 33),  # Pnma without its mirror: Pna21, of equal extinctions
        (225, 166),  # Fm-3m along a diagonal: R-3m, as NiO below its Neel point
        (227, 216),  # diamond to zincblende
        (194, 186),  # P63/mmc to P63mc, wurtzite
        (2, 1),  # P-1 without its inversion
    ],
)
def test_a_maximal_subgroup_is_one_hop_away_both_ways(group, subgroup):
    assert hops(group, subgroup) == hops(subgroup, group) == 1


def test_zirconia_cools_from_cubic_by_way_of_tetragonal_to_monoclinic():
    # Fm-3m > P42/nmc > P21/c: the second is no direct subgroup of the first, and the third none of the second
    assert hops(225, 137) == 2
    assert hops(137, 14) > 1
    assert hops(225, 14) <= hops(225, 137) + hops(137, 14)


def test_the_most_symmetric_group_is_some_hops_from_none():
    assert hops(229, 1) == hops(230, 1) == 4
    assert distances().max() == 6


def test_every_group_is_reached_and_the_distance_is_a_metric():
    d = distances().astype(int)
    assert d.shape == (230, 230) and d.max() < 255
    assert (d == d.T).all()
    assert (np.diag(d) == 0).all() and (d + np.eye(230, dtype=int) > 0).all()
    assert (d[:, :, None] <= d[:, None, :] + d.T[None]).all()


def test_isomorphic_subgroups_join_no_group_to_itself():
    assert not np.diag(neighbours()).any()


def test_a_screw_runs_the_other_way_in_a_cell_three_times_as_long():
    assert hops(76, 78) == 1  # P41 with c' = 3c is P43


def test_the_tables_are_shared_and_so_not_writable():
    with pytest.raises(ValueError, match="read-only"):
        distances()[0, 0] = 3
