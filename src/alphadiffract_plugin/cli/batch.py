"""Index several files: write what was asked for, and go on after one that fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphadiffract_plugin.cli.jobs import outcomes_of_processes
from alphadiffract_plugin.cli.task import STDOUT, Outcome, Task, UnexpectedError
from alphadiffract_plugin.errors import AlphaDiffractError, OutputError
from alphadiffract_plugin.hooks import PluginError
from alphadiffract_plugin.output import write_text, writing
from alphadiffract_plugin.progress import say, track
from alphadiffract_plugin.records import IndexingResult


@dataclass
class Batch:
    """One run of an indexer over files."""

    task: Task
    """What is done with each file."""
    jobs: int = 1
    """Processes among which several files are shared, one thread each."""
    failed: list[Path] = field(default_factory=list)
    """Files that could not be indexed."""
    seeded: int = 0
    """Number of seeds that were written."""

    def run(self, paths: Sequence[Path]) -> list[tuple[str, IndexingResult]]:
        """Index the files; the answers with the names of their files, in the order of the files.

        Raises
        ------
        OutputError, SettingsError : something could not be written; nothing was done.
        AlphaDiffractError, PluginError : the only file failed.
        """
        self.task.outputs.check([path.stem for path in paths])
        answers: list[tuple[str, IndexingResult]] = []
        outcomes = self._outcomes(paths)
        for outcome in outcomes if len(paths) == 1 else track(outcomes, "indexing", total=len(paths)):
            if outcome.result is not None:
                answers.append((outcome.path.name, outcome.result))
                self._write_lines(outcome.result)
            for message in outcome.messages:
                say(message.text, message.label, message.style)
            self.seeded += outcome.seeded
            if outcome.error is not None:
                self._failed(outcome.path, outcome.error, alone=len(paths) == 1)
        return answers

    def _outcomes(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        if min(self.jobs, len(paths)) > 1:
            return outcomes_of_processes(self.task, paths, self.jobs)
        return map(self.task.outcome_of, paths)

    def _failed(self, path: Path, error: Exception, *, alone: bool) -> None:
        if alone or isinstance(error, OutputError):
            raise error
        self.failed.append(path)
        known = isinstance(error, (AlphaDiffractError, PluginError, UnexpectedError))
        text = str(error) if known else f"{type(error).__name__}: {error}"
        say(text if str(path) in text else f"{path}: {text}", "error:", "bold red")

    def _write_lines(self, result: IndexingResult) -> None:
        out = self.task.outputs
        if out.json == STDOUT:
            print(result.to_json(indent=1))
        elif out.json:
            write_text(Path(out.json), result.to_json(indent=1) + "\n")
        if out.jsonl == STDOUT:
            print(result.to_json(), flush=True)
        elif out.jsonl:
            self._append(Path(out.jsonl), result.to_json())

    def _append(self, path: Path, line: str) -> None:
        mode = "a" if self._started else "w"
        self._started = True
        with writing(path), path.open(mode, encoding="utf-8") as out:
            out.write(line + "\n")

    _started: bool = False
