"""The baseline of rating prediction: mean and biases, without taste."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import Biases, RatingMixin
from sklearn_llmrec.utils import Interval


class BaselineRecommender(RatingMixin):
    r"""Ratings as a mean plus shrunken biases of users and items.

    Minimises over the ratings that are there

    .. math:: \sum_{u,i} (x_{ui} - \mu - b_u - b_i)^2
       + \lambda_U \sum_u b_u^2 + \lambda_I \sum_i b_i^2

    by alternating least squares. The bias of a row needs nothing but the row, seen at `fit` or not.

    Parameters
    ----------
    user_regularization : float, default=15.0
        How many ratings of no deviation every user is given, :math:`\lambda_U`.
    item_regularization : float, default=10.0
        How many ratings of no deviation every item is given, :math:`\lambda_I`.
    max_iter : int, default=10
        Sweeps over items and users.

    Attributes
    ----------
    mean_ : float
        Mean of all ratings.
    item_bias_ : ndarray of shape (n_items,), float64
        How far an item's ratings lie from the mean.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.decomposition.BiasedMF : Adds factors.
    sklearn_llmrec.neighbors.ItemKNN : Adds neighbours, with ``center="baseline"``.

    Notes
    -----
    A sweep is O(nnz). Everyone gets the items in the same order, that of their biases.

    References
    ----------
    Y. Koren, "Factor in the neighbors: scalable and accurate collaborative filtering", TKDD 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.linear_model import BaselineRecommender
    >>> ratings = np.array([[5, 4, 0], [4, 0, 2], [3, 2, 1]])
    >>> BaselineRecommender().fit(ratings).predict(ratings).round(1)
    array([[3.4, 3.2, 2.9],
           [3.2, 3. , 2.8],
           [3.1, 2.8, 2.6]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "user_regularization": [Interval(Real, 0, None, closed="left")],
        "item_regularization": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        user_regularization: float = 15.0,
        *,
        item_regularization: float = 10.0,
        max_iter: int = 10,
    ) -> None:
        self.user_regularization = user_regularization
        self.item_regularization = item_regularization
        self.max_iter = max_iter

    def _fit(self, X: sp.csr_array) -> None:
        self._biases_ = Biases(
            X,
            user_regularization=self.user_regularization,
            item_regularization=self.item_regularization,
            max_iter=self.max_iter,
        )
        self.mean_ = self._biases_.mean
        self.item_bias_ = self._biases_.item

    def _baseline(self, X: sp.csr_array) -> NDArray[np.float64]:
        return self._biases_.dense(X)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        return self._baseline(X)

    def _fallback_scores(self) -> NDArray[np.float64]:
        return self._biases_.fallback
