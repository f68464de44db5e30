"""The kinds of numpy arrays that signatures name; their shapes and units are in the docstrings."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
"""An array of real numbers."""
Singles: TypeAlias = npt.NDArray[np.float32]
"""An array of real numbers in single precision, where millions are screened."""
Words: TypeAlias = npt.NDArray[np.int32]
"""An array of words of 32 bits, each a set."""
Ints: TypeAlias = npt.NDArray[np.int64]
"""An array of whole numbers, such as Miller indices."""
Bools: TypeAlias = npt.NDArray[np.bool_]
"""An array of true and false, such as a mask."""
