"""Reported crystals to a structure file: what is kept, in which setting, and why the rest is left out."""

import csv
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin.models.structures import build as building
from alphadiffract_plugin.models.structures.standardise import Rejection, row_from_structure
from alphadiffract_plugin.models.structures.table import read, read_table

RUTILE = ("P 42/mnm", (4.594, 4.594, 2.959, 90, 90, 90), [("Ti", 0, 0, 0, 1), ("O", 0.3053, 0.3053, 0, 1)])
QUARTZ = (
    "P 32 2 1",
    (4.913, 4.913, 5.405, 90, 90, 120),
    [("Si", 0.4697, 0, 0.66667, 1), ("O", 0.4133, 0.2672, 0.78547, 1)],
)
HALITE = ("F m -3 m", (5.94, 5.94, 5.94, 90, 90, 90), [("Na", 0, 0, 0, 0.5), ("K", 0, 0, 0, 0.5), ("Cl", 0.5, 0, 0, 1)])


def cif(path, group, cell, atoms):
    """Write a CIF by hand, as a journal would print it."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = [f"data_{path.stem}", *(f"_cell_{n} {v}" for n, v in zip(names, cell, strict=True))]
    head += [f"_symmetry_space_group_name_H-M '{group}'", "loop_"]
    head += [f"_atom_site_{n}" for n in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")]
    rows = [f"{s}{i} {s} {x} {y} {z} {o}" for i, (s, x, y, z, o) in enumerate(atoms)]
    path.write_text("\n".join([*head, *rows, ""]))
    return path


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    made.mkdir()
    return made


@pytest.fixture
def build(cli, folder, tmp_path):
    """Build a file of the folder: the run, the table (None if there is none), and reasons by file name."""

    def run(*options):
        out = tmp_path / "out.parquet"
        done = cli("structures", "build", folder, "-o", out, "--workers", 1, *options)
        listed = tmp_path / "out.rejected.csv"
        rows = list(csv.DictReader(listed.open())) if listed.exists() else []
        reasons = {row["file"].rpartition("/")[2]: row["reason"] for row in rows}
        return done, (read_table([out]).to_pylist() if out.exists() else None), reasons

    return run


def test_rutile_and_quartz_come_out_in_their_standard_settings(folder, build):
    cif(folder / "rutile.cif", *RUTILE)
    cif(folder / "quartz.cif", *QUARTZ)
    done, rows, reasons = build()
    assert done.code == 0 and not reasons
    quartz, rutile = rows
    assert (rutile["id"], rutile["sg"], rutile["formula"], rutile["n_sites"]) == ("mine:rutile", 136, "O2Ti", 6)
    assert sorted(zip(rutile["elem"], rutile["mult"], strict=True)) == [(8, 4), (22, 2)]
    assert (quartz["sg"], quartz["formula"], quartz["n_sites"]) == (154, "O2Si", 9)
    assert rutile["a"] == pytest.approx(4.594, abs=1e-4) and quartz["gamma"] == 120
    assert rutile["origin"] == "experiment" and rutile["ordered"]


def test_sodium_and_potassium_on_one_site_keep_the_symmetry_of_halite(folder, build):
    cif(folder / "mixed.cif", *HALITE)
    _, (row,), _ = build()
    assert row["sg"] == 225 and not row["ordered"] and row["formula"] == "Cl0.500K0.250Na0.250"
    sites = {z: (o, m, (x, y, z_)) for z, o, m, x, y, z_ in zip(*(row[k] for k in ("elem", "occ", "mult", "x", "y", "z")), strict=True)}  # fmt: skip # noqa: E501
    assert sites[11] == sites[19] and sites[11][:2] == (0.5, 4) and sites[17][:2] == (1, 4)


def test_ordered_labels_would_lower_the_symmetry_that_a_shared_site_keeps(folder, build):
    """Half of the sites Na, half K, told apart: P 4/m m m and no longer F m -3 m."""
    cif(folder / "layered.cif", "P 4/mmm", (4.2, 4.2, 5.94, 90, 90, 90), [
        ("Na", 0, 0, 0, 1), ("K", 0.5, 0.5, 0.5, 1), ("Cl", 0.5, 0.5, 0, 1), ("Cl", 0, 0, 0.5, 1)])  # fmt: skip
    _, (row,), _ = build()
    assert row["sg"] == 123


def test_a_spinel_written_without_its_symmetry_gets_its_true_group(folder, build):
    from pymatgen.core import Lattice, Structure

    spinel = Structure.from_spacegroup(
        "Fd-3m:2", Lattice.cubic(8.083), ["Mg", "Al", "O"], [[1 / 8] * 3, [1 / 2] * 3, [0.2624] * 3]
    )
    cif(
        folder / "p1.cif",
        "P 1",
        (8.083, 8.083, 8.083, 90, 90, 90),
        [(s.specie.symbol, *s.frac_coords, 1) for s in spinel],
    )
    _, (row,), _ = build()
    assert row["sg"] == 227 and row["n_sites"] == 56 and sorted(row["mult"]) == [8, 16, 32]
    assert row["formula"] == "Al2MgO4"


def test_what_is_left_out_is_counted_and_listed_with_its_reason(folder, build):
    cif(folder / "a_rutile.cif", *RUTILE)
    (folder / "empty.cif").write_text("")
    (folder / "prose.cif").write_text("This is a letter to the editor.")
    cif(folder / "no_atoms.cif", RUTILE[0], RUTILE[1], [])
    cif(folder / "too_close.cif", "P 1", RUTILE[1], [("Ti", 0, 0, 0, 1), ("O", 0.1, 0, 0, 1)])
    cif(folder / "crowded.cif", HALITE[0], HALITE[1], [("Na", 0, 0, 0, 0.9), ("K", 0, 0, 0, 0.9), ("Cl", 0.5, 0, 0, 1)])
    grid = [(x / 12.6, y / 12.6, z / 12.6) for x in range(13) for y in range(13) for z in range(12)]
    cif(folder / "large.cif", "P 1", (40, 40, 40, 90, 90, 90), [("C", *xyz, 1) for xyz in grid])
    cif(folder / "vast.cif", "P 1", (60, 60, 60, 90, 90, 90), [("C", 0, 0, 0, 1)])
    cif(folder / "skewed.cif", "P 1", (4.594, 4.61, 2.959, 90, 90, 90), [
        ("Ti", 0, 0, 0, 1), ("Ti", 0.5, 0.5, 0.5, 1), ("O", 0.3053, 0.3053, 0, 1), ("O", 0.6947, 0.6947, 0, 1),
        ("O", 0.1947, 0.8053, 0.5, 1), ("O", 0.8053, 0.1947, 0.5, 1)])  # fmt: skip
    done, rows, reasons = build()
    assert done.code == 0 and [row["id"] for row in rows] == ["mine:a_rutile"]
    assert reasons == {
        "empty.cif": "empty file",
        "prose.cif": "cannot be parsed",
        "no_atoms.cif": "no atoms",
        "too_close.cif": "atoms too close",
        "crowded.cif": "occupancy above 1",
        "large.cif": "too many atoms",
        "vast.cif": "cell too large",
        "skewed.cif": "space group depends on the tolerance",
    }
    assert "8 of 9 left out" in done.out and "too many atoms" in done.out


def test_a_lattice_that_lacks_the_symmetry_of_its_atoms_is_left_out():
    """CsCl with c 0.5 % longer: within 0.1 Å spglib calls it cubic, the metric does not."""
    from pymatgen.core import Lattice, Structure

    strained = Structure(Lattice.from_parameters(4.12, 4.12, 4.1225, 90, 90, 90), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    assert row_from_structure(strained, identity="t:cscl", origin="experiment")["sg"] == 221  # 0.06 %: a rounded cell
    strained = Structure(Lattice.from_parameters(4.12, 4.12, 4.14, 90, 90, 90), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    with pytest.raises(Rejection, match="depends on the tolerance|crystal system"):
        row_from_structure(strained, identity="t:cscl", origin="experiment")


def test_the_same_mineral_twice_is_kept_once_and_a_polymorph_stays(folder, build):
    cif(folder / "rutile_1.cif", *RUTILE)
    cif(folder / "rutile_2.cif", RUTILE[0], (4.60, 4.60, 2.96, 90, 90, 90), RUTILE[2])
    cif(
        folder / "anatase.cif",
        "I 41/amd",
        (3.785, 3.785, 9.514, 90, 90, 90),
        [("Ti", 0, 0, 0, 1), ("O", 0, 0, 0.2081, 1)],
    )
    _, rows, reasons = build()
    assert [row["id"] for row in rows] == ["mine:anatase", "mine:rutile_1"]
    assert reasons == {"rutile_2.cif": "duplicate"}


def test_a_folder_named_twice_gives_its_crystals_once(folder, build):
    cif(folder / "rutile.cif", *RUTILE)
    done, rows, reasons = build(folder)
    assert done.code == 0 and [row["id"] for row in rows] == ["mine:rutile"] and reasons == {"rutile.cif": "duplicate"}


def test_polymorphs_and_solid_solutions_share_a_split(folder, build):
    cif(folder / "rutile.cif", *RUTILE)
    cif(
        folder / "anatase.cif",
        "I 41/amd",
        (3.785, 3.785, 9.514, 90, 90, 90),
        [("Ti", 0, 0, 0, 1), ("O", 0, 0, 0.2081, 1)],
    )
    traced = [("Ti", 0, 0, 0, 0.97), ("Nb", 0, 0, 0, 0.03), ("O", 0.3053, 0.3053, 0, 1)]
    cif(folder / "doped.cif", RUTILE[0], RUTILE[1], traced)
    _, rows, _ = build()
    assert {row["chemkey"] for row in rows} == {"O-Ti"} and len({row["split"] for row in rows}) == 1 and len(rows) == 3


def test_many_crystals_are_judged_in_several_processes_and_come_out_the_same(folder, monkeypatch):
    for i in range(4):
        cif(folder / f"rutile_{i}.cif", RUTILE[0], (4.594 + i / 4, 4.594 + i / 4, 2.959, 90, 90, 90), RUTILE[2])
    (folder / "empty.cif").write_text("")
    reported = building.cifs_in(folder, "experiment")
    alone = building.build(reported, workers=1)
    monkeypatch.setattr(building, "ALONE", 0)
    assert building.build(reported, workers=2) == alone
    assert len(alone.rows) == 4 and alone.reasons == {"empty file": 1}


@pytest.mark.parametrize(
    ("files", "told", "fix"),
    [
        ([], "the folder is empty", "folder that holds .cif files"),
        (["notes.txt"], "no .cif files", "folder that holds .cif files"),
        (["a.cif"], "none of the structures was kept", "read the reasons in"),
    ],
)
def test_a_folder_without_crystals_is_an_error_that_says_how_to_fix_it(files, told, fix, folder, build):
    for name in files:
        (folder / name).write_text("")
    done, rows, _ = build()
    assert done.code == 2 and rows is None and told in done.err and fix in done.err


def test_output_that_is_there_or_cannot_be_written_is_refused_before_the_work(folder, build, cli, tmp_path):
    cif(folder / "rutile.cif", *RUTILE)
    assert build()[0].code == 0
    again = build()[0]
    assert again.code == 2 and "already there" in again.err and "--overwrite" in again.err
    assert build("--overwrite")[0].code == 0
    table = cli("structures", "build", folder, "-o", tmp_path / "out.csv")
    assert table.code == 2 and "-o out.parquet" in table.err and not (tmp_path / "out.csv").exists()
    nowhere = cli("structures", "build", folder, "-o", tmp_path / "missing" / "out.parquet")
    assert nowhere.code == 2 and "this folder does not exist" in nowhere.err


def test_wrong_options_are_reported_with_how_to_fix_them(folder, build):
    cif(folder / "rutile.cif", *RUTILE)
    done, _, _ = build("--origin", "guess")
    assert done.code == 2 and "experiment" in done.err
    done, _, _ = build("--stable")
    assert done.code == 2 and "add the source mp" in done.err


def client(monkeypatch, search):
    """Stand in for mp_api.client with a fake whose summary search is ``search``."""

    class Rester:
        materials = SimpleNamespace(summary=SimpleNamespace(search=search))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    package, module = ModuleType("mp_api"), ModuleType("mp_api.client")
    module.MPRester = Rester
    monkeypatch.setitem(sys.modules, "mp_api", package)
    monkeypatch.setitem(sys.modules, "mp_api.client", module)


def test_the_materials_project_is_asked_through_its_client(cli, monkeypatch, tmp_path):
    from pymatgen.core import Lattice, Structure

    asked = {}
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.44), ["Si"], [[0, 0, 0]])
    guessed = Structure.from_spacegroup("Im-3m", Lattice.cubic(3.1), ["Si"], [[0, 0, 0]])

    def search(**query):
        asked.update(query)
        return [
            SimpleNamespace(material_id="mp-149", structure=silicon, theoretical=False),
            SimpleNamespace(material_id="mp-999", structure=guessed, theoretical=True),
        ]

    client(monkeypatch, search)
    done = cli("structures", "build", "mp", "--elements", "Si", "--stable", "-o", tmp_path / "mp.parquet")
    assert (
        done.code == 0 and asked["elements"] == ["Si"] and asked["is_stable"] is True and "structure" in asked["fields"]
    )
    found = read([tmp_path / "mp.parquet"])
    assert found.id.tolist() == ["mp:mp-149", "mp:mp-999"] and found.space_group.tolist() == [227, 229]
    assert found.origin.tolist() == [1, 2]  # dft_known, dft
    assert np.isclose(found.cell[0, 0], 5.44)


def test_the_materials_project_without_client_or_key_says_how_to_fix_it(cli, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mp_api", None)
    done = cli("structures", "build", "mp", "-o", tmp_path / "mp.parquet")
    assert done.code == 2 and "pip install mp-api" in done.err

    def refuse(**query):
        raise RuntimeError("Please obtain a valid API key")

    client(monkeypatch, refuse)
    done = cli("structures", "build", "mp", "-o", tmp_path / "mp.parquet")
    assert done.code == 2 and "valid API key" in done.err and "MP_API_KEY" in done.err
    client(monkeypatch, lambda **query: [])
    done = cli("structures", "build", "mp", "-o", tmp_path / "mp.parquet")
    assert done.code == 2 and "no such crystal" in done.err
