"""The published network, key by key."""

import json

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from alphadiffract_plugin.errors import ModelError  # noqa: E402
from alphadiffract_plugin.models import checkpoint  # noqa: E402
from alphadiffract_plugin.models.open_network import ConvBlock, OpenConfig, OpenNetwork  # noqa: E402

RELEASED_CONFIG = {
    "backbone": {
        "dim_in": 8192,
        "channels": [80, 80, 80],
        "kernel_sizes": [100, 50, 25],
        "strides": [5, 5, 5],
        "dropout_rate": 0.0,
        "ramped_dropout_rate": False,
        "block_type": "convnext",
        "pooling_type": "average",
        "final_pool": True,
        "use_batchnorm": False,
        "activation": "gelu",
        "output_type": "flatten",
        "layer_scale_init_value": 0.0,
        "drop_path_rate": 0.3,
    },
    "heads": {
        "head_dropout": 0.5,
        "cs_hidden": [2300, 1150],
        "sg_hidden": [2300, 1150],
        "lp_hidden": [512, 256],
    },
    "tasks": {
        "num_cs_classes": 7,
        "num_sg_classes": 230,
        "num_lp_outputs": 6,
        "lp_bounds_min": [0.0] * 6,
        "lp_bounds_max": [500.0] * 3 + [180.0] * 3,
        "bound_lp_with_sigmoid": True,
    },
    "preprocessing": {"input_length": 8192, "floor_at_zero": True, "normalize_range": [0.0, 100.0]},
}


def documented_weights() -> dict[str, "torch.Tensor"]:
    """Every key and shape that the released model.safetensors is documented to hold, filled with small numbers."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"backbone.net.0.pwconv.0": ((80, 1), 80)}
    for stage, kernel in ((0, 100), (2, 50), (4, 25)):
        shapes |= {
            f"backbone.net.{stage}.block.dwconv": ((80, 1, kernel), 80),
            f"backbone.net.{stage}.block.pwconv1": ((320, 80), 320),
            f"backbone.net.{stage}.block.pwconv2": ((80, 320), 80),
        }
    for head, widths in {"cs": (560, 2300, 1150, 7), "sg": (560, 2300, 1150, 230), "lp": (560, 512, 256, 6)}.items():
        for layer, (width, wider) in zip((0, 3, 6), zip(widths, widths[1:], strict=False), strict=True):
            shapes[f"{head}_head.{layer}"] = ((wider, width), wider)
    weights = {}
    for key, (weight, bias) in shapes.items():
        weights[f"{key}.weight"] = torch.randn(weight, generator=generator) * 0.03
        weights[f"{key}.bias"] = torch.randn(bias, generator=generator) * 0.03
    return weights | {"lp_min": torch.zeros(6), "lp_max": torch.tensor([500.0] * 3 + [180.0] * 3)}


@pytest.fixture
def released(tmp_path):
    """A folder laid out as the released OpenAlphaDiffract model is."""
    folder = tmp_path / "OpenAlphaDiffract"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(RELEASED_CONFIG))
    (folder / "maxsub.json").write_text("{}")
    save_file(documented_weights(), folder / "model.safetensors")
    return folder


def test_the_network_has_the_published_number_of_parameters_and_the_documented_keys():
    network = OpenNetwork(OpenConfig())
    documented = documented_weights()
    assert sum(p.numel() for p in network.parameters()) == 8_734_989
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in documented.items()}


def test_a_released_folder_loads_unchanged_and_gets_the_grid_of_the_paper(released):
    model = checkpoint.load(released)
    assert model.architecture == "open"
    assert (model.grid.two_theta_min, model.grid.two_theta_max, model.grid.length) == (5.0, 20.0, 8192)
    assert model.grid.wavelength == 0.6199
    assert model.normalisation.top == 100 and model.normalisation.subtract_minimum
    for key, value in documented_weights().items():
        assert torch.equal(model.network.state_dict()[key], value)


def test_a_released_folder_with_the_distances_between_groups_loads_too(released):
    save_file(documented_weights() | {"gemd_distance_matrix": torch.ones(230, 230)}, released / "model.safetensors")
    assert checkpoint.load(released).network.gemd_distance_matrix.sum() == 230 * 230


def test_the_lengths_along_the_network_are_those_of_the_paper():
    network = OpenNetwork(OpenConfig())
    x, lengths = torch.zeros(1, 1, 8192), []
    for stage, pool in zip(network.backbone.net[::2], network.backbone.net[1::2], strict=True):
        x = pool(stage(x))
        lengths.append(x.shape[-1])
    assert lengths == [818, 81, 7]


def test_an_even_kernel_pads_one_more_on_the_right():
    block = ConvBlock(1, 4, 0.0)
    seen = []
    block.dwconv.register_forward_hook(lambda module, inputs, output: seen.extend((inputs[0], output)))
    block(torch.arange(1.0, 9.0).reshape(1, 1, 8))
    assert seen[0][0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]
    assert seen[1].shape == (1, 1, 8)


def test_a_cell_stays_within_its_bounds_and_the_answer_is_deterministic(released):
    network = checkpoint.load(released).network
    x = 100 * torch.rand(2, 8192, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        first, again = network(x), network(x)
    assert first.cs_logits.shape == (2, 7) and first.sg_logits.shape == (2, 230)
    assert ((first.lp > 0) & (first.lp < network.lp_max)).all()
    assert torch.equal(first.sg_logits, again.sg_logits)


def test_drop_path_skips_whole_patterns_in_training_only():
    block = ConvBlock(2, 3, 0.5)
    x = torch.randn(64, 2, 10, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    skipped = (block.train()(x) == x).flatten(1).all(1)
    assert 10 < skipped.sum() < 54
    assert not (block.eval()(x) == x).flatten(1).all(1).any()


def test_a_released_config_of_another_shape_is_refused(released):
    config = json.loads(json.dumps(RELEASED_CONFIG))
    config["backbone"]["channels"] = [80, 80, 96]
    (released / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="do not fit the config"):
        checkpoint.load(released)
