"""The table of peers: anglesite with made-up answers of other programs, and a made-up program asked for its own."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin.benchmark_index import row_from_values
from alphadiffract_plugin.records import Peaks

ROOT = Path(__file__).parent.parent
ANGLESITE = [8.480, 5.398, 6.958, 90.0, 90.0, 90.0]
IMPOSSIBLE = [5.0, 5.0, 5.0, 30.0, 30.0, 90.0]
ROW = {
    "id": "anglesite",
    "tier": "A",
    "path": str(ROOT / "examples" / "data" / "pbso4_xray.xye"),
    "wavelength_A": "1.5405/1.5443",
    "kalpha2_ratio": "0.5",
    "radiation": "xray",
    "crystal_system": "orthorhombic",
    "niggli": "5.398 6.958 8.480 90 90 90",
}


@pytest.fixture(scope="module")
def peers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import peers

        yield peers


@pytest.fixture
def index(tmp_path) -> Path:
    path = tmp_path / "index.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()
        writer.writerows([ROW, ROW | {"id": "unknown", "tier": "B-sg-only"}])
    return path


@pytest.fixture
def program(tmp_path):
    """A stand-in for a Python that has a peer: it prints a version, or one round of cells and half of another."""

    def made(*, nap: float = 0.0, end: str = "") -> str:
        path = tmp_path / "program"
        cells = json.dumps({"seconds": 0.5, "cells": [[*ANGLESITE, "P"], [*IMPOSSIBLE, "C"]]})
        path.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys, time\n"
            "task = json.loads(sys.stdin.read() or 'null')\n"
            f"open({str(tmp_path / 'asked')!r}, 'a').write(json.dumps(task) + chr(10))\n"
            f"print({cells!r} + chr(10) + '{{\"cells\": [[1' if task else '2.2.5', flush=True)\n"
            f"time.sleep({nap})\n"
            f"{end}\n"
        )
        path.chmod(0o755)
        return str(path)

    return made


def row_of(values):
    return row_from_values(values, Path("index.csv"), 2)


def answer(*cells, seconds=1.0, **more) -> dict:
    return {"seconds": seconds, "candidates": [{"space_group": 62, "cell": list(cell)} for cell in cells], **more}


def test_a_row_counts_what_is_right_first_and_later_and_a_missing_program_is_told(peers):
    doubled = [16.96, *ANGLESITE[1:]]
    nearly = [8.52, *ANGLESITE[1:]]
    swapped = [5.398, 6.958, 8.480, 90.0, 90.0, 90.0]
    answers = {
        "alphadiffract": {"anglesite": answer(swapped, seconds=3.0), "twin": answer(nearly, seconds=5.0)},
        "gsasii": {"anglesite": answer(doubled, ANGLESITE), "twin": answer(seconds=60.0, error="stopped after 60 s")},
        "pyobjcryst": None,
    }
    heads, _, ours, gsasii, missing = peers.table([row_of(ROW), row_of(ROW | {"id": "twin"})], answers).splitlines()
    assert heads.startswith("|  | first cell, % | among 5, %")
    figures = [cell.strip() for cell in ours.split("|")[2:-1]]
    assert figures == ["100 (34-100)"] * 3 + ["50 (9-91)", "4.0", "4.9", "0"], "8.52 is within 1 %, not within 0.2 %"
    figures = [cell.strip() for cell in gsasii.split("|")[2:-1]]
    assert figures == ["0 (0-66)", "50 (9-91)", "50 (9-91)", "0 (0-66)", "30.5", "57.0", "1"]
    assert missing.startswith("| pyobjcryst | not installed |")
    assert missing.count("|") == heads.count("|")


def test_a_bare_lattice_keeps_its_centring(peers):
    silicon = [5.4309] * 3 + [90.0] * 3
    row = row_of(ROW | {"niggli": "3.8402 3.8402 3.8402 60 60 60"})
    right = {c: peers.evaluated(row, {"candidates": [peers.of_lattice(silicon, c)]})["fine@1"] for c in "PIF"}
    assert right == {"P": False, "I": False, "F": True}
    assert peers.of_lattice(IMPOSSIBLE, "P")["cell"] is None


@pytest.mark.parametrize("method", ["pyobjcryst", "rietx"])
def test_a_program_is_asked_once_for_each_pattern_of_known_cell(method, peers, index, program, tmp_path, capsys):
    folder = tmp_path / "out"
    arguments = [str(index), "-o", str(folder), "--methods", method, f"--{method}", program()]
    for _ in range(2):
        assert peers.main(arguments) == 0
        printed = capsys.readouterr().out
        assert f"| {method} | 100 (21-100) | 100 (21-100) | 100 (21-100) | 100 (21-100) | 0.5 | 0.5 | 0 |" in printed
        assert "n = 1 patterns of tier A" in printed
        assert f"{method} 2.2.5" in printed
        assert "cores" in printed, "the machine"
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [bool(task) for task in asked] == [False, True, False], "its version twice, the pattern once"
    (line,) = (folder / "lines.jsonl").read_text().splitlines()
    found = json.loads(line)["lines"]["two_theta"]
    assert min(abs(two_theta - 20.83) for two_theta in found) < 0.06, "101 of anglesite"
    if method == "rietx":
        assert asked[1]["two_theta"] == found, "rietx chooses among all lines"
        assert len(asked[1]["area_esd"]) == len(found)
    else:
        assert len(asked[1]["d"]) == peers.MOST
    assert asked[1]["seconds"] == 60.0


def test_a_program_that_is_ended_keeps_its_last_round_and_has_used_all_its_time(peers, program):
    task = {"seconds": 7.0}
    killed = peers.by_program("pyobjcryst", task, program(end="os.kill(os.getpid(), 9)"))
    assert killed["error"] == "stopped after 7 s"
    assert killed["seconds"] == 7.0
    assert len(killed["candidates"]) == 2
    failed = peers.by_program("rietx", task, program(end="raise ValueError('no lines')"))
    assert failed["error"] == "ValueError: no lines"


def test_the_ratio_of_the_medians_is_below_the_table(peers, monkeypatch):
    monkeypatch.setattr(peers, "machine", lambda: "2 cores")
    answers = {"alphadiffract": {"anglesite": answer(seconds=0.8)}, "pyobjcryst": {"anglesite": answer(seconds=1.2)}}
    args = argparse.Namespace(seed=0, seconds=60.0)
    versions = {"alphadiffract": "0.1.0 abc", "lines-alone": "0.1.0 abc", "pyobjcryst": "2.2.5"}
    shown = peers.foot(args, [row_of(ROW)], answers, versions)
    assert "alphadiffract-plugin 0.1.0 abc, pyobjcryst 2.2.5; 2 cores." in shown
    assert shown.endswith("pyobjcryst's median over that of this program: 1.50")
    assert "median over" not in peers.foot(args, [row_of(ROW)], {"pyobjcryst": answers["pyobjcryst"]}, versions)


@pytest.mark.parametrize("method", ["pyobjcryst", "rietx"])
def test_a_program_that_is_not_there_is_named(method, peers, index, tmp_path, capsys):
    arguments = ["--methods", method, f"--{method}", sys.executable]
    if peers.version_of(method, sys.executable):
        pytest.skip(f"this Python has {method}")
    assert peers.main([str(index), "-o", str(tmp_path / "out"), *arguments]) == 0
    shown = capsys.readouterr()
    assert f"{method} is not installed" in shown.err
    assert f"| {method} | not installed |" in shown.out


def test_rietx_finds_silicon_on_lines_as_its_script_hands_them(peers, tmp_path):
    if not peers.version_of("rietx", sys.executable):
        pytest.skip("this Python has no rietx")
    inv_d2 = np.array([3, 8, 11, 16, 19, 24, 27, 32, 35, 40]) / 5.4309**2
    two_theta = np.degrees(2 * np.arcsin(1.5406 / 2 * np.sqrt(inv_d2)))
    ones = np.ones(len(two_theta))
    lines = Peaks(two_theta, 0.002 * ones, np.linspace(100, 10, len(ones)), 0.08 * ones, 50 * ones, 1.5406)
    found = peers.by_program("rietx", peers.all_lines(lines) | {"seconds": 30.0}, sys.executable)
    assert "error" not in found
    assert 0 < found["seconds"] < 30
    silicon = row_of(ROW | {"niggli": "3.8402 3.8402 3.8402 60 60 60"})
    assert peers.evaluated(silicon, found)["cell@20"]


def test_a_program_that_hangs_is_stopped_and_counts_as_wrong(peers, program, monkeypatch):
    monkeypatch.setattr(peers, "HOURGLASS", 0.5)
    worker = peers.Worker("pyobjcryst", 1.0, program(nap=20.0))
    pattern = row_of(ROW).measurement
    stopped = worker.ask(pattern, peers.lines_of(pattern))
    assert stopped == {"seconds": 1.0, "candidates": [], "error": "stopped after 1 s"}
    assert worker.process is None, "the next pattern gets a fresh one"


def test_an_answer_cut_short_by_an_interruption_is_asked_for_again(peers, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a", "seconds": 1}\n{"id": "b", "sec')
    assert list(peers.kept(path)) == ["a"]
    peers.written(path, {"id": "b", "seconds": 2})
    assert {name: line["seconds"] for name, line in peers.kept(path).items()} == {"a": 1, "b": 2}
