"""Who may import whom: packages stand in one order without circles, and GSAS-II has one door."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "alphadiffract_plugin"
PACKAGE = "alphadiffract_plugin"
WITHIN_GSASII = {
    "hooks.gsasii.G2phase_alphadiffract": {"GSASIIctrlGUI", "GSASIIlattice", "GSASIIobj", "GSASIIspc"},
    "hooks.gsasii.G2export_alphadiffract": {"wx"},
    "hooks.gsasii.alphadiffract_project": {"numpy", "wx"},
}
"""The files that run within GSAS-II, and what each imports beside the standard library and ``from .. import ...``."""
TREES = {"hooks": ROOT / "hooks", "models": ROOT / "models", "": SOURCE}
GROUND = {"compiled", "", "arrays", "errors", "uncertainty"}
VOCABULARY = {"output", "progress", "provenance", "radiation", "json_record", "records", "setting_fields", "settings"}
VOCABULARY |= {"settings_file", "threads", "toml_file"}
"""The modules of the top level that everything but the crystallography may use."""
ORDER = (
    *(GROUND, {"crystal"}, VOCABULARY, {"hooks"}, {"recipes"}, {"readers"}, {"load"}, {"benchmark_index"}),
    *(
        {"peaks"},
        {"part_of_pattern"},
        {"indexing"},
        {"whole_pattern"},
        {"models"},
        {"prediction"},
        {"rank"},
        {"rank_lines"},
        {"limits"},
        {"seeding"},
        {"report"},
    ),
    *({"pipeline"}, {"evaluation"}, {"gsasii"}, {"registry"}, {"cli"}, {"plugin"}, {"__main__"}),
)
"""From the ground up: a package imports those before it and itself, none that stand later."""


def modules() -> Iterator[tuple[str, Path]]:
    """Name below the package, and path, of every Python file of the three trees."""
    for prefix, folder in TREES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [prefix, *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(part for part in parts if part and part != "__init__"), path


def imports(path: Path, name: str = "", *, top_only: bool = False) -> set[str]:
    """Every module that a file imports, absolute: at its top, within functions, and for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if top_only:
        tree.body = [
            node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        ]
    here = f"{PACKAGE}.{name}".rstrip(".").split(".")
    found = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + (path.name == "__init__.py")] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def import_graph(files: dict[str, Path]) -> dict[str, set[str]]:
    """The files that each file imports, by their names below the package."""
    graph = {}
    for name, path in files.items():
        own = {module.removeprefix(PACKAGE).lstrip(".") for module in imports(path, name) if module.startswith(PACKAGE)}
        precise = {module for module in own if module in files}
        parents = {module for module in precise if any(other.startswith(f"{module}.") for other in precise)}
        graph[name] = precise - {name, ""} - (parents if path.name != "__init__.py" else set())
    return graph


def package_of(module: str) -> str:
    """The package of a file: the first part of its name."""
    return module.partition(".")[0]


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, first and last the same; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_files_import_each_other_in_a_circle():
    graph = import_graph(dict(modules()))
    assert len(graph) > 150, "every file of the three trees is looked at"
    assert circle_in(graph) == []


def test_packages_stand_in_one_order():
    level = {package: height for height, packages in enumerate(ORDER) for package in packages}
    graph = import_graph(dict(modules()))
    assert {package_of(name) for name in graph} == set(level), "every package has its place in the order"
    upward = {
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if level[package_of(other)] > level[package_of(name)]
    }
    assert not upward


def test_no_packages_import_each_other_in_a_circle():
    packages: dict[str, set[str]] = {}
    for name, others in import_graph(dict(modules())).items():
        packages.setdefault(package_of(name), set()).update(package_of(other) for other in others)
    assert circle_in({package: others - {package} for package, others in packages.items()}) == []


@pytest.mark.parametrize(
    "second",
    [
        "from alphadiffract_plugin.one import A",
        "def f():\n    from alphadiffract_plugin.one import A",
        "if TYPE_CHECKING:\n    from .one import A",
    ],
    ids=["top", "function", "types"],
)
def test_a_circle_would_be_seen(tmp_path, second):
    (tmp_path / "one.py").write_text("import alphadiffract_plugin.two\nA = 1\n")
    (tmp_path / "two.py").write_text(second)
    graph = import_graph({name: tmp_path / f"{name}.py" for name in ("one", "two")})
    assert set(circle_in(graph)) == {"one", "two"}


def test_each_package_names_its_public_verbs():
    for path in sorted(SOURCE.glob("*/__init__.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [node for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets)]
        assert named, f"{path.parent.name}/__init__.py has no __all__"


@pytest.mark.parametrize(
    "line",
    [
        "from alphadiffract_plugin.load import histogram_from_file",
        "from alphadiffract_plugin.gsasii import find, index, seed, refine, save, open_project",
        "from alphadiffract_plugin.registry import plugins",
        "from alphadiffract_plugin.settings import Settings",
        "from alphadiffract_plugin.records import Candidate, Histogram, IndexingResult",
        "from alphadiffract_plugin.errors import AlphaDiffractError",
        "from alphadiffract_plugin.pipeline import index_histogram",
        "from alphadiffract_plugin.hooks import Indexer, Seeder, hookimpl",
        "from alphadiffract_plugin.models import catalogue",
        "from alphadiffract_plugin.peaks import find_peaks",
        "from alphadiffract_plugin.cli import main",
    ],
)
def test_the_import_paths_that_others_rely_on_work(line):
    exec(line, {})


def test_the_contract_imports_pluggy_alone():
    for path in sorted((ROOT / "hooks").glob("*.py")):
        needed = {name for name in imports(path, top_only=True) if not name.startswith(f"{PACKAGE}.hooks")}
        assert {name.partition(".")[0] for name in needed} - set(sys.stdlib_module_names) <= {"pluggy"}, path.name


def test_what_a_bundle_copies_needs_numpy_alone():
    for path in sorted((SOURCE / "recipes").glob("*.py")):
        far = {name.partition(".")[0] for name in imports(path, f"recipes.{path.stem}")}
        assert far - set(sys.stdlib_module_names) <= {"numpy", PACKAGE}, path.name
        own = {name for name in imports(path, f"recipes.{path.stem}") if name.startswith(PACKAGE)}
        assert all(name.startswith(f"{PACKAGE}.recipes") for name in own), path.name


def reaches_gsasii(path: Path, name: str = "") -> bool:
    """Whether a file imports a module of GSAS-II, or names one in a string for anything but ``installation.module``."""
    if any(re.match("GSASII", module) for module in imports(path, name)):
        return True
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = [
        node.args
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("installation.module", "module")
    ]
    through_the_door = {id(argument) for arguments in asked for argument in arguments}
    return any(
        isinstance(node, ast.Constant)
        and id(node) not in through_the_door
        and re.fullmatch(r"GSASII[a-z]*(\.\w*)*(?<!\.py)", str(node.value))
        for node in ast.walk(tree)
    )


def test_gsasii_is_imported_through_one_door():
    within = {name for name, _ in modules() if name.startswith("hooks.gsasii.")}
    assert within == set(WITHIN_GSASII)
    assert {name for name, path in modules() if reaches_gsasii(path, name)} - within == {"gsasii.installation"}


@pytest.mark.parametrize("name", sorted(WITHIN_GSASII))
def test_what_runs_within_gsasii_imports_it_and_next_to_nothing_else(name):
    path = dict(modules())[name]
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    far = {module.partition(".")[0] for module in imports(path, name)} - set(sys.stdlib_module_names) - {PACKAGE}
    assert far == WITHIN_GSASII[name]
    assert all(
        node.level == 2
        for node in tree
        if isinstance(node, ast.ImportFrom)
        and node.module not in {"__future__", *sys.stdlib_module_names, "collections.abc"}
    )


@pytest.mark.parametrize(
    ("line", "another_door"),
    [
        ("import GSASII.GSASIIspc", True),
        ("from GSASII import GSASIIlattice", True),
        ("importlib.import_module('GSASIIspc')", True),
        ("importlib.import_module('GSASII.' + name)", True),
        ("installation.module('GSASIIspc')", False),
        ("print('GSASII_PATH names its folder')", False),
        ("(folder / 'GSASIIfiles.py').read_text()", False),
    ],
)
def test_another_door_to_gsasii_would_be_seen(tmp_path, line, another_door):
    (tmp_path / "door.py").write_text(line)
    assert reaches_gsasii(tmp_path / "door.py") is another_door


def test_no_file_says_import_hooks_or_import_models():
    for name, path in modules():
        assert not {module.partition(".")[0] for module in imports(path, name)} & {"hooks", "models"}, path


def test_the_modules_of_the_command_line_import_nothing_heavy_at_their_top():
    heavy = {"torch", "matplotlib", "scipy", "pymatgen", "pandas", "gemmi", "spglib", "diffpy", "geddes", "safetensors"}
    heavy |= {"numba"}
    light = [
        name
        for name, _ in modules()
        if package_of(name) in {"cli", "report", "plugin", "registry", "crystal", *GROUND, *VOCABULARY}
        and not name.endswith("kernels")
    ]
    assert len(light) > 20
    for name, path in modules():
        if name in light:
            top = imports(path, name, top_only=True)
            assert not {module.partition(".")[0] for module in top} & heavy, name


def test_compiled_loops_are_imported_where_they_are_called_and_nowhere_at_the_top():
    kernels = {name for name, _ in modules() if name.endswith("kernels")}
    assert len(kernels) >= 3
    for name, path in modules():
        top = {module.removeprefix(f"{PACKAGE}.") for module in imports(path, name, top_only=True)}
        assert name in kernels or not top & kernels, name
