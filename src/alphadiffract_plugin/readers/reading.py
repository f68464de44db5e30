"""What a reader found in a file, before any check."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alphadiffract_plugin.errors import InputError


class NotReadError(InputError):
    """A file that this reader does not understand; another may."""


@dataclass(frozen=True)
class Reading:
    """A pattern as the file has it; ``load`` checks it and makes the Histogram."""

    two_theta: np.ndarray
    """Diffraction angle in degrees, shape (N,), in the order of the file."""
    intensity: np.ndarray
    """Intensity, shape (N,)."""
    reader: str
    """Which reader read it, in words: ``text columns``, ``GSAS``, ``pdCIF`` ..."""
    esd: np.ndarray | None = None
    """Standard uncertainty of ``intensity``, shape (N,); None where the file has none."""
    lines: np.ndarray | None = None
    """Line of the file that each point stands in, counted from 1, shape (N,); None for formats without lines."""
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
