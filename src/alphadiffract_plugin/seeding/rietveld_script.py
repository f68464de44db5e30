"""The script of a bundle that goes on from the Le Bail fit to a Rietveld refinement."""

from alphadiffract_plugin.seeding.script_head import IMPORTS

SCRIPT = (
    '''"""python make_rietveld.py MODEL.cif: go on from {name}.gpx to {name}_rietveld.gpx, by Rietveld.

The atoms of the CIF are added to the first phase of the project that make_project.py made, and refined. It needs only
GSAS-II. You may change it.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

'''
    + IMPORTS
    + """
from rietveld_recipe import fit_by_rietveld  # noqa: E402
from structure_recipe import OtherCrystal, atoms_in_setting, atoms_of_phase, group_of_phase  # noqa: E402

PROJECT = FOLDER / "{name}.gpx"
TARGET = FOLDER / "{name}_rietveld.gpx"
CYCLES = {cycles}
RANDOM_SEED = {random_seed}

if len(sys.argv) != 2:
    sys.exit(__doc__)
model = Path(sys.argv[1]).resolve()
if not PROJECT.exists():
    sys.exit(f"{{PROJECT}} is not there. Run make_project.py first.")
if TARGET.exists():
    sys.exit(f"{{TARGET}} is already there. Move it away first.")
if not os.access(FOLDER, os.W_OK):
    sys.exit(f"You may not write into {{FOLDER}}. Copy this folder to another place.")
with tempfile.TemporaryDirectory() as work:
    structures = GSASIIscriptable.G2Project(newgpx=str(Path(work) / "model.gpx"))
    structure = structures.add_phase(str(model), phasename="model", fmthint="CIF")
    project = GSASIIscriptable.G2Project(gpxfile=shutil.copy(PROJECT, work))
    histogram, phase = project.histograms()[0], project.phases()[0]
    try:
        atoms = atoms_in_setting(atoms_of_phase(structure), group_of_phase(structure), group_of_phase(phase))
    except OtherCrystal as difference:
        sys.exit(
            f"{{model.name}} is not the crystal of phase {{phase.name}}: {{difference}}. If it is another candidate, "
            f"move that one to the first place in result.json, {{PROJECT.name}} away, and run make_project.py again."
        )
    fit = fit_by_rietveld(
        project, histogram, phase, GSASIIstrMain.Refine, atoms, cycles=CYCLES, random_seed=RANDOM_SEED
    )
    project.data["Notebook"]["data"].append(f"Rietveld refinement of {{phase.name}} with the atoms of {{model.name}}")
    project.save()
    if fit.converged:
        shutil.copyfile(project.filename, TARGET)
for what, rwp in fit.steps:
    print(f"  {{what:<12}} Rwp {{rwp:6.2f}} %")
for note in fit.notes:
    print("note:", note)
print("Rietveld", "converged" if fit.converged else "did not converge", f"at Rwp {{fit.rwp:.2f}} %")
if not fit.converged:
    sys.exit("Nothing was written.")
print("wrote", TARGET)
"""
)
