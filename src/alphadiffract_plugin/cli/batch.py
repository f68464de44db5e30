"""Index several files: write what was asked for, and go on after one that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphadiffract_plugin.cli.seeding import check_seeds, seed_into, seed_line
from alphadiffract_plugin.errors import AlphaDiffractError, OutputError, SettingsError
from alphadiffract_plugin.hooks import Indexer, PluginError, Seeder
from alphadiffract_plugin.output import (
    check_absent,
    check_file,
    check_folder,
    make_folder,
    write_text,
    write_whole,
    writing,
)
from alphadiffract_plugin.progress import say, track
from alphadiffract_plugin.records import Histogram, IndexingResult
from alphadiffract_plugin.registry import call
from alphadiffract_plugin.settings import Settings

STDOUT = "-"
"""The file name that stands for standard output."""


@dataclass(frozen=True)
class Outputs:
    """Where the answers go."""

    folder: Path | None = None
    """Folder for NAME.json, NAME.png and NAME/SEEDER/ of each pattern; None to write none of them."""
    json: str | None = None
    """File for the answer of a single pattern as JSON, or ``-``."""
    jsonl: str | None = None
    """File for one line of JSON a pattern, or ``-``; each line is written as soon as its pattern is done."""
    seeders: tuple[Seeder, ...] = ()
    """What to make below ``folder``."""
    optional: frozenset[str] = frozenset()
    """Names of the seeders that the user did not choose: if one fails, a note says so, and that is no error."""
    overwrite: bool = False
    """Whether output that is already there is replaced."""

    def check(self, names: Sequence[str]) -> None:
        """Refuse, before any work, output that could not be written for patterns of these names.

        Raises
        ------
        OutputError, SettingsError : names the place, or the two options or patterns that do not go together.
        """
        if self.json and len(names) > 1:
            raise SettingsError("--json takes the answer of a single pattern", fix="use --jsonl for several patterns")
        if self.json == self.jsonl == STDOUT:
            raise SettingsError("--json and --jsonl cannot share standard output", fix="give one of them a file")
        for path in (self.json, self.jsonl):
            if path not in (None, STDOUT):
                check_file(Path(path), overwrite=self.overwrite)
        if self.folder is None:
            return
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise OutputError(
                f"several patterns are named {twice[0]} and would be written over each other",
                fix="rename one, or index them into different folders",
                where=self.folder,
            )
        check_folder(self.folder)
        for name in names:
            wanted = [self.folder / f"{name}.json", self.folder / f"{name}.png"]
            check_absent(wanted, overwrite=self.overwrite)
            check_seeds(self.folder, name, self.seeders, overwrite=self.overwrite)


@dataclass
class Batch:
    """One run of an indexer over files."""

    indexer: Indexer
    """The indexer that is called."""
    load: Callable[[Path], Histogram]
    """Reads a file."""
    settings: Settings
    """The settings of every step."""
    outputs: Outputs
    """Where the answers go."""
    failed: list[Path] = field(default_factory=list)
    """Files that could not be indexed."""
    seeded: int = 0
    """Number of seeds that were written."""

    def run(self, paths: Sequence[Path]) -> list[tuple[str, IndexingResult]]:
        """Index the files in turn, and return the name of each file with its answer.

        Raises
        ------
        OutputError, SettingsError : something could not be written; nothing was done.
        AlphaDiffractError, PluginError : the only file failed.
        """
        self.outputs.check([path.stem for path in paths])
        answers: list[tuple[str, IndexingResult]] = []
        if len(paths) == 1:
            self._index(paths[0], answers)
            return answers
        for path in track(paths, "indexing"):
            try:
                self._index(path, answers)
            except OutputError:
                raise
            except Exception as error:  # whatever one pattern does, the others go on
                self.failed.append(path)
                known = isinstance(error, (AlphaDiffractError, PluginError))
                say(_naming(path, str(error) if known else f"{type(error).__name__}: {error}"), "error:", "bold red")
        return answers

    def _index(self, path: Path, answers: list[tuple[str, IndexingResult]]) -> None:
        histogram = self.load(path)
        result = call(self.indexer, histogram, self.settings)
        answers.append((path.name, result))
        self._write(path.stem, histogram, result)

    def _write(self, name: str, histogram: Histogram, result: IndexingResult) -> None:
        out = self.outputs
        if out.json == STDOUT:
            print(result.to_json(indent=1))
        elif out.json:
            write_text(Path(out.json), result.to_json(indent=1) + "\n")
        if out.jsonl == STDOUT:
            print(result.to_json(), flush=True)
        elif out.jsonl:
            self._append(Path(out.jsonl), result.to_json())
        if out.folder is None:
            return
        from alphadiffract_plugin.report.plot import save_plot
        from alphadiffract_plugin.seeding.answer import doubts

        folder = make_folder(out.folder)
        write_text(folder / f"{name}.json", result.to_json(indent=1) + "\n")
        write_whole(folder / f"{name}.png", lambda path: save_plot(histogram, result, path))
        say(f"{name}: wrote {folder / name}.json and .png")
        found = any(candidate.has_cell for candidate in result.candidates)
        for seeder in out.seeders if found else ():
            try:
                report = seed_into(folder, name, seeder, histogram, result, self.settings, overwrite=out.overwrite)
            except AlphaDiffractError as error:
                if seeder.name not in out.optional:
                    raise
                say(f"{name}: the seeder {seeder.name} failed: {error}", "note:", "yellow")
            else:
                self.seeded += 1
                say(f"{name}: {seed_line(report)}")
        for doubt in doubts(result) if found and out.seeders else ():
            say(f"{name}: {doubt}", "note:", "yellow")
        if not found:
            say(f"{name}: no cell was found, so nothing was seeded")

    def _append(self, path: Path, line: str) -> None:
        mode = "a" if self._started else "w"
        self._started = True
        with writing(path), path.open(mode, encoding="utf-8") as out:
            out.write(line + "\n")

    _started: bool = False


def _naming(path: Path, message: str) -> str:
    return message if str(path) in message else f"{path}: {message}"
