"""Models whose scores are ``X @ W`` with sparse item-to-item weights `W`."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import compiled_topk, masked_topk, with_mask, without_mask
from sklearn_llmrec.base._explain import ExplainMixin, columns_of
from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.base._similar import SimilarItemsMixin
from sklearn_llmrec.base._tags import Tags
from sklearn_llmrec.utils import COMMON_TEXTS

#: For `documented`.
ITEM_TO_ITEM_TEXTS = {
    **COMMON_TEXTS,
    "weights_": """csr_array of shape (n_items, n_items)
Row i is what item i of a history adds to the score of every item.""",
}


class ItemToItemRecommender(SimilarItemsMixin, ExplainMixin, BaseRecommender):
    """Base of recommenders with sparse item-to-item weights.

    `_fit` calls `_set_weights(W)`, with row i of `W` what item i of a history adds to the score of every item.
    """

    n_jobs: int | None = None

    def _set_weights(self, W: sp.csr_array) -> None:
        W = sp.csr_array(W)
        W.sort_indices()
        self._masked_weights_ = with_mask(W)
        self._nonnegative_weights_ = not (W.nnz and W.data.min() < 0)

    @property
    def weights_(self) -> sp.csr_array:
        """Sparse item-to-item weights: row i is what item i of a history adds to every item's score."""
        return without_mask(self._masked_weights_)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any] | sp.csr_array:
        return sp.csr_array(X @ self.weights_.astype(X.dtype, copy=False))

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        # The column of a candidate: what speaks for it.
        return self.weights_.T[items].toarray()

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        return sp.csr_array(X * columns_of(self.weights_, X, items))

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        if not self._nonnegative_weights_ or (X.nnz and X.data.min() < 0):
            # The positive scores; a row with fewer than k of them is ranked in full.
            weights, threads = self.weights_, effective_n_jobs(self.n_jobs)
            weights = weights.astype(X.dtype, copy=False)
            return compiled_topk(X, weights, seen, k, signed=True, n_threads=threads)
        masked = self._masked_weights_.astype(X.dtype, copy=False)
        return masked_topk(X, masked, seen, k, n_threads=effective_n_jobs(self.n_jobs))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.zero_is_unknown = True
        return tags
