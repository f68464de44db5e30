"""The command ``train``: from a TOML to a model that indexes, and what it refuses."""

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("pyarrow")

from alphadiffract_plugin.models import checkpoint  # noqa: E402
from alphadiffract_plugin.models.training import config, session, trainer  # noqa: E402
from alphadiffract_plugin.models.training.run_folder import RunFolder, read_checkpoint  # noqa: E402


def small(text, **changes):
    """The text of a TOML with some ``key = value`` lines replaced, or added to [training]."""
    lines = text.splitlines()
    for key, value in changes.items():
        lines = [line for line in lines if line.partition("=")[0].strip() != key]
        lines.insert(lines.index("[training]") + 1, f"{key} = {value}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, examples):
    """The example's settings with a far smaller budget and network, in a folder for runs."""
    folder = tmp_path_factory.mktemp("tiny")
    text = (examples.parent / "train_tiny.toml").read_text().replace('"data/', f'"{examples}/')
    text = small(text, patterns=96, batch=8, validate_every=1000, seed=3).replace("[48, 80, 128]", "[16, 24, 32]")
    (folder / "tiny.toml").write_text(text.replace("validation = 40", "validation = 2\npool = 32"))
    return folder


@pytest.fixture(scope="module")
def trained(tiny):
    """The run of it."""
    outcome = session.train(config.read(tiny / "tiny.toml"), tiny / "run", resume=False, device="cpu")
    assert outcome.end == "done"
    return tiny / "run"


def test_the_example_ends_in_a_model_that_index_can_ask(trained, examples, cli):
    model = checkpoint.load(trained / "model")
    provenance = model.config["provenance"]
    assert provenance["patterns_seen"] == 96 and list(provenance["data_sha256"]) == ["structures_3dsc.parquet"]
    assert provenance["settings"]["data"]["random"] == 0.3 and "lightning" in provenance["versions"]
    asked = ("index", examples / "pbso4_xray.xye", "--wavelength", "CuKa", "--indexer", "alphadiffract-net")
    answer = cli(*asked, "--model", trained / "model")
    assert answer.code == 0 and "pbso4_xray" in answer.out


def test_a_dry_run_says_what_is_needed_and_writes_nothing(tiny, cli):
    before = sorted(tiny.iterdir())
    answer = cli("train", "--config", tiny / "tiny.toml", "-o", tiny / "dry", "--dry-run", "--device", "cpu")
    assert answer.code == 0 and sorted(tiny.iterdir()) == before
    for told in ("parameters", "triclinic 66", "for 1,000,000 patterns", "simulation", "GiB"):
        assert told in answer.out


def test_training_goes_on_from_a_model_and_from_a_run(trained, tiny):
    for start in (trained / "model", trained):
        text = small((tiny / "tiny.toml").read_text(), start_from=f'"{start}"', patterns=8)
        (tiny / "fine.toml").write_text(text)
        settings = config.read(tiny / "fine.toml")
        fabric = session.make_fabric(settings, "cpu")
        data = session.open_data(settings, fabric.device, shards=1, cache=tiny / "packed")
        started = trainer.Trainer(settings, data, fabric, 1)
        started.initialise()
        expected = checkpoint.load(trained / "model").network.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in started.network.state_dict().items())


def test_weights_of_another_network_are_refused(trained, tiny, cli):
    text = small((tiny / "tiny.toml").read_text(), start_from=f'"{trained}"').replace("hidden = 192", "hidden = 64")
    (tiny / "misfit.toml").write_text(text)
    answer = cli("train", "--config", tiny / "misfit.toml", "-o", tiny / "misfit", "--device", "cpu")
    assert answer.code == 2 and "do not fit [network]" in answer.err and not (tiny / "misfit").exists()


def test_structures_that_the_benchmark_knows_are_refused_unless_allowed(tiny, cli, trained):
    from alphadiffract_plugin.models.structures.table import read

    structures = read([config.read(tiny / "tiny.toml").data.structures[0]])
    cell = ",".join(f"{x:.4f}" for x in structures.cell[7])
    index = tiny / "index.csv"
    index.write_text(f"id,space_group_number,a,b,c,alpha,beta,gamma\nknown,{structures.space_group[7]},{cell}\n")
    text = (tiny / "tiny.toml").read_text().replace("[data]", f'[data]\nbenchmark = "{index}"')
    (tiny / "leak.toml").write_text(small(text, patterns=8))
    refused = cli("train", "--config", tiny / "leak.toml", "-o", tiny / "leak", "--device", "cpu")
    assert refused.code == 2 and not (tiny / "leak").exists()
    assert (
        structures.id[7] in refused.err and "structures filter" in refused.err and "allow_leaks = true" in refused.err
    )
    (tiny / "leak.toml").write_text(small(text, patterns=8).replace("[data]", "[data]\nallow_leaks = true"))
    assert cli("train", "--config", tiny / "leak.toml", "-o", tiny / "leak", "--device", "cpu").code == 0


@pytest.fixture
def all_in(tiny, examples):
    """Settings for structures that are all in one split, as those of one chemical system are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def make(split):
        table = pq.read_table(examples / "structures_3dsc.parquet").slice(0, 20)
        place = table.column_names.index("split")
        pq.write_table(table.set_column(place, "split", pa.array([split] * 20)), tiny / f"{split}.parquet")
        text = small((tiny / "tiny.toml").read_text(), patterns=8)
        kept = [line for line in text.splitlines() if not line.startswith(("structures", "random"))]
        (tiny / f"{split}.toml").write_text(
            "\n".join(kept).replace("[data]", f'[data]\nstructures = ["{split}.parquet"]')
        )
        return tiny / f"{split}.toml"

    return make


def test_a_folder_of_one_chemical_system_trains_unjudged_or_is_refused_before_the_work(all_in, tiny, cli):
    unjudged = cli("train", "--config", all_in("train"), "-o", tiny / "unjudged", "--device", "cpu")
    assert unjudged.code == 0 and "no structure is in the validation split" in unjudged.err
    assert checkpoint.load(tiny / "unjudged" / "model").config["provenance"]["patterns_seen"] == 8
    refused = cli("train", "--config", all_in("val"), "-o", tiny / "untaught", "--device", "cpu")
    assert refused.code == 2 and "other chemical systems" in refused.err and not (tiny / "untaught").exists()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_network_that_looks_beyond_80_degrees_is_fed_lines_there(tiny, examples, share):
    (tiny / "far.toml").write_text(
        f'[network]\ntwo_theta = [5, 130]\n[data]\nstructures = ["{examples}/structures_3dsc.parquet"]\n'
        f'validation = 2\nrandom = {share}\npool = 32\n[effects]\npreset = "ideal"\n'
    )
    settings = config.read(tiny / "far.toml")
    data = session.open_data(settings, torch.device("cpu"), shards=1, cache=None)
    data.source.turn(0, 0)
    lines = data.source.draw(50, torch.Generator().manual_seed(1))
    d = 1 / (lines.hkl @ lines.basis).norm(dim=-1)[lines.intensity > 0]
    assert 0.82 < d.min() < 0.85  # λ / 2 / sin 65° is 0.8500 Å, and there is room for shifts
    evaluated = list(session.validation_batches(settings, data, torch.device("cpu")))[0]
    beyond = evaluated.x[:, 0, int(4096 * 90 / 125) :]  # from 95 degrees on
    assert (beyond.amax(1) > 0.02).float().mean() > 0.5


def test_two_files_of_one_name_are_both_packed_whatever_was_packed_before(tiny, examples):
    import pyarrow.parquet as pq

    table = pq.read_table(examples / "structures_3dsc.parquet")
    for folder, first in (("mine", 0), ("yours", 40)):
        (tiny / folder).mkdir()
        pq.write_table(table.slice(first, 30), tiny / folder / "same.parquet")
    held = []
    for named in ('"yours/same.parquet"', '"mine/same.parquet", "yours/same.parquet"'):
        (tiny / "same.toml").write_text(f"[data]\nstructures = [{named}]\n")
        settings = config.read(tiny / "same.toml")
        held.append(session.open_data(settings, torch.device("cpu"), shards=1, cache=tiny / "packed"))
    assert [len(data.table.space_group) for data in held] == [30, 60]
    assert [len(data.sha256) for data in held] == [1, 2]


def test_a_loss_that_is_no_number_stops_and_the_last_good_checkpoint_stays(tiny, cli, trained):
    text = small((tiny / "tiny.toml").read_text(), learning_rate=1e30, checkpoint_minutes=0, warmup=0)
    (tiny / "nan.toml").write_text(text)
    answer = cli("train", "--config", tiny / "nan.toml", "-o", tiny / "nan", "--device", "cpu")
    assert answer.code == 2 and "NaN or infinite at step 2, learning rate 9.8" in answer.err and "shard" in answer.err
    state = read_checkpoint(tiny / "nan" / "checkpoint.pt")
    assert state["step"] == 0 and all(torch.isfinite(w).all() for w in state["network"].values())
    assert not (tiny / "nan" / "model").exists()


def test_a_full_disk_leaves_the_checkpoint_before_it(trained, tmp_path, monkeypatch):
    import errno

    from alphadiffract_plugin.errors import OutputError

    folder = RunFolder(tmp_path)
    folder.save({"network": {}, "average": {}, "step": 7})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device; the checkpoint before it is intact") as caught:
        folder.save({"network": {}, "average": {}, "step": 8})
    assert "free some disk space" in caught.value.fix
    assert folder.load()["step"] == 7 and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_damaged_checkpoint_is_reported(tmp_path):
    from alphadiffract_plugin.errors import TrainingError

    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match="begin a new one"):
        RunFolder(tmp_path).load()


def test_a_run_below_a_file_is_refused_before_the_structures_are_packed(tiny, tmp_path, cli):
    (tmp_path / "notes.txt").write_text("mine")
    answer = cli("train", "--config", tiny / "tiny.toml", "-o", tmp_path / "notes.txt" / "run", "--device", "cpu")
    assert answer.code == 2 and "notes.txt: this is a file" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_goes_on_with_its_own_instrument_and_says_so(trained, tmp_path, cli):
    (tmp_path / "mine.instprm").write_text("Type:PXC\nLam:0.4133\nU:2\nV:-1\nW:3\n")
    answer = cli("train", "-o", trained, "--resume", "--instrument", tmp_path / "mine.instprm")
    assert answer.code == 2 and "leave out --instrument" in answer.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give --config FILE.toml"),
        (("--config", "nowhere.toml"), "give a TOML file"),
        (("--config", "x.toml", "--device", "gpu"), "choose auto, cpu or cuda"),
        (("--config", "x.toml", "--minutes", "0"), "give a number above 0"),
    ],
)
def test_what_makes_no_run_is_refused_and_the_message_says_how_to_fix_it(cli, arguments, told):
    answer = cli("train", *arguments)
    assert answer.code == 2 and told in answer.err


def test_without_the_extra_the_message_says_how_to_get_it(cli, monkeypatch):
    from importlib import util

    monkeypatch.setattr(util, "find_spec", lambda name, package=None: None)
    answer = cli("train", "--config", "x.toml")
    assert answer.code == 2 and "pip install 'alphadiffract-plugin[train]'" in answer.err


def test_help_comes_without_torch_and_the_package_can_be_run():
    program = (
        "import sys; sys.argv = ['x', 'train', '--help']\n"
        "import runpy\n"
        "try: runpy.run_module('alphadiffract_plugin', run_name='__main__')\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "assert not {'torch', 'lightning', 'pymatgen'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0 and "--dry-run" in ran.stdout, ran.stderr
