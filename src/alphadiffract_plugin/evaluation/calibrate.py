"""Calibration: one number that makes the probabilities of a network agree with its accuracy on measured patterns.

Temperature scaling (Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599) of the averaged probabilities p of the 230
space groups: p^(1/T) / Σ p^(1/T). The order of the groups stays as it is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alphadiffract_plugin.errors import InputError
from alphadiffract_plugin.prediction.predict import systems_from_groups, tempered

if TYPE_CHECKING:
    from alphadiffract_plugin.models.training.figures import Evaluated

FOLDS = 5
"""Parts of the patterns for the cross validation."""
LEAST_PATTERNS = 50
"""Least number of patterns; a temperature fitted to fewer would mostly depend on chance."""
BOUNDS = (-2.0, 2.0)
"""Range of ln T that is searched."""
DRAWS = 200
"""Number of random draws for the calibration error of perfectly calibrated probabilities."""
SEED = 20261121
"""Seed of the folds and of the random draws."""


@dataclass(frozen=True)
class Calibration:
    """A temperature, and how well it does on patterns that it was not fitted to (out of fold)."""

    temperature: float
    """T, fitted to all patterns; 1 if out of fold no temperature makes the right groups more probable."""
    index: str
    """File name of the index of the patterns."""
    patterns: int
    """Number of patterns with an answer, to which it was fitted."""
    folds: int
    """Number of parts of the patterns; each is evaluated with the temperature fitted to the others."""
    seed: int
    """Seed of the folds."""
    log_loss: float
    """Mean of −ln p of the right groups, out of fold."""
    log_loss_before: float
    """The same without a temperature."""
    ece: dict[str, float]
    """Expected calibration error of the first ``space_group`` and ``crystal_system``, out of fold."""
    ece_before: dict[str, float]
    """The same without a temperature."""
    ece_if_perfect: dict[str, float]
    """The mean error of the same number of patterns if the probabilities were exact, which is not 0 by chance."""


def calibration_from_index(model: Path, index: Path) -> Calibration:
    """The temperature that maximises the likelihood of the right groups, for a model whose own temperature is 1.

    Raises
    ------
    ModelError : the model does not load.
    InputError : the index cannot be read, or has fewer than 50 patterns with an answer.
    """
    from alphadiffract_plugin.evaluation.evaluate import run_on_rows
    from alphadiffract_plugin.evaluation.measured_index import scored_rows

    evaluated, _ = run_on_rows(model, scored_rows(index), device="auto", seed=SEED)
    evaluated = evaluated.take(evaluated.answered)
    if len(evaluated) < LEAST_PATTERNS:
        raise InputError(
            f"the network has an answer for {len(evaluated)} of its patterns, too few to calibrate on",
            fix=f"give an index of at least {LEAST_PATTERNS} such patterns, or release without --calibrate",
            where=index,
        )
    fold = np.random.default_rng(SEED).permutation(len(evaluated)) % FOLDS
    groups = np.empty_like(evaluated.space_group)
    for k in range(FOLDS):
        groups[fold == k] = tempered(evaluated.space_group[fold == k], temperature_of(evaluated.take(fold != k)))
    losses = [log_loss(evaluated, probabilities) for probabilities in (groups, evaluated.space_group)]
    return Calibration(
        temperature=round(temperature_of(evaluated), 3) if losses[0] < losses[1] else 1.0,
        index=index.name,
        patterns=len(evaluated),
        folds=FOLDS,
        seed=SEED,
        log_loss=round(losses[0], 4),
        log_loss_before=round(losses[1], 4),
        ece=calibration_errors(evaluated, groups),
        ece_before=calibration_errors(evaluated, evaluated.space_group),
        ece_if_perfect=errors_of_chance(evaluated, groups, seed=SEED),
    )


def temperature_of(evaluated: Evaluated) -> float:
    """The temperature that makes the right groups most probable."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return log_loss(evaluated, tempered(evaluated.space_group, float(np.exp(log_temperature))))

    return float(np.exp(minimize_scalar(loss, bounds=BOUNDS, method="bounded").x))


def log_loss(evaluated: Evaluated, groups: np.ndarray) -> float:
    """Mean of −ln p of the right groups, with these probabilities (N, 230)."""
    return -float(np.log(np.maximum((groups * evaluated.true_space_group).sum(1), 1e-12)).mean())


def calibration_errors(evaluated: Evaluated, groups: np.ndarray) -> dict[str, float]:
    """Expected calibration error with these probabilities of the space groups, shape (N, 230).

    Those of the crystal systems follow from them, unless the network has a separate head for crystal systems.
    """
    from alphadiffract_plugin.models.training.figures import calibration

    answers = _answers(evaluated, groups)
    right = {"space_group": answers.group_right(1), "crystal_system": answers.system_right}
    return {name: round(calibration(getattr(answers, name).max(1), hit)["ece"], 4) for name, hit in right.items()}


def errors_of_chance(evaluated: Evaluated, groups: np.ndarray, *, seed: int) -> dict[str, float]:
    """The mean calibration error of answers that are right with exactly these probabilities."""
    from alphadiffract_plugin.models.training.figures import calibration

    rng, errors = np.random.default_rng(seed), {}
    for name in ("space_group", "crystal_system"):
        first = getattr(_answers(evaluated, groups), name).max(1)
        drawn = [calibration(first, rng.random(len(first)) < first)["ece"] for _ in range(DRAWS)]
        errors[name] = round(float(np.mean(drawn)), 4)
    return errors


def _answers(evaluated: Evaluated, groups: np.ndarray) -> Evaluated:
    tied = np.allclose(evaluated.crystal_system, systems_from_groups(evaluated.space_group))
    systems = systems_from_groups(groups) if tied else evaluated.crystal_system
    return dataclasses.replace(evaluated, space_group=groups, crystal_system=systems)
