"""EASE: the linear autoencoder without a diagonal, in closed form.

Steck (2019): minimise ||X - X B||^2 + L2 ||B||^2 subject to diag(B) = 0. With P = (X'X + L2 I)^-1 the solution is
B = I - P diag(1 / diag(P)): one inverse of an n_items x n_items matrix, no iterations.
"""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack
from sklearn.utils._param_validation import Interval
from threadpoolctl import threadpool_limits

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.utils._memory import require_memory

# float32 spotrf of OpenBLAS crashes the process on several threads once the matrix passes 2^31 bytes (n = 23,170).
_ONE_THREAD_ABOVE = 2**31


def gram(X: sp.csr_array, dtype: Any) -> NDArray[Any]:
    """Dense ``X.T @ X`` in Fortran order; the product is made sparse, by blocks of columns."""
    n_items = X.shape[1]
    G = np.zeros((n_items, n_items), dtype=dtype, order="F")
    X = X.astype(dtype, copy=False)
    transposed = X.T.tocsr()
    columns = X.tocsc()
    for start in range(0, n_items, 1024):
        stop = min(start + 1024, n_items)
        G[:, start:stop] = (transposed @ columns[:, start:stop]).toarray()
    return G


def inverse_spd(A: NDArray[Any]) -> NDArray[Any]:
    """Inverse of a symmetric positive definite matrix in Fortran order, in place, both triangles filled.

    Raises
    ------
    ValueError
        If the matrix is not positive definite in its precision.
    """
    prefix = "s" if A.dtype == np.float32 else "d"
    potrf, potri = getattr(lapack, f"{prefix}potrf"), getattr(lapack, f"{prefix}potri")
    with threadpool_limits(1 if A.nbytes > _ONE_THREAD_ABOVE else None, user_api="blas"):
        A, info = potrf(A, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            A, info = potri(A, lower=1, overwrite_c=1)
    if info != 0:
        raise ValueError(
            "The Gram matrix plus regularization is not positive definite in its precision: raise regularization, or "
            "pass X in float64."
        )
    n = len(A)
    for start in range(0, n, 1024):
        stop = min(start + 1024, n)
        A[start:stop, stop:] = A[stop:, start:stop].T
        block = np.tril(A[start:stop, start:stop])
        A[start:stop, start:stop] = block + np.tril(block, -1).T
    return A


class EASE(BaseRecommender):
    r"""Embarrassingly shallow autoencoder: a dense item-to-item regression in closed form.

    The weights solve

    .. math:: \min_B \|X - X B\|_F^2 + \lambda \|B\|_F^2 \quad \text{subject to } \operatorname{diag}(B) = 0,

    which with :math:`P = (X^\top X + \lambda I)^{-1}` is :math:`B_{ij} = -P_{ij} / P_{jj}` for :math:`i \ne j`. A row
    of interactions is scored by :math:`x B`, whether or not it was seen at `fit`.

    Parameters
    ----------
    regularization : float, default=500.0
        The L2 penalty :math:`\lambda`, in the unit of squared values of X. Larger for more users or larger values.

    Attributes
    ----------
    coef_ : ndarray of shape (n_items, n_items), dtype of X
        The weights B: row i is what item i of a history adds to the score of every item.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.neighbors.ItemKNN : Item-to-item weights without the inverse.

    Notes
    -----
    Fit is O(n_items^3) time and O(n_items^2) memory, whatever the number of users, and is refused with its size where
    it would not fit. Ranking is O(nnz(row) n_items) a row.

    References
    ----------
    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, arXiv:1905.03375.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.linear_model import EASE
    >>> X = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=float)
    >>> model = EASE(regularization=1.0).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0]], k=1)
    >>> items
    array([[1]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "regularization": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, regularization: float = 500.0) -> None:
        self.regularization = regularization

    def _fit(self, X: sp.csr_array) -> None:
        n_items = X.shape[1]
        require_memory(
            2 * n_items**2 * X.dtype.itemsize,
            f"The weight matrix of {n_items} x {n_items} items (twice, while it is inverted)",
            "Keep fewer items (min_item_interactions), pass X in float32, or use ItemKNN, whose weights are sparse.",
        )
        P = gram(X, X.dtype)
        P[np.diag_indices(n_items)] += X.dtype.type(self.regularization)
        B = inverse_spd(P)
        B /= -B.diagonal()
        B[np.diag_indices(n_items)] = 0
        self.coef_ = B

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        scores: NDArray[Any] = X @ self.coef_
        return scores
