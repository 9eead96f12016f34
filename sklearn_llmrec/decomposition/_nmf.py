"""Non-negative matrix factorisation, on scikit-learn's solver."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.decomposition import NMF
from sklearn.utils import check_random_state

from sklearn_llmrec._kernels import columns_in_use, elastic_nets
from sklearn_llmrec.base import Tags
from sklearn_llmrec.decomposition._factors import FactorRecommender
from sklearn_llmrec.utils import Interval

# Fold-in of a row: sweeps at most, and the change, in units of the largest factor, that ends them.
_SWEEPS, _TOLERANCE = 500, 1e-10


class NMFRecommender(FactorRecommender):
    r"""Non-negative factors: users and items are mixtures of parts that only add up.

    Minimises :math:`\tfrac12 \|X - P Q\|_F^2 + \tfrac{\lambda}{2} (m \|P\|^2 + n \|Q\|^2)` for n
    users and m items over non-negative P and Q, missing entries counting as zeros. The factors of a
    row, seen at `fit` or not, are the non-negative least-squares solution given the item factors.

    Parameters
    ----------
    n_components : int, default=32
        Number of factors.
    regularization : float, default=0.0
        The L2 penalty :math:`\lambda` on factors.
    max_iter : int, default=200
        Sweeps at most.
    tol : float, default=1e-4
        Tolerance of the stopping rule of scikit-learn; 0 does all sweeps.
    random_state : int, RandomState instance or None, default=None
        The initial decomposition.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), dtype of X
        Item factors, one column per item.
    n_iter_ : int
        Sweeps done.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn.decomposition.NMF : The solver, whose own `transform` depends on the batch.
    ALSRecommender : Factors of either sign, observed entries weighted.

    Notes
    -----
    A sweep is O(nnz n_components + (n_users + n_items) n_components^2). Negative values are refused.

    References
    ----------
    D. Lee, H. Seung, "Learning the parts of objects by non-negative matrix factorization", Nature
    1999.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import NMFRecommender
    >>> X = np.kron(np.eye(2), np.ones((4, 3)))
    >>> X[0, 2] = 0
    >>> items, scores = NMFRecommender(n_components=2, random_state=0).fit(X).recommend(X[:1], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 32,
        *,
        regularization: float = 0.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.regularization = regularization
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _fit(self, X: sp.csr_array) -> None:
        nmf = NMF(
            min(self.n_components, *X.shape),
            init="random",
            alpha_W=self.regularization,
            l1_ratio=0.0,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=check_random_state(self.random_state),
        )
        # The error of an exact factorisation, which nobody reads, is the root of a rounded zero.
        with np.errstate(invalid="ignore"):
            nmf.fit(X)
        self.components_ = nmf.components_.astype(X.dtype, copy=False)
        self.n_iter_ = nmf.n_iter_
        self._remember(X)

    def _prepare_fold_in(self) -> None:
        Q = self.components_.astype(np.float64)
        self._item_gram_ = Q @ Q.T

    def _fold_in(self, X: sp.csr_array) -> NDArray[Any]:
        used, indices = columns_in_use(X.indices, X.shape[1])
        Q, G = self.components_.T[used].astype(np.float64), self._item_gram_
        histories = sp.csr_array(
            (X.data.astype(np.float64), indices, X.indptr), (X.shape[0], len(Q))
        )
        right = histories @ Q
        # A part that no item has has no factor; the tiny ridge keeps its division defined.
        l2 = self.regularization * X.shape[1] + 1e-12 * max(float(np.trace(G)), 1e-30)
        # In units of the row's own size, so that rows are solved alike alone and in a batch.
        scale = np.abs(right).max(axis=1) / max(float(np.diagonal(G).max()), 1e-30)
        factors = elastic_nets(
            G[None],
            right,
            None,
            0.0,
            l2,
            positive=True,
            max_iter=_SWEEPS,
            tol=_TOLERANCE * scale,
        )
        return factors.astype(X.dtype, copy=False)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
