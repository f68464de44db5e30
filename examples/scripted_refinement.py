"""Index a pattern in GSAS-II, compare the answers with random cells, seed the project, refine, and print a report.

Run it with the Python that GSAS-II is installed in:
python scripted_refinement.py PATTERN.xye INSTRUMENT.instprm OUT.gpx
"""

import sys

from GSASII import GSASIIscriptable

from alphadiffract_plugin import gsasii

if len(sys.argv) != 4:
    sys.exit(__doc__)
pattern, instrument, target = sys.argv[1:]
project = GSASIIscriptable.G2Project(newgpx=target)
histogram = project.add_powder_histogram(pattern, instrument, fmthint="Topas xye")

result = gsasii.index(histogram)
for rank, candidate in enumerate(result.candidates[:3], start=1):
    cell = " ".join(f"{value:.4f}" for value in candidate.cell)
    print(f"{rank}  {candidate.space_group_symbol:<12} {cell}  probability {candidate.probability:.3f}")

# before the project is changed: the same short fit of these candidates and of random cells, in scratch copies
control = gsasii.control_fits(histogram, result, keep=3)
print(control)

phases = gsasii.seed(project, histogram, result, keep=3, control=control)
report = gsasii.refine(project, histogram, phases[0], result, control=control)
for what, rwp in report.steps:
    print(f"  {what:<17} Rwp {rwp:6.2f} %")
print(*report.notes, sep="\n")
print(f"Le Bail: converged {report.converged}, Rwp {report.rwp:.2f} %, GOF {report.gof:.2f}")
if report.cell:
    for name, value, esd in zip(("a", "b", "c", "alpha", "beta", "gamma"), report.cell, report.cell_esd, strict=True):
        print(f"  {name:<5} {value:.5f} +- {esd:.5f}")

gsasii.save(project)  # the file is complete at any time, even if the power fails meanwhile
