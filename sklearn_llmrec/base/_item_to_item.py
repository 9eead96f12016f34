"""Models whose scores are ``X @ W`` with sparse item-to-item weights `W`."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import model_csr, topk_product
from sklearn_llmrec.base._explain import ExplainMixin, columns_of
from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.base._similar import SimilarItemsMixin
from sklearn_llmrec.base._tags import Tags
from sklearn_llmrec.utils import threads_for


class ItemToItemRecommender(SimilarItemsMixin, ExplainMixin, BaseRecommender):
    """Base of recommenders with sparse item-to-item weights.

    `_fit` calls `_set_weights(W)`, with row i of `W` what item i of a history adds to the score of every item.
    """

    weights_: sp.csr_array
    n_jobs: int | None = None

    def _set_weights(self, W: sp.csr_array) -> None:
        self.weights_ = model_csr(W)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any] | sp.csr_array:
        return sp.csr_array(X.astype(self.weights_.dtype, copy=False) @ self.weights_)

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        # The column of a candidate: what speaks for it.
        return self.weights_.T[items].toarray()

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        return sp.csr_array(X * columns_of(self.weights_, X, items))

    def _topk_rows(
        self,
        X: sp.csr_array,
        k: int,
        seen: sp.csr_array | None,
        candidates: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        # The positive scores, also of signed weights: a row with fewer than k of them is ranked in full.
        threads = threads_for(self.n_jobs, X.shape[0])
        return topk_product(
            X, self.weights_, k, seen=seen, candidates=candidates, n_threads=threads
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.zero_is_unknown = True
        tags.recommender_tags.ranks_candidates = True
        return tags
