"""Lines of real structures: where Bragg puts them, as high as pymatgen says, and packed once."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin import crystal  # noqa: E402
from alphadiffract_plugin.errors import InputError  # noqa: E402
from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.simulation import lines, reflections, structure_factors, symmetry  # noqa: E402
from alphadiffract_plugin.models.simulation.axes import standard_changes  # noqa: E402
from alphadiffract_plugin.models.structures.table import Structures, read  # noqa: E402

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("lines_vs_pymatgen", ROOT / "bench" / "lines_vs_pymatgen.py")
bench = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = bench
spec.loader.exec_module(bench)


def table(*materials):
    """Structures in one table; atoms are (Z, occupancy, multiplicity, x, y, z)."""
    atoms = [atom for material in materials for atom in material[3:]]
    number, occupancy, multiplicity, *xyz = (np.array(column) for column in zip(*atoms, strict=True))
    n = len(materials)
    return Structures(
        id=np.array([f"test:{k}" for k in range(n)]),
        space_group=np.array([m[0] for m in materials]),
        hall=np.array([m[1] for m in materials]),
        cell=np.array([m[2] for m in materials], float),
        origin=np.zeros(n, int),
        split=np.zeros(n, int),
        start=np.cumsum([0] + [len(m) - 3 for m in materials]),
        number=number,
        occupancy=occupancy.astype(float),
        position=np.array(xyz, float).T,
        multiplicity=multiplicity,
    )


LAB6 = (221, 517, (4.15683, 4.15683, 4.15683, 90, 90, 90), (57, 1, 1, 0, 0, 0), (5, 1, 6, 0.1996, 0.5, 0.5))
ZINCITE = (
    *(186, 480, (3.2483, 3.2483, 5.2041, 90, 90, 120)),
    *((30, 1, 2, 1 / 3, 2 / 3, 0), (8, 1, 2, 1 / 3, 2 / 3, 0.382)),
)
GYPSUM = (
    *(15, 90, (6.284, 15.200, 6.523, 90, 127.41, 90)),
    *((20, 1, 4, 0.5, 0.0797, 0.25), (16, 1, 4, 0, 0.0772, 0.75)),
    *((8, 1, 8, 0.9632, 0.1319, 0.5505), (8, 1, 8, 0.7582, 0.0223, 0.6671), (8, 1, 8, 0.3796, 0.1821, 0.4588)),
)


@pytest.fixture(scope="module")
def known():
    """The superconductors of the example file."""
    return read([ROOT / "examples" / "data" / "structures_3dsc.parquet"])


def all_lines(structures, **settings):
    which = np.arange(len(structures.space_group))
    return structure_factors.all_lines(lines.atoms_from_structures(structures, which), **settings)


def test_lab6_has_the_lines_of_its_cell_and_211_and_its_like_are_24_reflections():
    found = all_lines(table(LAB6), form_factor=lambda number, stol2: number.float())
    sums = (found.inv_d2 * 4.15683**2).numpy()
    assert np.allclose(sums, np.round(sums), atol=1e-6)
    assert np.round(sums).astype(int).tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]  # 7 is no sum of three squares
    hkl = np.array([(h, k, l) for h in (2, -2) for k in (1, -1) for l in (1, -1)])  # noqa: E741
    boron = [
        (s * x if j == i else 0.5 * (j != i)) for i in range(3) for s in (1, -1) for j in range(3) for x in [0.1996]
    ]
    phase = 2 * np.pi * hkl @ np.array(boron).reshape(6, 3).T
    by_hand = 24 * np.abs(57 + 5 * np.exp(1j * phase).sum(1)) ** 2
    assert float(found.intensity[5]) == pytest.approx(by_hand.mean(), rel=1e-5)


def test_thirty_structures_of_all_systems_agree_with_pymatgen_line_by_line(known):
    which = bench.chosen(known, 30, seed=1)
    assert len(set(lattice.system_of_group()[known.space_group[which] - 1])) == 7
    found = bench.compare(known, which)
    assert [c.id for c in found if not c.passed] == []
    assert max(c.position for c in found) < 1e-6 and max(c.height for c in found) < 1e-3  # ten times what is asked for


def test_the_comparison_sees_a_line_that_is_missing_shifted_or_too_high():
    d, height = np.array([3.0, 2.0, 1.5]), np.array([100.0, 50.0, 20.0])
    assert bench.differences(d, height, d, height) == (0.0, 0.0)
    assert bench.differences(d[:2], height[:2], d, height)[1] == pytest.approx(0.2)
    assert bench.differences(d * [1, 1 + 5e-6, 1], height, d, height)[0] > 1e-6
    assert bench.differences(d, height * [1, 1.05, 1], d, height)[1] == pytest.approx(0.025)


@pytest.mark.parametrize("number", [14, 61, 70, 88, 148, 167, 178, 206, 220, 228, 230])
def test_reflections_are_those_that_the_space_group_allows_each_class_once(number):
    cell = {
        "monoclinic": (6, 7, 8, 90, 105, 90),
        "orthorhombic": (8, 9, 10, 90, 90, 90),
        "tetragonal": (8, 8, 11, 90, 90, 90),
        "trigonal": (9, 9, 13, 90, 90, 120),
        "hexagonal": (9, 9, 13, 90, 90, 120),
        "cubic": (12, 12, 12, 90, 90, 90),
    }[crystal.crystal_system_from_space_group(number)]
    hall = torch.tensor([int(symmetry.default_settings()[number - 1])])
    metric = torch.as_tensor(crystal.direct_metric_from_cell(cell))[None]
    found = reflections.reflections(hall, metric, 1.5)

    every = crystal.indices_within(crystal.metric_from_cell(cell), 1 / 1.5**2)
    turns, shifts = symmetry.all_operations(int(hall))
    allowed = every[~crystal.extinct(every, (turns, shifts))]
    assert int(found.multiplicity.sum()) == 2 * len(allowed)
    orbits = np.einsum("ri,nij->rnj", found.hkl.numpy(), turns)
    classes = {tuple(h) for orbit in orbits for h in np.concatenate((orbit, -orbit))}
    assert classes == {tuple(h) for h in np.concatenate((allowed, -allowed))}


def test_every_setting_has_the_operations_of_its_space_group():
    found = symmetry.operations()
    for hall in range(1, 531, 7):
        turns, _ = symmetry.all_operations(hall)
        n, pure = int(found.count[hall - 1]), int((turns == np.eye(3)).all((1, 2)).sum())
        assert len(turns) == n * pure * (2 if found.centric[hall - 1] else 1)


def test_gypsum_is_packed_on_reduced_axes_and_comes_back_equal(tmp_path):
    packed = lines.pack(table(LAB6, GYPSUM))
    packed.save(tmp_path / "two.npz")
    again = lines.LineTable.load(tmp_path / "two.npz")
    assert again.space_group.tolist() == [221, 15] and np.array_equal(again.hkl, packed.hkl)
    assert again.start.tolist() == [0, 11, len(again.intensity)] and again.intensity[:11].max() == 1
    cell = lattice.cell_from_metric(np.linalg.inv(again.reciprocal_metric[1:]))[0]
    assert cell == pytest.approx((6.284, 15.2, 5.677, 90, 114.13, 90), abs=0.01)
    own = again.hkl[11:].astype(float)
    inv_d2 = np.einsum("ri,ij,rj->r", own, again.reciprocal_metric[1], own)
    assert 1 / np.sqrt(inv_d2.min()) == pytest.approx(7.6, abs=0.01)  # 0 2 0


def test_a_file_that_holds_no_lines_is_refused(tmp_path):
    lines.pack(table(LAB6)).save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    for content in (b"nothing", b"", whole[: len(whole) // 2]):
        (tmp_path / "no.npz").write_bytes(content)
        with pytest.raises(InputError, match="not hold packed lines(.|\n)*made again"):
            lines.LineTable.load(tmp_path / "no.npz")
    with pytest.raises(InputError, match="no such file"):
        lines.LineTable.load(tmp_path / "gone.npz")
    with pytest.raises(InputError, match="there are no structures"):
        lines.pack(lines_none())


def lines_none():
    """A table without structures."""
    one = table(LAB6)
    return Structures(**{k: v[:0] if k != "start" else v[:1] for k, v in vars(one).items()})


def test_an_edge_whose_indices_do_not_fit_is_refused_with_the_longest_that_does():
    long = (221, 517, (200.0, 200.0, 200.0, 90, 90, 90), (57, 1, 1, 0, 0, 0))
    with pytest.raises(InputError, match="above 147"):
        lines.pack(table(long))


def test_monoclinic_superconductors_are_on_the_shortest_axes_that_their_centring_allows(known):
    which = np.flatnonzero(lattice.system_of_group()[known.space_group - 1] == lattice.MONOCLINIC)
    atoms = lines.atoms_from_structures(known, which)
    change = standard_changes(atoms.metric, atoms.space_group).numpy()
    assert np.abs(np.linalg.det(change)) == pytest.approx(np.ones(len(which)))
    metric = change @ atoms.metric.numpy() @ change.transpose(0, 2, 1)
    aa, cc, ac = metric[:, 0, 0], metric[:, 2, 2], metric[:, 0, 2]
    centred = np.isin(known.space_group[which], (5, 8, 9, 12, 15))
    assert 0 < centred.sum() < len(which)
    step = np.where(centred, 2, 1)
    # neither a ± c (a ± 2c with C centring) is shorter than a, nor c ± a than c; β is obtuse
    assert (aa <= aa - 2 * step * np.abs(ac) + step**2 * cc + 1e-6).all()
    assert (cc <= cc - 2 * np.abs(ac) + aa + 1e-6).all()
    assert (ac <= 1e-9).all() and (aa <= cc + 1e-6)[~centred].all()


def test_zincite_is_the_same_alone_and_in_a_batch_and_weak_lines_are_dropped_first():
    alone = structure_factors.lines_from_atoms(lines.atoms_from_structures(table(ZINCITE), np.array([0])))
    batch = lines.atoms_from_structures(table(LAB6, ZINCITE, GYPSUM), np.array([2, 1, 0]))
    together = structure_factors.lines_from_atoms(batch)
    assert torch.equal(together.hkl[1], alone.hkl[0]) and torch.allclose(together.intensity[1], alone.intensity[0])
    few = structure_factors.lines_from_atoms(batch, most_lines=5)
    assert few.intensity.shape == (3, 5)
    seen = alone.intensity[0] / (alone.hkl[0] @ alone.basis[0]).square().sum(1).clamp_min(1e-3)
    kept = alone.hkl[0][seen.topk(5).indices.sort().values]
    assert torch.equal(few.hkl[1], kept)


def test_displacement_weakens_a_line_by_its_debye_waller_factor():
    import dataclasses

    still = lines.atoms_from_structures(table(LAB6), np.array([0]))
    shaken = dataclasses.replace(still, b_iso=torch.full((2,), 0.7))
    before, after = structure_factors.all_lines(still), structure_factors.all_lines(shaken)
    assert torch.allclose(after.intensity / before.intensity, (-0.35 * before.inv_d2).exp().float(), rtol=1e-4)
