"""Index a histogram that is loaded in GSAS-II, and add the answers as phases to the same project.

Run it with the Python that GSAS-II is installed with: python scripted_gsasii.py PATTERN.xye INSTRUMENT.instprm OUT.gpx
"""

import sys

from GSASII import GSASIIscriptable

from alphadiffract_plugin import gsasii

pattern, instrument, target = sys.argv[1:4]

project = GSASIIscriptable.G2Project(newgpx=target)
histogram = project.add_powder_histogram(pattern, instrument, fmthint="Topas xye")

result = gsasii.index(histogram)
phases = gsasii.seed(project, histogram, result, keep=3)
report = gsasii.refine(project, histogram, phases[0], result)
project.save()

for candidate, phase in zip(result.candidates, phases, strict=False):
    print(phase.name, candidate.space_group_symbol, *(f"{value:.4f}" for value in candidate.cell))
print(
    f"Le Bail: converged {report.converged}, Rwp {report.rwp:.2f} %, cell", *(f"{value:.4f}" for value in report.cell)
)
