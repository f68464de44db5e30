"""The leak test: a structure with a lattice of the benchmark is found in any basis, and one that is 5 % off stays."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.models.structures.leaks import filtered_against, leaks, read_benchmark
from alphadiffract_plugin.models.structures.table import read, read_table, take

HEAD = "id,space_group_number,a,b,c,alpha,beta,gamma\n"
ANORTHITE = (8.177, 12.877, 14.169, 93.17, 115.85, 91.22)
"""Triclinic, 14.2 Å: any basis of it is a cell of P -1."""


@pytest.fixture
def index(tmp_path):
    """A small benchmark: quartz, anorthite, halite, corundum on rhombohedral axes, and a label without a cell."""
    path = tmp_path / "index.csv"
    rows = [
        "quartz,154,4.9130,4.9130,5.4050,90,90,120",
        "anorthite,2," + ",".join(map(str, ANORTHITE)),
        "halite,225,5.6402,5.6402,5.6402,90,90,90",
        "corundum,167,5.1284,5.1284,5.1284,55.28,55.28,55.28",
        "label only,14,,,,,,",
    ]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def crystal(examples):
    """A structure of a group, with another cell."""
    known = read([examples / "structures_3dsc.parquet"])

    def make(space_group, cell):
        import dataclasses

        one = take(known, np.flatnonzero(known.space_group == space_group)[:1])
        return dataclasses.replace(one, cell=np.array([cell], float))

    return make


def rebased(cell, change):
    """The same lattice in another basis: rows of ``change`` in terms of a, b, c."""
    from alphadiffract_plugin.crystal.cells import cell_from_direct_metric, direct_metric_from_cell

    change = np.array(change)
    assert round(np.linalg.det(change)) == 1
    return cell_from_direct_metric(change @ direct_metric_from_cell(cell) @ change.T)


def longer(cell, factor):
    return (*(factor * x for x in cell[:3]), *cell[3:])


@pytest.mark.parametrize(
    "change",
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
        [[2, 1, 0], [1, 1, 1], [0, 0, 1]],
        [[3, 2, 1], [1, 1, 0], [-4, 1, -4]],
    ],
)
def test_anorthite_is_found_in_any_basis_and_five_per_cent_off_it_is_another(change, crystal, index):
    assert leaks(crystal(2, rebased(ANORTHITE, change)), index).all()
    assert leaks(crystal(2, rebased(longer(ANORTHITE, 1.015), change)), index).all()
    assert not leaks(crystal(2, rebased(longer(ANORTHITE, 1.05), change)), index).any()


def test_lengths_count_to_two_per_cent_and_angles_to_one_degree(crystal, index):
    a, b, c, alpha, beta, gamma = ANORTHITE
    for cell, known in (
        ((a * 1.019, b, c, alpha, beta, gamma), True),
        ((a * 1.021, b, c, alpha, beta, gamma), False),
        ((a, b, c, alpha, beta, gamma + 0.9), True),
        ((a, b, c, alpha, beta, gamma + 1.6), False),
    ):
        assert leaks(crystal(2, cell), index)[0] == known


def test_the_same_lattice_in_another_group_is_no_leak(crystal, index):
    assert leaks(crystal(225, (5.64, 5.64, 5.64, 90, 90, 90)), index).all()
    assert not leaks(crystal(221, (5.64, 5.64, 5.64, 90, 90, 90)), index).any()


def test_corundum_is_known_on_hexagonal_axes_when_the_index_has_rhombohedral_ones(crystal, index):
    assert leaks(crystal(167, (4.7587, 4.7587, 12.9929, 90, 90, 120)), index).all()
    assert not leaks(crystal(167, (4.7587, 4.7587, 13.6, 90, 90, 120)), index).any()


def test_a_monoclinic_lattice_is_known_under_another_choice_of_axes(crystal, tmp_path):
    """Centred cells of a monoclinic pyroxene: the same lattice with a and c chosen as a + c and -a."""
    diopside = (9.746, 8.899, 5.251, 90, 105.63, 90)
    path = tmp_path / "index.csv"
    path.write_text(HEAD + "diopside,15," + ",".join(map(str, diopside)) + "\n")
    other = rebased(diopside, [[1, 0, 2], [0, 1, 0], [0, 0, 1]])
    assert leaks(crystal(15, other), path).all()
    assert not leaks(crystal(15, longer(other, 1.05)), path).any()


def test_an_index_of_niggli_cells_as_evaluate_takes_it_knows_halite(crystal, tmp_path):
    """The primitive cell of halite, F m -3 m, has 5.6402 / sqrt(2) Å and 60 degrees."""
    path = tmp_path / "index.csv"
    head = "path,wavelength_A,radiation,space_group_number,crystal_system,niggli\n"
    path.write_text(
        head + "h.xy,1.5406,xray,225,cubic,3.98823 3.98823 3.98823 60 60 60\nx.xy,1.5406,xray,14,monoclinic,\n"
    )
    assert read_benchmark(path).without_cell == 1
    assert leaks(crystal(225, (5.64, 5.64, 5.64, 90, 90, 90)), path).all()
    assert not leaks(crystal(225, (3.99, 3.99, 3.99, 90, 90, 90)), path).any()


def test_filter_takes_a_planted_leak_out_and_says_so(examples, crystal, cli, tmp_path, index):
    table = read_table([examples / "structures_3dsc.parquet"])
    rows = table.to_pylist()
    which = [i for i, row in enumerate(rows) if row["sg"] == 2][:2]
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    change = [[2, 1, 0], [1, 1, 1], [0, 0, 1]]
    for i, factor in zip(which, (1.0, 1.05), strict=True):
        rows[i].update(zip(names, rebased(longer(ANORTHITE, factor), change), strict=True))
    import pyarrow as pa

    planted, out = tmp_path / "planted.parquet", tmp_path / "clean.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), planted)
    known = set(read([planted]).id[leaks(read([planted]), index)])
    assert rows[which[0]]["id"] in known and rows[which[1]]["id"] not in known
    done = cli("structures", "filter", planted, "--benchmark", index, "-o", out)
    assert done.code == 0 and f"{len(known)} of 504 structures were removed: " in done.out
    assert "1 of its 5 rows have no cell" in done.err
    left = read([out])
    assert known.isdisjoint(left.id) and len(left) == 504 - len(known) and not leaks(left, index).any()
    note = filtered_against(read_table([out]).schema.metadata)[-1]
    assert note == {"index": "index.csv", "sha256": read_benchmark(index).sha256, "rows": 5, "removed": len(known)}


def test_files_that_are_joined_lose_their_notes(examples):
    small = examples / "structures_3dsc.parquet"
    assert filtered_against(read_table([small]).schema.metadata)
    assert not filtered_against(read_table([small, small]).schema.metadata)


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("id,space_group_number,a\nx,1,2\n", "no column with a cell", None),
        (HEAD, "holds no rows", None),
        (HEAD + "x,225,5.6,5.6,5.6,90,90,ninety\n", "ninety", 2),
        (HEAD + "x,231,5.6,5.6,5.6,90,90,90\n", "space_group_number is '231'", 2),
        (HEAD + "x,225,5.6,5.6,-5.6,90,90,90\n", "5.6 5.6 -5.6", 2),
        ("id,space_group_number,niggli\nx,225,5.6 5.6 5.6\n", "niggli is", 2),
    ],
)
def test_an_index_that_is_none_is_refused_with_the_line(text, told, line, tmp_path):
    path = tmp_path / "index.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as error:
        read_benchmark(path)
    assert error.value.line == line and error.value.fix


def test_a_missing_index_and_a_filter_without_a_rule(examples, cli, tmp_path):
    small = examples / "structures_3dsc.parquet"
    done = cli("structures", "filter", small, "--benchmark", tmp_path / "none.csv", "-o", tmp_path / "o.parquet")
    assert done.code == 2 and "the benchmark index cannot be read" in done.err
    done = cli("structures", "filter", small, "-o", tmp_path / "o.parquet")
    assert done.code == 2 and "no filter was given" in done.err
    done = cli("structures", "filter", small, "--source", "icsd", "-o", tmp_path / "o.parquet")
    assert done.code == 2 and "choose among the sources 3dsc_mp" in done.err
