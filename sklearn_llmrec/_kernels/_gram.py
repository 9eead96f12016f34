"""Dense products of sparse matrices: Gram matrices and scores.

`gram` is called by all linear models and by ALS, `dense_product` by `EASE` and `SequenceEASE` to score rows. A Gram
matrix costs O(sum of squared row lengths) with the sparse loop and O(n_users n_items^2) with BLAS, which does about
20 times as many operations per second. The cheaper way is taken.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import blas

from sklearn_llmrec._kernels._arrays import bounds, of_rows, plain
from sklearn_llmrec._kernels._blas import blas_threads
from sklearn_llmrec.utils import in_threads, row_chunks, slices_for_threads

# float32 BLAS of OpenBLAS crashes the process on several threads once a matrix passes 2^31 bytes (n = 23,170).
ONE_THREAD_ABOVE = 2**31
# A multiply-add of a sparse product costs about as much as this many of a dense one.
_SPARSE_COST = 20
# Columns of a dense matrix that are multiplied at once take no more, so that they stay in the caches.
_CACHE_BYTES = 2**21
# Rows of a dense matrix that are read this often on average repay a copy: measured with 3,000 and 10,000 columns.
_COPY_FROM = 16


def gram(X: sp.csr_array, dtype: Any, *, n_threads: int = 1) -> NDArray[Any]:
    """Return ``X.T @ X`` in Fortran order, both triangles; by BLAS where rows are full enough."""
    n_users, n_items = X.shape
    X = X.astype(dtype, copy=False)
    sparse_work = float((np.diff(X.indptr).astype(np.float64) ** 2).sum())
    if _SPARSE_COST * sparse_work > n_users * n_items**2 / 2:
        G = np.zeros((n_items, n_items), dtype=dtype, order="F")
        syrk = getattr(blas, "ssyrk" if G.dtype == np.float32 else "dsyrk")
        with blas_threads(1 if G.nbytes > ONE_THREAD_ABOVE else None):
            for rows in row_chunks(n_users, n_items * G.dtype.itemsize):
                # The transpose of a C block is a Fortran block: no copy is made.
                G = syrk(1.0, X[rows].toarray().T, beta=1.0, c=G, lower=1, overwrite_c=1)
        return fill_upper(G)
    # The upper triangle in C order is the lower one in Fortran order.
    return fill_upper(_upper_gram(X, n_threads).T)


def _upper_gram(X: sp.csr_array, n_threads: int) -> NDArray[Any]:
    """Return the upper triangle of ``X.T @ X``; zeros below."""
    from sklearn_llmrec._kernels._solver_loops import add_gram

    if not X.has_sorted_indices:
        X = X.sorted_indices()
    n_items = X.shape[1]
    T = sp.csr_array((np.arange(X.nnz), X.indices, X.indptr), shape=X.shape).T.tocsr()
    G = np.zeros((n_items, n_items), dtype=X.dtype)
    arrays = (
        *of_rows(X, X.dtype),
        bounds(T.indptr),
        plain(T.indices, np.int32).view(np.uint32),
        plain(T.data, np.int64).view(np.uint64),
        G,
    )
    loop = add_gram.of(X.dtype)
    in_threads(
        lambda rows: loop(rows.start, rows.stop, *arrays),
        slices_for_threads(n_items, n_threads),
        n_threads,
    )
    return G


def fill_upper(A: NDArray[Any]) -> NDArray[Any]:
    """Copy the lower triangle of A to the upper, in place, by blocks."""
    n = len(A)
    for start in range(0, n, 1024):
        stop = min(start + 1024, n)
        A[start:stop, stop:] = A[stop:, start:stop].T
        block = np.tril(A[start:stop, start:stop])
        A[start:stop, start:stop] = block + np.tril(block, -1).T
    return A


def dense_product(X: sp.csr_array, W: NDArray[Any], *, n_threads: int = 1) -> NDArray[Any]:
    """Return ``X @ W`` for sparse X and dense W, in the dtype of W; only the rows of W that X uses are read.

    A large batch is multiplied by blocks of columns, copied one after the other so that they stay in the cache. Rows or
    blocks are shared among threads.
    """
    X = X.astype(W.dtype, copy=False)
    if not X.shape[0]:
        return np.zeros((0, W.shape[1]), dtype=W.dtype)
    from sklearn_llmrec._kernels._solver_loops import times_dense

    rows_of_x, loop = of_rows(X, W.dtype), times_dense.of(W.dtype)
    if X.nnz < _COPY_FROM * W.shape[0] and W.flags.c_contiguous:
        product = np.zeros((X.shape[0], W.shape[1]), dtype=W.dtype)
        in_threads(
            lambda rows: loop(rows.start, rows.stop, *rows_of_x, W, product),
            slices_for_threads(X.shape[0], n_threads),
            n_threads,
        )
        return product
    product = np.empty((X.shape[0], W.shape[1]), dtype=W.dtype)
    # Whole vectors of the processor.
    width = max(32, _CACHE_BYTES // (max(1, W.shape[0]) * X.dtype.itemsize) // 32 * 32)

    def fill(columns: slice) -> None:
        block = np.ascontiguousarray(W[:, columns])
        out = np.zeros((X.shape[0], block.shape[1]), dtype=W.dtype)
        loop(0, len(out), *rows_of_x, block, out)
        product[:, columns] = out

    blocks = [slice(start, start + width) for start in range(0, W.shape[1], width)]
    in_threads(fill, blocks, n_threads)
    return product
