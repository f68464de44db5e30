"""The splits for training, validation and test; all structures of one chemical system are in the same split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .columns import SPLITS

LEAST_FRACTION = 0.02
"""Least share of the atoms (without hydrogen) of an element that counts, so that traces make no new system."""
_BORDERS = (0.90, 0.95)
"""Shares at which the splits for training and for validation end; the rest is for tests."""


def chemical_system(amounts: Mapping[str, float]) -> str:
    """Sorted symbols, joined by hyphens, of the elements that make ``LEAST_FRACTION`` of the atoms without hydrogen."""
    heavy = {symbol: amount for symbol, amount in amounts.items() if symbol not in ("H", "D")} or dict(amounts)
    total = sum(heavy.values())
    return "-".join(sorted(symbol for symbol, amount in heavy.items() if amount >= LEAST_FRACTION * total))


def split_of(key: str) -> str:
    """``train``, ``val`` or ``test`` (90, 5, 5 %), by the SHA-1 of a chemical system."""
    share = int(hashlib.sha1(key.encode("utf-8"), usedforsecurity=False).hexdigest()[:8], 16) / 2**32
    return SPLITS[sum(share >= border for border in _BORDERS)]
