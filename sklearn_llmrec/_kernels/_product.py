"""Top-k of sparse products, which are never stored.

Called by item-to-item models to rank (histories times weights) and by nearest-neighbour models to fit (columns times
columns). Row i of the product is summed in an array with one place per column, and the k best entries that are not
seen are kept. O(products of non-zero entries) time; memory for one row per thread, beside the lists.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels._arrays import allowed, of_model, of_rows, pattern, plain
from sklearn_llmrec._kernels._topk import empty_lists, room_for_maxima
from sklearn_llmrec.utils import csr_of, in_threads, row_chunks, rows_between, slices_for_threads

# Rows of B that are that full, and that rows of A use that often, are copied in full for a batch, as many as fit.
_FULL_FROM = 4
_FULL_BYTES = 2**26
_OFTEN = 16


def topk_product(
    A: sp.csr_array,
    B: sp.csr_array,
    k: int,
    *,
    seen: sp.csr_array | None = None,
    candidates: Any | None = None,
    signed: bool = False,
    scaling: tuple[NDArray[Any], NDArray[Any], float, float] | None = None,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the k largest entries of every row of ``A @ B``, largest first; equal values by lower column.

    Parameters
    ----------
    A : csr_array of shape (n, p)
        Rows to be scored. Cast to the dtype of B where it has another one.
    B : csr_array of shape (p, m), float32 or float64
        The model: neither copied nor cast, and only the rows that A uses are read. May be read-only.
    k : int
    seen : csr_array of shape (n, m) or None
        Its pattern is left out.
    candidates : ndarray of int64, boolean csr_array of shape (n, m), or None
        The only columns that are chosen, sorted, for all rows or row by row.
    signed : bool, default=False
        Whether negative entries are chosen too; entries of zero never are.
    scaling : tuple (row_norms, column_norms, product_weight, shrinkage) or None
        If given, a product p of n terms is compared as
        ``p / (row_norms[i] + column_norms[j] + product_weight * p) * n / (n + shrinkage)``; `seen` must be None then.
    n_threads : int, default=1

    Returns
    -------
    items : ndarray of shape (n, k), int64
        -1 where a row has fewer than k such entries.
    values : ndarray of shape (n, k)
        In the dtype of A if that is a float, else of B: sums in the order of the row's columns.
    """
    from sklearn_llmrec._kernels._topk_loops import product_topk

    dtype, (n_rows, n_columns) = B.dtype.type, (A.shape[0], B.shape[1])
    items, values = empty_lists(n_rows, k, dtype)
    rows_of_a, model = of_rows(A, dtype), of_model(B)
    scaled = scaling is not None
    norms = np.zeros((2, 0), dtype=dtype) if scaling is None else scaling[:2]
    # An entry must reach `low`: the smallest positive number excludes zero and all negative entries.
    low = np.finfo(dtype).min if signed else np.finfo(dtype).smallest_subnormal
    arrays = (
        *rows_of_a,
        *model,
        *pattern(seen, n_rows),
        *allowed(candidates, n_rows),
        *_full_rows(rows_of_a[1], B, n_columns, dtype, scaled),
        scaled,
        *(plain(norm, dtype) for norm in norms),
        dtype(0 if scaling is None else scaling[2]),
        dtype(0 if scaling is None else scaling[3]),
        low,
        n_columns,
        k,
    )
    loop, lists = product_topk.of(dtype, B.indices.dtype), (items.ravel(), values.ravel())

    def fill(rows: slice) -> None:
        touched = np.empty(n_columns // _FULL_FROM + 1, dtype=np.uint32)
        loop(rows.start, rows.stop, *arrays, touched, room_for_maxima(k, dtype), *lists)

    in_threads(fill, slices_for_threads(n_rows, n_threads), n_threads)
    if A.dtype in (np.float32, np.float64):
        values = values.astype(A.dtype, copy=False)
    return items, values


def _full_rows(
    columns: NDArray[np.uint32], B: sp.csr_array, n_columns: int, dtype: Any, scaled: bool
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """Return the rows of B that a batch uses often enough to be stored densely, and their places, from 1."""
    none = np.zeros(0, dtype=np.uint32), np.zeros((0, 0), dtype=dtype)
    # A small batch does not repay the copies; counts of terms, which scaling needs, are not kept for dense rows.
    if scaled or len(columns) < max(B.shape[0], _OFTEN):
        return none
    uses = np.bincount(columns, minlength=B.shape[0])
    rows = np.flatnonzero((np.diff(B.indptr) * _FULL_FROM > n_columns) & (uses >= _OFTEN))
    most = _FULL_BYTES // (n_columns * np.dtype(dtype).itemsize)
    if len(rows) > most:
        rows = np.sort(rows[np.argsort(-uses[rows], kind="stable")[:most]])
    if not len(rows):
        return none
    place = np.zeros(B.shape[0], dtype=np.uint32)
    place[rows] = np.arange(1, len(rows) + 1)
    dense_rows = np.zeros((len(rows), n_columns), dtype=dtype)
    for number, row in enumerate(rows):
        entries = slice(B.indptr[row], B.indptr[row + 1])
        dense_rows[number, B.indices[entries]] = B.data[entries]
    return place, dense_rows


def product_rows(
    A: sp.csr_array,
    B: sp.csr_array,
    k: int,
    *,
    scaling: tuple[NDArray[Any], NDArray[Any], float, float] | None = None,
    n_threads: int = 1,
) -> sp.csr_array:
    """Return the lists of `topk_product` as a matrix with rows sorted by value, not by column.

    Lists are made in chunks of rows, so that many places that stay empty take no memory.
    """
    k, parts = min(k, B.shape[1]), []
    for rows in row_chunks(A.shape[0], k * (8 + B.dtype.itemsize)):
        scaling_of_rows = None if scaling is None else (scaling[0][rows], *scaling[1:])
        lists = topk_product(
            rows_between(A, rows), B, k, scaling=scaling_of_rows, n_threads=n_threads
        )
        parts.append(as_rows(lists, B.shape[1]))
    if len(parts) == 1:
        return parts[0]
    return sp.csr_array(sp.vstack(parts, format="csr"))


def as_rows(lists: tuple[NDArray[np.int64], NDArray[Any]], n_columns: int) -> sp.csr_array:
    """Return top-k lists as a matrix with rows sorted by value, not by column."""
    items, values = lists
    filled = items >= 0
    if len(items) == 1 and n_columns < 2**31:
        columns = items[filled].astype(np.int32)
        indptr = np.array([0, len(columns)], dtype=np.int32)
        return csr_of(values[filled], columns, indptr, (1, n_columns))
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    return sp.csr_array((values[filled], items[filled], indptr), shape=(len(items), n_columns))


def product_with_terms(A: sp.csr_array, B: sp.csr_array) -> sp.csr_array:
    """Return ``A @ B`` and the number of terms of each of its entries, as real and imaginary parts.

    One matrix for both, since they have one pattern: matrices of parts of the inner axis are added in one pass, in
    which no entry is dropped whose terms cancel.

    Returns
    -------
    product : csr_array of shape (n, m), complex128
        With sorted columns.
    """
    from sklearn_llmrec._kernels._topk_loops import product_entries

    lengths, n_columns = np.diff(B.indptr), B.shape[1]
    ends = np.append(0, np.cumsum(lengths[A.indices], dtype=np.int64))[A.indptr]
    # Pages of rows that have fewer entries than this are never touched, and take no memory.
    room = np.append(0, np.cumsum(np.minimum(np.diff(ends), n_columns)))
    columns = np.empty(room[-1], dtype=np.uint32)
    values = np.empty((room[-1], 2))
    filled = np.empty(A.shape[0], dtype=np.uint64)
    product_entries.of(np.float64)(
        0,
        A.shape[0],
        *of_rows(A, np.float64),
        *of_rows(B, np.float64),
        np.zeros(n_columns),
        *np.zeros((2, n_columns), dtype=np.uint32),
        *(room.astype(np.uint64), columns, values, filled),
    )
    indptr = np.append(0, np.cumsum(filled.astype(np.int64)))
    index = np.int32 if max(indptr[-1], n_columns) < 2**31 else np.int64
    data = values[: indptr[-1]].copy().view(np.complex128)[:, 0]
    shape = A.shape[0], n_columns
    return csr_of(data, columns[: indptr[-1]].astype(index), indptr.astype(index), shape)
