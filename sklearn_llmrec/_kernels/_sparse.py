"""Small functions on csr matrices that scipy lacks: rows of entries, norms, new values for an old pattern.

Called all over the package; each costs O(nnz).
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.utils import csr_of, entry_rows as entry_rows


def normalize_columns(X: sp.csr_array, power: float = 1.0) -> sp.csr_array:
    """Return `X` with columns of unit Euclidean length (divided by `power` of it); empty columns stay empty."""
    norms = np.sqrt(
        np.bincount(X.indices, weights=X.data.astype(np.float64) ** 2, minlength=X.shape[1])
    )
    norms[norms == 0] = 1
    return with_data(X, (X.data / norms[X.indices] ** power).astype(X.dtype, copy=False))


def normalize_rows(X: sp.csr_array, power: float = 1.0) -> sp.csr_array:
    """Return `X` with rows of unit Euclidean length (divided by `power` of it); empty rows stay empty."""
    rows = entry_rows(X)
    norms = np.sqrt(np.bincount(rows, weights=X.data.astype(np.float64) ** 2, minlength=X.shape[0]))
    norms[norms == 0] = 1
    return with_data(X, (X.data / norms[rows] ** power).astype(X.dtype, copy=False))


def with_data(X: sp.csr_array, data: NDArray[Any]) -> sp.csr_array:
    """Return a plain `csr_array` with the pattern of `X` (shared, not copied) and new values."""
    return csr_of(data, X.indices, X.indptr, X.shape)


def model_csr(W: Any, *, copy: bool = False) -> sp.csr_array:
    """Return sparse weights as a model stores them, so that no call has to convert them.

    A plain `csr_array` with sorted columns, contiguous arrays and 32-bit indices where they fit. It shares memory with
    `W` where nothing of that is missing, unless `copy`.
    """
    W = sp.csr_array(W)
    index = np.int32 if max(W.nnz, *W.shape) < 2**31 else np.int64
    kinds = ((W.data, W.dtype), (W.indices, index), (W.indptr, index))
    make = np.array if copy else np.asarray
    arrays = [make(np.ascontiguousarray(part, dtype=kind)) for part, kind in kinds]
    result = sp.csr_array(W.shape, dtype=W.dtype)
    result.data, result.indices, result.indptr = arrays
    return result if result.has_sorted_indices else result.sorted_indices()
