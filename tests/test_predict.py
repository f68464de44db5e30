"""What the released network says of measured patterns."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin.crystal.cells import direct_metric_from_cell
from alphadiffract_plugin.errors import ModelError, RadiationError, SettingsError
from alphadiffract_plugin.models import catalogue, checkpoint, lattice
from alphadiffract_plugin.models.grid import OPEN_GRID
from alphadiffract_plugin.models.open_network import OpenConfig, OpenNetwork
from alphadiffract_plugin.prediction.predict import niggli_cell, predict, predict_many
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Prediction
from alphadiffract_plugin.settings import NetworkSettings, Settings

EXAMPLE = Path(__file__).parent.parent / "examples" / "data" / "pbso4_xray.xye"
SETTINGS = Settings(network=NetworkSettings(device="cpu"))


def system(prediction):
    return CRYSTAL_SYSTEMS[int(prediction.crystal_system_probability.argmax())]


def test_lab6_of_two_instruments_is_called_cubic(lab6_ssrl, lab6_lab):
    for histogram in (lab6_ssrl, lab6_lab):
        assert system(predict(histogram, SETTINGS)) == "cubic"


def test_an_answer_is_the_same_every_time_alone_and_in_a_batch(lab6_ssrl, zincite_ssrl):
    first, again = predict(zincite_ssrl, SETTINGS), predict(zincite_ssrl, SETTINGS)
    assert first == again
    _, batched = predict_many([lab6_ssrl, zincite_ssrl], SETTINGS)
    assert np.allclose(batched.space_group_probability, first.space_group_probability, atol=1e-5)


def test_the_copies_depend_on_the_seed_and_one_copy_is_the_pattern_itself(zincite_ssrl):
    other = predict(zincite_ssrl, dataclasses.replace(SETTINGS, random_seed=7))
    assert other != predict(zincite_ssrl, SETTINGS)
    single = Settings(network=NetworkSettings(device="cpu", augmentations=1))
    assert predict(zincite_ssrl, single) == predict(zincite_ssrl, dataclasses.replace(single, random_seed=7))


def test_a_name_or_a_source_never_changes_the_answer(zincite_ssrl):
    renamed = dataclasses.replace(zincite_ssrl, name="halite", source="elsewhere")
    assert predict(renamed, SETTINGS) == predict(zincite_ssrl, SETTINGS)


def test_probabilities_sum_to_one_and_the_system_follows_from_the_groups(tartrate_ssrl):
    said = predict(tartrate_ssrl, SETTINGS)
    assert said.space_group_probability.sum() == pytest.approx(1)
    summed = np.bincount(lattice.system_of_group(), weights=said.space_group_probability, minlength=7)
    assert said.crystal_system_probability == pytest.approx(summed)
    members = len(checkpoint.members(catalogue.resolve("default")))
    assert said.member_space_group_probability.shape == (members, 230)
    assert said.model == catalogue.DEFAULT
    assert Prediction.from_json(said.to_json()) == said


def test_lattices_come_most_probable_first_as_niggli_cells_with_a_spread(tartrate_ssrl):
    import spglib

    lattices = predict(tartrate_ssrl, SETTINGS).lattices
    weights = [proposal.weight for proposal in lattices]
    assert weights == sorted(weights, reverse=True) and 0.9 < sum(weights) <= 1 + 1e-9
    for proposal in lattices:
        metric = direct_metric_from_cell(proposal.cell)
        reduced = spglib.niggli_reduce(np.linalg.cholesky(metric))
        assert np.linalg.norm(reduced, axis=1) == pytest.approx(proposal.cell[:3], abs=1e-3)
        assert all(s >= 0 and math.isfinite(s) for s in proposal.spread) and min(proposal.spread[:3]) > 0
    cubic = [proposal for proposal in lattices if proposal.crystal_system == "cubic"]
    assert all(max(p.cell[:3]) - min(p.cell[:3]) < 1e-6 for p in cubic)


def test_a_face_centred_cube_is_proposed_as_its_rhombohedral_niggli_cell():
    kind = lattice.LATTICE_TYPES.index("cF")
    q = np.array([-np.log(5.4307), 0, 0, 0, 0, 0])  # ln a*, all that a cubic cell leaves free
    cell, spread = niggli_cell(q, 0.01 * lattice.ties()[2][kind], kind)
    assert cell == pytest.approx([5.4307 / math.sqrt(2)] * 3 + [60] * 3)
    assert spread[0] == pytest.approx(0.01 * cell[0], rel=0.3) and max(spread[3:]) < 1e-6


def test_the_published_network_answers_through_the_same_door(tmp_path, lab6_lab):
    import torch

    torch.manual_seed(1)
    folder = checkpoint.save(OpenNetwork(OpenConfig()), OPEN_GRID, tmp_path / "published", provenance={})
    said = predict(lab6_lab, Settings(network=NetworkSettings(model=str(folder), device="cpu")))
    assert said.model == "published" and said.space_group_probability.sum() == pytest.approx(1)
    (proposal,) = said.lattices
    assert proposal.weight == pytest.approx(said.crystal_system_probability.max())


def test_neutrons_an_unknown_model_and_an_unknown_device_are_refused(lab6_lab, pbso4_neutron):
    with pytest.raises(RadiationError):
        predict(pbso4_neutron, SETTINGS)
    with pytest.raises(ModelError, match="no model called 'nonsense'"):
        predict(lab6_lab, Settings(network=NetworkSettings(model="nonsense")))
    with pytest.raises(SettingsError, match="device.*'tpu'"):
        predict(lab6_lab, Settings(network=NetworkSettings(device="tpu")))


def test_new_weights_in_the_same_folder_are_read_and_missing_files_are_named(tmp_path, lab6_lab):
    import torch

    asked = Settings(network=NetworkSettings(model=str(tmp_path / "m"), device="cpu", augmentations=1))
    answers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        folder = checkpoint.save(OpenNetwork(OpenConfig()), OPEN_GRID, tmp_path / "m", provenance={})
        os.utime(folder / "config.json", (1, 1))
        answers.append(predict(lab6_lab, asked))
    assert answers[0] != answers[1]
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no file of weights"):
        predict(lab6_lab, asked)


def test_a_model_by_name_without_a_config_is_refused(tmp_path, lab6_lab, monkeypatch):
    monkeypatch.setenv("ALPHADIFFRACT_MODELS", str(tmp_path))
    (tmp_path / "hollow").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        predict(lab6_lab, Settings(network=NetworkSettings(model="hollow")))


def test_cuda_without_a_cuda_device_says_so(lab6_lab, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys.modules["alphadiffract_plugin.prediction.predict"], "DRIVERS", (__file__,))
    with pytest.raises(SettingsError, match="no CUDA device"):
        predict(lab6_lab, Settings(network=NetworkSettings(device="cuda")))


def test_numpy_evaluates_the_released_network_as_torch_does(pbso4_xray):
    """Single precision, summed in other orders: 2e-5 of the largest value is far below what decides a group."""
    import torch

    from alphadiffract_plugin.prediction.prepare import prepare

    folder = catalogue.resolve("default")
    pairs = zip(checkpoint.load_members(folder), checkpoint.load_without_torch(folder), strict=True)
    for by_torch, by_numpy in pairs:
        x = prepare(pbso4_xray, by_torch.grid, by_torch.normalisation).astype(np.float32)[None]
        with torch.inference_mode():
            theirs = by_torch.network.eval()(torch.from_numpy(x))
        ours = by_numpy.network(x)
        for name in ("space_group_logits", "lattice_mean", "lattice_sigma"):
            expected = getattr(theirs, name).numpy()
            assert getattr(ours, name) == pytest.approx(expected, abs=2e-5 * float(np.abs(expected).max())), name


def test_the_answer_of_the_processor_needs_no_torch():
    code = (
        "import sys\nfrom alphadiffract_plugin.load import histogram_from_file\n"
        "from alphadiffract_plugin.registry import plugins\nfrom alphadiffract_plugin.settings import Settings\n"
        f"histogram = histogram_from_file({str(EXAMPLE)!r}, wavelength='CuKa')\n"
        "settings = Settings(network={'device': 'cpu'}, search={'effort': 'quick'})\n"
        "result = plugins().indexer('alphadiffract').index(histogram, settings)\n"
        "assert result.prediction is not None\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
