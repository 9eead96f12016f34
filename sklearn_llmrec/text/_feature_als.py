"""ALS that factorises interactions and features of items and users together."""

import os
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder

from sklearn_llmrec.base import InnerProductMixin, Tags
from sklearn_llmrec.decomposition import ALSRecommender
from sklearn_llmrec.text._content import CONTENT_CONSTRAINTS, embedded, item_content, unfitted
from sklearn_llmrec.text._words import long_words
from sklearn_llmrec.utils import HasMethods, Interval, StrOptions, canonical


class FeatureALSRecommender(InnerProductMixin):
    r"""Matrix factorisation of implicit feedback with features of items and users.

    Every item feature is one more row of the matrix, as if it were a user who chose the items that have it. Every
    user feature is one more column. `ALSRecommender` factorises them together with X,

    .. math:: \begin{pmatrix} X & w\,U \\ w\,F^\top & 0 \end{pmatrix} \approx
       \begin{pmatrix} P \\ P_F \end{pmatrix} \begin{pmatrix} Q & Q_U \end{pmatrix},

    so items and users without interactions get factors from what they share with others.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        What is known of the items; see `TextEmbeddingRecommender`.
    encoder : transformer, default=None
        From texts, or the table, to non-negative features. None takes tf-idf of words;
        "passthrough" takes non-negative numbers as they are.
    user_features : table or array, default=None
        One row per row of X at `fit`. None takes ``X.user_features``, at `fit` and afterwards; without
        either, users are described by X only.
    user_encoder : transformer, default=None
        From the table to non-negative features. None is a `OneHotEncoder`.
    feature_weight : float, default=1.0
        What a feature of value one weighs, in interactions.
    n_components : int, default=64
        Number of factors.
    confidence : float, default=4.0
        How much a unit of X adds to the weight of an interaction.
    regularization : float or "auto", default="auto"
        The L2 penalty on factors; "auto" takes it from the joint matrix, as `ALSRecommender` does.
    max_iter : int, default=15
        Sweeps over users and items.
    random_state : int, RandomState instance or None, default=None
        Initial factors.
    n_jobs : int, default=None
        Threads. None means 1 unless in a joblib context, -1 all cores.

    Attributes
    ----------
    als_ : ALSRecommender
        The model of the joint matrix.
    components_ : ndarray of shape (n_components, n_items), dtype of X
        Item factors.
    encoder_, user_encoder_ : transformer or None
        The fitted encoders.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    sklearn_llmrec.decomposition.ALSRecommender : Without features; the same if there are none.
    ContentColdStart : Factors of new items by regression, after the fit.

    Notes
    -----
    The cost is that of ALS on a matrix with the features' entries added; a dense table of features
    makes it slow. Negative values are refused, in X and in the features.

    References
    ----------
    A. Singh, G. Gordon, "Relational learning via collective matrix factorization", KDD 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.text import FeatureALSRecommender
    >>> titles = ["tea cup", "tea pot", "garden spade", "garden rake", "tea tray", "garden hose"]
    >>> X = np.array([[1, 1, 0, 0, 0, 0]] * 3 + [[0, 0, 1, 1, 0, 0]] * 3)
    >>> model = FeatureALSRecommender(
    ...     titles, n_components=2, regularization=0.1, random_state=0
    ... ).fit(X)
    >>> items, scores = model.recommend(
    ...     [[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], candidates=[4, 5], k=1
    ... )
    >>> [titles[item] for item in items.ravel()]
    ['tea tray', 'garden hose']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONTENT_CONSTRAINTS,
        "user_features": "no_validation",
        "user_encoder": [None, HasMethods(["fit_transform", "transform"])],
        "feature_weight": [Interval(Real, 0, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "confidence": [Interval(Real, 0, None, closed="neither")],
        "regularization": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        user_features: Any = None,
        user_encoder: Any = None,
        feature_weight: float = 1.0,
        n_components: int = 64,
        confidence: float = 4.0,
        regularization: float | str = "auto",
        max_iter: int = 15,
        random_state: int | RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.item_texts = item_texts
        self.encoder = encoder
        self.user_features = user_features
        self.user_encoder = user_encoder
        self.feature_weight = feature_weight
        self.n_components = n_components
        self.confidence = confidence
        self.regularization = regularization
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _fit(self, X: Any) -> None:
        item_rows = self._fit_items(X)
        user_columns = self._fit_users(X)
        n_rows, n_columns = item_rows.shape[0], user_columns.shape[1]
        joint = sp.block_array(
            [
                [canonical(X), self.feature_weight * user_columns],
                [self.feature_weight * item_rows, sp.csr_array((n_rows, n_columns))],
            ],
            format="csr",
            dtype=X.dtype,
        )
        shared = {
            name: getattr(self, name)
            for name in ALSRecommender().get_params()
            if hasattr(self, name)
        }
        self.als_ = ALSRecommender(**shared).fit(sp.csr_array(joint))
        # One item after the other in memory, as they are ranked.
        self.components_ = np.asfortranarray(self.als_.components_[:, : X.shape[1]])

    def _fit_items(self, X: Any) -> sp.csr_array:
        """Return item features as rows over the items."""
        self.encoder_: Any = None
        content = item_content(self, X)
        if content is None or (isinstance(content, list) and not any(content)):
            return sp.csr_array((0, X.shape[1]), dtype=X.dtype)
        if not isinstance(self.encoder, str) or self.encoder != "passthrough":
            self.encoder_ = (
                TfidfVectorizer(analyzer=long_words)
                if self.encoder is None
                else unfitted(self.encoder)
            )
            content = embedded(self.encoder_, content, X)
        return sp.csr_array(_features(content, X.shape[1], "item", X.dtype).T)

    def _fit_users(self, X: Any) -> sp.csr_array:
        """Return user features as columns beside X."""
        self.user_encoder_: Any = None
        self.n_user_features_ = 0
        table = self.user_features if self.user_features is not None else _user_table(X)
        if table is None:
            return sp.csr_array((X.shape[0], 0), dtype=X.dtype)
        encoder = self.user_encoder
        self.user_encoder_ = (
            OneHotEncoder(handle_unknown="ignore") if encoder is None else clone(encoder)
        )
        columns = _features(self.user_encoder_.fit_transform(table), X.shape[0], "user", X.dtype)
        self.n_user_features_ = columns.shape[1]
        return columns

    def _retrieval_vectors(self, X: Any) -> tuple[NDArray[Any], NDArray[Any], None]:
        columns = sp.csr_array((X.shape[0], self.n_user_features_), dtype=X.dtype)
        table = _user_table(X)
        if self.user_encoder_ is not None and table is not None:
            columns = _features(self.user_encoder_.transform(table), X.shape[0], "user", X.dtype)
        joint = sp.hstack(
            [canonical(X), self.feature_weight * columns], format="csr", dtype=X.dtype
        )
        # Transformers may be set to put out tables.
        factors = np.asarray(self.als_.transform(sp.csr_array(joint)))
        return factors, self.components_.T, None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.keeps_input = True
        tags.input_tags.positive_only = True
        return tags


def _user_table(X: Any) -> Any:
    """Return user features in a type that scikit-learn's encoders read: a record array becomes one of objects."""
    table = getattr(X, "user_features", None)
    names = getattr(getattr(table, "dtype", None), "names", None)
    if table is None or not names:
        return table
    return np.column_stack([table[name].astype(object) for name in names])


def _features(F: Any, n_rows: int, whose: str, dtype: Any) -> sp.csr_array:
    """Return features as a finite non-negative sparse matrix of `n_rows` rows.

    Raises
    ------
    ValueError
        If they are none.
    """
    F = sp.csr_array(F) if sp.issparse(F) else sp.csr_array(np.asarray(F, dtype=np.float64))
    if F.shape[0] != n_rows:
        raise ValueError(f"There are {F.shape[0]} rows of {whose} features, and {n_rows} {whose}s.")
    if F.nnz and not (np.isfinite(F.data).all() and F.data.min() >= 0):
        raise ValueError(
            f"The {whose} features contain negative, infinite or missing values: ALS reads them as "
            f"weights, so encode them by words, categories or bins (TfidfVectorizer, "
            f"OneHotEncoder, KBinsDiscretizer)."
        )
    return F.astype(dtype)
