"""Several networks in one folder answer as one: their probabilities are averaged, and each is heard."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.errors import ModelError  # noqa: E402
from alphadiffract_plugin.models import catalogue, checkpoint  # noqa: E402
from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID, OPEN_GRID  # noqa: E402
from alphadiffract_plugin.models.open_network import OpenConfig, OpenNetwork  # noqa: E402
from alphadiffract_plugin.prediction.predict import predict, predict_many  # noqa: E402
from alphadiffract_plugin.settings import NetworkSettings, Settings  # noqa: E402

SMALL = CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32, dropout=0.0)


def untrained(seed: int, folder):
    torch.manual_seed(seed)
    return checkpoint.save(CompactNetwork(SMALL), COMPACT_GRID, folder, provenance={"seed": seed})


def asked(folder) -> Settings:
    return Settings(network=NetworkSettings(model=str(folder), device="cpu", augmentations=2))


@pytest.fixture
def trio(tmp_path):
    """Three small networks of different seeds."""
    for seed in (1, 2, 3):
        untrained(seed, tmp_path / "trio" / f"member-{seed:02d}")
    return tmp_path / "trio"


def test_an_ensemble_says_the_mean_of_its_members_and_what_each_said(trio, lab6_lab, zincite_ssrl):
    together = predict_many([lab6_lab, zincite_ssrl], asked(trio))
    for histogram, said in zip((lab6_lab, zincite_ssrl), together, strict=True):
        alone = [predict(histogram, asked(member)) for member in checkpoint.members(trio)]
        groups = np.stack([one.space_group_probability for one in alone])
        assert said.member_space_group_probability == pytest.approx(groups, abs=1e-6)
        assert said.space_group_probability == pytest.approx(groups.mean(0), abs=1e-6)
        systems = np.stack([one.crystal_system_probability for one in alone])
        assert said.crystal_system_probability == pytest.approx(systems.mean(0), abs=1e-6)
        assert said.model == "trio"


def test_members_that_disagree_widen_the_spread_of_a_lattice(trio, lab6_lab):
    def spread(prediction):
        return {p.crystal_system: p.spread[0] for p in reversed(prediction.lattices)}["cubic"]

    alone = [spread(predict(lab6_lab, asked(member))) for member in checkpoint.members(trio)]
    assert spread(predict(lab6_lab, asked(trio))) > min(alone)


def test_one_model_is_an_ensemble_of_itself(tmp_path):
    folder = untrained(1, tmp_path / "single")
    assert checkpoint.members(folder) == (folder,)
    assert len(checkpoint.load_members(folder)) == 1


def test_an_ensemble_is_added_listed_and_shown_like_any_model(trio, tmp_path, monkeypatch, cli):
    monkeypatch.setenv("ALPHADIFFRACT_MODELS", str(tmp_path / "users"))
    (trio / "card.md").write_text("# Three of a kind\n")
    (trio / "member-01" / "notes.txt").write_text("not part of a model")
    assert cli("models", "add", trio).code == 0
    copy = catalogue.resolve("trio")
    assert sorted(p.name for p in (copy / "member-01").iterdir()) == ["config.json", "model.safetensors"]
    assert "3 × compact" in cli("models", "list").out
    shown = cli("models", "show", "trio").out
    assert shown.startswith("# Three of a kind")
    seeds = [one["provenance"]["seed"] for one in json.loads(shown[shown.index("{") :])["members"].values()]
    assert seeds == [1, 2, 3]


def test_a_member_whose_input_lies_elsewhere_is_refused_by_name(trio):
    shorter = dataclasses.replace(COMPACT_GRID, two_theta_max=70.0)
    torch.manual_seed(4)
    checkpoint.save(CompactNetwork(SMALL), shorter, trio / "member-04", provenance={})
    with pytest.raises(ModelError, match=r"member-04.*its grid is Grid(.|\n)*same architecture, grid"):
        checkpoint.load_members(trio)


def test_the_published_network_and_ours_are_no_ensemble(trio):
    checkpoint.save(OpenNetwork(OpenConfig()), OPEN_GRID, trio / "member-09", provenance={})
    with pytest.raises(ModelError, match="its architecture is open, that of the first member compact"):
        checkpoint.load_members(trio)


def test_a_member_without_weights_is_named(trio, lab6_lab):
    (trio / "member-02" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="member-02.*no file of weights"):
        predict(lab6_lab, asked(trio))


def test_new_weights_of_a_member_are_read(trio, lab6_lab):
    before = predict(lab6_lab, asked(trio))
    untrained(7, trio / "member-02")
    assert predict(lab6_lab, asked(trio)) != before
