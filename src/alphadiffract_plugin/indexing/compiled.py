"""How the search's kernels are compiled: from their signatures, kept on disk, without holding the interpreter's lock.

The first import on a machine compiles for a few seconds. What comes out lies beside the source, in the user's cache
folder where that cannot be written to, or nowhere if neither can. Sums keep their order (no ``fastmath``), so an
answer does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(signature: str) -> Callable[[Function], Function]:
    """A decorator that compiles a function for one signature in numba's letters."""
    from numba import njit

    def compile_function(function: Function) -> Function:
        try:
            made = njit(signature, cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # no folder can be written to: compiled anew by each process
            made = njit(signature, nogil=True, error_model="numpy")(function)
        return cast(Function, made)

    return compile_function
