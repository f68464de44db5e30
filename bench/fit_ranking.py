"""Fit the weights of the ranking, and measure them on patterns that they were not fitted to.

    python bench/fit_ranking.py INDEX.csv [INDEX.csv] --cache FOLDER [--simulated PATTERNS.npz]
                                [-o src/alphadiffract_plugin/data/ranking.json] [--jobs N]
    python bench/fit_ranking.py INDEX.csv [INDEX.csv] --cache OTHER --without-network [--jobs N]

Every pattern goes through the flow up to the ranking once; what is known of it then is kept in FOLDER, so that a second
run continues where the first one stopped. The weights maximise the probability of the true cell with the true space
group among all answers, or of "none of these" where the truth was not found: a conditional logit with a ridge penalty.
Patterns of tier B, of which only the space group is known, are not used for the weights. Then three numbers that turn
scores into probabilities are fitted to the measured patterns of both tiers, and the share of missed cells is counted by
crystal system. The weights that are written are fitted to all patterns; simulated ones (``simulate_patterns.py``), if
there are any, count less (:data:`SIMULATED`). The figures of each index are those of weights that were fitted to the
simulated patterns and the other indices alone. ``--without-network`` replaces the network's
prediction by the frequency of the space groups among known structures, without any lattice, for a second table with
weights of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from alphadiffract_plugin.crystal.symmetry import crystal_system_from_space_group
from alphadiffract_plugin.models.lattice import system_of_group
from alphadiffract_plugin.models.training.figures import calibration
from alphadiffract_plugin.rank import (
    LEAST_OPINION,
    MOST_OPINIONS,
    Weights,
    first_of_each_cell,
    opinion_without_cell,
    shared_probability,
)
from alphadiffract_plugin.records import CRYSTAL_SYSTEMS
from alphadiffract_plugin.settings import RankSettings

sys.path.insert(0, str(Path(__file__).parent))
from ranking_cases import SEED, Case, gathered

RIDGE = 5e-5
"""Strength of the ridge penalty on weights of terms in units of their standard deviation, relative to the mean loss of
a pattern."""
HOPELESS = 0.02
"""Share of patterns that no weights can rank right. It bounds the loss of a pattern, so that these do not move the
weights."""
TERMS = len(Weights.__dataclass_fields__) - 5
"""Number of terms of the score."""
SIMULATED = 0.5
"""Weight of a simulated pattern: their samples are not those that people measure."""
SENSE = dict.fromkeys(("lines", "frequency", "network"), (0, None))
SENSE |= {name: (None, 0) for name in ("misfit", "parameters", "zero", "absent", "foreign")}
"""Bounds of the weights: evidence that speaks for a cell may never count against it, and the reverse."""
FIGURES = ("cs@1", "sg@1", "sg@5", "cell@1", "cell@5", "cell@20", "fine@1")
KEEP = RankSettings().keep
OF_CELLS = FIGURES[3:]
FOLDS = 5
"""Folds of the patterns, without which the weights are fitted whose scores are turned into probabilities."""
BINS = 10
"""Bins of the calibration errors. With 15, as for networks, chance alone would give 335 right probabilities an error of
6 %."""
CLAIMS = {"answer": "right", "crystal_system": "cs@1", "space_group": "sg@1"}
"""The probabilities that are stated (of the first answer, and of its crystal system and space group over all answers),
and the figure that says whether they were right."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--simulated", type=Path, metavar="PATTERNS.npz")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--without-network", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    if args.output and args.without_network:
        parser.error("weights that were fitted without the network are not for use: leave out -o")
    cases = gathered(args.index, args.simulated, args.cache, args.jobs, with_network=not args.without_network)
    weights = fitted_to(cases)
    evaluated = without_own_part(cases)
    figures = {}
    for part, index in enumerate(args.index):
        members = [case for case in cases if case.part == part]
        known = [case for case in members if case.tier == "A"]
        figures[index.parent.name] = summary(known, evaluated) | {
            f"{name}_of_all": error for name, error in errors(members, evaluated).items()
        }
        print(f"{index}\n{table(members, evaluated)}")
    print(json.dumps({"weights": asdict(weights), "without_own_part": figures}, indent=1))
    if args.output:
        args.output.write_text(json.dumps(document(weights, figures, cases), indent=1) + "\n", encoding="utf-8")
    return 0


def fitted(cases: list[Case]) -> np.ndarray:
    """The weights of the largest penalised likelihood; the last one is the score of "none of these"."""
    from scipy.optimize import minimize

    scale = np.append(np.concatenate([case.terms for case in cases]).std(0) + 1e-9, 1.0)
    share_of = np.array([SIMULATED if case.part < 0 else 1.0 for case in cases])
    share_of /= share_of.sum()

    def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = 0.0, np.zeros(len(scaled))
        for case, counts in zip(cases, share_of, strict=True):
            table = np.zeros((len(case.terms) + 1, len(scaled)))
            table[:-1, :-1], table[-1, -1] = case.terms / scale[:-1], 1.0
            true = np.append(case.true, not case.true.any())
            score = table @ scaled
            share = np.exp(score - score.max())
            right = share * true
            hit = (1 - HOPELESS) * right.sum() / share.sum()
            total -= counts * np.log(hit + HOPELESS)
            pull = counts * hit / (hit + HOPELESS)
            slope += pull * (share @ table / share.sum() - right @ table / max(right.sum(), 1e-300))
        return total + 0.5 * RIDGE * scaled @ scaled, slope + RIDGE * scaled

    bounds = [SENSE.get(name, (None, None)) for name in list(Weights.__dataclass_fields__)[:TERMS]] + [(None, None)]
    return minimize(loss, np.zeros(TERMS + 1), jac=True, method="L-BFGS-B", bounds=bounds).x / scale


def fitted_to(cases: list[Case]) -> Weights:
    """All numbers of the ranking, fitted to these patterns."""
    known = [case for case in cases if case.tier == "A"]
    weights = fitted(known)
    fold = np.random.default_rng(SEED).permutation(len(known)) % FOLDS
    held_back = {}
    for k in range(FOLDS):
        others = fitted([case for case, of in zip(known, fold, strict=True) if of != k])
        held_back |= {id(case): others for case, of in zip(known, fold, strict=True) if of == k}
    measured = [case for case in cases if case.part >= 0]
    scores = [case.terms @ held_back.get(id(case), weights)[:-1] for case in measured]
    return calibrated(measured, weights, scores)


def calibrated(cases: list[Case], weights: np.ndarray, scores: list[np.ndarray]) -> Weights:
    """The weights with the numbers that turn scores into probabilities.

    ``scores`` are those of the answers of each case, by weights that were not fitted to it: otherwise the probabilities
    would be those of known patterns, and too sure.

    They maximise the likelihood of the truth among all listed answers: its cell (if known) with its space group, with
    any group if none of its classes was fitted, or its space group without a cell where the cell is not among the
    answers.
    """
    from scipy.optimize import minimize

    missed = np.full(7, 2.0), np.full(7, 8.0)  # prior: two of eight further patterns missed
    for case in (case for case in cases if case.tier == "A"):
        missed[0][case.system] += not case.true_cell.any()
        missed[1][case.system] += 1
    of_terms = [round(float(w), 4) for w in weights]
    share = tuple(round(float(v), 3) for v in missed[0] / missed[1])

    def numbered(numbers: np.ndarray) -> Weights:
        return Weights(*of_terms, float(np.exp(numbers[0])), *map(float, numbers[1:]), missed=share)

    def network_of_truth(case: Case) -> float:
        if not case.network.any():
            return 0.0
        return float(opinion_without_cell(case.network, numbered(np.zeros(3)))[np.unique(case.groups) - 1].sum())

    truths = [case.true if case.true.any() or case.tier != "A" else case.true_cell for case in cases]
    found = [case.tier == "A" and case.true_cell.any() for case in cases]
    opinions = [0.0 if known else network_of_truth(case) for case, known in zip(cases, found, strict=True)]

    def loss(numbers: np.ndarray) -> float:
        total = 0.0
        for truth, score, opinion in zip(truths, scores, opinions, strict=True):
            answers, none = shared_probability(score, numbered(numbers))
            hit = answers[truth].sum() + none * opinion
            total -= np.log((1 - HOPELESS) * hit + HOPELESS / KEEP)
        return total / len(cases)

    best = numbered(minimize(loss, [0.0, -1.0, 1.0], method="Nelder-Mead").x)
    rounded = {name: round(getattr(best, name), 3) for name in ("temper", "none_offset", "none_slope")}
    return replace(best, **rounded)


def without_own_part(cases: list[Case]) -> dict[tuple[int, str], dict[str, float]]:
    """The figures of each measured case by part and id, with weights that were fitted without its part.

    If there is but one part, and no simulated pattern, nothing is left to fit to; then its own weights are used.
    """
    evaluated = {}
    for part in sorted({case.part for case in cases if case.part >= 0}):
        others = [case for case in cases if case.part != part]
        weights = fitted_to(others if any(case.part >= 0 for case in others) else cases)
        evaluated |= {(part, case.id): evaluate(case, weights) for case in cases if case.part == part}
    return evaluated


def summary(cases: list[Case], evaluations: dict[tuple[int, str], dict[str, float]]) -> dict[str, float]:
    """Percentages of right answers, and the calibration of the stated probabilities."""
    evaluated = [evaluations[case.part, case.id] for case in cases]
    share = {key: 100 * float(np.mean([j[key] for j in evaluated])) for key in FIGURES}
    sure = [j for j in evaluated if j["answer"] >= 0.9]
    return {
        **{key: round(value, 1) for key, value in share.items()},
        "patterns": len(cases),
        "found_but_not_first": int(sum(c.true_cell.any() for c in cases) - round(share["cell@1"] * len(cases) / 100)),
        "not_found": int(sum(not c.true_cell.any() for c in cases)),
        "claimed_90": len(sure),
        "claimed_90_right": round(100 * float(np.mean([j["right"] for j in sure])), 1) if sure else None,
        **errors(cases, evaluations),
    }


def errors(cases: list[Case], evaluations: dict[tuple[int, str], dict[str, float]]) -> dict[str, float]:
    """Expected calibration error of each stated probability: its mean distance from the share of right answers.

    Beside it the mean error that chance alone would cause for so many patterns if every probability were right.
    """
    evaluated, rng = [evaluations[case.part, case.id] for case in cases], np.random.default_rng(SEED)
    found = {}
    for name, key in CLAIMS.items():
        said, right = np.array([j[name] for j in evaluated]), np.array([j[key] for j in evaluated], float)
        chance = [calibration(said, rng.random(len(said)) < said, BINS)["ece"] for _ in range(200)]
        found[f"calibration_error_{name}"] = round(calibration(said, right, BINS)["ece"], 3)
        found[f"calibration_error_{name}_by_chance"] = round(float(np.mean(chance)), 3)
    return found


def table(cases: list[Case], evaluated: dict[tuple[int, str], dict[str, float]]) -> str:
    """Percentages of right answers for the rows of the benchmark's score program, and the seconds."""
    rows = {"all": cases, "RRUFF": [case for case in cases if case.rruff]}
    rows |= {f"tier {tier}": [case for case in cases if case.tier == tier] for tier in ("A", "B-sg-only")}
    rows |= {name: [case for case in cases if case.system == k] for k, name in enumerate(CRYSTAL_SYSTEMS)}
    lines = [f"{'':16}" + "".join(f"{key:>9}" for key in FIGURES)]
    for name, members in rows.items():
        counted = {
            k: [evaluated[c.part, c.id][k] for c in members if c.tier == "A" or k not in OF_CELLS] for k in FIGURES
        }
        figures = (f"{100 * np.mean(values):9.1f}" if values else f"{'-':>9}" for values in counted.values())
        lines.append(f"{name:16}" + "".join(figures) + f"   n={len(members)}")
    spent = np.sort([case.seconds for case in cases])
    middle, late = spent[len(spent) // 2], spent[int(0.95 * (len(spent) - 1))]
    lines += [f"{key.replace('_', ' ')}, of all: {error:.3f}" for key, error in errors(cases, evaluated).items()]
    return "\n".join([*lines, f"seconds a pattern up to the ranking: median {middle:.2f}, 95th percentile {late:.2f}"])


def evaluate(case: Case, weights: Weights) -> dict[str, float]:
    """The figures of one case; ``right`` means the space group of the first answer, and its cell if it has one."""
    share, none = shared_probability(case.terms @ weights.of_terms, weights)
    systems = {crystal_system_from_space_group(int(group)) for group in case.groups}
    system = np.array([crystal_system_from_space_group(int(group)) in systems for group in case.answer_groups], bool)
    listed = first_of_each_cell(case.answer_cells, np.argsort(-share, kind="stable"), KEEP)
    found = list(zip(share, case.true_group, case.true_cell, case.fine_cell, case.true, system, strict=True))
    answers = [(*found[i], case.answer_groups[i]) for i in listed]
    of_groups = np.bincount(case.answer_groups - 1, weights=share, minlength=230)
    if case.network.any():
        opinion = none * opinion_without_cell(case.network, weights)
        first = [g for g in np.argsort(-opinion)[:MOST_OPINIONS] if opinion[g] >= LEAST_OPINION]
        of_groups += opinion
        answers += [
            (opinion[g], right, False, False, right, crystal_system_from_space_group(int(g) + 1) in systems, g + 1)
            for g in first
            for right in [g + 1 in case.groups]
        ]
    answers = sorted(answers, key=lambda answer: -answer[0])[:KEEP]
    if not answers:
        return dict.fromkeys((*FIGURES, "right", *CLAIMS), 0.0)
    *columns, said = (np.array(column) for column in zip(*answers, strict=True))
    probability, group, cell, fine, right, system = columns
    return {
        "cs@1": system[0],
        "cell@1": cell[0],
        "cell@5": cell[:5].any(),
        "cell@20": cell.any(),
        "fine@1": fine[0],
        "sg@1": group[0],
        "sg@5": group[:5].any(),
        "right": right[0],
        "answer": float(probability[0]),
        "space_group": float(of_groups[said[0] - 1]),
        "crystal_system": float(of_groups[system_of_group() == system_of_group()[said[0] - 1]].sum()),
    }


def document(weights: Weights, figures: dict[str, dict], cases: list[Case]) -> dict:
    """The document that is kept with the package."""
    from alphadiffract_plugin.provenance import versions

    known = [case.part for case in cases if case.tier == "A"]
    simulated = sum(part < 0 for part in known)
    also = f" and {simulated} simulated ones, which count {SIMULATED:g}" if simulated else ""
    return {
        "what": "Weights of the ranking (rank.Weights), by bench/fit_ranking.py",
        "fitted_on": f"{len(known) - simulated} measured patterns with known cells (tier A of the benchmark){also}; "
        "temper and none on the measured patterns, those of tier B too, whose space groups alone are known",
        "seed": SEED,
        "ridge": RIDGE,
        "versions": versions(),
        "without_own_part": figures,
        "weights": asdict(weights),
    }


if __name__ == "__main__":
    sys.exit(main())
