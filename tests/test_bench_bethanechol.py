"""The test of lists of lines: a list is indexed through the command line, and its place is counted by lattice."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin.crystal import allowed_inv_d2, two_theta_from_inv_d2

BENCH = Path(__file__).parent.parent / "bench"


@pytest.fixture(scope="module")
def bethanechol():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        import bethanechol

        yield bethanechol
    for name in ("bethanechol", "failures", "measured"):
        sys.modules.pop(name, None)


def test_a_set_scores_by_the_place_of_its_cell(bethanechol, tmp_path, capsys):
    # calculated lines of corundum
    corundum = {"cell": [4.759, 4.759, 12.992, 90, 90, 120], "space_group": "R -3 c"}
    lines = two_theta_from_inv_d2(allowed_inv_d2(corundum["cell"], 167, 0.9), 1.5406)
    document = {"answer": corundum, "sets": {"A": {"wavelength": 1.5406, "two_theta": lines.tolist()}}}
    path = tmp_path / "lists.json"
    path.write_text(json.dumps(document))
    assert bethanechol.main([str(path), "-o", str(tmp_path / "answers.jsonl")]) == 0
    shown = capsys.readouterr().out
    assert "| A | 1 | +1 |" in shown
    assert "Sum: +1" in shown
    [line] = [json.loads(text) for text in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert (line["place"], line["score"]) == (1, 1)
    candidates = line["answer"]["candidates"]
    assert bethanechol.place_of({**corundum, "cell": [5, 6, 7, 90, 90, 90]}, candidates) is None
    doubled = {**candidates[0], "cell": [*np.multiply(candidates[0]["cell"][:3], 2), 90, 90, 120]}
    assert bethanechol.place_of(corundum, [doubled, *candidates]) == 2
