"""Two processes over gloo, launched by torchrun, learn what one process learns of the same batches."""

import csv
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("pyarrow")


def columns(path):
    with open(path, newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: [float(row[name]) for row in rows] for name in ("step", "total", "space_group", "gemd", "lattice")}


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed part")
def test_two_processes_have_the_loss_curve_of_one_and_only_the_first_writes(tmp_path, micro_settings, cli):
    config = tmp_path / "micro.toml"
    config.write_text(
        micro_settings(network={"dropout": 0.0}, data={"random": 0.5, "pool": 32}, training={"patterns": 160})
    )
    one = cli("train", "--config", config, "-o", tmp_path / "one", "--device", "cpu")
    assert one.code == 0
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = subprocess.run(
        [*launched, "-m", "alphadiffract_plugin", "train", "--config", config, "-o", "two", "--device", "cpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1800,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert two.returncode == 0, two.stderr
    assert two.stdout.split() == [os.path.join("two", "model")]  # said once, not twice
    alone, shared = columns(tmp_path / "one" / "log.csv"), columns(tmp_path / "two" / "log.csv")
    assert shared["step"] == list(range(1, 21)) == alone["step"]
    for name in ("total", "space_group", "gemd", "lattice"):
        # rounding alone: two halves of a batch are summed in another order
        assert shared[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-3), name
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())
