"""Stories about the bundle: what a person without GSAS-II gets, and that other programs open it."""

import ast
import dataclasses
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin import crystal, gsasii
from alphadiffract_plugin.cli.seeding import seed_into
from alphadiffract_plugin.errors import GSASIIError, InputError, OutputError
from alphadiffract_plugin.hooks import Seeder
from alphadiffract_plugin.load import histogram_from_file
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.recipes.lebail_steps import fwhm
from alphadiffract_plugin.records import Candidate, IndexingResult, SeedReport
from alphadiffract_plugin.seeding import bundle
from alphadiffract_plugin.seeding.cif import cif_from_candidate
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram, widths_from_peaks
from alphadiffract_plugin.seeding.staging import with_esd
from alphadiffract_plugin.settings import Settings

CRYSTALS = {
    2: (7.1, 7.9, 9.2, 88.0, 77.0, 101.5),
    14: (5.95, 21.6, 7.53, 90.0, 103.78, 90.0),
    62: (8.48, 5.398, 6.958, 90.0, 90.0, 90.0),
    88: (5.24, 5.24, 11.37, 90.0, 90.0, 90.0),
    167: (5.033, 5.033, 13.742, 90.0, 90.0, 120.0),
    186: (3.248, 3.248, 5.204, 90.0, 90.0, 120.0),
    227: (10.496, 10.496, 10.496, 90.0, 90.0, 90.0),
}
"""A cell for one space group of each crystal system; 88 and 227 have two origins."""


def candidate_of(space_group, cell=None):
    return Candidate(
        cell=cell or CRYSTALS[space_group],
        cell_esd=(0.0004, 0.0003, 0.0012, 0.0, 0.0, 0.0),
        space_group=space_group,
        space_group_symbol=crystal.symbol_from_space_group(space_group),
        crystal_system=crystal.crystal_system_from_space_group(space_group),
        probability=0.9,
        m20=40.0,
    )


@pytest.fixture(scope="module")
def anglesite(pbso4_xray):
    """An answer for the anglesite pattern: the right one, and the group of the same extinctions."""
    second = candidate_of(33, (8.48, 6.958, 5.398, 90.0, 90.0, 90.0))
    note = 'a note with "quotes", {braces} and a \\ backslash'
    return IndexingResult(
        pbso4_xray.name,
        "by hand",
        pbso4_xray.wavelength,
        (candidate_of(62), second),
        peaks=find_peaks(pbso4_xray),
        notes=(note, '"""'),
    )


def test_the_bundle_of_anglesite_reads_back_as_it_was(pbso4_xray, anglesite, tmp_path):
    report = bundle.seed(pbso4_xray, anglesite, tmp_path / "bundle", Settings())
    made = {path.name for path in (tmp_path / "bundle").iterdir()}
    assert {Path(file).name for file in report.files} == made
    assert made == {"pattern.xye", "instrument.instprm", "candidate_1.cif", "candidate_2.cif", "result.json"} | {
        *(
            "make_project.py",
            "make_rietveld.py",
            "rietveld_recipe.py",
            "rietveld_steps.py",
            "structure_recipe.py",
            "lebail_background.py",
            "lebail_start.py",
            "lebail_recipe.py",
            "lebail_steps.py",
            "project_recipe.py",
            "recipe_records.py",
        )
    }
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    again = histogram_from_file(tmp_path / "bundle" / "pattern.xye", wavelength=tmp_path / "bundle/instrument.instprm")
    assert np.array_equal(again.two_theta, pbso4_xray.two_theta)
    assert np.array_equal(again.intensity, pbso4_xray.intensity)
    assert again.wavelengths == pbso4_xray.wavelengths == (1.5405, 1.5443)
    assert again.kalpha2_ratio == 0.5
    assert IndexingResult.from_json((tmp_path / "bundle" / "result.json").read_text()) == anglesite
    assert report.converged is None
    assert SeedReport.from_json(report.to_json()) == report


@pytest.mark.parametrize("space_group", CRYSTALS)
def test_a_cif_opens_in_pymatgen_diffpy_and_gemmi_with_its_cell_and_group(space_group, tmp_path):
    import gemmi
    from diffpy.structure import loadStructure
    from pymatgen.core import Structure

    path = tmp_path / "candidate.cif"
    path.write_text(cif_from_candidate(candidate_of(space_group), 1))
    cell = CRYSTALS[space_group]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structure = Structure.from_file(path)
    operations = gemmi.get_spacegroup_reference_setting(space_group).operations()
    assert len(structure) == len(operations), "the dummy stands in a general position: every operation shows"
    assert structure.volume == pytest.approx(crystal_volume(cell), rel=1e-4)
    assert loadStructure(str(path)).lattice.abcABG() == pytest.approx(cell, abs=2e-3)
    small = gemmi.read_small_structure(str(path))
    assert small.cell.parameters == pytest.approx(cell, abs=2e-3)
    assert small.spacegroup.number == space_group
    assert {op.triplet() for op in small.spacegroup.operations()} == {op.triplet() for op in operations}


def crystal_volume(cell):
    return float(np.sqrt(np.linalg.det(crystal.direct_metric_from_cell(cell))))


def test_a_cif_gives_esds_in_the_last_digits():
    text = cif_from_candidate(candidate_of(62), 1)
    assert "_cell_length_a 8.4800(4)" in text
    assert "_cell_length_c 6.9580(12)" in text, "two digits from 10 to 19, as in the tables"
    assert "_cell_angle_beta 90\n" in text


@pytest.mark.parametrize("name", ["pbso4_xray", "lab6_ssrl", "pbso4_neutron"])
def test_starting_widths_are_those_of_the_lines(name, request):
    # GSAS-II must start near the truth: 0.02 degrees at a synchrotron, 0.6 with neutrons. A fifth is near.
    peaks = find_peaks(request.getfixturevalue(name))
    u, v, w, x, y, _ = widths_from_peaks(peaks).values()
    ratio = fwhm(np.radians(peaks.two_theta / 2), u, v, w, x, y) / peaks.fwhm
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    assert np.abs(np.log(ratio)).max() < math.log(1.4)


def test_widths_without_lines_are_a_laboratory_instruments():
    assert widths_from_peaks(None)["W"] == 5.0


def test_what_the_instrument_knows_stands(pbso4_neutron, pbso4_xray):
    known = dataclasses.replace(pbso4_neutron, instrument={"U": 257.0, "V": -640.0, "W": 569.0, "Zero": -0.03})
    text = instprm_from_histogram(known, find_peaks(pbso4_neutron))
    for line in ("Type:PNC", "Lam:1.909", "U:257.0", "V:-640.0", "W:569.0", "X:0.0", "Zero:-0.03"):
        assert line in text.splitlines()
    assert "Diff-type:Bragg-Brentano" in instprm_from_histogram(pbso4_xray, None)
    assert "Bragg" not in text


def test_what_is_there_is_kept(pbso4_xray, anglesite, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="already there\n  How to fix it: .*--overwrite"):
        bundle.seed(pbso4_xray, anglesite, tmp_path, Settings())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_bundle_that_fails_half_way_leaves_nothing(pbso4_xray, anglesite, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write_xye", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        bundle.seed(pbso4_xray, anglesite, tmp_path / "bundle", Settings())
    assert [*tmp_path.rglob("*")] in ([], [tmp_path / "bundle"])


@pytest.mark.parametrize(
    "cell", [(5.0, 5.0, math.nan, 90, 90, 90), (5.0, 5.0, 5.0, 150, 150, 150), (5, 5, 0, 90, 90, 90)]
)
def test_an_impossible_cell_is_left_out_and_refused_where_it_is_the_only_one(pbso4_xray, anglesite, tmp_path, cell):
    for candidates in ((), (candidate_of(2, cell),)):
        with pytest.raises(InputError, match=f"none of the {len(candidates)} candidates has a cell"):
            hopeless = dataclasses.replace(anglesite, candidates=candidates)
            bundle.seed(pbso4_xray, hopeless, tmp_path / "bundle", Settings())
    assert not [*tmp_path.iterdir()]
    mixed = dataclasses.replace(anglesite, candidates=(candidate_of(2, cell), candidate_of(62)))
    report = bundle.seed(pbso4_xray, mixed, tmp_path / "bundle", Settings())
    assert report.phases == ("P n m a",)
    assert len([*(tmp_path / "bundle").glob("*.cif")]) == 1


def test_a_second_bundle_leaves_no_candidate_of_the_first(pbso4_xray, anglesite, tmp_path):
    seeder, folder = Seeder("bundle", "", bundle.seed), tmp_path / "anglesite" / "bundle"
    folder.mkdir(parents=True)
    own = folder / "notes.txt"
    own.write_text("mine")
    three = dataclasses.replace(anglesite, candidates=3 * (candidate_of(62),))
    one = dataclasses.replace(anglesite, candidates=(candidate_of(62),))
    for answer in (three, one):
        report = seed_into(tmp_path, "anglesite", seeder, pbso4_xray, answer, Settings(), overwrite=True)
    assert [path.name for path in folder.glob("*.cif")] == ["candidate_1.cif"]
    assert own.read_text() == "mine"
    assert report.settings == Settings().to_dict(), "the resolved settings stand beside the seed"
    assert report == SeedReport.from_json((tmp_path / "anglesite" / "bundle.json").read_text(encoding="utf-8"))


def test_a_second_bundle_that_fails_leaves_the_first(pbso4_xray, anglesite, tmp_path, monkeypatch):
    seeder = Seeder("bundle", "", bundle.seed)
    seed_into(tmp_path, "anglesite", seeder, pbso4_xray, anglesite, Settings())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="already there"):
        seed_into(tmp_path, "anglesite", seeder, pbso4_xray, anglesite, Settings())
    monkeypatch.setattr(bundle, "write_xye", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        seed_into(tmp_path, "anglesite", seeder, pbso4_xray, anglesite, Settings(), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_script_needs_numpy_and_gsasii_alone(pbso4_xray, anglesite, tmp_path):
    bundle.seed(pbso4_xray, anglesite, tmp_path, Settings())
    scripts = {path.stem: ast.parse(path.read_text()) for path in tmp_path.glob("*.py")}
    wanted = set()
    for node in (node for tree in scripts.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            wanted |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            wanted.add(node.module.partition(".")[0])
    outside = wanted - set(sys.stdlib_module_names) - set(scripts)
    assert outside == {"numpy", "GSASII", "GSASIIscriptable", "GSASIIstrMain"}


WITHOUT = """
import json, sys
from pathlib import Path
sys.modules["GSASII"] = sys.modules["GSASIIscriptable"] = None  # as if it were not installed
from alphadiffract_plugin import gsasii
from alphadiffract_plugin.gsasii import seeder
from alphadiffract_plugin.seeding import bundle
from alphadiffract_plugin.errors import GSASIIError
from alphadiffract_plugin.load import histogram_from_file
from alphadiffract_plugin.records import IndexingResult
from alphadiffract_plugin.settings import Settings
pattern, answer, folder = sys.argv[1:]
histogram = histogram_from_file(pattern, wavelength="CuKa")
result = IndexingResult.from_json(Path(answer).read_text())
assert gsasii.find() is None
try:
    seeder.seed(histogram, result, Path(folder) / "gsasii", Settings())
except GSASIIError as error:
    print(error)
print(len(bundle.seed(histogram, result, Path(folder) / "bundle", Settings()).files), "files")
"""


def test_without_gsasii_the_bundle_is_made_and_the_project_says_how_to_fix_it(examples, anglesite, tmp_path):
    answer = tmp_path / "answer.json"
    answer.write_text(anglesite.to_json())
    arguments = [sys.executable, "-c", WITHOUT, str(examples / "pbso4_xray.xye"), str(answer), str(tmp_path)]
    shown = subprocess.run(arguments, capture_output=True, text=True, timeout=1800)
    assert shown.returncode == 0, shown.stderr
    assert (
        "GSAS-II is not importable\n  How to fix it: install it: https://advancedphotonsource.github.io/"
        in shown.stdout
    )
    assert shown.stdout.splitlines()[-1] == "16 files"
    assert not (tmp_path / "gsasii").exists()
    script = tmp_path / "bundle" / "make_project.py"
    blocked = "import sys, runpy; sys.modules['GSASII'] = sys.modules['GSASIIscriptable'] = None; "
    blocked += f"runpy.run_path({str(script)!r})"
    refused = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=1800)
    assert refused.returncode == 1
    assert refused.stderr.strip() == "GSAS-II is not importable. Run this with the Python that GSAS-II is installed in."


@pytest.fixture
def fake_gsasii(tmp_path, monkeypatch):
    """A folder that GSASII_PATH names, with a package that will not import."""
    package = tmp_path / "g2full" / "GSAS-II" / "GSASII"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('the binaries are of another numpy')")
    (package / "GSASIIscriptable.py").touch()
    (package / "git_verinfo.py").write_text("git_versiontag = 'v5.1.2'\n")
    monkeypatch.setenv("GSASII_PATH", str(package.parent.parent))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "GSASII"]:
        monkeypatch.delitem(sys.modules, name)
    gsasii.scriptable.cache_clear()
    yield package
    gsasii.scriptable.cache_clear()


def test_a_named_folder_goes_before_what_python_finds(fake_gsasii, monkeypatch):
    found = gsasii.find()
    assert (found.version, found.folder, found.package) == ("5.1.2", fake_gsasii, "GSASII.")
    assert str(found) == f"5.1.2, named by GSASII_PATH, in {fake_gsasii}"
    monkeypatch.setenv("GSASII_PATH", str(fake_gsasii))
    assert gsasii.find() == found
    (fake_gsasii / "__init__.py").unlink()
    assert gsasii.find().package == ""


def test_a_gsasii_that_fails_to_import_says_why(fake_gsasii):
    with pytest.raises(
        GSASIIError, match="the binaries are of another numpy\n  How to fix it: install it again: https://"
    ):
        gsasii.scriptable()


def test_a_pattern_without_esds_gets_weights_from_its_scatter(lab6_lab, lab6_ssrl):
    bare = dataclasses.replace(lab6_lab, esd=None)
    counts = np.round(bare.intensity)
    esd = with_esd(dataclasses.replace(bare, intensity=counts)).esd
    assert np.all(esd >= np.sqrt(counts)), "counts are never more certain than counting"
    # a synchrotron pattern on a scale of its own, its background taken off: √I would give 1 to nearly every point
    empty = (lab6_ssrl.two_theta > 25) & (lab6_ssrl.two_theta < 27.5)
    assert lab6_ssrl.esd is None
    assert np.median(with_esd(lab6_ssrl).esd[empty]) == pytest.approx(lab6_ssrl.intensity[empty].std(), rel=0.5)
