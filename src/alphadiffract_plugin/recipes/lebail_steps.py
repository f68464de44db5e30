"""One Le Bail fit in GSAS-II, a step at a time: let it run, look at what came of it, take it back if it did harm.

This file needs numpy and the objects of an open GSAS-II project, nothing else: ``lebail_recipe.py`` puts its steps in
order, and a bundle carries copies of both beside ``make_project.py``.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

WORSE = 1.05
"""A step may raise Rwp by this factor: Le Bail intensities follow the parameters with a delay."""

CELL_DRIFT = 0.015
"""A step that moves a cell edge by more of its starting length has lost the cell."""

WIDTH_DRIFT = 3.0
"""A step that changes the median line width by more than this factor has lost the profile."""


class FitFailed(Exception):
    """GSAS-II gave up on a step, or the step left reason behind."""


class Fit:
    """One fit: the parts of the project, the steps so far, and the best state so far in a file.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the only phase in use. The project's file is overwritten, and .lst and
        .bak files appear beside it.
    refine : ``GSASIIstrMain.Refine``.
    cycles : least-squares cycles a step.
    profile : ``instrument`` or ``sample``, see ``fit_by_lebail``.
    """

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

    def begin(self) -> None:
        """What drifts are measured from: cell and widths now."""
        self.first_cell, self.first_widths = self.cell(), self.widths()

    def make_reflections(self) -> None:
        """Let GSAS-II list the reflections of the cell within the limits, with intensities at random."""
        self.advance("start", cycles=0, rebuild=True)
        if len(self.reflections()) == 0:
            raise FitFailed("the cell has no reflection within the limits of the pattern")

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
            self.go_back(self.best)
            return False
        self.rwp = self.steps[-1][1]
        self.keep()
        return True

    def intensities(self) -> None:
        """Let the Le Bail intensities settle with all parameters held."""
        for _ in range(3):
            self.advance("intensities", cycles=0)

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
        try:
            failure = self.refine(self.project.filename, makeBack=False, newLeBail=rebuild)
        except Exception as error:  # GSAS-II raises bare exceptions of many kinds
            raise FitFailed(f"GSAS-II fails with {type(error).__name__}: {error}") from error
        if failure is not None:
            raise FitFailed("GSAS-II says: " + " ".join(str(failure[1].get("msg", "no reason")).split()))
        self.project.reload()
        self.steps.append((what, self.profile_rwp()))

    def profile_rwp(self) -> float:
        """Rwp in per cent of the calculated profile that the file holds.

        GSAS-II's other one, among the ``Rvals``, is of the least-squares minimum: the Le Bail intensities that follow
        may spoil it. Of the profile it says at most 100, where the other says by how much it diverged.
        """
        rwp = float(self.histogram.residuals["wR"])
        values = self.project.data["Covariance"]["data"].get("Rvals") or {}
        return rwp if rwp < 100 else float(values.get("Rwp", rwp))

    def line_rwp(self, peaks: dict[str, Any] | None) -> tuple[float, float]:
        """Rwp in per cent of the points within a width of the found lines, and what noise alone would leave there.

        Le Bail intensities gather noise between the lines too, which would hide in a noisy pattern what they explain.
        """
        columns = self.histogram.data["data"][1][:4]
        x, y, weight, calculated = (np.ma.filled(np.ma.asarray(column, dtype=float), 0.0) for column in columns)
        low, high = self.histogram.data["Limits"][1]
        counts = (x >= low) & (x <= high) & (weight > 0)
        if peaks and peaks["two_theta"]:
            counts &= (np.abs(x[:, None] - peaks["two_theta"]) <= peaks["fwhm"]).any(axis=1)
        total = np.sum((weight * y**2)[counts])
        left = np.sum((weight * (y - calculated) ** 2)[counts])
        return 100 * math.sqrt(left / total), 100 * math.sqrt(counts.sum() / total)

    @property
    def best(self) -> str:
        """The file of the best state."""
        return self.project.filename + ".best"

    def keep(self) -> None:
        """Remember this state as the best."""
        shutil.copyfile(self.project.filename, self.best)

    def go_back(self, path: str) -> None:
        """Take the project from such a file."""
        shutil.copyfile(path, self.project.filename)
        self.project.reload()

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
