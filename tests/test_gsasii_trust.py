"""Files from elsewhere: what would run code when GSAS-II opens it is refused, and nothing of it runs.

Each attack is shown to work first: an ordinary ``pickle.load`` makes a file named ``ran``, the check does not.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import pickletools
import random
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from alphadiffract_plugin import gsasii
from alphadiffract_plugin.errors import AlphaDiffractError, InputError, UntrustedFileError
from alphadiffract_plugin.gsasii import inert_pickle
from alphadiffract_plugin.gsasii.project import open_project
from alphadiffract_plugin.gsasii.trust import check_gpx, check_instprm
from alphadiffract_plugin.load import histogram_from_gsasii, write_xye
from alphadiffract_plugin.readers.instprm import instrument_from_instprm, instrument_from_parameters
from alphadiffract_plugin.records import Candidate
from alphadiffract_plugin.seeding.cif import cif_from_candidate
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram

INSTPRM = "#GSAS-II instrument parameter file\nType:PXC\nBank:1.0\nLam:1.5406\nZero:0.0\nPolariz.:0.7\nAzimuth:0.0\n"
INSTPRM += "SH/L:0.002\nU:2.0\nV:-2.0\nW:5.0\nX:0.0\nY:0.0\nZ:0.0\n"


class G2VarObj:
    """Looks like GSAS-II's class of the variables in constraints."""

    def __init__(self):
        self.phase, self.histogram, self.name, self.atom = 1, None, "Afrac", 2


def project_parts(protocol=1):
    """The pickles of a project as GSAS-II saves them: one list of [name, data] an item."""
    module = sys.modules["GSASIIobj"] = ModuleType("GSASIIobj")
    module.G2VarObj, G2VarObj.__module__ = G2VarObj, "GSASIIobj"
    x = np.ma.MaskedArray(np.arange(5.0), mask=[0, 1, 0, 0, 0])
    preferred = ["SH", 1.0, False, [0, 0, 1], 4, {"C(4,0,1)": 0.1}, ["0 0 1", ""], 0.1]
    try:
        return [
            pickle.dumps(part, protocol)
            for part in (
                [["Notebook", ["eval('what a person writes is no formula')"]]],
                [
                    [
                        "Constraints",
                        {"Hist": [], "Phase": [[[1.0, G2VarObj()], ["2*sin(0.5)", G2VarObj()], 0.0, None, "c"]]},
                    ]
                ],
                [["PWDR LaB6 (old)", [{"wR": np.float64(9.1)}, [x, x.data]]], ["Limits", [(1, 2), [1, 2]]]],
                [
                    ["Phases", None],
                    [
                        "LaB6",
                        {"Histograms": {"PWDR LaB6 (old)": {"Pref.Ori.": preferred}}, "ids": np.array(["a", None])},
                    ],
                ],
            )
        ]
    finally:
        del sys.modules["GSASIIobj"]


@pytest.fixture
def saved(tmp_path):
    """Write the parts of a project, or any bytes, into a file."""

    def save(*parts, name="theirs.gpx"):
        (tmp_path / name).write_bytes(b"".join(parts))
        return tmp_path / name

    return save


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_scalars_masks_and_variables_of_constraints_are_what_a_project_holds(saved, protocol):
    check_gpx(saved(*project_parts(protocol)))


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def through_a_name(module, name, *arguments):
    """A call, by protocol 4, of a name with dots in it: what a module has imported, or a method."""
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93" + pickle.dumps(arguments, 4)[2:-1] + b"R."


def attacks(ran):
    """By name: bytes that make the file ``ran`` when they are unpickled."""
    code = f"open({str(ran)!r}, 'w')"
    touch = f'type nul > "{ran}"' if os.name == "nt" else f"touch '{ran}'"
    item = lambda thing, protocol=1: pickle.dumps([["Controls", {"data": thing}]], protocol)  # noqa: E731
    evil = ModuleType("evil")

    class Evil:
        def __new__(cls, *state):
            for name in state:
                open(name, "w").close()
            return object.__new__(cls)

        def __setstate__(self, state):
            open(state, "w").close()

    evil.Evil = Evil
    sys.modules["evil"] = evil
    copyreg.add_extension("os", "system", 240) if ("os", "system") not in copyreg._extension_registry else None
    text, path = (b"X" + struct.pack("<I", len(word)) + word.encode() for word in (touch, str(ran)))
    return {
        "os.system": item(Calls(os.system, touch)),
        "os.system by protocol 0": item(Calls(os.system, touch), 0),
        "os.system by STACK_GLOBAL": item(Calls(os.system, touch), 4),
        "eval": item(Calls(eval, code)),
        "exec": item(Calls(exec, code), 2),
        "open": item(Calls(open, str(ran), "w")),
        "deep in a tuple": item([{"a": ((), (Calls(eval, code),))}]),
        "as a key": item({Calls(eval, f"str({code})"): 1}),
        "a method of numpy": through_a_name("numpy", "ndarray.tofile", np.zeros(1), str(ran)),
        "what numpy imports": through_a_name("numpy", "lib._npyio_impl.os.system", touch),
        "numpy.savetxt": item(Calls(np.savetxt, str(ran), [1.0])),
        "numpy.memmap": item(Calls(np.memmap, str(ran), "u1", "w+", 0, 8)),
        "copyreg of another class": b"ccopyreg\n_reconstructor\n(cevil\nEvil\ncevil\nEvil\n" + path + b"tR.",
        "a state that is set": b"cevil\nEvil\n)\x81" + path + b"b.",
        "INST": b"(" + text + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text + b"o.",
        "an extension": b"\x80\x02\x82\xf0(" + text + b"tR.",
        "behind what is thrown away": b"cos\nsystem\n(" + text + b"tR0" + item([]),
    }


@pytest.mark.parametrize("attack", sorted(attacks(Path("ran"))))
@pytest.mark.parametrize("place", ["alone", "behind a good project"])
def test_a_project_that_runs_something_is_refused_and_nothing_runs(saved, tmp_path, attack, place):
    ran = tmp_path / "ran"
    payload = attacks(ran)[attack]
    try:
        pickle.loads(payload)
    except Exception:  # what has run may return what the rest of the pickle cannot use
        pass
    assert ran.exists(), "this attack does not work: the test would prove nothing"
    ran.unlink()
    path = saved(*(project_parts() if place != "alone" else []), payload)
    with pytest.raises(
        UntrustedFileError, match=r"theirs\.gpx: this project .*could run code\n  How to fix it: do not open it"
    ):
        check_gpx(path)
    with pytest.raises(UntrustedFileError):
        open_project(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"Pan id\n.", "reaches outside itself by PERSID"),
        (b"X\x01\x00\x00\x00aQ.", "reaches outside itself by BINPERSID"),
        (b"\x80\x02\x83\x00\x01.", "reaches outside itself by EXT2"),
        (b"]r\xff\xff\xff\x7f.", "asks for a store larger than itself"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00bz2tR.", "encodes as"),
        (b"cnumpy\ndtype\n(X\x04\x00\x00\x00O,f8I00\nI01\ntR.", "holds an array of"),
        (
            b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8I00\nI01\ntR(I3\nX\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
            "gives dtype a state",
        ),
        (b"cnumpy\nndarray\n(K\x01tR.", "makes a bare ndarray"),
        (b"cnumpy.ma.core\nMaskedArray\n)\x81}b.", "makes a bare MaskedArray"),
        (b"c__builtin__\nobject\n)R.", "makes a bare object"),
        (
            b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.",
            "rebuilds an object that is not a variable",
        ),
        (b"cGSASIIobj\nG2VarObj\n)\x81(N}tb.", "gives G2VarObj a state"),
        (b"cGSASIIobj\nExpressionObj\n)\x81.", "names GSASIIobj.ExpressionObj"),
    ],
)
def test_other_tricks_of_pickle_are_refused(saved, payload, said):
    with pytest.raises(UntrustedFileError, match=said):
        check_gpx(saved(*project_parts(), payload))


def of_hap(preferred, key="Pref.Ori."):
    """A part with a phase whose histogram has this preferred orientation."""
    return [["Phases", None], ["a", {"Histograms": {"h": {key: preferred}}}]]


def of_constraints(*constraints, kind="Hist"):
    return [["Constraints", {kind: list(constraints)}]]


def of_bond(*operations):
    return [["Restraints", {"1 + (2)": {"Bond": {"Bonds": [[[1, 2], list(operations), 1.5, 0.01]], "Use": True}}}]]


SH = ["SH", 1.0, False, [0, 0, 1], 4, {"C(4,1)": 0.1}]


@pytest.mark.parametrize(
    "part",
    [
        of_constraints([["__import__('os').getpid()", 1], [1.0, 2], None, None, "c"]),
        of_constraints([["(abs)(open)('x')", 1], None, None, "e"]),
        of_constraints([["1 + (\n(exit)())", 1], None, None, "e"]),
        of_constraints([["np.load(a)", 1], None, None, "e"]),
        of_constraints([["np . abs(2)", 1], None, None, "e"]),
        of_constraints([["2*0::A0", 1], None, None, "e"]),
        of_constraints([[b"exit()", 1], None, None, "e"]),
        of_constraints([{0: "exit()", 1: 2}, None, None, "e"]),
        of_constraints([("exit()", 1), None, None, "e"]),
        of_constraints([[["exit()"], 1], None, None, "e"]),
        of_constraints([["exit()", 1], None, None, "e"], kind="_Explain"),
        [["Constraints", {"Hist": ([["exit()", 1], None, None, "e"],)}]],
        [["Constraints", {"Hist": np.array([[["exit()", 1], None, None, "e"], None], dtype=object)[1:]}]],
        [["Constraints", {"Hist": {("exit()", 1): 1}}]],
        [["Constraints", {"Hist": []}], ["data", {"Hist": [[["exit()", 1], None, None, "e"]]}]],
        [["Constraints", [[["exit()", 1], None, None, "e"]]]],
        of_hap([*SH, ["exit()"], 0.1]),
        of_hap([*SH, ("exit()",), 0.1]),
        of_hap((*SH, ["exit()"], 0.1)),
        of_hap([*SH, {"exit()": 1}, 0.1]),
        of_hap([*SH, [["exit()"]], 0.1]),
        of_hap([*SH, np.array(["0 0 1", None]), 0.1]),
        of_hap({0: "SH", 6: ["exit()"]}),
        of_hap(["SH", 1.0, False, [], 4, {"C(exit())": 0.1}]),
        of_hap([{"C(4,0,exit())": 0.1}], "SHC"),
        of_hap({0: {"C(4,0,exit())": 0.1}}, "SHC"),
        [["Phases", None], ["a", {"General": {"SH Texture": {"SH Coeff": [True, {"C(4,0,exit())": 0.5}]}}}]],
        [["Phases", None], ["a", {"General": {"SH Texture": {"SH Coeff": (True, {"C(4,0,exit())": 0.5})}}}]],
        [["Phases", None], ["a", {"Drawing": {"Atoms": [["O1", "1+exit(),0,0"]]}}]],
        [["Phases", None], ["a", {"General": {"MCSA controls": {"Algorithm": "exit() or fast"}}}]],
        [["Phases", None], ["a", {"RMC": {"PDFfit": {"AtomConstr": [["O1", "O", "exit()+@1", "", "", "", ""]]}}}]],
        [["Phases", None], ["a", {"Deformations": {7: [[], {"kappa": [1.0], " exit() or D(2,0)": [0.1]}]}}]],
        of_bond("1", "1+exit(),0,0"),
        of_bond("1", "1+0,0,1+exit()"),
        [["Restraints", {"a": {"Bond": {"Bonds": [[[1, 2], {"1": 1, "2+exit()": 1}, 1.5, 0.01]]}}}]],
        [["Restraints", {"a": {"Bond": {"Bonds": {((1, 2), ("1", "2+exit()"), 1.5, 0.01): 1}}}}]],
        [["Restraints", {"a": {"Bond": {"Bonds": [[[1, 2], np.array(["1", "2+exit()"], dtype=object), 1, 1]]}}}]],
        [["Controls", {"data": {"a": [np.ndarray]}}]],
    ],
)
def test_a_formula_that_is_no_arithmetic_is_refused(saved, part):
    with pytest.raises(UntrustedFileError, match="which GSAS-II would evaluate"):
        check_gpx(saved(*project_parts(), pickle.dumps(part, 1)))


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (np.array(["exit()"])[0], r"holds an array of \('U6',\)"),
        (np.array([b"exit()"])[0], r"holds an array of \('S6',\)"),
        (np.array(["exit()"]), r"holds an array of \('U6',\)"),
        (np.array([["exit()"], None], dtype=object), "gives _reconstruct a state"),
        (np.array([{"Pref.Ori.": 1}, None]), "gives _reconstruct a state"),
    ],
)
@pytest.mark.parametrize("protocol", [1, 4])
def test_what_could_hide_a_formula_is_refused(saved, thing, said, protocol):
    for part in (of_hap([*SH, [thing], 0.1]), of_constraints([[thing, 1], None, None, "e"]), [["Controls", thing]]):
        with pytest.raises(UntrustedFileError, match=said):
            check_gpx(saved(*project_parts(), pickle.dumps(part, protocol)))


def test_a_formula_in_a_set_is_refused(saved):
    bonds = {"Bonds": [[[1, 2], {"1", "2+exit(),0,0"}, 1.5, 0.01]], "Use": True}
    with pytest.raises(UntrustedFileError, match="which GSAS-II would evaluate"):
        check_gpx(saved(*project_parts(), pickle.dumps([["Restraints", {"a": {"Bond": bonds}}]], 4)))


def test_a_scalar_that_is_a_text_or_an_object_is_refused(saved):
    scalar = (
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00O8I00\nI01\ntRX\x06\x00\x00\x00exit()tR."
    )
    with pytest.raises(UntrustedFileError, match="holds a scalar that is not a number"):
        check_gpx(saved(*project_parts(), scalar))


@pytest.mark.parametrize(
    "part",
    [
        of_constraints([[text, 1], [np.float64(2), 2], 1.0, None, "c"])
        for text in ("1/3", "-2.5e-3*(1+.5)", "2*np.cos(np.pi/4)", "sqrt(2)", "2**10", "3*sind(45.)", "")
    ]
    + [
        of_hap([*SH, ["0 0 1", "1 -1 0", ""], 0.1]),
        of_hap(["MD", 1.0, False, [0, 0, 1], 0, {}, [""], 0.1]),
        of_hap([{"C(2,0)": [0.1, 1.0, False], "C(4,1)c": [0.1, 1.0, False]}, {}], "SHC"),
        of_bond("1", "-2+0,0,-1"),
        [["Phases", None], ["a", {"Deformations": {7: [["(free) text"], {"kappa": [1.0], "D(2,-1)": [0.1]}]}}]],
        [["Phases", None], ["a", {"General": {"MCSA controls": {"Algorithm": "Basin Hopping"}}}]],
        [
            ["Phases", None],
            ["a", {"RMC": {"PDFfit": {"AtomConstr": [["O1 (a)", "O-2", "0.5-@12", "0.25", "", "", ""]]}}}],
        ],
        [["Notebook", ["2+2 people measured (at night)"]]],
        [["Constraints", {"Hist": [], "_seqmode": "auto", "_Explain": {"0::A0": "by hand (lattice)"}}]],
    ],
)
def test_arithmetic_and_what_people_write_passes(saved, part):
    check_gpx(saved(*project_parts(), pickle.dumps(part, 1)))


def test_a_long_number_takes_no_long_time(saved):
    part = of_constraints([["1" * 50_000 + "x", 1], None, None, "c"], [["1." * 50_000 + "x", 1], None, None, "c"])
    with pytest.raises(UntrustedFileError):
        check_gpx(saved(*project_parts(), pickle.dumps(part, 1)))


@pytest.fixture(scope="module")
def lab6_project(tmp_path_factory):
    """A project of one pattern and one phase, as GSAS-II itself makes it."""
    path = tmp_path_factory.mktemp("lab6") / "lab6.gpx"
    two_theta = np.arange(20.0, 60.0, 0.05)
    (path.parent / "a.xye").write_text("".join(f"{x:.2f} 100.0 10.0\n" for x in two_theta))
    (path.parent / "a.instprm").write_text(INSTPRM)
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(path))
        files = [str(path.parent / name) for name in ("a.xye", "a.instprm")]
        pattern = project.add_powder_histogram(*files, fmthint="Topas xye")
        cell = [4.15683, 4.15683, 4.15683, 90.0, 90.0, 90.0]
        phase = project.add_phase(phasename="LaB6", spacegroup="P m -3 m", cell=cell, histograms=[pattern])
        for name in ("La1", "La2"):
            phase.add_atom(0.0, 0.0, 0.5 * (name == "La2"), "La", name)
        project.save()
    return path


def with_constraint(multiplier, all_of=list, one=list):
    def forge(project):
        size, strain = (project.make_var_obj(name) for name in ("0:0:Size;i", "0:0:Mustrain;i"))
        constraint = one([[multiplier, size], [1.0, strain], 1.0, None, "c"])
        project.data["Constraints"]["data"]["HAP"] = all_of([constraint])

    return forge


def with_directions(directions, key="Pref.Ori."):
    def forge(project):
        hap = next(iter(project.phase(0).data["Histograms"].values()))
        del hap["Pref.Ori."]
        hap[key] = [*SH, directions, 0.1]

    return forge


def with_value_in_formula(code):
    def forge(project):
        with_constraint("1*0:0:Scale")(project)
        next(iter(project.phase(0).data["Histograms"].values()))["Scale"] = [code, False]

    return forge


def with_operation(code):
    def forge(project):
        ids = [atom.ranId for atom in project.phase(0).atoms()]
        bonds = {"Bonds": [[ids, ["1", f"1+{code},0,0"], 2.0, 0.01]], "Use": True, "wtFactor": 1.0, "Range": 1.2}
        project.data["Restraints"]["data"]["LaB6"] = {"Bond": bonds}

    return forge


def with_array(code):
    def forge(project):
        hap = next(iter(project.phase(0).data["Histograms"].values()))
        hap["Pref.Ori."] = np.array([*SH, [code], 0.1], dtype=object)

    return forge


MALICIOUS = {
    "a multiplier": lambda code: with_constraint(code),
    "constraints in a tuple": lambda code: with_constraint(code, all_of=tuple),
    "a constraint that is a tuple": lambda code: with_constraint(code, one=tuple),
    "a text of numpy as multiplier": lambda code: with_constraint(np.array([code])[0]),
    "the value of a parameter in a formula": with_value_in_formula,
    "directions in a tuple": lambda code: with_directions((code,)),
    "a text of numpy as direction": lambda code: with_directions([np.array([code])[0]]),
    "a text of numpy as key": lambda code: with_directions([code], np.array(["Pref.Ori."])[0]),
    "an array of objects": with_array,
    "the operation of a restraint": with_operation,
}


@pytest.mark.gsasii
@pytest.mark.parametrize("how", MALICIOUS)
def test_a_malicious_project_that_gsasii_would_run_in_a_refinement_is_refused(lab6_project, tmp_path, how):
    ran, path = tmp_path / "ran", tmp_path / "theirs.gpx"
    code = f"[1.0,open({str(ran)!r},'w')][0]"
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(gpxfile=str(lab6_project))
        MALICIOUS[how](code)(project)
        project.filename = str(path)
        project.save()
    with pytest.raises(UntrustedFileError, match="this project"):
        check_gpx(path)
    assert not ran.exists()
    try:
        with gsasii.quiet():
            project = gsasii.scriptable().G2Project(gpxfile=str(path))
            project.set_Controls("cycles", 0)
            project.refine(makeBack=False)
    except Exception:  # what has run may return what the rest of GSAS-II cannot use
        pass
    assert ran.exists(), "this attack does not work: the test would prove nothing"


def test_what_is_no_whole_project_is_said_and_is_no_traceback(saved, tmp_path):
    parts = project_parts()
    whole = b"".join(parts)
    for content, said in (
        (b"", "is empty"),
        (b"2theta counts\n10.0 5.0\n", "is not a GSAS-II project"),
        (b'{"record": "IndexingResult"}', "is not a GSAS-II project"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)), "is not a GSAS-II project"),
        (pickle.dumps({"Notebook": []}, 1), "is not a GSAS-II project"),
        (pickle.dumps([[1, 2]], 1), "is not a GSAS-II project"),
        (whole[:-10], f"is damaged after byte {len(whole) - len(parts[-1])}"),
        (whole + b"\x00\x00", f"is damaged after byte {len(whole)}"),
    ):
        with pytest.raises(InputError, match=said):
            check_gpx(saved(content))
    with pytest.raises(InputError, match="cannot be read"):
        check_gpx(tmp_path)


def test_a_project_with_flipped_bytes_never_ends_in_a_traceback(saved):
    whole = bytearray(b"".join(project_parts()))
    draw = random.Random(7)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            check_gpx(saved(bytes(content)))
        except AlphaDiffractError:
            refused += 1
    assert refused > 40


CODE = "open('{ran}', 'w')"
HIDDEN = {
    "plain": f"{INSTPRM}CorrectionCode:{CODE}\n",
    "with blanks": f"{INSTPRM} Correction Code : {CODE}\n",
    "behind another": INSTPRM.replace("Zero:0.0", f"Zero:0.0;CorrectionCode:{CODE}"),
    "behind what looks like a comment": f"{INSTPRM} #Note:1;CorrectionCode:{CODE}\n",
    "of several lines": f"{INSTPRM}CorrectionCode:'''\n{CODE}\n'''\n",
    "a comment behind a comment": INSTPRM.replace("\n", f"\n#Note:1;CorrectionCode:{CODE}\n", 1),
    "behind a form feed": f"{INSTPRM}Note:1\x0c#a;CorrectionCode:{CODE}\n",
    "behind a line separator": f"{INSTPRM}Note:1\u2028#a;CorrectionCode:{CODE}\n",
}


@pytest.mark.parametrize("how", HIDDEN)
def test_code_in_an_instrument_file_is_refused_and_does_not_run(cli, data, tmp_path, how):
    path, ran = tmp_path / "theirs.instprm", tmp_path / "ran"
    path.write_text(HIDDEN[how].format(ran=ran), encoding="utf-8")
    for open_it in (check_instprm, instrument_from_instprm):
        with pytest.raises(
            UntrustedFileError,
            match=r"theirs\.instprm, line \d+: .*CorrectionCode.*\n  How to fix it: read what it does",
        ):
            open_it(path)
    shown = cli("index", data / "zincite_ssrl.xy", "--wavelength", path, "--indexer", "instant")
    assert shown.code == 2
    assert "CorrectionCode" in shown.err
    assert not ran.exists()


@pytest.mark.gsasii
@pytest.mark.parametrize("how", HIDDEN)
def test_that_code_is_what_gsasii_would_run(data, tmp_path, how):
    path, ran = tmp_path / "theirs.instprm", tmp_path / "ran"
    path.write_text(HIDDEN[how].format(ran=ran), encoding="utf-8")
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "a.gpx"))
        project.add_powder_histogram(str(data / "pbso4_neutron.xye"), str(path), fmthint="Topas xye")
    assert ran.exists()


def test_a_harmless_instrument_file_passes_and_a_comment_on_code_is_refused_too(tmp_path):
    (tmp_path / "ours.instprm").write_text(INSTPRM + "#corrected by hand\n")
    check_instprm(tmp_path / "ours.instprm")
    (tmp_path / "noted.instprm").write_text(INSTPRM + "#CorrectionCode was here\n")
    with pytest.raises(UntrustedFileError, match=r"noted\.instprm, line 15: "):
        check_instprm(tmp_path / "noted.instprm")
    (tmp_path / "no.instprm").write_text("Type:PXC\n")
    with pytest.raises(InputError, match="first line does not say GSAS-II"):
        check_instprm(tmp_path / "no.instprm")


def test_code_goes_from_no_histogram_into_an_instrument_file(lab6_ssrl):
    for parameters in ({"CorrectionCode": "1"}, {"Correction Code": "1"}, {"Source": "tube\nCorrectionCode:1"}):
        with pytest.raises(UntrustedFileError, match="CorrectionCode"):
            instrument_from_parameters({"Type": "PXC", "Lam": 1.5, **parameters}, "a project")
        object.__setattr__(copy := type(lab6_ssrl).from_json(lab6_ssrl.to_json()), "instrument", parameters)
        with pytest.raises(UntrustedFileError, match="lab6_ssrl"):
            instprm_from_histogram(copy, None)


def test_code_in_an_open_project_goes_nowhere(lab6_ssrl):
    x = lab6_ssrl.two_theta
    parameters = {"Type": ["PXC", "PXC", 0], "Lam": [0.7, 0.7, 0], "CorrectionCode": ["exit()", "exit()", 0]}
    columns = [x, lab6_ssrl.intensity, np.ones(len(x))]
    data = {"data": [{}, columns], "Limits": [(x[0], x[-1]), [x[0], x[-1]]], "Instrument Parameters": [parameters, {}]}
    with pytest.raises(UntrustedFileError, match="PWDR theirs"):
        histogram_from_gsasii(SimpleNamespace(data=data, name="PWDR theirs"))


def test_the_command_says_safe_or_why_not(cli, saved, tmp_path):
    good, bad = saved(*project_parts(), name="ours.gpx"), saved(attacks(tmp_path / "ran")["eval"], name="theirs.gpx")
    assert cli("gsasii", "check", good).out == f"safe: {good}\n"
    shown = cli("gsasii", "check", good, bad, tmp_path / "a.txt")
    assert (shown.code, shown.out) == (2, f"safe: {good}\n")
    assert f"error: {bad}: this project names builtins.eval" in shown.err.replace("__builtin__", "builtins")
    assert "this file is neither .gpx nor .instprm" in shown.err
    assert not (tmp_path / "ran").exists()


def test_a_project_given_as_a_pattern_is_known_as_such(cli, saved):
    shown = cli("index", saved(*project_parts()), "--wavelength", "CuKa", "--indexer", "instant")
    assert shown.code == 2
    assert "this is a GSAS-II project, not a pattern\n  How to fix it: open it in a script" in shown.err


@pytest.mark.gsasii
def test_what_gsasii_itself_saves_is_safe(tmp_path, pbso4_xray):
    group = {"space_group": 62, "space_group_symbol": "P n m a", "crystal_system": "orthorhombic", "probability": 1.0}
    anglesite = Candidate(cell=(8.480, 5.398, 6.958, 90.0, 90.0, 90.0), cell_esd=(0.0,) * 6, **group)
    pattern = write_xye(pbso4_xray, tmp_path / "pbso4.xye")
    (tmp_path / "pbso4.instprm").write_text(instprm_from_histogram(pbso4_xray, None))
    (tmp_path / "pbso4.cif").write_text(cif_from_candidate(anglesite, 1).replace("X1 X ", "Pb1 Pb "))
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(tmp_path / "pbso4.gpx"))
        histogram = project.add_powder_histogram(str(pattern), str(tmp_path / "pbso4.instprm"), fmthint="Topas xye")
        project.add_phase(str(tmp_path / "pbso4.cif"), phasename="a", histograms=[histogram], fmthint="CIF")
        histogram.add_peak(100.0, ttheta=20.8)
        histogram.set_peakFlags(pos=True, area=True)
        histogram.refine_peaks()
        project.add_HoldConstr(["0::A0"])
        project.add_EqnConstr(1.0, ["0::Afrac:0", "0::AUiso:0"], [1.0, 2.0])
        histogram.set_refinements({"Background": {"no. coeffs": 3, "refine": True}})
        project.set_Controls("cycles", 1)
        project.refine()
    names = trust_names(tmp_path / "pbso4.gpx")
    assert {"GSASII.GSASIIobj G2VarObj", "numpy.ma MaskedArray"} <= names
    check_gpx(tmp_path / "pbso4.gpx")
    opened = open_project(tmp_path / "pbso4.gpx")
    assert [one.name for one in opened.phases()] == ["a"]


def trust_names(path):
    """All that the pickles of a project name."""
    stream, found = io.BytesIO(path.read_bytes()), set()
    while stream.tell() < path.stat().st_size:
        found |= {argument for op, argument, _ in pickletools.genops(stream) if op.name == "GLOBAL"}
    return found


@pytest.mark.gsasii
def test_a_project_opens_unchecked_only_when_that_is_asked_for(saved, tmp_path):
    path = saved(*project_parts(), attacks(tmp_path / "ran")["eval"])
    with pytest.raises(UntrustedFileError):
        open_project(path)
    assert not (tmp_path / "ran").exists()
    try:
        open_project(path, allow_code=True)
    except AlphaDiffractError:  # it is no project that GSAS-II can use
        pass
    assert (tmp_path / "ran").exists()


def test_the_names_allowed_are_few_and_none_opens_files():
    assert len(inert_pickle.ALLOWED) == 17
    assert not {
        name for name in inert_pickle.ALLOWED if name.split()[1] in ("load", "save", "memmap", "fromfile", "eval")
    }
