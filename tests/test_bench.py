"""The benchmark runner: it sees no answers, survives what fails, and goes on where it stopped."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from alphadiffract_plugin.hooks import Indexer, RietveldPlugins
from alphadiffract_plugin.records import Candidate, IndexingResult

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("measured", ROOT / "bench" / "measured.py")
measured = importlib.util.module_from_spec(spec)
spec.loader.exec_module(measured)

ROW = {
    "id": "",
    "path": "",
    "wavelength_A": "0.729568",
    "kalpha2_ratio": "",
    "radiation": "xray",
    "phase_name": "secret",
}


def write_index(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*ROW, "crystal_system"])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def index(tmp_path, data) -> Path:
    """Two real patterns and a path that leads nowhere."""
    for name in ("lab6_ssrl.xy", "zincite_ssrl.xy"):
        (tmp_path / name).write_bytes((data / name).read_bytes())
    rows = [("a", "lab6_ssrl.xy", "cubic"), ("b", "gone.xy", "cubic"), ("c", "zincite_ssrl.xy", "hexagonal")]
    return write_index(
        tmp_path / "index.csv", [ROW | {"id": i, "path": path, "crystal_system": system} for i, path, system in rows]
    )


def test_no_answer_column_and_no_name_reaches_an_indexer(index, monkeypatch):
    seen = []

    def spy(histogram, settings):
        seen.append(histogram)
        return IndexingResult(histogram.name, "spy", histogram.wavelength, ())

    plugins = RietveldPlugins()
    plugins.indexers = {"spy": Indexer("spy", "", spy)}
    monkeypatch.setattr("alphadiffract_plugin.registry.plugins", lambda: plugins)
    rows = measured.chosen_patterns(index)
    assert all(set(vars(row)) == {"id", "path", "wavelength", "radiation"} for row in rows)
    line = measured.answer(rows[0], None, "spy", "default", "cpu")
    assert (line["id"], line["candidates"], line.get("error")) == ("a", [], None)
    assert (seen[0].name, seen[0].source) == ("pattern", "pattern")
    assert seen[0].wavelengths == (0.729568,)
    failed = measured.answer(rows[1], None, "spy", "default", "cpu")
    assert failed["candidates"] == []
    assert "InputError" in failed["error"]


def test_a_cell_that_is_not_known_is_written_as_null(index, monkeypatch):
    def groups_alone(histogram, settings):
        unknown = (math.nan,) * 6
        cubic = Candidate(unknown, unknown, 221, "P m -3 m", "cubic", math.nan)
        return IndexingResult(histogram.name, "groups", histogram.wavelength, (cubic,))

    plugins = RietveldPlugins()
    plugins.indexers = {"groups": Indexer("groups", "", groups_alone)}
    monkeypatch.setattr("alphadiffract_plugin.registry.plugins", lambda: plugins)
    line = measured.answer(measured.chosen_patterns(index)[0], None, "groups", "default", "cpu")
    assert "NaN" not in json.dumps(line)
    assert line["candidates"] == [{"space_group": 221, "cell": None, "crystal_system": "cubic", "probability": None}]


def test_a_doublet_keeps_its_ratio(data, tmp_path):
    (tmp_path / "lab6_lab.xye").write_bytes((data / "lab6_lab.xye").read_bytes())
    row = ROW | {"id": "lab6", "path": "lab6_lab.xye", "wavelength_A": "1.540593/1.544427", "kalpha2_ratio": "0.48"}
    [pattern] = measured.chosen_patterns(write_index(tmp_path / "index.csv", [row]))
    histogram = measured.histogram_of(pattern)
    assert (histogram.wavelengths, histogram.kalpha2_ratio) == ((1.540593, 1.544427), 0.48)


def test_a_sample_takes_every_crystal_system_in_turn_and_is_the_same_again(tmp_path):
    systems = ["cubic"] * 20 + ["monoclinic"] * 5 + ["trigonal"]
    rows = [ROW | {"id": f"{i}", "path": "x", "crystal_system": system} for i, system in enumerate(systems)]
    index = write_index(tmp_path / "index.csv", rows)
    sample = [pattern.id for pattern in measured.chosen_patterns(index, sample=9)]
    assert Counter(systems[int(i)] for i in sample) == {"cubic": 4, "monoclinic": 4, "trigonal": 1}
    assert sample == [pattern.id for pattern in measured.chosen_patterns(index, sample=9)]
    assert sample != [pattern.id for pattern in measured.chosen_patterns(index, sample=9, seed=1)]


def test_a_run_goes_on_where_it_stopped(index, tmp_path):
    out = tmp_path / "answers.jsonl"
    out.write_text('{"id": "a", "seconds": 1.0, "candidates": []}\n{"id": "c", "seco')
    arguments = [index, "-o", out, "--indexer", "alphadiffract-net", "--jobs", "1", "--device", "cpu"]
    subprocess.run([sys.executable, ROOT / "bench" / "measured.py", *arguments], check=True)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == ["a", "b", "c"]
    answers = {line["id"]: line for line in lines}
    assert answers["a"]["seconds"] == 1.0
    assert "error" in answers["b"]
    assert "error" not in answers["c"]
    best = answers["c"]["candidates"][0]
    assert 1 <= best["space_group"] <= 230
    assert len(best["cell"]) == 6
    assert answers["c"]["seconds"] > 0


def test_an_unknown_indexer_ends_the_run_before_it_starts(index, tmp_path):
    with pytest.raises(SystemExit, match="choose one of alphadiffract"):
        measured.main([str(index), "-o", str(tmp_path / "a.jsonl"), "--indexer", "nobody"])
    assert not (tmp_path / "a.jsonl").exists()


def test_a_wrong_network_is_shown_another_pattern_and_the_indexer_its_own(index, monkeypatch):
    """LaB6 is searched, while the network looks at zincite."""
    predict = importlib.import_module("alphadiffract_plugin.prediction.predict")

    asked, searched = [], []
    monkeypatch.setattr(predict, "predict", lambda histogram, settings: asked.append(histogram.intensity))

    def spy(histogram, settings):
        searched.append(histogram.intensity)
        predict.predict(histogram, settings)
        return IndexingResult(histogram.name, "spy", histogram.wavelength, ())

    plugins = RietveldPlugins()
    plugins.indexers = {"spy": Indexer("spy", "", spy)}
    monkeypatch.setattr("alphadiffract_plugin.registry.plugins", lambda: plugins)
    first, _, last = measured.chosen_patterns(index)
    measured.answer(first, last, "spy", "default", "cpu")
    measured.answer(first, None, "spy", "default", "cpu")
    lab6, zincite = (measured.histogram_of(row).intensity for row in (first, last))
    assert [array.tolist() for array in searched] == 2 * [lab6.tolist()]
    assert [array.tolist() for array in asked] == [zincite.tolist(), lab6.tolist()]
