"""Powder CIF: the measured pattern and the wavelength of one data block.

Tags: International Tables G (2005), chapters 3.3 and 4.2 (pdCIF). Names with dots count as those with underscores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.errors import InputError, RadiationError
from alphadiffract_plugin.radiation import wavelengths_from_file
from alphadiffract_plugin.readers.reading import NotReadError, Reading, Wavelengths

_TWO_THETA = ("_pd_proc_2theta_corrected", "_pd_meas_2theta_corrected", "_pd_meas_2theta_scan", "_pd_meas_angle_2theta")
_INTENSITY = (
    "_pd_meas_counts_total",
    "_pd_meas_intensity_total",
    "_pd_proc_intensity_total",
    "_pd_proc_intensity_net",
    "_pd_meas_intensity_net",
    "_pd_proc_intensity_norm",
)
_WAVELENGTH = (
    "_diffrn_radiation_wavelength",
    "_diffrn_radiation_wavelength_wavelength",
    "_diffrn_radiation_wavelength_value",
    "_pd_proc_wavelength",
)


def reading_from_cif(text: str, path: Path) -> Reading:
    """The pattern in such a text.

    Raises
    ------
    InputError : it is not a CIF, or holds no measured pattern, or several.
    RadiationError : the pattern is over time of flight.
    """
    from gemmi import cif

    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        place = re.match(r"string:(\d+):\S*\s*(.*)", str(error), re.S)
        raise NotReadError(
            f"this CIF cannot be read: {place[2] if place else error}",
            fix="correct the CIF, or write its pattern as text columns",
            where=path,
            line=int(place[1]) if place else None,
        ) from error
    blocks = [{tag: values for tag, values in _items(block)} for block in document]
    patterns = [block for block in blocks if any(tag in block and len(block[tag]) > 1 for tag in _INTENSITY)]
    if not patterns:
        raise InputError(
            "this CIF holds no measured powder pattern",
            fix="give a CIF with a _pd_meas or _pd_proc intensity loop, or the pattern as text columns",
            where=path,
        )
    if len(patterns) > 1:
        raise InputError(
            f"this CIF holds {len(patterns)} patterns",
            fix="keep one data block with a pattern in a file of its own",
            where=path,
        )
    (block,) = patterns
    tag = next(tag for tag in _INTENSITY if len(block.get(tag, ())) > 1)
    intensity, uncertainty = _numbers(block[tag])
    wavelengths, ratio = _wavelengths(block, [other for other in blocks if other is not block])
    return Reading(
        two_theta=_two_theta(block, len(intensity), path),
        intensity=intensity,
        esd=_esd(block, tag, intensity, uncertainty),
        reader="pdCIF",
        wavelengths=wavelengths,
        kalpha2_ratio=ratio,
        radiation="neutron" if "neutron" in _text(block, "_diffrn_radiation_probe").lower() else None,
        where=path,
    )


def _items(block: Any) -> Iterator[tuple[str, list[str]]]:
    for item in block:
        if item.pair is not None:
            yield item.pair[0].lower().replace(".", "_"), [item.pair[1]]
        elif item.loop is not None:
            width = item.loop.width()
            for column, tag in enumerate(item.loop.tags):
                yield tag.lower().replace(".", "_"), item.loop.values[column::width]


def _numbers(values: list[str]) -> tuple[Floats, Floats]:
    """Values and the uncertainties in their brackets (NaN without), ``12.5(3)`` -> 12.5, 0.3."""
    from gemmi import cif

    bare = [value.split("(")[0] for value in values]
    numbers = np.array([cif.as_number(value) for value in bare])
    uncertainty = np.full(len(values), math.nan)
    for index, (value, plain) in enumerate(zip(values, bare, strict=True)):
        if value != plain:
            digits = value[len(plain) + 1 : -1]
            decimals = len(plain.split(".")[1]) if "." in plain else 0
            uncertainty[index] = float(digits) * 10.0**-decimals if digits.isdigit() else math.nan
    return numbers, uncertainty


def _two_theta(block: dict[str, list[str]], points: int, path: Path) -> Floats:
    for tag in _TWO_THETA:
        if len(block.get(tag, ())) == points:
            return _numbers(block[tag])[0]
    for kind in ("_pd_proc_2theta_range", "_pd_meas_2theta_range"):
        low, high, step = (_first(block, f"{kind}_{end}") for end in ("min", "max", "inc"))
        if not math.isnan(low + high) and points > 1:
            spacing = (high - low) / (points - 1)
            if math.isnan(step) or abs(spacing - step) * points < step:
                return np.linspace(low, high, points)
    if any("time_of_flight" in tag for tag in block):
        raise RadiationError(
            "this is a time-of-flight pattern",
            fix="give a pattern of one wavelength over two_theta in degrees; time of flight is not supported",
            where=path,
        )
    raise InputError(
        f"this CIF has {points} intensities, but not as many values of two_theta",
        fix="add a _pd_meas_2theta_scan column, or write the pattern as text columns",
        where=path,
    )


def _esd(block: dict[str, list[str]], tag: str, intensity: Floats, uncertainty: Floats) -> Floats | None:
    """The esd from brackets, from a column ``_su`` or ``_esd``, or from the weights 1/σ²; None if there is none.

    Some programs write σ or a constant as the weight. So weights are used only if the median of 1/√weight is 0.2 to 5
    times √intensity.
    """
    if not np.all(np.isnan(uncertainty)):
        return uncertainty
    for suffix in ("_su", "_esd"):
        if len(block.get(tag + suffix, ())) == len(uncertainty):
            return _numbers(block[tag + suffix])[0]
    weights = block.get("_pd_proc_ls_weight", ())
    if len(weights) != len(uncertainty):
        return None
    weight = _numbers(list(weights))[0]
    usable = (weight > 0) & (intensity > 0)
    if not np.any(usable) or not 0.2 < np.median(1 / np.sqrt(weight[usable] * intensity[usable])) < 5:
        return None
    return 1 / np.sqrt(np.where(weight > 0, weight, np.inf))


def _wavelengths(block: dict[str, list[str]], others: list[dict[str, list[str]]]) -> Wavelengths:
    """The block's own wavelength; else that of the other blocks where they agree."""
    own = _stated(block)
    if own[0] is not None:
        return own
    elsewhere = {_stated(other) for other in others} - {(None, 0.0)}
    return elsewhere.pop() if len(elsewhere) == 1 else (None, 0.0)


def _stated(block: dict[str, list[str]]) -> Wavelengths:
    for tag in _WAVELENGTH:
        values = [value for value in _numbers(block.get(tag, []))[0] if not math.isnan(value)]
        if values:
            weights = _numbers(block.get("_diffrn_radiation_wavelength_wt", []))[0]
            ratio = weights[1] / weights[0] if len(weights) > 1 and weights[0] > 0 else 0.5
            return wavelengths_from_file(values, ratio=ratio, name=_text(block, "_diffrn_radiation_type"))
    return None, 0.0


def _first(block: dict[str, list[str]], tag: str) -> float:
    return float(_numbers(block[tag])[0][0]) if block.get(tag) else math.nan


def _text(block: dict[str, list[str]], tag: str) -> str:
    from gemmi import cif

    return cif.as_string(block[tag][0]) if block.get(tag) else ""
