"""EASE on the nearest items: a ridge regression of every item on a few others, exact on these."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from sklearn_llmrec._item_to_item import ItemToItemRecommender
from sklearn_llmrec._similar import StackingMixin
from sklearn_llmrec.linear_model._ease import gram
from sklearn_llmrec.linear_model._supports import nearest_items
from sklearn_llmrec.utils._blas import blas_threads
from sklearn_llmrec.utils._sparse import WORTH_COMPILING, _kernel_csr, compiled

# The Gram matrix of the most popular items, as many as it can hold: of all, in catalogues of some 8,000.
_GRAM_BYTES = 2**28
# What the Gram matrices of the items that are solved together take.
_BLOCK_BYTES = 2**24


class SparseEASE(StackingMixin, ItemToItemRecommender):
    r"""EASE with sparse weights, for catalogues whose dense weight matrix does not fit.

    With :math:`N_j` the `n_neighbors` items of the highest cosine with item j, the weights of candidate j are those of
    `EASE` restricted to them:

    .. math:: \min_{w} \|x_j - X_{N_j} w\|^2 + \lambda \|w\|^2
       \quad\Rightarrow\quad w = (X_{N_j}^\top X_{N_j} + \lambda I)^{-1} X_{N_j}^\top x_j,

    all others are zero. With all other items in :math:`N_j` this is `EASE`. A row of interactions is scored by
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
    SLIM : Non-negative weights with an L1 penalty; holds the Gram matrix of all items.

    Notes
    -----
    Fit is the fit of `ItemKNN`, then O(n_items n_neighbors^3) for the solutions, and what their Gram matrices take:
    pairs of popular items (of some 8,000 in float32) are read from one matrix of 256 MiB at most, all others are
    counted over the users of the item that is none of these. Weights take 8 bytes each in float32, `n_neighbors` for
    every item. `partial_fit` keeps the rows and fits all of them, since every part changes who the neighbours are. The
    extra `fast` compiles the Gram matrices and the lists.

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

    def _fit_all(self, X: sp.csr_array) -> None:
        n_items, threads = X.shape[1], effective_n_jobs(self.n_jobs)
        places = nearest_items(X, self.n_neighbors, n_threads=threads)
        if places is None:
            others = np.arange(n_items - 1, dtype=np.int32)
            places = others + (others >= np.arange(n_items)[:, None])
        grams = SupportGrams(X, places, n_threads=threads)
        step = max(1, int(_BLOCK_BYTES // (X.dtype.itemsize * places.shape[1] ** 2)))
        blocks = [np.arange(i, min(i + step, n_items)) for i in range(0, n_items, step)]
        with blas_threads(1):
            solved = Parallel(n_jobs=threads, prefer="threads")(
                delayed(self._solve)(grams, items) for items in blocks
            )
        self._set_weights(sp.vstack(list(solved), format="csr").T.tocsr())

    def _solve(self, grams: "SupportGrams", items: NDArray[np.int64]) -> sp.csr_array:
        """Weights of some items, one row each."""
        S, g = grams(items)
        diagonal = np.arange(S.shape[1])
        S[:, diagonal, diagonal] += S.dtype.type(self.regularization)
        try:
            w = np.linalg.solve(S, g[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "A Gram matrix plus regularization is singular in its precision: raise regularization, or pass X in "
                "float64."
            ) from error
        kept = w != 0
        indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
        return sp.csr_array(
            (w[kept], grams.places[items][kept], indptr), shape=(len(items), len(grams.places))
        )


class SupportGrams:
    """Gram matrices of a few columns for every item.

    Pairs of popular items, which take most of the work, are read from the Gram matrix of these; other items have
    few users, whose rows say what they share with the columns that are asked for.

    Parameters
    ----------
    X : csr_array of shape (n_users, n_items)
    places : ndarray of shape (n_items, k), int32
        The columns of each item, filled with -1.
    n_threads : int, default=1
        Of the Gram matrix of popular items.
    """

    def __init__(self, X: sp.csr_array, places: NDArray[np.int32], *, n_threads: int = 1) -> None:
        n_items = X.shape[1]
        self.places = places
        n_popular = min(n_items, int((_GRAM_BYTES / X.dtype.itemsize) ** 0.5))
        counts = np.bincount(X.indices, minlength=n_items)
        popular = np.sort(np.argsort(-counts, kind="stable")[:n_popular])
        self._rank = np.full(n_items, -1, dtype=np.int32)
        self._rank[popular] = np.arange(n_popular)
        # Symmetric: the transpose of the Fortran array is the same matrix in C order.
        self._head = gram(sp.csr_array(X[:, popular]), X.dtype, n_threads=n_threads).T
        self._rows, self._columns = _kernel_csr(X, X.dtype), _kernel_csr(X.T, X.dtype)
        work = n_items * places.shape[1] ** 2
        self._kernel = compiled() if work >= WORTH_COMPILING else None

    def __call__(self, items: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Gram matrices (n, k, k) of some items' columns, and the products (n, k) of these with the item's own."""
        places = self.places[items]
        if self._kernel is not None and self._columns.indices.dtype == np.int32:
            grams: tuple[NDArray[Any], NDArray[Any]] = self._kernel.support_grams(
                self._rows, self._columns, self._rank, self._head, places, items
            )
            return grams
        rank = np.where(places < 0, -1, self._rank[places])
        S = self._head[rank[:, :, None], rank[:, None]]
        g = self._head[rank, self._rank[items][:, None]]
        S[(rank[:, :, None] < 0) | (rank[:, None] < 0)] = 0
        g[(rank < 0) | (self._rank[items] < 0)[:, None]] = 0
        for row, item in enumerate(items):
            own = places[row, places[row] >= 0]
            rare = np.flatnonzero(self._rank[own] < 0)
            if self._rank[item] < 0:
                g[row, : len(own)] = (self._columns[own] @ self._columns[[item]].T).toarray()[:, 0]
            if len(rare):
                shared = (
                    self._columns[own[rare]] @ self._columns[np.append(own, item)].T
                ).toarray()
                S[row, rare, : len(own)] = shared[:, :-1]
                S[row, : len(own), rare] = shared[:, :-1]
                g[row, rare] = shared[:, -1]
        return S, g
