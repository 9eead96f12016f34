"""BPR: factors that order pairs of items."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec._kernels import (
    CommonPart,
    RowSystems,
    columns_in_use,
    entry_rows,
    pair_epoch,
)
from sklearn_llmrec.base import Tags
from sklearn_llmrec.decomposition._continued import ContinuedFitMixin
from sklearn_llmrec.decomposition._factors import FactorRecommender
from sklearn_llmrec.utils import Interval, iterations, tell


class BPRRecommender(ContinuedFitMixin, FactorRecommender):
    r"""Bayesian personalised ranking: an item that a user has should score above one that it has not.

    Stochastic gradients descend, over users u, their items i and other items j,

    .. math:: -\ln \sigma(p_u^\top (q_i - q_j) + b_i - b_j)
       + \tfrac{\lambda}{2} (\|p_u\|^2 + \|q_i\|^2 + \|q_j\|^2).

    All users are then folded in, whether or not they were seen at `fit`. The loss of a row is taken against all items
    j with equal weight, without biases, and expanded to second order around :math:`p = 0`. That is a ridge regression
    on the item factors, with the exact solution

    .. math:: p = \Bigl(\sum_{i \in x} (q_i - \bar q)(q_i - \bar q)^\top + n C + 4 \mu n I\Bigr)^{-1}
       \; 2 \sum_{i \in x} (q_i - \bar q),

    with n the length of the row and :math:`\bar q` and C the mean and covariance of the item factors.
    It orders better than the factors that the gradients left, because the gradients draw j as often as
    it is chosen, which plays popularity down.

    Parameters
    ----------
    n_components : int, default=64
        Number of factors.
    learning_rate : float, default=0.05
        Step of the gradients in the first epoch; it falls to zero linearly over the epochs of a fit.
    regularization : float, default=0.01
        The L2 penalty :math:`\lambda`, per pair.
    user_regularization : float, default=0.1
        The L2 penalty :math:`\mu` of the fold-in, per item of the row.
    max_iter : int, default=30
        Epochs.
    warm_start : bool, default=False
        Whether `fit` continues from the item factors and biases of the last fit, for `max_iter` more epochs over the
        rows that it is given. Users start from their fold-in, so these rows may be others than before.
    random_state : int, RandomState instance or None, default=None
        Initial factors and the pairs drawn. Equal seeds give bit-equal factors.
    verbose : bool, default=False
        Whether to print every epoch.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), dtype of X
        Item factors, one column per item.
    item_bias_ : ndarray of shape (n_items,), dtype of X
        Added to the score of each item.
    n_iter_ : int
        Epochs of the last fit.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    ALSRecommender : Pointwise loss over all pairs; usually better.

    Notes
    -----
    An epoch draws as many pairs as there are interactions, in O(nnz n_components) on one thread, without which no seed
    would fix the result. It goes through the users in random order, in windows of some 4,096 interactions that fit in
    the cache of a processor; a window draws from its own interactions with replacement. Factors are learned in
    float32. Values of X are ignored, only which items a row contains counts. Negative values are refused: a dislike is
    no interaction.

    References
    ----------
    S. Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009,
    arXiv:1205.2618.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import BPRRecommender
    >>> X = np.kron(np.eye(2), np.ones((8, 4)))
    >>> X[0, 2] = 0
    >>> model = BPRRecommender(n_components=4, max_iter=200, random_state=0).fit(X)
    >>> items, scores = model.recommend(X[:1], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "user_regularization": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int = 64,
        *,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        user_regularization: float = 0.1,
        max_iter: int = 30,
        warm_start: bool = False,
        random_state: int | RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.user_regularization = user_regularization
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _sweep(
        self, X: sp.csr_array, continued: bool = False, kept: NDArray[np.int64] | None = None
    ) -> None:
        self._known_rows_ = self._by_norm_ = None  # of an earlier fit
        # The kernel respects `kept` without being given it: it draws no item that nobody in X has.
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        P: NDArray[np.float32]
        if continued:
            P = self._fold_in(X).astype(np.float32, order="C")
            Q = np.array(self.components_.T, dtype=np.float32, order="C")
            bias = np.array(self.item_bias_, dtype=np.float32)
        else:
            P, Q = (
                (rng.random((n, self.n_components), dtype=np.float32) - np.float32(0.5))
                / np.float32(self.n_components)
                for n in X.shape
            )
            bias = np.zeros(X.shape[1], dtype=np.float32)

        def fitted() -> dict[str, Any]:
            learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
            now = BPRRecommender(self.n_components, user_regularization=self.user_regularization)
            now.components_, now.item_bias_ = Q.T.astype(X.dtype), bias.astype(X.dtype)
            now._prepare_fold_in()
            return learned | {
                name: value for name, value in vars(now).items() if name.endswith("_")
            }

        for epoch in iterations(self, self.max_iter, X=X, fitted=fitted):
            self.n_iter_ = epoch + 1
            rate = self.learning_rate * (1 - epoch / self.max_iter)
            pair_epoch(X, P, Q, bias, rate, self.regularization, rng)
            tell(self, f"epoch {epoch + 1} of {self.max_iter}")
        self.components_ = Q.T.astype(X.dtype)
        self.item_bias_ = bias.astype(X.dtype)
        self._remember(X)

    def _prepare_fold_in(self) -> None:
        Q = self.components_.T
        self._item_mean_ = Q.mean(axis=0)
        Q = Q - self._item_mean_
        self._common_part_ = CommonPart(
            Q.T @ Q / len(Q), 4 * self.user_regularization, self.components_.dtype
        )

    def _fold_in(self, X: sp.csr_array) -> NDArray[Any]:
        # The regression of the formula, divided by the length of the row.
        used, indices = columns_in_use(X.indices, X.shape[1])
        Q = self.components_.T[used] - self._item_mean_
        share = (1 / np.maximum(np.diff(X.indptr), 1))[entry_rows(X)].astype(Q.dtype)
        histories = sp.csr_array((X.data, indices, X.indptr), shape=(X.shape[0], len(Q)))
        systems = RowSystems(histories, share, 2 * share, 4 * self.user_regularization)
        factors = systems.solve_fully(Q, self._common_part_)
        return factors.astype(X.dtype, copy=False)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
