"""How the inner loops are compiled: by numba, kept on disk, without holding the interpreter's lock.

Modules named ``kernels`` or ``*_kernels`` hold such loops; they are imported inside functions only, since numba takes a
while to import. The first use on a machine compiles for some seconds. The result lies beside the source, in the user's
cache folder where that cannot be written to, or nowhere if neither can. Sums keep their order (no ``fastmath``), so an
answer depends neither on the number of threads nor on the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(signature: str | None = None) -> Callable[[Function], Function]:
    """A decorator that compiles a function of numbers and contiguous arrays.

    Parameters
    ----------
    signature : its types in numba's letters, by which it is compiled when its module is imported; None to compile it
        for the kind of arguments that it is first called with.
    """
    from numba import njit

    def compile_function(function: Function) -> Function:
        try:
            made = njit(signature, cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # no folder can be written to: compiled anew by each process
            made = njit(signature, nogil=True, error_model="numpy")(function)
        return cast(Function, made)

    return compile_function
