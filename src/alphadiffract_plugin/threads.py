"""How many threads an answer may use: chosen once, where a command or an indexer begins, and restored when it ends.

The number is that of lattices searched at the same time, by compiled code of our own. It is 1 unless a person chooses
another, with ``--threads``, with :func:`limited` in a script, or with the environment variable ``OMP_NUM_THREADS``;
several patterns are shared by processes instead (``--jobs``). BLAS, OpenMP and torch get one thread whatever the number
is: their arrays are small here, so that on a machine that others use too every operation would wait for the slowest
thread, and their sums would depend on the number. So the answer is the same, to the last digit, with any number.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

VARIABLE = "OMP_NUM_THREADS"
"""The environment variable that BLAS, OpenMP and torch read, and by which a user may choose the number."""


@dataclass
class _Block:
    """A block of :func:`limited` that has not ended."""

    number: int
    """Threads that it may use."""
    undo: ExitStack = field(default_factory=ExitStack)
    """What restores the settings from before it."""
    torch_is_limited: bool = False
    """Whether torch is among them; torch may be imported after the block has begun."""


_current: ContextVar[_Block | None] = ContextVar("threads", default=None)


def chosen_number() -> int:
    """The number of the enclosing block of :func:`limited`, else of ``OMP_NUM_THREADS``, else 1."""
    block = _current.get()
    if block is not None:
        return block.number
    named = os.environ.get(VARIABLE, "").partition(",")[0]
    return max(1, int(named)) if named.strip().isdigit() else 1


@contextmanager
def limited(number: int | None = None) -> Iterator[int]:
    """Choose the number while the block runs, with one thread in BLAS, OpenMP and torch; all is restored afterwards.

    Parameters
    ----------
    number : threads, at least 1; None for the number that is chosen already, see :func:`chosen_number`.
    """
    from threadpoolctl import threadpool_limits

    block = _Block(chosen_number() if number is None else max(1, number))
    token = _current.set(block)
    try:
        with threadpool_limits(1), block.undo:
            if "torch" in sys.modules:
                limit_torch()
            yield block.number
    finally:
        _current.reset(token)


def limit_torch() -> None:
    """Let torch use one thread until the enclosing block ends; called where torch has just been imported.

    Outside of a block nothing changes: the setting of the caller stays.
    """
    block = _current.get()
    if block is None or block.torch_is_limited:
        return
    import torch

    block.torch_is_limited = True
    block.undo.callback(torch.set_num_threads, torch.get_num_threads())
    torch.set_num_threads(1)
