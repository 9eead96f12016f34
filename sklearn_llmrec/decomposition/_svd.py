"""PureSVD: the truncated singular value decomposition of the matrix itself."""

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.utils import check_random_state

from sklearn_llmrec.decomposition._factors import FactorRecommender
from sklearn_llmrec.utils import Interval


class PureSVD(FactorRecommender):
    r"""Scores from the leading right singular vectors of X.

    With :math:`X \approx U \Sigma V^\top`, a row x is scored by :math:`x V V^\top`: its projection on
    what `n_components` directions say of all users. Missing entries count as zeros.

    Parameters
    ----------
    n_components : int, default=50
        Number of singular vectors; at most as many as X has rows or columns are kept.
    n_iter : int, default=5
        Power iterations of the randomised solver of :class:`~sklearn.decomposition.TruncatedSVD`.
    random_state : int, RandomState instance or None, default=None
        The solver's random projection.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_items), dtype of X
        The right singular vectors.
    singular_values_ : ndarray of shape (n_components,)
        The singular values.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    ALSRecommender : Weighs what is observed more than what is not.
    sklearn_llmrec.linear_model.EASE : The full-rank regression.

    Notes
    -----
    O(nnz n_components n_iter) time.

    References
    ----------
    P. Cremonesi, Y. Koren, R. Turrin, "Performance of recommender algorithms on top-N recommendation
    tasks", RecSys 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import PureSVD
    >>> X = np.kron(np.eye(2), np.ones((4, 3)))
    >>> X[0, 2] = 0
    >>> items, scores = PureSVD(n_components=2, random_state=0).fit(X).recommend(X[:1], k=1)
    >>> items
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    _remembers_rows: ClassVar[bool] = False

    def __init__(
        self,
        n_components: int = 50,
        *,
        n_iter: int = 5,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_iter = n_iter
        self.random_state = random_state

    def _fit(self, X: sp.csr_array) -> None:
        svd = TruncatedSVD(
            min(self.n_components, *X.shape),
            n_iter=self.n_iter,
            random_state=check_random_state(self.random_state),
        )
        # The share of explained variance, which nobody reads, is 0 / 0 or x / 0 where all rows are equal.
        with np.errstate(invalid="ignore", divide="ignore"):
            svd.fit(X)
        self.components_ = svd.components_.astype(X.dtype, copy=False)
        self.singular_values_ = svd.singular_values_
        self._remember(X)

    def _fold_in(self, X: sp.csr_array) -> NDArray[Any]:
        V = self.components_.T
        return X.astype(V.dtype, copy=False) @ V
