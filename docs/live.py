"""What the pages take from the code when the site is built: help texts, tables of settings, docstrings.

``{command-help} index`` shows what ``alphadiffract-plugin index --help`` prints; ``{settings-table} MODULE.CLASS`` shows the
fields of a record of settings. So neither can be out of date.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import os
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

WIDTH = 88
"""Columns of the help texts."""
SECTIONS = ("Parameters", "Returns", "Yields", "Raises")
"""Headings in docstrings that become field lists."""
BAR = re.compile(r"(?<!`)\|(?!`)")
"""The bar of an absolute value, which reStructuredText would take for a substitution."""


def help_text(*command: str) -> str:
    """What a command prints with ``--help``, without boxes and colours."""
    os.environ["TYPER_USE_RICH"], os.environ["COLUMNS"] = "0", str(WIDTH)
    from alphadiffract_plugin.cli.app import application

    app = application()
    app.rich_markup_mode = None
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        app([*command, "--help"], prog_name="alphadiffract-plugin")
    return textwrap.dedent(out.getvalue()).strip("\n")


class CommandHelp(SphinxDirective):
    """The help text of a command."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """One literal block."""
        text = help_text(*(self.arguments[0].split() if self.arguments else ()))
        return [nodes.literal_block(text, text, language="none", classes=["help"])]


def documented_fields(kind: type) -> Iterator[tuple[dataclasses.Field[Any], str]]:
    """Each field of a dataclass with its docstring."""
    comments = ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
    for field in dataclasses.fields(kind):
        yield field, " ".join(comments[kind.__qualname__, field.name]).strip()


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default as TOML and JSON write it."""
    return json.dumps(field.default)


class SettingsTable(SphinxDirective):
    """Key, default and meaning of each field of a record of settings."""

    required_arguments = 1
    option_spec = {"prefix": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """One definition list: it stays readable on a narrow screen, where a table of five columns does not."""
        module, _, name = self.arguments[0].rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        prefix = self.options.get("prefix", "")
        lines: list[str] = []
        for field, meaning in documented_fields(kind):
            lines += [f"``{prefix}{field.name}``", f"  {meaning}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def fields_from_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn our sections (``Parameters``, ``Returns``, ``Raises``, with entries ``name : text``) into Sphinx's field lists."""
    text: list[str] = []
    entries: list[str] = []
    section = ""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        entry = re.fullmatch(r"([\w, *]+) : (.*)", line)
        if line in SECTIONS and re.fullmatch("-{3,}", below):
            section = line
        elif section and re.fullmatch("-{3,}", line):
            continue
        elif section and line.startswith(" "):
            entries.append(f"    {line.strip()}")
        elif section == "Returns" and line.strip():
            entries += [":returns:", f"    - ``{entry[1]}``: {entry[2]}"] if entry else [f":returns: {line}"]
        elif section and entry:
            names = [one.strip() for one in entry[1].split(",")]
            roles = [f"param {one}" if section == "Parameters" else f"raises {full_name(one)}" for one in names]
            entries += [f":{role}: {entry[2]}" for role in roles]
        elif section and not line.strip():
            section = ""
        else:
            text.append(line)
    lines[:] = [BAR.sub(r"\\|", line) for line in [*text, "", *entries, ""]]


def full_name(error: str) -> str:
    """Where an error is documented, so that its name becomes a link."""
    from alphadiffract_plugin import errors

    home = "errors" if hasattr(errors, error) else "hooks"
    return f"~alphadiffract_plugin.{home}.{error}"


def resolve_alias(app: Sphinx, env: Any, node: Any, contnode: Any) -> Any:
    """Link the name of a type alias, such as ``Cell``, to where it is documented as a constant."""
    if node.get("reftype") != "class":
        return None
    ends = f".{node['reftarget'].rpartition('.')[2]}"
    for name, entry in env.get_domain("py").objects.items():
        if name.endswith(ends) and entry.objtype == "data":
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)
    return None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("command-help", CommandHelp)
    app.add_directive("settings-table", SettingsTable)
    app.connect("autodoc-process-docstring", fields_from_docstring)
    app.connect("missing-reference", resolve_alias)
    return {"parallel_read_safe": True}
