"""Scores of new items that continue those of a collaborative model."""

import os
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import Tags, get_tags

from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, ContentMixin
from sklearn_llmrec.utils import HasMethods, Interval, require_memory


class ContentColdStart(ContentMixin, BaseRecommender):
    r"""Extend a collaborative model to items that are too new for it.

    A ridge regression learns, over the items that the model knows, how an item's column of the
    model follows from the item's content, and writes the columns of new items. With weights
    :math:`w` and centred unit vectors :math:`F` of the known items, the scores of the new items
    with vectors :math:`F_c` are

    .. math:: \hat{S}_c = S\, W F (F^\top W F + \lambda I)^{-1} F_c^\top + \bar{S},

    where S are the model's scores of the known items and :math:`\bar{S}` is their weighted mean.
    For models whose scores are linear in an item's column this is the regression of these columns:
    ``coef_`` of `EASE`, the weights of `SLIM` and `ItemKNN`, ``components_`` of `ALSRecommender`.
    It needs no knowledge of the model's inside, so any recommender will do.

    Parameters
    ----------
    estimator : recommender
        The model of the items with interactions. It is cloned and fitted.
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`. Without any, new items keep the
        scores that `estimator` gives them.
    encoder : transformer, str or path, default=None
        From texts to vectors; see `TextEmbeddingRecommender`.
    regularization : float, default=2.0
        The L2 penalty :math:`\lambda`, in the unit of a squared vector, so in items.
    popularity_exponent : float, default=0.5
        A known item weighs by its number of users to this power: its column is known the better the
        more there are. Weights are scaled to a mean of one.
    min_interactions : int, default=1
        Items with fewer users than this are new.

    Attributes
    ----------
    estimator_ : recommender
        The fitted model.
    new_items_ : ndarray of int64
        Columns that are scored by content.
    encoder_ : transformer or None
        The fitted encoder.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    TextEmbeddingRecommender : Compares texts only.
    L3AE : A linear model with texts as its prior, for old and new items.

    Notes
    -----
    On top of the estimator, fit is O(n_items d^2 + d^3) and scoring O(n_items d) a row, with d
    dimensions of content. Where d is larger than the number n of known items, the same regression is solved by a system
    of n equations instead, in O(n^3), and sparse features stay sparse; scoring is then O(n n_new) a row.

    References
    ----------
    Z. Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM
    2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.linear_model import EASE
    >>> from sklearn_llmrec.text import ContentColdStart
    >>> titles = ["tea cup", "tea pot", "garden spade", "garden rake", "tea tray", "garden hose"]
    >>> X = np.array([[1, 1, 0, 0, 0, 0]] * 3 + [[0, 0, 1, 1, 0, 0]] * 3)
    >>> model = ContentColdStart(EASE(1.0), titles).fit(X)
    >>> items, scores = model.recommend(
    ...     [[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], candidates=[4, 5], k=1
    ... )
    >>> [titles[item] for item in items.ravel()]
    ['tea tray', 'garden hose']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        **CONTENT_CONSTRAINTS,
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "popularity_exponent": [Interval(Real, 0, None, closed="left")],
        "min_interactions": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        regularization: float = 2.0,
        popularity_exponent: float = 0.5,
        min_interactions: int = 1,
    ) -> None:
        self.estimator = estimator
        self.item_texts = item_texts
        self.encoder = encoder
        self.regularization = regularization
        self.popularity_exponent = popularity_exponent
        self.min_interactions = min_interactions

    def _fit(self, X: Any) -> None:
        self.estimator_ = clone(self.estimator).fit(X, None)
        self.new_items_ = np.zeros(0, dtype=np.int64)
        vectors = self._item_vectors(X, instead="leaves new items to its estimator", sparse=True)
        if vectors is None:
            return
        described = np.diff(vectors.indptr) > 0 if sp.issparse(vectors) else vectors.any(axis=1)
        enough = self.item_popularity_ >= self.min_interactions
        known = np.flatnonzero(described & enough)
        new = np.flatnonzero(described & ~enough)
        if not len(known) or not len(new):
            return
        vectors = unit_features(vectors)
        weights = self.item_popularity_[known] ** self.popularity_exponent
        maps = ridge_maps_dual if vectors.shape[1] > len(known) else ridge_maps
        from_known, to_new = maps(vectors[known], vectors[new], weights, self.regularization)
        self.new_items_, self._known_items_ = new, known
        self._to_new_ = None
        # Two thin matrices, or their product where that is smaller.
        if from_known.shape[1] * (len(known) + len(new)) < len(known) * len(new):
            self._to_new_ = to_new.astype(X.dtype, copy=False)
        else:
            from_known = from_known @ to_new
        self._from_known_ = from_known.astype(X.dtype, copy=False)

    def _score_rows(self, X: Any) -> NDArray[Any]:
        model = self.estimator_
        if not isinstance(model, BaseRecommender):
            scores = np.array(model.predict(X), dtype=X.dtype)
            known = scores
        else:
            scores, is_known = model._scored(model._prepared(X))
            # What the model does not know is no target of the regression.
            known = np.where(is_known, scores, 0)
        if len(self.new_items_):
            new = known[:, self._known_items_] @ self._from_known_.astype(X.dtype, copy=False)
            if self._to_new_ is not None:
                new = new @ self._to_new_.astype(X.dtype, copy=False)
            scores[:, self.new_items_] = new
        return scores

    def _content_terms(
        self, X: Any, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[sp.csr_array, NDArray[Any], Any]:
        """Split the scores of pairs of a row and a new item into a term per feature and a rest.

        Returns the terms, sparse, of shape (n_pairs, n_features), the rests, and the features of all columns. The ridge
        score is linear in the features of the new item, so that every feature has a term.
        """
        if not np.isin(columns, self.new_items_).all():
            raise ValueError(
                "ContentColdStart scores only new items by content, and one of these was known at fit: explain items "
                "of new_items_, and the others by the estimator's own explain."
            )
        F = unit_features(self._features_of_columns(X))
        known = self._known_items_
        weights = self.item_popularity_[known] ** self.popularity_exponent
        weights = weights / weights.mean()
        asked, inverse = np.unique(rows, return_inverse=True)
        model, some = self.estimator_, X[asked]
        if isinstance(model, BaseRecommender):
            scores, is_known = model._scored(model._prepared(some))
            targets = np.where(is_known, scores, 0)[:, known].astype(np.float64)
        else:
            targets = np.asarray(model.predict(some), dtype=np.float64)[:, known]
        if F.shape[1] > len(known):
            S, mean = dual_solver(F[known], weights, self.regularization)
            alpha = targets @ S
            coefficients = alpha @ F[known] - np.outer(alpha.sum(axis=1), mean)
        else:
            dense = F[known].toarray() if sp.issparse(F) else F[known]
            mean = weights @ dense / weights.sum()
            centred = (dense - mean) * weights[:, None]
            gram = centred.T @ (dense - mean)
            gram[np.diag_indices_from(gram)] += self.regularization
            coefficients = np.linalg.solve(gram, centred.T @ targets.T).T
        intercepts = targets @ weights / weights.sum() - coefficients @ mean
        terms = sp.csr_array(F[columns])
        terms.data = (
            terms.data * coefficients[np.repeat(inverse, np.diff(terms.indptr)), terms.indices]
        )
        return terms, intercepts[inverse], F

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = get_tags(self.estimator).input_tags.positive_only
        return tags


def unit_features(vectors: Any) -> Any:
    """Return sparse or dense features as float64 rows of unit length."""
    if not sp.issparse(vectors):
        return unit_rows(vectors.astype(np.float64, copy=False))
    vectors = vectors.astype(np.float64)
    lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    return sp.csr_array(sp.diags_array(1 / np.where(lengths > 0, lengths, 1)) @ vectors)


def centred_products(F: Any, G: Any, mean: NDArray[Any]) -> NDArray[Any]:
    """Return ``(F - mean) @ (G - mean).T`` as a dense array; F and G may be sparse and stay so."""
    result: NDArray[Any] = _products(F, G) - (F @ mean)[:, None] - (G @ mean)[None] + mean @ mean
    return result


def _products(F: Any, G: Any) -> NDArray[Any]:
    """Return ``F @ G.T`` as a dense array.

    Columns of sparse F that are mostly filled, such as texts beside facts, are multiplied as dense ones: a sparse
    product works on every pair of entries of a column, which costs far more than BLAS where a column is full.
    """
    if not sp.issparse(F):
        dense: NDArray[Any] = F @ G.T
        return dense
    is_filled = np.bincount(F.indices, minlength=F.shape[1]) > 0.25 * F.shape[0]
    filled, others = np.flatnonzero(is_filled), np.flatnonzero(~is_filled)
    product: NDArray[Any] = (F[:, others] @ G[:, others].T).toarray()
    product += F[:, filled].toarray() @ G[:, filled].toarray().T
    return product


def dual_solver(
    F: Any, weights: NDArray[Any], regularization: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the matrix S that takes targets to the coefficients of known items, and the weighted mean of F.

    With A the centred rows of F, each times the root of its weight, S is ``W^1/2 (A A' + regularization I)^-1 W^1/2``:
    ``targets @ S @ (F - mean)`` are the ridge coefficients of the features.
    """
    weights = weights / weights.mean()
    mean = np.asarray(weights @ F).ravel() / weights.sum()
    roots = np.sqrt(weights)
    K = centred_products(F, F, mean) * np.outer(roots, roots)
    K[np.diag_indices_from(K)] += regularization
    return np.linalg.inv(K) * np.outer(roots, roots), mean


def ridge_maps_dual(
    F: Any, F_new: Any, weights: NDArray[Any], regularization: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the maps of `ridge_maps` for more features than items: one system of n_items instead of n_features."""
    require_memory(
        4 * 8 * F.shape[0] ** 2,
        f"The ridge regression of {F.shape[0]} items with more features than items",
        "End the encoder with a TruncatedSVD, or raise min_interactions.",
    )
    S, mean = dual_solver(F, weights, regularization)
    target_map = np.column_stack([S, weights / weights.sum()])
    feature_map = np.vstack([centred_products(F, F_new, mean), np.ones(F_new.shape[0])])
    return target_map, feature_map


def ridge_maps(
    F: Any, F_new: Any, weights: NDArray[Any], regularization: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two thin matrices whose product takes targets of known items to predictions for new ones.

    Ridge regression with an intercept is linear in its targets: with `targets` one per known item,
    ``targets @ target_map @ feature_map`` are the predictions for the rows of `F_new`. The last of the d + 1
    inner dimensions is the intercept.
    """
    F, F_new = (part.toarray() if sp.issparse(part) else part for part in (F, F_new))
    weights = weights / weights.mean()
    mean = weights @ F / weights.sum()
    centered = F - mean
    gram = (centered * weights[:, None]).T @ centered
    gram[np.diag_indices_from(gram)] += regularization
    target_map = np.column_stack([centered * weights[:, None], weights / weights.sum()])
    feature_map = np.vstack([np.linalg.solve(gram, (F_new - mean).T), np.ones(len(F_new))])
    return target_map, feature_map
