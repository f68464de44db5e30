"""Models by name: those of the package, and the user's own."""

import shutil

import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.errors import ModelError, OutputError  # noqa: E402
from alphadiffract_plugin.models import catalogue, checkpoint  # noqa: E402
from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID  # noqa: E402


@pytest.fixture(autouse=True)
def users(tmp_path, monkeypatch):
    """An empty folder of the user's models."""
    monkeypatch.setenv("ALPHADIFFRACT_MODELS", str(tmp_path / "users"))
    return tmp_path / "users"


@pytest.fixture
def mine(tmp_path):
    """A small model that is not in the catalogue yet."""
    network = CompactNetwork(CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32))
    folder = checkpoint.save(network, COMPACT_GRID, tmp_path / "mine", provenance={})
    (folder / "card.md").write_text("# mine\n")
    (folder / "notes.txt").write_text("not part of a model")
    return folder


def test_the_default_is_packaged_and_its_card_says_how_good_it_is():
    (default,) = [info for info in catalogue.list_models() if info.default]
    assert default.packaged and catalogue.resolve("default") == default.folder
    assert default.size < 16 * 2**20
    card = catalogue.show("default").card
    assert "Wilson" in card and "licence" in card.lower()


def test_an_added_model_is_found_by_name_and_by_path_and_only_its_own_files_are_copied(mine, users):
    info = catalogue.add(str(mine))
    assert not info.packaged and catalogue.resolve("mine") == users / "mine"
    assert sorted(p.name for p in users.iterdir()) == ["mine"]
    assert sorted(p.name for p in info.folder.iterdir()) == ["card.md", "config.json", "model.safetensors"]
    assert catalogue.resolve(str(mine)) == mine.resolve()
    assert catalogue.show("mine").card == "# mine\n"


def test_a_taken_name_is_refused_and_nothing_changes(mine, users):
    catalogue.add(str(mine))
    before = (users / "mine" / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="already"):
        catalogue.add(str(mine))
    assert (users / "mine" / "model.safetensors").read_bytes() == before


def test_the_name_of_a_packaged_model_is_taken_too(mine):
    renamed = mine.with_name(catalogue.DEFAULT)
    mine.rename(renamed)
    with pytest.raises(ModelError, match="already"):
        catalogue.add(str(renamed))


def test_a_corrupt_model_is_not_added(mine, users):
    (mine / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="not a complete safetensors"):
        catalogue.add(str(mine))
    assert not users.exists()


def test_a_folder_that_cannot_be_written_is_named(mine, users):
    users.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        catalogue.add(str(mine))


def test_an_unknown_name_lists_those_that_are_known(mine):
    catalogue.add(str(mine))
    with pytest.raises(ModelError, match=f"{catalogue.DEFAULT}.*mine"):
        catalogue.resolve("nonsense")
    for nothing in ("", ".", "..", "../mine"):
        with pytest.raises(ModelError):
            catalogue.resolve(nothing)


def test_a_hub_id_without_the_hub_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match="pip install huggingface_hub"):
        catalogue.add("someone/some-model")


def test_a_hub_id_is_fetched_checked_and_added(mine, monkeypatch):
    def snapshot_download(repository, *, local_dir, allow_patterns):
        assert repository == "someone/fetched" and "model.safetensors" in allow_patterns
        shutil.copytree(mine, local_dir)

    hub = type("Hub", (), {"snapshot_download": staticmethod(snapshot_download)})
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", hub)
    assert catalogue.add("someone/fetched").name == "fetched"
    assert catalogue.resolve("fetched").is_dir()
