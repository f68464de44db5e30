"""Compare the lines of real structures with pymatgen's XRDCalculator, line by line.

    python bench/lines_vs_pymatgen.py STRUCTURES.parquet... [--number 200] [--seed 0] [--worst 5]

The structures are spread evenly over the crystal systems. Both sides have the same settings: Cu Kα1 from 2θ = 5 to 80
degrees, atoms at rest, and the Lorentz-polarisation factor and the form factors of pymatgen (ours are an argument of
``all_lines``). A structure passes if every line stands within 1e-6 of its d on the other side and the heights differ by
less than 1 % of the strongest. Prints the worst; the exit code is 0 if all pass.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from torch import Tensor

    from alphadiffract_plugin.models.structures.table import Structures

WAVELENGTH = 1.54056
"""Å."""
RANGE = (5.0, 80.0)
"""Degrees of two_theta."""
POSITION, HEIGHT = 1e-6, 0.01
"""Largest relative difference of d, and difference of height over the strongest, that pass."""
FAINT = 2e-5
"""Lines weaker than this part of the strongest are not compared, because pymatgen drops those below 1e-5."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of one structure."""

    id: str
    """Id of the structure."""
    space_group: int
    """1 to 230."""
    lines: int
    """Number of our lines in the range."""
    position: float
    """Largest difference of d, relative."""
    height: float
    """Largest difference of a line's height, over the strongest."""

    @property
    def passed(self) -> bool:
        """Whether both are small enough."""
        return self.position < POSITION and self.height < HEIGHT


def pymatgen_form_factor(number: Tensor, stol2: Tensor) -> Tensor:
    """Pymatgen's Z - 41.78214 s² sum a exp(-b s²), with the table of XRDCalculator; s² = (sin θ / λ)² in 1/Å²."""
    import torch
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
    from pymatgen.core import Element

    present, where = number.unique(return_inverse=True)
    table = torch.tensor(np.array([ATOMIC_SCATTERING_PARAMS[Element.from_Z(int(z)).symbol] for z in present]))
    a, b = table.float()[where].unbind(-1)
    return number - 41.78214 * stol2 * (a * (-b * stol2[:, None]).exp()).sum(1)


def expanded(structures: Structures, index: int) -> Structure:
    """A structure of pymatgen with every atom of the cell."""
    from pymatgen.core import Element, Lattice, Structure

    from alphadiffract_plugin.models.simulation.symmetry import DENOMINATOR, all_operations

    rotation, translation = all_operations(int(structures.hall[index]))
    frame = Lattice.from_parameters(*structures.cell[index])
    species, positions = [], []
    for atom in range(structures.start[index], structures.start[index + 1]):
        images = (rotation @ structures.position[atom] + translation / DENOMINATOR) % 1.0
        near = frame.get_all_distances(images, images) < 0.02
        images = images[~np.tril(near, -1).any(1)]
        if len(images) != structures.multiplicity[atom]:
            raise ValueError(f"{structures.id[index]}: {len(images)} images, not {structures.multiplicity[atom]}")
        name = Element.from_Z(int(structures.number[atom])).symbol
        species += [{name: min(1.0, float(structures.occupancy[atom]))}] * len(images)
        positions.append(images)
    return Structure(frame, species, np.concatenate(positions))


def chosen(structures: Structures, number: int, seed: int) -> np.ndarray:
    """Indices of structures, spread evenly over the crystal systems."""
    from alphadiffract_plugin.models import lattice

    system = lattice.system_of_group()[structures.space_group - 1]
    shuffled = np.random.default_rng(seed).permutation(len(system))
    turn = np.empty(len(system), int)
    for s in range(7):
        own = shuffled[system[shuffled] == s]
        turn[own] = np.arange(len(own))
    return shuffled[np.argsort(turn[shuffled], kind="stable")][:number]


def compare(structures: Structures, which: np.ndarray) -> list[Comparison]:
    """Compare each structure; ours are simulated in one batch."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    from alphadiffract_plugin.models.simulation.lines import atoms_from_structures
    from alphadiffract_plugin.models.simulation.structure_factors import all_lines
    from alphadiffract_plugin.progress import track

    d_min = WAVELENGTH / (2 * np.sin(np.radians(RANGE[1] / 2)))
    lines = all_lines(atoms_from_structures(structures, which), d_min=d_min, form_factor=pymatgen_form_factor)
    crystal, inv_d2, strength = lines.crystal.numpy(), lines.inv_d2.numpy(), lines.intensity.numpy()
    sine = WAVELENGTH * np.sqrt(inv_d2) / 2
    theta = np.arcsin(sine)
    height = strength * (1 + np.cos(2 * theta) ** 2) / (sine**2 * np.cos(theta))
    height[np.degrees(2 * theta) < RANGE[0]] = 0
    found = []
    for row, index in enumerate(track(which, "comparing")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = XRDCalculator(WAVELENGTH).get_pattern(
                expanded(structures, index), two_theta_range=RANGE, scaled=False
            )
        own = (crystal == row) & (height > 0)
        position, difference = differences(
            1 / np.sqrt(inv_d2[own]), height[own], np.array(theirs.d_hkls), np.array(theirs.y)
        )
        group = int(structures.space_group[index])
        found.append(Comparison(str(structures.id[index]), group, int(own.sum()), position, difference))
    return found


def differences(
    d: np.ndarray, height: np.ndarray, their_d: np.ndarray, their_height: np.ndarray
) -> tuple[float, float]:
    """Largest relative difference of d and of height; pymatgen joins lines within 1e-5 degrees, so clusters count."""
    top = their_height.max()
    order = np.argsort(np.concatenate((d, their_d)), kind="stable")
    every = np.concatenate((d, their_d))[order]
    cluster = np.cumsum(np.diff(np.log(every), prepend=0) > POSITION) - 1
    signed = np.concatenate((height, -their_height))[order]
    height_difference = np.abs(np.bincount(cluster, weights=signed)).max() / top
    apart = [
        np.abs(np.log(strong[:, None] / other)).min(1)
        for strong, other in ((d[height > FAINT * top], their_d), (their_d[their_height > FAINT * top], d))
    ]
    return float(max(a.max(initial=0) for a in apart)), float(height_difference)


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", nargs="+", type=Path)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worst", type=int, default=5)
    args = parser.parse_args(argv)

    from alphadiffract_plugin.models.structures.table import read

    structures = read(args.structures)
    found = compare(structures, chosen(structures, args.number, args.seed))
    for key in ("position", "height"):
        print(f"worst by {key}:")
        for c in sorted(found, key=lambda c, key=key: -getattr(c, key))[: args.worst]:
            print(
                f"  {c.id:32s} group {c.space_group:3d}  {c.lines:5d} lines  d {c.position:.1e}  height {c.height:.1e}"
            )
    passed = sum(c.passed for c in found)
    print(f"{passed} of {len(found)} pass (d within {POSITION:g}, height within {HEIGHT:g} of the strongest)")
    return 0 if passed == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
