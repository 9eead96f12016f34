"""Top-k of dense vectors by inner product, in blocks of users and items."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec._kernels._ranking import best_unseen
from sklearn_llmrec._kernels._sparse import entry_rows
from sklearn_llmrec._kernels._topk import topk
from sklearn_llmrec.utils import in_threads, rows_between

# A block of scores of this many entries stays in the caches or nearly.
_BLOCK_ROWS, _BLOCK_ITEMS = 512, 8192


def unit_rows(V: NDArray[Any]) -> NDArray[Any]:
    """Rows of unit length; rows of zeros stay."""
    norms = np.linalg.norm(V, axis=1, keepdims=True)
    return V / np.where(norms > 0, norms, 1)


def best_of_groups(scores: NDArray[Any], starts: NDArray[Any] | None) -> NDArray[Any]:
    """Elementwise maximum over each group of rows."""
    return scores if starts is None else np.maximum.reduceat(scores, starts, axis=0)


def nearest(
    P: NDArray[Any],
    V: NDArray[Any],
    k: int,
    *,
    starts: NDArray[Any] | None = None,
    seen: sp.csr_array | None = None,
    skip_zeros: bool = True,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Exact top-k of ``P @ V.T`` by blocks.

    Parameters
    ----------
    P : ndarray of shape (m, d)
        Query vectors.
    V : ndarray of shape (n_items, d)
    k : int
    starts : ndarray of shape (n,), default=None
        First row in `P` of each of n queries that have several vectors: the nearest counts.
    seen : csr_array of shape (n, n_items), default=None
        Its pattern is left out.
    skip_zeros : bool, default=True
        Whether a score of exactly zero is no evidence and left out.
    n_threads : int, default=1
        More than one share the rows; one leaves BLAS its own threads.

    Returns
    -------
    items : ndarray of shape (n, k), int64
        -1 where a row has fewer than k.
    values : ndarray of shape (n, k)
    """
    n_rows = len(P) if starts is None else len(starts)
    items = np.full((n_rows, k), -1, dtype=np.int64)
    values = np.full((n_rows, k), -np.inf, dtype=P.dtype)
    ends = None if starts is None else np.append(starts, len(P))

    def fill(rows: slice) -> None:
        if ends is None:
            own, inner = P[rows], None
        else:
            own = P[ends[rows.start] : ends[rows.stop]]
            inner = ends[rows.start : rows.stop] - ends[rows.start]
        hidden = None if seen is None else rows_between(seen, rows)
        items[rows], values[rows] = _nearest_of_block(
            own, inner, V, k, hidden, skip_zeros, n_rows * len(V)
        )

    # Where one block holds all items, fewer rows keep it in the cache.
    size = _BLOCK_ROWS if len(V) > _BLOCK_ITEMS else max(32, min(_BLOCK_ROWS, 2**19 // len(V)))
    blocks = [slice(row, min(row + size, n_rows)) for row in range(0, n_rows, size)]
    with blas_threads(1 if n_threads > 1 else None):
        in_threads(fill, blocks, n_threads)
    return items, values


def _nearest_of_block(
    P: NDArray[Any],
    starts: NDArray[Any] | None,
    V: NDArray[Any],
    k: int,
    seen: sp.csr_array | None,
    skip_zeros: bool,
    n_scores: int,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Top-k of a block of rows, by blocks of items."""
    n_rows = len(P) if starts is None else len(starts)
    items = np.full((n_rows, k), -1, dtype=np.int64)
    values = np.full((n_rows, k), -np.inf, dtype=P.dtype)
    several = len(V) > _BLOCK_ITEMS
    if several and seen is not None:
        at, columns = _by_column(seen)
    for first in range(0, len(V), _BLOCK_ITEMS):
        block = V[first : first + _BLOCK_ITEMS]
        scores = best_of_groups(P @ block.T, starts)
        if skip_zeros:
            scores[scores == 0] = -np.inf
        if not several:
            return best_unseen(scores, k, seen, n_scores)
        if seen is not None:
            inside = slice(*np.searchsorted(columns, [first, first + len(block)]))
            scores[at[inside], columns[inside] - first] = -np.inf
        found, best = best_unseen(scores, min(k, len(block)), None, n_scores)
        # What is already there has lower columns, so it stays ahead of equal scores.
        both = np.hstack([items, np.where(found < 0, -1, found + first)])
        place, values = topk(np.hstack([values, best]), k)
        items = np.where(place < 0, -1, np.take_along_axis(both, place, axis=1))
    return items, values


def _by_column(seen: sp.csr_array) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = entry_rows(seen)
    order = np.argsort(seen.indices, kind="stable")
    return rows[order], seen.indices[order]
