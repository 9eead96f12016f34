"""SLIM: a sparse elastic net from every item to its nearest items."""

from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray

from sklearn_llmrec._kernels import WORTH_COMPILING, compiled
from sklearn_llmrec.base import ITEM_TO_ITEM_TEXTS, ItemToItemRecommender, KeepsRowsMixin
from sklearn_llmrec.linear_model._ease import gram
from sklearn_llmrec.linear_model._supports import regress_on_nearest
from sklearn_llmrec.utils import Interval, documented, in_threads, require_memory

# Bytes of what numpy holds of the items that are solved together: what is left to explain.
_BLOCK_BYTES = 2**24
# Items that a compiled loop solves per call, which are shared among threads.
_COMPILED_BLOCK = 64


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
    S : ndarray of shape (k, n_problems, k) or (k, 1, k)
        ``S[c, j]`` is row c of the Gram matrix of problem j; of all problems, if there is one.
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
    shared = S.shape[1] == 1
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
            curvature = scale[c] + l2
            new /= np.where(curvature > 0, curvature, 1)  # 0 of a column of zeros, where new is 0
            change = np.where(moving, new - w[c], 0)
            changed = np.flatnonzero(change)
            if len(changed):
                rows = changed if 2 * len(changed) < len(change) else slice(None)
                w[c] += change
                left[rows] -= change[rows, None] * (S[c] if shared else S[c, rows])
                np.maximum(largest, np.abs(change), out=largest)
        moving &= largest > tol[live]
        if not moving.any():
            break
        if 2 * moving.sum() < len(moving):
            result[:, live[~moving]] = w[:, ~moving]
            if not shared:
                S, scale = S[:, moving], scale[:, moving]
            l1 = l1[:, moving]
            w, left, live = w[:, moving], left[moving], live[moving]
            moving = np.ones(len(live), dtype=bool)
    result[:, live] = w
    return result


@documented(ITEM_TO_ITEM_TEXTS)
class SLIM(KeepsRowsMixin, ItemToItemRecommender):
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
    {n_jobs}

    Attributes
    ----------
    {weights_, item_popularity_, n_features_in_}

    See Also
    --------
    EASE : Dense weights of either sign, in closed form.
    SparseEASE : Sparse weights of either sign, in closed form.
    sklearn_llmrec.neighbors.ItemKNN : The neighbours without the regression.

    Notes
    -----
    Coordinate descent on the Gram matrix: a sweep over all items is O(nnz(W) n_items) time, with `n_neighbors`
    O(nnz(W) n_neighbors). The extra `fast` compiles its loops, to the same weights and several times faster. The Gram
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
            worth = n_items * self.n_neighbors**2 >= WORTH_COMPILING
            solve = partial(self._solve, compiled() if worth else None)
            self._set_weights(regress_on_nearest(X, self.n_neighbors, solve, n_threads=threads))
            return
        require_memory(
            n_items**2 * X.dtype.itemsize,
            f"The Gram matrix of {n_items} x {n_items} items",
            "Set n_neighbors to a few hundred, which needs no dense matrix, or keep fewer items "
            "(min_item_interactions).",
        )
        # Symmetric: the transpose of the Fortran array is the same matrix in C order.
        G = gram(X, X.dtype, n_threads=threads).T
        kernel = compiled() if n_items**3 >= WORTH_COMPILING else None
        row_bytes = X.dtype.itemsize * n_items
        step = _COMPILED_BLOCK if kernel is not None else max(1, _BLOCK_BYTES // row_bytes)
        blocks = [np.arange(i, min(i + step, n_items)) for i in range(0, n_items, step)]
        solved = in_threads(
            lambda items: sp.csr_array(self._solve(kernel, G[None], G[items], items)),
            blocks,
            threads,
        )
        self._set_weights(sp.vstack(solved, format="csr").T.tocsr())

    def _solve(
        self,
        kernel: Any,
        S: NDArray[Any],
        g: NDArray[Any],
        own: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Weights of some items, one row each, from Gram matrices; those of `own` stay zero."""
        l1, l2 = S.dtype.type(self.l1_regularization), S.dtype.type(self.regularization)
        stop: dict[str, Any] = {
            "positive": self.positive,
            "max_iter": self.max_iter,
            "tol": self.tol,
        }
        if kernel is not None:
            w: NDArray[Any] = kernel.elastic_nets(S, g, own, l1, l2, **stop)
            return w
        penalty = np.full(g.T.shape, l1)
        if own is not None:
            penalty[own, np.arange(len(own))] = np.inf
        return coordinate_descent(S.swapaxes(0, 1), g.T, penalty, l2, **stop).T
