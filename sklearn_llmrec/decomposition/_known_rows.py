"""Look up values of rows that were seen before: by a hash of the row, verified entry by entry."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.utils import rows_between

# Odd constants of 64 bits whose products spread over all bits (those of SplitMix64 and MurmurHash3).
_FIRST, _SECOND, _THIRD = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0xFF51AFD7ED558CCD)
)

# Entries that are mixed at once, so that they stay in the cache from step to step.
_CACHED = 2**14


def row_hashes(X: sp.csr_array) -> NDArray[np.uint64]:
    """Return a 64-bit hash per row of a canonical matrix, from its columns and values; 0 for empty rows."""
    hashes = np.zeros(X.shape[0], dtype=np.uint64)
    if not X.nnz:
        return hashes
    mixed = np.empty(X.nnz, dtype=np.uint64)
    for start in range(0, X.nnz, _CACHED):
        some = slice(start, start + _CACHED)
        part = mixed[some]
        np.multiply(X.data[some].astype(np.float64).view(np.uint64), _FIRST, out=part)
        part += X.indices[some].astype(np.uint64)
        for factor, shift in ((_SECOND, 32), (_THIRD, 29)):
            part *= factor
            part ^= part >> np.uint64(shift)
    filled = np.flatnonzero(np.diff(X.indptr))
    hashes[filled] = np.add.reduceat(mixed, X.indptr[filled])
    return hashes


class KnownRows:
    """Values of known rows, to be looked up for rows that may equal one of them.

    Parameters
    ----------
    X : csr_array of shape (n, m)
        Canonical; a copy is kept.
    values : ndarray of shape (n, d)
        One row of values per row of X.

    Notes
    -----
    Memory: `values`, 16 bytes per row, and a copy of X, 8 to 16 bytes per entry.
    """

    def __init__(self, X: sp.csr_array, values: NDArray[Any]) -> None:
        self.rows = X.copy()  # the arrays may be the caller's
        self.values = values
        hashes = row_hashes(X)
        self.order = np.argsort(hashes, kind="stable")
        self.hashes = hashes[self.order]

    def find(self, X: sp.csr_array) -> NDArray[np.int64]:
        """Return the known row that equals each row of X (one of them if several do), or -1."""
        place = np.full(X.shape[0], -1, dtype=np.int64)
        if X.dtype != self.rows.dtype or not X.nnz:
            return place
        hashes = row_hashes(X)
        positions = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        matched = np.flatnonzero((self.hashes[positions] == hashes) & (np.diff(X.indptr) > 0))
        known = self.order[positions[matched]]
        if not len(matched):
            return place
        bounds = self.rows.indptr
        same = np.diff(X.indptr)[matched] == bounds[known + 1] - bounds[known]
        matched, known = matched[same], known[same]
        if len(matched):
            mine, theirs = _select(X, matched), _select(self.rows, known)
            differs = (mine.indices != theirs.indices) | (mine.data != theirs.data)
            if differs.any():
                equal = ~np.logical_or.reduceat(differs, mine.indptr[:-1])
                matched, known = matched[equal], known[equal]
        place[matched] = known
        return place


def _select(X: sp.csr_array, rows: NDArray[np.int64]) -> sp.csr_array:
    """Return some rows, without a copy where they are consecutive."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
        return rows_between(X, slice(first, last + 1))
    return X[rows]
