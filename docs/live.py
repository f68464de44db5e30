"""What the pages take from the code when the site is built: help texts, tables of settings, docstrings.

``{command-help} index`` shows what ``alphadiffract-plugin index --help`` prints, ``{settings-table} MODULE.CLASS`` the
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
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Parser as RSTParser
from docutils.utils import new_document
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

WIDTH = 92
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
        app([*command, "--help"], prog_name="alphadiffract-plugin", max_content_width=WIDTH)
    return textwrap.dedent(out.getvalue()).strip("\n")


class CommandHelp(SphinxDirective):
    """The help text of a command."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """One literal block."""
        text = help_text(*(self.arguments[0].split() if self.arguments else ()))
        return [nodes.literal_block(text, text, language="none", classes=["help"])]


def rows_of(kind: type) -> tuple[list[str], list[list[str]]]:
    """Heads and rows (in reStructuredText) of the table of a record of settings."""
    from alphadiffract_plugin.setting_fields import settings_of

    if any("allowed" in field.metadata for field in dataclasses.fields(kind)):
        rows = [[f"``{info.key}``", info.default_in_words, info.wanted, info.meaning] for info in settings_of(kind)]
        return ["setting", "default", "allowed", "meaning"], rows
    comments = ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
    fields = dataclasses.fields(kind)
    meanings = [" ".join(comments[kind.__qualname__, field.name]).strip() for field in fields]
    rows = [[f"``{f.name}``", f"``{json.dumps(f.default)}``", m] for f, m in zip(fields, meanings, strict=True)]
    return ["key", "default", "meaning"], rows


class SettingsTable(SphinxDirective):
    """A table of the fields of a record of settings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One list-table."""
        module, _, name = self.arguments[0].rpartition(".")
        heads, rows = rows_of(getattr(importlib.import_module(module), name))
        lines = [".. list-table::", "   :header-rows: 1", "   :class: settings", ""]
        for row in (heads, *rows):
            lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
        return self._parsed("\n".join(lines))

    def _parsed(self, text: str) -> list[nodes.Node]:
        """The nodes of reStructuredText, on a page that is Markdown."""
        document = new_document("settings", self.state.document.settings)
        RSTParser().parse(text, document)
        return document.children


def fields_from_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn our sections of docstrings, with entries ``name : text``, into Sphinx's field lists."""
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


def plain_alias(app: Sphinx, what: str, name: str, obj: object, options: object, signature: str, returns: str) -> Any:
    """Undo what Sphinx 9 makes of an alias within a union: ``TypeAliasForwardRef('ArrayLike') | None``."""
    parts = (signature, returns)
    return tuple(part and re.sub(r"TypeAliasForwardRef\('(?:[\w.]+\.)?(\w+)'\)", r"\1", part) for part in parts)


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
    app.connect("autodoc-process-signature", plain_alias)
    app.connect("missing-reference", resolve_alias)
    return {"parallel_read_safe": True}
