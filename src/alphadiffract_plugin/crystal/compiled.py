"""How the inner loops are compiled: by numba, for the kind of arguments they are first called with, and kept on disk.

The first call on a machine compiles for some tenths of a second; the result lies beside the source, or in the user's
cache folder where that cannot be written to. Sums keep their order (no ``fastmath``), so an answer depends neither on
the number of threads nor on the run. Modules named ``kernels`` or ``*_kernels`` hold such loops and are imported inside
functions only: numba takes a while to import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Decorator: compile a function of numbers and contiguous arrays; it lets other threads run meanwhile."""
    from numba import njit

    return cast(Function, njit(function, cache=True, nogil=True, error_model="numpy"))
