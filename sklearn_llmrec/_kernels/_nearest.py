"""Top-k of dense vectors by inner product, in blocks of users and items.

Called by models with a vector per item: factor models, networks, text embeddings. The layout of one block:

    for every block of users (shared among threads):
        for every block of items, from the left:
            scores = vectors of the users @ vectors of the items    (one BLAS product, kept in the caches)
            offer the scores to the heaps of the users

O(n_users n_items d) time; memory for one block of scores per thread.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec._kernels._by_norm import ByNorm
from sklearn_llmrec._kernels._topk import DenseTopK, empty_lists
from sklearn_llmrec.utils import in_threads, rows_between

# A block of scores of this many entries stays in the caches or nearly.
_BLOCK_ROWS, _BLOCK_ITEMS = 512, 8192


def unit_rows(V: NDArray[Any]) -> NDArray[Any]:
    """Return rows of unit length; rows of zeros stay."""
    norms = np.linalg.norm(V, axis=1, keepdims=True)
    return V / np.where(norms > 0, norms, 1)


def best_of_groups(scores: NDArray[Any], starts: NDArray[Any] | None) -> NDArray[Any]:
    """Return the elementwise maximum over each group of rows."""
    return scores if starts is None else np.maximum.reduceat(scores, starts, axis=0)


def topk_vectors(
    P: NDArray[Any],
    V: NDArray[Any],
    k: int,
    *,
    bias: NDArray[Any] | None = None,
    starts: NDArray[Any] | None = None,
    seen: sp.csr_array | None = None,
    skip_zeros: bool = True,
    by_norm: ByNorm | None = None,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the exact top-k of ``P @ V.T``, by blocks.

    Parameters
    ----------
    P : ndarray of shape (m, d)
        Query vectors. Cast to the dtype of V where they have another one.
    V : ndarray of shape (n_items, d)
        The model; neither copied nor cast.
    k : int
    bias : ndarray of shape (n_items,), default=None
        Added to the scores of each item.
    starts : ndarray of shape (n,), default=None
        First row in `P` of each of n queries that have several vectors: the nearest counts.
    seen : csr_array of shape (n, n_items), default=None
        Its pattern is left out.
    skip_zeros : bool, default=True
        Whether a score of exactly zero is no evidence and left out.
    by_norm : ByNorm or None, default=None
        The order of V by length, with which a single query without bias reads few items.
    n_threads : int, default=1
        More than one share the rows; one leaves BLAS its own threads.

    Returns
    -------
    items : ndarray of shape (n, k), int64
        -1 where a row has fewer than k.
    values : ndarray of shape (n, k), dtype of P
    """
    n_rows = len(P) if starts is None else len(starts)
    items, values = empty_lists(n_rows, k, P.dtype)
    if by_norm is not None and n_rows == 1 and starts is None and bias is None:
        hidden = np.zeros(0, dtype=np.int64) if seen is None else seen.indices
        found = by_norm.topk(P[0].astype(V.dtype, copy=False), V, k, hidden)
        if found is not None:
            items[0], values[0] = found
            return items, values
    ends = None if starts is None else np.append(starts, len(P))
    P = P.astype(V.dtype, copy=False)

    def fill(rows: slice) -> None:
        if ends is None:
            vectors, inner = P[rows], None
        else:
            vectors = P[ends[rows.start] : ends[rows.stop]]
            inner = ends[rows.start : rows.stop] - ends[rows.start]
        hidden = None if seen is None else rows_between(seen, rows)
        n_lists = rows.stop - rows.start
        lists = DenseTopK(n_lists, k, V.dtype, hidden, skip_zeros=skip_zeros)
        # Few rows are scored on all items at once.
        width = max(_BLOCK_ITEMS, _BLOCK_ROWS * _BLOCK_ITEMS // len(vectors))
        for first in range(0, len(V), width):
            scores = best_of_groups(vectors @ V[first : first + width].T, inner)
            if bias is not None:
                scores += bias[first : first + width]
            lists.add(scores, first, last=first + width >= len(V))
        items[rows], values[rows] = lists.items, lists.values

    # Where one block contains all items, fewer rows keep it in the cache.
    size = _BLOCK_ROWS if len(V) > _BLOCK_ITEMS else max(32, min(_BLOCK_ROWS, 2**19 // len(V)))
    blocks = [slice(row, min(row + size, n_rows)) for row in range(0, n_rows, size)]
    with blas_threads(1 if n_threads > 1 and len(blocks) > 1 else None):
        in_threads(fill, blocks, n_threads)
    return items, values
