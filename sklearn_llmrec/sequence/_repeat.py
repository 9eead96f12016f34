"""Repeat consumption: what a user had often and recently, and what users of the same habits have."""

from numbers import Integral, Real
from typing import Any, ClassVar

import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import normalize_rows
from sklearn_llmrec.base import BaseRecommender, Tags
from sklearn_llmrec.interactions import (
    ORDER_CONSTRAINTS,
    event_sequences,
    fit_sequences,
    recency_weights,
)
from sklearn_llmrec.neighbors import RowIndex
from sklearn_llmrec.utils import Interval


class RepeatRecommender(BaseRecommender):
    r"""Personal frequency and recency, mixed with that of the nearest users (TIFU-kNN).

    An event that a others follow counts :math:`d^a`; the vector of a user, :math:`v_u`, contains the sums
    per item, scaled to unit length. With the `n_neighbors` fitted users of the highest cosine
    :math:`s_{uw}`,

    .. math:: \hat{x}_u = (1 - \beta) \, v_u
       + \beta \, \frac{\sum_{w \in N(u)} s_{uw} v_w}{\sum_{w \in N(u)} s_{uw}}.

    It is meant for ``recommend(..., exclude_seen=False)``, where people buy again what they had:
    the floor there. With seen items left out, only the neighbours speak.

    Parameters
    ----------
    decay : float, default=0.99
        How much an event counts for each one that follows it, d. 1 counts all alike.
    n_neighbors : int, default=100
        How many users are mixed in.
    neighbor_weight : float, default=0.3
        Their share, :math:`\beta`. 0 is the user alone.
    order : {"auto", "timestamps", "values"}, default="auto"
        Where the order comes from: the timestamps of an `Interactions`, or the values of X read as times. "auto" takes
        timestamps where X has them; beside timestamps, values of X are ignored. Ratings and weights are no times:
        `fit` refuses values that are mostly equal in most rows, and float32 values that are too large to be exact.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    vectors_ : csr_array of shape (n_users, n_items)
        The vectors of the fitted users.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SessionKNN : Neighbours among sessions, without the user's own items.

    Notes
    -----
    Fit is O(nnz); scoring finds the neighbours of every row by a sparse product. What differs from
    the paper: cosine in place of Euclidean neighbours, one decay over events in place of two over
    baskets and groups of baskets.

    References
    ----------
    H. Hu et al., "Modeling personalized item frequency information for next-basket recommendation",
    SIGIR 2020, arXiv:2006.00556.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions
    >>> from sklearn_llmrec.sequence import RepeatRecommender
    >>> X = Interactions(
    ...     (np.ones(5), [2, 2, 0, 1, 2], [0, 3, 5]),
    ...     shape=(2, 3),
    ...     timestamps=np.array([1, 2, 3, 1, 2]),
    ... )
    >>> model = RepeatRecommender(neighbor_weight=0).fit(X)
    >>> items, scores = model.recommend(X, k=1, exclude_seen=False)
    >>> items.ravel()
    array([2, 2])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "decay": [Interval(Real, 0, 1, closed="right")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "neighbor_weight": [Interval(Real, 0, 1, closed="both")],
        **ORDER_CONSTRAINTS,
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        decay: float = 0.99,
        *,
        n_neighbors: int = 100,
        neighbor_weight: float = 0.3,
        order: str = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.decay = decay
        self.n_neighbors = n_neighbors
        self.neighbor_weight = neighbor_weight
        self.order = order
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        sequences = fit_sequences(X, self.order, type(self).__name__)
        self.vectors_ = normalize_rows(recency_weights(sequences, self.decay, X.dtype))
        self._index_ = RowIndex(self.vectors_, "cosine")

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        profiles = normalize_rows(
            recency_weights(event_sequences(X, self.order), self.decay, X.dtype)
        )
        scores: NDArray[Any] = (1 - self.neighbor_weight) * profiles.toarray()
        if self.neighbor_weight:
            near = self._index_.nearest(
                profiles, self.n_neighbors, n_threads=effective_n_jobs(self.n_jobs)
            )
            mass = near.sum(axis=1)
            mass[mass == 0] = 1
            votes = (near @ self.vectors_.astype(X.dtype, copy=False)).toarray()
            scores += self.neighbor_weight * votes / mass[:, None]
        return scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.needs_order = True
        tags.recommender_tags.zero_is_unknown = True
        return tags
