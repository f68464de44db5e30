"""With the real GSAS-II: the same crystal, instrument and sample give the same pattern."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")

from alphadiffract_plugin.models import lattice  # noqa: E402
from alphadiffract_plugin.models.structures import table  # noqa: E402

pytestmark = pytest.mark.gsasii

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("profiles_vs_gsasii", ROOT / "bench" / "profiles_vs_gsasii.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


@pytest.fixture(scope="module")
def structures():
    return table.read([ROOT / "examples" / "data" / "structures_3dsc.parquet"])


@pytest.mark.parametrize("turn", range(5))
def test_a_superconductor_simulated_by_gsasii_looks_the_same(structures, turn):
    """One of each of five crystal systems, Kα doublet and all; what differs is form factors and dispersion."""
    rows = bench.choice(structures, 5, lattice.system_of_group()[structures.space_group - 1], seed=3)
    ours, theirs = bench.both(structures, rows[turn])
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    shifted = np.corrcoef(ours[4:], theirs[:-4])[0, 1]
    assert shifted < 0.97, "a pattern 0.07 degrees off must not pass"
