"""Complete scores whose zeros mean "nothing is known": such items follow by popularity, below the known scores.

Called by `BaseRecommender` for models whose tag `zero_is_unknown` is set. `fill_unknown` completes a dense block of
scores, `best_of_sparse` the lists of sparse scores. The latter looks for unknown items among the most popular ones
first, so it costs O(nnz + n (k + head)) for n rows instead of O(n n_items).
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._sparse import entry_rows, with_data
from sklearn_llmrec._kernels._topk import topk_dense, topk_sparse

# Scores that differ by less than this share of the largest differ by rounding in float32, which float64 scores of a
# float32 model have too.
EQUAL_SHARE = 4e-6
# Popular items among which a short list is filled.
_HEAD = 256


def dense(scores: Any, dtype: Any) -> NDArray[Any]:
    """Copy scores of `_score_rows` to a dense array that may be overwritten.

    They may be sparse, a view of the model's arrays, or read-only.
    """
    if sp.issparse(scores):
        return np.asarray(scores.toarray(), dtype=dtype)
    return np.array(scores, dtype=dtype, order="C")


def equal_but_for_rounding(lowest: NDArray[Any], highest: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the lowest and the highest of some scores differ by no more than rounding.

    A sum of products is rounded in another way for one row than for many, so exact equality would distinguish a row
    that is alone from the same row in a batch.
    """
    size = np.maximum(np.abs(lowest), np.abs(highest))
    with np.errstate(invalid="ignore"):  # minus infinity in both: an empty list
        return np.asarray(highest - lowest <= EQUAL_SHARE * size)


def _below(
    lowest: NDArray[np.float64], largest: NDArray[np.float64], share: NDArray[Any], dtype: Any
) -> NDArray[Any]:
    """Return scores in the order of `share`, all below the lowest score that rests on evidence.

    Into [0, lowest) where scores are positive, else below the lowest by at most the size of the largest score.
    """
    span = np.where(lowest > 0, lowest, np.maximum(largest, 1e-30))
    top = np.nextafter(lowest.astype(dtype), dtype.type(-np.inf))
    return np.minimum((lowest - span * (1 - share)).astype(dtype), top)


def _shares(popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    return popularity / (popularity.max() + 1)


def fill_unknown(scores: NDArray[Any], popularity: NDArray[np.float64]) -> None:
    """Put zeros, in popularity order, below the lowest score of their row that is not zero."""
    unknown = scores == 0
    rows = np.flatnonzero(unknown.any(axis=1))
    if not len(rows):
        return
    unknown, block = unknown[rows], scores[rows].astype(np.float64)
    lowest = np.where(unknown, np.inf, block).min(axis=1, keepdims=True)
    lowest[np.isinf(lowest)] = 0  # a row of zeros: replaced as a whole by the caller
    largest = np.abs(block).max(axis=1, keepdims=True)
    filled = _below(lowest, largest, _shares(popularity), scores.dtype)
    scores[rows] = np.where(unknown, filled, scores[rows])


def best_of_sparse(
    S: sp.csr_array,
    k: int,
    seen: sp.csr_array | None,
    empty: NDArray[np.bool_],
    popularity: NDArray[np.float64],
    fallback: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]:
    """Return the top k of sparse scores, completed as `fill_unknown` completes dense ones, without a dense matrix.

    Parameters
    ----------
    S : csr_array of shape (n, m)
        The scores that are not zero.
    k : int
    seen : csr_array of shape (n, m) or None
        Canonical; its pattern is left out.
    empty : ndarray of shape (n,), bool
        Rows without a history. They, and rows of equal scores, have those of `fallback`.
    popularity, fallback : ndarray of shape (m,)

    Returns
    -------
    items : ndarray of shape (n, k), int64
    values : ndarray of shape (n, k)
    done : ndarray of shape (n,), bool
        False where the list is not known to be right: popular items did not suffice.
    """
    n_items = S.shape[1]
    if not S.data.all():
        S = S.copy()  # it may be the model's own
        S.eliminate_zeros()
    counts, some = np.diff(S.indptr), np.flatnonzero(np.diff(S.indptr))
    lowest, largest = np.zeros((2, S.shape[0]), S.dtype)
    if len(some):
        starts = S.indptr[some]
        lowest[some] = np.minimum.reduceat(S.data, starts)
        highest = np.maximum.reduceat(S.data, starts)
        largest[some] = np.maximum(np.abs(lowest[some]), np.abs(highest))
        flat = empty | (counts == 0)
        flat[some] |= (counts[some] == n_items) & equal_but_for_rounding(lowest[some], highest)
    else:
        flat = np.ones(S.shape[0], dtype=bool)
    known = S
    if flat.any() or seen is not None:
        keep = ~flat[entry_rows(S)]
        if seen is not None:
            keep &= ~_is_stored(S, seen)
        data, places = S.data[keep], np.concatenate([[0], np.cumsum(keep)])
        known = sp.csr_array((data, S.indices[keep], places[S.indptr]), shape=S.shape)
    items, values = topk_sparse(known, k)
    done = np.ones(len(items), dtype=bool)
    short = items[:, -1] < 0
    for rows, by, fills in (
        (np.flatnonzero(short & ~flat), popularity, (lowest, largest)),
        (np.flatnonzero(short & flat), fallback, None),
    ):
        if len(rows):
            blocked = known[rows] if seen is None else _both(known[rows], seen[rows])
            levels = None if fills is None else [part[rows, None] for part in fills]
            done[rows] = _fill(items, values, rows, blocked, np.asarray(by), levels)
    return items, values, done


def _keys(S: sp.csr_array) -> NDArray[np.int64]:
    return entry_rows(S) * S.shape[1] + S.indices


def _is_stored(S: sp.csr_array, seen: sp.csr_array) -> NDArray[np.bool_]:
    """Return whether the entries of S are entries of `seen`, whose columns are sorted."""
    keys, stored = _keys(S), _keys(seen)
    positions = np.searchsorted(stored, keys)
    inside = positions < len(stored)
    inside[inside] = stored[positions[inside]] == keys[inside]
    return inside


def _both(A: sp.csr_array, B: sp.csr_array) -> sp.csr_array:
    """Return a matrix with a non-zero entry wherever A or B has one."""
    return sp.csr_array(
        with_data(A, np.ones(A.nnz, np.int8)) + with_data(B, np.ones(B.nnz, np.int8))
    )


def _fill(
    items: NDArray[np.int64],
    values: NDArray[Any],
    rows: NDArray[np.int64],
    blocked: sp.csr_array,
    by: NDArray[Any],
    levels: list[NDArray[np.float64]] | None,
) -> NDArray[np.bool_]:
    """Fill the free places of some rows with the best items by `by`; return which rows are certainly right.

    With `levels`, the lowest and the largest known score of each row, values go below them.
    """
    k, dtype = items.shape[1], values.dtype
    order = np.argsort(-by, kind="stable")
    n_head = min(len(by), max(_HEAD, 4 * k))
    head = np.sort(order[:n_head])

    def scores_of(columns: NDArray[np.int64]) -> NDArray[Any]:
        if levels is None:
            return np.tile(by[columns].astype(dtype), (len(rows), 1))
        return _below(levels[0], levels[1], _shares(by)[columns], dtype)

    scores = scores_of(head)
    scores[blocked[:, head].toarray() != 0] = -np.inf
    found, fills = topk_dense(scores, min(k, n_head))
    free = np.sum(items[rows] < 0, axis=1)
    last = np.take_along_axis(fills, np.minimum(free, fills.shape[1])[:, None] - 1, axis=1)
    right = np.ones(len(rows), dtype=bool)
    if n_head < len(by):
        # What is outside must be worse: a score that equals it might be of a lower column.
        right = (last > scores_of(order[[n_head]])).ravel()
    for row, n_free, new, scores_new in zip(rows, free, found, fills, strict=True):
        n = min(n_free, len(new))
        free_places = slice(k - n_free, k - n_free + n)
        items[row, free_places] = np.where(new[:n] < 0, -1, head[new[:n]])
        values[row, free_places] = scores_new[:n]
    return right
