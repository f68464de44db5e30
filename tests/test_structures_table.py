"""Structure files: read as arrays, refused with the row and how to fix it, counted, and cut to a few."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphadiffract_plugin.errors import StructureError
from alphadiffract_plugin.models.structures.table import read, read_table, take


@pytest.fixture(scope="module")
def small(request):
    return request.getfixturevalue("examples") / "structures_3dsc.parquet"


@pytest.fixture
def changed(small, tmp_path):
    """A copy of the first 20 structures with the row 3 changed by a function."""

    def make(change):
        rows = pq.read_table(small).slice(0, 20)
        schema, rows = rows.schema, rows.to_pylist()
        change(rows[3])
        path = tmp_path / "changed.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        return path, rows[3]["id"]

    return make


def test_the_example_holds_every_crystal_system_and_the_arrays_say_what_the_rows_say(small):
    rows, found = pq.read_table(small).to_pylist(), read([small])
    assert len(found) == len(rows) == 504
    for i in (0, 17, 503):
        part = slice(found.start[i], found.start[i + 1])
        assert (
            found.id[i] == rows[i]["id"] and found.space_group[i] == rows[i]["sg"] and found.hall[i] == rows[i]["hall"]
        )
        assert found.number[part].tolist() == rows[i]["elem"] and found.multiplicity[part].tolist() == rows[i]["mult"]
        assert np.allclose(found.position[part], np.transpose([rows[i][k] for k in "xyz"]))
        assert np.allclose(found.cell[i], [rows[i][k] for k in ("a", "b", "c", "alpha", "beta", "gamma")])


def test_several_files_are_read_one_after_the_other(small):
    once, twice = read([small]), read([small, small])
    assert len(twice) == 2 * len(once) and twice.start[-1] == 2 * once.start[-1]
    assert np.array_equal(twice.position[once.start[-1] :], once.position)


def test_taking_structures_takes_their_atoms(small):
    found = read([small])
    mask = found.space_group == 225
    part = take(found, mask)
    assert len(part) == mask.sum() > 0 and len(part.number) == part.start[-1]
    i, k = 1, int(np.flatnonzero(mask)[1])
    old, new = slice(found.start[k], found.start[k + 1]), slice(part.start[i], part.start[i + 1])
    assert np.array_equal(part.position[new], found.position[old]) and part.id[i] == found.id[k]
    assert take(found, np.array([5, 2])).id.tolist() == [found.id[5], found.id[2]]
    assert len(take(found, np.zeros(len(found), bool))) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: row.update(sg=231), "there is no space group"),
        (lambda row: row.update(sg=0), "there is no space group"),
        (lambda row: row.update(hall=530 if row["sg"] != 230 else 1), "is not of space group"),
        (lambda row: row.update(a=float("nan")), "the cell nan"),
        (lambda row: row.update(alpha=170, beta=20, gamma=90), "is impossible"),
        (lambda row: row.update(x=row["x"] + [0.0]), "differ in length"),
        (lambda row: row.update(y=[float("nan")] * len(row["y"])), "coordinate"),
        (lambda row: row.update(occ=[2.0] * len(row["occ"])), "occupancy"),
        (lambda row: row.update(elem=[0] * len(row["elem"])), "atomic number"),
        (lambda row: row.update(mult=[0] * len(row["mult"])), "multiplicity"),
        (lambda row: row.update({k: [] for k in ("elem", "occ", "x", "y", "z", "mult")}), "no atoms"),
        (lambda row: row.update(split="holdout"), "not one of train, val, test"),
        (lambda row: row.update(origin="rumour"), "not one of experiment"),
    ],
)
def test_a_row_that_is_no_structure_is_named(change, told, changed):
    path, identity = changed(change)
    with pytest.raises(StructureError, match=r"structures build") as error:
        read([path])
    assert told in error.value.what and identity in error.value.what and error.value.where == path


def test_a_column_with_a_gap_is_refused(changed):
    path, _ = changed(lambda row: row.update(sg=None))
    with pytest.raises(StructureError, match="column sg has missing values"):
        read([path])


def test_files_that_are_no_structure_files(small, tmp_path):
    table = pq.read_table(small)
    lacking, empty, text = tmp_path / "l.parquet", tmp_path / "e.parquet", tmp_path / "t.parquet"
    pq.write_table(table.drop_columns(["hall", "occ"]), lacking)
    pq.write_table(table.slice(0, 0), empty)
    text.write_text("id,sg\n")
    for path, told in (
        (lacking, "no column hall, occ"),
        (empty, "holds no structures"),
        (text, "not a parquet file"),
        (tmp_path / "missing.parquet", "no such file"),
        (tmp_path, "this is a folder"),
    ):
        with pytest.raises(StructureError, match=told):
            read([path])


def test_stats_count_the_example(cli, small):
    done = cli("structures", "stats", small, "--json")
    counts = json.loads(done.out)
    assert counts["structures"] == 504 and counts["origins"] == {"dft": dict.fromkeys(counts["origins"]["dft"], 72)}
    assert sum(sum(row.values()) for row in counts["splits"].values()) == 504
    assert counts["repeated"] == 0 and 101 in counts["groups_missing"]
    assert all(1 <= n < 10 for n in counts["groups_few"].values())
    shown = cli("structures", "stats", small)
    assert shown.code == 0 and "504 structures in 1 file" in shown.out and "filtered against index.csv" in shown.out


def test_a_few_of_each_crystal_system_are_the_same_few_in_any_order(small, cli, tmp_path):
    table = read_table([small])
    turned = tmp_path / "turned.parquet"
    pq.write_table(table.take(np.arange(len(table))[::-1]), turned)
    picked = []
    for k, path in enumerate((small, turned)):
        out = tmp_path / f"{k}.parquet"
        assert cli("structures", "filter", path, "--per-system", 5, "-o", out).code == 0
        picked.append(read([out]))
    assert set(picked[0].id) == set(picked[1].id) and len(picked[0]) == 35
    orthorhombic = picked[0].space_group[(picked[0].space_group > 15) & (picked[0].space_group < 75)]
    assert len(set(orthorhombic)) == 5  # the groups take turns
