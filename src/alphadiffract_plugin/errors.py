"""Errors that a user can fix: each says what is wrong, where, and how to fix it.

All derive from :class:`AlphaDiffractError`. The command line catches that class, prints the message and leaves with its
``exit_code``. A defect of this program raises an ordinary Python error instead.
"""

from __future__ import annotations

from pathlib import Path


class AlphaDiffractError(Exception):
    """Base of every error that a user can fix.

    Parameters
    ----------
    what : what is wrong, in one sentence.
    fix : what to do about it, in one sentence or one command.
    where : the file concerned, if any.
    line : the line in that file, counted from 1, if known.
    """

    exit_code = 2

    def __init__(self, what: str, *, fix: str, where: str | Path | None = None, line: int | None = None) -> None:
        self.what, self.fix, self.where, self.line = what, fix, where, line
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        """How a process sends the error to another one."""
        return _remade, (type(self), self.what, self.fix, self.where, self.line)

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}" + (f", line {self.line}" if self.line else "") + ": "
        return f"{place}{self.what}\n  How to fix it: {self.fix}"


def _remade(
    kind: type[AlphaDiffractError], what: str, fix: str, where: str | Path | None, line: int | None
) -> AlphaDiffractError:
    return kind(what, fix=fix, where=where, line=line)


class InputError(AlphaDiffractError):
    """A file or array that cannot be used as a powder pattern."""


class WavelengthError(AlphaDiffractError):
    """A wavelength that is missing or out of range."""


class RadiationError(AlphaDiffractError):
    """A kind of measurement that this step cannot use (time of flight; neutrons for the X-ray network)."""


class PeaksError(AlphaDiffractError):
    """Too few diffraction lines stand above the noise to look for a cell."""


class ModelError(AlphaDiffractError):
    """A model folder that is missing, damaged or of another kind."""


class OutputError(AlphaDiffractError):
    """Output that cannot be written, or would replace what is there."""


class SettingsError(AlphaDiffractError):
    """A setting that does not exist, is out of range or excludes another one."""


class GSASIIError(AlphaDiffractError):
    """GSAS-II cannot be imported, or a step inside it failed."""


class UntrustedFileError(AlphaDiffractError):
    """A file that would make GSAS-II run code when it is opened."""


class StructureError(AlphaDiffractError):
    """Crystal structures that cannot be read, or that must not be used for training."""


class TrainingError(AlphaDiffractError):
    """Training that cannot begin or continue: a loss that is not finite, a damaged checkpoint, a missing package."""
