"""Effects of the instrument, the sample and the counting on a pattern: each with its range, unit and source.

A range is (low, high); one number is a range of that one value, and 0 switches the effect off. A share is the part of
all patterns in which an effect occurs; 0 switches it off too. Widths have GSAS-II's names and units (Toby & Von Dreele
2013). There are three presets: ``paper`` has the effects of AlphaDiffract's simulation (arXiv:2603.23367) and no
others, ``laboratory`` those that measured patterns show, and ``ideal`` is a perfect diffractometer and sample.

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
"""Lowest and highest value, or one number for both; 0 is off. ``Effects`` turns every range into a pair."""

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
"""Largest magnitude that the ends of a range may have: beyond it nothing is left of the pattern, or of the cell."""


def _range(name: str, value: object) -> tuple[float, float]:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if not (len(pair) == 2 and all(map(_is_number, pair)) and pair[0] <= pair[1]):
        raise _wrong(name, value, "a number, or the lowest and the highest value, [low, high]; 0 switches it off")
    low, high = float(pair[0]), float(pair[1])
    if name not in SIGNED and low < 0:
        raise _wrong(name, value, "values of at least 0")
    if name in POSITIVE and low <= 0 < high:
        raise _wrong(name, value, "a range that begins above 0, or 0 to switch it off")
    if max(-low, high) > MOST.get(name, math.inf):
        raise _wrong(name, value, f"values of at most {MOST[name]:g} in magnitude")
    if name == "polarisation" and high > 1:
        raise _wrong(name, value, "a range within 0 to 1")
    return low, high


def _is_number(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, numbers.Real) and math.isfinite(value)


def _wrong(name: str, value: object, allowed: str) -> SettingsError:
    return SettingsError(f"the effect {name} is {value!r}", fix=f"give {allowed}")


@dataclass(frozen=True)
class Effects:
    """Ranges from which the effects are drawn, pattern by pattern; the defaults are the preset ``laboratory``.

    "Seen" marks ranges that were chosen by looking at measured patterns of laboratory diffractometers.
    """

    wavelength: float = 1.5405929
    """Wavelength in Å, to which widths and shifts in degrees of two_theta refer; 0 stands for that of the grid."""
    log: bool = True
    """Whether ranges that begin above 0 are drawn log-uniformly; all others are drawn uniformly."""

    strain: Range = (-0.02, 0.02)
    """Each component of strain that the crystal system allows: calculated cells are wrong by as much."""
    dilation: Range = (-0.02, 0.02)
    """Isotropic strain of the cell, as from temperature, pressure, composition or the bias of calculated cells."""
    b_iso: Range = (0.2, 3.0)
    """Overall displacement factor B in Å², in addition to those of the atoms (International Tables C, 6.1)."""

    u: Range = (0.0, 10.0)
    """Gaussian variance proportional to tan²θ, in 0.0001 degrees² (Caglioti et al. 1958)."""
    v: Range = (-3.0, 0.0)
    """Gaussian variance proportional to tan θ, in 0.0001 degrees²."""
    w: Range = (0.5, 20.0)
    """Constant Gaussian variance, in 0.0001 degrees²: FWHM from 0.017 to 0.11° (seen)."""
    x: Range = (0.0, 0.0)
    """Lorentzian FWHM of the instrument proportional to 1/cos θ, in 0.01 degrees."""
    y: Range = (0.0, 0.0)
    """Lorentzian FWHM of the instrument proportional to tan θ, in 0.01 degrees."""
    size: Range = (0.04, 3.0)
    """Crystallite size in µm, isotropic, Lorentzian (Scherrer with K = 1): FWHM 1.8 λ / (π size cos θ)."""
    microstrain: Range = (50.0, 5000.0)
    """Microstrain in 1e-6, isotropic, Lorentzian: FWHM in radians is microstrain · tan θ."""
    sh_l: Range = (0.0, 0.07)
    """Axial divergence (S + H)/L (Finger, Cox & Jephcoat 1994), here a one-sided exponential of the same mean shift."""

    kalpha2_share: float = 0.6
    """Share of patterns with Kα1 and Kα2."""
    kalpha2_ratio: Range = (0.48, 0.52)
    """Intensity of Kα2 over Kα1 in them (Hölzer et al. 1997)."""
    kalpha2_wavelength: float = 1.5444274 / 1.5405929
    """Wavelength of Kα2 over that of Kα1: copper."""
    kalpha2_rest: Range = (0.0, 0.1)
    """The same in the other patterns, whose Kα2 was removed by a monochromator or by software (seen)."""
    synchrotron_share: float = 0.2
    """Share of patterns taken in the plane of a polarised beam: no polarisation factor."""
    polarisation: Range = (0.5, 0.57)
    """GSAS-II's Polariz. of the other patterns: 0.5 without, 0.57 with a graphite monochromator."""

    zero: Range = (-0.07, 0.07)
    """Shift of all lines, degrees (seen)."""
    displacement: Range = (-0.1, 0.1)
    """Shift proportional to cos θ, degrees: a sample 0.1 mm too high at a radius of 115 mm gives 0.1° (seen)."""

    texture_share: float = 0.5
    """Share of patterns with preferred orientation."""
    texture: Range = (0.55, 1.8)
    """r of March (1932) and Dollase (1986) about a*, b* or c*: below 1 plates, above 1 needles."""
    jitter: Range = (0.03, 0.5)
    """Standard deviation of ln(intensity) from line to line: few grains, absorption, a slightly different structure."""
    impurity_share: float = 0.25
    """Share of patterns to which the pattern of another crystal of the batch is added; none in a batch of one."""
    impurity: Range = (0.01, 0.2)
    """Height of the added pattern over the maximum."""
    foreign_share: float = 0.15
    """Share of patterns with up to three lines that are not of the crystal: tungsten Lα, the holder, a spike."""
    foreign: Range = (0.01, 0.1)
    """Areas of these lines over that of the strongest line."""

    background: Range = (0.0003, 0.02)
    """Height over the maximum of the smooth background that is left after background subtraction."""
    counts: Range = (500.0, 50_000.0)
    """Counts at the maximum, which set the Poisson noise of every point."""
    noise: Range = (0.0004, 0.015)
    """Standard deviation of Gaussian noise over the maximum: the counting noise of the subtracted background."""
    leftover: Range = (-1.5, 1.0)
    """Constant that is left after background subtraction, in units of ``noise``."""
    cut_share: float = 0.5
    """Share of patterns that do not cover the whole grid."""
    cut_low: Range = (0.0, 0.2)
    """Part of the grid that is missing at low angles in these patterns."""
    cut_high: Range = (0.0, 0.4)
    """Part of the grid that is missing at high angles in these patterns."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "bool":
                if not isinstance(value, bool):
                    raise _wrong(field.name, value, "true or false")
            elif field.type == "float":
                most = 1.0 if field.name in SHARES else 5.0
                if not (_is_number(value) and 0 <= value <= most):
                    raise _wrong(field.name, value, f"a number from 0 to {most:g}")
                if field.name == "kalpha2_wavelength" and not 1 <= value <= 1.1:
                    raise _wrong(field.name, value, "a number from 1 to 1.1 (for copper it is 1.0025)")
                object.__setattr__(self, field.name, float(value))
            else:
                object.__setattr__(self, field.name, _range(field.name, value))
        cut_high = self.range_of("cut_high")
        if self.range_of("cut_low")[1] + cut_high[1] > 0.9:
            raise _wrong("cut_high", list(cut_high), "less, so that cut_low and cut_high leave a tenth of the grid")

    def range_of(self, name: str) -> tuple[float, float]:
        """The lowest and the highest value of an effect."""
        low, high = getattr(self, name)
        return low, high


def _off() -> dict[str, Any]:
    """Every effect switched off."""
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
"""Effects by name. The paper does not say how its beam is polarised; that of ``paper`` is our guess."""


def effects_from_instrument(path: Path, base: Effects, *, spread: float = 0.1) -> Effects:
    """The effects of one instrument: radiation, widths and asymmetry of an ``.instprm`` file, others as in ``base``.

    Parameters
    ----------
    path : GSAS-II's instrument parameters of constant-wavelength X-rays.
    base : the effects of sample and counting.
    spread : relative range about each width, because instruments drift.

    Raises
    ------
    InputError, WavelengthError, RadiationError : the file is not an instrument file of such X-rays.
    """
    from alphadiffract_plugin.readers.instprm import instrument_from_instprm

    instrument = instrument_from_instprm(path)
    if instrument.radiation != "xray":
        raise RadiationError(
            "this is a neutron instrument, and only X-ray patterns can be simulated",
            fix="give the .instprm file of an X-ray instrument",
            where=path,
        )

    def value(name: str, usual: float = 0.0) -> float:
        found = instrument.parameters.get(name, usual)
        if not _is_number(found):
            raise InputError(f"{name} is {found!r}", fix=f"give {name} as a number", where=path)
        return float(found)

    def about(name: str) -> Range:
        low, high = sorted((value(name) * (1 - spread), value(name) * (1 + spread)))
        return low, high

    doublet = len(instrument.wavelengths) == 2
    return dataclasses.replace(
        base,
        wavelength=instrument.wavelengths[0],
        u=about("U"),
        v=about("V"),
        w=about("W"),
        x=about("X"),
        y=about("Y"),
        sh_l=max(0.0, value("SH/L")) and about("SH/L"),
        kalpha2_share=float(doublet),
        kalpha2_ratio=instrument.kalpha2_ratio,
        kalpha2_wavelength=instrument.wavelengths[1] / instrument.wavelengths[0] if doublet else 1.0,
        kalpha2_rest=0.0,
        synchrotron_share=0.0,
        polarisation=min(1.0, max(0.0, value("Polariz.", 0.5))),
    )
