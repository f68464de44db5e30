"""GSAS-II instrument parameters (.instprm): the wavelength and the profile of a constant-wavelength instrument.

Plain ``key:value`` text. ``CorrectionCode``, which GSAS-II would execute, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alphadiffract_plugin.errors import InputError, RadiationError, UntrustedFileError, WavelengthError
from alphadiffract_plugin.radiation import check_doublet, check_wavelength
from alphadiffract_plugin.readers.reading import opened_for_reading


@dataclass(frozen=True)
class Instrument:
    """The instrument as an instrument-parameter file or a GSAS-II histogram describes it."""

    wavelengths: tuple[float, ...]
    """One wavelength or Kα1 and Kα2 in Å."""
    kalpha2_ratio: float
    """Intensity of Kα2 over Kα1."""
    radiation: str
    """``xray`` or ``neutron``."""
    parameters: dict[str, float | str]
    """Everything else, under GSAS-II's names."""


def instrument_from_instprm(path: Path) -> Instrument:
    """The instrument in an .instprm file.

    Raises
    ------
    InputError : the file cannot be read, or is not such a file.
    UntrustedFileError : it holds code that GSAS-II would run.
    WavelengthError, RadiationError : see :func:`instrument_from_parameters`.
    """
    with opened_for_reading(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    lines = lines_as_gsasii(text)
    check_no_code(lines, path)
    parameters: dict[str, float | str] = {}
    for line in lines:
        for entry in [] if line.lstrip().startswith("#") else line.split(";"):
            key, colon, value = entry.partition(":")
            if colon:
                parameters[key.strip()] = _number_or_text(value.strip())
    if "Type" not in parameters:
        raise InputError(
            "this is not a GSAS-II instrument-parameter file: it has no Type",
            fix="give an .instprm file, or the wavelength in Å",
            where=path,
        )
    return instrument_from_parameters(parameters, path)


def instrument_from_parameters(parameters: dict[str, float | str], where: Path | str | None) -> Instrument:
    """The instrument with these GSAS-II parameters.

    Raises
    ------
    RadiationError : not of constant wavelength (``Type`` PNT and the like).
    WavelengthError : neither ``Lam`` nor ``Lam1`` and ``Lam2``, or out of range.
    UntrustedFileError : they hold code, which would be copied into every file that is written from them.
    """
    if any(is_code(f"{key}{value}") for key, value in parameters.items()):
        raise UntrustedFileError(
            "the instrument parameters hold CorrectionCode, which GSAS-II would run",
            fix="read what it does, then delete it",
            where=where,
        )
    kind = str(parameters.get("Type", ""))
    if len(kind) != 3 or kind[0] != "P" or kind[1] not in "XN" or kind[2] not in "CA":
        what = {"T": "time of flight", "E": "energy dispersive", "B": "a pink beam"}.get(kind[2:], "not a known one")
        raise RadiationError(
            f"the instrument type {kind or '(none)'} is {what}",
            fix="give a pattern of one wavelength over two_theta in degrees (PXC or PNC)",
            where=where,
        )
    try:
        if "Lam1" in parameters:
            pair = (float(parameters["Lam1"]), float(parameters["Lam2"]))
            ratio = float(parameters.get("I(L2)/I(L1)", 0.5))
            wavelengths, ratio = check_doublet(pair, ratio) if ratio > 0 else ((check_wavelength(pair[0]),), 0.0)
        else:
            wavelengths, ratio = (check_wavelength(float(parameters["Lam"])),), 0.0
    except (KeyError, ValueError) as error:
        raise WavelengthError(
            "the instrument parameters hold no wavelength (Lam, or Lam1 and Lam2)",
            fix="give --wavelength CuKa, or a number in Å",
            where=where,
        ) from error
    except WavelengthError as error:
        raise WavelengthError(error.what, fix=error.fix, where=where) from None
    rest = {key: value for key, value in parameters.items() if key not in ("Lam", "Lam1", "Lam2", "I(L2)/I(L1)")}
    return Instrument(wavelengths, ratio, "neutron" if kind[1] == "N" else "xray", rest)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def lines_as_gsasii(text: str) -> list[str]:
    """The lines of the text as GSAS-II splits it: at newlines alone, unlike ``str.splitlines``."""
    return re.split(r"\r\n|\r|\n", text)


def check_no_code(lines: Sequence[str], path: Path) -> None:
    """Refuse these lines of an instrument-parameter file if one of them holds ``CorrectionCode``.

    Comments are refused too: GSAS-II reads the line after a comment as parameters, even if it begins with ``#``.

    Raises
    ------
    UntrustedFileError : one does; the message gives its number.
    """
    for number, line in enumerate(lines, start=1):
        if is_code(line):
            raise UntrustedFileError(
                "this file holds CorrectionCode, which GSAS-II would run",
                fix="read what it does, then delete that line",
                where=path,
                line=number,
            )


def is_code(text: str) -> bool:
    """Whether the text holds ``CorrectionCode``, with or without blanks: GSAS-II removes them."""
    return "correctioncode" in re.sub(r"\s", "", text).lower()
