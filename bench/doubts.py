"""Count how often a note doubts the wavelength of a measured pattern, where it is wrong and where it is right.

    python bench/doubts.py INDEX.csv

All X-ray patterns of tier A are used. A pattern with a Kα doublet is read with the right wavelengths, with both 0.1 %
too long, with Kα1 alone and with the mean Kα; one from a synchrotron with the right wavelength, with one that is 0.1 %
too long, and with that of Cu Kα1. Lines are found, but nothing is indexed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from degrade import CU_KALPHA1, degraded
from measured import histogram_of, known_rows


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    args = parser.parse_args(argv)
    from alphadiffract_plugin.peaks.doubt_wavelength import doubts_about_wavelength
    from alphadiffract_plugin.progress import track

    rows = [row.measurement for row in known_rows(args.index) if row.measurement.radiation == "xray"]
    doubted, asked = Counter(), Counter()
    for row in track(rows, "doubt"):
        for name, histogram, peaks in given_as(histogram_of(row)):
            asked[name] += 1
            doubted[name] += any(doubts_about_wavelength(histogram, peaks))
    print("| wavelength | patterns | doubted |\n|---|---|---|")
    for name in asked:
        print(f"| {name} | {asked[name]} | {doubted[name]} |")
    return 0


def given_as(histogram):
    """Name, histogram and lines for each wavelength that the pattern is read with."""
    from alphadiffract_plugin.peaks.find_peaks import find_peaks

    peaks = find_peaks(histogram)
    kind = "doublet" if len(histogram.wavelengths) > 1 else "synchrotron"
    yield f"{kind}, right", histogram, peaks
    yield f"{kind}, 0.1 % too long", degraded(histogram, "wavelength", 0.1, seed=0), peaks
    if kind == "doublet":
        first, mean = (degraded(histogram, "one", name, seed=0) for name in ("Kα1", "mean Kα"))
        peaks = find_peaks(first)
        yield "doublet, given as Kα1 alone", first, peaks
        yield "doublet, given as the mean Kα", mean, peaks
    else:
        yield "synchrotron, given as Cu Kα1", replace(histogram, wavelengths=(CU_KALPHA1,)), peaks


if __name__ == "__main__":
    sys.exit(main())
