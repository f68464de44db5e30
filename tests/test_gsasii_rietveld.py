"""Stories with the real GSAS-II: from the Le Bail fit of a seeded project to a Rietveld refinement, without harm."""

import dataclasses
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alphadiffract_plugin import crystal, gsasii
from alphadiffract_plugin.errors import GSASIIError, InputError
from alphadiffract_plugin.gsasii import rietveld, seeder
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.peaks.find_peaks import find_peaks
from alphadiffract_plugin.records import Candidate, IndexingResult, SeedReport
from alphadiffract_plugin.seeding import bundle
from alphadiffract_plugin.seeding.staging import with_esd
from alphadiffract_plugin.settings import SeedSettings, Settings

pytestmark = pytest.mark.gsasii

CELLS = {
    "pbso4_xray": (62, (8.4786, 5.3976, 6.9590, 90.0, 90.0, 90.0)),
    "pbso4_neutron": (62, (8.4647, 5.3884, 6.9467, 90.0, 90.0, 90.0)),
    "lab6_lab": (221, (4.15683,) * 3 + (90.0,) * 3),
    "lab6_ssrl": (221, (4.15683,) * 3 + (90.0,) * 3),
    "zincite_ssrl": (186, (3.2483, 3.2483, 5.2041, 90.0, 90.0, 120.0)),
    "mg2si_iucr": (225, (6.3347,) * 3 + (90.0,) * 3),
}
SIMPLE = {
    "lab6_lab": [("La", (0, 0, 0)), ("B", (0.207, 0.5, 0.5))],
    "lab6_ssrl": [("La", (0, 0, 0)), ("B", (0.207, 0.5, 0.5))],
    "zincite_ssrl": [("Zn", (1 / 3, 2 / 3, 0)), ("O", (1 / 3, 2 / 3, 0.375))],
    "mg2si_iucr": [("Mg", (0.25, 0.25, 0.25)), ("Si", (0, 0, 0))],
}
"""Atoms that follow from geometry: LaB6 with equal distances B-B (x = 0.207), ideal wurtzite (3/8), antifluorite."""
EXPERT = {"pbso4_xray": 9.95, "pbso4_neutron": 4.36, "lab6_lab": 8.42, "lab6_ssrl": 10.19, "zincite_ssrl": 11.99}
EXPERT |= {"mg2si_iucr": 6.01}
"""Rwp in per cent that ``bench/rietveld_from_scratch.py`` reaches on the same points, without Le Bail."""
POLAR = (8.4786, 6.9590, 5.3976, 90.0, 90.0, 90.0)
"""Anglesite in P n a 21, a subgroup in which z of the origin is free."""


def candidate_of(space_group, cell):
    symbol, system = crystal.symbol_from_space_group(space_group), crystal.crystal_system_from_space_group(space_group)
    return Candidate(cell, (math.nan,) * 6, space_group, symbol, system, 0.9, m20=40.0)


def answer(pattern, *candidates):
    return IndexingResult(pattern.name, "by hand", pattern.wavelength, candidates, find_peaks(pattern))


def atoms_of(name):
    return [gsasii.Atom(element, element, tuple(map(float, xyz))) for element, xyz in SIMPLE[name]]


def opened(path):
    with gsasii.quiet():
        return gsasii.scriptable().G2Project(gpxfile=str(path))


def leaves(tree, path=()):
    """Path and bytes of everything in a project."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else None
    if items is None:
        whole = (np.ma.getdata(tree).tobytes(), np.ma.getmaskarray(tree).tobytes())
        yield path, pickle.dumps((tree.dtype, tree.shape, whole) if isinstance(tree, np.ndarray) else tree)
    else:
        yield path, type(tree)
        for key, value in items:
            yield from leaves(value, (*path, key))


def differences(before, after):
    """Paths at which two projects differ, in value, type, or a single bit of an array."""
    one, other = dict(leaves(before)), dict(leaves(after))
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


def up_to(pattern, two_theta):
    low = pattern.two_theta <= two_theta
    columns = {name: getattr(with_esd(pattern), name)[low] for name in ("two_theta", "intensity", "esd")}
    return dataclasses.replace(pattern, **columns)


@pytest.fixture(scope="module")
def cifs(examples, tmp_path_factory):
    """CIF of anglesite, on the axes of P b n m, and one with lead and sulfur exchanged."""
    folder = tmp_path_factory.mktemp("cifs")
    text = (examples / "anglesite.cif").read_text()
    (folder / "anglesite.cif").write_text(text)
    (folder / "exchanged.cif").write_text(text.replace("\nPb Pb", "\nPb S").replace("\nS S", "\nS Pb"))
    return folder


@pytest.fixture(scope="module")
def seeded(tmp_path_factory, request):
    """The file of the seeded project of a pattern, fitted by Le Bail once a session: ``seeded("lab6_lab")``."""
    folder, made = tmp_path_factory.mktemp("seeded"), {}

    def make(name):
        if name not in made:
            pattern = request.getfixturevalue(name)
            result = answer(pattern, candidate_of(*CELLS[name]))
            report = seeder.seed(pattern, result, folder / name, Settings())
            assert report.converged and report.method == "Le Bail"
            made[name] = Path(report.target)
        return made[name]

    return make


@pytest.fixture
def mine(seeded, tmp_path):
    """A copy of a seeded project, open: ``mine("lab6_lab")`` is project, histogram and phase."""

    def load(name):
        project = opened(shutil.copy(seeded(name), tmp_path / f"{name}.gpx"))
        return project, project.histograms()[0], project.phases()[0]

    return load


def test_anglesite_goes_from_le_bail_to_rietveld_as_an_expert_would(mine, cifs):
    project, histogram, phase = mine("pbso4_xray")
    before = Path(project.filename).read_bytes()
    report = gsasii.to_rietveld(project, histogram, phase, cifs / "anglesite.cif")
    steps = dict(report.steps)
    assert list(steps)[:3] == ["atoms", "scale", "background"], "the scale comes first and alone"
    assert steps["background"] < 20, "at once: most is explained before any atom has moved"
    assert report.converged and report.method == "Rietveld"
    assert report.rwp <= 1.02 * EXPERT["pbso4_xray"], "an expert reaches 9.97 % from the seeded project"
    assert SeedReport.from_json(report.to_json()) == report
    x, y, _ = phase.atom("Pb").coordinates
    assert min(x, 1 - x) == pytest.approx(0.1878, abs=1e-3) and y in (0.25, 0.75), "on the axes of P n m a"
    assert [atom.refinement_flags for atom in phase.atoms()] == ["XU"] * 5
    assert phase.data["Histograms"][histogram.name]["LeBail"] is False
    assert histogram.get_wR() == pytest.approx(report.rwp, rel=1e-6)
    assert phase.get_cell_and_esd()[1]["length_a"] == pytest.approx(report.cell_esd[0])
    assert 0 < report.cell_esd[0] < 1e-3
    assert "Rietveld refinement of candidate_1 converged" in project.data["Notebook"]["data"][-1]
    assert Path(project.filename).read_bytes() == before, "only gsasii.save writes"
    assert [path.name for path in Path(project.filename).parent.iterdir()] == ["pbso4_xray.gpx"]
    gsasii.save(project)
    with gsasii.quiet():
        project.refine()
    assert histogram.get_wR() == pytest.approx(report.rwp, rel=0.005), "GSAS-II goes on from where it ended"


def test_exchanged_atoms_do_not_explain_the_intensities_and_change_nothing(mine, cifs):
    project, histogram, phase = mine("pbso4_xray")
    before = opened(project.filename)
    report = gsasii.to_rietveld(project, histogram, phase, cifs / "exchanged.cif")
    assert not report.converged
    assert report.notes[0].startswith("The atoms do not explain the intensities: Rwp is ")
    assert report.rwp > 2 * EXPERT["pbso4_xray"]
    assert not differences(before.data, project.data)


@pytest.mark.parametrize("name", SIMPLE)
def test_simple_structures_come_as_far_as_an_experts_script(mine, name):
    project, histogram, phase = mine(name)
    report = gsasii.to_rietveld(project, histogram, phase, atoms_of(name))
    assert report.converged
    assert report.rwp <= 1.1 * EXPERT[name]
    flags = {atom.label: atom.refinement_flags for atom in phase.atoms()}
    free = {"lab6_lab": "B", "lab6_ssrl": "B", "zincite_ssrl": "O"}.get(name)
    assert {label for label, flag in flags.items() if "X" in flag} == {free} - {None}, "what symmetry leaves free"


def test_elements_that_are_nearly_alike_get_a_note(mine):
    project, histogram, phase = mine("mg2si_iucr")
    magnesium, silicon = atoms_of("mg2si_iucr")
    wrong = [dataclasses.replace(magnesium, element="Si"), dataclasses.replace(silicon, element="Mg")]
    report = gsasii.to_rietveld(project, histogram, phase, wrong)
    assert report.rwp > 1.5 * EXPERT["mg2si_iucr"]
    assert any(note.startswith("The atoms explain the intensities only in part: Rwp is ") for note in report.notes)


def test_neutrons_see_the_same_atoms(mine, cifs):
    project, histogram, phase = mine("pbso4_neutron")
    report = gsasii.to_rietveld(project, histogram, phase, cifs / "anglesite.cif")
    assert report.converged
    assert report.rwp <= 1.1 * EXPERT["pbso4_neutron"]


def test_a_free_origin_is_held_by_the_heaviest_atom(pbso4_xray, tmp_path, monkeypatch):
    pattern = up_to(pbso4_xray, 60)
    quick = Settings(seed=SeedSettings(cycles=2))
    report = seeder.seed(pattern, answer(pattern, candidate_of(33, POLAR)), tmp_path / "gsasii", quick)
    project = opened(report.target)
    histogram, phase = project.histograms()[0], project.phases()[0]
    # P n a 21 from P n m a: its axes are a, c and b; O3 has two sites
    here = {
        "Pb": (0.188, 0.167, 0.25),
        "S": (0.065, 0.684, 0.25),
        "O1": (0.908, 0.595, 0.25),
        "O2": (0.194, 0.543, 0.25),
    }
    here |= {"O3": (0.081, 0.809, 0.027), "O4": (0.081, 0.809, 0.473)}
    atoms = [gsasii.Atom(label, label.rstrip("1234"), xyz) for label, xyz in here.items()]
    for _ in range(2):
        gsasii.to_rietveld(project, histogram, phase, atoms, cycles=2)
        held = [[str(term[1]) for term in one[:-3]] for one in project.data["Constraints"]["data"]["Phase"]]
        assert held == [["0::dAz:0"]], "once, also when the atoms are replaced"
    assert phase.atom("Pb").coordinates[2] == 0.25


def test_another_crystal_is_refused_and_says_what_differs(mine, cifs, tmp_path):
    project, histogram, phase = mine("lab6_lab")
    before = opened(project.filename)
    said = r"is not the crystal of phase candidate_1: the cells differ: .*P b n m, 6\.959 8\.482 5\.398"
    with pytest.raises(InputError, match=said):
        gsasii.to_rietveld(project, histogram, phase, cifs / "anglesite.cif")
    with pytest.raises(InputError, match="there are no atoms"):
        gsasii.to_rietveld(project, histogram, phase, [])
    with pytest.raises(InputError, match="'Qq' of atom Q is not an element"):
        gsasii.to_rietveld(project, histogram, phase, [gsasii.Atom("Q", "Qq", (0.0, 0.0, 0.0))])
    with pytest.raises(InputError, match="the coordinates of atom La are not numbers"):
        gsasii.to_rietveld(project, histogram, phase, [gsasii.Atom("La", "La", (math.nan, 0.0, 0.0))])
    assert not differences(before.data, project.data)


@pytest.fixture
def busy(mine, zincite_ssrl, tmp_path):
    """The project of LaB6 with a second histogram that another phase refines, saved."""
    project, histogram, phase = mine("lab6_lab")
    pattern = up_to(zincite_ssrl, 40)
    write_xye(pattern, tmp_path / "zincite.xye")
    text = (
        "#GSAS-II instrument parameter file\nType:PXC\nBank:1.0\nLam:0.729568\nZero:0.0\nPolariz.:0.99\nAzimuth:0.0\n"
    )
    (tmp_path / "zincite.instprm").write_text(text + "SH/L:0.002\nU:1.0\nV:0.0\nW:1.0\nX:1.0\nY:1.0\nZ:0.0\n")
    with gsasii.quiet():
        other = project.add_powder_histogram(
            str(tmp_path / "zincite.xye"), str(tmp_path / "zincite.instprm"), fmthint="Topas xye"
        )
        zincite = project.add_phase(
            phasename="zincite", spacegroup="P 63 m c", cell=list(CELLS["zincite_ssrl"][1]), histograms=[other]
        )
        for atom in atoms_of("zincite_ssrl"):
            zincite.add_atom(*atom.xyz, atom.element, atom.label)
        project.set_Controls("cycles", 2)
        project.refine()
        project.data["Notebook"]["data"].append("Tuesday: the sample holder was changed.")
    gsasii.save(project)
    for path in tmp_path.iterdir():
        if path.suffix != ".gpx" or ".bak" in path.name:
            path.unlink()
    return project, histogram, phase, Path(project.filename)


OURS = {"data", "Limits", "Background", "Instrument Parameters", "Sample Parameters", "Reflection Lists"}


def test_everything_that_is_not_ours_stays_to_the_byte(busy):
    project, histogram, phase, path = busy
    before, bytes_before = opened(path), path.read_bytes()
    report = gsasii.to_rietveld(project, histogram, phase, atoms_of("lab6_lab"))
    assert report.converged
    assert path.read_bytes() == bytes_before
    for changed in differences(before.data, project.data):
        ours = changed[0] == histogram.name and changed[1] in OURS
        assert ours or changed[:2] == ("Phases", phase.name) or changed[:2] == ("Notebook", "data"), changed
    assert project.data["Notebook"]["data"][:-1] == before.data["Notebook"]["data"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("first", [1, 2, 9])
def test_a_refinement_that_fails_changes_nothing(busy, monkeypatch, refusing, first, raises):
    project, histogram, phase, path = busy
    before, failing = opened(path), refusing(first, raises)
    monkeypatch.setattr(rietveld, "refine_function", lambda: failing)
    report = gsasii.to_rietveld(project, histogram, phase, atoms_of("lab6_lab"), cycles=1)
    assert not report.converged
    assert any(("KeyError: 'RefList'" if raises else "Invalid metric tensor") in note for note in report.notes)
    assert SeedReport.from_json(report.to_json()) == report
    assert not differences(before.data, project.data)
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_while_values_are_taken_over_changes_nothing(busy, monkeypatch):
    project, histogram, phase, path = busy
    before = opened(path)
    monkeypatch.setattr(rietveld, "_take_over_covariance", lambda *_: 1 / 0)
    with pytest.raises(GSASIIError, match="could not refine the phase: ZeroDivisionError"):
        gsasii.to_rietveld(project, histogram, phase, atoms_of("lab6_lab"))
    assert not differences(before.data, project.data)
    assert phase.data is project.data["Phases"][phase.name]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_gsasii_rietveld import atoms_of, opened
from alphadiffract_plugin import gsasii
from alphadiffract_plugin.gsasii import rietveld
real, calls = gsasii.refine_function(), []
def refine(*arguments, **more):
    calls.append(1)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **more)
rietveld.refine_function = lambda: refine
project = opened(sys.argv[2])
gsasii.to_rietveld(project, project.histograms()[0], project.phases()[0], atoms_of("lab6_lab"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("call", [1, 5, 12])
def test_a_killed_process_leaves_the_file_whole(busy, call):
    *_, path = busy
    before = path.read_bytes()
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(path), str(call)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_histogram_that_another_phase_refines_is_refused(busy):
    project, histogram, phase, _ = busy
    with gsasii.quiet():
        project.link_histogram_phase(histogram, "zincite")
    before = str(project.data)
    with pytest.raises(GSASIIError, match="phase zincite is in use on PWDR lab6_lab.* as well"):
        gsasii.to_rietveld(project, histogram, phase, atoms_of("lab6_lab"))
    with pytest.raises(GSASIIError, match="phase zincite is refined against PWDR zincite.* as well"):
        gsasii.to_rietveld(project, histogram, project.phase("zincite"), atoms_of("zincite_ssrl"))
    with pytest.raises(GSASIIError, match="phase candidate_1 is not linked to PWDR zincite"):
        gsasii.to_rietveld(project, project.histograms()[1], phase, atoms_of("lab6_lab"))
    assert str(project.data) == before


LAB6 = """data_lab6
_cell_length_a 4.157
_cell_length_b 4.157
_cell_length_c 4.157
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
La1 {lanthanum} 0 0 0
B1 {boron} 0.207 0.5 0.5
"""


@pytest.fixture
def written(lab6_lab, data, tmp_path):
    """An answer for LaB6 with a wrong cell first, and a CIF of LaB6, as files for the command line."""
    wrong, right = candidate_of(221, (8.0,) * 3 + (90.0,) * 3), candidate_of(*CELLS["lab6_lab"])
    (tmp_path / "answer.json").write_text(answer(lab6_lab, wrong, right).to_json())
    (tmp_path / "lab6.cif").write_text(LAB6.format(lanthanum="La", boron="B"))
    (tmp_path / "exchanged.cif").write_text(LAB6.format(lanthanum="B", boron="La"))
    return ("seed", tmp_path / "answer.json", data / "lab6_lab.xye", "--wavelength", "CuKa", "-o", tmp_path / "out")


def test_the_command_seed_goes_on_to_rietveld(written, cli, tmp_path):
    done = cli(*written, "--seed", "gsasii", "--rietveld", tmp_path / "lab6.cif")
    assert done.code == 0, done.err
    assert "Rietveld converged at Rwp 8." in done.out
    report = SeedReport.from_json((tmp_path / "out" / "lab6_lab" / "gsasii.json").read_text())
    assert [what for what, _ in report.steps if what.startswith("Rietveld")][:2] == [
        "Rietveld: atoms",
        "Rietveld: scale",
    ]
    project = opened(report.target)
    first, second = project.phases()
    assert first.get_cell()["length_a"] == pytest.approx(4.1568, abs=2e-3), "the candidate of the structure is first"
    assert [atom.label for atom in first.atoms()] == ["La1", "B1"]
    assert not second.atoms()
    assert project.histograms()[0].get_wR() == pytest.approx(report.rwp, rel=1e-6)
    assert first.get_cell_and_esd()[1]["length_a"] == pytest.approx(report.cell_esd[0])


def test_the_command_seed_keeps_the_le_bail_fit_where_the_atoms_are_wrong(written, cli, tmp_path):
    done = cli(*written, "--seed", "gsasii", "--rietveld", tmp_path / "exchanged.cif")
    assert done.code == 0, done.err
    assert "Le Bail converged at Rwp 8." in done.out
    said = " ".join(done.err.split())
    assert "The Rietveld refinement did not converge; the project is as the Le Bail fit left it." in said
    assert "The atoms do not explain the intensities" in said
    project = opened(tmp_path / "out" / "lab6_lab" / "gsasii" / "lab6_lab.gpx")
    assert not project.phases()[0].atoms()
    assert project.phases()[0].data["Histograms"][project.histograms()[0].name]["LeBail"] is True


def test_the_command_line_refuses_what_cannot_be_refined_before_it_starts(written, cli, cifs, tmp_path):
    plain = cli(*written, "--rietveld", tmp_path / "lab6.cif")
    assert plain.code == 2
    assert "--rietveld needs the seeder gsasii" in plain.err
    none = cli(*written, "--seed", "gsasii", "--rietveld", tmp_path / "nowhere.cif")
    assert none.code == 2
    assert "cannot be read" in " ".join(none.err.split()) or "that can be read" in " ".join(none.err.split())
    other = cli(*written, "--seed", "gsasii", "--rietveld", cifs / "anglesite.cif")
    assert other.code == 2
    assert "is the crystal of none of the 2 candidates" in " ".join(other.err.split())
    assert not (tmp_path / "out" / "lab6_lab").exists()


def test_the_bundles_second_script_goes_on_to_rietveld(lab6_lab, written, cifs, tmp_path):
    folder = tmp_path / "bundle"
    bundle.seed(lab6_lab, answer(lab6_lab, candidate_of(*CELLS["lab6_lab"])), folder, Settings())
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(gsasii.find().folder.parent)}

    def run(script, *arguments):
        command = [sys.executable, str(folder / script), *map(str, arguments)]
        return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=1800)

    early = run("make_rietveld.py", tmp_path / "lab6.cif")
    assert early.returncode == 1 and "Run make_project.py first." in early.stderr
    assert run("make_project.py").returncode == 0
    other = run("make_rietveld.py", cifs / "anglesite.cif")
    assert other.returncode == 1
    assert "anglesite.cif is not the crystal of phase candidate_1: the cells differ" in other.stderr
    wrong = run("make_rietveld.py", tmp_path / "exchanged.cif")
    assert wrong.returncode == 1
    assert "The atoms do not explain the intensities" in wrong.stdout and "Nothing was written." in wrong.stderr
    right = run("make_rietveld.py", tmp_path / "lab6.cif")
    assert right.returncode == 0, right.stderr
    assert "Rietveld converged at Rwp 8." in right.stdout
    made = opened(folder / "lab6_lab_rietveld.gpx")
    assert made.histograms()[0].get_wR() <= 1.02 * EXPERT["lab6_lab"]
    assert [atom.label for atom in made.phases()[0].atoms()] == ["La1", "B1"]
    assert not (folder / "__pycache__").exists()


def test_the_bundles_second_script_reads_a_structure_on_other_axes(pbso4_xray, cifs, tmp_path):
    pattern = up_to(pbso4_xray, 60)
    bundle.seed(pattern, answer(pattern, candidate_of(*CELLS["pbso4_xray"])), tmp_path, Settings())
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(gsasii.find().folder.parent)}
    for script, *arguments in (("make_project.py",), ("make_rietveld.py", str(cifs / "anglesite.cif"))):
        command = [sys.executable, str(tmp_path / script), *arguments]
        shown = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=1800)
        assert shown.returncode == 0, shown.stderr + shown.stdout
    assert "Rietveld converged" in shown.stdout
