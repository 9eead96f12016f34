"""Blocks of rows that fit the memory."""

from collections.abc import Iterator

import scipy.sparse as sp
import sklearn

# Blocks beyond the caches gain nothing, so a chunk stays below working_memory and below this.
_CHUNK_BYTES = 32 * 2**20


def row_chunks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Slices over rows such that a chunk of `row_bytes` a row stays within scikit-learn's ``working_memory``."""
    limit = min(sklearn.get_config()["working_memory"] * 2**20, _CHUNK_BYTES)
    size = max(1, int(limit // max(row_bytes, 1)))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def rows_between(X: sp.csr_array, rows: slice) -> sp.csr_array:
    """Rows `rows.start` to `rows.stop`: of a plain `csr_array` a view, as long as the original lives unchanged."""
    if type(X) is not sp.csr_array:
        return X[rows]
    if rows.stop - rows.start == X.shape[0]:
        return X
    first, last = X.indptr[rows.start], X.indptr[rows.stop]
    view = sp.csr_array((rows.stop - rows.start, X.shape[1]), dtype=X.dtype)
    # The constructor would copy small parts of large arrays.
    view.data, view.indices = X.data[first:last], X.indices[first:last]
    view.indptr = X.indptr[rows.start : rows.stop + 1] - first
    return view
