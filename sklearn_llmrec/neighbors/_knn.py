"""Item-based and user-based nearest neighbours with sparse similarities."""

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sklearn_llmrec._item_to_item import ItemToItemRecommender
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.utils._masked import masked_topk, with_mask, without_mask
from sklearn_llmrec.utils._sparse import matmul_topn, normalize_columns, normalize_rows


def _threshold(X: sp.csr_array) -> float:
    """Below what a similarity is no neighbour: without negative values zero, else nothing is."""
    return -np.inf if X.nnz and X.data.min() < 0 else 0.0


class ItemKNN(ItemToItemRecommender):
    r"""Item-based nearest neighbours: an item scores by how similar its neighbours in the history are.

    With :math:`s_{ij}` the cosine of the columns i and j of X, the score of item j for a row x is

    .. math:: \hat{x}_j = \sum_{i \in N(j)} x_i s_{ij},

    where N(j) are the `n_neighbors` items most similar to the *candidate* j. Keeping the neighbours of the candidate,
    not of the history item, is what makes popular and rare candidates comparable (.368 against .316 nDCG@10 on
    MovieLens-1M from one and the same similarity matrix).

    Parameters
    ----------
    n_neighbors : int, default=100
        How many neighbours an item keeps.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items)
        Entry (i, j) is the similarity of i to the candidate j if i is a neighbour of j.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    UserKNN : Neighbours among users.
    sklearn_llmrec.linear_model.EASE : Item-to-item weights learned jointly.

    Notes
    -----
    Fit is one sparse product, O(sum of squared row lengths) time and O(n_items n_neighbors) memory. Ranking is a sparse
    product too, with seen items masked inside it.

    References
    ----------
    B. Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import ItemKNN
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> items, scores = ItemKNN(n_neighbors=2).fit(X).recommend([[1, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(self, n_neighbors: int = 100, *, n_jobs: int | None = None) -> None:
        self.n_neighbors = n_neighbors
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        unit = normalize_columns(X)
        similarity = matmul_topn(
            unit.T.tocsr(),
            unit,
            self.n_neighbors + 1,
            threshold=_threshold(X),
            n_threads=effective_n_jobs(self.n_jobs),
        )
        self._set_weights(without_diagonal(similarity, self.n_neighbors).T.tocsr())


def without_diagonal(S: sp.csr_array, k: int) -> sp.csr_array:
    """Rows sorted by value, less their diagonal entry, cut to k."""
    rows = np.repeat(np.arange(S.shape[0]), np.diff(S.indptr))
    keep = S.indices != rows
    counts = np.bincount(rows[keep], minlength=S.shape[0])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(keep.sum()) - np.repeat(starts, counts)
    cut = np.flatnonzero(keep)[rank < k]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, k))])
    return sp.csr_array((S.data[cut], S.indices[cut], indptr), shape=S.shape)


class UserKNN(BaseRecommender):
    r"""User-based nearest neighbours: an item scores by how similar the users are who had it.

    With :math:`s_{uv}` the cosine of the row u and the row v of the fitted matrix, the score of item i is

    .. math:: \hat{x}_{ui} = \sum_{v \in N(u)} s_{uv} x_{vi},

    where N(u) are the `n_neighbors` fitted users most similar to u. A row that was itself fitted counts among its own
    neighbours, which changes the scores of seen items only.

    Parameters
    ----------
    n_neighbors : int, default=100
        How many users vote.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    fitted_users_ : csr_array of shape (n_users, n_items)
        The matrix given to `fit`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    ItemKNN : Neighbours among items; faster where users outnumber items.

    Notes
    -----
    Fit is O(nnz); ranking finds the neighbours of every row by a sparse product with the fitted matrix.

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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
    }
    _zero_is_no_evidence: ClassVar[bool] = True

    def __init__(self, n_neighbors: int = 100, *, n_jobs: int | None = None) -> None:
        self.n_neighbors = n_neighbors
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        self._masked_users_ = with_mask(X)
        self._unit_users_ = normalize_rows(X).T.tocsr()
        self._threshold_ = _threshold(X)

    @property
    def fitted_users_(self) -> sp.csr_array:
        """The matrix given to `fit`."""
        return without_mask(self._masked_users_)

    def _neighbors(self, X: sp.csr_array) -> sp.csr_array:
        """Similarities of each row to its nearest fitted users."""
        return matmul_topn(
            normalize_rows(X),
            self._unit_users_.astype(X.dtype, copy=False),
            self.n_neighbors,
            threshold=min(self._threshold_, _threshold(X)),
            n_threads=effective_n_jobs(self.n_jobs),
        )

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        return (self._neighbors(X) @ self.fitted_users_.astype(X.dtype, copy=False)).toarray()

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        if min(self._threshold_, _threshold(X)) < 0:
            return None
        masked = self._masked_users_.astype(X.dtype, copy=False)
        return masked_topk(
            self._neighbors(X), masked, seen, k, n_threads=effective_n_jobs(self.n_jobs)
        )
