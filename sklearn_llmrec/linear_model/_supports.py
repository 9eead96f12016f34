"""Regress every item on its nearest items: find these, and compute their Gram matrices."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import (
    as_rows,
    blas_threads,
    gram,
    model_csr,
    support_grams,
    topk_sparse,
)
from sklearn_llmrec.neighbors import RowIndex, without_diagonal
from sklearn_llmrec.utils import in_threads, require_memory

# The Gram matrix of the most popular items, as many as fit: of all, in catalogues of some 8,000.
_GRAM_BYTES = 2**28
# What the Gram matrices of the items that are solved together take.
_BLOCK_BYTES = 2**24
WHOLE_GRAM_REMEDY = (
    "A fit from shards adds up Gram matrices of all items: keep fewer items (min_item_interactions), or fit on one "
    "matrix with n_neighbors."
)
# Items whose neighbours are sought at once.
_SEARCHED = 2**13


def regress_on_nearest(
    X: sp.csr_array,
    n_neighbors: int,
    solve: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    *,
    n_threads: int = 1,
) -> sp.csr_array:
    """Return item-to-item weights: column j is the regression of item j on the items of the highest cosine with it.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
    n_neighbors : int
    solve : callable (S, g) -> w
        Solves regressions. S, of shape (n, k, k), are their Gram matrices and may be overwritten. g, of shape (n, k),
        are the products of the columns with the target. Rows with fewer than k columns are filled with zeros; w must
        be zero there too.
    n_threads : int, default=1

    Returns
    -------
    weights : csr_array of shape (n_items, n_items)
    """
    places = nearest_items(X, n_neighbors, n_threads=n_threads)
    return _regressions(SupportGrams(X, places, n_threads=n_threads), solve, n_threads)


def regress_by_gram(
    G: NDArray[Any],
    n_neighbors: int,
    solve: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    *,
    n_threads: int = 1,
) -> sp.csr_array:
    """Return the weights of `regress_on_nearest` from the whole Gram matrix of the items."""
    return _regressions(GramSupports(G, nearest_by_gram(G, n_neighbors)), solve, n_threads)


def require_whole_gram(n_items: int, dtype: Any, remedy: str) -> None:
    """Refuse a Gram matrix of all items that would not fit in memory, and name its size."""
    require_memory(
        n_items**2 * np.dtype(dtype).itemsize,
        f"The Gram matrix of {n_items} x {n_items} items",
        remedy,
    )


def _regressions(
    grams: "SupportGrams | GramSupports",
    solve: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    n_threads: int,
) -> sp.csr_array:
    """Return the item-to-item weights of all items from the Gram matrices of their columns."""
    places = grams.places
    w = np.zeros(places.shape, dtype=grams.dtype)

    def fill(items: NDArray[np.int64]) -> None:
        S, g = grams(items)
        w[items, : g.shape[1]] = solve(S, g)

    with blas_threads(1):
        in_threads(fill, grams.blocks(), n_threads)
    kept = w != 0
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    columns = sp.csr_array((w[kept], places[kept], indptr), shape=(len(w), len(w)))
    return columns.T.tocsr()


def nearest_items(X: sp.csr_array, n_neighbors: int, *, n_threads: int = 1) -> NDArray[np.int32]:
    """Return the items of the highest cosine with each item, best first; all others if there are no more.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
    n_neighbors : int
    n_threads : int, default=1

    Returns
    -------
    neighbors : ndarray of shape (n_items, n_neighbors) or (n_items, n_items - 1), int32
        Filled with -1.
    """
    n_items = X.shape[1]
    if n_neighbors >= n_items - 1:
        others = np.arange(n_items - 1, dtype=np.int32)
        return others + (others >= np.arange(n_items)[:, None])
    columns = X.T.tocsr()
    index = RowIndex(columns, "cosine", transposed=X)
    neighbors = np.full((n_items, n_neighbors), -1, dtype=np.int32)
    for start in range(0, n_items, _SEARCHED):
        part = columns[start : start + _SEARCHED]
        nearest = index.nearest(part, n_neighbors + 1, n_threads=n_threads)
        nearest = without_diagonal(nearest, n_neighbors, first=start)
        of_block = neighbors[start : start + _SEARCHED]
        of_block[np.arange(n_neighbors) < np.diff(nearest.indptr)[:, None]] = nearest.indices
    return neighbors


def nearest_by_gram(G: NDArray[Any], n_neighbors: int) -> NDArray[np.int32]:
    """Return `nearest_items` from the Gram matrix of the items, symmetric and C-ordered."""
    n_items = len(G)
    if n_neighbors >= n_items - 1:
        others = np.arange(n_items - 1, dtype=np.int32)
        return others + (others >= np.arange(n_items)[:, None])
    norms = np.sqrt(np.maximum(G.diagonal(), 0))
    norms[norms == 0] = 1
    neighbors = np.full((n_items, n_neighbors), -1, dtype=np.int32)
    width = max(1, _BLOCK_BYTES // G[0].nbytes)
    for start in range(0, n_items, width):
        cosines = sp.csr_array(G[start : start + width] / norms)
        best = as_rows(topk_sparse(cosines, min(n_neighbors + 1, n_items)), n_items)
        best = without_diagonal(best, n_neighbors, first=start)
        own = neighbors[start : start + width]
        own[np.arange(n_neighbors) < np.diff(best.indptr)[:, None]] = best.indices
    return neighbors


class _Supports:
    """Columns of every item, and blocks of items whose Gram matrices fit in memory together."""

    places: NDArray[np.int32]
    dtype: np.dtype[Any]

    def blocks(self) -> list[NDArray[np.int64]]:
        """Return items in parts of about equally many columns, so that their Gram matrices fit in a block."""
        counts = (self.places >= 0).sum(axis=1)
        order = np.argsort(counts, kind="stable")[(counts == 0).sum() :]
        blocks, stop = [], len(order)
        while stop:
            width = int(counts[order[stop - 1]])
            start = max(0, stop - max(1, _BLOCK_BYTES // (self.dtype.itemsize * width**2)))
            blocks.append(order[start:stop])
            stop = start
        return blocks

    def _widest(self, items: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the columns of some items, as many as the one with most has."""
        places = self.places[items]
        return places[:, : (places >= 0).sum(axis=1).max()]


class GramSupports(_Supports):
    """Gram matrices of a few columns for every item, read from the one of all items.

    Parameters
    ----------
    G : ndarray of shape (n_items, n_items)
    places : ndarray of shape (n_items, k), int32
        The columns of each item, filled with -1.
    """

    def __init__(self, G: NDArray[Any], places: NDArray[np.int32]) -> None:
        self.places, self.dtype = places, G.dtype
        self._gram = G

    def __call__(self, items: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what `SupportGrams` returns."""
        places = self._widest(items)
        used = places >= 0
        S = self._gram[places[:, :, None], places[:, None, :]]
        S *= used[:, :, None] & used[:, None, :]
        return S, self._gram[items[:, None], places] * used


class SupportGrams(_Supports):
    """Gram matrices of a few columns for every item.

    Pairs of popular items, which take most of the work, are read from the Gram matrix of these; other items have
    few users, whose entries give the products with the requested columns.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
    places : ndarray of shape (n_items, k), int32
        The columns of each item, filled with -1.
    n_threads : int, default=1
        Of the Gram matrix of popular items.
    """

    def __init__(self, X: sp.csr_array, places: NDArray[np.int32], *, n_threads: int = 1) -> None:
        n_items = X.shape[1]
        self.places, self.dtype = places, X.dtype
        n_popular = min(n_items, int((_GRAM_BYTES / X.dtype.itemsize) ** 0.5))
        counts = np.bincount(X.indices, minlength=n_items)
        popular = np.sort(np.argsort(-counts, kind="stable")[:n_popular])
        self._rank = np.full(n_items, -1, dtype=np.int32)
        self._rank[popular] = np.arange(n_popular)
        self._popular = model_csr(X[:, popular])
        # Symmetric: the transpose of the Fortran array is the same matrix in C order.
        self._head = gram(self._popular, X.dtype, n_threads=n_threads).T
        self._columns = model_csr(X.T)

    def __call__(self, items: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the Gram matrices (n, k, k) of columns of some items and the products (n, k) with the item's own.

        Here k is the most columns that one of these items has; rows with fewer are filled with zeros.
        """
        return support_grams(
            self._popular, self._columns, self._rank, self._head, self._widest(items), items
        )
