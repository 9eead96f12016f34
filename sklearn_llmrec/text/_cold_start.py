"""Scores of new items that continue those of a collaborative model."""

import os
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import Tags, get_tags

from sklearn_llmrec._kernels import unit_rows
from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, ContentMixin
from sklearn_llmrec.utils import HasMethods, Interval


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
    dimensions of content.

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
        self.estimator_ = clone(self.estimator).fit(X)
        self.new_items_ = np.zeros(0, dtype=np.int64)
        vectors = self._item_vectors(X, instead="leaves new items to its estimator")
        if vectors is None:
            return
        described, enough = vectors.any(axis=1), self.item_popularity_ >= self.min_interactions
        known = np.flatnonzero(described & enough)
        new = np.flatnonzero(described & ~enough)
        if not len(known) or not len(new):
            return
        vectors = unit_rows(vectors.astype(np.float64, copy=False))
        weights = self.item_popularity_[known] ** self.popularity_exponent
        from_known, to_new = ridge_maps(vectors[known], vectors[new], weights, self.regularization)
        self.new_items_, self._known_items_ = new, known
        self._from_known_ = from_known.astype(X.dtype, copy=False)
        self._to_new_ = to_new.astype(X.dtype, copy=False)

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
            targets = known[:, self._known_items_] @ self._from_known_.astype(X.dtype, copy=False)
        if len(self.new_items_):
            scores[:, self.new_items_] = targets @ self._to_new_.astype(X.dtype, copy=False)
        return scores

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = get_tags(self.estimator).input_tags.positive_only
        return tags


def ridge_maps(
    F: NDArray[Any], F_new: NDArray[Any], weights: NDArray[Any], regularization: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two thin matrices whose product maps targets of known items to predictions for new ones.

    Ridge regression with an intercept is linear in its targets: with `targets` one per known item,
    ``targets @ left @ right`` are the predictions for the rows of `F_new`. The last of the d + 1
    inner dimensions is the intercept.
    """
    weights = weights / weights.mean()
    mean = weights @ F / weights.sum()
    centered = F - mean
    gram = (centered * weights[:, None]).T @ centered
    gram[np.diag_indices_from(gram)] += regularization
    left = np.column_stack([centered * weights[:, None], weights / weights.sum()])
    right = np.vstack([np.linalg.solve(gram, (F_new - mean).T), np.ones(len(F_new))])
    return left, right
