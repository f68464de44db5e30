"""The contract: what a plugin author may rely on, and what a bad plugin cannot do to a user."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from alphadiffract_plugin.hooks import Indexer, PluginError, RietveldPlugins, Seeder, manager, specs

ROOT = Path(__file__).parent.parent
README = (ROOT / "hooks" / "README.md").read_text(encoding="utf-8")
HOOKS = {name: function for name, function in vars(specs).items() if hasattr(function, "rietveld_spec")}


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these modules of tests/plugins are installed packages with an entry point each."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "plugins")

    def install(*modules: str) -> RietveldPlugins:
        points = [EntryPoint(module.replace("_", "-"), module, specs.PROJECT) for module in modules]
        monkeypatch.setattr(manager, "entry_points", lambda group: [p for p in points if p.group == group])
        return RietveldPlugins()

    return install


def test_hook_rietveld_indexers_offers_are_selected_by_name(installed):
    plugins = installed("instant")
    assert isinstance(plugins.indexer("instant"), Indexer)
    assert plugins.provider(plugins.indexer("instant")) == "instant"
    assert list(plugins.indexers) == ["instant", "speechless"]


def test_hook_rietveld_seeders_offers_are_selected_by_name(installed):
    plugins = installed("instant")
    assert isinstance(plugins.seeder("note"), Seeder)
    assert plugins.provider(plugins.seeder("note")) == "instant"


def test_hook_rietveld_commands_adds_a_command(installed, capsys):
    app = typer.Typer()
    app.command("other")(lambda: None)
    installed("adds_a_command").add_commands(app)
    app(["hello", "Carine"], standalone_mode=False)
    assert capsys.readouterr().out == "Hello, Carine.\n"


def test_an_indexer_and_a_seeder_of_one_name_are_two_things(installed):
    plugins = installed("crashing")
    assert plugins.indexer("crashing").summary == "divides by zero"
    assert plugins.seeder("crashing").summary == "fails"


def test_each_hook_has_a_heading_with_its_signature_and_a_test():
    assert len(HOOKS) == 3
    headings = re.findall(r"^## `(.*)`$", README, re.M)
    expected = [f"{name}({', '.join(inspect.signature(function).parameters)})" for name, function in HOOKS.items()]
    assert headings == expected
    tests = " ".join(name for name in globals() if name.startswith("test_hook_"))
    assert all(f"test_hook_{name}" in tests for name in HOOKS)


def test_each_hook_and_record_field_says_what_it_is_for():
    assert all(function.__doc__ for function in HOOKS.values())
    source = inspect.getsource(specs)
    for record in (Indexer, Seeder):
        for field in record.__dataclass_fields__:
            assert re.search(rf'^    {field}: .*\n    """', source, re.M), f"{record.__name__}.{field}"


def test_the_code_in_the_hooks_page_runs(tmp_path, monkeypatch, lab6_ssrl):
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 4
    for i, block in enumerate(blocks[:3]):
        (tmp_path / f"from_the_page_{i}.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint(f"p{i}", f"from_the_page_{i}", specs.PROJECT) for i in range(3)]
    monkeypatch.setattr(manager, "entry_points", lambda group: points)
    exec(compile(blocks[3], "hooks/README.md", "exec"), names := {})
    plugins = names["plugins"]
    assert not plugins.broken
    from alphadiffract_plugin.settings import Settings

    result = plugins.indexer("always-lab6").index(lab6_ssrl, Settings())
    report = plugins.seeder("cell-line").seed(lab6_ssrl, result, tmp_path, Settings())
    assert Path(report.files[0]).read_text().startswith("P m -3 m (4.1568")
    plugins.add_commands(app := typer.Typer())
    assert [command.name for command in app.registered_commands] == ["hello"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("broken_at_import", "ImportError: No module named 'crystal_ball'"),
        ("broken_when_asked", "RuntimeError: the licence server does not answer"),
        ("quits", "SystemExit: 3"),
        ("yields_a_dict", "rietveld_indexers yielded {'name': 'dict-indexer'}, which is not of the type Indexer"),
        ("misspelt", "it implements rietveld_indexer, but there is no such hook"),
        ("not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
    ],
)
def test_a_broken_plugin_is_listed_with_the_reason_and_the_others_work(installed, module, reason):
    plugins = installed(module, "instant")
    assert "instant" in plugins.indexers
    assert plugins.broken == {module.replace("_", "-"): reason}


def test_a_plugin_whose_commands_fail_leaves_the_others_theirs(installed):
    plugins = installed("broken_when_asked", "adds_a_command")
    plugins.add_commands(app := typer.Typer())
    assert [command.name for command in app.registered_commands] == ["hello"]
    assert plugins.broken["broken-when-asked"] == "RuntimeError: no commands today"


def test_two_offers_of_one_name_are_refused_and_both_plugins_named(installed):
    with pytest.raises(
        PluginError, match=r"(?s)two plugins offer 'instant': instant and same-name.*How to fix it: uninstall"
    ):
        _ = installed("same_name", "instant").indexers


def test_two_plugins_of_one_name_the_second_is_left_out(installed, monkeypatch):
    installed("instant")
    points = [EntryPoint("instant", module, specs.PROJECT) for module in ("instant", "crashing")]
    monkeypatch.setattr(manager, "entry_points", lambda group: points)
    plugins = RietveldPlugins()
    assert list(plugins.indexers) == ["instant", "speechless"]
    assert plugins.broken == {"instant": "another plugin of this name, crashing, was ignored"}


def test_the_order_of_installation_does_not_matter(installed):
    assert list(installed("instant", "crashing").indexers) == list(installed("crashing", "instant").indexers)
    assert list(installed("instant", "crashing").indexers) == [
        "boundless",
        "crashing",
        "instant",
        "speechless",
        "wordy",
    ]


def test_an_unknown_name_is_answered_with_the_known_ones_and_the_nearest(installed):
    plugins = installed("instant", "broken_at_import")
    with pytest.raises(PluginError) as caught:
        plugins.indexer("instnat")
    assert "there is no indexer called 'instnat'. Did you mean 'instant'?" in str(caught.value)
    assert "How to fix it: choose one of instant, speechless" in str(caught.value)
    assert "broken-at-import (ImportError" in str(caught.value)


def test_the_contract_imports_nothing_heavy():
    code = (
        "import sys, alphadiffract_plugin.hooks as hooks; hooks.RietveldPlugins()\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'pymatgen', 'GSASII', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
