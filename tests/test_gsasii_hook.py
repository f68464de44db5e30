"""The entries of GSAS-II's menu, put there and taken away; the importer, driven by GSAS-II; and doctor's look at it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.cli import doctor
from alphadiffract_plugin.gsasii.importer import EXPORTER, NAME, PROJECT
from alphadiffract_plugin.records import Candidate, IndexingResult, SeedReport

IMPORTER = Path(__file__).parent.parent / "hooks" / "gsasii" / NAME


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder without anything in it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_entries_of_the_menu_come_and_go_without_gsasii(cli, home, monkeypatch):
    monkeypatch.setattr(gsasii.installation, "find", lambda: None)
    imports, exports = home / ".GSASII" / "imports", home / ".GSASII" / "exports"
    files = [imports / NAME, exports / PROJECT, exports / EXPORTER]
    shown = cli("gsasii", "install-hook")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[:3] == [f"installed: {file}" for file in files]
    assert "Import, Phase, (user) from AlphaDiffract result file" in shown.out
    assert "Export, Powder data as, (user) Index with AlphaDiffract" in shown.out
    assert files[0].read_text() == IMPORTER.read_text()
    assert f"\nPYTHON = {sys.executable!r}\n" in files[2].read_text(), "the indexer will run with this Python"
    assert cli("gsasii", "install-hook").out.splitlines()[:3] == [f"already there: {file}" for file in files]
    assert cli("gsasii", "remove-hook").out.splitlines() == [f"removed: {file}" for file in files]
    gone = [f"nothing to remove: there is no {file}" for file in files]
    assert cli("gsasii", "remove-hook").out.splitlines() == gone
    assert [*imports.iterdir(), *exports.iterdir()] == []


def test_an_older_importer_of_ours_is_brought_up_to_date(cli, tmp_path):
    (tmp_path / NAME).write_text(IMPORTER.read_text() + "# older\n")
    assert cli("gsasii", "install-hook", "--folder", tmp_path).out.startswith("updated: ")
    assert (tmp_path / NAME).read_text() == IMPORTER.read_text()


def test_after_the_package_moved_the_exporter_is_given_its_new_python(cli, tmp_path, monkeypatch):
    cli("gsasii", "install-hook", "--folder", tmp_path)
    monkeypatch.setattr(sys, "executable", "/elsewhere/bin/python")
    assert f"updated: {tmp_path / EXPORTER}" in cli("gsasii", "install-hook", "--folder", tmp_path).out
    assert "\nPYTHON = '/elsewhere/bin/python'\n" in (tmp_path / EXPORTER).read_text()


@pytest.mark.parametrize("name", [NAME, PROJECT, EXPORTER])
@pytest.mark.parametrize("command", ["install-hook", "remove-hook"])
def test_a_file_of_somebody_else_stays(cli, tmp_path, command, name):
    (tmp_path / name).write_text("# my own\n")
    shown = cli("gsasii", command, "--folder", tmp_path)
    assert (shown.code, shown.out) == (2, "")
    assert (
        f"error: {tmp_path / name}: is there already and was not written by this program\n  How to fix it: move it away"
        in shown.err
    )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "# my own\n")]


def test_a_folder_that_cannot_be_is_reported(cli, tmp_path):
    (tmp_path / "file").write_text("")
    shown = cli("gsasii", "install-hook", "--folder", tmp_path / "file" / "imports")
    assert shown.code == 2
    assert "this is a file, and the output needs a folder here" in shown.err


def test_a_gsasii_too_old_to_look_there_is_reported(cli, home, tmp_path, monkeypatch):
    (tmp_path / "GSASIIfiles.py").write_text("# of 2024\n")
    old = gsasii.Installation(tmp_path, "", "on sys.path", "5.0.0")
    monkeypatch.setattr(gsasii.installation, "find", lambda: old)
    assert "too old to look for these files: update it" in cli("gsasii", "install-hook").err


def candidate(symbol, number, cell, probability=0.9):
    return Candidate(tuple(map(float, cell)), (math.nan,) * 6, number, symbol, "cubic", probability)


PNMA = candidate("P n m a", 62, (8.4786, 5.3976, 6.959, 90, 90, 90), 0.97)
PNA21 = candidate("P n a 21", 33, (8.4786, 6.959, 5.3976, 90, 90.00000000000001, 90), 0.012)
OPINION = candidate("P 21 21 21", 19, (math.nan,) * 6, 0.01)
TRICLINIC = candidate("P -1", 2, (5.1, 6.2, 7.3, 91.5, 92.25, 93), 0.001)
CALCITE = candidate("R -3 c", 167, (4.99, 4.99, 17.06, 90, 90, 120))
RHOMBOHEDRON = candidate("R -3 c", 167, (6.375, 6.375, 6.375, 46.08, 46.08, 46.08))
GYPSUM = candidate("C 2/c", 15, (6.28, 15.2, 6.52, 90, 127.4, 90))
SILICON = candidate("F d -3 m", 227, (5.43, 5.43, 5.43, 90, 90, 90))
NOT_CUBIC = candidate("F d -3 m", 227, (5, 6, 7, 90, 90, 90))
POST_2002 = candidate("C m c e", 64, (5, 6, 7, 90, 90, 90))


def answer(*candidates, histogram="pbso4"):
    versions = {"alphadiffract-plugin": "0.1.0"}
    return IndexingResult(histogram, "alphadiffract", 1.5406, candidates, versions=versions)


FILES = {
    "pbso4.json": answer(OPINION, PNMA, PNA21, TRICLINIC).to_json(indent=1),
    "two.jsonl": "\n".join(answer(one, histogram=name).to_json() for name, one in (("a", CALCITE), ("b", GYPSUM)))
    + "\n",
    "calcite.json": answer(CALCITE).to_json(),
    "rhombohedron.json": answer(RHOMBOHEDRON).to_json(),
    "gypsum.json": answer(GYPSUM).to_json(),
    "silicon.json": answer(SILICON).to_json(),
    "post_2002.json": answer(POST_2002).to_json(),
    "not_cubic.json": answer(NOT_CUBIC).to_json(),
    "opinions.json": answer(OPINION).to_json(),
    "nothing.json": answer().to_json(),
    "report.json": SeedReport("bundle", "", (), ()).to_json(),
    "list.json": "[1, 2]",
    "text.json": "Dear editor,",
    "half.json": answer(PNMA).to_json()[:200],
    "binary.json": "\udcff\udcfe",
    "later.json": answer(PNMA).to_json().replace('"schema_version": 1', '"schema_version": 2'),
    "huge.json": answer(PNMA).to_json().replace("8.4786", "1" + 400 * "0"),
    "odd.json": answer(PNMA).to_json().replace('"space_group_symbol": "P n m a"', '"symbol": "P n m a"'),
}

DRIVER = """
import contextlib, io, json, sys, types
from pathlib import Path
from types import ModuleType
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    from GSASII import GSASIIscriptable as G2sc
    project = G2sc.G2Project(newgpx="driven.gpx")
    G2sc.LoadG2fil()
    [reader] = [one for one in G2sc.Readers["Phase"] if "AlphaDiffract" in one.formatName]
    menu = [reader.formatName, reader.longFormatName, list(reader.extensionlist), reader.strictExtension]
    seen = {"menu": menu, "scripted": {}, "refused": {}, "asked": {}}

    def picture(phase):
        general = phase["General"]
        return {"name": general["Name"], "group": general["SGData"]["SpGrp"], "system": general["SGData"]["SGSys"],
                "cell": general["Cell"][1:8], "atoms": len(phase["Atoms"]), "from": general["Provenance"]}

    def scripted(name, rank=1):
        reader.rank = rank
        try:
            return picture(project.add_phase(name, fmthint="AlphaDiffract").data)
        except G2sc.G2ImportException:
            return reader.errors

    for path in sorted(Path().glob("*.json*")):
        reader.ReInitialize()
        seen["refused"][path.name] = [reader.ContentsValidator(str(path)), reader.errors, reader.warnings]
        seen["scripted"][path.name] = [scripted(path.name, rank) for rank in (1, 2)]

    class Frame:
        def __init__(self):
            self.notes = None
        def CheckNotebook(self):
            self.notes = self.notes or []
        def AddToNotebook(self, text):
            self.notes.append(text)

    def asked(name, ticked):
        shown, frame, buffer, block, phases = [], Frame(), {}, 0, []
        dialogs = types.ModuleType("GSASII.GSASIIctrlGUI")
        dialogs.MultipleBlockSelector = lambda choices, **more: (shown.extend(choices), ticked)[1]
        sys.modules[dialogs.__name__] = sys.modules["GSASII"].GSASIIctrlGUI = dialogs
        reader.ReInitialize()
        again = reader.ContentsValidator(name)
        while again:
            block += 1
            good = reader.Reader(name, frame, buffer=buffer, blocknum=block, usedRanIdList=[])
            phases += [picture(reader.Phase)] if good else []
            again = good and reader.repeat
        return {"shown": shown, "phases": phases, "notes": frame.notes, "errors": reader.errors}

    for name, ticked in (("pbso4.json", [0, 2]), ("two.jsonl", [1]), ("calcite.json", []), ("gypsum.json", [0])):
        seen["asked"][name] = asked(name, ticked)
    seen["cancelled"] = asked("pbso4.json", [])
    project.save()
    again = G2sc.G2Project(gpxfile="driven.gpx")
    seen["saved"] = [phase.name for phase in again.phases()]
seen["printed"] = printed.getvalue()
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """What the real GSAS-II, in a process and a home of its own, makes of every file of ``FILES``."""
    folder = tmp_path_factory.mktemp("driven")
    (folder / ".GSASII" / "imports").mkdir(parents=True)
    (folder / ".GSASII" / "imports" / NAME).write_text(IMPORTER.read_text())
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    home = {"HOME": str(folder), "USERPROFILE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=folder, env=os.environ | home, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.gsasii
def test_gsasii_lists_it_in_the_menu(driven):
    name, printed, extensions, strict = driven["menu"]
    assert name == "(user) AlphaDiffract result"
    assert "alphadiffract-plugin index" in printed
    assert (extensions, strict) == ([".json", ".jsonl"], True)


@pytest.mark.gsasii
def test_a_script_gets_the_first_cell_or_another_by_its_rank(driven):
    first, second = driven["scripted"]["pbso4.json"]
    assert "no candidate of rank 1 has a cell" in first  # it is an opinion of the network
    assert (second["name"], second["group"], second["atoms"]) == ("pbso4 2", "P n m a", 0)
    assert second["cell"] == pytest.approx([8.4786, 5.3976, 6.959, 90, 90, 90, 318.47], abs=0.01)
    assert second["from"].startswith("Cell and space group: 2: P n m a, 8.479 5.398 6.959, p 0.97; candidate 2 of 4")
    assert "alphadiffract-plugin 0.1.0 (indexer alphadiffract)" in second["from"]
    assert "pbso4 2" in driven["saved"]


@pytest.mark.gsasii
@pytest.mark.parametrize(
    ("name", "group", "system"),
    [
        ("calcite.json", "R -3 c", "trigonal"),
        ("rhombohedron.json", "R -3 c r", "rhombohedral"),
        ("gypsum.json", "C 2/c", "monoclinic"),
        ("silicon.json", "F d -3 m", "cubic"),
        ("post_2002.json", "C m c a", "orthorhombic"),
    ],
)
def test_the_setting_is_that_of_the_cell(driven, name, group, system):
    phase = driven["scripted"][name][0]
    assert (phase["group"], phase["system"]) == (group, system)


@pytest.mark.gsasii
def test_a_person_ticks_cells_and_gets_a_phase_of_each(driven):
    asked = driven["asked"]["pbso4.json"]
    assert asked["shown"] == [
        "2: P n m a, 8.479 5.398 6.959, p 0.97",
        "3: P n a 21, 8.479 6.959 5.398, p 0.01",
        "4: P -1, 5.100 6.200 7.300 alpha 91.50 beta 92.25 gamma 93.00, p <0.01",
    ]
    assert [phase["name"] for phase in asked["phases"]] == ["pbso4 2", "pbso4 4"]
    assert asked["notes"] == [phase["from"] for phase in asked["phases"]]
    assert driven["asked"]["two.jsonl"]["shown"][1] == "b 1: C 2/c, 6.280 15.200 6.520 beta 127.40, p 0.90"
    assert [phase["name"] for phase in driven["asked"]["two.jsonl"]["phases"]] == ["b 1"]


@pytest.mark.gsasii
def test_of_a_single_cell_nobody_is_asked_and_nothing_ticked_is_no_phase(driven):
    assert driven["asked"]["calcite.json"]["shown"] == []
    assert len(driven["asked"]["calcite.json"]["phases"]) == 1
    assert driven["cancelled"]["phases"] == []
    assert driven["cancelled"]["errors"] == "no cell was chosen; import again and tick one."


@pytest.mark.gsasii
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("opinions.json", "no candidate with a cell; read its notes"),
        ("nothing.json", "no candidate with a cell"),
        ("report.json", "holds a SeedReport, not an answer of alphadiffract-plugin; give the NAME.json"),
        ("list.json", "holds something else"),
        ("text.json", "is not JSON"),
        ("half.json", "is not JSON"),
        ("binary.json", "cannot be read as text"),
        ("later.json", "schema version 2; 1 can be read; index again"),
        ("huge.json", "candidate 1 of pbso4 has a form that this importer does not know"),
        ("odd.json", "candidate 1 of pbso4 has a form that this importer does not know"),
    ],
)
def test_what_is_no_answer_is_refused_with_how_to_fix_it_and_no_traceback(driven, name, said):
    good, errors, warnings = driven["refused"][name]
    assert not good
    assert said in errors
    assert warnings == errors  # GSAS-II shows the one in a window, and prints the other
    assert said in driven["scripted"][name][0]
    assert "Traceback" not in driven["printed"]


@pytest.mark.gsasii
def test_a_cell_that_its_space_group_forbids_is_no_phase(driven):
    assert driven["refused"]["not_cubic.json"][0]
    assert driven["scripted"]["not_cubic.json"][0].startswith("no crystal of F d -3 m has the cell 5.000 6.000 7.000")


@pytest.mark.gsasii
def test_doctor_tries_gsasii_when_asked(cli):
    shown = cli("doctor", "--gsasii")
    assert shown.code == 0
    [line] = [line for line in shown.out.splitlines() if "GSAS-II in use" in line]
    assert line.startswith("ok ")
    assert "made, saved, opened again and calculated in" in line


def test_doctor_does_not_try_it_unasked(cli, monkeypatch):
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert "GSAS-II in use" not in cli("doctor").out


def test_doctor_says_what_fails_in_a_broken_gsasii_and_how_to_fix_it(cli, tmp_path, monkeypatch):
    (tmp_path / "GSASII").mkdir()
    (tmp_path / "GSASII" / "__init__.py").write_text("")
    (tmp_path / "GSASII" / "GSASIIscriptable.py").write_text("raise ImportError('no binaries for this Python')\n")
    monkeypatch.setenv(gsasii.FOLDER_VARIABLE, str(tmp_path))
    shown = cli("doctor", "--gsasii")
    assert shown.code == 0
    lines = shown.out.splitlines()
    [row] = [row for row, line in enumerate(lines) if "GSAS-II in use" in line]
    assert lines[row].startswith("missing ")
    assert "importing it failed: " in lines[row]
    assert "no binaries for this Python" in lines[row]
    assert "How to fix it: 'python -m alphadiffract_plugin.gsasii.smoke' shows the whole output" in lines[row + 1]


def test_doctor_says_that_there_is_none_to_try(cli, monkeypatch):
    monkeypatch.setattr(gsasii.installation, "find", lambda: None)
    assert "GSAS-II was not found" in cli("doctor", "--gsasii").out


def test_doctor_does_not_wait_for_ever(cli, tmp_path, monkeypatch):
    (tmp_path / "GSASII").mkdir()
    (tmp_path / "GSASII" / "__init__.py").write_text("")
    (tmp_path / "GSASII" / "GSASIIscriptable.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv(gsasii.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(doctor, "SMOKE_SECONDS", 3)
    shown = cli("doctor", "--gsasii").out
    assert re.search("(starting|importing it) failed: it was stopped after 3 s", shown), (
        "starting, where the machine is busy"
    )


@pytest.mark.parametrize("printed", [b"saving it\n", "saving it\n", None])
def test_doctor_names_the_step_that_does_not_end_on_windows_too(cli, monkeypatch, printed):
    def late(command, *, stdin, timeout, **more):
        assert stdin == subprocess.DEVNULL
        raise subprocess.TimeoutExpired(command, timeout, output=printed)

    monkeypatch.setattr(gsasii.installation, "find", lambda: gsasii.Installation(Path(), "", "on sys.path", "5.0.0"))
    monkeypatch.setattr(doctor.subprocess, "run", late)
    step = "saving it" if printed else "starting"
    assert f"{step} failed: it was stopped after 120 s" in cli("doctor", "--gsasii").out


def test_the_importer_understands_the_answers_of_this_version(tmp_path):
    from alphadiffract_plugin.json_record import SCHEMA_VERSION

    assert f"\nSCHEMA_VERSION = {SCHEMA_VERSION}\n" in IMPORTER.read_text()
    fields = {field.name for kind in (IndexingResult, Candidate) for field in dataclasses.fields(kind)}
    for name in (
        "candidates",
        "histogram",
        "indexer",
        "versions",
        "cell",
        "space_group",
        "space_group_symbol",
        "probability",
    ):
        assert name in fields
        assert re.search(rf"['\"]{name}['\"]", IMPORTER.read_text())


def test_the_importer_also_loads_into_a_gsasii_whose_modules_lie_side_by_side(tmp_path, monkeypatch):
    fakes = {name: ModuleType(name) for name in ("GSASIIlattice", "GSASIIobj", "GSASIIspc")}
    fakes["GSASIIobj"].ImportPhase = type(
        "ImportPhase", (), {"__init__": lambda self, **printed: vars(self).update(printed)}
    )
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    reader = runpy.run_path(str(IMPORTER))["AlphaDiffractReader"]()
    assert reader.formatName == "AlphaDiffract result"
    (tmp_path / "a.json").write_text(FILES["pbso4.json"])
    (tmp_path / "b.json").write_text(FILES["opinions.json"])
    assert reader.ContentsValidator(str(tmp_path / "a.json"))
    assert not reader.ContentsValidator(str(tmp_path / "b.json"))
    assert "no candidate with a cell" in reader.errors
