"""Pass arrays to compiled loops in the form that these accept: plain, C-contiguous, unsigned indices; mostly views.

Called by every module of this subpackage before it calls a loop. Arrays of a model are viewed, never copied. What is
copied has one number per row or per entry of the rows that are scored.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_NOTHING = np.zeros(0, dtype=np.uint64)


def plain(a: Any, dtype: Any = None) -> NDArray[Any]:
    """Return `a` as a contiguous ndarray; no copy of a contiguous array or memory map of that dtype."""
    return np.ascontiguousarray(np.asarray(a, dtype=dtype))


def bounds(indptr: NDArray[Any]) -> NDArray[np.uint64]:
    """Return row bounds as 64-bit numbers: a copy of one number per row where they have 32 bits."""
    return plain(indptr, np.int64).view(np.uint64)


def of_model(B: sp.csr_array) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return (indptr, indices, data) of a matrix that may be large: views only."""
    # A view with the sign bit reinterpreted: indices are never negative, and unsigned ones need no check in a loop.
    unsigned = np.uint32 if B.indices.dtype.itemsize == 4 else np.uint64
    return plain(B.indptr).view(unsigned), plain(B.indices).view(unsigned), plain(B.data)


def of_rows(A: sp.csr_array, dtype: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return (indptr, indices, data) of rows that are scored, with values of `dtype` and 32-bit columns."""
    return bounds(A.indptr), plain(A.indices, np.int32).view(np.uint32), plain(A.data, dtype)


def pattern(
    S: sp.csr_array | None, n_rows: int, dtype: Any = np.uint32
) -> tuple[NDArray[np.uint64], NDArray[Any]]:
    """Return (indptr, indices) of a matrix of which only the pattern counts; None has no entries."""
    if S is None:
        return np.zeros(n_rows + 1, dtype=np.uint64), np.zeros(0, dtype=dtype)
    return bounds(S.indptr), plain(S.indices, dtype)


def allowed(
    candidates: Any | None, n_rows: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], bool]:
    """Return first and last place of every row's candidates, the columns, and whether there is a restriction.

    Candidates are sorted columns for all rows, or a boolean csr matrix, or None.
    """
    if candidates is None:
        return _NOTHING, _NOTHING, _NOTHING, False
    if sp.issparse(candidates):
        places = bounds(candidates.indptr)
        return places[:-1], places[1:], plain(candidates.indices, np.uint64), True
    ends = np.full(n_rows, len(candidates), dtype=np.uint64)
    return np.zeros(n_rows, dtype=np.uint64), ends, plain(candidates, np.uint64), True
