"""SLIM: a sparse elastic net from every item to its nearest items."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import elastic_nets, gram
from sklearn_llmrec.base import (
    BlockPlace,
    BlockSumsMixin,
    ItemToItemRecommender,
    KeepsRowsMixin,
    Phase,
    Statistics,
    Totals,
)
from sklearn_llmrec.linear_model._supports import (
    WHOLE_GRAM_REMEDY,
    regress_by_gram,
    regress_on_nearest,
    require_whole_gram,
)
from sklearn_llmrec.utils import Interval, in_threads

# Items that are solved per call, which are shared among threads.
_BLOCK = 64


class SLIM(BlockSumsMixin, KeepsRowsMixin, ItemToItemRecommender):
    r"""Sparse linear method: every item is regressed on the others.

    The weights of candidate j solve

    .. math:: \min_{w} \tfrac12 \|x_j - X w\|^2 + \tfrac{\lambda}{2} \|w\|^2 + \lambda_1 \|w\|_1
       \quad \text{subject to } w \ge 0, \; w_j = 0.

    With `n_neighbors` only the items of the highest cosine with j may have a weight: the authors' faster variant
    fsSLIM. A row of interactions is scored by :math:`x W`, whether or not it was seen at `fit`.

    Parameters
    ----------
    regularization : float, default=250.0
        The L2 penalty :math:`\lambda`, in the unit of squared values of X.
    l1_regularization : float, default=2.0
        The L1 penalty :math:`\lambda_1`, in the same unit. Larger makes the weights sparser.
    n_neighbors : int or None, default=None
        How many items a candidate is regressed on. None: all; a few hundred are faster, need no dense matrix, and
        cost a little quality.
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
    SparseEASE : Sparse weights of either sign, in closed form.
    sklearn_llmrec.neighbors.ItemKNN : The neighbours without the regression.

    Notes
    -----
    Coordinate descent on the Gram matrix: a sweep over all items is O(nnz(W) n_items) time, with `n_neighbors`
    O(nnz(W) n_neighbors). The Gram
    matrix of all items is dense, O(n_items^2) memory; where it would not fit, fit is refused with its size. With
    `n_neighbors` only Gram matrices of neighbours are made, as in `SparseEASE`, and nothing grows with n_items^2.
    `partial_fit` keeps all rows and fits anew.

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
        regularization: float = 250.0,
        *,
        l1_regularization: float = 2.0,
        n_neighbors: int | None = None,
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
        self._keep_rows(X)
        n_items, threads = X.shape[1], effective_n_jobs(self.n_jobs)
        if self.n_neighbors is not None and self.n_neighbors < n_items - 1:
            self._set_weights(
                regress_on_nearest(X, self.n_neighbors, self._solve, n_threads=threads)
            )
            return
        require_whole_gram(
            n_items,
            X.dtype,
            "Set n_neighbors to a few hundred, which needs no dense matrix, or keep fewer items "
            "(min_item_interactions).",
        )
        super()._fit(X)

    def _plan(self, totals: Totals) -> Phase:
        require_whole_gram(totals.n_items, totals.dtype, WHOLE_GRAM_REMEDY)
        return Phase("gram")

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        return {"gram": gram(X, X.dtype, n_threads=effective_n_jobs(self.n_jobs))}

    def _advance(self, phase: Phase, total: Statistics) -> None:
        # Symmetric: the transpose of the Fortran array is the same matrix in C order.
        G, threads = np.asfortranarray(total["gram"]).T, effective_n_jobs(self.n_jobs)
        n_items = len(G)
        if self.n_neighbors is not None and self.n_neighbors < n_items - 1:
            self._set_weights(regress_by_gram(G, self.n_neighbors, self._solve, n_threads=threads))
            return
        blocks = [np.arange(i, min(i + _BLOCK, n_items)) for i in range(0, n_items, _BLOCK)]
        solved = in_threads(
            lambda items: sp.csr_array(self._solve(G[None], G[items], items)), blocks, threads
        )
        self._set_weights(sp.vstack(solved, format="csr").T.tocsr())

    def _solve(
        self, S: NDArray[Any], g: NDArray[Any], excluded: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """Return weights of some items, one row each, from Gram matrices; those of `excluded` stay zero."""
        return elastic_nets(
            S,
            g,
            excluded,
            self.l1_regularization,
            self.regularization,
            positive=self.positive,
            max_iter=self.max_iter,
            tol=self.tol,
        )
