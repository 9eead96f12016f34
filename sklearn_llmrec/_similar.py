"""Questions to a fitted model: which items are alike, and why an item is recommended."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.utils._atomic import restored_on_error
from sklearn_llmrec.utils._blocks import row_chunks
from sklearn_llmrec.utils._topk import topk
from sklearn_llmrec.utils._validation import canonical, check_k, check_targets


def check_items(items: ArrayLike, n_items: int) -> NDArray[np.int64]:
    """Column numbers as an array of one dimension.

    Raises
    ------
    TypeError
        If they are no integers of one dimension.
    ValueError
        If one of them is no column.
    """
    found = np.atleast_1d(np.asarray(items))
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise TypeError(
            f"items must be column numbers in one dimension; got dtype {found.dtype} and {found.ndim} dimensions."
        )
    if found.size and not (found.min() >= 0 and found.max() < n_items):
        raise ValueError(f"items must lie between 0 and {n_items - 1}; got {items!r}.")
    return found.astype(np.int64)


def check_lists_to_explain(items: ArrayLike, n_rows: int, n_items: int) -> NDArray[np.int64]:
    """Items to explain as an array of shape (n_rows, k), -1 for an empty place; one item per row is k = 1.

    Raises
    ------
    TypeError
        If they are no integers.
    ValueError
        If there is not one item, or one list of items, per row, or one of them is no column.
    """
    found = np.asarray(items)
    if found.ndim not in (1, 2) or len(found) != n_rows:
        raise ValueError(
            f"items must hold one item per row of X, or one list of items as recommend returns them; got shape "
            f"{found.shape} and {n_rows} rows."
        )
    if not np.issubdtype(found.dtype, np.integer):
        raise TypeError(f"items must be column numbers; got dtype {found.dtype}.")
    if found.size and not (found.min() >= -1 and found.max() < n_items):
        raise ValueError(
            f"items must lie between 0 and {n_items - 1}, or be -1 for an empty place; got {items!r}."
        )
    return (found[:, None] if found.ndim == 1 else found).astype(np.int64)


class SimilarItemsMixin:
    """Adds `similar_items` to a recommender that implements `_item_similarities(items)`."""

    n_features_in_: int

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        """Similarity of some items to all, as a dense block; 0 says that nothing is known."""
        raise NotImplementedError

    def similar_items(
        self, items: ArrayLike, k: int = 10
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The k items most similar to each of `items`, as the model sees them.

        Parameters
        ----------
        items : int or array-like of shape (n,)
            Column numbers.
        k : int, default=10
            How many, at most ``n_items - 1``.

        Returns
        -------
        similar : ndarray of shape (n, k), int64
            Column numbers, most similar first, the item itself left out; -1 where the model knows
            no more.
        similarities : ndarray of shape (n, k)
            ``-inf`` beside -1.
        """
        check_is_fitted(self)
        n_items = self.n_features_in_
        k = check_k(k, n_items - 1)
        asked = check_items(items, n_items)
        parts = []
        for rows in row_chunks(len(asked), 8 * n_items):
            block = self._item_similarities(asked[rows])
            block[block == 0] = -np.inf
            block[np.arange(len(block)), asked[rows]] = -np.inf
            parts.append(topk(block, k))
        if not parts:
            return np.empty((0, k), dtype=np.int64), np.empty((0, k))
        similar, similarities = zip(*parts, strict=True)
        return np.vstack(similar), np.vstack(similarities)


class ExplainMixin:
    """Adds `explain` to a recommender that implements `_contributions(X, items)`."""

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        """What each item of each row adds to the score of the row's item."""
        raise NotImplementedError

    def explain(self, X: Any, items: ArrayLike) -> sp.csr_array:
        """What each item of the history adds to the score of a recommended item.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.
        items : array-like of int of shape (n_users,) or (n_users, k)
            Column numbers of the items to explain: one per row, or lists as `recommend` returns
            them, with -1 for an empty place.

        Returns
        -------
        contributions : csr_array of shape (n_users, n_items) or (n_users * k, n_items)
            Row u (of lists: row ``u * k + r``) sums to the score of ``items[u]`` (``items[u, r]``)
            for row u of X; of a rating model, to how far the rating lies from its baseline. An item
            without evidence has no contributions.

        Raises
        ------
        ValueError
            If there is not one item, or one list of items, per row.
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))  # type: ignore[attr-defined]
        lists = check_lists_to_explain(items, *X.shape)
        asked = lists.ravel()
        if lists.shape[1] != 1:
            X = X[np.repeat(np.arange(X.shape[0]), lists.shape[1])]
        # A copy: contributions may share the pattern of X, which must keep its entries.
        found = sp.csr_array(self._contributions(X, np.maximum(asked, 0)), copy=True)
        found.data[np.repeat(asked < 0, np.diff(found.indptr))] = 0
        found.eliminate_zeros()
        return found


class PartialFitMixin(BaseRecommender):
    """Adds `partial_fit` to a recommender that implements `_learn(X, first)`.

    Fitting part after part equals one fit on all rows; `_fit` is the first part.
    """

    def _learn(self, X: sp.csr_array, first: bool) -> None:
        """Learn from more rows; `first` forgets what was learned before."""
        raise NotImplementedError

    def _fit(self, X: sp.csr_array) -> None:
        self._learn(X, True)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from more users; part after part gives what one fit on all of them gives.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            New users, over the same items.
        y : array-like or sparse, default=None
            Ignored.

        Returns
        -------
        self : object
        """
        with restored_on_error(self):
            self._validate_params()
            first = not hasattr(self, "n_users_fit_")
            X = self._check_X(X, reset=first)
            check_targets(y, X.shape)
            X = canonical(X)
            counts = np.bincount(X.indices, minlength=X.shape[1]).astype(np.float64)
            self.item_popularity_ = counts if first else self.item_popularity_ + counts
            self.n_users_fit_ = X.shape[0] + (0 if first else self.n_users_fit_)
            self._learn(X, first)
        return self


class StackingMixin(PartialFitMixin):
    """Adds `partial_fit` to a recommender that implements `_fit_all(X)`, by keeping the rows.

    `fit` keeps them too, as they were given: what a part adds (document frequencies, norms, means)
    changes every similarity.
    """

    _rows_: sp.csr_array

    def _fit_all(self, X: sp.csr_array) -> None:
        """Learn from all rows at once."""
        raise NotImplementedError

    def _learn(self, X: sp.csr_array, first: bool) -> None:
        if not first:
            dtype = self._rows_.dtype
            X = sp.csr_array(sp.vstack([self._rows_, X.astype(dtype, copy=False)], format="csr"))
        self._rows_ = X
        self._fit_all(X)


def columns_of(W: Any, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
    """``W[i, items[u]]`` at every stored entry (u, i) of X, for sparse or dense W."""
    asked = np.repeat(items, np.diff(X.indptr))
    if sp.issparse(W):
        values = np.asarray(W[X.indices, asked]).ravel() if X.nnz else np.empty(0, dtype=W.dtype)
    else:
        values = W[X.indices, asked]
    return sp.csr_array((values, X.indices, X.indptr), shape=X.shape)
