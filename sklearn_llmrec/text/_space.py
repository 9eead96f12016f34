"""The space that items and users are compared in: centred, rotated, of unit length; and its top-k."""

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.utils._topk import topk

# A block of scores of this many entries stays in the caches or nearly.
_BLOCK_ROWS, _BLOCK_ITEMS = 512, 8192


def unit_rows(V: NDArray[Any]) -> NDArray[Any]:
    """Rows of unit length; rows of zeros stay."""
    norms = np.linalg.norm(V, axis=1, keepdims=True)
    return V / np.where(norms > 0, norms, 1)


class Space:
    """Centring and principal components of item vectors, applied to any vector.

    Parameters
    ----------
    center : bool
        Whether the mean is taken away: what all texts share tells nothing about taste.
    n_components : int or None
        Principal components to keep; None keeps the space as it is.
    whiten : bool
        Whether components get equal variance.
    """

    def __init__(self, center: bool, n_components: int | None, whiten: bool) -> None:
        self.center, self.n_components, self.whiten = center, n_components, whiten

    def fit(self, V: NDArray[Any]) -> Self:
        """Learn from the rows that are not zero."""
        known = V[V.any(axis=1)]
        if self.n_components is not None and self.n_components > min(known.shape):
            raise ValueError(
                f"n_components={self.n_components} is more than the {known.shape[1]} dimensions of "
                f"the item vectors or the {known.shape[0]} items that have one."
            )
        self.mean_ = known.mean(axis=0) if self.center else np.zeros(V.shape[1], dtype=V.dtype)
        self.axes_: NDArray[Any] | None = None
        if self.n_components is not None or self.whiten:
            spread = known - self.mean_
            variances, axes = np.linalg.eigh(spread.T @ spread / len(known))
            order = np.argsort(-variances, kind="stable")[: self.n_components]
            order = order[variances[order] > 1e-7 * variances.max()]
            axes = axes[:, order]
            # The sign of an axis is arbitrary: fixed, so that equal input gives equal output.
            axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
            self.axes_ = axes / np.sqrt(variances[order]) if self.whiten else axes
        return self

    def transform(self, V: NDArray[Any]) -> NDArray[Any]:
        """Unit vectors in the space; a vector of zeros stays one."""
        known = V.any(axis=1)
        moved = V - self.mean_.astype(V.dtype, copy=False)
        moved[~known] = 0
        if self.axes_ is not None:
            moved = moved @ self.axes_.astype(V.dtype, copy=False)
        return unit_rows(moved)


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
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Exact top-k of ``P @ V.T`` by blocks; a score of exactly zero is no evidence and left out.

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
    for row in range(0, n_rows, _BLOCK_ROWS):
        rows = slice(row, min(row + _BLOCK_ROWS, n_rows))
        if ends is None:
            own, inner = P[rows], None
        else:
            own = P[ends[rows.start] : ends[rows.stop]]
            inner = ends[rows.start : rows.stop] - ends[rows.start]
        hidden = _by_column(seen[rows]) if seen is not None else None
        for first in range(0, len(V), _BLOCK_ITEMS):
            block = V[first : first + _BLOCK_ITEMS]
            scores = best_of_groups(own @ block.T, inner)
            scores[scores == 0] = -np.inf
            if hidden is not None:
                at, columns = hidden
                inside = slice(*np.searchsorted(columns, [first, first + len(block)]))
                scores[at[inside], columns[inside] - first] = -np.inf
            found, best = topk(scores, min(k, len(block)))
            # What is already there has lower columns, so it stays ahead of equal scores.
            both = np.hstack([items[rows], np.where(found < 0, -1, found + first)])
            place, values[rows] = topk(np.hstack([values[rows], best]), k)
            items[rows] = np.where(place < 0, -1, np.take_along_axis(both, place, axis=1))
    return items, values


def _by_column(seen: sp.csr_array) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr))
    order = np.argsort(seen.indices, kind="stable")
    return rows[order], seen.indices[order]
