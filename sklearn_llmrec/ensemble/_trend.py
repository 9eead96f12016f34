"""Trend: prefer items whose recent popularity is above their overall popularity."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.ensemble._reranker import BaseReranker
from sklearn_llmrec.interactions import decayed_popularity
from sklearn_llmrec.utils import Interval, StrOptions

# Products of scores and larger factors do not underflow, and quotients do not overflow.
_SMALLEST = 1e-200


class TrendReranker(BaseReranker):
    r"""Reorder the first items of a recommender by how much of their popularity is recent.

    Item i has :math:`n_i` users. :math:`r_i` is the same number with each user weighted by :math:`2^{-a/h}`. The age
    a is the time from the user's latest event with the item to the newest event of the fit. Candidates are sorted by

    .. math:: s_{ui} \left(\frac{r_i}{n_i}\right)^g .

    Scores below zero are divided by the factor instead, so that a larger share of recent users never lowers a score.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    half_life : float
        The h above, in the unit of the timestamps of X: seconds for unix seconds, ``14 * 86_400`` is two weeks.
    exponent : float, default=0.5
        The g above, from 0 (the order of the base) upwards.
    order : {"timestamps", "values"}, default="timestamps"
        Where times are read from: the timestamps of an `Interactions`, or the values of a matrix that contains times
        instead of weights. Ratings and counts are not times.
    n_candidates : int, default=100
        How many items of the base are reordered; all others follow in the order of the base. With an `exponent` near 1
        items may have to rise from far below: try 1000, which costs more time.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    trend_ : ndarray of shape (n_items,), float64
        The factor of each item, in [0, 1]. Items without interactions at `fit` get that of all interactions together.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    Raises
    ------
    ValueError
        At fit, if X has no timestamps.

    See Also
    --------
    sklearn_llmrec.dummy.PopularityRecommender : With `half_life`, the recent popularity itself.
    sklearn_llmrec.preprocessing.RecencyDecayTransformer : Decay of the interactions that a model learns from.

    Notes
    -----
    Only `fit` reads times; rows to recommend for need none. Multiplying assumes that the scores of the base are above
    zero for items of interest, as those of neighbours, linear models, ALS, and votes by z-scores are. Cost: that of the
    base, O(nnz) at fit, O(n_candidates log n_candidates) per user.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions, ItemKNN, TrendReranker
    >>> X = Interactions(
    ...     (np.ones(8), [0, 1, 0, 1, 0, 1, 0, 2], [0, 2, 4, 6, 8]),
    ...     shape=(4, 3),
    ...     timestamps=[1, 1, 2, 2, 3, 3, 30, 30],
    ... )
    >>> row = [[1.0, 0.0, 0.0]]
    >>> ItemKNN().fit(X).recommend(row, k=2)[0]
    array([[1, 2]])
    >>> TrendReranker(ItemKNN(), half_life=5).fit(X).recommend(row, k=2)[0]
    array([[2, 1]])
    """

    _parameter_constraints = {
        **BaseReranker._parameter_constraints,
        "half_life": [Interval(Real, 0, None, closed="neither")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "order": [StrOptions({"timestamps", "values"})],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        half_life: float,
        exponent: float = 0.5,
        order: Literal["timestamps", "values"] = "timestamps",
        n_candidates: int = 100,
        exclude_seen: bool = True,
    ) -> None:
        self.estimator = estimator
        self.half_life = half_life
        self.exponent = exponent
        self.order = order
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _fit(self, X: Any) -> None:
        recent, _ = decayed_popularity(
            X, self.half_life, name=type(self).__name__, order=self.order
        )
        total = self.item_popularity_
        share = np.divide(recent, total, out=np.zeros_like(recent), where=total > 0)
        share[total == 0] = recent.sum() / total.sum()
        self.trend_ = share**self.exponent
        super()._fit(X)

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        valid = items >= 0
        # A factor that underflowed to zero would make all its items equal, and divide by zero.
        factors = np.maximum(self.trend_, _SMALLEST)[np.maximum(items, 0)]
        scores = np.where(valid, values, 0)
        scores = np.where(scores > 0, scores * factors, scores / factors)
        # Stable: equal products keep the order of the base.
        order = np.argsort(np.where(valid, -scores, np.inf), axis=1, kind="stable")
        return np.take_along_axis(items, order, axis=1)
