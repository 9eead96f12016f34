"""Predict the baseline of rating models: their prediction for a row before its taste counts."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec.base._recommender import BaseRecommender
from sklearn_llmrec.base._tags import Tags
from sklearn_llmrec.utils import require_memory, rows_without_entries


def _predicts_ratings(model: BaseRecommender) -> bool:
    """Return whether a model predicts ratings: as it was fitted, else as it will be."""
    tags = vars(model).get("_tags_") or model.__sklearn_tags__().recommender_tags
    return bool(tags.predicts_ratings)


class RatingMixin(BaseRecommender):
    """Adds `predict_baseline` to a recommender that predicts ratings and implements `_baseline(X)`.

    A row of equal predictions is a prediction like any other: the level of the user. Only a row without ratings gets
    `_fallback_scores`.
    """

    def _baseline(self, X: sp.csr_array) -> NDArray[np.float64]:
        """Return the baseline of every row and item, as a new array."""
        raise NotImplementedError

    @available_if(_predicts_ratings)
    def predict_baseline(self, X: Any) -> NDArray[Any]:
        """Predict ratings by the baseline of the model alone: what `explain` leaves out.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Ratings; the rows need not be rows given to `fit`.

        Returns
        -------
        baseline : ndarray of shape (n_users, n_items), dtype of X
            ``predict(X)`` minus the baseline is what the rows of `explain` sum to. A row without ratings gets what is
            known of the items alone, here and in `predict`.
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))
        require_memory(
            X.shape[0] * X.shape[1] * 8,
            f"A dense matrix of baselines of shape {X.shape}",
            "Pass fewer rows at a time.",
        )
        baseline = self._baseline(X)
        baseline[rows_without_entries(X)] = self._fallback_scores()
        return baseline.astype(X.dtype, copy=False)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.predicts_ratings = True
        return tags
