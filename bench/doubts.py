"""Count the measured patterns of which a wrong wavelength is told, and the right ones that are doubted.

    python bench/doubts.py INDEX.csv

Every X-ray pattern of the index: those of a Kα doublet given right, as Kα1 alone, as the mean Kα, and with both lines
0.1 % too long; those of a synchrotron given right, passed off as Cu Kα1, and 0.1 % too long. Only the lines are found,
nothing is indexed.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from measured import histogram_of
from spoil import CU_KALPHA1, spoilt


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    args = parser.parse_args(argv)
    from alphadiffract_plugin.doubt_wavelength import doubts_about_wavelength
    from alphadiffract_plugin.errors import PeaksError
    from alphadiffract_plugin.find_peaks import find_peaks
    from alphadiffract_plugin.progress import track

    with args.index.open(newline="", encoding="utf-8") as file:
        rows = [row | {"path": str(args.index.parent / row["path"])} for row in csv.DictReader(file)]
    told, asked = Counter(), Counter()
    for row in track([row for row in rows if row["radiation"] == "xray"], "doubt"):
        histogram = histogram_of(row)
        for name, given in given_as(histogram):
            try:
                doubts = list(doubts_about_wavelength(given, find_peaks(given)))
            except PeaksError:
                continue
            asked[name] += 1
            told[name] += bool(doubts)
    print("| wavelength | patterns | told |\n|---|---|---|")
    for name in asked:
        print(f"| {name} | {asked[name]} | {told[name]} |")
    return 0


def given_as(histogram):
    """The histogram with its wavelength in several ways, each with its name."""
    longer = spoilt(histogram, "wavelength", 0.1, seed=0)
    if len(histogram.wavelengths) > 1:
        yield "doublet, as it is", histogram
        yield "doublet, 0.1 % too long", longer
        yield "doublet, given as Kα1 alone", spoilt(histogram, "one", "Kα1", seed=0)
        yield "doublet, given as the mean Kα", spoilt(histogram, "one", "mean Kα", seed=0)
    else:
        yield "synchrotron, as it is", histogram
        yield "synchrotron, 0.1 % too long", longer
        yield "synchrotron, passed off as Cu Kα1", replace(histogram, wavelengths=(CU_KALPHA1,))


if __name__ == "__main__":
    sys.exit(main())
