"""Loops compiled by numba (extra `fast`): dense products of sparse matrices."""

from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.utils import in_threads, slices_for_threads


@numba.njit(nogil=True, cache=True)
def _times_dense(Xp, Xj, Xx, W, out):  # type: ignore[no-untyped-def]
    for row in range(len(out)):
        sums = out[row]
        e, end = Xp[row], Xp[row + 1]
        # Four rows of W for each pass over the sums, which are added to in the same order as one by one.
        while e + 4 <= end:
            a, b, c, d = W[Xj[e]], W[Xj[e + 1]], W[Xj[e + 2]], W[Xj[e + 3]]
            p, q, r, s = Xx[e], Xx[e + 1], Xx[e + 2], Xx[e + 3]
            for column in range(len(sums)):
                first = sums[column] + p * a[column]
                sums[column] = ((first + q * b[column]) + r * c[column]) + s * d[column]
            e += 4
        while e < end:
            a, p = W[Xj[e]], Xx[e]
            for column in range(len(sums)):
                sums[column] += p * a[column]
            e += 1


def times_dense(X: Any, W: NDArray[Any]) -> NDArray[Any]:
    """``X @ W`` for a csr matrix of 32-bit indices and a contiguous dense one of its dtype."""
    out = np.zeros((X.shape[0], W.shape[1]), dtype=W.dtype)
    _times_dense(X.indptr.astype(np.int64), X.indices.view(np.uint32), X.data, W, out)
    return out


@numba.njit(nogil=True, cache=True)
def _add_gram(start, stop, Xp, Xj, Xx, Tp, Tj, entries, G):  # type: ignore[no-untyped-def]
    for i in range(start, stop):
        sums = G[i]
        for a in range(Tp[i], Tp[i + 1]):
            # Columns are sorted: those from i on end the row.
            entry = entries[a]
            x = Xx[entry]
            for b in range(entry, Xp[Tj[a] + 1]):
                sums[Xj[b]] += x * Xx[b]


def upper_gram(X: Any, *, n_threads: int = 1) -> NDArray[Any]:
    """Upper triangle of ``X.T @ X`` for a csr matrix of 32-bit indices with sorted columns; zeros below."""
    n_items = X.shape[1]
    T = sp.csr_array((np.arange(X.nnz), X.indices, X.indptr), shape=X.shape).T.tocsr()
    G = np.zeros((n_items, n_items), dtype=X.dtype)
    arrays = (
        X.indptr.astype(np.int64),
        X.indices.view(np.uint32),
        X.data,
        T.indptr.astype(np.int64),
        T.indices.view(np.uint32),
        T.data,
        G,
    )
    in_threads(
        lambda rows: _add_gram(rows.start, rows.stop, *arrays),
        slices_for_threads(n_items, n_threads),
        n_threads,
    )
    return G
