"""EASE: the linear autoencoder without a diagonal, in closed form.

Steck (2019): minimise ||X - X B||^2 + L2 ||B||^2 subject to diag(B) = 0. With P = (X'X + L2 I)^-1 the solution is
B = I - P diag(1 / diag(P)): one inverse of an n_items x n_items matrix, no iterations.
"""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.linalg import lapack

from sklearn_llmrec._kernels import (
    ONE_THREAD_ABOVE,
    blas_threads,
    dense_product,
    fill_upper,
    gram,
)
from sklearn_llmrec.base import ExplainMixin, PartialFitMixin, SimilarItemsMixin, columns_of
from sklearn_llmrec.utils import Interval, require_memory, threads_for


def inverse_spd(A: NDArray[Any]) -> NDArray[Any]:
    """Inverse of a symmetric positive definite matrix in Fortran order, in place, both triangles filled.

    Raises
    ------
    ValueError
        If the matrix is not positive definite in its precision.
    """
    prefix = "s" if A.dtype == np.float32 else "d"
    potrf, potri = getattr(lapack, f"{prefix}potrf"), getattr(lapack, f"{prefix}potri")
    with blas_threads(1 if A.nbytes > ONE_THREAD_ABOVE else None):
        A, info = potrf(A, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            A, info = potri(A, lower=1, overwrite_c=1)
    if info != 0:
        raise ValueError(
            "The Gram matrix plus regularization is not positive definite in its precision: raise regularization, or "
            "pass X in float64."
        )
    return fill_upper(A)


def require_gram_memory(n_items: int, dtype: Any) -> None:
    """Refuse, with its size, a weight matrix that would not fit."""
    require_memory(
        2 * n_items**2 * np.dtype(dtype).itemsize,
        f"The weight matrix of {n_items} x {n_items} items (twice, while it is inverted)",
        "Keep fewer items (min_item_interactions), pass X in float32, or use SparseEASE, whose weights are sparse.",
    )


def weights_of_gram(G: NDArray[Any], penalty: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights without a diagonal from a Gram matrix in Fortran order, which is overwritten.

    Returns
    -------
    B : ndarray
        C-ordered.
    diagonal : ndarray
        That of the inverse of ``G + penalty I``.
    """
    at = np.diag_indices(len(G))
    G[at] += G.dtype.type(penalty)
    # The inverse is symmetric: its transpose has the same entries, in the order that products with rows want.
    B = inverse_spd(G).T
    diagonal = B.diagonal().copy()
    B /= -diagonal
    B[at] = 0
    return B, diagonal


class EASE(SimilarItemsMixin, ExplainMixin, PartialFitMixin):
    r"""Embarrassingly shallow autoencoder: a dense item-to-item regression in closed form.

    The weights solve

    .. math:: \min_B \|X - X B\|_F^2 + \lambda \|B\|_F^2 \quad \text{subject to } \operatorname{diag}(B) = 0,

    which with :math:`P = (X^\top X + \lambda I)^{-1}` is :math:`B_{ij} = -P_{ij} / P_{jj}` for :math:`i \ne j`. A row
    of interactions is scored by :math:`x B`, whether or not it was seen at `fit`.

    Parameters
    ----------
    regularization : float, default=500.0
        The L2 penalty :math:`\lambda`, in the unit of squared values of X. Larger for more users or larger values.
    n_jobs : int, default=None
        Threads of the Gram matrix and of ranking (BLAS takes its own). None means 1 unless in a joblib context, -1 all
        cores.

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
    SparseEASE : The same on a few items for each, for larger catalogues.
    sklearn_llmrec.neighbors.ItemKNN : Item-to-item weights without the inverse.

    Notes
    -----
    Fit is O(n_items^3) time and O(n_items^2) memory, whatever the number of users, and is refused with its size where
    it would not fit. `partial_fit` adds up Gram matrices, inverts
    once per call, and keeps the sum; after `fit` it first recovers the sum from the weights, by one
    more inverse.
    Ranking is O(nnz(row) n_items) a row.

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
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "n_jobs": [None, Integral],
    }

    _training_only = ("_gram_", "_inverse_diagonal_")
    _gram_: NDArray[Any] | None

    def __init__(self, regularization: float = 500.0, *, n_jobs: int | None = None) -> None:
        self.regularization = regularization
        self.n_jobs = n_jobs

    def _fit(self, X: sp.csr_array) -> None:
        # partial_fit would need the Gram matrix, which is as large as the weights: recovered if ever asked for.
        self._gram_ = None
        self._solve(self._allocated_gram(X))

    def _fit_first_part(self, X: sp.csr_array) -> None:
        self._solve_and_keep(self._allocated_gram(X))

    def _extend_items(self, X: sp.csr_array) -> None:
        require_gram_memory(X.shape[1], X.dtype)
        known = self._gram_of_weights() if self._gram_ is None else self._gram_
        G = np.zeros((X.shape[1], X.shape[1]), dtype=known.dtype, order="F")
        G[: len(known), : len(known)] = known
        self._gram_ = G

    def _partial_fit(self, X: sp.csr_array) -> None:
        if not X.nnz and len(self.coef_) == X.shape[1]:
            return  # the Gram matrix of no interactions is zero: an inverse would add rounding only
        G = self._allocated_gram(X)
        G += self._gram_of_weights() if self._gram_ is None else self._gram_
        self._solve_and_keep(G)

    def _solve_and_keep(self, G: NDArray[Any]) -> None:
        """Solve, and keep the Gram matrix for the next part."""
        self._gram_ = G
        self._solve(G.copy(order="F"))

    def _gram_of_weights(self) -> NDArray[Any]:
        """The Gram matrix that the weights were made from."""
        P = np.asfortranarray(-self.coef_ * self._inverse_diagonal_)
        P[np.diag_indices(len(P))] = self._inverse_diagonal_
        G = inverse_spd(P)
        G[np.diag_indices(len(G))] -= self._penalty_
        return G

    def _allocated_gram(self, X: sp.csr_array) -> NDArray[Any]:
        require_gram_memory(X.shape[1], X.dtype)
        return gram(X, X.dtype, n_threads=effective_n_jobs(self.n_jobs))

    def _solve(self, P: NDArray[Any]) -> None:
        """Weights from the Gram matrix, which is overwritten."""
        self._penalty_ = P.dtype.type(self.regularization)
        self.coef_, self._inverse_diagonal_ = weights_of_gram(P, self.regularization)

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        # The column of a candidate: what speaks for it.
        return self.coef_[:, items].T.copy()

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        return sp.csr_array(X * columns_of(self.coef_, X, items))

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        return dense_product(X, self.coef_, n_threads=threads_for(self.n_jobs, X.shape[0]))
