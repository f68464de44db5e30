"""One number makes a network's probabilities hold: too sure, too modest, and too few patterns to tell."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from alphadiffract_plugin.evaluation import calibrate
from alphadiffract_plugin.models import catalogue, checkpoint
from alphadiffract_plugin.models.training.figures import Evaluated
from alphadiffract_plugin.prediction.predict import predict, systems_from_groups, tempered
from alphadiffract_plugin.settings import NetworkSettings, Settings

RNG_SEED, PATTERNS = 20261121, 3000


def evaluated(temperature: float) -> Evaluated:
    """Answers to made-up patterns, whose truth is drawn from their probabilities once these are tempered."""
    rng = np.random.default_rng(RNG_SEED)
    groups = rng.dirichlet(np.full(230, 0.03), PATTERNS)
    true = np.array([rng.choice(230, p=row) for row in tempered(groups, temperature)])
    right = np.eye(230, dtype=bool)[true]
    systems = systems_from_groups(groups)
    cells = np.full((PATTERNS, 6), np.nan)
    return Evaluated(groups, systems, cells, right, systems_from_groups(right.astype(float)).argmax(1), cells)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.0])
def test_the_temperature_that_spoiled_the_answers_is_found(temperature):
    """3000 patterns tell it to a few per cent, and only the right one leaves no more error than chance."""
    answers = evaluated(temperature)
    found = calibrate.temperature_of(answers)
    assert found == pytest.approx(temperature, rel=0.06)
    chance = calibrate.errors_of_chance(answers, tempered(answers.space_group, found), seed=1)
    tempered_error = calibrate.calibration_errors(answers, tempered(answers.space_group, found))
    assert tempered_error["space_group"] < chance["space_group"] + 0.01
    if temperature != 1:
        spoiled = calibrate.calibration_errors(answers, answers.space_group)
        assert spoiled["space_group"] > 3 * tempered_error["space_group"]


def test_a_temperature_sharpens_and_keeps_the_order():
    p = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    assert tempered(p, 1.0) == pytest.approx(p)
    assert tempered(p, 0.5) == pytest.approx(p**2 / (p**2).sum(1, keepdims=True))
    assert (np.argsort(tempered(p, 7.0)) == np.argsort(p)).all()


def test_a_model_with_a_temperature_answers_with_it(lab6_ssrl, tmp_path):
    """LaB6: the same groups in the same order, the first more probable; crystal systems and lattices follow."""
    folder = checkpoint.members(catalogue.resolve("default"))[0]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    said = {}
    for name, temperature in (("as it is", 1.0), ("sharper", 0.5)):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        (copy / "config.json").write_text(json.dumps(config | {"temperature": temperature}), encoding="utf-8")
        settings = replace(Settings(), network=NetworkSettings(model=str(copy)))
        said[name] = predict(lab6_ssrl, settings)
    plain, sharp = (said[name].space_group_probability for name in ("as it is", "sharper"))
    assert sharp == pytest.approx(tempered(plain, 0.5))
    assert sharp.max() > plain.max()
    assert said["sharper"].crystal_system_probability == pytest.approx(systems_from_groups(sharp))
    assert said["sharper"].lattices[0].weight > said["as it is"].lattices[0].weight


def test_a_temperature_of_nought_is_refused(tmp_path):
    from alphadiffract_plugin.errors import ModelError

    copy = tmp_path / "cold"
    shutil.copytree(checkpoint.members(catalogue.resolve("default"))[0], copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {"temperature": 0}), encoding="utf-8")
    with pytest.raises(ModelError, match="temperature is 0"):
        checkpoint.load(copy)


def test_one_pattern_is_too_few_to_calibrate_on(tmp_path, examples, cli):
    index = tmp_path / "index.csv"
    shutil.copyfile(examples / "pbso4_xray.xye", tmp_path / "pbso4_xray.xye")
    index.write_text(
        "path,wavelength_A,kalpha2_ratio,radiation,space_group_number,sg_alternatives,crystal_system,niggli\n"
        "pbso4_xray.xye,1.54059/1.54443,0.5,xray,62,,orthorhombic,5.398 6.958 8.480 90 90 90\n",
        encoding="utf-8",
    )
    done = cli("release", "default", "-o", tmp_path / "out", "--name", "one", "--calibrate", index)
    assert done.code == 2
    assert "has an answer for 1 of its patterns, too few to calibrate on" in done.err
    assert not (tmp_path / "out" / "one").exists()


def test_figures_from_before_the_calibration_are_refused(tmp_path, cli):
    asked = ("release", "default", "-o", tmp_path, "--name", "both", "--calibrate", tmp_path, "--evaluation", tmp_path)
    done = cli(*asked)
    assert done.code == 2 and "does not hold after it" in done.err
    assert not list(tmp_path.iterdir())
