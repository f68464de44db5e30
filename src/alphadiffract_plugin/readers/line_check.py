"""Check a list of lines, and make the record of it that cells are searched for."""

from __future__ import annotations

import numpy as np

from alphadiffract_plugin.arrays import Floats
from alphadiffract_plugin.crystal.bragg import d_from_two_theta, inv_d2_per_degree, two_theta_from_inv_d2
from alphadiffract_plugin.errors import InputError, PeaksError, WavelengthError
from alphadiffract_plugin.readers.line_list import KINDS, LineList
from alphadiffract_plugin.records import Peaks

FEWEST = 5
"""Fewest lines of a list."""
MOST = 1000
"""Most lines of a list; a longer one is a pattern."""
NOMINAL = 1.5406
"""Wavelength in Å in which positions in d and 1/d² are given as two_theta where the list has none: that of Cu Kα1."""
ESD, FWHM = 0.01, 0.1
"""Uncertainty and width in degrees of a line of which nothing is said, for Cu Kα and longer wavelengths; at shorter
ones they are smaller in proportion. Careful laboratory work reaches this uncertainty; chosen by hand."""
SIGNIFICANCE = 30.0
"""Area over its uncertainty of the strongest lines of a list without significances: somebody has picked them."""
D_MIN, D_MAX, D_FIRST = 0.15, 500.0, 1.0
"""Smallest and largest d in Å of a list, and the smallest that the first line may have."""


def peaks_of_list(lines: LineList, wavelength: float | None = None) -> Peaks:
    """The lines in ascending order of two_theta.

    Without esds the uncertainty is that of careful laboratory work, 0.01 degrees, or what the last decimal place of the
    positions allows, whichever is larger. Without intensities all lines count as equally strong.

    Parameters
    ----------
    lines : the list.
    wavelength : in Å; it takes precedence over that of the list.

    Raises
    ------
    InputError : positions are no numbers, not positive, or given twice, or intensities or esds make no sense.
    PeaksError : too few lines.
    WavelengthError : the positions are angles and there is no wavelength, or the wavelength does not reach them.
    """
    _refuse_values(lines)
    if len(lines.positions) < FEWEST:
        raise PeaksError(
            f"a list of {len(lines.positions)} lines does not determine a cell; at least {FEWEST} are needed",
            fix="give more lines, best the first 20 or more from low angles up, without gaps",
            where=lines.where,
        )
    known = wavelength or lines.wavelength
    if known is None and lines.kind == "two_theta":
        raise WavelengthError(
            "this list is in two_theta, and there is no wavelength",
            fix="give --wavelength CuKa1 (or a number in Å), or d or 1/d² in place of two_theta",
            where=lines.where,
        )
    chosen = known or min(NOMINAL, 1.8 * float(_d(lines, NOMINAL).min()))
    d = _d(lines, chosen)
    _refuse_d(lines, d, chosen)
    lines, d = _in_order(lines, d)
    two_theta = lines.positions if lines.kind == "two_theta" else two_theta_from_inv_d2(d**-2.0, chosen)
    share = min(1.0, chosen / NOMINAL)
    esd = _angle_esd(lines, two_theta, d, chosen)
    if esd is None:
        rounding = _angle_esd(lines, two_theta, d, chosen, float(lines.step / np.sqrt(12)))
        esd = np.maximum(ESD * share, 0.0 if rounding is None else rounding)
    fwhm = np.maximum(FWHM * share, 4 * esd) if lines.fwhm is None else lines.fwhm
    intensity = np.ones(len(d)) if lines.intensity is None else lines.intensity
    strength = intensity / np.sort(intensity)[-min(3, len(intensity))]
    usual = np.clip(SIGNIFICANCE * np.sqrt(strength), 4.0, SIGNIFICANCE)
    return Peaks(
        two_theta=two_theta,
        two_theta_esd=esd,
        area=intensity * (fwhm if lines.significance is None else 1.0),
        fwhm=fwhm,
        significance=usual if lines.significance is None else lines.significance,
        wavelength=chosen,
    )


def _d(lines: LineList, wavelength: float) -> Floats:
    """Spacings of the lines in Å, shape (P,)."""
    if lines.kind == "two_theta":
        return d_from_two_theta(lines.positions, wavelength)
    return lines.positions if lines.kind == "d" else lines.positions**-0.5


def _angle_esd(
    lines: LineList, two_theta: Floats, d: Floats, wavelength: float, esd: float | None = None
) -> Floats | None:
    """Uncertainties in degrees of the positions' own, or of one ``esd`` for all in their unit; None without any."""
    own: Floats | float | None = lines.esd if esd is None else esd
    if own is None:
        return None
    if lines.kind == "two_theta":
        return np.broadcast_to(own, d.shape).copy()
    of_inv_d2 = own if lines.kind == "inv_d2" else 2 * own / d**3
    return np.asarray(of_inv_d2 / inv_d2_per_degree(two_theta, wavelength))


def _in_order(lines: LineList, d: Floats) -> tuple[LineList, Floats]:
    """The lines in descending order of d; one that is given twice is refused."""
    order = np.argsort(-d, kind="stable")
    same = np.flatnonzero(np.diff(d[order]) == 0)
    if len(same):
        raise InputError(
            f"the line at {lines.positions[order][same[0]]:g} is given twice",
            fix="delete one of the two",
            where=lines.where,
        )
    return lines.part(order), d[order]


def _refuse_values(lines: LineList) -> None:
    """Refuse what cannot be the positions, intensities or uncertainties of lines."""
    positions, unit = lines.positions, KINDS[lines.kind]
    if len(positions) > MOST:
        raise InputError(
            f"{len(positions)} lines are too many for a list (at most {MOST})",
            fix="give a pattern as FILE, not with --peaks",
            where=lines.where,
        )
    limit = 180.0 if lines.kind == "two_theta" else np.inf
    bad = np.flatnonzero(~(np.isfinite(positions) & (positions > 0) & (positions < limit)))
    if len(bad):
        raise InputError(
            f"the position {positions[bad[0]]:g} of line {bad[0] + 1} is no {lines.kind} ({unit})",
            fix=f"give {lines.kind} above 0"
            + (" and below 180 degrees" if lines.kind == "two_theta" else f" in {unit}"),
            where=lines.where,
        )
    for name in ("intensity", "esd", "fwhm", "significance"):
        values = getattr(lines, name)
        if values is None:
            continue
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(bad):
            raise InputError(
                f"the {name} of line {bad[0] + 1} is {values[bad[0]]:g}",
                fix=f"give numbers above 0, or no {name} at all",
                where=lines.where,
            )


def _refuse_d(lines: LineList, d: Floats, wavelength: float) -> None:
    """Refuse spacings that no powder has, or that the wavelength does not reach."""
    if d.min() <= wavelength / 2:
        raise WavelengthError(
            f"with {wavelength:g} Å no line can have d = {d.min():.4g} Å",
            fix="check the wavelength, and whether the positions are d in Å; or leave the wavelength out",
            where=lines.where,
        )
    if d.min() < D_MIN or d.max() > D_MAX or d.max() < D_FIRST:
        raise InputError(
            f"as {lines.kind} these lines have d from {d.min():.4g} to {d.max():.4g} Å, which is not a powder's",
            fix="check whether the positions are two_theta in degrees, d in Å or 1/d² in 1/Å², and the wavelength",
            where=lines.where,
        )
