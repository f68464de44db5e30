"""Index simulated patterns of ten kinds of sample, five of each, whose cells were missed on measured ones.

    python bench/kinds.py [-o PATTERNS.npz] [--seeds 5] [--jobs N]

The crystals are those of :data:`CRYSTALS`, with atoms from the literature (rounded; the sources are in the table).
Sample, instrument and counting vary as in the preset ``laboratory`` of the simulation, with copper Kα doublets. The
garnet has two foreign lines, the mica a strong texture about c*. Prints how often the true lattice is that of the first
answer, within 1 % and 1 degree, and how often a lattice of higher symmetry came first.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from failures import primitive, same
from measured import one_thread
from simulate_patterns import COUNTS, FIRST, LAST, STEP


@dataclass(frozen=True)
class Crystal:
    """A crystal of the literature."""

    space_group: str
    """Symbol in the setting of the coordinates."""
    cell: tuple[float, float, float, float, float, float]
    """Å and degrees."""
    atoms: str
    """Element, x, y, z and, if it is not 1, occupancy of each atom, separated by semicolons."""
    source: str
    """Where cell and coordinates are from."""


CRYSTALS = {
    "silicon": Crystal("F d -3 m:1", (5.4307, 5.4307, 5.4307, 90, 90, 90), "Si 0 0 0", "Wyckoff 1963"),
    "NaF": Crystal("F m -3 m", (4.634, 4.634, 4.634, 90, 90, 90), "Na 0 0 0; F .5 .5 .5", "Wyckoff 1963"),
    "AgBr": Crystal("F m -3 m", (5.7745, 5.7745, 5.7745, 90, 90, 90), "Ag 0 0 0; Br .5 .5 .5", "Wyckoff 1963"),
    "garnet": Crystal(
        "I a -3 d",
        (11.845, 11.845, 11.845, 90, 90, 90),
        "Si .375 0 .25; Al 0 0 0; Ca .125 0 .25; O .0381 .0449 .6514",
        "grossular, Novak & Gibbs 1971",
    ),
    "columbite": Crystal(
        "P b c n",
        (14.2661, 5.7334, 5.0495, 90, 90, 90),
        "Fe 0 .3311 .25; Nb .3389 .3191 .2506; O .0963 .1041 .0727; O .4189 .1163 .0990; O .7560 .1236 .0793",
        "columbite-(Fe), Wenger et al. 1991",
    ),
    "bastnäsite": Crystal(
        "P -6 2 c",
        (7.1175, 7.1175, 9.7619, 90, 90, 120),
        "Ce .3394 0 0; C .322 .290 .25; O .316 .109 .25; O .3245 .3828 .1354; F 0 0 0; F .66667 .33333 .051",
        "bastnäsite-(Ce), Ni et al. 1993",
    ),
    "natrolite": Crystal(
        "F d d 2",
        (18.29, 18.64, 6.59, 90, 90, 90),
        "Si 0 0 0; Si .1532 .2112 .6238; Al .0376 .0936 .6153; O .0226 .0686 .8663; O .0702 .1817 .6098;"
        "O .0984 .0351 .5006; O .2065 .1529 .7258; O .1804 .2272 .3905; Na .2208 .0306 .6177; O .0563 .1896 .1112",
        "natrolite, Artioli et al. 1984",
    ),
    "amphibole": Crystal(
        "C 1 2/m 1",
        (9.8385, 18.0554, 5.2778, 90, 104.751, 90),
        "Si .2802 .0841 .2971; Si .2883 .1712 .8048; Mg 0 .0879 .5; Mg 0 .1766 0; Mg 0 0 0; Ca 0 .2778 .5;"
        "O .1117 .0860 .2171; O .1185 .1711 .7240; O .1086 0 .7156; O .3653 .2480 .7933; O .3464 .1345 .1005;"
        "O .3438 .1186 .5906; O .3374 0 .2922",
        "tremolite, Hawthorne & Grundy 1976",
    ),
    "mica": Crystal(
        "C 1 2/m 1",
        (5.32, 9.21, 10.16, 90, 100.03, 90),
        "K 0 .5 0; Mg 0 0 .5; Mg 0 .33 .5; Si .575 .33 .22 .75; Al .575 .33 .22 .25; O .055 0 .16; O .805 .25 .16;"
        "O .63 .33 .38; O .63 0 .38",
        "phlogopite, Steinfink 1962",
    ),
    "manganite": Crystal(
        "P 1 21/c 1",
        (5.304, 5.277, 5.304, 90, 114.38, 90),
        "Mn .7632 .0103 .7546; O .8752 .1256 .1206; O .3749 .1238 .6279; H .284 .027 .725",
        "manganite, Kohler et al. 1997",
    ),
}
TEXTURE = 0.5
"""March-Dollase parameter of the mica: plates."""
FOREIGN = (0.05, 0.15)
"""Heights of the two foreign lines of the garnet, over that of its strongest line."""
EFFECTS = {
    "kalpha2_share": 1.0,
    "synchrotron_share": 0.0,
    "cut_share": 0.0,
    "texture_share": 0.0,
    "impurity_share": 0.0,
}
EFFECTS |= {"foreign_share": 0.0, "strain": 0.0, "dilation": (-0.005, 0.005), "noise": (0.001, 0.01)}


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, metavar="PATTERNS.npz", help="keep the patterns")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    from alphadiffract_plugin.progress import track

    made = [(name, *pattern) for name in CRYSTALS for pattern in patterns_of(name, args.seeds)]
    if args.output:
        np.savez(args.output, name=[m[0] for m in made], cell=[m[1] for m in made], intensity=[m[2] for m in made])
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), one_thread) as pool:
        found = list(track(pool.map(answer, *zip(*made, strict=True)), "indexing", total=len(made)))
    print(f"{'':12}cell first  of  higher symmetry first   first answers")
    for name in CRYSTALS:
        mine = [one for one in found if one[0] == name]
        right, higher = sum(one[1] for one in mine), sum(one[2] for one in mine)
        print(f"{name:12}{right:10}{len(mine):4}{higher:23}   " + "; ".join(one[3] for one in mine))
    print(f"{'all':12}{sum(one[1] for one in found):10}{len(found):4}{sum(one[2] for one in found):23}")
    return 0


def patterns_of(name: str, count: int) -> list[tuple[tuple[float, ...], np.ndarray]]:
    """Conventional cells and intensities, shape (L,), of patterns of a crystal, seeds 0 to ``count`` - 1."""
    import tempfile

    import torch

    from alphadiffract_plugin.evaluation.simulated import crystals_of
    from alphadiffract_plugin.models import lattice
    from alphadiffract_plugin.models.grid import Grid
    from alphadiffract_plugin.models.simulation import patterns
    from alphadiffract_plugin.models.simulation.axes import standard_changes
    from alphadiffract_plugin.models.simulation.effects import PRESETS
    from alphadiffract_plugin.models.simulation.structure_factors import lines_from_atoms
    from alphadiffract_plugin.radiation import KALPHA

    torch.set_num_threads(1)
    effects = dataclasses.replace(PRESETS["laboratory"], wavelength=KALPHA["Cu"][0], **EFFECTS)
    grid = Grid(KALPHA["Cu"][0], FIRST, LAST, round((LAST - FIRST) / STEP) + 1)
    made = []
    for seed in range(count):
        generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "crystal.cif")
            path.write_text(cif(CRYSTALS[name]), encoding="utf-8")
            _, [atoms] = crystals_of([path], 1, 0, generator)
        lines = patterns.strain(lines_from_atoms(atoms, d_min=1.08), effects, generator)
        if name == "mica":
            lines = textured(lines)
        back = torch.linalg.inv(standard_changes(atoms.metric, atoms.space_group))
        metric = back @ torch.linalg.inv((lines.basis @ lines.basis.mT).double()) @ back.mT
        intensity = patterns.simulate(lines, grid, effects, generator)[0][0].double().numpy()
        if name == "garnet":
            intensity = intensity + foreign_lines(len(intensity), rng)
        made.append((tuple(lattice.cell_from_metric(metric.numpy())[0].tolist()), intensity))
    return made


def cif(crystal: Crystal) -> str:
    """The crystal as a CIF, with all its symmetry operations."""
    import gemmi

    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    operations = [f"'{op.triplet()}'" for op in gemmi.SpaceGroup(crystal.space_group).operations()]
    head = ["data_crystal", "loop_", "_symmetry_equiv_pos_as_xyz", *operations]
    head += [f"_cell_{key} {value}" for key, value in zip(names, crystal.cell, strict=True)]
    head += ["loop_", "_atom_site_label", "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z"]
    atoms = [atom.split() for atom in crystal.atoms.split(";")]
    rows = [" ".join((atom + ["1"])[:5]) for atom in atoms]
    return "\n".join([*head, "_atom_site_occupancy", *rows]) + "\n"


def textured(lines):
    """The lines with the March-Dollase factor about c*."""
    from alphadiffract_plugin.models.simulation.patterns import march_dollase

    vector = lines.hkl @ lines.basis
    axis = lines.basis[:, 2]
    cos2 = (vector @ axis[:, :, None]).squeeze(-1).square() / (
        vector.square().sum(-1).clamp_min(1e-9) * axis.square().sum(1, keepdim=True)
    )
    return dataclasses.replace(
        lines, intensity=lines.intensity * march_dollase(cos2, lines.intensity.new_tensor(TEXTURE))
    )


def foreign_lines(points: int, rng: np.random.Generator) -> np.ndarray:
    """Two Gaussian lines of 0.1 degrees at random places, shape (L,)."""
    two_theta = np.linspace(FIRST, LAST, points)
    places, heights = rng.uniform(20, 70, 2), rng.uniform(*FOREIGN, 2)
    return (heights[:, None] * np.exp(-4 * np.log(2) * ((two_theta - places[:, None]) / 0.1) ** 2)).sum(0)


def answer(name: str, cell: tuple[float, ...], intensity: np.ndarray) -> tuple[str, bool, bool, str]:
    """The name; whether the first answer has the true lattice, and whether its symmetry is too high; and the answer."""
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.pipeline import index_histogram
    from alphadiffract_plugin.radiation import KALPHA
    from alphadiffract_plugin.records import CRYSTAL_SYSTEMS, Histogram
    from alphadiffract_plugin.settings import Settings

    two_theta = np.round(np.linspace(FIRST, LAST, len(intensity)), 4)
    counts = np.round(COUNTS * intensity / intensity.max(), 1)
    histogram = Histogram(two_theta, counts, None, KALPHA["Cu"], kalpha2_ratio=0.5, name="pattern")
    symbol = CRYSTALS[name].space_group
    truth = Lattice(primitive_basis(cell, symbol[0])).get_niggli_reduced_lattice()
    try:
        first = index_histogram(histogram, Settings()).candidates[0]
    except AlphaDiffractError as error:
        return name, False, False, error.what
    if not first.has_cell:
        return name, False, False, f"no cell, {first.space_group_symbol} {first.probability:.2f}"
    found = primitive({"cell": first.cell, "space_group": first.space_group})
    right = same(truth, found)
    order = [CRYSTAL_SYSTEMS.index(one) for one in (first.crystal_system, system_of(symbol))]
    higher = not right and order[0] > order[1] and abs(found.volume / truth.volume - 1) < 0.02
    axes = " ".join(f"{value:.3f}" for value in first.cell[:3])
    return name, right, higher, f"{first.space_group_symbol} {axes} {first.probability:.2f}"


def system_of(symbol: str) -> str:
    """Crystal system of a space group by its symbol."""
    import gemmi

    return gemmi.SpaceGroup(symbol).crystal_system_str()


if __name__ == "__main__":
    sys.exit(main())
