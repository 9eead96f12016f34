"""Recommend items whose texts resemble those of a history."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import best_of_groups, topk_vectors, unit_rows
from sklearn_llmrec.base import (
    PartialFitMixin,
    Tags,
    candidates_of_ids,
    check_lists_to_explain,
    ids_of_columns,
)
from sklearn_llmrec.text import _profiles
from sklearn_llmrec.text._content import (
    CONTENT_CONSTRAINTS,
    ContentMixin,
    as_vectors,
    item_content,
)
from sklearn_llmrec.text._interests import Interest, contributions, interests_in_words
from sklearn_llmrec.text._space import Space, smoothed
from sklearn_llmrec.text._texts import as_texts, texts_from_features
from sklearn_llmrec.utils import (
    Interval,
    StrOptions,
    canonical,
    check_arguments,
    check_candidates,
    check_k,
    on_one_state,
    warn,
)

_ORDERED = ("recency", "last")


class TextEmbeddingRecommender(ContentMixin, PartialFitMixin):
    r"""Recommend items whose texts are similar to those a user chose.

    Item texts become vectors :math:`v_i` by any encoder; a user is the weighted mean of the vectors
    of the history (or what `profile` says), and an item scores by the cosine of the two,

    .. math:: \hat{x}_{ui} = \cos\Big(\sum_{j} x_{uj} v_j,\; v_i\Big).

    So items that nobody has chosen yet are recommended like any other, and a query in words is
    answered by the same vectors (`recommend_text`).

    Users' own texts, such as searches, posts or reviews, are encoded like item texts. With `user_texts` the unit vector
    of the text is added to that of the history, so that a user without a history gets scores from the text alone.

    Parameters
    ----------
    item_texts : sequence of str, str, or table, default=None
        One text per column of X, or the name of a column of ``X.item_features``, or a template over several columns,
        such as ``"{title} by {brand}"``. A missing value leaves out the words before it. Or a table or array with one
        row per column of X: its text columns are joined, or the whole table goes to an encoder that reads tables.
        None takes ``X.item_features`` in the same way (the whole table if `encoder` begins with a `ColumnTransformer`
        or is "passthrough"). Without these it takes the column names of X if it is a dataframe. Else it recommends by
        popularity, with a warning.
    encoder : transformer, str or path, default=None
        From texts to vectors: any scikit-learn transformer, such as a `SentenceEncoder` or a
        pipeline. A name or folder means a `SentenceEncoder` of it. None is latent semantic
        analysis (tf-idf of words, 256 dimensions), which needs no language model; "passthrough"
        takes numbers as they are.
    profile : {"mean", "recency", "last", "interests"}, default="mean"
        The user: mean of the history; mean weighted by recency; the latest texts, joined and
        encoded as one; or several clusters of the history, of which the nearest counts. "recency"
        and "last" need times in X.
    half_life : float, default=10.0
        For "recency": an event weighs half as much as one this many events later.
    max_length : int, default=5
        For "last": how many texts are joined.
    n_interests : int, default=4
        For "interests": how many clusters at most.
    center : bool, default=True
        Whether the mean of the item vectors is taken away from all vectors: what all texts share
        says nothing.
    n_components : int, default=None
        Principal components of the item vectors to keep. None keeps all dimensions.
    whiten : bool, default=False
        Whether the components get equal variance.
    neighbor_weight : float, default=0.0
        How far the vector of an item is moved towards those of the 50 items most often chosen by the same users (by
        cosine), in [0, 1). A search in words then also finds what is bought together with what the words name. Items
        without interactions keep theirs.
    user_texts : str, default=None
        The name of a column of ``X.user_features``, or a template over several, such as ``"{searches} {about}"``: one
        text per row of X, at `fit` and afterwards. It needs an encoder that reads texts. An X without user features
        is scored by histories alone.
    user_text_weight : float, default=1.0
        How much the unit vector of the user's text counts beside the unit vector of the history. For "interests" the
        text is one more interest, and the weight is not used.

    Attributes
    ----------
    encoder_ : transformer or None
        The fitted encoder.
    item_texts_ : list of str or None
        The texts, one per item; "" where there is none.
    item_embeddings_ : ndarray of shape (n_items, n_dimensions), dtype of X
        Unit vectors of the items; zeros where there is no text.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    SentenceEncoder : Vectors by a language model.
    ContentColdStart : Scores of new items that continue those of a collaborative model.
    L3AE : A collaborative model with texts as its prior.

    Notes
    -----
    `partial_fit` encodes the texts of new items, which it finds in the item features of X (`item_texts` None or the
    name or template of columns), by the fitted encoder; the vectors of known items stay. New words therefore count
    nothing in latent semantic analysis, and `neighbor_weight` does not move new items. Without a text an item gets a
    vector of zeros.

    Nothing is learned from X but popularity, for rows without a history. An item without a text
    ranks below all that have one. `recommend` works in blocks of users and items and never stores a
    users x items matrix; it is O(n_items n_dimensions) a row.

    References
    ----------
    P. Lops, M. de Gemmis, G. Semeraro, "Content-based recommender systems: State of the art and
    trends", Recommender Systems Handbook, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import TextEmbeddingRecommender
    >>> titles = ["red tea cup", "blue tea cup", "garden spade", "garden rake", "tea pot"]
    >>> X = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
    >>> model = TextEmbeddingRecommender(titles).fit(X)
    >>> items, scores = model.recommend(X, k=1)
    >>> [titles[item] for item in items.ravel()]
    ['blue tea cup', 'garden rake']
    >>> items, scores = model.recommend_text(["something for my tea"], k=1)
    >>> titles[items[0, 0]]
    'tea pot'
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONTENT_CONSTRAINTS,
        "profile": [StrOptions({"mean", "recency", "last", "interests"})],
        "half_life": [Interval(Real, 0, None, closed="neither")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "n_interests": [Interval(Integral, 1, None, closed="left")],
        "center": ["boolean"],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "whiten": ["boolean"],
        "neighbor_weight": [Interval(Real, 0, 1, closed="left")],
        "user_texts": [str, None],
        "user_text_weight": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        item_texts: Any = None,
        *,
        encoder: Any | str | os.PathLike[str] | None = None,
        profile: str = "mean",
        half_life: float = 10.0,
        max_length: int = 5,
        n_interests: int = 4,
        center: bool = True,
        n_components: int | None = None,
        whiten: bool = False,
        neighbor_weight: float = 0.0,
        user_texts: str | None = None,
        user_text_weight: float = 1.0,
    ) -> None:
        self.item_texts = item_texts
        self.encoder = encoder
        self.profile = profile
        self.half_life = half_life
        self.max_length = max_length
        self.n_interests = n_interests
        self.center = center
        self.n_components = n_components
        self.whiten = whiten
        self.neighbor_weight = neighbor_weight
        self.user_texts = user_texts
        self.user_text_weight = user_text_weight

    def _fit(self, X: Any) -> None:
        if self.profile in _ORDERED:
            _profiles.check_times(X, self.profile)
        if self.user_texts is not None:
            texts_from_features(self.user_texts, getattr(X, "user_features", None), "user")
        vectors = self._item_vectors(X, instead="recommends by popularity")
        if vectors is None:
            self._space_: Space | None = None
            self.item_embeddings_ = np.zeros((X.shape[1], 1), dtype=X.dtype)
            return
        if self.profile == "last" and self.item_texts_ is None:
            raise ValueError(
                'profile="last" joins texts, and the items are described by a table: pass item_texts, or another '
                "profile."
            )
        if self.user_texts is not None and (self.item_texts_ is None or self.encoder_ is None):
            raise ValueError(
                f"user_texts={self.user_texts!r} are encoded like the texts of items, and the items are described by "
                "a table or by vectors: pass item_texts and an encoder that reads texts."
            )
        space = Space(self.center, self.n_components, self.whiten).fit(vectors)
        self._space_ = space
        V = space.transform(vectors)
        if self.neighbor_weight:
            V = smoothed(V, canonical(X), self.neighbor_weight)
        self.item_embeddings_ = V.astype(X.dtype, copy=False)

    def _extend_items(self, X: Any) -> None:
        """Encode the texts of new items into the space of the known ones."""
        known = self.item_embeddings_
        n_new = X.shape[1] - len(known)
        new = np.zeros((n_new, known.shape[1]), dtype=known.dtype)
        content = self._content_of_new(X, n_new)
        if self._space_ is not None and content is not None:
            vectors = content if self.encoder_ is None else self.encoder_.transform(content)
            new = self._space_.transform(as_vectors(vectors, n_new)).astype(known.dtype)
        if self.item_texts_ is not None:
            texts = content if isinstance(content, list) else [""] * n_new
            self.item_texts_ = [*self.item_texts_, *texts]
        self.item_embeddings_ = np.vstack([known, new])

    def _content_of_new(self, X: Any, n_new: int) -> Any:
        """Return the content of the last columns of X, or None, with a warning, if there is none."""
        given, content = self.item_texts, None
        if given is None or isinstance(given, str):
            content = item_content(self, X[:, X.shape[1] - n_new :])
        if content is None and self._space_ is not None:
            warn(
                f"Nothing is known of {n_new} new items, which rank below all others: pass them as item_features of an "
                "Interactions, and item_texts as a column or template of these."
            )
        return content

    def _partial_fit(self, X: Any) -> None:
        """Count the new rows only: there is nothing else to learn."""

    def _texts_of_users(self, X: Any) -> list[str] | None:
        """Return the text of every row, or None where `user_texts` is None or X has no user features."""
        features = getattr(X, "user_features", None)
        if self.user_texts is None or self._space_ is None or features is None:
            return None
        return texts_from_features(self.user_texts, features, "user")

    def _rows_without_evidence(self, X: Any) -> NDArray[np.bool_]:
        empty = super()._rows_without_evidence(X)
        texts = self._texts_of_users(X) if empty.any() else None
        return empty if texts is None else empty & np.array([not text for text in texts])

    def _users(self, X: Any) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return unit vectors of users; with several per user, also where those of each row begin."""
        P, starts = self._histories(X)
        texts = self._texts_of_users(X)
        if texts is None:
            return P, starts
        T = np.zeros((len(texts), P.shape[1]), dtype=P.dtype)
        some = np.flatnonzero([bool(text) for text in texts])
        if len(some):
            T[some] = self._encoded([texts[row] for row in some], P.dtype)
        if starts is not None:
            return _profiles.with_interest(P, starts, T)
        return unit_rows(P + P.dtype.type(self.user_text_weight) * T), None

    def _histories(self, X: Any) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return unit vectors of histories; with several per row, also where those of each row begin."""
        V = self.item_embeddings_.astype(X.dtype, copy=False)
        if self._space_ is None or self.profile == "mean":
            return unit_rows(canonical(X) @ V), None
        if self.profile == "interests":
            return _profiles.interests(canonical(X), V, self.n_interests)
        _profiles.check_times(X, self.profile)
        if self.profile == "recency":
            return unit_rows(_profiles.recency_weighted(X, self.half_life) @ V), None
        assert self.item_texts_ is not None
        return self._encoded(
            _profiles.latest_texts(X, self.item_texts_, self.max_length), X.dtype
        ), None

    def _encoded(self, texts: list[str], dtype: Any) -> NDArray[Any]:
        """Return unit vectors of texts in the space of the items."""
        assert self._space_ is not None
        vectors = as_vectors(self.encoder_.transform(texts), len(texts))
        return self._space_.transform(vectors).astype(dtype, copy=False)

    # The score of several interests is a maximum of inner products.
    @available_if(lambda self: self.profile != "interests")
    def _retrieval_vectors(self, X: Any) -> tuple[NDArray[Any], NDArray[Any], None]:
        return self._users(X)[0], self.item_embeddings_, None

    def _score_rows(self, X: Any) -> NDArray[Any]:
        P, starts = self._users(X)
        V = self.item_embeddings_
        return best_of_groups(P.astype(V.dtype, copy=False) @ V.T, starts)

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        P, starts = self._users(X)
        return topk_vectors(P, self.item_embeddings_, k, starts=starts, seen=seen)

    @on_one_state
    @check_arguments
    def recommend_text(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        candidates: ArrayLike | None = None,
        ids: bool = False,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Recommend the k items nearest to a query in words.

        Parameters
        ----------
        queries : sequence of str
            Such as ``["gifts for a tea lover"]``.
        k : int, default=10
            Length of the lists, at most `n_items`.
        candidates : array-like, default=None
            What may be recommended: column numbers or a mask of the items, or with ``ids=True`` item ids.
        ids : bool, default=False
            Whether `candidates` and the items returned are item ids (those in `item_ids_`) instead of
            column numbers.

        Returns
        -------
        items : ndarray of shape (n_queries, k), int64 or the dtype of `item_ids_`
            Column numbers, best first; -1 where fewer have a vector, or the query says nothing to
            the encoder. With ``ids=True`` item ids; a short list ends with None (NaT among dates).
        scores : ndarray of shape (n_queries, k)
            Cosines; ``-inf`` beside item -1.

        Raises
        ------
        ValueError
            If the model knows no texts, or k is above `n_items`; with ``ids=True``, if the model was
            fitted without item ids or does not know one of them.
        """
        check_is_fitted(self)
        candidates = candidates_of_ids(self, candidates) if ids else candidates
        if self._space_ is None or self.item_texts_ is None or self.encoder_ is None:
            raise ValueError(
                "recommend_text compares words with the texts of items, and this model was fitted "
                "without any: pass item_texts and an encoder that reads texts."
            )
        n_items = len(self.item_embeddings_)
        k = check_k(k, n_items)
        P = self._encoded(as_texts(queries, "queries"), self.item_embeddings_.dtype)
        allowed = check_candidates(candidates, (len(P), n_items))
        if sp.issparse(allowed):
            raise TypeError("candidates of recommend_text must be one array of column numbers.")
        if allowed is None:
            items, scores = topk_vectors(P, self.item_embeddings_, k)
        else:
            width = min(k, len(allowed))
            items, scores = topk_vectors(P, self.item_embeddings_[allowed], width)
            pad = ((0, 0), (0, k - width))
            items = np.pad(np.where(items < 0, -1, allowed[items]), pad, constant_values=-1)
            scores = np.pad(scores, pad, constant_values=-np.inf)
        return ids_of_columns(self, items) if ids else items, scores

    def user_interests(self, X: Any, *, n_items: int = 3, n_terms: int = 5) -> list[list[Interest]]:
        """Describe the interests of each user in words.

        The history falls into at most `n_interests` clusters, whatever `profile` is.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.
        n_items : int, default=3
            How many typical items to name.
        n_terms : int, default=5
            How many words to name.

        Returns
        -------
        interests : list of list of Interest
            For every user the interests, largest first, with their `share`, `items` and `terms`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_llmrec import TextEmbeddingRecommender
        >>> titles = ["tea cup", "tea pot", "tea set", "garden spade", "garden rake", "board game"]
        >>> X = np.array([[1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]])
        >>> model = TextEmbeddingRecommender(titles, n_interests=2).fit(X)
        >>> for interest in model.user_interests(X[:1], n_terms=1)[0]:
        ...     print(interest.terms, sorted(interest.items))
        ['tea'] [0, 1, 2]
        ['garden'] [3, 4]
        """
        check_is_fitted(self)
        histories = canonical(self._check_X(X, reset=False))
        V = self.item_embeddings_.astype(histories.dtype, copy=False)
        return interests_in_words(
            histories, V, self.item_texts_, self.n_interests, n_items, n_terms
        )

    @on_one_state
    @check_arguments
    def explain(self, X: Any, items: ArrayLike, *, ids: bool = False) -> sp.csr_array:
        """Return the contributions of the items of a history to a recommendation.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories.
        items : array-like of shape (n_users,) or (n_users, k)
            Column numbers of the items to explain: one per row, or lists as `recommend` returns
            them, with -1 for an empty place. With ``ids=True`` item ids, with None for an empty place.
        ids : bool, default=False
            Whether `items` are item ids (those in `item_ids_`) instead of column numbers. Column j of
            the result is the item ``item_ids_[j]``.

        Returns
        -------
        parts : csr_array of shape (n_users, n_items) or (n_users * k, n_items)
            Row u (of lists: row ``u * k + r``) contains what each item of the history of user u adds
            to the score of ``items[u]`` (``items[u, r]``); it sums to that score.

        Raises
        ------
        ValueError
            If the scores are no sums over the history: with ``profile="last"``, with texts of users in X, or without
            texts of items. If there is not one item, or one list of items, per row. With ``ids=True``, if the model
            was fitted without item ids or does not know one of them.
        """
        check_is_fitted(self)
        if self._space_ is None or self.profile == "last":
            raise ValueError(
                "explain splits a score among the items of the history: it needs item texts and a "
                "profile other than "
                '"last", which joins the texts.'
            )
        X = self._check_X(X, reset=False)
        if any(self._texts_of_users(X) or []):
            raise ValueError(
                "explain splits a score among the items of the history, and the texts of users count too: pass X "
                "without user_features to explain what the histories contribute."
            )
        lists = check_lists_to_explain(self, items, X.shape, ids)
        if self.profile == "recency":
            _profiles.check_times(X, self.profile)
            weights = _profiles.recency_weighted(X, self.half_life)
        else:
            weights = canonical(X)
        V = self.item_embeddings_.astype(X.dtype, copy=False)
        clustered = self.n_interests if self.profile == "interests" else None
        return contributions(weights, V, lists, clustered)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.zero_is_unknown = True
        return tags
