"""Train variants of one configuration on the same number of patterns, evaluate them alike, and print a table.

    python bench/ablation.py BASE.toml -o DIR [--benchmark INDEX.csv] [--patterns N] [--minutes M] [--only NAME ...]

BASE.toml is a configuration of `alphadiffract-plugin train`; a variant replaces some of its keys (``VARIANTS``). Each
variant is trained by that command in a process of its own and evaluated by `alphadiffract-plugin evaluate`: on
simulated patterns of the validation split of the structures of BASE, the same for all, with the effects of BASE, and on
the measured patterns of INDEX.csv. All variants see the same number of patterns; the table gives the minutes. A second
run with the same arguments continues where the first stopped; a finished variant is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUBLISHED = {"learning_rate": 2e-4, "weight_decay": 0.01}
"""Settings of AdamW in AlphaDiffract (arXiv:2603.23367)."""


@dataclass(frozen=True)
class Variant:
    """A change to the configuration BASE."""

    label: str
    """Its name in the table."""
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Keys of a section to replace; the section ``network`` is replaced whole where it names an architecture."""


VARIANTS = {
    "base": Variant("as configured"),
    "open": Variant(
        "`open`, the published network and rate", {"network": {"architecture": "open"}, "training": PUBLISHED}
    ),
    "no-gemd": Variant("without GEMD", {"loss": {"gemd": 0.0}}),
    "real": Variant("real structures alone", {"data": {"random": 0.0}}),
    "random": Variant("random crystals alone", {"data": {"random": 1.0}}),
    "mix": Variant("half real, half random", {"data": {"random": 0.5}}),
    "paper-effects": Variant("effects of the paper", {"effects": {"preset": "paper"}}),
    "natural": Variant("natural frequency of space groups", {"data": {"temper": 1.0}}),
    "no-system": Variant("without the crystal-system term", {"loss": {"crystal_system": 0.0}}),
    "no-lattice": Variant("without the lattice term", {"loss": {"lattice": 0.0}}),
    "no-average": Variant("last weights, no running average", {"training": {"average": 0.0}}),
    "two-theta-axis": Variant("equal steps of two_theta inside", {"network": {"axis": "two_theta"}}),
    "adamw": Variant("AdamW for all weights", {"training": {"optimiser": "adamw"}}),
    "one-segment": Variant("features averaged over the pattern", {"network": {"segments": 1}}),
}
"""By the name of the folder; the first is BASE."""
HEAD = (
    "| variant | patterns | minutes | simulated: system | group | among 5 | hops "
    "| measured: system | group | among 5 | hops |"
)


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, metavar="BASE.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--benchmark", type=Path, metavar="INDEX.csv")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--patterns", type=int, help="budget, in place of BASE's")
    parser.add_argument("--minutes", type=float, help="end each training after so many minutes at the latest")
    parser.add_argument("--each", type=int, default=60, help="simulated patterns of each crystal system, at most")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    args = parser.parse_args(argv)
    failed = []
    for name in args.only or VARIANTS:
        folder = args.output / name
        print(f"{name}: {VARIANTS[name].label}", file=sys.stderr)
        try:
            train(
                settings_of(args.base, VARIANTS[name], args.patterns), folder, minutes=args.minutes, device=args.device
            )
            evaluate(folder, args.base, args.benchmark, each=args.each, device=args.device)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"{name} failed: {' '.join(error.cmd[1:])}", file=sys.stderr)
    print(table(args.output, evaluation_of(args.each, args.benchmark)))
    return 2 if failed else 0


def settings_of(base: Path, variant: Variant, patterns: int | None = None) -> str:
    """The TOML of a variant, its paths absolute."""
    from alphadiffract_plugin.models.training.toml import Document, written

    values = {name: dict(table) for name, table in Document.read(base).values.items()}
    for name, table in variant.changes.items():
        values[name] = dict(table) if "architecture" in table else values.get(name, {}) | table
    if patterns:
        values["training"] = values.get("training", {}) | {"patterns": patterns}
    values["data"] = values.get("data", {}) | {"structures": [str(path) for path in structures_of(base)]}
    for section, key in (("data", "benchmark"), ("effects", "instrument"), ("training", "start_from")):
        if values.get(section, {}).get(key):
            values[section][key] = str((base.resolve().parent / values[section][key]).resolve())
    return written(values)


def structures_of(base: Path) -> list[Path]:
    """The structure files of a configuration."""
    from alphadiffract_plugin.models.training.toml import Document

    names = Document.read(base).table("data").get("structures", [])
    return [(base.resolve().parent / name).resolve() for name in names]


def train(settings: str, folder: Path, *, minutes: float | None, device: str) -> None:
    """Train a variant, or go on with it; nothing where its model is there."""
    run, file = folder / "run", folder / "settings.toml"
    if file.exists() and file.read_text(encoding="utf-8") != settings:
        sys.exit(f"{folder} was begun with other settings: choose another -o, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(settings, encoding="utf-8")
    if (run / "model" / "config.json").exists():
        return
    begin = ["--resume"] if (run / "run.toml").exists() else ["--config", str(file)]
    budget = ["--minutes", str(minutes)] if minutes else []
    command("train", *begin, "-o", str(run), "--device", device, *budget)


def evaluation_of(each: int, benchmark: Path | None) -> str:
    """Name of the folder of an evaluation of a variant."""
    return f"evaluation-{each}{'-measured' if benchmark else ''}"


def evaluate(folder: Path, base: Path, benchmark: Path | None, *, each: int, device: str) -> None:
    """Evaluate a variant; nothing where that was done for the same patterns."""
    from alphadiffract_plugin.models.training.toml import Document

    out = folder / evaluation_of(each, benchmark)
    if (out / "evaluation.json").exists():
        return
    preset = Document.read(base).table("effects").get("preset", "laboratory")
    asked = [word for path in structures_of(base) for word in ("--structures", str(path))]
    asked += ["--benchmark", str(benchmark)] if benchmark else []
    asked += ["--effects", preset, "--each", str(each), "--device", device]
    command("evaluate", str(folder / "run"), *asked, "-o", str(out), "--overwrite", "--json")


def command(*words: str) -> None:
    """Run a command of the package in a process of its own; what it prints for people stays on stderr."""
    code = "from alphadiffract_plugin.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)


def table(output: Path, evaluation: str) -> str:
    """The table of all variants that were evaluated, in Markdown."""
    lines = [HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    for name, variant in VARIANTS.items():
        file = output / name / evaluation / "evaluation.json"
        if file.exists():
            sections = {s["kind"]: s["figures"]["all"] for s in json.loads(file.read_text())["sections"]}
            made = json.loads((output / name / "run" / "model" / "config.json").read_text())["provenance"]
            cells = [variant.label, f"{made['patterns_seen']:,}", f"{made['minutes']:.1f}"]
            cells += figures(sections.get("simulated")) + figures(sections.get("measured"))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figures(row: dict[str, Any] | None) -> list[str]:
    """Three shares with half the width of their intervals, per cent, and the mean hops."""
    if row is None:
        return ["-"] * 4
    cells = []
    for key in ("crystal_system@1", "space_group@1", "space_group@5"):
        low, high = row[key]["wilson95"]
        cells.append(f"{row[key]['percent']:.1f} ± {(high - low) / 2:.1f}")
    return [*cells, f"{row['hops_mean']:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
