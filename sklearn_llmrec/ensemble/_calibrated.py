"""Calibrated lists: the user's own mix of categories in the recommendations."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.ensemble._item_data import category_matrix
from sklearn_llmrec.ensemble._mmr import greedy
from sklearn_llmrec.ensemble._reranker import BaseReranker, relevance
from sklearn_llmrec.utils import Interval, canonical


class CalibratedReranker(BaseReranker):
    r"""Reorder the first items so that their categories come in the shares of the user's history.

    With p the shares of the categories in the history and q those in the list S, smoothed to
    :math:`\tilde q = (1 - a) q + a p`, the list is built greedily to maximise

    .. math:: (1 - c) \sum_{i \in S} r_i - c \, |S| \, \mathrm{KL}(p \,\|\, \tilde q(S)),

    with r the base scores of the candidates brought to [0, 1] and c the `calibration`. The paper has
    KL without the factor \|S\|, which weighs it less the longer the list is; here one value of c means
    the same at every length.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    calibration : float, default=0.5
        Weight of the shares, from 0 (the order of the base) to 1 (relevance counts for nothing).
    categories : array-like, sparse matrix, str or None, default=None
        Categories of the items. One label per item; an item of several categories has a list of labels, or a text
        with ``|`` between them. Or a matrix of weights >= 0 of shape (n_items, n_categories). Or the name of a column
        of the item features of X. None makes three groups by popularity: the head that
        takes a fifth of all interactions, the tail that takes the last fifth, and the middle.
    floor : float, default=0.01
        The a above.
    n_candidates : int, default=100
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    categories_ : ndarray of shape (n_categories,) of str
        Names of the categories.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    MMRReranker : Spread over what is unlike instead.
    RuleReranker : Fixed caps instead of shares.

    Notes
    -----
    Negative values of the history count for nothing. Rows without categories keep the order of the base.
    O(n_candidates k n_categories) for a list of k.

    References
    ----------
    H. Steck, "Calibrated recommendations", RecSys 2018. With popularity groups: H. Abdollahpouri et
    al., "User-centered evaluation of popularity bias in recommender systems", UMAP 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import CalibratedReranker
    >>> X = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1]])
    >>> kinds = ["war", "war", "war", "art", "art"]
    >>> model = CalibratedReranker(PopularityRecommender(), categories=kinds).fit(X)
    >>> items, _ = model.recommend([[1, 0, 0, 1, 0]], k=2)
    >>> items
    array([[1, 4]])
    """

    _parameter_constraints = {
        **BaseReranker._parameter_constraints,
        "calibration": [Interval(Real, 0, 1, closed="both")],
        "categories": ["array-like", "sparse matrix", str, None],
        "floor": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        calibration: float = 0.5,
        categories: ArrayLike | Any | str | None = None,
        floor: float = 0.01,
        n_candidates: int = 100,
        exclude_seen: bool = True,
    ) -> None:
        self.estimator = estimator
        self.calibration = calibration
        self.categories = categories
        self.floor = floor
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _fit(self, X: Any) -> None:
        self._weights_, self.categories_ = category_matrix(
            self.categories, X, self.item_popularity_
        )
        super()._fit(X)

    def _profile(self, X: Any) -> NDArray[np.float64]:
        """Return the shares of the categories in the histories; zeros where there are none."""
        histories = canonical(X).astype(np.float64)
        histories.data = np.maximum(histories.data, 0)
        profile = (histories @ self._weights_).toarray()
        total = profile.sum(axis=1, keepdims=True)
        return np.divide(profile, total, out=np.zeros_like(profile), where=total > 0)

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        p = self._profile(X)
        gain = relevance(items, values, 1 - self.calibration)
        weights = self._weights_[np.maximum(items, 0).ravel()].toarray()
        weights = weights.reshape(*items.shape, -1)
        have = np.zeros((len(items), weights.shape[2]))
        rows = np.arange(len(items))
        known = p.any(axis=1)
        log_p = np.log(p, out=np.zeros_like(p), where=p > 0)
        size = 0

        def objective(chosen: NDArray[np.int64] | None) -> NDArray[np.float64]:
            nonlocal have, size
            if chosen is not None:
                have = have + weights[rows, chosen]
            size += 1
            q = have[:, None, :] + weights
            total = q.sum(axis=2, keepdims=True)
            q = np.divide(q, total, out=np.zeros_like(q), where=total > 0)
            q = (1 - self.floor) * q + self.floor * p[:, None, :]
            log_q = np.log(q, out=np.zeros_like(q), where=q > 0)
            distance = (p * log_p).sum(axis=1)[:, None] - np.einsum("nc,nmc->nm", p, log_q)
            distance[~known] = 0
            # Rounded: a trace of rounding must not decide between equal items.
            return np.round(gain - self.calibration * size * distance, 9)

        return greedy(items, objective, depth)
