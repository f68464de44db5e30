"""Fit the probability that a line belongs to no reflection (is spurious) to measured patterns with known cells.

    python bench/fit_spurious.py INDEX.csv --cache LINES.npz [-o src/alphadiffract_plugin/data/spurious.json]

The known lattice is fitted to each pattern of tier A. A line is spurious if it is farther than 0.45 of its width from
every reflection of the known extinction class; patterns with more than half of such lines are left out. A logistic
regression on ``observed.spurious_features`` gives four numbers; fitted without each of five folds of the patterns, they
give the loss on patterns that they were not fitted to. The lines are kept in LINES.npz, so that the regression can be
repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from alphadiffract_plugin.benchmark_index import BenchmarkRow

sys.path.insert(0, str(Path(__file__).parent))
from measured import histogram_of, known_rows

SEED, FOLDS = 20261121, 5
EXPLAINED = 0.45
"""Distance, in widths of the line, up to which a reflection explains it, as in ``fit_lattice``."""
STARTS = (0.03, -0.03, 0.08)
"""Zero shifts in degrees from which the known lattice is fitted; the fit that explains most lines is taken."""

MOST_SPURIOUS = 0.5
"""A pattern with a larger share of spurious lines is left out: the known cell is not that of its main phase, or the fit
failed."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    from alphadiffract_plugin.provenance import versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("--cache", type=Path, required=True, metavar="LINES.npz")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = known_rows(args.index)
    if not args.cache.exists():
        np.savez(args.cache, **labelled(rows))
    features, spurious, owner = trusted(args.cache)
    names = [row.id for row in rows]
    fold = dict(zip(names, np.random.default_rng(SEED).permutation(len(names)) % FOLDS, strict=True))
    of_fold = np.array([fold[name] for name in owner])
    everything = fitted(features, spurious)
    without = [fitted(features[of_fold != k], spurious[of_fold != k]) for k in range(FOLDS)]
    held_back = np.mean([loss(without[k], features[of_fold == k], spurious[of_fold == k]) for k in range(FOLDS)])
    document = {
        "what": "Logit that a line is spurious, by observed.spurious_features (bench/fit_spurious.py)",
        "fitted_on": f"{len(features)} lines of {len(set(owner))} measured patterns with known cells",
        "spurious": round(float(spurious.mean()), 3),
        "log_loss": round(loss(everything, features, spurious), 3),
        "log_loss_of_folds": round(float(held_back), 3),
        "log_loss_of_the_share": round(loss([logit(spurious.mean()), 0, 0, 0], features, spurious), 3),
        "seed": SEED,
        "versions": versions(),
        "weights": everything,
    }
    print(json.dumps(document, indent=1))
    if args.output:
        args.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def trusted(cache: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, label and pattern of the lines, without patterns that the known cell does not explain."""
    with np.load(cache) as kept:
        features, spurious, owner = kept["features"], kept["spurious"], kept["owner"]
    _, pattern = np.unique(owner, return_inverse=True)
    share = np.bincount(pattern, weights=spurious) / np.bincount(pattern)
    use = (share < MOST_SPURIOUS)[pattern]
    return features[use], spurious[use], owner[use]


def labelled(rows: list[BenchmarkRow]) -> dict[str, np.ndarray]:
    """Features, label and pattern of every line of these patterns."""
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.peaks.find_peaks import fit_peaks
    from alphadiffract_plugin.peaks.observed import spurious_features
    from alphadiffract_plugin.progress import track
    from alphadiffract_plugin.settings import PeakSettings
    from alphadiffract_plugin.whole_pattern.pattern_data import pattern_data

    features, spurious, owner = [], [], []
    for row in track(rows, "lines", total=len(rows)):
        try:
            histogram = histogram_of(row.measurement)
            lines = fit_peaks(histogram, PeakSettings())
        except AlphaDiffractError:
            continue
        data = pattern_data(histogram, lines)
        distance = from_known(row, data)
        if distance is None:
            continue
        features.append(spurious_features(lines.peaks)[: len(distance)])
        spurious.append(distance > EXPLAINED * lines.peaks.fwhm[: len(distance)])
        owner += [row.id] * len(distance)
    return {"features": np.concatenate(features), "spurious": np.concatenate(spurious), "owner": np.array(owner)}


def from_known(row: BenchmarkRow, data) -> np.ndarray | None:
    """Degrees from each line of the pattern to the nearest reflection of the known phase; None if the fit fails."""
    from alphadiffract_plugin.crystal.bravais import LATTICES
    from alphadiffract_plugin.crystal.cells import metric_from_cell
    from alphadiffract_plugin.crystal.extinction import extinction_classes
    from alphadiffract_plugin.crystal.symmetry import lattice_family, symbol_from_space_group
    from alphadiffract_plugin.indexing.refine_cells import TrialCell
    from alphadiffract_plugin.whole_pattern.fit_lattice import fit_lattice

    number = row.space_group
    family = lattice_family(row.crystal_system)
    centring = symbol_from_space_group(number)[0]
    lattice = next((one for one in LATTICES if (one.family, one.centring) == (family, centring)), None)
    if lattice is None:
        return None
    known = next(
        one
        for one in extinction_classes(family, centring)
        if any(s.space_group == number and np.array_equal(s.to_standard, np.eye(3)) for s in one.settings)
    )
    metric = metric_from_cell(row.cell)
    fits = [fit_lattice(data, TrialCell(lattice, metric, start, 0.0, "known")) for start in STARTS]
    fits = [(fit, fit.allowed([known])[0]) for fit in fits if fit is not None]
    if not fits:
        return None
    fit, allowed = max(fits, key=lambda one: one[0].line_ratios(one[1][None])[0])
    return np.abs(data.position[:, None] - fit.two_theta[allowed]).min(1, initial=360.0)


def fitted(features: np.ndarray, spurious: np.ndarray) -> list[float]:
    """Constant and coefficients of the logistic regression, rounded."""
    from scipy.optimize import minimize

    return [round(float(value), 3) for value in minimize(loss, np.zeros(4), args=(features, spurious)).x]


def loss(weights: Sequence[float], features: np.ndarray, spurious: np.ndarray) -> float:
    """Mean logarithmic loss of these weights."""
    against = weights[0] + features @ np.array(weights[1:])
    return float(np.logaddexp(0, np.where(spurious, -against, against)).mean())


def logit(share: float) -> float:
    """Logarithm of the odds."""
    return float(np.log(share / (1 - share)))


if __name__ == "__main__":
    sys.exit(main())
