"""Fit one phase of an open GSAS-II project by Le Bail, in the order that converges, keeping only steps that help.

This file needs numpy and the objects of an open GSAS-II project, nothing else: ``gsasii.py`` uses it here, and a
bundle carries a copy of it beside ``make_project.py``. Method: Le Bail, Duroy & Fourquet, Mater. Res. Bull. 23
(1988) 447; program: Toby & Von Dreele, J. Appl. Cryst. 46 (2013) 544.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

BACKGROUND_TERMS = 6
"""Chebyshev terms of the background."""

REFLECTIONS = 300
"""The fit ends at the angle where the phase has so many reflections."""

ROUNDS = 15
"""At most so many times everything is refined together."""

SETTLED = 0.005
"""A round that changes Rwp by a smaller fraction of itself, or by less than 0.05 %, is the last."""

WORSE = 1.05
"""A step may raise Rwp by this factor: Le Bail intensities follow the parameters with a delay."""

FAR = 1.25
"""While lines are still off their places, Rwp tells less, and a step may raise it by this factor."""

SLACK = 1.15
"""In the rounds Rwp may stand above the least so far by this factor."""

CELL_DRIFT = 0.015
"""A step that moves a cell edge by more of its starting length has lost the cell."""

WIDTH_DRIFT = 3.0
"""A step that changes the median line width by more than this factor has lost the profile."""

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


class FitFailed(Exception):
    """GSAS-II gave up on a step, or the step left reason behind."""


def fit_by_lebail(
    project: Any,
    histogram: Any,
    phase: Any,
    refine: Callable[..., Any],
    *,
    zero_shift: float,
    cycles: int,
    random_seed: int,
    profile: str = "instrument",
    peaks: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit background, cell, zero or displacement, and widths, with Le Bail intensities.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the only phase in use. The project's file is overwritten, and .lst and
        .bak files appear beside it.
    refine : ``GSASIIstrMain.Refine``.
    zero_shift : of low-angle lines, in degrees; where the zero (Debye-Scherrer) or the displacement (Bragg-Brentano)
        starts.
    cycles : least-squares cycles a step.
    random_seed : GSAS-II starts Le Bail intensities at random; the same seed gives the same fit.
    profile : ``instrument`` refines U, V, W, X and Y; ``sample`` keeps a calibrated instrument and refines the
        crystallite size and the microstrain.
    peaks : measured lines (``two_theta``, ``fwhm`` in degrees), from which ``sample`` starts.

    Returns
    -------
    ``converged``; ``rwp`` in per cent and ``gof``; ``cell`` and ``cell_esd`` in Å and degrees; ``steps``, pairs of
    what was refined and Rwp after it; ``notes``, sentences. If the fit diverged, ``cell`` is None and the project
    is as it was.
    """
    state = random.getstate()
    random.seed(random_seed)
    try:
        return _Fit(project, histogram, phase, refine, cycles, profile).run(zero_shift, peaks)
    finally:
        random.setstate(state)


class _Fit:
    """One fit: the parts of the project, the steps so far, and the best state so far in a file."""

    def __init__(
        self, project: Any, histogram: Any, phase: Any, refine: Callable[..., Any], cycles: int, profile: str
    ) -> None:
        self.project, self.histogram, self.phase, self.refine, self.cycles = project, histogram, phase, refine, cycles
        self.instrument = histogram.data["Instrument Parameters"][0]
        self.sample = histogram.data["Sample Parameters"]
        self.coupling = phase.data["Histograms"][histogram.name]
        self.by_sample = profile == "sample"
        self.steps: list[tuple[str, float]] = []
        self.notes: list[str] = []
        self.rwp, self.rebuilt = math.inf, False

    def run(self, zero_shift: float, peaks: dict[str, Any] | None) -> dict[str, Any]:
        """The whole recipe; see :func:`fit_by_lebail`."""
        before = self.project.filename + ".before"
        self.project.save()
        shutil.copyfile(self.project.filename, before)
        self.prepare(zero_shift, peaks)
        self.first_cell, self.first_widths = self.cell(), self.widths()
        held = settled = False
        try:
            self.start()
            self.step("background")
            held = self.step("cell", worse=FAR)
            self.step("displacement" if "Shift" in self.sample else "zero", worse=FAR)
            held = held or self.step("cell", worse=FAR)
            if held:
                self.step("strain" if self.by_sample else "W")
                self.rebuild()
                for what in ("size",) if self.by_sample else ("U, V", "X, Y"):
                    self.step(what)
                settled = self.rounds()
        except FitFailed as reason:
            self.notes.append(f"The Le Bail fit stopped: {reason}.")
        if not held:
            self.notes.append("The Le Bail fit did not hold the cell; the project keeps the cell as it was indexed.")
            shutil.copyfile(before, self.project.filename)
            self.project.reload()
        elif not settled:
            self.notes.append("The Le Bail fit did not settle; refine on in GSAS-II, and look at it.")
        for left in (before, self.best):
            if os.path.exists(left):
                os.remove(left)
        rwp = self.rwp if math.isfinite(self.rwp) or not self.steps else self.steps[-1][1]
        report = {"converged": held and settled, "rwp": rwp, "gof": math.nan, "cell": None, "cell_esd": None}
        return report | (self.result() if held else {}) | {"steps": self.steps, "notes": self.notes}

    def result(self) -> dict[str, Any]:
        """Cell, its esds and the goodness of fit, as GSAS-II has them."""
        cell, esd = self.phase.get_cell_and_esd()
        values = self.project.data["Covariance"]["data"].get("Rvals") or {}
        return {
            "gof": float(values.get("GOF", math.nan)),
            "cell": tuple(float(cell[name]) for name in CELL),
            "cell_esd": tuple(float(esd[name]) for name in CELL),
        }

    def prepare(self, zero_shift: float, peaks: dict[str, Any] | None) -> None:
        """Clear every flag of histogram and phase, and set the starting values."""
        for value in (*self.instrument.values(), *self.sample.values()):
            if isinstance(value, list) and value and isinstance(value[-1], bool):
                value[-1] = False  # among them the histogram's scale, which Le Bail intensities take over
        self.phase.data["General"]["Cell"][0] = False
        for width in ("Size", "Mustrain"):
            self.coupling[width][2] = [False] * len(self.coupling[width][2])
        self.coupling["Size"][1][0], self.coupling["Mustrain"][1][0] = 10.0, 0.0  # widths of nearly nothing
        if self.by_sample and peaks:
            self.start_broadening(np.array(peaks["two_theta"]), np.array(peaks["fwhm"]))
        if "Shift" in self.sample:
            degrees = zero_shift - self.instrument["Zero"][1]
            self.sample["Shift"][0] = -degrees * math.pi * self.sample["Gonio. radius"] / 0.36
        else:
            self.instrument["Zero"][1] = zero_shift
        data = self.histogram.data
        x, y = (np.ma.filled(np.ma.asarray(column, dtype=float), 0.0) for column in data["data"][1][:2])
        low, high = data["Limits"][1]
        inside = (x >= low) & (x <= high)
        terms = start_background(x[inside], y[inside], BACKGROUND_TERMS)
        data["Background"][0] = ["chebyschev-1", False, BACKGROUND_TERMS, *terms]
        self.phase.set_refinements({"LeBail": True})

    def start_broadening(self, two_theta: np.ndarray, fwhm: np.ndarray) -> None:
        """Start size and microstrain from what the measured lines are wider than the instrument."""
        theta = np.radians(two_theta / 2)
        excess = np.median(100 * (fwhm - self.instrument_fwhm(theta)) * np.cos(theta))
        if excess <= 0:
            return
        angle = np.median(np.sin(theta))
        self.coupling["Size"][1][0] = float(np.clip(1.8 * self.wavelength / (math.pi * excess / 2), 0.001, 10.0))
        self.coupling["Mustrain"][1][0] = float(excess / 2 / angle * math.pi / 0.018)

    def start(self) -> None:
        """Make the reflections and their first intensities; end the pattern at ``REFLECTIONS`` of them."""
        self.advance("start", cycles=0, rebuild=True)
        positions = np.sort(self.reflections()[:, 5])
        if len(positions) == 0:
            raise FitFailed("the cell has no reflection within the limits of the pattern")
        if len(positions) > REFLECTIONS:
            self.histogram.data["Limits"][1][1] = float(positions[REFLECTIONS])
            self.notes.append(
                f"The fit ends at {positions[REFLECTIONS]:.2f} degrees, where {REFLECTIONS} reflections are reached; "
                "raise the upper limit in GSAS-II to fit them all."
            )
            self.advance("start", cycles=0, rebuild=True)
        self.intensities()
        self.keep()

    def intensities(self) -> None:
        """Let the Le Bail intensities settle with all parameters held."""
        for _ in range(3):
            self.advance("intensities", cycles=0)

    def rebuild(self) -> None:
        """Make the reflections anew in the moved cell, and refine on from fresh intensities if that does no harm."""
        self.rebuilt = True
        self.step("all", rebuild=True)

    def rounds(self) -> bool:
        """Refine everything together until Rwp settles, with the widths held if they do harm; whether it settled.

        Le Bail intensities minimise nothing: Rwp may settle a little above where a step first took it. If it does not
        settle, the state of the least Rwp stands: tails of lines and background can feed each other without end.
        """
        least, slack, kept = self.rwp, SLACK, self.project.filename + ".least"
        shutil.copyfile(self.best, kept)
        settled = False
        for _ in range(ROUNDS):
            before = self.rwp
            if not self.step("all", worse=slack * least / before):
                if not self.hold_widths():
                    break
                slack = SLACK**2
            elif abs(before - self.rwp) < max(0.05, SETTLED * before):
                settled = True
                break
            elif self.rwp < least:
                least = self.rwp
                shutil.copyfile(self.best, kept)
        if not settled and self.rwp > least:
            self.rwp = least
            shutil.copyfile(kept, self.project.filename)
            self.project.reload()
        os.remove(kept)
        return settled

    def hold_widths(self) -> bool:
        """Refine the widths no more; False if they were held already."""
        places = [place for what in ("W", "U, V", "X, Y", "strain", "size") for place in self.flags(what)]
        free = [(place, index) for place, index in places if place[index]]
        for place, index in free:
            place[index] = False
        self.project.save()
        self.keep()
        return bool(free)

    def flags(self, what: str) -> list[tuple[list[Any], int]]:
        """Where GSAS-II keeps the flags of a step: lists and places in them."""
        few = len(self.reflections()) < 12
        return {
            "background": [(self.histogram.data["Background"][0], 1)],
            "cell": [(self.phase.data["General"]["Cell"], 0)],
            "displacement": [(self.sample.get("Shift"), 1)],
            "zero": [(self.instrument["Zero"], 2)],
            "strain": [(self.coupling["Mustrain"][2], 0)],
            "size": [(self.coupling["Size"][2], 0)],
            "W": [(self.instrument["W"], 2)],
            "U, V": [] if few else [(self.instrument[name], 2) for name in "UV"],
            "X, Y": [(self.instrument[name], 2) for name in ("X" if few else "XY")],
            "all": [],
        }[what]

    def step(self, what: str, *, worse: float = WORSE, rebuild: bool = False) -> bool:
        """Refine more; go back to the best state, without what was added, if that does no good."""
        flags = self.flags(what)
        for place, index in flags:
            place[index] = True
        try:
            if rebuild:
                self.advance("reflections anew", cycles=0, rebuild=True)
                self.intensities()
            self.advance(what, cycles=self.cycles)
            self.check(worse)
        except FitFailed as reason:
            self.notes.append(f"The step '{what}' was taken back: {reason}.")
            shutil.copyfile(self.best, self.project.filename)
            self.project.reload()
            return False
        self.rwp = self.steps[-1][1]
        self.keep()
        return True

    def check(self, worse: float) -> None:
        """Raise FitFailed if the last step made the fit worse, or lost the cell or the widths."""
        rwp = self.steps[-1][1]
        if not rwp <= self.rwp * worse:
            raise FitFailed(f"Rwp rose from {self.rwp:.1f} to {rwp:.1f} %")
        drift = np.abs(np.array(self.cell()[:3]) / self.first_cell[:3] - 1).max()
        if not drift <= CELL_DRIFT:
            raise FitFailed(f"the cell moved by {100 * drift:.1f} %")
        if self.rebuilt:  # before that, wide lines bridge what the positions are still off
            self.check_widths()

    def check_widths(self) -> None:
        """Raise FitFailed if the last step lost the widths."""
        ratio = np.median(self.widths() / self.first_widths)
        if not 1 / WIDTH_DRIFT <= ratio <= WIDTH_DRIFT:
            raise FitFailed(f"the line widths changed by a factor of {ratio:.2g}")

    def advance(self, what: str, *, cycles: int, rebuild: bool = False) -> None:
        """Let GSAS-II run; its own ``G2Project.refine`` would drop the word that it failed."""
        self.project.set_Controls("cycles", cycles)
        self.project.data["Covariance"]["data"] = {}
        self.project.index_ids()  # writes the file
        failure = self.refine(self.project.filename, makeBack=False, newLeBail=rebuild)
        if failure is not None:
            raise FitFailed("GSAS-II says: " + " ".join(str(failure[1].get("msg", "no reason")).split()))
        self.project.reload()
        values = self.project.data["Covariance"]["data"].get("Rvals") or {}
        rwp = float(values.get("Rwp", self.histogram.residuals["wR"]))
        self.steps.append((what, rwp))

    @property
    def best(self) -> str:
        """The file of the best state."""
        return self.project.filename + ".best"

    def keep(self) -> None:
        """Remember this state as the best."""
        shutil.copyfile(self.project.filename, self.best)

    def reflections(self) -> np.ndarray:
        """GSAS-II's reflections: h, k, l, multiplicity, d, two_theta, ..."""
        return np.array(self.histogram.data["Reflection Lists"][self.phase.name]["RefList"]).reshape(-1, 15)

    def cell(self) -> np.ndarray:
        """The six cell parameters now."""
        return np.array(self.phase.data["General"]["Cell"][1:7], dtype=float)

    @property
    def wavelength(self) -> float:
        """In Å; of Kα1 in a doublet."""
        return self.instrument.get("Lam", self.instrument.get("Lam1"))[1]

    def widths(self) -> np.ndarray:
        """Full width at half maximum in degrees at twenty angles across the limits, as the parameters give it."""
        theta = np.radians(np.linspace(*self.histogram.data["Limits"][1], 20) / 2)
        size, strain = (self.coupling[name][1][0] for name in ("Size", "Mustrain"))
        return self.instrument_fwhm(
            theta, 1.8 * self.wavelength / (math.pi * max(size, 1e-6)), 0.018 * strain / math.pi
        )

    def instrument_fwhm(self, theta: np.ndarray, more_x: float = 0.0, more_y: float = 0.0) -> np.ndarray:
        """Width in degrees of the instrument's parameters, with more of X and Y."""
        u, v, w, x, y = (self.instrument[name][1] for name in "UVWXY")
        return fwhm(theta, u, v, w, x + more_x, y + more_y)


def fwhm(theta: np.ndarray, u: float, v: float, w: float, x: float, y: float) -> np.ndarray:
    """Full width at half maximum in degrees of GSAS-II's profile at Bragg angles ``theta`` in radians.

    Gauss variance U tan²θ + V tan θ + W in 0.0001 degrees², Lorentz width X/cos θ + Y tan θ in 0.01 degrees; the
    width of their convolution after Olivero & Longbothum, J. Quant. Spectrosc. Radiat. Transf. 17 (1977) 233.
    """
    tangent = np.tan(theta)
    gauss = np.sqrt(8 * math.log(2) * np.maximum(u * tangent**2 + v * tangent + w, 1e-3))
    lorentz = np.maximum(x / np.cos(theta) + y * tangent, 1e-3)
    return (0.5346 * lorentz + np.sqrt(0.2166 * lorentz**2 + gauss**2)) / 100


def start_background(x: np.ndarray, y: np.ndarray, terms: int) -> list[float]:
    """Chebyshev coefficients of the lower envelope of a pattern: of the low values, without what stands above."""
    size = max(1, len(x) // 60)
    blocks = slice(0, len(x) // size * size)
    middle = x[blocks].reshape(-1, size).mean(axis=1)
    low = np.percentile(y[blocks].reshape(-1, size), 20, axis=1)
    place = 2 * (middle - x[0]) / (x[-1] - x[0]) - 1
    flat = np.ones(len(low), dtype=bool)
    for _ in range(6):
        coefficients = np.polynomial.chebyshev.chebfit(place[flat], low[flat], min(terms, flat.sum()) - 1)
        above = low - np.polynomial.chebyshev.chebval(place, coefficients)
        flat = above <= 2 * 1.4826 * np.median(np.abs(above[flat])) + 1e-9
    return [float(value) for value in coefficients] + [0.0] * (terms - len(coefficients))
