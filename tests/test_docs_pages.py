"""The pages say what the code does: nothing is missing, and every file, command and option that they name is there."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from alphadiffract_plugin import __version__, errors, records
from alphadiffract_plugin.errors import AlphaDiffractError

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *ROOT.glob("*.md"),
    *DOCS.rglob("*.md"),
    *(ROOT / "hooks").glob("*.md"),
    *ROOT.glob("examples/**/*.md"),
]
STABLE = ("load", "gsasii", "registry", "settings", "records", "errors", "pipeline", "hooks")
"""Modules whose import paths stay, and whose pages must be there."""


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def live():
    """What fills the pages from the code when the site is built: docs/live.py."""
    pytest.importorskip("sphinx")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        import live

        yield live
    sys.modules.pop("live")


def commands(group=None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the command line as the words that call it."""
    import typer

    from alphadiffract_plugin.cli.app import application

    group = group or typer.main.get_command(application())
    for name, command in group.commands.items():
        yield (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


def test_every_error_has_a_section():
    headings = re.findall(r"^## (\w+)$", read(DOCS / "errors.md"), re.M)
    kinds = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AlphaDiffractError)]
    assert sorted(headings) == sorted({*kinds, "PluginError"} - {"AlphaDiffractError"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", read(page))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_command_has_its_help_on_the_page_of_commands(live):
    shown = re.findall(r"^```\{command-help\} (.+)$", read(DOCS / "commands.md"), re.M)
    assert sorted(shown) == sorted(" ".join(command) for command in commands())
    assert "--wavelength" in live.help_text("index")


def test_the_pages_name_only_commands_and_options_that_exist(live):
    helps = {command: live.help_text(*command) for command in commands()}
    named = re.compile(r"alphadiffract-plugin ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?([^\n`]*)")
    for page in PAGES:
        for first, second, rest in named.findall(read(page).replace("\\\n", " ")):
            command = (first, second) if (first, second) in helps else (first,)
            if command not in helps and first in ("import", "is", "on"):
                continue  # a sentence about the package
            assert command in helps, f"{page.name}: {first} {second}"
            for option in re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", f" {second}{rest}"):
                assert option in helps[command], f"{page.name}: {' '.join(command)} {option}"


def test_every_record_of_settings_has_its_table():
    from alphadiffract_plugin.models.compact_network import CompactConfig
    from alphadiffract_plugin.models.open_network import OpenConfig
    from alphadiffract_plugin.models.simulation.effects import Effects
    from alphadiffract_plugin.models.training.losses import LossSettings
    from alphadiffract_plugin.models.training.settings import DataSettings, TrainingSettings
    from alphadiffract_plugin.settings import Settings

    of_a_run = {Settings, *(type(getattr(Settings(), field.name)) for field in dataclasses.fields(Settings))}
    of_a_run = {kind for kind in of_a_run if dataclasses.is_dataclass(kind)}
    of_training = {DataSettings, TrainingSettings, LossSettings, Effects, CompactConfig, OpenConfig}
    for page, kinds in (("settings.md", of_a_run), ("training.md", of_training)):
        tables = re.findall(r"^```\{settings-table\} ([\w.]+)$", read(DOCS / page), re.M)
        assert sorted(tables) == sorted(f"{kind.__module__}.{kind.__name__}" for kind in kinds)


def test_every_stable_module_has_its_page():
    for name in STABLE:
        assert f"automodule:: alphadiffract_plugin.{name}\n" in read(DOCS / "python" / f"{name}.md")
        assert f"`alphadiffract_plugin.{name}`" in read(DOCS / "stability.md")


def all_records() -> list[type]:
    kinds = (kind for _, kind in inspect.getmembers(records, inspect.isclass))
    return [kind for kind in kinds if issubclass(kind, records.Record) and kind is not records.Record]


def test_every_record_is_public_so_that_it_is_on_the_page_of_records():
    assert {kind.__name__ for kind in all_records()} <= set(records.__all__)


def test_the_table_of_words_has_every_field_of_every_record():
    words = set(re.findall(r"`(\w+)`", read(DOCS / "conventions.md").partition("## All words")[2]))
    assert {field.name for kind in all_records() for field in dataclasses.fields(kind)} - words == set()
    assert {kind.__name__ for kind in all_records()} - words == set()


def test_the_tree_in_the_readme_names_every_package_and_no_other_folder():
    tree = read(ROOT / "README.md").partition("## What is where")[2].partition("\n## ")[0]
    named = set(re.findall(r"^ *([\w/]+)/ ", tree, re.M))
    inside = {path.name for path in (ROOT / "src" / "alphadiffract_plugin").iterdir() if path.is_dir()}
    inside |= {path.parent.name for path in (ROOT / "models").glob("*/__init__.py")}
    outside = {"hooks", "models", "bench", "docs", "examples", "tests"}
    assert named == (inside | outside) - {"__pycache__"}


def test_the_citation_names_this_version_and_has_what_the_format_asks_for():
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__ and citation["license"] == "BSD-3-Clause"
    for work in (citation, *citation["references"]):
        assert work["title"] and all({"name", "family-names"} & author.keys() for author in work["authors"])


def test_the_hooks_before_a_commit_run_the_tools_of_make_test():
    hooks = yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))["repos"][0]["hooks"]
    makefile = read(ROOT / "Makefile")
    for hook, tool in zip(hooks, ("ruff check", "ruff format", "mypy", "python -m pytest"), strict=True):
        assert hook["entry"].startswith(f".venv/bin/{tool}") and f"$(BIN)/{tool}" in makefile
