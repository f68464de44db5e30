"""Random crystals: the positions of real groups, the group that was asked for, atoms with room around them."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import spglib  # noqa: E402

from alphadiffract_plugin.errors import SettingsError  # noqa: E402
from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.simulation import random_crystals as made  # noqa: E402
from alphadiffract_plugin.models.simulation import random_settings, wyckoff  # noqa: E402
from alphadiffract_plugin.models.simulation.elements import elements  # noqa: E402
from alphadiffract_plugin.models.simulation.symmetry import all_operations, default_settings  # noqa: E402


def crystals(n, groups, seed=1):
    """Random crystals of some groups, as likely as one another."""
    prior = torch.zeros(230)
    prior[torch.as_tensor(groups) - 1] = 1
    return made.random_crystals(n, torch.Generator().manual_seed(seed), prior=prior)


def expanded(atoms, index):
    """Basis (rows, Å), positions and atomic numbers of a whole cell."""
    turns, shifts = all_operations(int(atoms.hall[index]))
    positions, numbers = [], []
    for atom in (atoms.crystal == index).nonzero().squeeze(1):
        images = (turns @ atoms.position[atom].numpy() + shifts / 24) % 1
        apart = images[:, None] - images
        images = images[~np.tril(np.abs(apart - np.round(apart)).max(-1) < 1e-6, -1).any(1)]
        assert len(images) == atoms.multiplicity[atom]
        positions.append(images)
        numbers += [int(atoms.number[atom])] * len(images)
    return np.linalg.cholesky(atoms.metric[index].numpy()), np.concatenate(positions), np.array(numbers)


def shortest(basis, positions):
    """Shortest distance of two atoms, Å."""
    apart = positions[:, None] - positions
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
    distance = np.linalg.norm((apart - np.round(apart))[:, :, None] @ basis + shifts @ basis, axis=-1)
    return distance[distance > 1e-4].min()


@pytest.mark.parametrize(
    ("number", "count", "multiplicities"),
    [
        (1, 1, [1]),
        (2, 9, [1] * 8 + [2]),
        (14, 5, [2] * 4 + [4]),
        (47, 27, [1] * 8 + [2] * 12 + [4] * 6 + [8]),
        (221, 14, [1, 1, 3, 3, 6, 6, 8, 12, 12, 12, 24, 24, 24, 48]),
        (227, 9, [8, 8, 16, 16, 32, 48, 96, 96, 192]),
        (230, 8, [16, 16, 24, 24, 32, 48, 48, 96]),
    ],
)
def test_groups_have_the_wyckoff_positions_of_the_international_tables(number, count, multiplicities):
    derived = wyckoff.positions_of(int(default_settings()[number - 1]))
    assert len(derived) == count and [p.multiplicity for p in derived] == multiplicities
    kept = wyckoff.table()[number - 1].positions
    assert [dataclasses.replace(p, polar=False) for p in kept] == derived


def test_the_230_groups_have_1731_wyckoff_positions():
    assert sum(len(group.positions) for group in wyckoff.table()) == 1731


def test_what_is_too_symmetric_is_known_for_rocksalt_fluorite_and_zincblende():
    fm3m, f43m = wyckoff.table()[224], wyckoff.table()[215]

    def allowed(group, *places):
        held = sum(1 << place for place in places)
        return not any(held & mask == held for mask in group.too_symmetric)

    assert allowed(fm3m, 0, 1) and allowed(fm3m, 0, 2)  # 4a 4b, and 4a 8c
    assert not allowed(fm3m, 2)  # 8c alone is primitive
    first = next(k for k in (1, 2, 3) if allowed(f43m, 0, k))
    assert not allowed(f43m, 0) and first  # one face-centred lattice is F m -3 m; zincblende is not
    assert wyckoff.group_of(216) == f43m


GROUPS = [
    int(number)
    for number in (
        "1 2 3 4 5 7 8 9 11 13 14 15 19 20 22 26 33 36 41 43 46 55 60 62 63 68 70 73 76 79 82 86 88 91 96 98 109 110 "
        "122 129 136 140 142 144 146 148 152 155 160 161 166 167 169 173 176 181 186 190 194 198 203 205 212 216 217 "
        "220 225 227 228 229 230 "
    ).split()
]
"""Of every crystal system and centring, with and without inversion, polar ones and those that share extinctions."""


def test_crystals_have_the_group_that_was_asked_for_and_room_around_their_atoms():
    missed, close, density = [], [], []
    for number in GROUPS:
        atoms = crystals(2, [number], seed=number)
        for index in range(2):
            basis, positions, numbers = expanded(atoms, index)
            found = spglib.get_symmetry_dataset((basis, positions, numbers), symprec=1e-4)
            missed += [number] if found is None or found.number != number else []
            if len(positions) < 100:
                close.append(shortest(basis, positions))
            density.append(elements().volume[numbers - 1].sum() / np.abs(np.linalg.det(basis)))
    assert len(missed) <= 1, missed
    assert min(close) > 1.0 and np.median(close) < 3.0
    assert 0.1 < min(density) and max(density) < 2.0 and 0.5 < np.median(density) < 1.2


def test_triclinic_cells_are_reduced_and_others_have_the_shape_of_their_system():
    atoms = crystals(80, [1, 2], seed=5)
    for metric in atoms.metric.numpy():
        basis = np.linalg.cholesky(metric)
        reduced = spglib.niggli_reduce(basis, eps=1e-8)
        assert lattice.cell_from_metric((reduced @ reduced.T)[None]) == pytest.approx(
            lattice.cell_from_metric(metric[None]), abs=1e-6
        )
    cells = {g: lattice.cell_from_metric(crystals(30, [g], seed=6).metric.numpy()) for g in (14, 62, 136, 166, 221)}
    assert (
        (cells[14][:, [3, 5]] == pytest.approx(90)) and (cells[14][:, 4] > 90).all() and (cells[14][:, 4] < 125.1).all()
    )
    assert cells[62][:, 3:] == pytest.approx(90) and cells[136][:, 0] == pytest.approx(cells[136][:, 1])
    assert cells[166][:, 5] == pytest.approx(120) and cells[221][:, 2] == pytest.approx(cells[221][:, 0])


def test_the_same_generator_makes_the_same_lines_and_another_makes_others():
    first, again, other = (made.random_lines(40, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(first.hkl, again.hkl) and torch.equal(first.intensity, again.intensity)
    assert not torch.equal(first.space_group, other.space_group)
    assert (first.intensity.amax(1) == 1).all() and torch.isfinite(first.basis).all()


def test_crystals_follow_the_prior(tmp_path):
    (tmp_path / "garnets.json").write_text(json.dumps([0] * 229 + [1]))
    prior = random_settings.prior_from_name(tmp_path / "garnets.json")
    assert (made.random_crystals(5, torch.Generator().manual_seed(1), prior=prior).space_group == 229).all()
    natural = random_settings.prior_from_name("natural")
    assert natural.sum() == pytest.approx(1) and (natural > 0).all() and natural[13] > 0.05  # P 21/c
    assert random_settings.prior_from_name("flat")[13] == pytest.approx(1 / 230)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2, 3]", "must hold 230 weights"),
        ("{", "not hold a JSON list"),
        ("[" + "-1," * 229 + "1]", "none of them negative"),
    ],
)
def test_a_prior_that_is_none_is_refused(tmp_path, text, told):
    (tmp_path / "prior.json").write_text(text)
    with pytest.raises(SettingsError, match=told) as raised:
        random_settings.prior_from_name(tmp_path / "prior.json")
    assert "230 weights" in raised.value.fix


def test_a_prior_that_is_not_there_is_refused():
    with pytest.raises(SettingsError, match="naturall"):
        random_settings.prior_from_name("naturall")
