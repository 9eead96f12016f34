"""A linear map between texts, learned from histories in closed form.

With item vectors as rows of V, minimise over the map M

    ||X - X V M V'||^2 + L ||M||^2.

Write A = X V, and decompose the two d x d matrices A'A = P diag(a) P' and V'V = Q diag(b) Q'. In these eigenvectors
the normal equations A'A M V'V + L M = A'X V are diagonal:

    M = P [ (P' A'X V Q)_kl / (a_k b_l + L) ] Q'

If items may not predict themselves, the right-hand side loses the diagonal D of X'X: it is A'X V - V'D V.
"""

import os
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import InnerProductMixin, Tags
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, ContentMixin
from sklearn_llmrec.text._space import Space
from sklearn_llmrec.utils import Interval, canonical


class BilinearContentRecommender(ContentMixin, InnerProductMixin):
    r"""Learn from histories how to compare texts.

    A linear map between item vectors is fitted so that the texts of a history predict what is in
    it,

    .. math:: \min_M \|X - X V M V^\top\|_F^2 + \lambda \|M\|_F^2, \qquad
       \hat{x}_i = \Big(\sum_j x_j v_j\Big)^{\!\top} M v_i.

    With little regularization M whitens the vectors; with more, directions that distinguish users
    are kept and those that do not are shrunk. With `exclude_self` an item may not predict itself:
    then M learns what goes together though it is not alike, as a teapot with biscuits. The map is d
    x d, whatever the number of users and items, and scores an item by its text alone: items without
    interactions are recommended like any other.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`. Without any, popularity is
        recommended, with a warning.
    encoder : transformer, str or path, default=None
        From texts to vectors; see `TextEmbeddingRecommender`.
    regularization : float, default=0.1
        The L2 penalty, relative to the mean eigenvalues of the two Gram matrices, so that it means
        the same for any number of users and items.
    exclude_self : bool, default=False
        Whether items are kept from predicting themselves.
    center : bool, default=True
        Whether the mean of the item vectors is taken away.

    Attributes
    ----------
    map_ : ndarray of shape (n_dimensions, n_dimensions), dtype of X
        The map M, from vectors of histories to vectors of items.
    item_embeddings_ : ndarray of shape (n_items, n_dimensions), dtype of X
        Unit vectors of the items; zeros where there is no text.
    encoder_ : transformer or None
        The fitted encoder.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    TextEmbeddingRecommender : Likeness alone, plain or whitened.
    ContentColdStart : New items for any collaborative model, old ones scored by the model.

    Notes
    -----
    Fit is O((nnz + n_items d) d + d^3) time and O(n_items d) memory; ranking O(n_items d) a row, in
    blocks. Items without interactions do not count in the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import BilinearContentRecommender
    >>> titles = [
    ...     "tea cup",
    ...     "oat biscuit",
    ...     "garden spade",
    ...     "tulip bulb",
    ...     "tea pot",
    ...     "rye biscuit",
    ...     "rose bulb",
    ... ]
    >>> X = np.array([[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0, 0]] * 3)
    >>> model = BilinearContentRecommender(titles, exclude_self=True).fit(X)
    >>> items, scores = model.recommend([[1, 0, 0, 0, 1, 0, 0]], k=2)
    >>> [titles[item] for item in items[0]]
    ['oat biscuit', 'rye biscuit']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONTENT_CONSTRAINTS,
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "exclude_self": ["boolean"],
        "center": ["boolean"],
    }

    def __init__(
        self,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        regularization: float = 0.1,
        exclude_self: bool = False,
        center: bool = True,
    ) -> None:
        self.item_texts = item_texts
        self.encoder = encoder
        self.regularization = regularization
        self.exclude_self = exclude_self
        self.center = center

    def _fit(self, X: Any) -> None:
        vectors = self._item_vectors(X, instead="recommends by popularity")
        if vectors is None:
            self.item_embeddings_ = np.zeros((X.shape[1], 1), dtype=X.dtype)
            self.map_ = np.zeros((1, 1), dtype=X.dtype)
            return
        V = Space(self.center, None, False).fit(vectors).transform(vectors)
        V = V.astype(np.float64, copy=False)
        X = canonical(X)
        self_weights = None
        if self.exclude_self:
            self_weights = np.bincount(
                X.indices, weights=X.data.astype(np.float64) ** 2, minlength=len(V)
            )
        M = closed_form_map(X @ V, V, self.item_popularity_ > 0, self_weights, self.regularization)
        self.item_embeddings_ = V.astype(X.dtype, copy=False)
        self.map_ = M.astype(X.dtype, copy=False)

    def _retrieval_vectors(self, X: Any) -> tuple[NDArray[Any], NDArray[Any], None]:
        V = self.item_embeddings_
        return (canonical(X).astype(V.dtype, copy=False) @ V) @ self.map_, V, None

    def _content_terms(
        self, X: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[sp.csr_array, NDArray[Any], Any]:
        """Split the scores of pairs of a row and an item into a term per feature; nothing is left."""
        queries, V, _ = self._retrieval_vectors(X[rows])
        terms = sp.csr_array(queries.astype(np.float64) * V[columns])
        return terms, np.zeros(len(rows)), self._features_of_columns(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.zero_is_unknown = True
        return tags


def closed_form_map(
    A: NDArray[Any],
    V: NDArray[Any],
    known: NDArray[np.bool_],
    self_weights: NDArray[Any] | None,
    regularization: float,
) -> NDArray[Any]:
    """Solve the map M of the module's formula; the penalty is relative to the mean eigenvalues.

    `known` are the items that count, `self_weights` is the diagonal of X'X where it is left out.
    """
    user_gram, item_gram = A.T @ A, V[known].T @ V[known]
    target = user_gram if self_weights is None else user_gram - (V * self_weights[:, None]).T @ V
    a, P = np.linalg.eigh(user_gram)
    b, Q = np.linalg.eigh(item_gram)
    a, b = np.maximum(a, 0), np.maximum(b, 0)
    penalty = regularization * max(a.mean() * b.mean(), np.finfo(np.float64).tiny)
    return P @ ((P.T @ target @ Q) / (np.outer(a, b) + penalty)) @ Q.T
