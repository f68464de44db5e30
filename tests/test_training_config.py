"""One TOML makes a run: faults are refused with file, line and remedy, and what is left out is written down."""

import dataclasses

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from alphadiffract_plugin.errors import SettingsError  # noqa: E402
from alphadiffract_plugin.models.training import config  # noqa: E402

TINY = """\
[network]
architecture = "compact"
channels = [16, 24]
blocks = [1, 1]

[data]
structures = ["mine.parquet"]

[effects]
preset = "laboratory"
zero = 0

[training]
patterns = 1000
learning_rate = 1
"""


@pytest.fixture
def toml(tmp_path):
    def write(text: str = TINY):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def test_the_example_is_read_and_names_the_structures_beside_it(examples):
    settings = config.read(examples.parent / "train_tiny.toml")
    assert settings.data.structures == (str((examples / "structures_3dsc.parquet").resolve()),)
    assert settings.architecture == "compact" and settings.grid.length == 4096


def test_the_resolved_file_holds_every_setting_and_reads_back_equal(toml, tmp_path):
    settings = config.read(toml())
    assert settings.network.channels == (16, 24) and settings.effects.zero == (0.0, 0.0)
    assert settings.training.learning_rate == 1.0  # a whole number will do where any number will
    again = tmp_path / "elsewhere"
    again.mkdir()
    (again / "run.toml").write_text(settings.to_toml())
    assert config.read(again / "run.toml") == settings
    assert "torch = " in settings.to_toml()


@pytest.mark.parametrize(
    ("before", "after", "line", "fix"),
    [
        ("learning_rate", "learning_rat", 15, "did you mean 'learning_rate'"),
        ("[training]", "[trainig]", 13, "did you mean 'training'"),
        ('"laboratory"', '"still"', 10, "ideal was called still before"),
        ("zero", "zeros", 11, "did you mean 'zero'"),
        ("channels", "chanels", 3, "did you mean 'channels'"),
        ('"compact"', '"compat"', 2, "choose one of compact, open"),
        ('"laboratory"', '"labratory"', 10, "laboratory, paper"),
        ("= 1000", '= "1000"', 14, "give a whole number"),
        ("= 1000", "= 0", 14, "give at least 1"),
        ("= [16, 24]", "= 16", 3, "give a list"),
        ("zero = 0", "zero = [2, 1]", 11, "the lowest and the highest"),
        ("= 1000", "= = 1000", 14, "this file is not TOML"),
        ('["mine.parquet"]', "[]", 7, "name parquet files"),
        ("= [16, 24]", "= [16, 0]", 3, "give at least 1"),
        ("blocks = [1, 1]", "blocks = [1]", 1, "as many numbers as channels"),
        ("blocks = [1, 1]", "segments = 1000", 1, "multiple of segments"),
        ("blocks = [1, 1]", "dropout = 1", 4, "a share below 1"),
        ("blocks = [1, 1]", "two_theta = [80, 5]", 4, "the lower first"),
        ("blocks = [1, 1]", "two_theta = [0, 200]", 4, "between 0 and 180"),
        ("blocks = [1, 1]", "input_length = 1", 4, "give at least 2"),
        ("blocks = [1, 1]", "warped_length = 9_000_000_000", 4, "give at most 131072"),
    ],
)
def test_a_fault_is_reported_with_its_file_and_line_and_how_to_fix_it(toml, before, after, line, fix):
    with pytest.raises(SettingsError) as caught:
        config.read(toml(TINY.replace(before, after, 1)))
    assert caught.value.where.name == "run.toml" and caught.value.line == line
    assert fix in str(caught.value)


def test_batches_that_cannot_be_cut_into_shards_are_refused(toml):
    with pytest.raises(SettingsError, match="make batch a multiple of shards"):
        config.read(toml(TINY + "batch = 9\nshards = 2\n"))


def test_only_what_leaves_the_losses_alone_may_change_when_a_run_goes_on(toml):
    settings = config.read(toml())

    def changed(**values):
        return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **values))

    assert config.difference(settings, changed(minutes=3.0, checkpoint_minutes=1.0)) == ""
    assert "learning_rate was 1.0 and is 0.5" in config.difference(settings, changed(learning_rate=0.5))


def test_an_instrument_gives_the_widths_and_the_wavelength(toml, tmp_path):
    instprm = tmp_path / "mine.instprm"
    instprm.write_text(
        "#GSAS-II instrument parameter file\nType:PXC\nLam:0.4133\nZero:0\nPolariz.:0.99\n"
        "U:2.0\nV:-1.0\nW:3.0\nX:0.5\nY:0.7\nZ:0\nSH/L:0.002\n"
    )
    effects = config.read(toml(), instrument=instprm).effects
    assert effects.wavelength == 0.4133 and effects.kalpha2_share == 0
    assert effects.w[0] < 3.0 < effects.w[1] and effects.zero == (0.0, 0.0)
    named = config.read(toml(TINY.replace('preset = "laboratory"', 'instrument = "mine.instprm"')))
    assert named.effects == effects


def test_the_open_architecture_lies_on_the_grid_of_the_paper(toml):
    settings = config.read(toml('[network]\narchitecture = "open"\n[data]\nrandom = 1\n'))
    assert settings.grid.wavelength == 0.6199 and settings.normalisation.top == 100
