"""One Rietveld refinement in GSAS-II, step by step: what a step frees, and by what it is undone.

This file needs numpy, the other recipes and the objects of an open GSAS-II project. ``rietveld_recipe.py`` puts the
steps in order; a bundle carries copies of all of them beside ``make_rietveld.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from alphadiffract_plugin.recipes.lebail_steps import FitFailed, LeBailFit, filled
from alphadiffract_plugin.recipes.recipe_records import Atom
from alphadiffract_plugin.recipes.structure_recipe import (
    Group,
    free_coordinates,
    group_of_phase,
    polar_axes,
    step_lengths,
)

NOT_WORSE = 1.0005
"""A step may raise Rwp by this factor: least squares lower it, and only rounding raises it."""

FARTHEST = 0.5
"""A step that leaves an atom farther than this (Å) from where it was given has lost the atom."""

LARGEST_U = 0.3
"""A step that makes a displacement parameter U (Å²) larger than this, or smaller than ``SMALLEST_U``, is undone."""

SMALLEST_U = -0.02
"""Somewhat below 0, since roughness, absorption and a wrong background lower all U of a pattern together."""


OF_ATOMS = {
    "coordinates": ("X", False),
    "coordinates of the heaviest atoms": ("X", True),
    "U": ("U", False),
    "U of the heaviest atoms": ("U", True),
}
"""Steps that refine atoms: GSAS-II's flag, and whether only atoms of the heaviest element are meant."""


class RietveldFit(LeBailFit):
    """A Rietveld refinement in progress: the steps of a Le Bail fit, with a scale and atoms in place of intensities."""

    atoms: Sequence[Atom]
    group: Group

    @property
    def by_displacement(self) -> bool:
        """Whether the lines are shifted by a displaced sample (Bragg-Brentano), and not by a wrong zero."""
        return bool(self.sample["Type"] == "Bragg-Brentano")

    def begin_with(self, atoms: Sequence[Atom]) -> None:
        """Put atoms in place of those of the phase, end Le Bail, and clear every flag of histogram and phase."""
        for value in (*self.instrument.values(), *self.sample.values()):
            if isinstance(value, list) and value and isinstance(value[-1], bool):
                value[-1] = False
        self.histogram.data["Background"][0][1] = False
        self.phase.data["General"]["Cell"][0] = False
        for name, place in (("Size", 2), ("Mustrain", 2), ("HStrain", 1)):
            self.coupling[name][place] = [False] * len(self.coupling[name][place])
        for name, place in (("Scale", 1), ("Extinction", 1), ("Pref.Ori.", 2)):
            self.coupling[name][place] = False
        self.phase.set_refinements({"LeBail": False})
        self.phase.data["General"]["doPawley"] = False
        self.phase.data["Atoms"].clear()
        for atom in atoms:
            self.phase.add_atom(*atom.xyz, atom.element, atom.label, occ=atom.occupancy, uiso=atom.u_iso)
        self.atoms, self.group = atoms, group_of_phase(self.phase)
        self.begin()

    def start(self) -> None:
        """Calculate the pattern, estimate the scale by linear least squares, and refine it alone."""
        self.advance("atoms", cycles=0)
        y, weight, calculated, background = (filled(column) for column in self.histogram.data["data"][1][1:5])
        line = calculated - background
        weight = np.where(calculated != 0, weight, 0)
        strength = float(np.sum(weight * line**2))
        if not strength > 0:
            raise FitFailed("the atoms give no intensity within the limits of the pattern")
        scale = float(self.sample["Scale"][0] * np.sum(weight * (y - background) * line) / strength)
        self.sample["Scale"][0] = max(scale, 1e-6)
        self.sample["Scale"][1] = True
        self.advance("scale", cycles=self.cycles)
        self.check(worse=1.0)
        self.rwp = self.steps[-1][1]
        self.keep()

    def flags(self, what: str) -> list[tuple[list[Any], int]]:
        """As in a Le Bail fit; those of atoms are set by :meth:`free`."""
        return [] if what in OF_ATOMS else super().flags(what)

    def free(self, what: str) -> None:
        """Set the refinement flags of a step."""
        super().free(what)
        if what not in OF_ATOMS:
            return
        flag, heaviest_alone = OF_ATOMS[what]
        masses = self._masses()
        for number, row in enumerate(self.phase.atoms()):
            refined = flag in row.refinement_flags or (heaviest_alone and masses[number] < max(masses))
            if not refined and (flag == "U" or self._may_move(number)):
                row.refinement_flags += flag

    def _may_move(self, number: int) -> bool:
        """Whether an atom has a free coordinate to refine; where the origin is free, the heaviest atom holds it."""
        moves, masses, polar = free_coordinates(self.atoms[number], self.group), self._masses(), polar_axes(self.group)
        holds = bool(polar) and number == masses.index(max(masses))
        if holds:
            moves[polar] = 0
        if np.abs(moves).max() < 0.01:
            return False
        if holds:
            self.project.add_HoldConstr([f"{self.phase.id}::dA{'xyz'[axis]}:{number}" for axis in polar])
        return True

    def _masses(self) -> list[float]:
        """Mass of each atom, in the order of the phase."""
        general = self.phase.data["General"]
        masses = dict(zip(general["AtomTypes"], general["AtomMass"], strict=True))
        return [float(masses[row.type]) for row in self.phase.atoms()]

    def check(self, worse: float) -> None:
        """Raise FitFailed if the last step made the fit worse, or lost the cell, the widths or an atom."""
        self.rebuilt = True
        super().check(min(worse, NOT_WORSE))
        here = np.array([row.coordinates for row in self.phase.atoms()], dtype=float)
        moved = step_lengths(here - np.array([atom.xyz for atom in self.atoms]), self.group)
        if not moved.max() <= FARTHEST:
            lost = self.atoms[int(np.argmax(moved))].label
            raise FitFailed(f"{lost} moved by {moved.max():.2f} Å")
        for row in self.phase.atoms():
            if not SMALLEST_U <= row.uiso <= LARGEST_U:
                raise FitFailed(f"U of {row.label} became {row.uiso:.3f} Å²")

    def check_background(self) -> None:
        """Accept any background: atoms hold the intensities, so that it can't run away together with them.

        In patterns whose background was subtracted it is below zero in places.
        """

    def remarks(self) -> list[str]:
        """What is unusual in the refined atoms."""
        negative = [row.label for row in self.phase.atoms() if row.uiso < 0]
        if not negative:
            return []
        return [
            f"U of {', '.join(negative)} is below zero. Absorption, roughness of the surface, a wrong background, "
            "or a wrong element do that."
        ]

    def rwp_of_free_intensities(self) -> float:
        """Rwp in per cent with free (Le Bail) intensities and all other parameters as they are; the state stays."""
        kept, steps = f"{self.project.filename}.atoms", list(self.steps)
        shutil.copyfile(self.best, kept)
        try:
            self.phase.set_refinements({"LeBail": True})
            self.intensities()  # they start from those of the atoms
            return self.steps[-1][1]
        finally:
            self.steps[:] = steps
            self.go_back(kept)
