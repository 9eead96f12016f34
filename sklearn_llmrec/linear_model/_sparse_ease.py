"""EASE on the nearest items: a ridge regression of every item on a few others, exact on these."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from sklearn_llmrec._kernels import gram
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
from sklearn_llmrec.utils import Interval


class SparseEASE(BlockSumsMixin, KeepsRowsMixin, ItemToItemRecommender):
    r"""EASE with sparse weights, for catalogues whose dense weight matrix does not fit.

    With :math:`N_j` the `n_neighbors` items of the highest cosine with item j, the weights of candidate j are those of
    the plain `EASE` of Steck (2019) restricted to them:

    .. math:: \min_{w} \|x_j - X_{N_j} w\|^2 + \lambda \|w\|^2
       \quad\Rightarrow\quad w = (X_{N_j}^\top X_{N_j} + \lambda I)^{-1} X_{N_j}^\top x_j,

    all others are zero. With all other items in :math:`N_j` this is plain `EASE`. A row of interactions is scored by
    :math:`x W`, whether or not it was seen at `fit`.

    Parameters
    ----------
    regularization : float, default=200.0
        The L2 penalty :math:`\lambda`, in the unit of squared values of X. Larger for more users or larger values.
    n_neighbors : int, default=200
        How many items a candidate is regressed on.
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
    EASE : All items, where n_items x n_items numbers fit.
    SLIM : Non-negative weights with an L1 penalty, on all items or (`n_neighbors`) on as few.

    Notes
    -----
    Fit is the fit of `ItemKNN`, then O(n_items n_neighbors^3) for the solutions, and what their Gram matrices take:
    pairs of popular items (of some 8,000 in float32) are read from one matrix of 256 MiB at most, all others are
    counted over the users of the items that are none of these. Weights take 8 bytes each in float32, `n_neighbors` for
    every item. `partial_fit` keeps the rows and fits all of them, since every part changes who the neighbours are.

    SANSA has the same aim: it sparsifies the inverse of EASE through an incomplete Cholesky factor of the whole Gram
    matrix. Here no inverse is approximated, only the items that may speak for a candidate are chosen before.

    References
    ----------
    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, arXiv:1905.03375.
    M. Spisak et al., "Scalable Approximate NonSymmetric Autoencoder for Collaborative Filtering", RecSys 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.linear_model import SparseEASE
    >>> X = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1]], dtype=float)
    >>> model = SparseEASE(regularization=1.0, n_neighbors=2).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self, regularization: float = 200.0, *, n_neighbors: int = 200, n_jobs: int | None = None
    ) -> None:
        self.regularization = regularization
        self.n_neighbors = n_neighbors
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        self._keep_rows(X)
        threads = effective_n_jobs(self.n_jobs)
        self._set_weights(regress_on_nearest(X, self.n_neighbors, self._solve, n_threads=threads))

    def _plan(self, totals: Totals) -> Phase:
        require_whole_gram(totals.n_items, totals.dtype, WHOLE_GRAM_REMEDY)
        return Phase("gram")

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        return {"gram": gram(X, X.dtype, n_threads=effective_n_jobs(self.n_jobs))}

    def _advance(self, phase: Phase, total: Statistics) -> None:
        # Symmetric: the transpose of the Fortran array is the same matrix in C order.
        G, threads = np.asfortranarray(total["gram"]).T, effective_n_jobs(self.n_jobs)
        self._set_weights(regress_by_gram(G, self.n_neighbors, self._solve, n_threads=threads))

    def _solve(self, S: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
        """Solve the weights of some items from the Gram matrices of their neighbours, which are overwritten."""
        diagonal = np.arange(S.shape[1])
        S[:, diagonal, diagonal] += S.dtype.type(self.regularization)
        posv = get_lapack_funcs("posv", dtype=S.dtype)
        w = np.empty_like(g)
        for row, (A, b) in enumerate(zip(S, g, strict=True)):
            # Symmetric: the transpose is the same matrix, in the order of Fortran.
            _, w[row], info = posv(A.T, b, overwrite_a=True)
            if info:
                raise ValueError(
                    "A Gram matrix plus regularization is not positive definite in its precision: raise "
                    "regularization, or pass X in float64."
                )
        return w
