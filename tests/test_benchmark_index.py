"""The index of measured patterns: what a row says of zincite, and what is wrong with a row that is refused."""

import hashlib

import pytest

from alphadiffract_plugin.benchmark_index import CELL_COLUMNS, read_index
from alphadiffract_plugin.errors import InputError

HEAD = "id,path,wavelength_A,kalpha2_ratio,radiation,space_group_number,sg_alternatives,crystal_system"
CELL = ",".join(CELL_COLUMNS)
ZINCITE = "zincite,patterns/zincite.xy,1.540593/1.544427,0.5,xray,186,173; 190,Hexagonal"


@pytest.fixture
def index(tmp_path):
    def write(text):
        path = tmp_path / "index.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_row_has_the_measurement_and_the_crystal_in_numbers(index):
    path = index(f"{HEAD},{CELL},niggli\n{ZINCITE},3.25,3.25,5.2,90,90,120,3.25 3.25 5.2 90 90 120\n")
    read = read_index(path)
    [row] = read.rows
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and read.columns[0] == "id"
    measured = row.measurement
    assert (measured.id, measured.path) == ("zincite", path.parent / "patterns/zincite.xy")
    assert (measured.wavelength, measured.radiation) == ("1.540593/1.544427/0.5", "xray")
    assert (row.space_group, row.groups, row.crystal_system) == (186, {186, 173, 190}, "hexagonal")
    assert row.cell == row.niggli == (3.25, 3.25, 5.2, 90.0, 90.0, 120.0)
    assert (row.tier, row.line) == ("A", 2)


def test_what_an_index_does_not_say_is_empty(index):
    [row] = read_index(index("path,space_group_number\nx.xy,\n")).rows
    assert (row.id, row.tier, row.source, row.space_group, row.groups) == ("", "B-sg-only", "", None, set())
    assert row.cell is None and row.niggli is None


def test_a_cell_with_an_empty_column_is_not_known(index):
    [row] = read_index(index(f"id,{CELL}\nx,3.25,3.25,5.2,90,90,\n")).rows
    assert row.cell is None


@pytest.mark.parametrize(
    ("before", "after", "fix"),
    [
        (",186,", ",231,", "whole number from 1 to 230"),
        (",186,", ",186.5,", "whole number from 1 to 230"),
        ("173; 190", "173; P 3", "separated by blanks"),
        ("Hexagonal", "isometric", "name of a crystal system"),
        ("xray", "electron", "one of xray, neutron"),
        ("1.540593/1.544427", "CuTube", "one number in Å"),
        (",120,", ",300,", "six numbers of a cell"),
        ("90 120", "120", "six numbers of a cell"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(index, before, after, fix):
    text = f"{HEAD},{CELL},niggli\n{ZINCITE},3.25,3.25,5.2,90,90,120,3.25 3.25 5.2 90 90 120\n"
    with pytest.raises(InputError, match=fix) as caught:
        read_index(index(text.replace(before, after, 1)))
    assert caught.value.line == 2


def test_columns_that_are_needed_must_be_there_and_may_have_to_be_filled(index):
    path = index("path,radiation\nx.xy,xray\ny.xy,\n")
    with pytest.raises(InputError, match="no column space_group_number"):
        read_index(path, ("path", "space_group_number"))
    assert len(read_index(path, ("path", "radiation")).rows) == 2
    with pytest.raises(InputError, match="radiation is empty") as caught:
        read_index(path, ("path", "radiation"), filled=True)
    assert caught.value.line == 3


@pytest.mark.parametrize("content", [b"", b"path\n", b"\xff\xfe\x00"])
def test_a_file_without_rows_is_refused(tmp_path, content):
    path = tmp_path / "index.csv"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_index(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_index(tmp_path / "none.csv")
