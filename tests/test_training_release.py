"""A run or a model becomes a folder for others: whole, smaller, with a card that holds what was measured."""

import json
import re

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from alphadiffract_plugin.models import checkpoint  # noqa: E402
from alphadiffract_plugin.models.compact_network import CompactNetwork  # noqa: E402
from alphadiffract_plugin.models.training.config import read, versions  # noqa: E402
from alphadiffract_plugin.models.training.run_folder import RunFolder  # noqa: E402
from alphadiffract_plugin.prediction.predict import predict  # noqa: E402
from alphadiffract_plugin.settings import NetworkSettings, Settings  # noqa: E402

CONFIG = """
[network]
architecture = "compact"
channels = [16, 24]
blocks = [1, 1]
hidden = 32
[data]
structures = ["{structures}"]
[training]
patterns = 640
seed = {seed}
"""


def asked(folder) -> Settings:
    return Settings(network=NetworkSettings(model=str(folder), device="cpu", augmentations=1))


@pytest.fixture
def run_of(tmp_path, examples):
    """Make a run's folder, ended or interrupted, without the training."""

    def make(name: str, *, seed: int = 1, ended: bool = True):
        config = tmp_path / f"{name}.toml"
        structures = examples / "structures_3dsc.parquet"
        config.write_text(CONFIG.format(structures=structures.as_posix(), seed=seed), encoding="utf-8")
        settings = read(config)
        torch.manual_seed(seed)
        network, folder = CompactNetwork(settings.network), RunFolder(tmp_path / "runs" / name)
        folder.begin(settings)
        state = {"network": network.state_dict(), "average": network.state_dict(), "step": 10}
        folder.save(state | {"patterns": 640, "seconds": 30.0})
        if ended:
            provenance = {"patterns_seen": 640, "minutes": 0.5, "seed": seed, "versions": versions()}
            folder.write_model(network.eval(), settings, provenance | {"settings": settings.to_dict()})
        return folder.path

    return make


def test_a_released_run_answers_as_before_in_half_the_bytes(run_of, tmp_path, cli, lab6_ssrl):
    run = run_of("tiny")
    printed = cli("release", run, "-o", tmp_path / "out", "--name", "tiny-1")
    assert printed.code == 0 and printed.out.strip() == str(tmp_path / "out" / "tiny-1")
    released = tmp_path / "out" / "tiny-1"
    assert sorted(p.name for p in released.iterdir()) == ["card.md", "config.json", "model.safetensors"]
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (released, run / "model")]
    assert sizes[0] < 0.55 * sizes[1]
    before, after = (predict(lab6_ssrl, asked(folder)) for folder in (run / "model", released))
    assert after.space_group_probability == pytest.approx(before.space_group_probability, abs=1e-3)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["tiny-1"]  # nothing half made is left


def test_the_card_says_what_was_measured_and_trained_on_and_how_to_make_it_again(run_of, tmp_path, cli, examples):
    run = run_of("tiny", seed=7)
    structures = examples / "structures_3dsc.parquet"
    cli("evaluate", run, "--structures", structures, "--each", 2, "--device", "cpu", "-o", tmp_path / "evaluated")
    cli("release", run, "-o", tmp_path / "out", "--name", "tiny-1", "--evaluation", tmp_path / "evaluated")
    card = (tmp_path / "out" / "tiny-1" / "card.md").read_text(encoding="utf-8")
    [whole] = re.findall(r"^\| all \|.*$", (tmp_path / "evaluated" / "evaluation.md").read_text(), re.M)[:1]
    assert whole in card and "Simulated patterns: val split" in card
    assert re.search(r"\| 3dsc_mp \|.*\| \d+ \|", card)  # structures by source
    assert "| 1 | 640 | 0.5 | 7 |" in card
    [settings] = re.findall(r"```toml\n(.*?)```", card, re.S)
    (tmp_path / "again.toml").write_text(settings, encoding="utf-8")
    again = read(tmp_path / "again.toml")
    assert again.training.seed == 7 and again.network.channels == (16, 24)


def test_no_folder_of_the_machine_is_released(run_of, tmp_path, cli):
    cli("release", run_of("tiny"), "-o", tmp_path / "out", "--name", "tiny-1")
    for name in ("card.md", "config.json"):
        text = (tmp_path / "out" / "tiny-1" / name).read_text(encoding="utf-8")
        assert "structures_3dsc.parquet" in text and "/structures_3dsc" not in text and str(tmp_path) not in text


def test_without_an_evaluation_the_card_says_so(run_of, tmp_path, cli):
    cli("release", run_of("tiny"), "-o", tmp_path / "out", "--name", "tiny-1")
    assert "Not measured" in (tmp_path / "out" / "tiny-1" / "card.md").read_text(encoding="utf-8")


def test_two_runs_become_an_ensemble_and_its_own_evaluation_fills_its_card(run_of, tmp_path, cli, examples, lab6_ssrl):
    runs = [run_of("first", seed=1), run_of("second", seed=2)]
    assert cli("release", *runs, "-o", tmp_path / "out", "--name", "duo").code == 0
    duo = tmp_path / "out" / "duo"
    assert [part.name for part in checkpoint.members(duo)] == ["member-01", "member-02"]
    assert predict(lab6_ssrl, asked(duo)).member_space_group_probability.shape == (2, 230)
    structures = examples / "structures_3dsc.parquet"
    cli("evaluate", duo, "--structures", structures, "--each", 1, "--device", "cpu", "-o", tmp_path / "evaluated")
    again = cli("release", duo, "-o", tmp_path / "final", "--name", "duo", "--evaluation", tmp_path / "evaluated")
    card = (tmp_path / "final" / "duo" / "card.md").read_text(encoding="utf-8")
    assert again.code == 0 and "seed: 1, 2" in card and "2 networks whose probabilities are averaged" in card
    assert "Other settings differ" not in card


def test_the_last_checkpoint_of_an_interrupted_run_is_released(run_of, tmp_path, cli):
    run = run_of("cut-short", ended=False)
    refused = cli("evaluate", run, "--structures", "x.parquet")
    assert refused.code == 2 and "--resume" in refused.err
    assert cli("release", run, "-o", tmp_path / "out", "--name", "early").code == 0
    provenance = checkpoint.read_config(tmp_path / "out" / "early")["provenance"]
    assert (provenance["patterns_seen"], provenance["minutes"]) == (640, 0.5)


def test_figures_of_other_weights_are_refused(run_of, tmp_path, cli):
    (tmp_path / "evaluated").mkdir()
    (tmp_path / "evaluated" / "evaluation.json").write_text(json.dumps({"weights_sha256": ["0" * 64]}))
    for folder in ("evaluated", "nowhere"):
        run = run_of(f"for-{folder}")
        said = cli("release", run, "-o", tmp_path / "out", "--name", "x", "--evaluation", tmp_path / folder)
        assert said.code == 2 and "alphadiffract-plugin evaluate" in said.err
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_taken_or_no_name_is_refused_and_nothing_changes(run_of, tmp_path, cli):
    run = run_of("tiny")
    cli("release", run, "-o", tmp_path / "out", "--name", "mine")
    before = (tmp_path / "out" / "mine" / "model.safetensors").stat().st_mtime_ns
    for name, told in (("mine", "already exists"), ("a/b", "plain name"), ("default", "plain name"), ("..", "plain")):
        said = cli("release", run, "-o", tmp_path / "out", "--name", name)
        assert said.code == 2 and told in said.err
    assert (tmp_path / "out" / "mine" / "model.safetensors").stat().st_mtime_ns == before
