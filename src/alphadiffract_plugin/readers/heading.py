"""The heading of a text file: the wavelengths and the radiation that it states.

Forms that laboratories and beamlines write: ``wavelength = 0.4139``, ``Lambda: 1.54 nm``, a PANalytical csv's
``K-Alpha1 wavelength,1.540598``, the wavelength alone on the first line (DASH), and the line ``lambda= 1.494, T= 300``
of the neutron diffractometers of PSI.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from alphadiffract_plugin.radiation import KALPHA2_RATIO, wavelengths_from_file
from alphadiffract_plugin.readers.reading import Wavelengths

_NUMBER = r"((?:\d+\.\d*|\.\d+|\d+(?!,\d))(?:e[-+]?\d+)?)(?!\.?\d)"
_STATED = re.compile(
    r"(?:wave[\s_-]*length|lambda|λ)\s*(?:[(\[][^)\]]*[)\]])?(?:\s*[=:]\s*|[,;\t]\s*|\s+)"
    + _NUMBER
    + r"\s*(nm|pm|m\b)?",
    re.I,
)
_LINES = (
    r"k[\s_-]*(?:alpha|α|a)[\s_-]*1\b[^=:,;\t\d]*[=:,;\t]\s*",
    r"k[\s_-]*(?:alpha|α|a)[\s_-]*2\b[^=:,;\t\d/]*[=:,;\t]\s*",
    r"ratio[\s,_]*k[\s_-]*(?:alpha|α|a)[\s_-]*2\s*/\s*k[\s_-]*(?:alpha|α|a)[\s_-]*1[^=:,;\t]*[=:,;\t]\s*",
)
"""How the heading names Kα1, Kα2 and their ratio."""
_FIRST_LINE = re.compile(r"\s*(\d?\.\d{2,})\s*")
_PSI_NEUTRON = re.compile(r"^\s*lambda\s*=\s*[\d.]+\s*,\s*T\s*=", re.I)
_NEUTRON = re.compile(r"\b(?:radiation|probe|source|beam)\w*\s*[=:,]\s*neutrons?\b", re.I)


def wavelengths_in_heading(heading: Sequence[str]) -> Wavelengths:
    """The wavelengths that lines above the numbers state, in Å; (None, 0) where none does.

    A number alone on the first line is the wavelength if it has two decimals or more and lies within 0.05 to 5 Å.
    """
    alpha1, alpha2, ratio = (_number_after(words, heading) for words in _LINES)
    if alpha1 is not None:
        if alpha2 is None or ratio == 0:
            return wavelengths_from_file([alpha1])
        return wavelengths_from_file([alpha1, alpha2], ratio=KALPHA2_RATIO if ratio is None else ratio)
    for line in heading:
        match = _STATED.search(line)
        if match:
            scale = {"nm": 10.0, "pm": 0.01, "m": 1e10}.get((match[2] or "").lower(), 1.0)
            return wavelengths_from_file([float(match[1]) * scale])
    alone = _FIRST_LINE.fullmatch(heading[0]) if heading else None
    return wavelengths_from_file([float(alone[1])]) if alone else (None, 0.0)


def radiation_in_heading(heading: Sequence[str]) -> str | None:
    """``neutron`` where the lines say so, or are those of a neutron diffractometer of PSI (DMC, HRPT); else None."""
    says = any(_PSI_NEUTRON.search(line) or _NEUTRON.search(line) for line in heading)
    return "neutron" if says else None


def _number_after(words: str, heading: Sequence[str]) -> float | None:
    """The number that follows these words in the heading; None if it has none."""
    found = (re.search(words + _NUMBER, line, re.I) for line in heading)
    return next((float(match[1]) for match in found if match), None)
