"""The pages say what the code does: every error has its section, every file that a page names is there."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphadiffract_plugin import errors, records
from alphadiffract_plugin.errors import AlphaDiffractError

ROOT = Path(__file__).parent.parent
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "hooks").glob("*.md"),
    *ROOT.glob("examples/**/*.md"),
]


def test_every_error_has_a_section():
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.M)
    kinds = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AlphaDiffractError)]
    assert sorted(headings) == sorted({*kinds, "PluginError"} - {"AlphaDiffractError"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_the_pages_name_only_commands_and_options_that_exist(cli):
    alone = ("index", "seed", "plugins", "doctor", "train", "simulate", "evaluate", "release")
    families = {"models": ("list", "show", "add"), "structures": ("build", "stats", "filter")}
    families["gsasii"] = ("install-hook", "remove-hook", "check")
    helps = {name: cli(name, "--help").out for name in alone}
    helps |= {name: "".join(cli(name, one, "--help").out for one in ones) for name, ones in families.items()}
    for page in PAGES:
        for command, rest in re.findall(r"alphadiffract-plugin (\w+)([^\n`]*)", page.read_text(encoding="utf-8")):
            if command in ("import", "is", "on"):
                continue
            assert command in helps, f"{page.name}: {command}"
            for option in re.findall(r"(?<=\s)--?[a-z][a-z0-9]*", rest):
                assert option in helps[command], f"{page.name}: {command} {option}"


def settings_of_a_run() -> Iterator[tuple[str, str, str]]:
    """Heading of docs/training.md, key and default of every setting of a run."""
    from alphadiffract_plugin.models.compact_network import CompactConfig
    from alphadiffract_plugin.models.open_network import OpenConfig
    from alphadiffract_plugin.models.simulation.effects import Effects
    from alphadiffract_plugin.models.training.losses import LossSettings
    from alphadiffract_plugin.models.training.settings import DataSettings, TrainingSettings

    sections = {"`[data]`": DataSettings, "`[training]`": TrainingSettings, "`[loss]`": LossSettings}
    sections |= {"`[effects]`": Effects, '`[network]`, `architecture = "compact"`': CompactConfig}
    sections |= {'`[network]`, `architecture = "open"`': OpenConfig}
    for heading, kind in sections.items():
        for field in dataclasses.fields(kind):
            yield heading, field.name, field.default


def test_the_page_on_training_has_every_setting_with_its_default():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    told = {}
    for section in page.split("\n### ")[1:]:
        heading = section.splitlines()[0]
        told |= {(heading, key): value for key, value in re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section, re.M)}
    assert set(told) == {(heading, key) for heading, key, _ in settings_of_a_run()}
    for heading, key, default in settings_of_a_run():
        value = json.loads(told[heading, key])
        wanted = json.loads(json.dumps(default))
        assert value == (pytest.approx(wanted, rel=1e-6) if isinstance(wanted, float) else wanted), key


def test_the_table_of_words_in_the_readme_has_every_field_of_every_record():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Words")[2].partition("\n## ")[0]
    words = set(re.findall(r"`(\w+)`", table))
    kinds = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if issubclass(kind, records.Record)]
    fields = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert fields - words == set()
    assert {kind.__name__ for kind in kinds} - words == {"Record"}


def test_the_tree_in_the_readme_names_every_module_and_nothing_else():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What is where")[2].partition("\n## ")[0]
    named = set(re.findall(r"\b(\w+\.py)\b", tree)) - {"measured.py", "scripted_refinement.py"}
    trees = ((ROOT / "hooks").glob, (ROOT / "models").rglob, (ROOT / "src" / "alphadiffract_plugin").glob)
    there = {path.name for files in trees for path in files("*.py")} - {"__init__.py"}
    assert named == there
