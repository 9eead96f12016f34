"""Maximal marginal relevance: relevant items that are unlike those above them in the list."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.ensemble._item_data import item_similarity, items_by_features
from sklearn_llmrec.ensemble._reranker import BaseReranker, relevance
from sklearn_llmrec.utils import Interval


class DiversityReranker(BaseReranker):
    """Base of rerankers that weigh relevance against the similarity of the items in a list."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseReranker._parameter_constraints,
        "diversity": [Interval(Real, 0, 1, closed="both")],
        "item_features": ["array-like", "sparse matrix", None],
    }
    diversity: float
    item_features: Any

    def _fit(self, X: Any) -> None:
        self._fit_items(items_by_features(self.item_features, X))
        super()._fit(X)

    @abstractmethod
    def _fit_items(self, items: Any) -> None:
        """Learn from one row of features per item, dense or csr."""


class MMRReranker(DiversityReranker):
    r"""Diversify the first items of a recommender by maximal marginal relevance.

    The list is built greedily: the next item of the candidates C beside the list S is

    .. math:: \arg\max_{i \in C \setminus S} \; (1 - d) \, r_i - d \max_{j \in S} \cos(i, j),

    with r the base scores of the candidates brought to [0, 1] and d the `diversity`.

    Parameters
    ----------
    estimator : estimator
        The recommender whose first items are reordered, or a Pipeline that ends with one.
    diversity : float, default=0.3
        Weight of the similarity, from 0 (the order of the base) to 1 (relevance picks the first
        item only).
    item_features : {array-like, sparse} of shape (n_items, n_features), default=None
        What similarity is measured on, by cosine: genres, embeddings. None compares the columns of X: items are alike
        that the same users had.
    n_neighbors : int, default=200
        Where similarity is measured on sparse columns, how many of the most similar items each item
        remembers; others count as unlike.
    n_candidates : int, default=100
        How many items of the base are reordered; all others follow in the order of the base.
    exclude_seen : bool, default=True
        Whether items of the row itself are left out of the candidates; False for where people buy again.

    Attributes
    ----------
    estimator_ : estimator
        The fitted base recommender.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    CalibratedReranker : Match the user's own mix of categories instead.

    Notes
    -----
    O(n_candidates k) similarities for a list of k. Scores are evenly spaced places, over the range
    of the base scores of the candidates.

    References
    ----------
    J. Carbonell and J. Goldstein, "The use of MMR, diversity-based reranking for reordering
    documents and producing summaries", SIGIR 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import MMRReranker
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]])
    >>> genres = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    >>> mmr = MMRReranker(PopularityRecommender(), diversity=0.6, item_features=genres).fit(X)
    >>> items, _ = mmr.recommend([[1, 0, 0, 0]], k=3)
    >>> items
    array([[1, 3, 2]])
    """

    _parameter_constraints = {
        **DiversityReranker._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        diversity: float = 0.3,
        item_features: ArrayLike | Any | None = None,
        n_neighbors: int = 200,
        n_candidates: int = 100,
        exclude_seen: bool = True,
    ) -> None:
        self.estimator = estimator
        self.diversity = diversity
        self.item_features = item_features
        self.n_neighbors = n_neighbors
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _fit_items(self, items: Any) -> None:
        self._similarity_ = item_similarity(items, self.n_neighbors)

    def _rerank(
        self, X: Any, items: NDArray[np.int64], values: NDArray[np.float64], depth: int
    ) -> NDArray[np.int64]:
        gain = relevance(items, values, 1 - self.diversity)
        similar = np.full(items.shape, -np.inf)
        safe = np.maximum(items, 0)

        def penalised(chosen: NDArray[np.int64] | None) -> NDArray[np.float64]:
            nonlocal similar
            if chosen is None:
                return gain
            last = np.take_along_axis(safe, chosen[:, None], axis=1)[:, 0]
            similar = np.maximum(similar, self._similarity_.between(safe, last))
            # Rounded: a trace of rounding must not decide between equal items.
            return np.round(gain - self.diversity * similar, 9)

        return greedy(items, penalised, depth)


def greedy(items: NDArray[np.int64], objective: Any, depth: int) -> NDArray[np.int64]:
    """Build lists greedily, one item at a time; candidates after `depth` places keep their order.

    ``objective(chosen)`` gives the value of every candidate once the candidates at the positions
    `chosen` (one per row; None at first) have joined the lists.
    """
    n_rows, width = items.shape
    free = np.full(items.shape, True)
    places = np.empty(items.shape, dtype=np.int64)
    chosen = None
    rows = np.arange(n_rows)
    for place in range(min(depth, width)):
        value = np.where(free, objective(chosen), -np.inf)
        chosen = np.argmax(value, axis=1)
        # Rows that have run out of items: take the first free position, an item -1.
        out = value[rows, chosen] == -np.inf
        chosen[out] = np.argmax(free[out], axis=1)
        places[:, place] = chosen
        free[rows, chosen] = False
    if depth < width:
        places[:, depth:] = np.nonzero(free)[1].reshape(n_rows, width - depth)
    return np.take_along_axis(items, places, axis=1)
