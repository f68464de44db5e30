"""What is done with a list of lines: index it, and write the answer that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alphadiffract_plugin.cli.task import Message, Outcome, Task
from alphadiffract_plugin.output import make_folder, write_text
from alphadiffract_plugin.records import Peaks


@dataclass(frozen=True)
class ListTask(Task):
    """What is done with each list; the built-in indexer alone takes lists."""

    load_lines: Callable[[Path], Peaks] | None = None
    """Reads a file."""

    def outcome_of(self, path: Path) -> Outcome:
        """Index one list; without a pattern nothing is drawn or seeded. Every error is kept in the outcome."""
        from alphadiffract_plugin.pipeline import index_peaks

        outcome = Outcome(path)
        try:
            assert self.load_lines is not None
            outcome.result = self.noted(index_peaks(self.load_lines(path), self.settings, path.stem))
            folder = self.outputs.folder
            if folder is not None:
                make_folder(folder)
                written = folder / f"{path.stem}.json"
                write_text(written, outcome.result.to_json(indent=1) + "\n")
                outcome.messages.append(
                    Message(
                        f"{path.stem}: wrote {written}; with the pattern, "
                        f"'alphadiffract-plugin seed {written} PATTERN -o DIR' starts a refinement"
                    )
                )
        except Exception as error:  # whatever one list does, the others go on
            outcome.error = error
        return outcome
