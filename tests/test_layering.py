"""Who may import whom: the contract stays light, the flow goes one way, and GSAS-II has one door."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "alphadiffract_plugin"
PACKAGE = "alphadiffract_plugin"
FLOW = ("load", "prepare", "predict", "find_peaks", "search_cells", "fit_pattern", "rank", "seed")
IMPORTER = "hooks.gsasii.G2phase_alphadiffract"
TREES = {"hooks": ROOT / "hooks", "models": ROOT / "models", "": SOURCE}


def modules() -> Iterator[tuple[str, Path]]:
    """Name below the package, and path, of every Python file of the three trees."""
    for prefix, folder in TREES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [prefix, *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(part for part in parts if part and part != "__init__"), path


def imports(path: Path, name: str = "", *, typing_too: bool = False, top_only: bool = False) -> set[str]:
    """Every module that a file imports, absolute; those under ``if TYPE_CHECKING`` only if asked for."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not typing_too:
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


def stage_of(module: str) -> int | None:
    """Place in the flow of a dotted module name, None if it is no stage."""
    name = module.removeprefix(f"{PACKAGE}.").partition(".")[0]
    name = "seed" if name.startswith("seed_") else name
    return FLOW.index(name) if name in FLOW else None


def test_the_contract_imports_pluggy_alone():
    for path in sorted((ROOT / "hooks").glob("*.py")):
        own = {name for name in imports(path) if name.startswith(f"{PACKAGE}.hooks")}
        others = {name.partition(".")[0] for name in imports(path) - own}
        assert others - set(sys.stdlib_module_names) <= {"pluggy"}, path.name


@pytest.mark.parametrize(("name", "path"), [pytest.param(*pair, id=pair[0] or PACKAGE) for pair in modules()])
def test_a_stage_imports_no_later_stage(name, path):
    here = stage_of(name)
    if here is None:
        return
    later = {module for module in imports(path, name, typing_too=True) if (stage_of(module) or 0) > here}
    assert not later


def reaches_gsasii(path: Path, name: str = "") -> bool:
    """Whether a file imports a module of GSAS-II, or names one in a string for anything but ``gsasii.module``."""
    if any(re.match("GSASII", module) for module in imports(path, name, typing_too=True)):
        return True
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = [
        node.args
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "gsasii.module" and name != "gsasii"
    ]
    through_the_door = {id(argument) for arguments in asked for argument in arguments}
    return any(
        isinstance(node, ast.Constant)
        and id(node) not in through_the_door
        and re.fullmatch(r"GSASII[a-z]*(\.\w*)*(?<!\.py)", str(node.value))
        for node in ast.walk(tree)
    )


def test_gsasii_is_imported_through_one_door():
    assert {name for name, path in modules() if reaches_gsasii(path, name)} == {"gsasii", IMPORTER}


def test_the_importer_that_runs_within_gsasii_imports_it_and_nothing_else():
    [path] = [path for name, path in modules() if name == IMPORTER]
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    far = {name.partition(".")[0] for name in imports(path, IMPORTER)} - set(sys.stdlib_module_names) - {PACKAGE}
    assert far == {"GSASIIctrlGUI", "GSASIIlattice", "GSASIIobj", "GSASIIspc"}
    assert all(
        node.level == 2
        for node in tree
        if isinstance(node, ast.ImportFrom) and node.module != "__future__" and node.module != "typing"
    )


@pytest.mark.parametrize(
    ("line", "another_door"),
    [
        ("import GSASII.GSASIIspc", True),
        ("from GSASII import GSASIIlattice", True),
        ("importlib.import_module('GSASIIspc')", True),
        ("importlib.import_module('GSASII.' + name)", True),
        ("gsasii.module('GSASIIspc')", False),
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


def test_the_network_knows_nothing_of_the_pipeline():
    for name, path in modules():
        if name.startswith("models"):
            above = {module for module in imports(path, name) if stage_of(module) is not None}
            assert not above, name


def test_the_modules_of_the_command_line_import_nothing_heavy_at_their_top():
    heavy = {"torch", "matplotlib", "scipy", "pymatgen", "pandas", "gemmi", "spglib", "diffpy", "geddes", "safetensors"}
    for name in ("cli", "cli_models", "batch", "report", "output", "progress", "doctor", "plugin", "registry", "plot"):
        top = imports(SOURCE / f"{name}.py", name, top_only=True)
        assert not {module.partition(".")[0] for module in top} & heavy, name
