"""Explain recommendations by the contribution of each item of a history to the score of an item."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base._by_id import columns_of_ids
from sklearn_llmrec.utils import check_arguments, on_one_state


def check_lists_to_explain(
    estimator: Any, items: ArrayLike, shape: tuple[int, int], ids: bool = False
) -> NDArray[np.int64]:
    """Return columns of items to explain, of shape (n_rows, k), -1 for an empty place; one item per row is k = 1.

    Parameters
    ----------
    estimator : BaseRecommender
        The fitted model, which knows the item ids.
    items : array-like of shape (n_rows,) or (n_rows, k)
        Column numbers, or item ids.
    shape : tuple of int
        The shape of X.
    ids : bool, default=False
        Whether `items` are item ids.

    Raises
    ------
    TypeError
        If column numbers are no integers.
    ValueError
        If there is not one item, or one list of items, per row, or one of them is no column, or no id of the fit.
    """
    n_rows, n_items = shape
    found = (
        columns_of_ids(estimator, items, "items", empty_places=True) if ids else np.asarray(items)
    )
    if found.ndim not in (1, 2) or len(found) != n_rows:
        raise ValueError(
            f"items must contain one item per row of X, or one list of items as recommend returns them; got shape "
            f"{found.shape} and {n_rows} rows."
        )
    if not np.issubdtype(found.dtype, np.integer):
        raise TypeError(
            f"items must be column numbers, and with ids=True item ids; got dtype {found.dtype}."
        )
    if found.size and not (found.min() >= -1 and found.max() < n_items):
        raise ValueError(
            f"items must be column numbers between 0 and {n_items - 1}, or -1 for an empty place, and with ids=True "
            f"item ids; got {items!r}."
        )
    return (found[:, None] if found.ndim == 1 else found).astype(np.int64)


class ExplainMixin:
    """Adds `explain` to a recommender that implements `_contributions(X, items)`."""

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        """Return the contribution of each item of each row to the score of the row's item."""
        raise NotImplementedError

    @on_one_state
    @check_arguments
    def explain(self, X: Any, items: ArrayLike, *, ids: bool = False) -> sp.csr_array:
        """Return the contribution of each item of a history to the score of a recommended item.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.
        items : array-like of shape (n_users,) or (n_users, k)
            Column numbers of the items to explain: one per row, or lists as `recommend` returns
            them, with -1 for an empty place. With ``ids=True`` item ids, with None for an empty place.
        ids : bool, default=False
            Whether `items` are item ids (those in `item_ids_`) instead of column numbers. Column j of
            the result is the item ``item_ids_[j]``.

        Returns
        -------
        contributions : csr_array of shape (n_users, n_items) or (n_users * k, n_items)
            Row u sums to the score of ``items[u]`` for row u of X; for lists, row ``u * k + r`` sums to that of
            ``items[u, r]``. For a rating model the sum is the predicted rating minus its baseline
            (`predict_baseline`). An item about which the model knows nothing has no contributions.

        Raises
        ------
        ValueError
            If there is not one item, or one list of items, per row; with ``ids=True``, if the model
            was fitted without item ids or does not know one of them.
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))  # type: ignore[attr-defined]
        lists = check_lists_to_explain(self, items, X.shape, ids)
        asked = lists.ravel()
        if lists.shape[1] != 1:
            X = X[np.repeat(np.arange(X.shape[0]), lists.shape[1])]
        # A copy: contributions may share the pattern of X, which must keep its entries.
        found = sp.csr_array(self._contributions(X, np.maximum(asked, 0)), copy=True)
        found.data[np.repeat(asked < 0, np.diff(found.indptr))] = 0
        found.eliminate_zeros()
        return found


def columns_of(W: Any, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
    """Return ``W[i, items[u]]`` at every stored entry (u, i) of X, for sparse or dense W."""
    asked = np.repeat(items, np.diff(X.indptr))
    if sp.issparse(W):
        values = np.asarray(W[X.indices, asked]).ravel() if X.nnz else np.empty(0, dtype=W.dtype)
    else:
        values = W[X.indices, asked]
    return sp.csr_array((values, X.indices, X.indptr), shape=X.shape)
