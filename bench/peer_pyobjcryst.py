"""Index lines with pyobjcryst's quick_index, for bench/peers.py; run by whichever Python has pyobjcryst.

It reads ``{"d": [...], "d_esd": [...], "seconds": ...}`` (Å) on stdin. Lines that belong to no cell are allowed for
one more in each round, up to three, until a cell scores 10, the least that quick_index reports. Each round prints one
line of JSON, the processor seconds and the cells so far, the best first:
``{"seconds": ..., "cells": [[a, b, c, alpha, beta, gamma, centring], ...]}``. The process ends when so much processor
time is spent. Without input it prints pyobjcryst's version.
"""

import json
import math
import resource
import sys
import tempfile
import time

from pyobjcryst import __version__
from pyobjcryst.indexing import PeakList, quick_index

MOST_SPURIOUS, GOOD_SCORE = 3, 10


def main() -> None:
    """Answer one task."""
    text = sys.stdin.read()
    if not text.strip():
        print(__version__)
        return
    task = json.loads(text)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(began + task["seconds"]),) * 2)
    for spurious in range(MOST_SPURIOUS + 1):
        # as its code stands, "try_centered_lattice=True" is what stops after the first, primitive, lattice
        found = quick_index(
            lines_of(task), max_nb_spurious=spurious, try_centered_lattice=False, verbose=False
        ).GetSolutions()
        ranked = sorted(found, key=lambda pair: -pair[1])
        cells = [[*cell_of(unit), str(unit.centering)[-1]] for unit, _ in ranked]
        print(json.dumps({"seconds": time.process_time() - began, "cells": cells}), flush=True)
        if ranked and ranked[0][1] >= GOOD_SCORE:
            return


def lines_of(task):
    """The lines as pyobjcryst takes them, from a file."""
    lines = PeakList()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{d:.7f} {esd:.8f} 1.0\n" for d, esd in zip(task["d"], task["d_esd"], strict=True))
        file.flush()
        lines.ImportDhklDSigmaIntensity(file.name)
    return lines


def cell_of(unit):
    """Å and degrees of a reciprocal cell."""
    a, b, c, *angles = unit.DirectUnitCell()[:6]
    return [a, b, c, *map(math.degrees, angles)]


if __name__ == "__main__":
    main()
