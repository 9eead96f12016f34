"""Popularity and chance: what a recommender must beat."""

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.base import BaseRecommender, PartialFitMixin
from sklearn_llmrec.utils import StrOptions


class PopularityRecommender(PartialFitMixin):
    r"""Recommend to everyone what most users interacted with.

    Parameters
    ----------
    weighting : {"users", "values"}, default="users"
        What popularity counts: users who interacted with the item, or the sum of the values of its column.

    Attributes
    ----------
    item_scores_ : ndarray of shape (n_items,), float64
        The score of each item.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    RandomRecommender : Chance instead of popularity.

    Notes
    -----
    Fit is O(nnz). Scores do not depend on the row; seen items are removed row by row. With ``weighting="users"``
    values of X are ignored, only which items a row holds counts: a negative value (a dislike) is an interaction like
    any other.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> X = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1]])
    >>> model = PopularityRecommender().fit(X)
    >>> items, scores = model.recommend(np.array([[0, 1, 0]]), k=2)
    >>> items, scores
    (array([[2, 0]]), array([[2., 1.]]))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "weighting": [StrOptions({"users", "values"})]
    }

    item_scores_: NDArray[np.float64]

    def __init__(self, weighting: str = "users") -> None:
        self.weighting = weighting

    def _sums(self, X: sp.csr_array) -> NDArray[np.float64]:
        weights = None if self.weighting == "users" else X.data
        return np.bincount(X.indices, weights, minlength=X.shape[1]).astype(np.float64)

    def _fit(self, X: sp.csr_array) -> None:
        self.item_scores_ = self._sums(X)

    def _extend_items(self, X: sp.csr_array) -> None:
        n_new = X.shape[1] - len(self.item_scores_)
        self.item_scores_ = np.append(self.item_scores_, np.zeros(n_new))

    def _partial_fit(self, X: sp.csr_array) -> None:
        self.item_scores_ = self.item_scores_ + self._sums(X)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        return np.tile(self.item_scores_.astype(X.dtype), (X.shape[0], 1))

    def _fallback_scores(self) -> NDArray[Any]:
        return self.item_scores_


class RandomRecommender(BaseRecommender):
    """Recommend items in random order, the same for equal histories.

    The order is a hash of the row's items and a seed drawn from `random_state`: a user gets the same list alone and in
    a batch, and two users with different histories get unrelated ones.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Source of the seed, drawn at `fit`.

    Attributes
    ----------
    seed_ : int
        The seed drawn at `fit`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    PopularityRecommender : The floor that is harder to beat.

    Notes
    -----
    Values of X are ignored, only which items a row holds counts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import RandomRecommender
    >>> X = np.array([[1, 1, 0, 0], [0, 1, 1, 0]])
    >>> items, _ = RandomRecommender(random_state=0).fit(X).recommend(X, k=2)
    >>> sorted(items[0].tolist())
    [2, 3]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {"random_state": ["random_state"]}

    def __init__(self, random_state: Integral | RandomState | None = None) -> None:
        self.random_state = random_state

    def _fit(self, X: sp.csr_array) -> None:
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        scores = np.empty(X.shape, dtype=X.dtype)
        for row in range(X.shape[0]):
            history = X.indices[X.indptr[row] : X.indptr[row + 1]].astype(np.uint32)
            rng = np.random.default_rng([self.seed_, *history.tolist()])
            scores[row] = rng.random(X.shape[1])
        return scores
