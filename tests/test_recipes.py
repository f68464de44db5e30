"""The recipes of the released networks, from the first half to a released ensemble, on sixteen patterns each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("pyarrow")

from alphadiffract_plugin.models.training import config, session  # noqa: E402

RECIPES = Path(__file__).parent.parent / "models" / "recipes"
SMALL = {"patterns": "16", "batch": "8", "validate_every": "1000", "compile": "false", "threads": "1"}
"""Values that make a recipe small; all else stays as it is, the size of the network too."""


def small(recipe: str, structures: Path, folder: Path) -> Path:
    """The recipe made small, on other structures, in a folder laid out like a clone."""
    lines = []
    for line in (RECIPES / recipe).read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0].strip()
        if key == "structures":
            line = f'structures = ["{structures}"]\nvalidation = 1'
        lines.append(f"{key} = {SMALL[key]}" if key in SMALL else line)
    path = folder / "models" / "recipes" / recipe
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_every_recipe_is_told_here():
    assert {path.name for path in RECIPES.glob("*.toml")} == {
        f"{device}-{half}.toml" for device in ("cpu", "gpu") for half in (1, 2)
    }


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_both_halves_train_and_are_released_together(device, examples, tmp_path, cli):
    runs = [tmp_path / "runs" / f"{device}-{half}" for half in (1, 2)]
    for half, run in enumerate(runs, 1):
        recipe = small(f"{device}-{half}.toml", examples / "structures_3dsc.parquet", tmp_path)
        assert session.train(config.read(recipe), run, resume=False, device="cpu").end == "done"
    done = cli("release", *runs, "-o", tmp_path / "released", "--name", "both")
    assert done.code == 0, done.err
    members = [tmp_path / "released" / "both" / f"member-{n:02d}" for n in (1, 2)]
    seen = [json.loads((member / "config.json").read_text(encoding="utf-8"))["provenance"] for member in members]
    assert [known["patterns_seen"] for known in seen] == [16, 16]
    assert seen[1]["settings"]["training"]["start_from"] == "model"
    asked = ("index", examples / "pbso4_xray.xye", "--wavelength", "CuKa", "--indexer", "alphadiffract-net")
    assert cli(*asked, "--model", tmp_path / "released" / "both").code == 0
