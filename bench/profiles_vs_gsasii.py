"""Simulate crystals with GSAS-II and with our simulation, with equal parameters, and print how well the patterns agree.

    python bench/profiles_vs_gsasii.py STRUCTURES.parquet [--count N] [--seed S]

Both use the same U, V, W, X, Y, SH/L, size, microstrain, Kα doublet, polarisation and B; no texture, background or
noise. GSAS-II gets every atom of the cell in P 1, so that it does not depend on our symmetry. Its form factors
differ, and it includes anomalous scattering, which the simulation leaves out. Agreement is the correlation of the two
patterns from 5 to 80 degrees at Cu Kα; needs GSAS-II and pyarrow.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

B_ISO = 0.6
"""Å², of all atoms."""
SIZE, MICROSTRAIN = 0.2, 1500.0
"""µm and 1e-6; both Lorentzian, as GSAS-II has them by default."""
INSTRUMENT = {
    **{"Type": "PXC", "Bank": 1.0, "Lam1": 1.5405929, "Lam2": 1.5444274, "I(L2)/I(L1)": 0.5, "Zero": 0.0},
    **{"Polariz.": 0.5, "U": 8.0, "V": -4.0, "W": 6.0, "X": 1.0, "Y": 2.0, "Z": 0.0, "SH/L": 0.002, "Azimuth": 0.0},
}
MOST_ATOMS = 60
"""Structures with more atoms in the cell are left out, because GSAS-II would take too long."""


def main(argv: list[str] | None = None) -> int:
    """Command line; exit code 1 if a pattern agrees by less than 0.99."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--count", type=int, default=20, help="structures, spread over the crystal systems")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    args = parser.parse_args(argv)

    from alphadiffract_plugin import gsasii
    from alphadiffract_plugin.models import lattice
    from alphadiffract_plugin.models.structures import table

    if gsasii.find() is None:
        sys.exit(f"error: GSAS-II is not importable; see {gsasii.INSTALL}")
    structures = table.read([args.structures])
    print("| structure | space group | atoms in the cell | correlation | largest difference / maximum |")
    print("|---|---|---|---|---|")
    agreement = []
    for row in choice(structures, args.count, lattice.system_of_group()[structures.space_group - 1], args.seed):
        ours, theirs = both(structures, row)
        agreement.append(np.corrcoef(ours, theirs)[0, 1])
        apart = np.abs(ours / ours.max() - theirs / theirs.max()).max()
        cells = (structures.id[row], structures.space_group[row], atoms_in_cell(structures, row))
        print(f"| {' | '.join(map(str, cells))} | {agreement[-1]:.4f} | {apart:.3f} |", flush=True)
    print(f"\n{len(agreement)} structures, lowest correlation {min(agreement):.4f}, median {np.median(agreement):.4f}")
    return int(min(agreement) < 0.99)


def choice(structures: Any, count: int, system: np.ndarray, seed: int) -> list[int]:
    """Rows of ordered structures of few atoms, the crystal systems in turn."""
    rng = np.random.default_rng(seed)
    few = [row for row in rng.permutation(len(structures)) if atoms_in_cell(structures, row) <= MOST_ATOMS]
    turns = [[row for row in few if system[row] == s] for s in range(7)]
    return [rows[turn] for turn in range(len(few)) for rows in turns if turn < len(rows)][:count]


def atoms_in_cell(structures: Any, row: int) -> int:
    """Atoms of the conventional cell."""
    return int(structures.multiplicity[structures.start[row] : structures.start[row + 1]].sum())


def both(structures: Any, row: int) -> tuple[np.ndarray, np.ndarray]:
    """The pattern of one structure by ours and by GSAS-II, on the compact network's grid, shape (4096,) each."""
    from alphadiffract_plugin.models.grid import COMPACT_GRID

    with tempfile.TemporaryDirectory() as folder:
        instrument = Path(folder) / "both.instprm"
        values = "\n".join(f"{key}:{value}" for key, value in INSTRUMENT.items())
        instrument.write_text(f"#GSAS-II instrument parameter file\n{values}\n")
        return by_ours(structures, row, COMPACT_GRID, instrument), by_gsasii(structures, row, COMPACT_GRID, instrument)


def by_ours(structures: Any, row: int, grid: Any, instrument: Path) -> np.ndarray:
    """The pattern by our simulation."""
    import dataclasses

    import torch

    from alphadiffract_plugin.models.simulation.effects import PRESETS, effects_from_instrument
    from alphadiffract_plugin.models.simulation.lines import atoms_from_structures
    from alphadiffract_plugin.models.simulation.patterns import simulate
    from alphadiffract_plugin.models.simulation.structure_factors import lines_from_atoms

    sample = dataclasses.replace(PRESETS["ideal"], size=SIZE, microstrain=MICROSTRAIN, b_iso=B_ISO)
    effects = effects_from_instrument(instrument, sample, spread=0.0)
    lines = lines_from_atoms(atoms_from_structures(structures, np.array([row])))
    return simulate(lines, grid, effects, torch.Generator())[0][0].double().numpy()


def by_gsasii(structures: Any, row: int, grid: Any, instrument: Path) -> np.ndarray:
    """The pattern by GSAS-II, without its noise and background."""
    from alphadiffract_plugin import gsasii

    folder = instrument.parent
    (folder / "cell.cif").write_text(cif_in_p1(structures, row))
    with gsasii.quiet():
        project = gsasii.scriptable().G2Project(newgpx=str(folder / "both.gpx"))
        phase = project.add_phase(str(folder / "cell.cif"), phasename="cell", fmthint="CIF")
        ends = (grid.two_theta_min, grid.two_theta_max + grid.step / 2)
        histogram = project.add_simulated_powder_histogram(
            "both", str(instrument), *ends, Tstep=grid.step, phases=project.phases()
        )
        sample = phase.data["Histograms"][histogram.name]
        sample["Size"][1][0], sample["Mustrain"][1][0] = SIZE, MICROSTRAIN
        project.set_Controls("cycles", 0)
        project.save()
        failed = gsasii.refine_function()(project.filename, makeBack=False)
        if failed and not failed[0]:
            raise RuntimeError(f"GSAS-II: {failed[1]}")
        project.reload()
        histogram = project.histograms()[0]
        x, y = histogram.getdata("x"), histogram.getdata("ycalc") - histogram.getdata("background")
    two_theta = np.linspace(grid.two_theta_min, grid.two_theta_max, grid.length)
    return np.interp(two_theta, np.asarray(x), np.ma.filled(y, 0.0))


def cif_in_p1(structures: Any, row: int) -> str:
    """Every atom of the cell, by spglib's operations of its setting."""
    import gemmi
    import spglib

    operations = spglib.get_symmetry_from_database(int(structures.hall[row]))
    lines = ["data_cell", "_symmetry_space_group_name_H-M 'P 1'"]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{name} {value:.6f}" for name, value in zip(names, structures.cell[row], strict=True)]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x,y,z'", "loop_"]
    lines += [f"_atom_site_{name}" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")]
    lines += ["_atom_site_occupancy", "_atom_site_U_iso_or_equiv"]
    for atom in range(structures.start[row], structures.start[row + 1]):
        images = (operations["rotations"] @ structures.position[atom] + operations["translations"]) % 1.0
        images = distinct(images, int(structures.multiplicity[atom]))
        symbol = gemmi.Element(int(structures.number[atom])).name
        for i, (x, y, z) in enumerate(images):
            occupancy = structures.occupancy[atom]
            u_iso = B_ISO / (8 * math.pi**2)
            lines.append(f"{symbol}{atom}_{i} {symbol} {x:.6f} {y:.6f} {z:.6f} {occupancy:.4f} {u_iso:.6f}")
    return "\n".join(lines) + "\n"


def distinct(images: np.ndarray, count: int) -> np.ndarray:
    """The distinct images among (I, 3); their number must be the multiplicity of the atom."""
    apart = images[:, None] - images
    near = np.abs(apart - np.round(apart)).max(-1) < 1e-3
    kept = images[~np.tril(near, -1).any(1)]
    if len(kept) != count:
        raise RuntimeError(f"{len(kept)} images of an atom of multiplicity {count}")
    return kept


if __name__ == "__main__":
    sys.exit(main())
