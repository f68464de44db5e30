"""The settings of the simulation: ranges that mean what they say, presets, and one's own instrument."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from alphadiffract_plugin.errors import InputError, RadiationError, SettingsError  # noqa: E402
from alphadiffract_plugin.models.simulation import patterns  # noqa: E402
from alphadiffract_plugin.models.simulation.effects import (  # noqa: E402
    PRESETS,
    SHARES,
    Effects,
    effects_from_instrument,
)

D8 = """#GSAS-II instrument parameter file
Type:PXC
Bank:1.0
Lam1:1.5405
Lam2:1.5443
I(L2)/I(L1):0.47
Zero:0.01
Polariz.:0.55
U:3.0
V:-2.0
W:5.0
X:1.5
Y:2.5
Z:0.0
SH/L:0.03
"""


def test_every_effect_has_a_range_that_holds_and_a_sentence_with_its_meaning():
    import inspect

    source = inspect.getsource(Effects)
    for field in dataclasses.fields(Effects):
        kind = {"Range": tuple, "float": float, "bool": bool}[field.type]
        assert isinstance(getattr(Effects(), field.name), kind), field.name
        declared = source.index(f"    {field.name}: ")
        assert '"""' in source[declared:].splitlines()[1], f"{field.name} has no docstring"


def test_one_number_is_a_range_of_that_value_and_a_toml_list_is_a_range():
    effects = Effects(zero=0, w=[1, 5], size=0.5)
    assert effects.zero == (0.0, 0.0) and effects.w == (1.0, 5.0) and effects.size == (0.5, 0.5)
    assert dataclasses.replace(effects, w=(2, 3)).size == (0.5, 0.5)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"w": [5, 1]}, "lowest and the highest"),
        ({"w": "wide"}, "0 switches it off"),
        ({"w": [1, 2, 3]}, "lowest and the highest"),
        ({"noise": [-0.1, 0.1]}, "values of at least 0"),
        ({"noise": float("nan")}, "a number"),
        ({"size": [0, 1]}, "begins above 0"),
        ({"cut_share": 1.5}, "from 0 to 1"),
        ({"strain": [-2, 2]}, "at most 0.5 in magnitude"),
        ({"b_iso": 1e6}, "at most 100 in magnitude"),
        ({"kalpha2_wavelength": 0}, "from 1 to 1.1"),
        ({"cut_low": 0.6}, "cut_low"),
        ({"polarisation": [0.5, 1.5]}, "within 0 to 1"),
        ({"log": 1}, "true or false"),
        ({"texture": True}, "a number"),
    ],
)
def test_an_impossible_range_is_refused_by_name_and_the_message_says_how_to_fix_it(changes, fix):
    with pytest.raises(SettingsError, match=f"(?s){next(iter(changes))}.*{fix}|{fix}"):
        Effects(**changes)


def test_the_paper_preset_is_the_paper_and_nothing_else():
    paper = PRESETS["paper"]
    assert (paper.microstrain, paper.size) == ((500.0, 10_000.0), (0.1, 1.0))
    assert (paper.u, paper.v, paper.w) == ((0.0, 3.0), (-1.0, 0.0), (0.0, 4.0))
    assert (paper.counts, paper.noise, paper.log) == ((1.0, 100.0), (1e-3, 1e-1), False)
    assert all(getattr(paper, share) == 0 for share in SHARES)
    others = (
        "strain",
        "dilation",
        "b_iso",
        "sh_l",
        "zero",
        "displacement",
        "jitter",
        "background",
        "leftover",
        "x",
        "y",
    )
    assert all(getattr(paper, name) == (0.0, 0.0) for name in others)
    assert paper.wavelength == pytest.approx(12.39842 / 20, abs=1e-4)


@pytest.mark.parametrize("log", [True, False])
def test_ranges_are_drawn_log_uniformly_or_uniformly_within_their_ends(log):
    effects = Effects(counts=(100, 10_000), zero=(-0.1, 0.3), log=log)
    draw = patterns.Draw(20_000, effects, torch.Generator().manual_seed(5))
    counts, zero = draw("counts"), draw("zero")
    assert counts.min() >= 100 and counts.max() <= 10_000.1
    assert counts.median().item() == pytest.approx(1000 if log else 5050, rel=0.05)
    assert zero.mean().item() == pytest.approx(0.1, abs=0.005)
    assert draw.occurs("kalpha2_share").mean().item() == pytest.approx(0.6, abs=0.02)


def test_ones_own_instrument_fixes_radiation_and_widths_and_leaves_the_sample(tmp_path):
    (tmp_path / "d8.instprm").write_text(D8)
    base = PRESETS["laboratory"]
    mine = effects_from_instrument(tmp_path / "d8.instprm", base)
    assert mine.wavelength == 1.5405 and mine.kalpha2_wavelength == pytest.approx(1.5443 / 1.5405)
    assert mine.kalpha2_share == 1 and mine.kalpha2_ratio == (0.47, 0.47) and mine.polarisation == (0.55, 0.55)
    assert mine.w == pytest.approx((4.5, 5.5)) and mine.v == pytest.approx((-2.2, -1.8))
    assert mine.x == pytest.approx((1.35, 1.65)) and mine.sh_l == pytest.approx((0.027, 0.033))
    for name in ("size", "microstrain", "texture", "zero", "noise", "strain"):
        assert getattr(mine, name) == getattr(base, name)


def test_an_instrument_of_one_wavelength_has_no_doublet(tmp_path):
    text = "\n".join(line for line in D8.splitlines() if "Lam" not in line and "I(L2)" not in line)
    (tmp_path / "11bm.instprm").write_text(text + "\nLam:0.4137\n")
    mine = effects_from_instrument(tmp_path / "11bm.instprm", PRESETS["laboratory"])
    assert (mine.wavelength, mine.kalpha2_share, mine.kalpha2_rest) == (0.4137, 0.0, (0.0, 0.0))


def test_a_neutron_instrument_and_a_file_that_is_none_are_refused(tmp_path):
    (tmp_path / "hb2a.instprm").write_text(D8.replace("PXC", "PNC"))
    with pytest.raises(RadiationError, match="X-ray instrument"):
        effects_from_instrument(tmp_path / "hb2a.instprm", Effects())
    (tmp_path / "none.instprm").write_text("hello\n")
    with pytest.raises(InputError, match="instprm"):
        effects_from_instrument(tmp_path / "none.instprm", Effects())
    broken = D8.replace("W:5.0", "W:wide")
    (tmp_path / "broken.instprm").write_text(broken)
    with pytest.raises(InputError, match="W"):
        effects_from_instrument(tmp_path / "broken.instprm", Effects())
