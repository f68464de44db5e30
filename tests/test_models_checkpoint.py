"""Model folders: whole, or refused with how to fix it."""

import json
from dataclasses import asdict

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from alphadiffract_plugin.errors import ModelError  # noqa: E402
from alphadiffract_plugin.models import checkpoint, lattice  # noqa: E402
from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork  # noqa: E402
from alphadiffract_plugin.models.grid import COMPACT_GRID, OPEN_GRID  # noqa: E402
from alphadiffract_plugin.models.open_network import OpenConfig, OpenNetwork  # noqa: E402
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """A small compact model, saved."""
    torch.manual_seed(5)
    network = CompactNetwork(CompactConfig(channels=(16, 24), blocks=(1, 1), hidden=32))
    return checkpoint.save(network, COMPACT_GRID, tmp_path / "small", provenance={"seed": 5})


@pytest.mark.parametrize("architecture", ["compact", "open"])
def test_a_saved_network_answers_bit_for_bit_as_before(tmp_path, architecture):
    torch.manual_seed(6)
    if architecture == "compact":
        network, grid, x = CompactNetwork(CompactConfig()).eval(), COMPACT_GRID, torch.rand(3, 2, 4096)
    else:
        network, grid, x = OpenNetwork(OpenConfig()).eval(), OPEN_GRID, 100 * torch.rand(3, 8192)
    model = checkpoint.load(checkpoint.save(network, grid, tmp_path / "m", provenance={}))
    assert model.grid == grid and model.architecture == architecture
    with torch.inference_mode():
        for before, after in zip(network(x), model.network(x), strict=True):
            assert torch.equal(before, after)


def test_half_precision_on_disk_is_half_as_large_and_is_used_as_float32(folder, tmp_path):
    model = checkpoint.load(folder)
    smaller = checkpoint.save(model.network, model.grid, tmp_path / "half", provenance={}, half=True)
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, smaller)]
    assert sizes[1] < 0.6 * sizes[0]
    assert all(p.dtype == torch.float32 for p in checkpoint.load(smaller).network.parameters())


def test_the_config_says_where_the_input_lies_and_what_comes_out(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["grid"] == {"wavelength": 1.540593, "two_theta_min": 5.0, "two_theta_max": 80.0, "length": 4096}
    assert config["crystal_systems"][0] == "triclinic" and config["first_space_group"] == 1
    assert "Cholesky" in config["lattice_convention"] and len(config["lattice_types"]) == 15
    assert config["provenance"]["seed"] == 5 and "torch" in config["provenance"]


def test_a_missing_folder_a_missing_file_and_a_broken_config_are_named(folder, tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        checkpoint.load(tmp_path / "nowhere")
    (folder / "model.safetensors").rename(folder / "moved")
    with pytest.raises(ModelError, match="no file of weights"):
        checkpoint.load(folder)
    (folder / "config.json").write_text("{ not json")
    with pytest.raises(ModelError, match="not valid JSON"):
        checkpoint.load(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="not the config of a model"):
        checkpoint.load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        checkpoint.load(folder)


@pytest.mark.parametrize("kept", [0, 7, 1000])
def test_a_torn_weights_file_is_corrupt(folder, kept):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelError, match="not a complete safetensors file") as caught:
        checkpoint.load(folder)
    assert "model.safetensors" in str(caught.value) and "How to fix it:" in str(caught.value)


def test_weights_of_another_shape_or_with_a_key_too_few_or_too_many_are_refused(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    for change in (
        {"space_group.bias": torch.zeros(229)},
        {"left_over": torch.zeros(1)},
        {"space_group.bias": None},
    ):
        save_file({k: v for k, v in (weights | change).items() if v is not None}, file)
        with pytest.raises(ModelError, match="do not fit the config"):
            checkpoint.load(folder)


def test_weights_that_are_not_finite_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    weights["space_group.bias"][3] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match="NaN or infinite"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "transformer"}, "no architecture 'transformer'"),
        ({"format": 99}, "has format 99"),
        ({"network": {"width": 3}}, "no compact network can be built"),
        ({"network": [1]}, "field network of the config is not an object"),
        ({"network": {"channels": [16, "wide"]}}, "no compact network can be built"),
        ({"grid": None}, "neither of this package"),
        ({"grid": asdict(COMPACT_GRID) | {"wavelength": "1.54"}}, "wavelength is '1.54', not float"),
        ({"grid": asdict(COMPACT_GRID) | {"wavelength": -1.54}}, "no pattern can lie on"),
        ({"grid": asdict(COMPACT_GRID) | {"length": 4096.5}}, "length is 4096.5, not int"),
        ({"normalisation": {"top": float("nan")}}, "top is nan"),
        ({"normalisation": {"square_root": "yes"}}, "square_root is 'yes', not bool"),
        ({"crystal_systems": list(CRYSTAL_SYSTEMS)[::-1]}, "crystal_systems is not"),
        ({"lattice_types": lattice.LATTICE_TYPES[::-1]}, "lattice_types is not"),
        ({"first_space_group": 0}, "first_space_group is not 1"),
        ({"grid": asdict(OPEN_GRID)}, "takes 4096 points, but its grid has 8192"),
    ],
)
def test_a_config_that_is_not_understood_says_so(folder, change, message):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=message):
        checkpoint.load(folder)
