"""What is recorded with every answer: versions of the libraries that shape it, and the seconds of each step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

steps = logging.getLogger("alphadiffract_plugin.steps")
"""Gets the name of each step when it begins, at level INFO."""


def versions() -> dict[str, str]:
    """Versions of this package and of the libraries that shape its answers."""
    names = ("alphadiffract-plugin", "numpy", "scipy", "numba", "torch", "gemmi", "spglib", "pybaselines")
    return {name: version(name) for name in names}


@contextmanager
def timed(timings: dict[str, float], step: str) -> Iterator[None]:
    """Add the seconds that the block takes to ``timings[step]``; :data:`steps` gets its name when it begins."""
    steps.info(step)
    began = time.perf_counter()
    yield
    timings[step] = timings.get(step, 0.0) + time.perf_counter() - began
