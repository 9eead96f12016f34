"""Find the items most similar to given items in a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import topk_dense
from sklearn_llmrec.base._by_id import columns_of_ids, ids_of_columns
from sklearn_llmrec.utils import check_arguments, check_k, on_one_state, row_chunks


def check_items(items: ArrayLike, n_items: int) -> NDArray[np.int64]:
    """Return column numbers as an array of one dimension.

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
            f"items must be column numbers in one dimension, and with ids=True item ids; got dtype {found.dtype} and "
            f"{found.ndim} dimensions."
        )
    if found.size and not (found.min() >= 0 and found.max() < n_items):
        raise ValueError(
            f"items must be column numbers between 0 and {n_items - 1}, and with ids=True item ids; got {items!r}."
        )
    return found.astype(np.int64)


class SimilarItemsMixin:
    """Adds `similar_items` to a recommender that implements `_item_similarities(items)`."""

    n_features_in_: int

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        """Return the similarity of some items to all items as a dense block; 0 means that nothing is known."""
        raise NotImplementedError

    @on_one_state
    @check_arguments
    def similar_items(
        self, items: ArrayLike, k: int = 10, *, ids: bool = False
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the k items most similar to each of `items`, according to the model.

        Parameters
        ----------
        items : scalar or array-like of shape (n,)
            Column numbers, or with ``ids=True`` item ids.
        k : int, default=10
            How many, at most ``n_items - 1``.
        ids : bool, default=False
            Whether `items` and the items returned are item ids (those in `item_ids_`) instead of column numbers.

        Returns
        -------
        similar : ndarray of shape (n, k), int64 or the dtype of `item_ids_`
            Column numbers, most similar first, the item itself left out; -1 where the model knows
            no more. With ``ids=True`` item ids; a short list ends with None (NaT among dates).
        similarities : ndarray of shape (n, k)
            ``-inf`` beside -1.

        Raises
        ------
        ValueError
            If an item is no column, or with ``ids=True`` the model was fitted without item ids or
            does not know one of them.
        """
        check_is_fitted(self)
        n_items = self.n_features_in_
        k = check_k(k, n_items - 1)
        asked = check_items(columns_of_ids(self, items, "items") if ids else items, n_items)
        similar, similarities = self._similar_columns(asked, k)
        return ids_of_columns(self, similar) if ids else similar, similarities

    def _similar_columns(
        self, asked: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the columns most similar to some, block by block, with their similarities."""
        n_items = self.n_features_in_
        parts = []
        for rows in row_chunks(len(asked), 8 * n_items):
            block = np.array(self._item_similarities(asked[rows]))  # it may be the model's own
            block[block == 0] = -np.inf
            block[np.arange(len(block)), asked[rows]] = -np.inf
            parts.append(topk_dense(block, k))
        if not parts:
            return np.empty((0, k), dtype=np.int64), np.empty((0, k))
        similar, similarities = zip(*parts, strict=True)
        return np.vstack(similar), np.vstack(similarities)
