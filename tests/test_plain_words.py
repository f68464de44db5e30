"""What a user reads is written in the terms of the field, without words that this project once used in its own sense.

Checked are the texts in the code (messages, help, notes, docstrings, which are pages too) and the pages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAIN = {
    r"mend(s|ed|ing)?": "fix",
    r"told": "known, given, reported, warned about",
    r"lost fits?": "a fit no better than that of a random cell",
    r"receipts?": "random-cell control",
    r"weigh(s|ed|ing)?": "compare, count, fit",
    r"judge(s|d)?": "evaluate, compare, accept",
    r"forged?": "manipulated",
    r"spoil(s|t|ed|ing)?": "degrade, damage",
    r"the (one )?door": "the module that imports GSAS-II",
    r"trials? of": "a test of",
    r"made[- ]up": "random",
    r"says a word": "prints a message",
}
"""Each word, as a pattern, and what to write in its place."""
WORDS = re.compile(rf"\b({'|'.join(PLAIN)})\b", re.I)
CODE = re.compile(r"(`+).*?\1")
"""Names in code, such as those that the changelog says are gone."""
TEXTS = [
    *(path for tree in ("src", "hooks", "models") for path in (ROOT / tree).rglob("*.py")),
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "hooks").rglob("*.md"),
    *(ROOT / "examples").rglob("*.md"),
    *(ROOT / "models" / "recipes").glob("*.toml"),
]


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text: of Python the string literals, of anything else every line."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), start=1)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for number, line in enumerate(node.value.splitlines()):
                yield node.lineno + number, line


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_of_our_own_stands_in_what_a_user_reads(path):
    found = [
        f"{path.name}:{number}: {line.strip()}" for number, line in texts_of(path) if WORDS.search(CODE.sub("", line))
    ]
    assert not found, "\n".join(found)
