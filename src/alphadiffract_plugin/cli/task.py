"""What is done with one file: index it, write what was asked for, and keep what went wrong; any process can do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphadiffract_plugin.cli.seeding import check_able, check_seeds, seed_into, seed_line
from alphadiffract_plugin.errors import AlphaDiffractError, OutputError, SettingsError
from alphadiffract_plugin.hooks import Indexer, Seeder
from alphadiffract_plugin.output import (
    check_absent,
    check_file,
    check_folder,
    make_folder,
    write_text,
    write_whole,
)
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
        check_able(seeder for seeder in self.seeders if seeder.name not in self.optional)
        for name in names:
            wanted = [self.folder / f"{name}.json", self.folder / f"{name}.png"]
            check_absent(wanted, overwrite=self.overwrite)
            check_seeds(self.folder, name, self.seeders, overwrite=self.overwrite)


@dataclass(frozen=True)
class Message:
    """A line for the user, said where the progress bar is."""

    text: str
    """What is said."""
    label: str = ""
    """``note:`` or ``error:``; empty for none."""
    style: str = ""
    """Its colour."""


@dataclass
class Outcome:
    """What became of one file; it can be sent from one process to another."""

    path: Path
    """The file."""
    result: IndexingResult | None = None
    """Its answer; None if an error stopped it."""
    error: Exception | None = None
    """That error."""
    messages: list[Message] = field(default_factory=list)
    """What the user should read."""
    seeded: int = 0
    """Number of seeds that were written."""


class UnexpectedError(Exception):
    """An error of a kind that is not ours, in words: its own class may not be known to the process that reads it."""


@dataclass(frozen=True)
class Task:
    """What is done with each file; it can be sent from one process to another."""

    indexer: Indexer
    """The indexer that is called."""
    load: Callable[[Path], Histogram]
    """Reads a file."""
    settings: Settings
    """The settings of every step."""
    outputs: Outputs
    """Where the answers go."""
    notes: tuple[str, ...] = ()
    """What every answer should say first."""

    def noted(self, result: IndexingResult) -> IndexingResult:
        """The answer with these notes."""
        return dataclasses.replace(result, notes=(*self.notes, *result.notes)) if self.notes else result

    def outcome_of(self, path: Path) -> Outcome:
        """Index one file and write what belongs into the folder; every error is kept in the outcome."""
        outcome = Outcome(path)
        try:
            histogram = self.load(path)
            outcome.result = self.noted(call(self.indexer, histogram, self.settings))
            if self.outputs.folder is not None:
                self._write(outcome, histogram, outcome.result, self.outputs.folder)
        except Exception as error:  # whatever one pattern does, the others go on
            outcome.error = error
        return outcome

    def _write(self, outcome: Outcome, histogram: Histogram, result: IndexingResult, folder: Path) -> None:
        from alphadiffract_plugin.report.plot import save_plot
        from alphadiffract_plugin.seeding.answer import doubts

        name, said = outcome.path.stem, outcome.messages
        make_folder(folder)
        write_text(folder / f"{name}.json", result.to_json(indent=1) + "\n")
        write_whole(folder / f"{name}.png", lambda path: save_plot(histogram, result, path))
        said.append(Message(f"{name}: wrote {folder / name}.json and .png"))
        found = any(candidate.has_cell for candidate in result.candidates)
        for seeder in self.outputs.seeders if found else ():
            try:
                report = seed_into(
                    folder, name, seeder, histogram, result, self.settings, overwrite=self.outputs.overwrite
                )
            except AlphaDiffractError as error:
                if seeder.name not in self.outputs.optional:
                    raise
                said.append(Message(f"{name}: the seeder {seeder.name} failed: {error}", "note:", "yellow"))
            else:
                outcome.seeded += 1
                said.append(Message(f"{name}: {seed_line(report)}"))
        said.extend(
            Message(f"{name}: {doubt}", "note:", "yellow") for doubt in doubts(result) if found and self.outputs.seeders
        )
        if not found:
            said.append(Message(f"{name}: no cell was found, so nothing was seeded"))
