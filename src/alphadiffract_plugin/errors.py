"""What can go wrong for a user: each error says what is wrong, where, and how to fix it.

All derive from :class:`AlphaDiffractError`; the command line catches that one class, prints the message
and leaves with ``exit_code``. Nothing here is raised for a bug of ours.
"""

from __future__ import annotations

from pathlib import Path


class AlphaDiffractError(Exception):
    """Base of every error that a user can fix.

    Parameters
    ----------
    what : the fault, in one sentence.
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
    """A file or array that is no usable powder histogram."""


class WavelengthError(AlphaDiffractError):
    """No wavelength was given or found, or it is out of range."""


class RadiationError(AlphaDiffractError):
    """A kind of measurement that this step cannot use (time of flight; neutrons for the X-ray network)."""


class PeaksError(AlphaDiffractError):
    """Too few diffraction lines stand above the noise to look for a cell."""


class ModelError(AlphaDiffractError):
    """A model folder that is missing, corrupt or of another shape."""


class OutputError(AlphaDiffractError):
    """The output cannot be written, or would overwrite what is there."""


class SettingsError(AlphaDiffractError):
    """A setting that does not exist or is out of range."""


class GSASIIError(AlphaDiffractError):
    """GSAS-II is not importable, or a step inside it failed."""


class UntrustedFileError(AlphaDiffractError):
    """A file that would make GSAS-II run code when it is opened."""


class StructureError(AlphaDiffractError):
    """Crystal structures that cannot be read, or that training must not see."""


class TrainingError(AlphaDiffractError):
    """Training that cannot begin or go on: a loss that is no number, a damaged checkpoint, a missing package."""
