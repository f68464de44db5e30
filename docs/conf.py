"""How Sphinx makes the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from alphadiffract_plugin import __version__

project = "alphadiffract-plugin"
author = "The alphadiffract-plugin developers"
copyright = "The alphadiffract-plugin developers, BSD-3-Clause"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "live"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"alphadiffract-plugin {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
autodoc_type_aliases = {
    "npt.ArrayLike": "ArrayLike",
    "Floats": "alphadiffract_plugin.arrays.Floats",
    "Ints": "alphadiffract_plugin.arrays.Ints",
    "Bools": "alphadiffract_plugin.arrays.Bools",
    "Cell": "alphadiffract_plugin.crystal.cells.Cell",
}
autodoc_default_options = {"exclude-members": "__init__, __new__"}
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80

nitpick_ignore_regex = [
    # What other packages document; no page here can be the target.
    (
        "py:.*",
        r"(np|npt|numpy|pathlib|typing|collections|types|enum|argparse|typer|pluggy|torch|gemmi|rich|cattrs)\..*",
    ),
    (
        "py:.*",
        r"(Path|Any|ArrayLike|Callable|Iterable|Iterator|Sequence|Mapping|Literal|Self|ClassVar)",
    ),
    # Our own functions that have no page, as docstrings name them; and names of types.
    ("py:(func|mod)", r"(\w+\.)?\w+"),
    ("py:class", r"(.*\.)?(Operations|Value)"),
]
