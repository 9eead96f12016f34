"""Top-k of a sparse product with seen items masked inside the product itself."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._sparse import compiled_topk, matmul_topn

# Larger than any score and far from overflow in float32.
_BIG = 1e30


def with_mask(B: Any) -> sp.csr_array:
    """``[B ; -BIG I]``: the right-hand side of a product whose left-hand side is ``[A | pattern(seen)]``."""
    B = sp.csr_array(B)
    n_items = B.shape[1]
    return sp.csr_array(
        (
            np.concatenate([B.data, np.full(n_items, -_BIG, dtype=B.dtype)]),
            np.concatenate([B.indices, np.arange(n_items, dtype=B.indices.dtype)]),
            np.concatenate(
                [B.indptr, B.indptr[-1] + np.arange(1, n_items + 1, dtype=B.indptr.dtype)]
            ),
        ),
        shape=(B.shape[0] + n_items, n_items),
    )


def without_mask(masked: sp.csr_array) -> sp.csr_array:
    """The `B` that was given to `with_mask`, as a view."""
    n_rows = masked.shape[0] - masked.shape[1]
    end = masked.indptr[n_rows]
    return sp.csr_array(
        (masked.data[:end], masked.indices[:end], masked.indptr[: n_rows + 1]),
        shape=(n_rows, masked.shape[1]),
    )


def _left(A: sp.csr_array, seen: sp.csr_array | None, n_items: int) -> sp.csr_array:
    """``[A | pattern(seen)]``; without `seen` just `A` with empty columns on the right."""
    shape = (A.shape[0], A.shape[1] + n_items)
    if seen is None or not seen.nnz:
        return sp.csr_array((A.data, A.indices, A.indptr), shape=shape)
    ones = sp.csr_array(
        (np.ones(seen.nnz, dtype=A.dtype), seen.indices, seen.indptr), shape=seen.shape
    )
    return sp.csr_array(sp.hstack([A, ones], format="csr"))


def as_lists(C: sp.csr_array, k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Rows of a matrix sorted by value as arrays of shape (n, k), filled with -1 and -inf."""
    counts = np.minimum(np.diff(C.indptr), k)
    items = np.full((C.shape[0], k), -1, dtype=np.int64)
    values = np.full((C.shape[0], k), -np.inf, dtype=C.dtype)
    filled = np.arange(k) < counts[:, None]
    if C.nnz == filled.sum():
        items[filled], values[filled] = C.indices, C.data
    else:
        take = (C.indptr[:-1].astype(np.int64)[:, None] + np.arange(k))[filled]
        items[filled], values[filled] = C.indices[take], C.data[take]
    return items, values


def masked_topk(
    A: sp.csr_array, masked: sp.csr_array, seen: sp.csr_array | None, k: int, *, n_threads: int = 1
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Exact top-k of the positive entries of ``A @ B`` outside `seen`; equal values by lower column.

    Parameters
    ----------
    A : csr_array of shape (n, p), no negative values
    masked : csr_array
        ``with_mask(B)`` for a `B` of shape (p, n_items) without negative values.
    seen : csr_array of shape (n, n_items) or None
        Its pattern is left out.
    k : int
    n_threads : int, default=1

    Returns
    -------
    items : ndarray of shape (n, k), int64
        -1 where a row has fewer than k positive entries.
    values : ndarray of shape (n, k)
    """
    n_items = masked.shape[1]
    lists = compiled_topk(A, without_mask(masked), seen, k, n_threads=n_threads)
    if lists is not None:
        return lists
    left = _left(A, seen, n_items)
    items = np.full((A.shape[0], k), -1, dtype=np.int64)
    values = np.full((A.shape[0], k), -np.inf, dtype=A.dtype)
    rows, width = np.arange(A.shape[0]), k + 1
    while len(rows):
        width = min(width, n_items)
        product = matmul_topn(
            left[rows] if len(rows) < A.shape[0] else left, masked, width, n_threads=n_threads
        )
        found, scores = as_lists(product, width)
        # A tie that reaches the last place may go on outside: those rows are asked again for more.
        k_th, last = scores[:, min(k, width) - 1], scores[:, -1]
        open_end = (k_th == last) & (last > -np.inf) & (width < n_items) & (width > k)
        tied = ((scores[:, :-1] == scores[:, 1:]) & (scores[:, 1:] > -np.inf)).any(
            axis=1
        ) & ~open_end
        if tied.any():
            order = np.lexsort((found[tied], -scores[tied]), axis=1)
            found[tied] = np.take_along_axis(found[tied], order, axis=1)
        done = ~open_end
        items[rows[done]], values[rows[done]] = found[done, :k], scores[done, :k]
        rows, width = rows[open_end], 4 * width
    return items, values
