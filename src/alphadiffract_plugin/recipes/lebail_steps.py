"""One Le Bail fit in GSAS-II, step by step: run a step, check what came of it, and undo it if it did harm.

This file needs numpy, ``recipe_records.py`` and the objects of an open GSAS-II project. ``lebail_recipe.py`` puts the
steps in order; a bundle carries copies of all of them beside ``make_project.py``.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.recipe_records import Floats, FoundLines

WORSE = 1.05
"""A step may raise Rwp by this factor, since Le Bail intensities follow the parameters with a delay."""

CELL_DRIFT = 0.015
"""A step that moves a cell edge by more than this fraction of its starting length has lost the cell. Five times the
0.3 % from which Le Bail in GSAS-II finds the right cell."""

WIDTH_DRIFT = 3.0
"""A step that changes the median line width by more than this factor has lost the profile."""

SHIFT_DRIFT = 0.5
"""A step that moves the lines at low angles by more than this number of degrees has lost them."""

FEW_REFLECTIONS = 12
"""With fewer reflections U, V and Y are not refined: too few angles to tell them from W and X."""


class FitFailed(Exception):
    """GSAS-II reported a failure in a step, or the step led to a worse fit, another cell or impossible widths."""


class LeBailFit:
    """A fit in progress: the parts of the project, the steps so far, and a file with the best state so far.

    Parameters
    ----------
    project, histogram, phase : of GSAS-II; the only phase in use. The project's file is overwritten, and .lst and
        .bak files appear beside it.
    refine : ``GSASIIstrMain.Refine``.
    cycles : least-squares cycles per step.
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
        self.rwp, self.rebuilt, self.background_alone = math.inf, False, math.inf

    def begin(self) -> None:
        """Remember cell, widths and shift, from which the drifts are measured."""
        self.first_cell, self.first_widths, self.first_shift = self.cell(), self.widths(), self.low_angle_shift()

    @property
    def bragg_brentano(self) -> bool:
        """Whether GSAS-II shifts the lines of this histogram by a displaced sample.

        The key ``Shift`` says nothing: older projects have it in Debye-Scherrer geometry too, and GSAS-II ignores it.
        """
        return "Bragg" in str(self.sample.get("Type", ""))

    @property
    def shift(self) -> str:
        """The step that refines a shift of the lines."""
        return "displacement" if self.bragg_brentano else "zero"

    def make_reflections(self) -> None:
        """Let GSAS-II list the reflections of the cell within the limits, with random intensities."""
        self.advance("start", cycles=0, rebuild=True)
        if len(self.reflections()) == 0:
            raise FitFailed("the cell has no reflection within the limits of the pattern")

    def flags(self, what: str) -> list[tuple[list[Any], int]]:
        """The refinement flags that a step sets: for each the list of GSAS-II that holds it, and its place there."""
        few = len(self.reflections()) < FEW_REFLECTIONS
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

    def free(self, what: str) -> None:
        """Set the refinement flags of a step."""
        for place, index in self.flags(what):
            place[index] = True

    def step(self, what: str, *, worse: float = WORSE, rebuild: bool = False) -> bool:
        """Refine further parameters; whether that helped. If not, the project is in the best state so far again.

        Parameters
        ----------
        what : key of :meth:`flags`; ``all`` adds no parameter.
        worse : factor by which Rwp may rise.
        rebuild : list the reflections again first, which GSAS-II does not do by itself when the cell changes.
        """
        self.free(what)
        try:
            if rebuild:
                self.advance("reflections rebuilt", cycles=0, rebuild=True)
                self.intensities()
            self.advance(what, cycles=self.cycles)
            self.check(worse)
        except FitFailed as reason:
            self.notes.append(f"The step '{what}' was undone: {reason}.")
            self.go_back(self.best)
            return False
        self.rwp = self.steps[-1][1]
        self.keep()
        return True

    def intensities(self) -> None:
        """Let the Le Bail intensities settle with all parameters fixed."""
        for _ in range(3):
            self.advance("intensities", cycles=0)

    def check(self, worse: float) -> None:
        """Raise FitFailed if the last step made the fit worse, or lost the cell or the widths."""
        rwp = self.steps[-1][1]
        if not rwp <= self.rwp * worse:
            raise FitFailed(f"Rwp rose from {self.rwp:.1f} to {rwp:.1f} %")
        drift = np.abs(np.array(self.cell()[:3]) / self.first_cell[:3] - 1).max()
        if not drift <= CELL_DRIFT:
            raise FitFailed(f"a cell edge changed by {100 * drift:.1f} %")
        shift = self.low_angle_shift() - self.first_shift
        if not abs(shift) <= SHIFT_DRIFT:
            raise FitFailed(f"the lines moved by {shift:.2f} degrees")
        self.check_background()
        if self.rebuilt:  # before that, wide lines make up for positions that are not right yet
            self.check_widths()

    def check_background(self) -> None:
        """Raise FitFailed if a background that is being refined fell below zero by more than the noise of a point."""
        if not self.histogram.data["Background"][0][1]:
            return
        x, _, weight, _, background = (filled(column) for column in self.histogram.data["data"][1][:5])
        low, high = self.histogram.data["Limits"][1]
        counts = (x >= low) & (x <= high) & (weight > 0)
        if not (background[counts] >= -(np.median(weight[counts]) ** -0.5)).all():
            raise FitFailed("the background fell below zero")

    def check_widths(self) -> None:
        """Raise FitFailed if the last step lost the widths."""
        ratio = np.median(self.widths() / self.first_widths)
        if not 1 / WIDTH_DRIFT <= ratio <= WIDTH_DRIFT:
            raise FitFailed(f"the line widths changed by a factor of {ratio:.2g}")

    def advance(self, what: str, *, cycles: int, rebuild: bool = False) -> None:
        """Run ``GSASIIstrMain.Refine``, which returns its failure. ``G2Project.refine`` hides the failure status.

        Raises
        ------
        FitFailed : GSAS-II failed.
        """
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

        GSAS-II keeps another Rwp among its ``Rvals``, that of the least-squares minimum. The Le Bail intensities are
        extracted after it and may make the profile worse. But where the fit diverged, the Rwp of the profile is cut
        off at 100 and that of the minimum is not: there it is returned.
        """
        rwp = float(self.histogram.residuals["wR"])
        values = self.project.data["Covariance"]["data"].get("Rvals") or {}
        return rwp if rwp < 100 else float(values.get("Rwp", rwp))

    def background_rwp(self) -> float:
        """Rwp in per cent of the present background alone, without any reflection."""
        x, y, weight, _, background = (filled(column) for column in self.histogram.data["data"][1][:5])
        low, high = self.histogram.data["Limits"][1]
        counts = (x >= low) & (x <= high) & (weight > 0)
        return 100 * math.sqrt(np.sum((weight * (y - background) ** 2)[counts]) / np.sum((weight * y**2)[counts]))

    def refined_values(self) -> list[tuple[list[Any], int]]:
        """Where the values of the parameters stand that are being refined: GSAS-II's list, and the place in it."""
        background, cell = self.histogram.data["Background"][0], self.phase.data["General"]["Cell"]
        places = [(background, place) for place in range(3, len(background)) if background[1]]
        places += [(cell, place) for place in range(1, 7) if cell[0]]
        if self.bragg_brentano and self.sample["Shift"][1]:
            places.append((self.sample["Shift"], 0))
        places += [(self.instrument[name], 1) for name in ("Zero", *"UVWXY") if self.instrument[name][2]]
        places += [(self.coupling[name][1], 0) for name in ("Size", "Mustrain") if self.coupling[name][2][0]]
        return places

    def half_way_back(self, before: list[float]) -> None:
        """Set the refined parameters half way between their values ``before`` the last step and the present ones."""
        for (place, index), earlier in zip(self.refined_values(), before, strict=True):
            place[index] = (place[index] + earlier) / 2
        self.intensities()
        self.rwp = self.steps[-1][1]
        self.keep()

    def line_rwp(self, lines: FoundLines | None) -> tuple[float, float]:
        """Rwp in per cent of the points within a line width of the found lines, and that of the noise alone there.

        Le Bail intensities also fit the noise between the lines; in a noisy pattern that would hide how well the cell
        explains the lines. Without lines all points within the limits count.
        """
        columns = self.histogram.data["data"][1][:4]
        x, y, weight, calculated = (filled(column) for column in columns)
        low, high = self.histogram.data["Limits"][1]
        counts = (x >= low) & (x <= high) & (weight > 0)
        if lines is not None:
            counts &= (np.abs(x[:, None] - lines.two_theta) <= lines.fwhm).any(axis=1)
        total = np.sum((weight * y**2)[counts])
        left = np.sum((weight * (y - calculated) ** 2)[counts])
        return 100 * math.sqrt(left / total), 100 * math.sqrt(counts.sum() / total)

    @property
    def best(self) -> str:
        """The file with the best state so far."""
        return f"{self.project.filename}.best"

    def keep(self) -> None:
        """Remember this state as the best."""
        shutil.copyfile(self.project.filename, self.best)

    def go_back(self, path: str) -> None:
        """Restore the project from such a file."""
        shutil.copyfile(path, self.project.filename)
        self.project.reload()

    def reflections(self) -> Floats:
        """GSAS-II's reflections, one per row: h, k, l, multiplicity, d, two_theta, ..."""
        return np.array(self.histogram.data["Reflection Lists"][self.phase.name]["RefList"]).reshape(-1, 15)

    def cell(self) -> Floats:
        """The six cell parameters in Å and degrees at present."""
        return np.array(self.phase.data["General"]["Cell"][1:7], dtype=float)

    @property
    def wavelength(self) -> float:
        """Wavelength in Å; that of Kα1 if there are two."""
        return float(self.instrument.get("Lam", self.instrument.get("Lam1"))[1])

    def low_angle_shift(self) -> float:
        """Shift of the lines at low angles in degrees, by the zero and by a displaced sample (see ``GetReflPos``)."""
        zero = float(self.instrument["Zero"][1])
        if not self.bragg_brentano:
            return zero
        return zero - 0.36 * float(self.sample["Shift"][0]) / (math.pi * float(self.sample["Gonio. radius"]))

    def widths(self) -> Floats:
        """Full width at half maximum in degrees at twenty angles across the limits, from the present parameters.

        Size and microstrain are converted to GSAS-II's Lorentz widths X and Y in 0.01 degrees: a size of s µm gives
        1.8 λ / (π s), a microstrain of m (in 10⁻⁶) gives 0.018 m / π.
        """
        low, high = (float(limit) for limit in self.histogram.data["Limits"][1])
        theta = np.radians(np.linspace(low, high, 20) / 2)
        size, strain = (self.coupling[name][1][0] for name in ("Size", "Mustrain"))
        return self.instrument_fwhm(
            theta, 1.8 * self.wavelength / (math.pi * max(size, 1e-6)), 0.018 * strain / math.pi
        )

    def instrument_fwhm(self, theta: Floats, more_x: float = 0.0, more_y: float = 0.0) -> Floats:
        """Width in degrees at Bragg angles ``theta`` in radians, by the instrument's U, V, W, X and Y.

        ``more_x`` and ``more_y`` are added to X and Y (0.01 degrees).
        """
        u, v, w, x, y = (self.instrument[name][1] for name in "UVWXY")
        return fwhm(theta, u, v, w, x + more_x, y + more_y)


def filled(column: Any) -> Floats:
    """A column of a GSAS-II histogram as a plain array, 0 where it is masked: GSAS-II masks points out of limits."""
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=float), 0.0))


def fwhm(theta: Floats, u: float, v: float, w: float, x: float, y: float) -> Floats:
    """Full width at half maximum in degrees of GSAS-II's profile at Bragg angles ``theta`` in radians.

    Gauss variance U tan²θ + V tan θ + W in 0.0001 degrees², Lorentz width X/cos θ + Y tan θ in 0.01 degrees; the
    width of their convolution after Olivero & Longbothum, J. Quant. Spectrosc. Radiat. Transf. 17 (1977) 233.
    """
    tangent = np.tan(theta)
    gauss = np.sqrt(8 * math.log(2) * np.maximum(u * tangent**2 + v * tangent + w, 1e-3))
    lorentz = np.maximum(x / np.cos(theta) + y * tangent, 1e-3)
    return np.asarray((0.5346 * lorentz + np.sqrt(0.2166 * lorentz**2 + gauss**2)) / 100)
