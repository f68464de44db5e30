"""The site is built without a warning or a broken link, and holds what the code holds today."""

from __future__ import annotations

import dataclasses
import html
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alphadiffract_plugin import records

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` builds it."""
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    folder = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--fresh-env", "--quiet"]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    """The page without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", (site / page).read_text(encoding="utf-8")))


def test_every_field_of_every_record_is_documented(site):
    page = (site / "python" / "records.html").read_text(encoding="utf-8")
    for name in records.__all__:
        kind = getattr(records, name)
        for field in dataclasses.fields(kind) if inspect.isclass(kind) and dataclasses.is_dataclass(kind) else ():
            assert f'id="alphadiffract_plugin.records.{name}.{field.name}"' in page


def test_every_setting_stands_with_its_range_and_default(site):
    from alphadiffract_plugin.settings import every_setting

    page = text_of(site, "settings.html")
    for key, info in every_setting().items():
        assert key in page and info.wanted in page


def test_the_help_texts_are_those_of_today(site):
    page = text_of(site, "commands.html")
    assert "Usage: alphadiffract-plugin index" in page and "--wavelength" in page


def test_a_new_user_can_find_what_he_asks(site):
    assert "volume_max=500" in text_of(site, "restrict.html")
    assert "tuple of the numbers of all groups in its class" in text_of(site, "conventions.html")
    assert "json_normalize" in text_of(site, "results.html")
