"""What the instrument, the sample and the counting do to a pattern: every effect with its range, unit and source.

One rule for all: a range is (low, high), one number stands for a range of that one value, and 0 switches the effect
off; a share is the part of all patterns that an effect meets, and 0 switches it off too. Widths go by GSAS-II's names
and units (Toby & Von Dreele 2013). Three presets: ``paper`` is AlphaDiffract's simulation (arXiv:2603.23367) and
nothing else, ``laboratory`` what measured patterns show, ``ideal`` a diffractometer and a sample without a fault.

>>> import dataclasses
>>> from alphadiffract_plugin.models.simulation.effects import PRESETS
>>> dataclasses.replace(PRESETS["laboratory"], zero=0, w=5).w
(5.0, 5.0)
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphadiffract_plugin.errors import InputError, RadiationError, SettingsError

Range = tuple[float, float] | float
"""Lowest and highest value, or one for both; 0 is off. As an attribute it is always a pair."""

SHARES = ("kalpha2_share", "synchrotron_share", "texture_share", "impurity_share", "foreign_share", "cut_share")
SIGNED = ("strain", "dilation", "u", "v", "w", "x", "y", "zero", "displacement", "leftover")
"""Ranges that may hold negative values; refined widths of an instrument do."""
POSITIVE = ("size", "texture", "counts")
"""Ranges that begin above 0, unless they are off."""

MOST = {
    "strain": 0.5,
    "dilation": 0.5,
    "b_iso": 100.0,
    "sh_l": 1.0,
    "kalpha2_ratio": 1.0,
    "kalpha2_rest": 1.0,
    "zero": 5.0,
    "displacement": 5.0,
    "noise": 1.0,
}
"""What neither end of a range may exceed in magnitude: beyond it no pattern is left, or no cell."""


def _range(name: str, value: object) -> Range:
    pair = (value, value) if _is_number(value) else value
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(_is_number, pair)) and pair[0] <= pair[1]):
        _refuse(name, value, "a number, or the lowest and the highest: [low, high]; 0 switches it off")
    if name not in SIGNED and pair[0] < 0:
        _refuse(name, value, "nothing below 0")
    if name in POSITIVE and pair[0] <= 0 < pair[1]:
        _refuse(name, value, "a range that begins above 0, or 0 for off")
    if max(-pair[0], pair[1]) > MOST.get(name, math.inf):
        _refuse(name, value, f"nothing beyond {MOST[name]:g}")
    if name == "polarisation" and pair[1] > 1:
        _refuse(name, value, "a range within 0 to 1")
    return float(pair[0]), float(pair[1])


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(name: str, value: object, allowed: str) -> None:
    raise SettingsError(f"the effect {name} is {value!r}", fix=f"give {allowed}")


@dataclass(frozen=True)
class Effects:
    """Ranges of everything that is drawn, pattern by pattern; the defaults are the preset ``laboratory``.

    "Seen" marks what was set by looking at measured patterns of laboratory diffractometers.
    """

    wavelength: float = 1.5405929
    """Å. Widths and shifts are in degrees of two_theta at this wavelength; 0 stands for that of the network's grid."""
    log: bool = True
    """Whether a range whose low end is above 0 is drawn log-uniformly; all others are drawn uniformly."""

    strain: Range = (-0.02, 0.02)
    """Each strain of the cell that its crystal system allows: structures from calculations are off by so much."""
    dilation: Range = (-0.02, 0.02)
    """Isotropic strain of the cell: temperature, pressure, composition, the bias of calculated cells."""
    b_iso: Range = (0.2, 3.0)
    """Overall displacement factor B in Å², beyond what the lines hold (International Tables C, 6.1)."""

    u: Range = (0.0, 10.0)
    """Gaussian variance that goes with tan²θ, 0.0001 degrees² (Caglioti et al. 1958)."""
    v: Range = (-3.0, 0.0)
    """Gaussian variance that goes with tan θ, 0.0001 degrees²."""
    w: Range = (0.5, 20.0)
    """Constant Gaussian variance, 0.0001 degrees²: FWHM from 0.017 to 0.11° (seen)."""
    x: Range = (0.0, 0.0)
    """Lorentzian FWHM of the instrument that goes with 1/cos θ, 0.01 degrees."""
    y: Range = (0.0, 0.0)
    """Lorentzian FWHM of the instrument that goes with tan θ, 0.01 degrees."""
    size: Range = (0.04, 3.0)
    """Crystallite size in µm, isotropic, Lorentzian (Scherrer with K = 1): FWHM 1.8 λ / (π size cos θ)."""
    microstrain: Range = (50.0, 5000.0)
    """Microstrain in 1e-6, isotropic, Lorentzian: FWHM in radians is microstrain · tan θ."""
    sh_l: Range = (0.0, 0.07)
    """Axial divergence (S + H)/L (Finger, Cox & Jephcoat 1994): a one-sided exponential of the same mean shift."""

    kalpha2_share: float = 0.6
    """Share of patterns with Kα1 and Kα2."""
    kalpha2_ratio: Range = (0.48, 0.52)
    """Intensity of Kα2 over Kα1 in them (Hölzer et al. 1997)."""
    kalpha2_wavelength: float = 1.5444274 / 1.5405929
    """Wavelength of Kα2 over that of Kα1: copper."""
    kalpha2_rest: Range = (0.0, 0.1)
    """What a monochromator or software that strips Kα2 leaves of it, in the other patterns (seen)."""
    synchrotron_share: float = 0.2
    """Share of patterns taken in the plane of a polarised beam: no polarisation factor."""
    polarisation: Range = (0.5, 0.57)
    """GSAS-II's Polariz. of the other patterns: 0.5 without, 0.57 with a graphite monochromator."""

    zero: Range = (-0.07, 0.07)
    """Shift of all lines, degrees (seen)."""
    displacement: Range = (-0.1, 0.1)
    """Shift that goes with cos θ, degrees: a sample 0.1 mm off at a radius of 115 mm gives 0.1° (seen)."""

    texture_share: float = 0.5
    """Share of patterns with preferred orientation."""
    texture: Range = (0.55, 1.8)
    """r of March (1932) and Dollase (1986) about a*, b* or c*: below 1 plates, above 1 needles."""
    jitter: Range = (0.03, 0.5)
    """Standard deviation of ln(intensity) line by line: few grains, absorption, a structure that is not quite that."""
    impurity_share: float = 0.25
    """Share of patterns with the pattern of another crystal of the batch in them; none in a batch of one."""
    impurity: Range = (0.01, 0.2)
    """Its height over the maximum."""
    foreign_share: float = 0.15
    """Share of patterns with up to three lines of no crystal: tungsten Lα, the holder, a spike."""
    foreign: Range = (0.01, 0.1)
    """Their areas over that of the strongest line."""

    background: Range = (0.0003, 0.02)
    """Height over the maximum of the smooth background that its removal leaves."""
    counts: Range = (500.0, 50_000.0)
    """Counts at the maximum, which the Poisson noise of every point follows."""
    noise: Range = (0.0004, 0.015)
    """Standard deviation of Gaussian noise over the maximum: counting noise of the background that was removed."""
    leftover: Range = (-1.5, 1.0)
    """What is left of the background's level after its removal, in units of ``noise``."""
    cut_share: float = 0.5
    """Share of patterns that do not reach over the whole grid."""
    cut_low: Range = (0.0, 0.2)
    """Part of the grid that is missing at low angles in them."""
    cut_high: Range = (0.0, 0.4)
    """Part of the grid that is missing at high angles in them."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                if not isinstance(value, bool):
                    _refuse(field.name, value, "true or false")
            elif field.type == "float":
                most = 1.0 if field.name in SHARES else 5.0
                if not (_is_number(value) and 0 <= value <= most):
                    _refuse(field.name, value, f"a number from 0 to {most:g}")
                if field.name == "kalpha2_wavelength" and not 1 <= value <= 1.1:
                    _refuse(field.name, value, "a number from 1 to 1.1: that of copper is 1.0025")
                object.__setattr__(self, field.name, float(value))
            else:
                object.__setattr__(self, field.name, _range(field.name, value))
        if self.cut_low[1] + self.cut_high[1] > 0.9:
            _refuse("cut_high", list(self.cut_high), "less: with cut_low it must leave a tenth of the grid")


def _off() -> dict[str, Any]:
    return {field.name: (0.0, 0.0) for field in dataclasses.fields(Effects) if field.type == "Range"} | dict.fromkeys(
        SHARES, 0.0
    )


PRESETS: dict[str, Effects] = {
    "laboratory": Effects(),
    "paper": Effects(
        **_off()
        | {"log": False, "wavelength": 0.6199, "polarisation": (0.99, 0.99)}
        | {"size": (0.1, 1.0), "microstrain": (500.0, 10_000.0), "u": (0.0, 3.0), "v": (-1.0, 0.0), "w": (0.0, 4.0)}
        | {"counts": (1.0, 100.0), "noise": (1e-3, 1e-1)}
    ),
    "ideal": Effects(**_off() | {"wavelength": 0.0, "w": 4.5, "size": 3.0, "microstrain": 90.0, "polarisation": 0.5}),
}
"""Settings by name. That the beam of ``paper`` is polarised is our guess at what it does not say."""


def effects_from_instrument(path: Path, base: Effects, *, spread: float = 0.1) -> Effects:
    """The effects of one's own instrument: radiation, widths and asymmetry of an ``.instprm``, all else as in ``base``.

    Parameters
    ----------
    path : GSAS-II's instrument parameters of constant-wavelength X-rays.
    base : what sample and counting do.
    spread : each width may be off by this part of it, since instruments drift.

    Raises
    ------
    InputError, WavelengthError, RadiationError : the file is none, or not of such X-rays.
    """
    from alphadiffract_plugin.readers.instprm import instrument_from_instprm

    instrument = instrument_from_instprm(path)
    if instrument.radiation != "xray":
        raise RadiationError(
            "patterns are simulated for X-rays; this instrument is of neutrons",
            fix="give the .instprm of an X-ray instrument",
            where=path,
        )

    def value(name: str, usual: float = 0.0) -> float:
        found = instrument.parameters.get(name, usual)
        if not _is_number(found):
            raise InputError(f"{name} is {found!r}", fix=f"give {name} as a number", where=path)
        return float(found)

    def about(name: str) -> Range:
        return tuple(sorted((value(name) * (1 - spread), value(name) * (1 + spread))))

    doublet = len(instrument.wavelengths) == 2
    return dataclasses.replace(
        base,
        wavelength=instrument.wavelengths[0],
        **{key.lower(): about(key) for key in "UVWXY"},
        sh_l=max(0.0, value("SH/L")) and about("SH/L"),
        kalpha2_share=float(doublet),
        kalpha2_ratio=instrument.kalpha2_ratio,
        kalpha2_wavelength=instrument.wavelengths[1] / instrument.wavelengths[0] if doublet else 1.0,
        kalpha2_rest=0.0,
        synchrotron_share=0.0,
        polarisation=min(1.0, max(0.0, value("Polariz.", 0.5))),
    )
