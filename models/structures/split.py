"""Which structures train and which judge: all of one chemical system fall in one split, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .columns import SPLITS

LEAST_FRACTION = 0.02
"""Elements with less of the atoms (without hydrogen) do not count: a trace makes no other chemical system."""
_BORDERS = (0.90, 0.95)
"""Shares up to which a structure trains or validates; the rest tests."""


def chemical_system(amounts: Mapping[str, float]) -> str:
    """Sorted element symbols, joined by hyphens, of ``LEAST_FRACTION`` or more of the atoms that are no hydrogen."""
    heavy = {symbol: amount for symbol, amount in amounts.items() if symbol not in ("H", "D")} or dict(amounts)
    total = sum(heavy.values())
    return "-".join(sorted(symbol for symbol, amount in heavy.items() if amount >= LEAST_FRACTION * total))


def split_of(key: str) -> str:
    """``train``, ``val`` or ``test`` (90, 5, 5 %), by the SHA-1 of a chemical system: the same in every file."""
    share = int(hashlib.sha1(key.encode("utf-8"), usedforsecurity=False).hexdigest()[:8], 16) / 2**32
    return SPLITS[sum(share >= border for border in _BORDERS)]
