"""Measure the speed of each part of training on the CPU and, if there is one, on the GPU; prints Markdown.

    python bench/throughput.py [--config FILE.toml] [--json FILE] [--seconds S] [--devices cpu cuda]

Each row is repeated for about S seconds after a warm-up, and the best of three such runs is given; on a shared machine
only the ratios of rows are reliable. The share of the simulation in a training step is the time for drawing the
patterns over that of the whole steps, with the device synchronised after each part. FILE.toml is a configuration of
`train`, by default examples/train_tiny.toml with the full-sized network and batches of 64 (1,024 on a GPU).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent.parent / "examples" / "train_tiny.toml"
BATCH = {"cpu": 64, "cuda": 1024}
"""Patterns a step and a batch of the network."""


def main(argv: list[str] | None = None) -> int:
    """Command line; the exit code."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, metavar="FILE.toml")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--devices", nargs="+", choices=("cpu", "cuda"), metavar="cpu cuda")
    args = parser.parse_args(argv)
    found = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    columns = {}
    for device in args.devices or found:
        print(f"measuring on {device}", file=sys.stderr)
        columns[name_of(device)] = dict(measured(settings_of(args.config, device), device, args.seconds))
    print(table(columns))
    if args.json:
        args.json.write_text(json.dumps({"torch": torch.__version__, "figures": columns}, indent=1) + "\n")
    return 0


def settings_of(config: Path | None, device: str) -> Any:
    """The run to measure."""
    from alphadiffract_plugin.models.compact_network import CompactConfig
    from alphadiffract_plugin.models.training.config import read

    settings = read(config or EXAMPLE)
    if config:
        return settings
    training = dataclasses.replace(settings.training, batch=BATCH[device])
    return dataclasses.replace(settings, network=CompactConfig(), training=training)


def name_of(device: str) -> str:
    """Name of a device in the table."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"


def measured(settings: Any, device: str, seconds: float) -> Iterator[tuple[str, float]]:
    """Name and figure of every row: per second, but for shares."""
    import torch

    place = torch.device(device)
    yield from simulation(settings, place, seconds)
    yield from training(settings, device, seconds)
    yield from networks(place, seconds)
    yield from released(device, seconds)


def simulation(settings: Any, place: Any, seconds: float) -> Iterator[tuple[str, float]]:
    """Structure factors, random crystals, patterns."""
    import numpy as np

    from alphadiffract_plugin.models.simulation.lines import atoms_from_structures
    from alphadiffract_plugin.models.simulation.random_crystals import random_lines
    from alphadiffract_plugin.models.simulation.structure_factors import all_lines, lines_from_atoms
    from alphadiffract_plugin.models.structures.table import read
    from alphadiffract_plugin.models.training.sources import generator_of, simulated

    structures = read([Path(name) for name in settings.data.structures])
    n = min(len(structures), 512)
    atoms = atoms_from_structures(structures, np.random.default_rng(0).permutation(len(structures))[:n], place)
    lines = len(all_lines(atoms).inv_d2)
    rate = per_second(lambda: lines_from_atoms(atoms), place, seconds)
    yield "structures into lines", n * rate
    yield "lines (structure factors)", lines * rate
    generator = generator_of(place, 1)
    yield (
        "random crystals, with their lines",
        256 * per_second(lambda: random_lines(256, generator, device=place), place, seconds),
    )
    some = lines_from_atoms(atoms_from_structures(structures, np.arange(settings.training.batch) % n, place))
    parts = (settings.grid, settings.normalisation, settings.effects, generator)
    yield "patterns simulated", settings.training.batch * per_second(lambda: simulated(some, *parts), place, seconds)


def training(settings: Any, device: str, seconds: float) -> Iterator[tuple[str, float]]:
    """Whole steps, and what of them is simulation: of structures, and of the mix that the configuration names."""
    from alphadiffract_plugin.models.training.data import open_data
    from alphadiffract_plugin.models.training.dry_run import step_seconds
    from alphadiffract_plugin.models.training.session import make_fabric, with_shards
    from alphadiffract_plugin.models.training.trainer import Trainer

    for label, share in (("structures", 0.0), ("the configured mix", settings.data.random)):
        run = dataclasses.replace(settings, data=dataclasses.replace(settings.data, random=share))
        fabric = make_fabric(run, device)
        run = with_shards(run, fabric.world_size)
        trainer = Trainer(run, open_data(run, fabric.device, shards=1, cache=None), fabric, 1)
        trainer.initialise()
        trainer.launch()
        for _ in range(3):  # to warm up
            step_seconds(trainer)
        drawing = whole = 0.0
        steps = 0
        while steps < 3 or whole < 3 * seconds:
            parts = step_seconds(trainer)
            drawing, whole, steps = drawing + parts[0], whole + sum(parts), steps + 1
        yield f"patterns trained, {label}", steps * run.training.batch / whole
        yield f"share of simulation in a step, {label}", drawing / whole


def networks(place: Any, seconds: float) -> Iterator[tuple[str, float]]:
    """Patterns through each network, one by one and in batches."""
    import torch

    from alphadiffract_plugin.models.compact_network import CompactConfig, CompactNetwork
    from alphadiffract_plugin.models.open_network import OpenConfig, OpenNetwork

    for name, network, shape in (
        ("compact", CompactNetwork(CompactConfig()), (2, 4096)),
        ("open", OpenNetwork(OpenConfig()), (8192,)),
    ):
        network = network.eval().to(place)
        for n in (1, BATCH[place.type]):
            x = torch.rand(n, *shape, device=place)
            for precision in ("float32", "bfloat16"):

                def through(x: Any = x, network: Any = network, mixed: bool = precision == "bfloat16") -> None:
                    with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=mixed):
                        network(x)

                yield f"patterns through `{name}`, batch {n}, {precision}", n * per_second(through, place, seconds)


def released(device: str, seconds: float) -> Iterator[tuple[str, float]]:
    """The default model as `index` uses it: preparation, all members, every augmented copy."""
    import torch

    from alphadiffract_plugin.load import histogram_from_file
    from alphadiffract_plugin.models import catalogue, checkpoint
    from alphadiffract_plugin.prediction.predict import predict
    from alphadiffract_plugin.settings import NetworkSettings, Settings

    settings = Settings(network=NetworkSettings(device=device))
    histogram = histogram_from_file(EXAMPLE.parent / "data" / "pbso4_xray.xye", wavelength="CuKa")
    members = len(checkpoint.members(catalogue.resolve(settings.network.model)))
    texts = f"{members} member{'s' * (members > 1)}, {settings.network.augmentations} copies"
    rate = per_second(lambda: predict(histogram, settings), torch.device(device), seconds)
    yield f"measured patterns, default model, {texts}", rate


def per_second(work: Callable[[], Any], place: Any, seconds: float) -> float:
    """Calls a second: the best of three runs."""
    from alphadiffract_plugin.models.training.dry_run import now

    for _ in range(2):
        work()
    best = 0.0
    for _ in range(3):
        calls, began = 0, now(place)
        while (spent := now(place) - began) < seconds / 3 or not calls:
            work()
            calls += 1
        best = max(best, calls / spent)
    return best


def table(columns: dict[str, dict[str, float]]) -> str:
    """The figures in Markdown, a column a device; rows of other batches on other devices stay apart."""
    lines = ["| per second | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for row in dict.fromkeys(name for figures in columns.values() for name in figures):
        cells = [figures.get(row) for figures in columns.values()]
        texts = ["" if c is None else f"{100 * c:.0f} %" if row.startswith("share") else f"{c:,.0f}" for c in cells]
        lines.append(f"| {row} | {' | '.join(texts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
