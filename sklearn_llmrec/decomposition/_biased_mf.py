"""Biased matrix factorisation of ratings, by alternating ridge regressions."""

from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec._kernels import unit_rows, with_data
from sklearn_llmrec.base import Biases, ExplainMixin, RatingMixin, SimilarItemsMixin
from sklearn_llmrec.decomposition._continued import ContinuedFitMixin, held
from sklearn_llmrec.decomposition._factors import ridge_rows
from sklearn_llmrec.utils import Interval


class BiasedMF(ContinuedFitMixin, RatingMixin, ExplainMixin, SimilarItemsMixin):
    r"""Ratings as a mean, biases of users and items, and the product of their factors.

    Minimises over the ratings that are there

    .. math:: \sum_{u,i} (x_{ui} - \mu - b_u - b_i - p_u^\top q_i)^2
       + \lambda \sum_u n_u (b_u^2 + \|p_u\|^2) + \lambda \sum_i n_i (b_i^2 + \|q_i\|^2),

    with :math:`n_u` and :math:`n_i` the numbers of ratings. This is the model often called SVD. It is fitted by
    alternating ridge regressions instead of stochastic gradients, so there is no learning rate. The factors of a row,
    seen at `fit` or not, are the regression of its ratings on the item factors.

    Parameters
    ----------
    n_components : int, default=32
        Number of factors.
    regularization : float, default=0.1
        The L2 penalty :math:`\lambda`, per rating.
    max_iter : int, default=20
        Sweeps over users and items.
    warm_start : bool, default=False
        Whether `fit` continues from the item factors and biases of the last fit, for `max_iter` more sweeps over the
        rows that it is given: the mean and the users are solved anew.
    random_state : int, RandomState instance or None, default=None
        Initial item factors.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), float64
        Item factors, one column per item.
    item_bias_ : ndarray of shape (n_items,), float64
        How far an item's ratings lie from the mean.
    mean_ : float
        Mean of all ratings at the last `fit`; a later `partial_fit` keeps it.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SVDpp : Reads from which items were rated, too.
    sklearn_llmrec.linear_model.BaselineRecommender : The biases without the factors.
    ALSRecommender : Factors that rank, from what was chosen and what was not.

    Notes
    -----
    A sweep is O(nnz n_components^2 + (n_users + n_items) n_components^3). What `explain` gives sums to
    how far a rating lies from the mean plus the item's bias: the bias of the user is explained, too.

    References
    ----------
    Y. Koren, R. Bell, C. Volinsky, "Matrix factorization techniques for recommender systems", IEEE
    Computer 2009.
    Y. Zhou et al., "Large-scale parallel collaborative filtering for the Netflix prize", AAIM 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import BiasedMF
    >>> ratings = np.array([[5, 4, 0, 1], [4, 5, 1, 2], [1, 2, 5, 4], [2, 0, 4, 5], [5, 5, 1, 1]])
    >>> model = BiasedMF(n_components=1, random_state=0).fit(ratings)
    >>> bool(model.predict(ratings)[0, 2] < 2)
    True
    """

    item_bias_: NDArray[np.float64]
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 32,
        *,
        regularization: float = 0.1,
        max_iter: int = 20,
        warm_start: bool = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.regularization = regularization
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state

    def _sweep(self, X: sp.csr_array, continued: bool, kept: NDArray[np.int64] | None) -> None:
        if kept is None:
            # In a partial_fit it stays: the biases of items that X lacks are distances from it.
            self.mean_ = float(X.data.mean(dtype=np.float64))
        if not continued:
            self._start(X)
        T = X.T.tocsr()
        for _ in range(self.max_iter):
            users = self._user_factors(X)
            items = self._ridge(T, users[:, :-1], users[:, -1])
            items = held(items, np.column_stack([self.components_.T, self.item_bias_]), kept)
            self.components_ = np.ascontiguousarray(items[:, :-1].T)
            self.item_bias_ = items[:, -1]
            self._after_sweep(X, users)

    def _start(self, X: sp.csr_array) -> None:
        """Set the state from which the first sweep starts."""
        rng = check_random_state(self.random_state)
        self.components_ = 0.1 * rng.standard_normal((self.n_components, X.shape[1]))
        self.item_bias_ = Biases(X).item

    def _after_sweep(self, X: sp.csr_array, users: NDArray[np.float64]) -> None:
        """Learn the parameters beside the factors, which were just solved; `users` are those given to the items."""

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        """Return contributions: factors and bias are linear in the ratings of a row, so each item needs one solve."""
        residuals = X.data.astype(np.float64) - self.mean_ - self.item_bias_[X.indices]
        return with_data(X, residuals * self._leverages(X, items))

    def _leverages(self, X: sp.csr_array, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the change of the score of a row's item per unit of each rating, through the row's regression."""
        F = np.column_stack([self.components_.T, np.ones(X.shape[1])])
        values = np.empty(X.nnz)
        for row, (start, stop) in enumerate(pairwise(X.indptr)):
            features = F[X.indices[start:stop]]
            normal = features.T @ features
            normal[np.diag_indices(len(normal))] += self.regularization * (stop - start)
            if stop > start:
                values[start:stop] = features @ np.linalg.solve(normal, F[items[row]])
        return values

    def _ridge(
        self,
        X: sp.csr_array,
        factors: NDArray[np.float64],
        biases: NDArray[np.float64],
        explained: NDArray[np.float64] | float = 0.0,
    ) -> NDArray[np.float64]:
        """Return factors and bias of every row by ridge regression of its residuals, given those of the columns."""
        features = np.column_stack([factors, np.ones(len(factors))])
        targets = X.data.astype(np.float64) - self.mean_ - biases[X.indices] - explained
        return ridge_rows(X, features, targets, self.regularization * np.diff(X.indptr))

    def _user_factors(self, X: sp.csr_array) -> NDArray[np.float64]:
        return self._ridge(X, self.components_.T, self.item_bias_)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        users = self._user_factors(X)
        ratings: NDArray[np.float64] = users[:, :-1] @ self.components_
        ratings += users[:, -1:] + (self.mean_ + self.item_bias_)
        return ratings

    def _baseline(self, X: sp.csr_array) -> NDArray[np.float64]:
        return np.tile(self._fallback_scores(), (X.shape[0], 1))

    def _fallback_scores(self) -> NDArray[Any]:
        return self.mean_ + self.item_bias_

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        unit = unit_rows(self.components_.T)
        similarities: NDArray[Any] = unit[items] @ unit.T
        return similarities
