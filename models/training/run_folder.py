"""The folder of a run: ``run.toml``, ``checkpoint.pt``, ``log.csv``, ``validation.csv`` and, at the end, ``model/``.

A file is either complete or not there, and a checkpoint replaces the one before it only once it is on the disk.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphadiffract_plugin.errors import OutputError, TrainingError
from alphadiffract_plugin.output import check_folder, write_text, write_whole, writing

if TYPE_CHECKING:
    from ..checkpoint import Network
    from .config import RunSettings

SPACE = "free some disk space, then continue with --resume"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path
    """The folder."""

    @property
    def settings(self) -> Path:
        """The file of all settings."""
        return self.path / "run.toml"

    @property
    def checkpoint(self) -> Path:
        """The file with all that is needed to continue."""
        return self.path / "checkpoint.pt"

    @property
    def model(self) -> Path:
        """The model folder, which is written when training ends."""
        return self.path / "model"

    @property
    def log(self) -> Path:
        """The file with one row a step."""
        return self.path / "log.csv"

    @property
    def validation(self) -> Path:
        """The file with one row for each crystal system and validation."""
        return self.path / "validation.csv"

    def begin(self, settings: RunSettings) -> None:
        """Make the folder and write the settings.

        Raises
        ------
        OutputError : the folder already holds a run, or cannot be written.
        """
        self.refuse_a_second_run()
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.settings, settings.to_toml())

    def refuse_a_second_run(self) -> None:
        """Raise OutputError if the folder holds a run, or cannot be made or written into."""
        check_folder(self.path)
        if self.settings.exists():
            raise OutputError(
                "this folder already holds a run",
                fix="continue it with --resume, or choose another folder with -o",
                where=self.path,
            )

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint; if that fails, the one before it is left as it is.

        Raises
        ------
        OutputError : the disk is full or cannot be written.
        """
        import torch

        held = io.BytesIO()
        torch.save(dict(state), held)

        def write(scratch: Path) -> None:
            with open(scratch, "wb") as handle:
                handle.write(held.getbuffer())
                handle.flush()
                os.fsync(handle.fileno())

        try:
            write_whole(self.checkpoint, write)
        except OutputError as error:
            before = "; the checkpoint before it is intact" if self.checkpoint.exists() else ""
            raise OutputError(f"{error.what}{before}", fix=SPACE, where=self.checkpoint) from error

    def load(self) -> dict[str, Any] | None:
        """The checkpoint; None if there is none yet.

        Raises
        ------
        TrainingError : the file is not a checkpoint.
        """
        return read_checkpoint(self.checkpoint) if self.checkpoint.exists() else None

    def append(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to one of the logs, whose first line names the columns.

        Raises
        ------
        OutputError : the disk is full or cannot be written.
        """
        with writing(path, fix=SPACE):
            fresh = not path.exists()
            with open(path, "a", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, list(rows[0]))
                if fresh:
                    writer.writeheader()
                writer.writerows(rows)

    def forget_after(self, step: int) -> None:
        """Remove the rows of later steps from the logs, because these steps will be repeated."""
        for path in (self.log, self.validation):
            if path.exists():
                with open(path, newline="", encoding="utf-8") as handle:
                    reader = csv.reader(handle)
                    header = next(reader, [])
                    kept = [row for row in reader if len(row) == len(header) and int(row[0]) <= step]
                text = io.StringIO()
                csv.writer(text).writerows([header, *kept])
                write_text(path, text.getvalue())

    def write_model(self, network: Network, settings: RunSettings, provenance: Mapping[str, Any]) -> Path:
        """Write ``model/`` in place of the one before it.

        Raises
        ------
        OutputError : the disk is full or cannot be written.
        """
        from .. import checkpoint

        scratch = self.path / ".model"
        with writing(self.model, fix=SPACE):
            shutil.rmtree(scratch, ignore_errors=True)
            checkpoint.save(
                network, settings.grid, scratch, provenance=provenance, normalisation=settings.normalisation
            )
            shutil.rmtree(self.model, ignore_errors=True)
            scratch.rename(self.model)
        return self.model


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What :meth:`RunFolder.save` wrote, on the CPU: ``network``, ``average``, ``optimisers``, ``step`` ...

    Raises
    ------
    TrainingError : the file is missing or is not a checkpoint.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and {"network", "average", "step"} <= set(state):
            return state
        reason = "it lacks the weights"
    except Exception as error:  # torch raises errors of many kinds for a damaged file
        reason = str(error).splitlines()[0]
    raise TrainingError(
        f"this file is not the checkpoint of a run: {reason}",
        fix="name the folder of a run, or begin a new one",
        where=path,
    )
