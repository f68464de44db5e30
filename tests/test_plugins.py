"""Plugins as other packages bring them: really installed, found by their entry point, run by the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def command(*arguments: object, path: Path) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own, with one more folder of installed packages."""
    code = "from alphadiffract_plugin.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which pip has installed examples/my_indexer, and where a broken plugin lies as well."""
    source, site = tmp_path_factory.mktemp("source") / "my_indexer", tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "examples" / "my_indexer", source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index")
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", site, source], check=True)
    broken = site / "crystal_ball-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: crystal-ball\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[rietveld]\ncrystal-ball = crystal_ball\n")
    (site / "crystal_ball.py").write_text("import a_library_that_is_not_installed\n")
    return site


def test_the_example_plugin_is_found_beside_the_built_in_ones_and_the_broken_one_is_listed(site):
    out = command("plugins", path=site)
    assert out.returncode == 0, out.stderr
    assert "my-cubic" in out.stdout
    assert "alphadiffract-net" in out.stdout
    assert "No module named 'a_library_that_is_not_installed'" in out.stdout


def test_the_example_plugin_indexes_lanthanum_hexaboride(site, data):
    out = command(
        "index", data / "lab6_lab.xye", "--wavelength", "CuKa", "--indexer", "my-cubic", "--json", "-", path=site
    )
    assert out.returncode == 0, out.stderr
    first = json.loads(out.stdout)["candidates"][0]
    assert first["space_group"] == 221
    # NIST SRM 660: 4.1569 Å; the sample of this scan stood a little off the axis, hence 0.05 %
    assert first["cell"][0] == pytest.approx(4.1569, rel=5e-4)


def test_an_unknown_indexer_is_answered_with_the_known_ones(site, data):
    out = command("index", data / "lab6_lab.xye", "--wavelength", "CuKa", "--indexer", "my-cubik", path=site)
    assert (out.returncode, out.stdout) == (2, "")
    assert "Did you mean 'my-cubic'?" in out.stderr
    assert "How to fix it: choose one of alphadiffract, alphadiffract-net, gsasii, my-cubic" in out.stderr
    assert "crystal-ball (ModuleNotFoundError" in out.stderr
    assert "Traceback" not in out.stderr
