"""Models whose score is an inner product of a vector per row and a vector per item."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import topk_vectors
from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.utils import rows_without_entries, threads_for


class InnerProductMixin(BaseRecommender):
    """Score and rank by inner products, in a recommender that implements `_retrieval_vectors(X)`.

    The hook is the only place where the model says how it scores: `_score_rows` multiplies its vectors, `_topk_rows`
    ranks them in blocks without dense scores, and `sklearn_llmrec.neighbors.IndexedRecommender` builds its index from
    them.

    Notes
    -----
    Scores are computed in the dtype of the item vectors. Where the tag `zero_is_unknown` is set, a product of exactly
    zero ranks nothing.
    """

    @abstractmethod
    def _retrieval_vectors(
        self, X: sp.csr_array
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Return ``(queries, items, bias)`` with ``queries @ items.T + bias`` as the scores of prepared rows.

        Parameters
        ----------
        X : csr_array of shape (n_rows, n_items)
            A chunk of rows, as `_score_rows` gets it.

        Returns
        -------
        queries : ndarray of shape (n_rows, d)
            Zeros for a row that the model knows nothing about.
        items : ndarray of shape (n_items, d)
            The model's own array or a view of it; the same for every X.
        bias : ndarray of shape (n_items,) or None
            What is added to the score of every item; the same for every X.
        """

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        queries, items, bias = self._retrieval_vectors(X)
        scores: NDArray[Any] = queries.astype(items.dtype, copy=False) @ items.T
        return scores if bias is None else scores + bias

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        queries, vectors, bias = self._retrieval_vectors(X)
        items, values = topk_vectors(
            queries,
            vectors,
            k,
            bias=bias,
            seen=seen,
            skip_zeros=self._tags_.zero_is_unknown,
            by_norm=getattr(self, "_by_norm_", None),
            n_threads=threads_for(getattr(self, "n_jobs", None), X.shape[0]),
        )
        # Rows without items or without a vector rank nothing; the base class scores them.
        items[rows_without_entries(X) | ~queries.any(axis=1)] = -1
        return items, values.astype(X.dtype, copy=False)
