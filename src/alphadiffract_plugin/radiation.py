"""Wavelengths by name or number: ``CuKa`` -> (1.5405929, 1.5444274) Å with intensity ratio 0.5.

The K-alpha wavelengths are the "direct" values of the NIST evaluation (Deslattes et al., Rev. Mod. Phys. 75 (2003)
35, Table V), which for Cr to Cu are those of Hölzer et al., Phys. Rev. A 56 (1997) 4554, Table III, and for Ga, Mo
and Ag stand likewise in the International Tables C (2004), Table 4.2.2.4. They are about 20 parts per million
longer than those of Bearden (1967), which many older programs use.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence

from alphadiffract_plugin.errors import WavelengthError

KALPHA = {
    "Cr": (2.2897260, 2.2936510),
    "Mn": (2.1018540, 2.1058220),
    "Fe": (1.9360410, 1.9399730),
    "Co": (1.7889960, 1.7928350),
    "Ni": (1.6579300, 1.6617560),
    "Cu": (1.5405929, 1.5444274),
    "Ga": (1.3401270, 1.3440260),
    "Mo": (0.70931715, 0.7136070),
    "Ag": (0.55942178, 0.5638131),
}
"""Kα1 and Kα2 in Å of each anode."""

KBETA = {
    "Cr": 2.0848880,
    "Mn": 1.9102160,
    "Fe": 1.7566040,
    "Co": 1.6208260,
    "Ni": 1.5001520,
    "Cu": 1.3922340,
    "Mo": 0.6323030,
    "Ag": 0.4970820,
}
"""Kβ1,3 in Å of each anode, which a nickel filter or a monochromator weakens or removes."""

TUNGSTEN = 1.4763
"""Lα1 of tungsten in Å, which evaporates from the filament onto the anode."""

KALPHA2_RATIO = 0.5
"""Intensity of Kα2 over Kα1: the statistical value, within 5 % of those measured (Hölzer et al. 1997)."""

NAMES = tuple(f"{anode}{line}" for anode in KALPHA for line in ("Ka", "Ka1"))
"""Every name that :func:`radiation_from_text` knows."""

WAVELENGTH_MIN, WAVELENGTH_MAX = 0.05, 5.0
"""Range of wavelengths in Å that powder diffraction uses."""

DOUBLET_MAX = 1.02
"""Kα2 over Kα1 of the anodes above is at most 1.008."""

KEV_ANGSTROM = 12.398419843
"""Photon energy in keV times wavelength in Å (CODATA 2018)."""


def radiation_from_text(text: str | float) -> tuple[tuple[float, ...], float]:
    """The wavelengths of a radiation given by name or number, and the intensity of Kα2 over Kα1.

    Parameters
    ----------
    text : a name of ``NAMES`` in any case (``CuKa``, ``Cu Kα1``, ``mo k-alpha``), a wavelength in Å
        (``1.5406``), or Kα1/Kα2 with an optional ratio (``1.5405/1.5443``, ``1.5405/1.5443/0.5``); commas, semicolons
        or blanks may stand for the strokes.

    Returns
    -------
    wavelengths : (λ,) or (Kα1, Kα2), in Å.
    kalpha2_ratio : 0 for a single wavelength.

    Raises
    ------
    WavelengthError : an unknown name, no number, or a wavelength outside 0.05 to 5 Å.
    """
    parts = _parts(str(text).strip())
    try:
        numbers = [float(_with_point(part)) for part in parts]
    except ValueError:
        return _from_name(str(text))
    if len(numbers) > 3:
        raise WavelengthError(f"{text!r} holds {len(numbers)} numbers", fix="give λ, or Kα1/Kα2, or Kα1/Kα2/ratio")
    wavelengths = tuple(check_wavelength(number) for number in numbers[:2])
    if len(wavelengths) == 1:
        return wavelengths, 0.0
    ratio = numbers[2] if len(numbers) == 3 else KALPHA2_RATIO
    return check_doublet(wavelengths, ratio)


def check_wavelength(value: float) -> float:
    """The wavelength in Å itself, or a WavelengthError that says which unit may be meant."""
    if WAVELENGTH_MIN <= value <= WAVELENGTH_MAX:
        return float(value)
    hints = []
    if math.isfinite(value) and value > 0:
        readings = (("keV", KEV_ANGSTROM / value), ("nm", value * 10), ("pm", value / 100))
        hints = [f"{value:g} {unit} = {length:.5g} Å" for unit, length in readings if 0.1 <= length <= 3]
    raise WavelengthError(
        f"a wavelength of {value:g} Å is outside {WAVELENGTH_MIN:g} to {WAVELENGTH_MAX:g} Å",
        fix="give it in Å" + (f" ({'; '.join(hints)})" if hints else ", such as 1.5406, or by name, such as CuKa"),
    )


def check_doublet(wavelengths: tuple[float, ...], ratio: float) -> tuple[tuple[float, ...], float]:
    """Kα1, Kα2 and their ratio themselves, or a WavelengthError if they cannot be a doublet.

    The two lines of every anode of ``KALPHA`` lie within 0.8 % of each other, Kα1 the shorter.
    """
    first, second = (check_wavelength(value) for value in wavelengths)
    if not 0 < ratio <= 1:
        raise WavelengthError(f"a Kα2/Kα1 ratio of {ratio:g} is outside 0 to 1", fix="give 0.5, or one wavelength")
    if not 1 < second / first < DOUBLET_MAX:
        raise WavelengthError(
            f"{first:g} and {second:g} Å cannot be Kα1 and Kα2",
            fix="give Kα1/Kα2, the shorter first, or one wavelength",
        )
    return (first, second), float(ratio)


def wavelengths_from_file(
    values: Sequence[float], *, ratio: float = KALPHA2_RATIO, name: str = ""
) -> tuple[tuple[float, ...] | None, float]:
    r"""The wavelengths that a file states, read as laboratory software writes them.

    One wavelength is the doublet of an anode where the file names that doublet (``name``: ``Cu K\a``), or where it
    is the mean (2 Kα1 + Kα2)/3 of an anode, such as 1.5418 Å: no line has that wavelength. Two wavelengths are a
    doublet if ``ratio`` > 0.

    Returns
    -------
    wavelengths, kalpha2_ratio : as :func:`radiation_from_text` gives them; (None, 0) if the values are none.
    """
    usable = [float(value) for value in values if WAVELENGTH_MIN <= value <= WAVELENGTH_MAX]
    if not usable:
        return None, 0.0
    if len(usable) > 1:
        first, second = sorted(usable[:2])
        if 0 < ratio <= 1 and 1 < second / first < DOUBLET_MAX:
            return (first, second), float(ratio)
        return (usable[0],), 0.0
    plain = _plain(name)
    for anode, (first, second) in KALPHA.items():
        mean = (2 * first + second) / 3
        named = plain == f"{anode}ka".lower() and abs(usable[0] / first - 1) < 0.003
        if named or abs(usable[0] / mean - 1) < 6e-5:
            return (first, second), KALPHA2_RATIO
    return (usable[0],), 0.0


def _parts(text: str) -> list[str]:
    """The numbers in a text; a comma separates them where they have points, and is a decimal one elsewhere."""
    separators = r"[/;,\s]+" if "." in text else r"[/;\s]+"
    return re.split(separators, text)


def _with_point(number: str) -> str:
    return number if "." in number else number.replace(",", ".")


def _plain(name: str) -> str:
    r"""``Cu K-alpha 1``, ``CuKα₁`` and ``Cu K\a~1~`` alike as ``cuka1``."""
    name = name.lower().replace("α", "a").replace("₁", "1").replace("alpha", "a")
    return re.sub(r"[^a-z0-9]", "", name)


def _from_name(text: str) -> tuple[tuple[float, ...], float]:
    plain = re.sub(r"ka1(?:[a-z]{0,2}ka)?2$", "ka", _plain(text))  # CuKa1,2 and CuKa1+CuKa2 are the doublet
    names = {name.lower(): name for name in NAMES}
    if plain in names:
        name = names[plain]
        doublet = KALPHA[name[:2]]
        return (doublet[:1], 0.0) if name.endswith("1") else (doublet, KALPHA2_RATIO)
    unit = re.fullmatch(r"(\d+\.?\d*|\.\d+)(kev|nm|pm|a|å|angstrom)", text.lower().replace(" ", ""))
    if unit and float(unit[1]) > 0:
        value, scale = float(unit[1]), {"kev": 0.0, "nm": 10.0, "pm": 0.01}.get(unit[2], 1.0)
        length = KEV_ANGSTROM / value if unit[2] == "kev" else value * scale
        raise WavelengthError(f"{text!r} has a unit", fix=f"give the number in Å alone: {length:.6g}")
    if re.search(r"\d", text) and not re.search(r"[^\W\d_]", text):
        raise WavelengthError(
            f"{text!r} cannot be read as wavelengths",
            fix="give a number with a point, 1.5406, or Kα1/Kα2 with an optional ratio, 1.5406/1.5444/0.5",
        )
    near = difflib.get_close_matches(plain, names, n=2, cutoff=0.5)
    hint = "did you mean " + " or ".join(names[n] for n in near) + "?" if near else "known: " + ", ".join(NAMES) + "."
    raise WavelengthError(
        f"{text!r} is neither a wavelength nor the name of a radiation", fix=f"{hint} Or give the wavelength in Å"
    )
