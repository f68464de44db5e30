"""Load a measured powder pattern: a file, arrays, or a GSAS-II histogram in memory -> a checked Histogram.

The wavelength is read from the file where the format holds it, or demanded; it is never guessed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from alphadiffract_plugin.errors import InputError, OutputError, RadiationError, WavelengthError
from alphadiffract_plugin.radiation import radiation_from_text
from alphadiffract_plugin.records import Histogram


def histogram_from_file(
    path: str | Path, *, wavelength: str | float | None = None, radiation: str | None = None
) -> Histogram:
    """The measured pattern in a file.

    Parameters
    ----------
    path : the file.
    wavelength : in Å or by name (see ``radiation_from_text``); None to take it from the file.
    radiation : ``xray`` or ``neutron``; None to take it from the file, and X-rays where the file does not say.

    Raises
    ------
    InputError, WavelengthError, RadiationError : the file is no usable pattern; names file, line and mend.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such file", mend="check the path", where=path)
    try:
        columns = np.loadtxt(path, comments=("#", "!", "'", ";"), ndmin=2)
    except ValueError as error:
        raise InputError("this is no table of numbers", mend="give two_theta and intensity", where=path) from error
    two_theta, intensity, *rest = columns.T
    try:
        return histogram_from_arrays(
            two_theta,
            intensity,
            rest[0] if rest else None,
            wavelength=wavelength,
            radiation=radiation or "xray",
            name=path.stem,
            source=f"{path} (text columns)",
        )
    except (InputError, WavelengthError, RadiationError) as error:
        raise type(error)(error.what, mend=error.mend, where=path, line=error.line) from None


def histogram_from_arrays(
    two_theta: np.ndarray,
    intensity: np.ndarray,
    esd: np.ndarray | None = None,
    *,
    wavelength: str | float | None,
    radiation: str = "xray",
    name: str = "histogram",
    source: str = "arrays",
) -> Histogram:
    """The pattern in arrays of shape (N,): two_theta in degrees, intensity in counts, esd of intensity.

    Raises
    ------
    InputError, WavelengthError, RadiationError : the arrays are no usable pattern.
    """
    if wavelength is None:
        raise WavelengthError("no wavelength was given", mend="give --wavelength CuKa, or a number in Å")
    wavelengths, ratio = radiation_from_text(wavelength)
    return Histogram(
        two_theta=two_theta,
        intensity=intensity,
        esd=esd,
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        radiation=radiation,
        name=name,
        source=source,
    )


def histogram_from_gsasii(histogram: Any) -> Histogram:
    """The pattern of a ``G2PwdrData`` object that is already in memory; needs no GSAS-II."""
    x, counts, weight = (np.ma.filled(np.ma.asarray(a, dtype=float), np.nan) for a in histogram.data["data"][1][:3])
    inst = histogram.data["Instrument Parameters"][0]
    doublet = "Lam1" in inst
    text = f"{inst['Lam1'][1]}/{inst['Lam2'][1]}/{inst['I(L2)/I(L1)'][1]}" if doublet else inst["Lam"][1]
    keep = np.isfinite(x) & np.isfinite(counts)
    esd = np.where(weight > 0, 1 / np.sqrt(np.where(weight > 0, weight, 1)), np.nan)
    return histogram_from_arrays(
        x[keep], counts[keep], esd[keep], wavelength=text, name=str(histogram.name), source="GSAS-II project"
    )


def write_xye(histogram: Histogram, path: str | Path) -> Path:
    """Write two_theta, intensity and esd as text, all or nothing; the path written.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    path = Path(path)
    esd = histogram.esd if histogram.esd is not None else np.sqrt(np.maximum(histogram.intensity, 1))
    columns = np.column_stack([histogram.two_theta, histogram.intensity, esd])
    try:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            np.savetxt(out, columns, fmt="%.10g")
        os.replace(scratch, path)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", mend="choose another folder", where=path) from error
    return path
