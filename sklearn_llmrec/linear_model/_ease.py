"""EASE and its weighted, denoising and relaxed forms: linear autoencoders in closed form.

Steck (2019): minimise ||X - X B||^2 + L2 ||B||^2 subject to diag(B) = 0. With P = (X'X + L2 I)^-1 the solution is
B = I - P diag(1 / diag(P)): one inverse of an n_items x n_items matrix, no iterations. User weights, a penalty per item
and an inequality on the diagonal change X'X, L2 and the numbers per column; the inverse stays the only cost.
"""

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

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
    with_data,
)
from sklearn_llmrec.base import (
    BlockPlace,
    BlockSumsMixin,
    ExplainMixin,
    NoisyGram,
    PartialFitMixin,
    Phase,
    SimilarItemsMixin,
    Statistics,
    Totals,
    columns_of,
    next_private_phase,
    presence,
    private_phase,
    private_statistics,
)
from sklearn_llmrec.privacy import GaussianMechanism
from sklearn_llmrec.utils import Interval, StrOptions, require_memory, threads_for

# Share of the largest eigenvalue of the noise that a private fit adds to the penalty.
_NOISE_PENALTY = 0.5


def inverse_spd(A: NDArray[Any]) -> NDArray[Any]:
    """Invert a symmetric positive definite matrix in Fortran order, in place, with both triangles filled.

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
    """Refuse a weight matrix that would not fit in memory, and name its size."""
    require_memory(
        2 * n_items**2 * np.dtype(dtype).itemsize,
        f"The weight matrix of {n_items} x {n_items} items (twice, while it is inverted)",
        "Keep fewer items (min_item_interactions), pass X in float32, or use SparseEASE, whose weights are sparse.",
    )


def row_weights(X: sp.csr_array, exponent: float) -> NDArray[np.float64]:
    """Return the weight ``n ** -exponent`` of every row with n stored entries; 1 for an empty row."""
    return np.maximum(np.diff(X.indptr), 1).astype(np.float64) ** -exponent


def weighted_gram(X: sp.csr_array, exponent: float, *, n_threads: int = 1) -> NDArray[Any]:
    """Return ``X.T @ diag(w) @ X`` with the weights of `row_weights`, in the dtype of X and Fortran order."""
    if exponent:
        roots = np.sqrt(row_weights(X, exponent)).astype(X.dtype)
        X = with_data(X, X.data * np.repeat(roots, np.diff(X.indptr)))
    return gram(X, X.dtype, n_threads=n_threads)


def drop_cancelled(G: NDArray[Any]) -> None:
    """Set entries of a Gram matrix of signed values to zero where products cancel and leave rounding only, in place."""
    sizes = np.sqrt(np.maximum(G.diagonal(), 0))
    bound = 64 * np.finfo(G.dtype).eps
    for column, size in zip(G.T, sizes, strict=True):
        column[np.abs(column) <= bound * size * sizes] = 0


def noise_level(sum_of_squares: float, n_users: Any, n_items: Any) -> float:
    """Return the largest eigenvalue that the Gram matrix of independent entries would have, at this size and energy."""
    return float(sum_of_squares * (n_users**-0.5 + n_items**-0.5) ** 2)


def popularity_factors(counts: NDArray[np.float64], exponent: float) -> NDArray[np.float64] | None:
    """Return ``counts ** -exponent``, 1 for items without interactions; None where the exponent is 0."""
    return np.maximum(counts, 1) ** -exponent if exponent else None


class GramWeights(NamedTuple):
    """Weights of `weights_of_gram`, and the numbers per item that they were made with."""

    coef: NDArray[Any]
    penalties: NDArray[Any]
    inverse_diagonal: NDArray[Any]
    scales: NDArray[Any]


def weights_of_gram(
    G: NDArray[Any],
    regularization: float,
    *,
    dropout: float = 0.0,
    max_self_weight: float = 0.0,
    factors: NDArray[np.float64] | None = None,
) -> GramWeights:
    """Solve for item-to-item weights from a Gram matrix.

    With the penalties ``L = regularization + dropout / (1 - dropout) * diag(G)`` and ``P = inv(G + diag(L))``, column j
    of the minimiser of ``|X - X B|^2 + |diag(L)^(1/2) B|^2`` subject to ``B[j, j] <= max_self_weight`` is
    ``e_j - scale_j P[:, j]`` with ``scale_j = max(L_j, (1 - max_self_weight) / P[j, j])``: the ridge regression where
    it keeps the bound, else the multiplier that meets the bound.

    Parameters
    ----------
    G : ndarray of shape (n_items, n_items)
        In Fortran order; overwritten.
    regularization : float
        In the unit of G.
    dropout : float, default=0.0
    max_self_weight : float, default=0.0
    factors : ndarray of shape (n_items,), default=None
        Column j of the weights is multiplied by factor j. None: by 1.

    Returns
    -------
    weights : GramWeights
        The weights are C-ordered. Their diagonal is zero: what an item adds to itself would order seen items only.
    """
    diagonal = np.diag_indices(len(G))
    penalties = G[diagonal] * (dropout / (1 - dropout)) + regularization
    penalties = penalties.astype(G.dtype, copy=False)
    G[diagonal] += penalties
    # The inverse is symmetric: its transpose has the same entries, in the order that products with rows want.
    B = inverse_spd(G).T
    inverse_diagonal = B.diagonal().copy()
    scales = np.maximum(penalties, (1 - max_self_weight) / inverse_diagonal)
    if factors is not None:
        scales *= factors
    scales = scales.astype(G.dtype, copy=False)
    B *= -scales
    B[diagonal] = 0
    return GramWeights(B, penalties, inverse_diagonal, scales)


class EASE(SimilarItemsMixin, ExplainMixin, BlockSumsMixin, PartialFitMixin):
    r"""Embarrassingly shallow autoencoder: a dense item-to-item regression in closed form.

    The weights minimise

    .. math:: \sum_u w_u \|x_u - x_u B\|^2 + \sum_j \Lambda_j \|B_{j \cdot}\|^2
       \quad \text{subject to } B_{jj} \le \xi,

    with user weights :math:`w_u = n_u^{-\beta}` (`user_exponent`) for :math:`n_u` interactions, and the penalties
    :math:`\Lambda_j = \lambda + \frac{p}{1 - p} G_{jj}` (`regularization` and `dropout`) on the Gram matrix
    :math:`G = \sum_u w_u x_u^\top x_u`. With :math:`P = (G + \Lambda)^{-1}` the solution is

    .. math:: B_{ij} = -P_{ij} \max(\Lambda_j, (1 - \xi) / P_{jj}) \quad \text{for } i \ne j.

    ``EASE(500, dropout=0, max_self_weight=0, user_exponent=0, value_exponent=1)`` is the model of Steck (2019).
    A row of interactions is scored by :math:`x B`, whether or not it was seen at `fit`.

    Parameters
    ----------
    regularization : float or "auto", default="auto"
        The L2 penalty :math:`\lambda`, in the unit of squared values of X (user weights are scaled so that their
        exponent does not change this unit). Larger for more users or larger values. "auto" takes it from the rows
        given to `fit`, see Notes.
    dropout : float, default=0.4
        The share p of interactions whose dropout the penalty imitates: the model learns to predict an item from
        histories with a part missing. Penalises popular items more. 0 is plain EASE.
    max_self_weight : float, default=0.4
        The bound :math:`\xi` on what an item may add to its own score. 0 is plain EASE; a larger bound raises the
        scores of items with few interactions. The diagonal itself is not kept: `coef_` has zeros there.
    popularity_exponent : float, default=0.0
        Scores of an item with c interactions are divided by c to this power. Larger recommends less popular items.
    user_exponent : float, default=0.6
        The exponent :math:`\beta`: how much less users of many interactions count. 0 counts all alike.
    value_exponent : float, default=0.25
        Values x of interactions enter as sign(x) \|x\| to this power, at `fit` and in histories. 1 leaves them as they
        are, 0 makes ones. Damping keeps repeated purchases from outweighing all else.
    n_jobs : int, default=None
        Threads of the Gram matrix and of ranking (BLAS takes its own). None means 1 unless in a joblib context, -1 all
        cores.
    privacy : GaussianMechanism, default=None
        Fit with user-level differential privacy: see :class:`~sklearn_llmrec.privacy.GaussianMechanism`, and Notes.

    Attributes
    ----------
    coef_ : ndarray of shape (n_items, n_items), dtype of X
        The weights B: row i is what item i of a history adds to the score of every item. Zero on the diagonal.
    regularization_ : float
        The penalty :math:`\lambda` used.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    privacy_spent_ : tuple (epsilon, delta)
        What the fit spent; only with `privacy`.
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
    more inverse. It equals one fit on all rows, with "auto" too.
    Ranking is O(nnz(row) n_items) a row.

    ``regularization="auto"`` is

    .. math:: \lambda = s \left(1 / \sqrt{n_U} + 1 / \sqrt{n_I}\right)^2,

    with s the sum of the squared values, :math:`n_U` users and :math:`n_I` items that have interactions: the
    largest eigenvalue that the Gram matrix would have if the entries of X were independent. The defaults were chosen
    together on validation parts of four data sets (two of films, a shop, and reviews of games).

    With `privacy`, neighbouring data sets differ by one user, and the catalogue is public. Rows are read as ones and
    divided by their norm, so that a user adds a matrix :math:`x^\top x / n` of Frobenius norm 1: `user_exponent` and
    `value_exponent` have no effect. The triangle with the diagonal has sensitivity 1, the part above it
    :math:`1/\sqrt 2`, since a row of n items adds :math:`\sqrt{(n - 1) / (2n)}` there. A tenth of the budget releases
    noisy counts (sensitivity 1), by which items are chosen; the rest releases their Gram matrix with noise. Its
    eigenvalues are shrunk by what noise adds, so it is positive semi-definite; items that are not chosen score 0.
    `regularization` is in the unit of this matrix; "auto" is :math:`(1 + \sqrt{n_U / n_I})^2` plus half the largest
    eigenvalue of the noise, both from released numbers. `item_popularity_` and the number of users are released
    values too. A fit takes O(n_kept^3) time for the eigenvalues. `partial_fit` is refused.

    References
    ----------
    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, arXiv:1905.03375.
    H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020: the penalty of dropout (EDLAE).
    J. Moon, H. Kim, J. Lee, "It's Enough: Relaxing Diagonal Constraints in Linear Autoencoders for Recommendation",
    SIGIR 2023, arXiv:2305.12922: the bound on the diagonal (RLAE, RDLAE).
    M. Gavish, D. L. Donoho, "The optimal hard threshold for singular values is 4/sqrt(3)", IEEE Transactions on
    Information Theory 2014: the singular values of independent entries.

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
        "regularization": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_self_weight": [Interval(Real, 0, 1, closed="left")],
        "popularity_exponent": [Interval(Real, 0, None, closed="left")],
        "user_exponent": [Interval(Real, 0, None, closed="left")],
        "value_exponent": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [None, Integral],
        "privacy": [GaussianMechanism, None],
    }

    _training_only = ("_gram_", "_inverse_diagonal_")
    _gram_: NDArray[Any] | None

    def __init__(
        self,
        regularization: float | str = "auto",
        *,
        dropout: float = 0.4,
        max_self_weight: float = 0.4,
        popularity_exponent: float = 0.0,
        user_exponent: float = 0.6,
        value_exponent: float = 0.25,
        n_jobs: int | None = None,
        privacy: GaussianMechanism | None = None,
    ) -> None:
        self.regularization = regularization
        self.dropout = dropout
        self.max_self_weight = max_self_weight
        self.popularity_exponent = popularity_exponent
        self.user_exponent = user_exponent
        self.value_exponent = value_exponent
        self.n_jobs = n_jobs
        self.privacy = privacy

    def _plan(self, totals: Totals) -> Phase:
        require_gram_memory(totals.n_items, totals.dtype)
        if self.privacy is not None:
            return private_phase(totals)
        return Phase("gram")

    def _statistics(self, X: sp.csr_array, phase: Phase, place: BlockPlace) -> Statistics:
        if self.privacy is not None:
            return private_statistics(X, phase, n_threads=effective_n_jobs(self.n_jobs))
        X = self._history(X)
        return {
            "gram": weighted_gram(X, self.user_exponent, n_threads=effective_n_jobs(self.n_jobs)),
            "squares": float(np.square(X.data, dtype=np.float64).sum()),
            "users": int(np.count_nonzero(np.diff(X.indptr))),
            "negative": int(np.count_nonzero(X.data < 0)),
        }

    def _advance(self, phase: Phase, total: Statistics) -> Phase | None:
        if self.privacy is not None:
            result = next_private_phase(phase, total, self.privacy)
            if isinstance(result, Phase):
                return result
            self._solve_privately(result, phase.known["n_items"], phase.known["dtype"])
            self.privacy_spent_ = self.privacy.spent()
            return None
        self._sum_of_squares_, self._n_active_users_ = total["squares"], total["users"]
        self._n_negative_ = total["negative"]
        # partial_fit would need the Gram matrix, which is as large as the weights: recovered if ever needed.
        self._gram_ = None
        self._solve(np.asfortranarray(total["gram"]))
        return None

    def _solve_privately(self, released: NoisyGram, n_items: int, dtype: Any) -> None:
        """Solve for the weights of the chosen items, from their noisy Gram matrix."""
        items = released.items
        self.n_users_fit_, self.item_popularity_ = released.n_users, released.popularity
        self.regularization_ = (
            (1 + (released.n_users / len(items)) ** 0.5) ** 2
            + _NOISE_PENALTY * released.noise_level
            if self.regularization == "auto"
            else float(self.regularization)
        )
        weights = weights_of_gram(
            released.matrix,
            self.regularization_,
            dropout=self.dropout,
            max_self_weight=self.max_self_weight,
            factors=popularity_factors(released.popularity[items], self.popularity_exponent),
        )
        self.coef_ = np.zeros((n_items, n_items), dtype=dtype)
        self.coef_[np.ix_(items, items)] = weights.coef

    def _fit_first_part(self, X: sp.csr_array) -> None:
        self._sum_of_squares_, self._n_active_users_, self._n_negative_ = 0.0, 0, 0
        self._solve_and_keep(self._added_gram(X))

    def _extend_items(self, X: sp.csr_array) -> None:
        require_gram_memory(X.shape[1], X.dtype)
        known = self._gram_of_weights() if self._gram_ is None else self._gram_
        G = np.zeros((X.shape[1], X.shape[1]), dtype=known.dtype, order="F")
        G[: len(known), : len(known)] = known
        self._gram_ = G

    def _partial_fit(self, X: sp.csr_array) -> None:
        if not X.nnz and len(self.coef_) == X.shape[1]:
            return  # the Gram matrix of no interactions is zero: an inverse would add rounding only
        G = self._added_gram(X)
        G += self._gram_of_weights() if self._gram_ is None else self._gram_
        self._solve_and_keep(G)

    def _forget(self, X: sp.csr_array) -> None:
        sums = self._sum_of_squares_, self._n_active_users_, self._n_negative_
        removed = self._added_gram(X)
        self._sum_of_squares_ = 2 * sums[0] - self._sum_of_squares_
        self._n_active_users_ = 2 * sums[1] - self._n_active_users_
        self._n_negative_ = 2 * sums[2] - self._n_negative_
        self._solve_and_keep(
            (self._gram_of_weights() if self._gram_ is None else self._gram_) - removed
        )

    def _solve_and_keep(self, G: NDArray[Any]) -> None:
        """Solve, and keep the Gram matrix for the next part."""
        self._gram_ = G
        self._solve(G.copy(order="F"))

    def _gram_of_weights(self) -> NDArray[Any]:
        """Return the Gram matrix that the weights were made from."""
        diagonal = np.diag_indices(len(self.coef_))
        P = np.asfortranarray(self.coef_ / -self._scales_)
        P[diagonal] = self._inverse_diagonal_
        G = inverse_spd(P)
        G[diagonal] -= self._penalties_
        return G

    def _added_gram(self, X: sp.csr_array) -> NDArray[Any]:
        """Add the Gram matrix of some users to the sums of all users, and return it."""
        require_gram_memory(X.shape[1], X.dtype)
        added = self._statistics(X, Phase("gram"), BlockPlace())
        self._sum_of_squares_ += added["squares"]
        self._n_active_users_ += added["users"]
        self._n_negative_ += added["negative"]
        G: NDArray[Any] = added["gram"]
        return G

    def _solve(self, G: NDArray[Any]) -> None:
        """Set the weights from the Gram matrix, which is overwritten."""
        if self._n_negative_:
            drop_cancelled(G)
        n_items = np.count_nonzero(self.item_popularity_)
        self.regularization_ = (
            noise_level(self._sum_of_squares_, self._n_active_users_, n_items)
            if self.regularization == "auto"
            else float(self.regularization)
        )
        # The unit of the penalty is that of unweighted users, whatever the exponent.
        share = float(np.trace(G, dtype=np.float64)) / self._sum_of_squares_
        weights = weights_of_gram(
            G,
            self.regularization_ * share,
            dropout=self.dropout,
            max_self_weight=self.max_self_weight,
            factors=popularity_factors(self.item_popularity_, self.popularity_exponent),
        )
        self.coef_, self._penalties_, self._inverse_diagonal_, self._scales_ = weights

    def _history(self, X: sp.csr_array) -> sp.csr_array:
        """Return X with its values raised to `value_exponent`, signs kept; as ones with `privacy`."""
        if self.privacy is not None:
            return presence(X)
        if self.value_exponent == 1:
            return X
        values = np.sign(X.data) * np.abs(X.data) ** self.value_exponent
        return with_data(X, values.astype(X.dtype, copy=False))

    def _item_similarities(self, items: NDArray[np.int64]) -> NDArray[Any]:
        # The column of a candidate: what speaks for it.
        return self.coef_[:, items].T.copy()

    def _contributions(self, X: sp.csr_array, items: NDArray[np.int64]) -> sp.csr_array:
        history = self._history(X)
        return sp.csr_array(history * columns_of(self.coef_, history, items))

    def _score_rows(self, X: sp.csr_array) -> NDArray[Any]:
        n_threads = threads_for(self.n_jobs, X.shape[0])
        return dense_product(self._history(X), self.coef_, n_threads=n_threads)
