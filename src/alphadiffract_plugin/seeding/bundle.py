"""Write a bundle: plain files to start a refinement from, and a script that makes the GSAS-II project elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alphadiffract_plugin import recipes
from alphadiffract_plugin.load import write_xye
from alphadiffract_plugin.records import Histogram, IndexingResult, SeedReport
from alphadiffract_plugin.seeding import rietveld_script
from alphadiffract_plugin.seeding.answer import doubts, notebook_entry, seedable
from alphadiffract_plugin.seeding.cif import cif_from_candidate
from alphadiffract_plugin.seeding.instprm import instprm_from_histogram, knows_widths
from alphadiffract_plugin.seeding.script_head import IMPORTS
from alphadiffract_plugin.seeding.staging import file_name, staged, with_esd
from alphadiffract_plugin.settings import Settings

RECIPES = (
    *("recipe_records.py", "project_recipe.py", "lebail_recipe.py", "lebail_steps.py", "lebail_start.py"),
    "lebail_background.py",
    *("structure_recipe.py", "rietveld_recipe.py", "rietveld_steps.py"),
)
"""Modules of :mod:`recipes` that the scripts use; they are copied beside them and need numpy alone."""

SCRIPT = (
    '''"""python make_project.py: make {name}.gpx from the files here, with its first candidate fitted by Le Bail.

It needs only GSAS-II (https://advancedphotonsource.github.io/GSAS-II-tutorials/install.html). You may change it: KEEP,
for instance, or the order of the candidates in result.json.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

'''
    + IMPORTS
    + '''
from lebail_recipe import fit_by_lebail  # noqa: E402
from project_recipe import keep_every_point, label_lines, seed_project  # noqa: E402
from recipe_records import answer_from_json  # noqa: E402

TARGET = FOLDER / "{name}.gpx"
KEEP = {keep}
CYCLES = {cycles}
RANDOM_SEED = {random_seed}
PROFILE = "{profile}"
NOTE = """{note}"""
DOUBT = """{doubt}"""

if TARGET.exists():
    sys.exit(f"{{TARGET}} is already there. Move it away first.")
if not os.access(FOLDER, os.W_OK):
    sys.exit(f"You may not write into {{FOLDER}}. Copy this folder to another place.")
answer = answer_from_json(json.loads((FOLDER / "result.json").read_text(encoding="utf-8")))
first = answer.candidates[0]
with tempfile.TemporaryDirectory() as work:
    project = GSASIIscriptable.G2Project(newgpx=str(Path(work) / TARGET.name))
    histogram = project.add_powder_histogram(
        str(FOLDER / "pattern.xye"), str(FOLDER / "instrument.instprm"), fmthint="Topas xye"
    )
    keep_every_point(histogram, *np.loadtxt(FOLDER / "pattern.xye", unpack=True)[1:])
    phases = seed_project(project, histogram, answer, keep=KEEP, note=NOTE)
    fit = fit_by_lebail(
        project,
        histogram,
        phases[0],
        GSASIIstrMain.Refine,
        zero_shift=first.low_angle_shift,
        cycles=CYCLES,
        random_seed=RANDOM_SEED,
        profile=PROFILE,
        lines=answer.lines,
    )
    if fit.cell is not None and answer.lines is not None:
        label_lines(histogram, phases[0], answer.lines)
    project.save()
    shutil.copyfile(project.filename, TARGET)
for note in (*DOUBT.splitlines(), *fit.notes):
    print("note:", note)
print("Le Bail", "converged" if fit.converged else "did not converge", f"at Rwp {{fit.rwp:.2f}} %")
print("cell", *(f"{{value:.5f}}" for value in fit.cell or first.cell))
print("wrote", TARGET)
'''
)


def seed(histogram: Histogram, result: IndexingResult, target: Path, settings: Settings) -> SeedReport:
    """Write pattern.xye, instrument.instprm, candidate_1.cif ..., result.json make_project.py and make_rietveld.py.

    Raises
    ------
    InputError : the answer has no candidate with a cell.
    OutputError : the folder holds something already, or cannot be written.
    """
    sound, doubtful, note = seedable(result), doubts(result), notebook_entry(result, settings.seed.keep)
    candidates = sound.candidates[: settings.seed.keep]
    texts = {
        "instrument.instprm": instprm_from_histogram(histogram, result.peaks),
        "result.json": sound.to_json(indent=1) + "\n",
        "make_project.py": _script(histogram, note, doubtful, settings),
        "make_rietveld.py": _rietveld_script(histogram, settings),
    }
    texts |= {f"candidate_{rank}.cif": cif_from_candidate(one, rank) for rank, one in enumerate(candidates, start=1)}
    texts |= {name: _recipe(name) for name in RECIPES}
    with staged(target) as folder:
        write_xye(with_esd(histogram), folder / "pattern.xye")
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    return SeedReport(
        seeder="bundle",
        target=str(target),
        files=tuple(str(target / name) for name in sorted([*texts, "pattern.xye"])),
        phases=tuple(candidate.space_group_symbol for candidate in candidates),
        notes=(
            *doubtful,
            "To make the GSAS-II project, run python make_project.py with the Python that GSAS-II is installed in; "
            "for a Rietveld refinement then run python make_rietveld.py MODEL.cif.",
        ),
    )


def _recipe(name: str) -> str:
    """The text of a module of :mod:`recipes`, with imports that find the other modules beside it in the bundle."""
    text = (Path(recipes.__file__).parent / name).read_text(encoding="utf-8")
    return text.replace(f"from {recipes.__name__}.", "from ")


def _rietveld_script(histogram: Histogram, settings: Settings) -> str:
    return rietveld_script.SCRIPT.format(
        name=file_name(histogram.name), cycles=settings.seed.cycles, random_seed=settings.random_seed
    )


def _script(histogram: Histogram, note: str, doubtful: Sequence[str], settings: Settings) -> str:
    def plain(text: str) -> str:
        return text.replace("\\", "/").replace('"', "'")

    return SCRIPT.format(
        name=file_name(histogram.name),
        keep=settings.seed.keep,
        cycles=settings.seed.cycles,
        random_seed=settings.random_seed,
        profile="sample" if knows_widths(histogram) else "instrument",
        note=plain(note),
        doubt=plain("\n".join(doubtful)),
    )
