"""Index lines with pyobjcryst's quick_index, for bench/peers.py; run by whichever Python has pyobjcryst.

It reads ``{"d": [...], "d_esd": [...], "seconds": ...}`` (Å) on stdin. Lines that belong to no cell are allowed for
one more in each round, up to three, until a cell scores 10, the least that quick_index reports. Each round prints one
line of JSON, the cells so far, the best first: ``[[score, a, b, c, alpha, beta, gamma, centring], ...]``. The process
ends when so much processor time is spent. Without input it prints pyobjcryst's version.
"""

import json
import math
import resource
import sys
import tempfile

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
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(task["seconds"]),) * 2)
    for spurious in range(MOST_SPURIOUS + 1):
        # as its code stands, "try_centered_lattice=True" is what stops after the first, primitive, lattice
        found = quick_index(
            lines_of(task), max_nb_spurious=spurious, try_centered_lattice=False, verbose=False
        ).GetSolutions()
        cells = [[score, *cell_of(unit), str(unit.centering)[-1]] for unit, score in found]
        print(json.dumps(sorted(cells, key=lambda cell: -cell[0])), flush=True)
        if cells and max(cell[0] for cell in cells) >= GOOD_SCORE:
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
