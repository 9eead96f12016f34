"""SLIM: a sparse elastic net from every item to its nearest items."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sklearn_llmrec._item_to_item import ItemToItemRecommender
from sklearn_llmrec.linear_model._ease import gram
from sklearn_llmrec.neighbors._similarity import RowIndex, without_diagonal
from sklearn_llmrec.utils._memory import require_memory

# Bytes of the Gram submatrices of the items that are solved together.
_BLOCK_BYTES = 2**24


def coordinate_descent(
    S: NDArray[Any],
    g: NDArray[Any],
    l1: NDArray[Any],
    l2: float,
    *,
    positive: bool,
    max_iter: int,
    tol: float | NDArray[np.float64],
) -> NDArray[Any]:
    """Elastic nets of many problems of k coefficients at once.

    Minimises ``w' S w / 2 - g' w + l1' |w| + l2 |w|^2 / 2`` for every problem.

    Parameters
    ----------
    S : ndarray of shape (k, n_problems, k)
        ``S[c, j]`` is row c of the Gram matrix of problem j.
    g, l1 : ndarray of shape (k, n_problems)
        An infinite `l1` keeps a coefficient at zero.
    l2 : float
    positive : bool
        Whether coefficients are at least zero.
    max_iter : int
        Sweeps at most.
    tol : float or ndarray of shape (n_problems,)
        A problem is solved when a sweep changes none of its coefficients by more.

    Returns
    -------
    w : ndarray of shape (k, n_problems)
    """
    result = np.zeros_like(g)
    live = np.arange(
        g.shape[1]
    )  # problems that still move; each stops by itself, whatever the others do
    w, left = result.copy(), g.T.copy()  # `left` is what is not explained yet, g - S w
    scale = np.diagonal(S, axis1=0, axis2=2).T
    moving = np.ones(len(live), dtype=bool)
    tol = np.broadcast_to(tol, len(live))
    for _ in range(max_iter):
        largest = np.zeros(len(live))
        for c in range(len(S)):
            target = left[:, c] + scale[c] * w[c]
            if positive:
                new = np.maximum(target - l1[c], 0)
            else:
                new = np.sign(target) * np.maximum(np.abs(target) - l1[c], 0)
            new /= scale[c] + l2
            change = np.where(moving, new - w[c], 0)
            if change.any():
                w[c] += change
                left -= change[:, None] * S[c]
                np.maximum(largest, np.abs(change), out=largest)
        moving &= largest > tol[live]
        if not moving.any():
            break
        if 2 * moving.sum() < len(moving):
            result[:, live[~moving]] = w[:, ~moving]
            S, scale, l1 = S[:, moving], scale[:, moving], l1[:, moving]
            w, left, live = w[:, moving], left[moving], live[moving]
            moving = np.ones(len(live), dtype=bool)
    result[:, live] = w
    return result


class SLIM(ItemToItemRecommender):
    r"""Sparse linear method: every item is regressed on the items nearest to it.

    The weights of candidate j solve

    .. math:: \min_{w} \tfrac12 \|x_j - X w\|^2 + \tfrac{\lambda}{2} \|w\|^2 + \lambda_1 \|w\|_1
       \quad \text{subject to } w \ge 0, \; w_j = 0, \; w_i = 0 \text{ for } i \notin N(j),

    where N(j) are the `n_neighbors` items of the highest cosine with j. Without the last condition
    this is SLIM, with it the authors' faster variant fsSLIM: most weights outside N(j) would be zero
    anyway. A row of interactions is scored by :math:`x W`, whether or not it was seen at `fit`.

    Parameters
    ----------
    regularization : float, default=200.0
        The L2 penalty :math:`\lambda`, in the unit of squared values of X.
    l1_regularization : float, default=1.0
        The L1 penalty :math:`\lambda_1`, in the same unit. Larger makes the weights sparser.
    n_neighbors : int or None, default=200
        How many items a candidate is regressed on. None: all.
    positive : bool, default=True
        Whether weights are at least zero.
    max_iter : int, default=20
        Sweeps over the weights of an item.
    tol : float, default=1e-3
        A sweep that changes no weight by more is the last.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items)
        Row i is what item i of a history adds to the score of every item.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    EASE : Dense weights of either sign, in closed form.
    sklearn_llmrec.neighbors.ItemKNN : The neighbours without the regression.

    Notes
    -----
    Coordinate descent on Gram matrices, for many items at once: a sweep is
    O(n_items n_neighbors^2) time. The Gram matrix of all items is dense, O(n_items^2) memory; where
    it would not fit, fit is refused with its size.

    References
    ----------
    X. Ning, G. Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.linear_model import SLIM
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=float)
    >>> model = SLIM(regularization=1.0, l1_regularization=0.1).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "regularization": [Interval(Real, 0, None, closed="left")],
        "l1_regularization": [Interval(Real, 0, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "positive": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        regularization: float = 200.0,
        *,
        l1_regularization: float = 1.0,
        n_neighbors: int | None = 200,
        positive: bool = True,
        max_iter: int = 20,
        tol: float = 1e-3,
        n_jobs: int | None = None,
    ) -> None:
        self.regularization = regularization
        self.l1_regularization = l1_regularization
        self.n_neighbors = n_neighbors
        self.positive = positive
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        n_items = X.shape[1]
        require_memory(
            n_items**2 * X.dtype.itemsize,
            f"The Gram matrix of {n_items} x {n_items} items",
            "Keep fewer items (min_item_interactions), or use ItemKNN, which needs no dense matrix.",
        )
        G = gram(X, X.dtype)
        neighbors = self._neighbors(X)
        k, size = neighbors.shape[1], X.dtype.itemsize
        step = max(1, _BLOCK_BYTES // (size * k**2))
        blocks = [slice(i, min(i + step, n_items)) for i in range(0, n_items, step)]
        solved = Parallel(n_jobs=effective_n_jobs(self.n_jobs), prefer="threads")(
            delayed(self._solve)(G, neighbors[rows], np.arange(rows.start, rows.stop))
            for rows in blocks
        )
        w = np.vstack(list(solved))
        kept = w != 0
        indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        into = sp.csr_array((w[kept], neighbors[kept], indptr), shape=(n_items, n_items))
        self._set_weights(into.T.tocsr())

    def _neighbors(self, X: sp.csr_array) -> NDArray[np.int64]:
        """The items each item is regressed on, best first, filled with -1."""
        n_items = X.shape[1]
        if self.n_neighbors is None or self.n_neighbors >= n_items - 1:
            others = np.arange(n_items - 1) + (
                np.arange(n_items - 1) >= np.arange(n_items)[:, None]
            )
            return others.astype(np.int64)
        columns = X.T.tocsr()
        nearest = without_diagonal(
            RowIndex(columns, "cosine").nearest(
                columns, self.n_neighbors + 1, n_threads=effective_n_jobs(self.n_jobs)
            ),
            self.n_neighbors,
        )
        filled = np.arange(self.n_neighbors) < np.diff(nearest.indptr)[:, None]
        neighbors = np.full(filled.shape, -1, dtype=np.int64)
        neighbors[filled] = nearest.indices
        return neighbors

    def _solve(
        self, G: NDArray[Any], neighbors: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Weights of some items, one row each."""
        places = neighbors.T
        penalty = np.where(places < 0, np.inf, self.l1_regularization).astype(G.dtype)
        w = coordinate_descent(
            G[places[:, :, None], neighbors[None]],
            G[places, items],
            penalty,
            G.dtype.type(self.regularization),
            positive=self.positive,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        return w.T
