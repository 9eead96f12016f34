"""User-based nearest neighbours."""

from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import entry_rows, means_of_nearest, model_csr, topk_product, with_data
from sklearn_llmrec.base import Biases, ExplainMixin, KeepsRowsMixin, RatingMixin, Tags, Totals
from sklearn_llmrec.neighbors._parameters import (
    NEIGHBOR_CONSTRAINTS,
    check_max_neighbors,
)
from sklearn_llmrec.neighbors._similarity import (
    RowIndex,
    compared_values,
    less_means,
    row_means,
    weighting_of,
)
from sklearn_llmrec.neighbors._votes import weighted_means
from sklearn_llmrec.utils import (
    check_arguments,
    check_k,
    on_one_state,
    row_chunks,
    threads_for,
)

# What a neighbour found takes, while lists are made a matrix.
_NEIGHBOR_BYTES = 32


class UserKNN(RatingMixin, ExplainMixin, KeepsRowsMixin):
    r"""User-based nearest neighbours: an item scores by how similar the users are who had it.

    With :math:`s_{uv}` the similarity of the row u and the row v of the fitted matrix, the score of
    item i is

    .. math:: \hat{x}_{ui} = \sum_{v \in N(u)} s_{uv} x_{vi},

    where N(u) are the `n_neighbors` fitted users most similar to u. A row that was itself fitted
    counts among its own neighbours, which changes the scores of seen items only.

    With `center` it predicts ratings instead, from how far the neighbours' ratings lie from a
    baseline b:

    .. math:: \hat{x}_{ui} = b_{ui} + \frac{\sum_{v \in N(u), x_{vi} \ne 0} s_{uv} (x_{vi} - b_{vi})}
       {\lambda + \sum_{v \in N(u), x_{vi} \ne 0} |s_{uv}|},

    with the :math:`\lambda` of `regularization`. `max_neighbors` takes only the most similar of these v, who have
    rated the item.

    Parameters
    ----------
    n_neighbors : int, default=100
        How many users vote.
    metric : str, default="cosine"
        With x the user, y its neighbour, and A and B the items they have, one of

        - "cosine": :math:`x^\top y / (\|x\| \|y\|)`.
        - "asymmetric_cosine": :math:`x^\top y / (\|x\|^{2\alpha} \|y\|^{2 - 2\alpha})`. At 1/2 it is the cosine; a
          smaller :math:`\alpha` prefers neighbours with few items.
        - "adjusted_cosine": the cosine once every value is less the mean of its item.
        - "pearson": the correlation over the items that both have, about their means there.
        - "pearson_baseline": the same about the baseline that ``center="baseline"`` names, for ratings.
        - "jaccard": :math:`x^\top y / (\|x\|^2 + \|y\|^2 - x^\top y)`, of binary values
          :math:`|A \cap B| / |A \cup B|`.
        - "dice": :math:`2 x^\top y / (\|x\|^2 + \|y\|^2)`, of binary values :math:`2 |A \cap B| / (|A| + |B|)`.
        - "tversky": :math:`|A \cap B| / (|A \cap B| + \alpha |A \setminus B| + \beta |B \setminus A|)`, whatever the
          values. Both 1 give Jaccard's index, both 1/2 Dice's.
    metric_params : dict or None, default=None
        "alpha" and "beta" of "tversky", at least 0, and "alpha" of "asymmetric_cosine", from 0 to 1; 0.5 where they
        are not given.
    shrinkage : float, default=0.0
        A similarity that rests on n items is multiplied by ``n / (n + shrinkage)``; with "pearson_baseline", by ``(n -
        1) / (n - 1 + shrinkage)``.
    weighting : {"auto", "tfidf", "bm25"} or None, default="auto"
        Weights of the values before rows are compared, as :class:`~sklearn_llmrec.preprocessing.TFIDFTransformer` and
        :class:`~sklearn_llmrec.preprocessing.BM25Transformer` give them; votes are the values of X themselves. "auto"
        is "tfidf" where items are ranked, else None; "adjusted_cosine", "tversky" and the correlations take none.
    center : {"user", "item", "baseline"} or None, default=None
        The baseline of rating prediction: mean of the user, mean of the item, or mean plus shrunken deviations of
        both. None ranks, and predicts no ratings.
    max_neighbors : int or None, default=None
        How many vote on a rating at most, with `center`: of the `n_neighbors` kept, the most similar users who rated
        the item. Few of the nearest may be among them, so keep many. With None all that are kept vote.
    regularization : float, default=1.0
        L2 regularization of what the neighbours add to the baseline, with `center`: as if a further neighbour of this
        similarity voted for the baseline itself.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    fitted_users_ : csr_array of shape (n_users, n_items)
        What the neighbours vote with: the matrix given to `fit`, less the baseline with `center`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    ItemKNN : Neighbours among items; faster where users outnumber items.

    Notes
    -----
    Fit is O(nnz); ranking finds the neighbours of every row by a sparse product with the fitted
    matrix, O(sum over the row's items of their users).

    References
    ----------
    J. Herlocker et al., "An algorithmic framework for performing collaborative filtering", SIGIR 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import UserKNN
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> items, scores = UserKNN(n_neighbors=2).fit(X).recommend([[1, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = NEIGHBOR_CONSTRAINTS

    def __init__(
        self,
        n_neighbors: int = 100,
        *,
        metric: str = "cosine",
        metric_params: dict[str, float] | None = None,
        shrinkage: float = 0.0,
        weighting: str | None = "auto",
        center: Literal["user", "item", "baseline"] | None = None,
        max_neighbors: int | None = None,
        regularization: float = 1.0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.metric_params = metric_params
        self.shrinkage = shrinkage
        self.weighting = weighting
        self.center = center
        self.max_neighbors = max_neighbors
        self.regularization = regularization
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        self._keep_rows(X)
        check_max_neighbors(self.max_neighbors, self.center)
        self._weighting_ = weighting_of(Totals.of(X), self.weighting, self.metric, self.center)
        self._item_means_ = row_means(X.T.tocsr()) if self.metric == "adjusted_cosine" else None
        self._baseline_ = Biases(X) if self.metric == "pearson_baseline" else None
        self._index_ = RowIndex(self._compared(X), self.metric, self.shrinkage, self.metric_params)
        self._biases_ = None if self.center is None else Biases(X, self.center)
        votes = X if self._biases_ is None else with_data(X, self._biases_.residuals(X))
        self.fitted_users_ = model_csr(votes, copy=True)

    def _compared(self, X: sp.csr_array) -> sp.csr_array:
        """Return rows as they are compared: weighted, or minus the means of the items or the baseline."""
        if self._baseline_ is not None:
            return with_data(X, self._baseline_.residuals(X).astype(X.dtype))
        if self._item_means_ is not None:
            return less_means(X, self._item_means_[X.indices])
        return compared_values(X, self.metric, self._weighting_)

    def _neighbors(self, X: sp.csr_array) -> sp.csr_array:
        """Return the similarities of each row to its nearest fitted users."""
        return self._index_.nearest(
            self._compared(X), self.n_neighbors, n_threads=threads_for(self.n_jobs, X.shape[0])
        )

    def _baseline(self, X: sp.csr_array) -> NDArray[np.float64]:
        assert self._biases_ is not None
        return self._biases_.dense(X)

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any] | sp.csr_array:
        votes = self.fitted_users_
        if self._biases_ is None:
            return sp.csr_array(self._neighbors(X).astype(votes.dtype, copy=False) @ votes)
        ratings: NDArray[np.float64] = self._biases_.dense(X)
        if self.max_neighbors is not None:
            kept = min(self.n_neighbors, votes.shape[0])
            for rows in row_chunks(X.shape[0], _NEIGHBOR_BYTES * kept):
                ratings[rows] += means_of_nearest(
                    self._neighbors(X[rows]),
                    votes,
                    self.max_neighbors,
                    self.regularization,
                    n_threads=threads_for(self.n_jobs, X.shape[0]),
                )
            return ratings
        neighbors = self._neighbors(X)
        voters = with_data(votes, np.ones(votes.nnz))
        ratings += weighted_means(neighbors, neighbors, votes, voters, self.regularization)
        return ratings

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        if self._biases_ is not None:
            return None
        return topk_product(
            self._neighbors(X),
            self.fitted_users_,
            k,
            seen=seen,
            n_threads=threads_for(self.n_jobs, X.shape[0]),
        )

    @on_one_state
    @check_arguments
    def similar_users(self, X: Any, k: int = 10) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the k fitted users most similar to each row.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n, n_items)
            Histories; the rows need not be rows given to `fit`.
        k : int, default=10
            How many, at most the fitted users.

        Returns
        -------
        users : ndarray of shape (n, k), int64
            Row numbers of the fitted matrix, most similar first: a row of it finds itself, and its
            equals; -1 where fewer have anything in common.
        similarities : ndarray of shape (n, k)
            ``-inf`` beside -1.
        """
        check_is_fitted(self)
        X = self._prepared(self._check_X(X, reset=False))
        k = check_k(k, self.fitted_users_.shape[0])
        found = self._index_.nearest(
            self._compared(X), k, n_threads=threads_for(self.n_jobs, X.shape[0])
        )
        rows, place = entry_rows(found), np.arange(found.nnz)
        place -= found.indptr[rows]
        users = np.full((X.shape[0], k), -1, dtype=np.int64)
        similarities = np.full(users.shape, -np.inf, dtype=found.dtype)
        users[rows, place], similarities[rows, place] = found.indices, found.data
        return users, similarities

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        """Return contributions: each neighbour's vote is shared among the items that make it a neighbour."""
        compared, neighbors, votes = self._compared(X), self._neighbors(X), self.fitted_users_
        values = np.zeros(X.nnz)
        for row, (start, stop) in enumerate(pairwise(X.indptr)):
            near = neighbors.indices[neighbors.indptr[row] : neighbors.indptr[row + 1]]
            similarity = neighbors.data[neighbors.indptr[row] : neighbors.indptr[row + 1]]
            voters = votes[near]
            vote = voters[:, [items[row]]].toarray().ravel()
            if self._biases_ is not None:
                voted = with_data(voters, np.ones(voters.nnz))[:, [items[row]]].toarray().ravel()
                if self.max_neighbors is not None:
                    beyond = np.cumsum(voted) > self.max_neighbors
                    similarity = np.where(beyond, 0, similarity)
                vote /= max(float(np.abs(similarity) @ voted) + self.regularization, 1e-300)
            vote *= similarity
            columns = X.indices[start:stop]
            row_values = compared[[row]].toarray().ravel()[columns]
            values[start:stop] = self._index_.shares(row_values, columns, near) @ vote
        return with_data(X, values)

    def _fallback_scores(self) -> NDArray[Any]:
        return super()._fallback_scores() if self._biases_ is None else self._biases_.fallback

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # A rating of exactly zero is a rating.
        tags.recommender_tags.zero_is_unknown = self.center is None
        tags.recommender_tags.predicts_ratings = self.center is not None
        return tags
