"""Blocks of rows that fit the memory, and the best of a block of scores."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import sklearn
from numpy.typing import NDArray

from sklearn_llmrec.utils._sparse import WORTH_COMPILING, compiled, entry_rows
from sklearn_llmrec.utils._topk import topk
from sklearn_llmrec.utils._validation import canonical

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


def best_unseen(
    scores: NDArray[Any], k: int, seen: sp.csr_array | None, n_scores: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Top k of a dense block of scores (overwritten) outside `seen`.

    Of all `n_scores` that are asked for, block by block, depends whether a compiled loop pays.
    """
    kernel = compiled() if n_scores >= WORTH_COMPILING else None
    if kernel is not None and scores.flags.c_contiguous:
        lists: tuple[NDArray[np.int64], NDArray[Any]] = kernel.block_topk(scores, seen, k)
        return lists
    if seen is not None:
        scores[entry_rows(seen), seen.indices] = -np.inf
    return topk(scores, k)


def best_of_block(
    scores: NDArray[Any],
    k: int,
    seen: sp.csr_array | None,
    candidates: Any | None,
    *,
    n_scores: int = 0,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Top k of a dense block of scores (overwritten) after removing what is seen and what is no candidate."""
    if candidates is None:
        return best_unseen(scores, k, seen, n_scores)
    if seen is not None:
        scores[entry_rows(seen), seen.indices] = -np.inf
    if sp.issparse(candidates):
        allowed = np.zeros(scores.shape, dtype=bool)
        rows = np.repeat(np.arange(scores.shape[0]), np.diff(candidates.indptr))
        allowed[rows, candidates.indices] = True
        scores[~allowed] = -np.inf
        return topk(scores, k)
    width = min(k, len(candidates))
    items, values = topk(np.ascontiguousarray(scores[:, candidates]), width)
    items = np.where(items < 0, -1, candidates[items])
    pad = ((0, 0), (0, k - width))
    return np.pad(items, pad, constant_values=-1), np.pad(values, pad, constant_values=-np.inf)


def check_candidates(candidates: Any, shape: tuple[int, int]) -> Any:
    """Candidates as a sorted index array, a boolean csr_array of `shape`, or None.

    Raises
    ------
    ValueError
        If indices are out of range, or a mask or matrix has another shape.
    TypeError
        If they are neither integers, a mask nor a sparse matrix.
    """
    if candidates is None:
        return None
    if sp.issparse(candidates):
        if candidates.shape != shape:
            raise ValueError(
                f"candidates has shape {candidates.shape} and X has shape {shape}: both must be equal."
            )
        return canonical(sp.csr_array(candidates).astype(bool))
    candidates = np.asarray(candidates)
    if candidates.shape == (0,):
        return np.empty(0, dtype=np.int64)  # an empty list has no type
    if candidates.dtype.kind == "b" and candidates.ndim == 1:
        if len(candidates) != shape[1]:
            raise ValueError(
                f"candidates is a mask of {len(candidates)} items, and X has {shape[1]} columns."
            )
        return np.flatnonzero(candidates)
    if candidates.ndim != 1 or not np.issubdtype(candidates.dtype, np.integer):
        raise TypeError(
            "candidates must be column numbers for all rows (those of ids are X.item_columns(ids)), a boolean mask of "
            f"the items, or a boolean sparse matrix of the shape of X; got an array of dtype {candidates.dtype} and "
            f"{candidates.ndim} dimensions."
        )
    if candidates.size and not (candidates.min() >= 0 and candidates.max() < shape[1]):
        raise ValueError(
            f"candidates holds column {candidates.min() if candidates.min() < 0 else candidates.max()}, and X has "
            f"columns 0 to {shape[1] - 1}."
        )
    return np.unique(candidates)
