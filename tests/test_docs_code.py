"""The code on the pages runs, the commands too, and the README's first screen shows what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from alphadiffract_plugin import pipeline
from alphadiffract_plugin.gsasii import installation

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(python|console|toml)\n(.*?)^```$", re.M | re.S)
WITH_CODE = [page for page in sorted(DOCS.rglob("*.md")) if BLOCK.search(page.read_text(encoding="utf-8"))]
for name in ("gsasii.md", "rietveld.md"):  # these have a test of their own, which needs GSAS-II
    WITH_CODE.remove(DOCS / name)
RUN = ("index", "seed")
"""Commands that are run; the others install something, or take long and have tests of their own."""
FIRST = "index examples/data/pbso4_xray.xye --wavelength CuKa --seed bundle -o out"


@pytest.fixture(scope="module")
def remembered():
    """Spare the time of further real runs of the flow: the same pattern and settings give the answer that they gave."""
    answers, asked = {}, pipeline.index_histogram

    def index(histogram, settings):
        key = histogram.to_json(), settings.to_json()
        if key not in answers:
            answers[key] = asked(histogram, settings)
        return answers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "index_histogram", index)
        yield


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A folder that looks like the root of a clone, to write into; the working directory."""
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(page: Path, cli) -> dict[str, object]:
    """Run a page from top to bottom; the names that its Python leaves behind.

    A block of TOML whose first line is ``# NAME.toml`` becomes that file.
    """
    text, names = page.read_text(encoding="utf-8"), {}
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            exec(compile(block, page.name, "exec"), names)
        elif kind == "toml":
            Path(block.split()[1]).write_text(block, encoding="utf-8")
        for line in re.findall(r"^\$ alphadiffract-plugin (.*)$", block.replace("\\\n", " "), re.M):
            command = shlex.split(line)
            if command[0] in RUN:
                ended = cli(*command)
                assert ended.code == 0, ended.err
    return names


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_code_of_the_page_runs(page, remembered, clone, cli, monkeypatch):
    monkeypatch.setattr(installation, "find", lambda: None)
    if page.name == "next-steps.md":
        cli(*FIRST.split())
    names = run(page, cli)
    if "result" in names:
        # within 0.05 % of the tutorial's cell: a Le Bail fit starts from there
        assert names["result"].candidates[0].cell[:3] == pytest.approx((8.480, 5.398, 6.958), rel=5e-4)


def test_answers_in_pandas_have_one_row_a_candidate(remembered, clone, cli):
    names = run(DOCS / "results.md", cli)
    first = names["first"].loc["pbso4_xray"]
    assert first["space_group_symbol"] == "P n m a" and first["b"] == pytest.approx(5.398, rel=5e-4)
    assert len(names["table"]) == len(names["result"].candidates)


def test_the_search_is_restricted(remembered, clone, cli):
    names = run(DOCS / "restrict.md", cli)
    assert all(candidate.volume <= 500 for candidate in names["result"].candidates if candidate.has_cell)


def row(text: str) -> list[str]:
    """The words of the first answer in a table, numbers to the second decimal."""
    first = next(line for line in text.splitlines() if re.match(r" +1 ", line))
    return re.sub(r"(\.\d\d)\d*\(\d+\)", r"\1", first).split()


@pytest.mark.parametrize("page", ["README.md", "docs/first-answer.md"])
def test_the_table_shown_is_what_the_command_prints(page, remembered, clone, cli, monkeypatch):
    from rich.console import Console

    from alphadiffract_plugin.report import tables

    text = (ROOT / page).read_text(encoding="utf-8")
    command = re.search(r"alphadiffract-plugin (index [^\n]*)", text)[1]
    monkeypatch.setattr(installation, "find", lambda: None)
    monkeypatch.setattr(tables, "stdout", lambda: Console(width=88, highlight=False, markup=False, emoji=False))
    printed = cli(*command.split())
    assert printed.code == 0
    assert (clone / "out" / "pbso4_xray.png").is_file()
    assert row(printed.out) == row(text)


@pytest.mark.gsasii
def test_the_gsasii_way_ends_with_a_fit(remembered, clone, cli, capsys):
    cli(*FIRST.split())
    run(DOCS / "gsasii.md", cli)
    [rwp] = re.findall(r"^\d+\.\d+$", capsys.readouterr().out, re.M)
    assert float(rwp) < 12  # 9.1 % from the true cell; the expected value is 4.2 %
    assert (clone / "anglesite.gpx").is_file()
    report = run(DOCS / "rietveld.md", cli)["report"]
    assert report.converged and report.rwp < 11.5  # 9.95 % is reached where the instrument's widths are refined
    assert (clone / "anglesite_rietveld.gpx").is_file()
    assert "Rietveld" in (clone / "rietveld" / "pbso4_xray" / "gsasii.json").read_text(encoding="utf-8")
