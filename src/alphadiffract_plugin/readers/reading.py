"""What a reader found in a file, before any check."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from alphadiffract_plugin.arrays import Floats, Ints
from alphadiffract_plugin.errors import InputError

Wavelengths: TypeAlias = tuple[tuple[float, ...] | None, float]
"""One wavelength or Kα1 and Kα2 in Å, None where the file gives none; and the intensity of Kα2 over Kα1."""


class NotReadError(InputError):
    """A file that this reader cannot read, while another one may."""


@dataclass(frozen=True)
class Reading:
    """A pattern as the file has it; ``load`` checks it and makes the Histogram."""

    two_theta: Floats
    """Diffraction angle in degrees, shape (N,), in the order of the file."""
    intensity: Floats
    """Intensity, shape (N,)."""
    reader: str
    """Which reader read it: ``text columns``, ``GSAS STD``, ``pdCIF`` ..."""
    esd: Floats | None = None
    """Standard uncertainty of ``intensity``, shape (N,); None where the file has none."""
    lines: Ints | None = None
    """Line of the file that each point comes from, counted from 1, shape (N,); None for formats without lines."""
    wavelengths: tuple[float, ...] | None = None
    """One wavelength or Kα1 and Kα2 in Å; None where the file does not say."""
    kalpha2_ratio: float = 0.0
    """Intensity of Kα2 over Kα1."""
    radiation: str | None = None
    """``xray`` or ``neutron``; None where the file does not say."""
    instrument: dict[str, float | str] = field(default_factory=dict)
    """Instrument parameters under GSAS-II's names."""
    where: Path | str | None = None
    """The file."""


@contextlib.contextmanager
def opened_for_reading(path: Path) -> Iterator[None]:
    """Report an OSError inside as an InputError about the file.

    Raises
    ------
    InputError : the file system refused; the message gives its reason.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"this file cannot be read: {error.strerror or error}",
            fix="check the path and its permissions",
            where=path,
        ) from error
