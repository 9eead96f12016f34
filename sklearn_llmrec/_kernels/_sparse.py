"""Sparse kernels: the one caller of sparse_dot_topn, and what scipy lacks."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sparse_dot_topn import sp_matmul_topn

from sklearn_llmrec._kernels._topk import topk
from sklearn_llmrec.utils import in_threads

# Columns of a dense matrix that are multiplied at once take no more, so that they stay in the caches.
_CACHE_BYTES = 2**21
# Multiplications above which a compiled kernel is worth its import and, once on a machine, its compilation.
WORTH_COMPILING = 10**7


def kernel_csr(A: Any, dtype: Any) -> sp.csr_matrix:
    """`A` as the kernels need it: csr_matrix, writable buffers, the given dtype, 32-bit indices where they do."""
    A = A if sp.issparse(A) and A.format == "csr" else sp.csr_array(A)
    index = np.int32 if max(A.nnz, *A.shape) < 2**31 else np.int64
    arrays = [
        np.require(part, dtype=kind, requirements=["C", "W"])
        for part, kind in ((A.data, dtype), (A.indices, index), (A.indptr, index))
    ]
    result = sp.csr_matrix(A.shape, dtype=dtype)
    result.data, result.indices, result.indptr = arrays
    return result


def entry_rows(X: sp.csr_array) -> NDArray[np.int64]:
    """The row of every stored entry."""
    return np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))


def csr_topk(S: sp.csr_array, k: int) -> sp.csr_array:
    """The k largest stored entries of every row of `S`, largest first; equal values by lower column.

    Parameters
    ----------
    S : csr_array of shape (n, m)
    k : int

    Returns
    -------
    S_topk : csr_array of shape (n, m)
        Rows are sorted by value, not by column.
    """
    counts = np.diff(S.indptr)
    if S.nnz * 10 > S.shape[0] * S.shape[1] and S.shape[1] >= k:
        return _dense_topk(S, k)
    order = np.lexsort((S.indices, -S.data, entry_rows(S)))
    rank = np.arange(S.nnz) - np.repeat(S.indptr[:-1].astype(np.int64), counts)
    keep = order[rank < k]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, k))])
    return sp.csr_array((S.data[keep], S.indices[keep], indptr), shape=S.shape)


def _dense_topk(S: sp.csr_array, k: int) -> sp.csr_array:
    """`csr_topk` of rows that are nearly full: no sort of what is not chosen."""
    block = np.full(S.shape, -np.inf, dtype=S.dtype)
    block[entry_rows(S), S.indices] = S.data
    return as_rows(topk(block, k), S.shape[1])


@cache
def compiled() -> Any:
    """The compiled kernel, or None where numba is not installed."""
    return import_module("sklearn_llmrec._kernels._compiled") if find_spec("numba") else None


def compiled_topk(
    A: Any,
    B: Any,
    seen: Any | None,
    k: int,
    *,
    signed: bool = False,
    n_threads: int = 1,
    scaling: tuple[NDArray[Any], NDArray[Any], float, float] | None = None,
) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
    """Top-k of the positive entries of ``A @ B`` outside `seen`, if a compiled kernel can do it and it pays.

    Parameters
    ----------
    A : sparse of shape (n, p)
    B : sparse of shape (p, m)
    seen : sparse of shape (n, m) or None
    k : int
    signed : bool, default=False
        Whether negative values are let in, where other ways than the kernel would not do for them.
    n_threads : int, default=1
    scaling : tuple (left, right, rest, shrinkage) or None
        With it, and without `seen`, the entries that are compared are
        ``p / (left[i] + right[j] + rest * p) * n / (n + shrinkage)`` for a product p of n terms.

    Returns
    -------
    lists : tuple of (items, values), or None
        Items of shape (n, k), -1 where there are no more, equal values by lower column; to the same bits as without
        the kernel, but for `scaling`, which is done in the dtype of A and B. None without numba, for negative values
        unless `signed`, huge matrices and little work.
    """
    if not (A.nnz and B.nnz) or k > B.shape[1] or A.dtype != B.dtype:
        return None
    # Without the kernel, signed values take dense rows, and `scaling` full ones, at ten times the time.
    work = A.shape[0] * B.shape[1] if signed else np.diff(B.indptr)[A.indices].sum()
    worth = WORTH_COMPILING if scaling is None else WORTH_COMPILING // 10
    if work < worth or (kernel := compiled()) is None:
        return None
    if not signed and (A.data.min() < 0 or B.data.min() < 0):
        return None
    A, B = kernel_csr(A, A.dtype), kernel_csr(B, B.dtype)
    seen = None if seen is None or not seen.nnz else kernel_csr(seen, seen.dtype)
    if any(M is not None and M.indices.dtype != np.int32 for M in (A, B, seen)):
        return None
    if scaling is not None:
        left, right, rest, shrinkage = scaling
        number = A.dtype.type
        scaling = left.astype(A.dtype), right.astype(A.dtype), number(rest), number(shrinkage)
    lists: tuple[NDArray[np.int64], NDArray[Any]] = kernel.product_topk(
        A, B, seen, k, n_threads=n_threads, scaling=scaling
    )
    return lists


def as_rows(lists: tuple[NDArray[np.int64], NDArray[Any]], n_columns: int) -> sp.csr_array:
    """Lists of `compiled_topk` as a matrix with rows sorted by value, not by column."""
    items, values = lists
    filled = items >= 0
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    return sp.csr_array((values[filled], items[filled], indptr), shape=(len(items), n_columns))


def matmul_topn(
    A: Any, B: Any, k: int, *, threshold: float = 0.0, n_threads: int = 1
) -> sp.csr_array:
    """The k largest entries above `threshold` of every row of ``A @ B``, largest first.

    Parameters
    ----------
    A : sparse of shape (n, p)
    B : sparse of shape (p, m)
    k : int
        How many entries of a row to keep at most.
    threshold : float, default=0.0
        Only entries strictly above it are kept. Structural zeros of the product never are.
    n_threads : int, default=1

    Returns
    -------
    C : csr_array of shape (n, m)
        Rows sorted by value, not by column; equal values of a row in no particular order.

    Notes
    -----
    The kernel refuses `csr_array`, read-only buffers and mixed dtypes, drops values <= 0 without a threshold, and
    corrupts memory when asked for as many entries as there are columns without sorting: hence this wrapper, with
    ``sort=True``, an explicit threshold, and scipy's product where the selection selects nothing.
    """
    dtype = np.result_type(A.dtype, B.dtype)
    dtype = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    A, B = kernel_csr(A, dtype), kernel_csr(B, dtype)
    if k >= B.shape[1] or A.nnz == 0 or B.nnz == 0:
        C = sp.csr_array(A @ B)
        C.data[C.data <= threshold] = 0
        C.eliminate_zeros()
        return csr_topk(C, k)
    if threshold == 0 and (lists := compiled_topk(A, B, None, k, n_threads=n_threads)) is not None:
        return as_rows(lists, B.shape[1])
    index = np.int64 if A.indices.dtype == np.int64 or B.indices.dtype == np.int64 else np.int32
    for M in (A, B):
        M.indices, M.indptr = (
            M.indices.astype(index, copy=False),
            M.indptr.astype(index, copy=False),
        )
    C = sp_matmul_topn(
        A, B, top_n=k, threshold=float(threshold), sort=True, n_threads=n_threads, idx_dtype=index
    )
    return sp.csr_array(C)


def dense_product(X: sp.csr_array, W: NDArray[Any], *, n_threads: int = 1) -> NDArray[Any]:
    """``X @ W`` for sparse X and dense W, by blocks of columns that stay in the cache, shared among threads."""
    W = W.astype(X.dtype, copy=False)
    if X.nnz < W.shape[0]:
        return X @ W  # reads less of W than a block would copy
    product = np.empty((X.shape[0], W.shape[1]), dtype=X.dtype)
    # Whole vectors of the processor.
    width = max(32, _CACHE_BYTES // (max(1, W.shape[0]) * X.dtype.itemsize) // 32 * 32)

    kernel = compiled() if X.nnz * W.shape[1] >= WORTH_COMPILING else None
    left = X if kernel is None else kernel_csr(X, X.dtype)

    def fill(columns: slice) -> None:
        block = np.ascontiguousarray(W[:, columns])
        if kernel is not None and left.indices.dtype == np.int32:
            product[:, columns] = kernel.times_dense(left, block)
        else:
            product[:, columns] = left @ block

    blocks = [slice(start, start + width) for start in range(0, W.shape[1], width)]
    in_threads(fill, blocks, n_threads)
    return product


def normalize_columns(X: sp.csr_array, power: float = 1.0) -> sp.csr_array:
    """`X` with columns of unit Euclidean length (divided by `power` of their length); empty columns stay empty."""
    norms = np.sqrt(
        np.bincount(X.indices, weights=X.data.astype(np.float64) ** 2, minlength=X.shape[1])
    )
    norms[norms == 0] = 1
    return with_data(X, (X.data / norms[X.indices] ** power).astype(X.dtype, copy=False))


def normalize_rows(X: sp.csr_array, power: float = 1.0) -> sp.csr_array:
    """`X` with rows of unit Euclidean length (divided by `power` of their length); empty rows stay empty."""
    rows = entry_rows(X)
    norms = np.sqrt(np.bincount(rows, weights=X.data.astype(np.float64) ** 2, minlength=X.shape[0]))
    norms[norms == 0] = 1
    return with_data(X, (X.data / norms[rows] ** power).astype(X.dtype, copy=False))


def with_data(X: sp.csr_array, data: NDArray[Any]) -> sp.csr_array:
    """A plain `csr_array` with the pattern of `X` (shared, not copied) and new values."""
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)
