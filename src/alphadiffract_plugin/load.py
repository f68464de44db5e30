"""Load a measured powder pattern: a file, arrays, or a GSAS-II histogram in memory -> a checked Histogram.

The wavelength is read from the file where the format holds it; otherwise the caller must give it. It is never guessed.
Formats: text columns (xy, xye, csv, dat, txt, chi), start-step-stop blocks, GSAS raw, pdCIF, Philips UDF, Rigaku asc,
Sietronics cpi, and, mostly by geddes, PANalytical xrdml, Rigaku ras and rasx, Bruker raw, uxd and brml. Other files are
tried with rietx where it is installed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alphadiffract_plugin.errors import AlphaDiffractError, InputError, RadiationError, WavelengthError
from alphadiffract_plugin.output import write_text
from alphadiffract_plugin.radiation import radiation_from_text
from alphadiffract_plugin.readers.check import check_resolution, checked_reading
from alphadiffract_plugin.readers.instprm import Instrument, instrument_from_instprm, instrument_from_parameters
from alphadiffract_plugin.readers.line_check import peaks_of_list
from alphadiffract_plugin.readers.line_list import KINDS, LineList, line_list_from_file
from alphadiffract_plugin.readers.reading import Reading
from alphadiffract_plugin.readers.recognise import reading_from_file
from alphadiffract_plugin.readers.selection import Selection
from alphadiffract_plugin.records import Histogram, Peaks


def histogram_from_file(
    path: str | Path, *, wavelength: str | float | Path | None = None, radiation: str | None = None
) -> Histogram:
    """The measured pattern in a file.

    Parameters
    ----------
    path : the file; its format is recognised by its content.
    wavelength : in Å or by name (see ``radiation_from_text``), or the path of a GSAS-II ``.instprm`` file. It takes
        precedence over the file's. None to take it from the file.
    radiation : ``xray`` or ``neutron``; None to take it from the file, and X-rays where the file does not say.

    Raises
    ------
    InputError : the file is not a usable pattern; names the file, the line and how to fix it.
    WavelengthError : the file holds no wavelength and none was given, or it is out of range.
    RadiationError : time of flight, energy-dispersive, or an unknown ``radiation``.
    """
    path = Path(path)
    instrument = _instrument_given(wavelength, radiation)
    reading = checked_reading(reading_from_file(path))
    how = "as given"
    if instrument is None:
        if reading.wavelengths is None:
            raise WavelengthError(
                f"this file ({reading.reader}) does not say its wavelength",
                fix="give --wavelength CuKa (or another name), a number in Å, or an .instprm file",
                where=path,
            )
        kind = radiation or reading.radiation or "xray"
        instrument = Instrument(reading.wavelengths, reading.kalpha2_ratio, kind, dict(reading.instrument))
        how = "from the file"
    else:
        if reading.wavelengths is not None and abs(reading.wavelengths[0] / instrument.wavelengths[0] - 1) > 1e-3:
            how = f"as given, though the file says {reading.wavelengths[0]:g}"
        if instrument.radiation == "" and reading.radiation is not None:
            instrument = dataclasses.replace(instrument, radiation=reading.radiation)
    return _histogram(reading, instrument, name=path.stem, source=f"{path} ({reading.reader}; wavelength {how})")


def histogram_from_arrays(
    two_theta: npt.ArrayLike,
    intensity: npt.ArrayLike,
    esd: npt.ArrayLike | None = None,
    *,
    wavelength: str | float | Path | None,
    radiation: str | None = None,
    name: str = "histogram",
) -> Histogram:
    """The pattern in arrays.

    Parameters
    ----------
    two_theta : diffraction angle in degrees, shape (N,).
    intensity : counts, or anything linear in counts, shape (N,).
    esd : standard uncertainty of ``intensity``, shape (N,), or None.
    wavelength, radiation : as in :func:`histogram_from_file`, except that the wavelength must be given.
    name : of the pattern.

    Raises
    ------
    InputError, WavelengthError, RadiationError : the arrays are not a usable pattern.
    """
    instrument = _instrument_given(wavelength, radiation)
    if instrument is None:
        raise WavelengthError("no wavelength was given", fix="give a name such as CuKa, or a number in Å")
    reading = Reading(
        np.asarray(two_theta, dtype=float),
        np.asarray(intensity, dtype=float),
        "arrays",
        esd=None if esd is None else np.asarray(esd, dtype=float),
    )
    return _histogram(checked_reading(reading), instrument, name=name, source="arrays")


def histogram_from_gsasii(histogram: Any) -> Histogram:
    """The pattern of a ``G2PwdrData`` object that is already in memory; imports nothing of GSAS-II.

    Points outside its limits, in excluded regions or masked are left out; the wavelength, the radiation and the
    instrument parameters are the current values in the project.

    Raises
    ------
    InputError : this is not a GSAS-II powder histogram.
    WavelengthError, RadiationError : its instrument has no wavelength, or is not one of constant wavelength.
    """
    where = f"GSAS-II histogram {getattr(histogram, 'name', '')}".strip()
    try:
        columns: list[np.ma.MaskedArray] = [
            np.ma.asarray(column, dtype=float) for column in histogram.data["data"][1][:3]
        ]
        limits = histogram.data["Limits"]
        parameters = {key: _current(value) for key, value in histogram.data["Instrument Parameters"][0].items()}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"this {type(histogram).__name__} is not a GSAS-II powder histogram",
            fix="give what G2Project.histogram(0) returns",
        ) from error
    instrument = instrument_from_parameters(parameters, where)
    two_theta = columns[0].filled(np.nan)
    keep = ~np.any([np.ma.getmaskarray(column) for column in columns], axis=0)
    keep &= (two_theta >= min(limits[1])) & (two_theta <= max(limits[1]))
    for low, high in limits[2:]:
        keep &= (two_theta < low) | (two_theta > high)
    weight = columns[2].filled(0.0)[keep]
    with np.errstate(divide="ignore", invalid="ignore"):
        esd = np.where(weight > 0, 1 / np.sqrt(weight), 0.0)
    reading = Reading(two_theta[keep], columns[1].filled(np.nan)[keep], "GSAS-II", esd=esd, where=where)
    return _histogram(checked_reading(reading), instrument, name=str(histogram.name), source="GSAS-II project")


def peaks_from_file(
    path: str | Path,
    *,
    wavelength: str | float | Path | None = None,
    kind: str | None = None,
    selection: Selection | None = None,
) -> Peaks:
    """The list of lines in a file, for :func:`pipeline.index_peaks`.

    Parameters
    ----------
    path : text with one line a row (position, and perhaps intensity and esd of the position), or the JSON of an answer
        or of its ``peaks``.
    wavelength : as in :func:`histogram_from_file`; of a doublet Kα1 counts. None to take it from the file; positions in
        d and 1/d² need none.
    kind : what the positions are, ``two_theta`` in degrees, ``d`` in Å or ``inv_d2`` in 1/Å²; None to take it from the
        heading, or from the order of the positions.
    selection : the part of the list that is used, in the unit of its positions; None for all.

    Raises
    ------
    InputError, PeaksError, WavelengthError : the file is no such list, has too few lines, or lacks its wavelength.
    """
    instrument = _instrument_given(wavelength, None)
    lines = line_list_from_file(Path(path), kind)
    if selection is not None:
        lines = selection.of_list(lines)
    return peaks_of_list(lines, instrument.wavelengths[0] if instrument else None)


def peaks_from_arrays(
    positions: npt.ArrayLike,
    intensity: npt.ArrayLike | None = None,
    esd: npt.ArrayLike | None = None,
    *,
    kind: str = "two_theta",
    wavelength: str | float | Path | None = None,
) -> Peaks:
    """A list of lines in arrays, for :func:`pipeline.index_peaks`.

    Parameters
    ----------
    positions : two_theta in degrees, d in Å or 1/d² in 1/Å², shape (P,).
    intensity : heights or areas, shape (P,); None if all lines count as equally strong.
    esd : standard uncertainties of the positions in their unit, shape (P,); None for 0.01 degrees.
    kind : ``two_theta``, ``d`` or ``inv_d2``.
    wavelength : as in :func:`histogram_from_file`; only ``two_theta`` needs one.

    Raises
    ------
    InputError, PeaksError, WavelengthError : the arrays are no such list.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r} is not what positions may be", fix=f"give {', '.join(KINDS)}")
    arrays = [None if values is None else np.asarray(values, dtype=float) for values in (positions, intensity, esd)]
    shapes = [np.shape(values) for values in arrays if values is not None]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1:
        raise InputError(
            f"positions, intensity and esd have shapes {', '.join(map(str, shapes))}",
            fix="give one-dimensional arrays of one length",
        )
    instrument = _instrument_given(wavelength, None)
    lines = LineList(np.asarray(arrays[0]), kind, intensity=arrays[1], esd=arrays[2])
    return peaks_of_list(lines, instrument.wavelengths[0] if instrument else None)


def write_xye(histogram: Histogram, path: str | Path) -> Path:
    """Write two_theta, intensity and esd as text, all or nothing; the path written.

    Every number is written in the shortest form that reads back equal. If the histogram has no esds, √intensity is
    written, and at least 1.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    esd = np.sqrt(np.maximum(histogram.intensity, 1)) if histogram.esd is None else histogram.esd
    rows = zip(histogram.two_theta.tolist(), histogram.intensity.tolist(), esd.tolist(), strict=True)
    return write_text(Path(path), "".join(f"{x!r} {y!r} {s!r}\n" for x, y, s in rows))


def _instrument_given(wavelength: str | float | Path | None, radiation: str | None) -> Instrument | None:
    """The instrument that the caller gives, with radiation '' if it was not given; None without a wavelength."""
    if radiation not in (None, "xray", "neutron"):
        raise RadiationError(f"the radiation {radiation!r} is unknown", fix="give xray or neutron")
    if wavelength is None:
        return None
    if isinstance(wavelength, Path) or str(wavelength).lower().endswith(".instprm"):
        found = instrument_from_instprm(Path(str(wavelength)))
        return dataclasses.replace(found, radiation=radiation or found.radiation)
    wavelengths, ratio = radiation_from_text(wavelength)
    return Instrument(wavelengths, ratio, radiation or "", {})


def _histogram(reading: Reading, instrument: Instrument, *, name: str, source: str) -> Histogram:
    radiation = instrument.radiation or "xray"
    if radiation == "neutron" and instrument.kalpha2_ratio > 0:
        raise WavelengthError(
            "a Kα doublet was given for a neutron pattern",
            fix="give the wavelength of the neutrons in Å, or radiation xray",
            where=reading.where,
        )
    try:
        check_resolution(reading.two_theta, instrument.wavelengths[0])
    except AlphaDiffractError as error:
        raise type(error)(error.what, fix=error.fix, where=reading.where) from None
    return Histogram(
        two_theta=reading.two_theta,
        intensity=reading.intensity,
        esd=reading.esd,
        wavelengths=instrument.wavelengths,
        kalpha2_ratio=instrument.kalpha2_ratio,
        radiation=radiation,
        instrument=instrument.parameters,
        name=name,
        source=source,
    )


def _current(value: Any) -> Any:
    """The current value of a GSAS-II parameter, which is stored as [initial, current, refine]."""
    return value[1] if isinstance(value, (list, tuple)) and len(value) > 1 else value
