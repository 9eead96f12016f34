"""Item vectors from what is chosen together: Item2Vec and GloVe."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec.base import InnerProductMixin
from sklearn_llmrec.utils import Interval, canonical


def cooccurrences(X: Any, window: int | None) -> sp.csr_array:
    """Count pairs of items within a row, or at most `window` steps apart in the order of time.

    Raises
    ------
    ValueError
        If a window is given and X has no times.
    """
    if window is None:
        pattern = canonical(X).astype(np.float64)
        pattern.data[:] = 1
        together = sp.csr_array(pattern.T @ pattern)
    else:
        if getattr(X, "timestamps", None) is None:
            raise ValueError(
                f"window={window} counts steps in the order of time, and X has no times: pass an "
                f"Interactions with timestamps, or window=None for whole histories."
            )
        items = X.indices[X.event_order()].astype(np.int64)
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        together = sp.csr_array((X.shape[1], X.shape[1]))
        for step in range(1, window + 1):
            same = rows[step:] == rows[:-step]
            pairs = (items[:-step][same], items[step:][same])
            together = together + sp.csr_array(
                (np.ones(len(pairs[0])), pairs), shape=together.shape
            )
        together = sp.csr_array(together + together.T)
    together.setdiag(0)
    together.eliminate_zeros()
    together.sort_indices()
    return together


class _ItemVectorRecommender(ClassNamePrefixFeaturesOutMixin, TransformerMixin, InnerProductMixin):
    """Base of models whose user is the weighted mean of item vectors; items score by the cosine to it."""

    item_embeddings_: NDArray[Any]

    def _users(self, X: Any) -> NDArray[Any]:
        V = self.item_embeddings_
        users = unit_rows(canonical(X).astype(V.dtype, copy=False) @ V)
        return users.astype(X.dtype, copy=False)

    def _retrieval_vectors(self, X: Any) -> tuple[NDArray[Any], NDArray[Any], None]:
        return self._users(X), self.item_embeddings_, None

    def transform(self, X: Any) -> NDArray[Any]:
        """Return unit vectors of the rows; zeros for a row without a known item.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.

        Returns
        -------
        vectors : ndarray of shape (n_users, n_components)
        """
        check_is_fitted(self)
        return self._users(self._prepared(self._check_X(X, reset=False)))

    @property
    def _n_features_out(self) -> int:
        return self.item_embeddings_.shape[1]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.keeps_input = True
        tags.recommender_tags.zero_is_unknown = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class Item2Vec(_ItemVectorRecommender):
    r"""Item vectors as word2vec would learn them, from histories in place of sentences.

    Skip-gram with negative sampling factorises, implicitly, the matrix of pointwise mutual
    information between an item and its context, less the logarithm of the number of negative
    samples [2]_. Here this matrix is factorised explicitly, by a truncated SVD of its positive
    part,

    .. math:: M_{ij} = \max\Big(0, \log \frac{n_{ij}\, N}{n_i\, \tilde{n}_j} - \log k\Big) \approx
       (U \Sigma V^\top)_{ij},

    with :math:`n_{ij}` the number of times that i and j occur together and :math:`\tilde{n}_j` the
    smoothed context counts. Item vectors are the rows of :math:`U \Sigma^{1/2}`. There is no
    learning rate and no number of epochs, and equal input gives equal vectors. What differs from
    sampled training: pairs that never meet count as zero, not as evidence against.

    Parameters
    ----------
    n_components : int, default=64
        Dimensions of the vectors, below the number of items.
    window : int, default=None
        Items at most this many steps apart in the order of time count as a pair, which needs times
        in X. None takes the whole history as one basket, as the paper on Item2Vec does.
    n_negatives : int, default=1
        Number of negative samples k that is imitated. More makes only strong ties count.
    sampling_exponent : float, default=0.75
        Exponent of the context counts.

    Attributes
    ----------
    item_embeddings_ : ndarray of shape (n_items, n_components), dtype of X
        Unit vectors of the items; zeros for an item that never occurs with another.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    GloVeRecommender : Factorises the logarithm of the counts.
    sklearn_llmrec.text.TextEmbeddingRecommender : Vectors from texts.

    Notes
    -----
    O(nnz of the co-occurrences x n_components) time. To mix with text vectors, stack
    ``item_embeddings_`` and these side by side and give them to a `TextEmbeddingRecommender` with
    ``encoder="passthrough"``.

    References
    ----------
    .. [1] O. Barkan, N. Koenigstein, "Item2Vec: Neural item embedding for collaborative filtering",
       MLSP 2016.
    .. [2] O. Levy, Y. Goldberg, "Neural word embedding as implicit matrix factorization", NeurIPS
       2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import Item2Vec
    >>> X = np.kron(np.eye(2), np.ones((4, 3)))
    >>> X[0, 2] = 0
    >>> model = Item2Vec(n_components=2).fit(X)
    >>> model.recommend(X[:1], k=1)[0]
    array([[2]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "n_negatives": [Interval(Integral, 1, None, closed="left")],
        "sampling_exponent": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        n_components: int = 64,
        *,
        window: int | None = None,
        n_negatives: int = 1,
        sampling_exponent: float = 0.75,
    ) -> None:
        self.n_components = n_components
        self.window = window
        self.n_negatives = n_negatives
        self.sampling_exponent = sampling_exponent

    def _fit(self, X: Any) -> None:
        counts = cooccurrences(X, self.window)
        totals = counts.sum(axis=1)
        context = totals**self.sampling_exponent
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        with np.errstate(divide="ignore"):
            information = np.log(
                counts.data * context.sum() / (totals[rows] * context[counts.indices])
            )
        counts.data = np.maximum(information - np.log(self.n_negatives), 0)
        counts.eliminate_zeros()
        U, values = _left_singular(counts, self.n_components)
        vectors = U * np.sqrt(values)
        vectors[np.diff(counts.indptr) == 0] = 0  # where the decomposition leaves rounding errors
        self.item_embeddings_ = unit_rows(vectors).astype(X.dtype, copy=False)


def _left_singular(M: sp.csr_array, n_components: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return left singular vectors with fixed signs and singular values, largest first; fewer if the rank is lower."""
    n_items = M.shape[0]
    if n_components > n_items:
        raise ValueError(f"n_components={n_components} is more than the {n_items} items.")
    if n_components < n_items - 1 and n_items > 200:
        # A fixed start makes the iteration repeatable.
        U, values, _ = svds(M, k=n_components, v0=np.full(n_items, n_items**-0.5))
        order = np.argsort(-values, kind="stable")
        U, values = U[:, order], values[order]
    else:
        U, values, _ = np.linalg.svd(M.toarray())
        U, values = U[:, :n_components], values[:n_components]
    values = np.where(values > 1e-10 * max(values.max(), 1e-300), values, 0)
    U = np.where(values > 0, U, 0)
    peak = U[np.abs(U).argmax(axis=0), np.arange(U.shape[1])]
    return U * np.where(peak < 0, -1, 1), values


class GloVeRecommender(_ItemVectorRecommender):
    r"""Item vectors whose products predict how often items are chosen together.

    Minimises, over item vectors u, context vectors v and biases,

    .. math:: \sum_{i,j:\, n_{ij} > 0} f(n_{ij}) \big(u_i^\top v_j + b_i + c_j - \log n_{ij}\big)^2
       + \lambda (\|U\|^2 + \|V\|^2), \qquad f(n) = \min\big(1, (n / n_{\max})^{\alpha}\big),

    by alternating least squares, where each side is solved exactly given the other. Item vectors
    are the sums :math:`u_i + v_i`.

    Parameters
    ----------
    n_components : int, default=64
        Dimensions of the vectors.
    window : int, default=None
        Items at most this many steps apart in the order of time count as a pair, which needs times
        in X. None takes the whole history as one basket.
    max_count : float, default=100.0
        Count from which a pair has full weight.
    exponent : float, default=0.75
        Exponent of the weight below.
    regularization : float, default=0.1
        The L2 penalty on vectors. The paper has none and stops early instead.
    max_iter : int, default=10
        Sweeps over both sides.
    random_state : int, RandomState instance or None, default=None
        Initial vectors.

    Attributes
    ----------
    item_embeddings_ : ndarray of shape (n_items, n_components), dtype of X
        Unit vectors of the items; zeros for an item that never occurs with another.
    n_iter_ : int
        Sweeps done.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    Item2Vec : Factorises the mutual information of items.

    Notes
    -----
    A sweep is O(nnz of the co-occurrences x n_components^2 + n_items n_components^3).

    References
    ----------
    J. Pennington, R. Socher, C. Manning, "GloVe: Global vectors for word representation", EMNLP
    2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.decomposition import GloVeRecommender
    >>> X = np.kron(np.eye(2), np.ones((6, 3))) + np.eye(12, 6) * 0.1
    >>> X[0, 2] = 0
    >>> model = GloVeRecommender(n_components=2, random_state=0).fit(X)
    >>> model.transform(X).shape
    (12, 2)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "max_count": [Interval(Real, 0, None, closed="neither")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 64,
        *,
        window: int | None = None,
        max_count: float = 100.0,
        exponent: float = 0.75,
        regularization: float = 0.1,
        max_iter: int = 10,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.window = window
        self.max_count = max_count
        self.exponent = exponent
        self.regularization = regularization
        self.max_iter = max_iter
        self.random_state = random_state

    def _fit(self, X: Any) -> None:
        counts = cooccurrences(X, self.window)
        weights = np.minimum(1, (counts.data / self.max_count) ** self.exponent)
        targets = np.log(counts.data)
        rng = check_random_state(self.random_state)
        scale = self.n_components**-0.5
        # A last column of ones on one side is the bias of the other.
        U, V = (
            np.column_stack(
                [
                    scale * rng.standard_normal((counts.shape[0], self.n_components)),
                    np.zeros(counts.shape[0]),
                ]
            )
            for _ in range(2)
        )
        for _ in range(self.max_iter):
            # The counts are symmetric, so both sides read the same rows.
            _solve_side(U, V, counts, weights, targets, self.regularization)
            _solve_side(V, U, counts, weights, targets, self.regularization)
        self.n_iter_ = self.max_iter
        vectors = (U + V)[:, :-1]
        vectors[np.diff(counts.indptr) == 0] = 0
        self.item_embeddings_ = unit_rows(vectors).astype(X.dtype, copy=False)


def _solve_side(
    U: NDArray[Any],
    V: NDArray[Any],
    counts: sp.csr_array,
    weights: NDArray[Any],
    targets: NDArray[Any],
    regularization: float,
) -> None:
    """Solve the vectors and biases of one side in place, given the other side; biases have a tiny penalty only."""
    d = U.shape[1] - 1
    penalty = np.diag(np.append(np.full(d, regularization), 1e-6))
    for i in range(counts.shape[0]):
        part = slice(counts.indptr[i], counts.indptr[i + 1])
        if part.start == part.stop:
            continue
        others = V[counts.indices[part]]
        residuals = targets[part] - others[:, d]
        others[:, d] = 1
        weighted = others * weights[part, None]
        U[i] = np.linalg.solve(weighted.T @ others + penalty, weighted.T @ residuals)
