"""Index the ten lists of lines of bethanechol chloride that were published as a test of indexing programs.

    python bench/bethanechol.py LISTS.json [--esd DEGREES] [--manual] [-o ANSWERS.jsonl]

Bergmann, Le Bail, Shirley & Zlokazov (2004), Z. Kristallogr. 219, 783, tables 5 and 6: twenty positions each, with
impurities and zero shifts. LISTS.json has ``sets``, by name ``wavelength`` in Å and ``two_theta`` in degrees, and
``answer`` with ``cell`` and ``space_group``. Each list goes through ``index --peaks`` as a text file of two_theta.

As in the paper a set scores +1 if the true cell (within 1 % and 1 degree, after Niggli reduction) comes first, 0 if it
is among the first ten cells, and -1 otherwise, in the default mode and, with ``--manual``, in one with known limits:
800 to 1200 Å³ and axes to 20 Å (that the cell is monoclinic cannot be said). Prints a table as Markdown with the sum.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from failures import primitive, same

MANUAL = ("search.volume_min=800", "search.volume_max=1200", "search.length_max=20")


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path, metavar="LISTS.json")
    parser.add_argument("--esd", type=float, help="uncertainty of the positions in degrees; the usual one if not given")
    parser.add_argument("--manual", action="store_true", help="restrict volume and axes, as in the paper's manual mode")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, metavar="ANSWERS.jsonl")
    args = parser.parse_args(argv)
    document = json.loads(args.lists.read_text())
    settings = [*args.settings, *(MANUAL if args.manual else ())]
    print("| set | place of the true cell | score | seconds | first cell |\n|---|---|---|---|---|")
    total, lines = 0, []
    for name, one in document["sets"].items():
        answer = answer_to(name, one, args.esd, settings)
        place = place_of(document["answer"], answer["candidates"])
        score = 1 if place == 1 else 0 if place and place <= 10 else -1
        total += score
        first = answer["candidates"][0] if answer["candidates"] else None
        shown = (
            " ".join(f"{value:.3f}" for value in first["cell"]) + f", p {first['probability']:.2f}" if first else "-"
        )
        seconds = sum(answer["timings"].values())
        print(f"| {name} | {place or '-'} | {score:+d} | {seconds:.1f} | {shown} |", flush=True)
        lines.append(json.dumps({"set": name, "place": place, "score": score, "answer": answer}))
    print(f"\nSum: {total:+d}")
    if args.output:
        args.output.write_text("\n".join(lines) + "\n")
    return 0


def answer_to(name: str, one: dict[str, Any], esd: float | None, settings: list[str]) -> dict[str, Any]:
    """The answer of ``index --peaks`` to one set."""
    rows = [f"{angle:.3f}" + (f" {esd}" if esd else "") for angle in one["two_theta"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.txt"
        path.write_text("\n".join(["two_theta" + (" esd" if esd else ""), *rows]) + "\n")
        command = [sys.executable, "-m", "alphadiffract_plugin", "index", "--peaks", str(path)]
        command += ["--wavelength", str(one["wavelength"]), "--json", "-"]
        command += [word for setting in settings for word in ("--set", setting)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def place_of(truth: dict[str, Any], candidates: list[dict[str, Any]]) -> int | None:
    """Place of the first candidate with the lattice of ``truth`` among the different ones, from 1; None without one.

    Parameters
    ----------
    truth : ``cell`` and ``space_group``, a symbol whose letter is the centring of the cell.
    """
    from pymatgen.core import Lattice

    from alphadiffract_plugin.crystal.bravais import primitive_basis

    known = Lattice(primitive_basis(tuple(truth["cell"]), truth["space_group"][0])).get_niggli_reduced_lattice()
    seen: list[Any] = []
    for candidate in candidates:
        if None in candidate["cell"]:
            continue
        lattice = primitive(candidate).get_niggli_reduced_lattice()
        if any(same(other, lattice, length=0.003, angle=0.3) for other in seen):
            continue
        seen.append(lattice)
        if same(known, lattice):
            return len(seen)
    return None


if __name__ == "__main__":
    raise SystemExit(main())
