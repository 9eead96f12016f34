"""The base of all recommenders: validation, chunks, seen items, cold users, ties, top-k and `score`.

A recommender is a multi-output estimator whose samples are users and whose outputs are items. A subclass says how it
fits (`_fit`) and how it scores a chunk of rows (`_score_rows`); everything else lives here.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import (
    best_of_sparse,
    dense,
    empty_lists,
    equal_but_for_rounding,
    fill_unknown,
    topk_dense,
)
from sklearn_llmrec.base._by_id import candidates_of_ids, ids_of_columns
from sklearn_llmrec.base._compact import CompactMixin
from sklearn_llmrec.base._tags import RecommenderTags, Scores, Tags
from sklearn_llmrec.utils import (
    CallbackSupportMixin,
    begin_fit,
    canonical,
    check_arguments,
    check_candidates,
    check_k,
    check_matrix,
    check_seen,
    check_targets,
    check_weights,
    end_fit,
    on_one_state,
    require_memory,
    restored_on_error,
    row_chunks,
    rows_between,
    rows_without_entries,
    with_callbacks,
)

__all__ = ["BaseRecommender"]

# What a row costs in a sparse top-k, about: it needs no dense scores, so its chunks are long.
_FAST_ROW_BYTES = 2**10


class BaseRecommender(CallbackSupportMixin, CompactMixin, BaseEstimator, metaclass=ABCMeta):
    """Base class of recommenders.

    A subclass implements `_fit` and `_score_rows`; a structure with a faster exact top-k adds `_topk_rows`.
    Everything in scikit-learn that clones, splits, searches or pipes estimators works with the result.

    Attributes
    ----------
    n_features_in_ : int
        Number of items, the columns of the matrix given to `fit`.
    n_users_fit_ : int
        Number of users seen at `fit`.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    item_ids_ : ndarray of shape (n_items,)
        The item ids of the `Interactions` given to `fit`; not there for another X. An X that carries other ids later
        is refused.

    Notes
    -----
    A subclass writes these hooks; everything else is here:

    - `_fit(X)` gets a canonical `csr_array` of float32 or float64 and sets attributes that end with an underscore. It
      never changes arrays of an earlier fit in place.
    - `_score_rows(X)` returns finite scores of shape `(n_rows, n_items)` for a chunk of rows. An array is copied before
      anything is written, so it may be a view of the model's arrays or read-only. A `csr_array` says by zero that
      nothing is known; lists are then made without dense scores. `Scores` says it by a mask.
    - `_topk_rows(X, k, seen)`, optional, returns `(items, scores)` of the best unseen items, with -1 where it knows no
      more, or None where it cannot.
    - `_partial_fit(X)`, with `PartialFitMixin`, learns from further users.

    How X is prepared and scores are read is declared by ``__sklearn_tags__().recommender_tags``, see
    `sklearn_llmrec.base.RecommenderTags`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.base import BaseRecommender
    >>> class Newest(BaseRecommender):
    ...     '''Recommend the items with the highest column numbers.'''
    ...
    ...     def _fit(self, X):
    ...         pass
    ...
    ...     def _score_rows(self, X):
    ...         return np.tile(np.arange(X.shape[1], dtype=X.dtype), (X.shape[0], 1))
    >>> X = np.array([[1, 0, 0], [0, 0, 1]])
    >>> items, scores = Newest().fit(X).recommend(X, k=1)
    >>> items.ravel()
    array([2, 1])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    # Whether known scores of a row without a history count: its members may read texts of users.
    _passes_on_known: ClassVar[bool] = False
    _tags_: RecommenderTags
    _positive_only_: bool

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = check_arguments(cls.__init__)  # type: ignore[method-assign]

    # -- what a subclass writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, X: sp.csr_array) -> None:
        """Learn from the validated matrix."""

    @abstractmethod
    def _score_rows(self, X: sp.csr_array) -> NDArray[Any] | sp.csr_array | Scores:
        """Return the scores of all items for a chunk of rows."""

    def _topk_rows(
        self, X: sp.csr_array, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        """Return the exact top-k of a chunk where the model has a faster way than dense scores, else None."""
        return None

    def _fallback_scores(self) -> NDArray[Any]:
        """Return the scores of a row without evidence."""
        return self.item_popularity_

    # -- the public face --------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the recommender.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            The interactions: one row per user, one column per item, a value per interaction.
        y : array-like or sparse, default=None
            Ignored; a two-dimensional `y` must have the shape of `X`. Nothing is ever learned from it.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If X is no finite matrix of at least two columns and one interaction, its values are too large or all too
            small to compute with (above 1e10 in float32 or 1e15 in float64, below 1e-15; times may be of any size), or
            a parameter is out of range. The estimator then is as it was before.
        """
        begin_fit(self, X, y)
        with restored_on_error(self):
            self._validate_params()
            # Neither exact numbers beside released ones, nor a guarantee that an exact fit does not give.
            if getattr(self, "privacy", None) is not None or hasattr(self, "privacy_spent_"):
                self._drop_fitted()
            X = self._check_X(X, reset=True)
            check_targets(y, X.shape)
            # A private fit replaces both counts by released ones.
            self.n_users_fit_ = X.shape[0]
            self.item_popularity_ = np.bincount(canonical(X).indices, minlength=X.shape[1]).astype(
                np.float64
            )
            self._fit(self._prepared(X))
        end_fit(self, X, y)
        return self

    @on_one_state
    @check_arguments
    def predict(self, X: Any) -> NDArray[Any]:
        """Score all items for every row, seen items included.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.

        Returns
        -------
        scores : ndarray of shape (n_users, n_items), dtype of X
            Finite; higher is better. A row without evidence gets the training popularity.

        Raises
        ------
        MemoryError
            If the dense result would not fit; `recommend` needs no dense matrix.
        ValueError
            If X is not finite or has another number of columns than at fit.
        """
        self._require_fitted()
        return self._predict(self._check_X(X, reset=False))

    def _predict(self, X: sp.csr_array) -> NDArray[Any]:
        """Return `predict` of a validated X."""
        require_memory(
            X.shape[0] * X.shape[1] * X.dtype.itemsize,
            f"A dense score matrix of shape {X.shape}",
            "Use recommend(X, k), which works in chunks, or predict fewer rows at a time.",
        )
        X = self._prepared(X)
        scores = np.empty(X.shape, dtype=X.dtype)
        for rows in row_chunks(X.shape[0], X.shape[1] * X.dtype.itemsize):
            scores[rows] = self._scored(X[rows]).values
        return scores

    @on_one_state
    @check_arguments
    def recommend(
        self,
        X: Any,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: ArrayLike | sp.sparray | None = None,
        seen: Any = None,
        ids: bool = False,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Recommend the k best items for every row.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories; the rows need not be rows given to `fit`.
        k : int, default=10
            Length of the lists, at most `n_items`.
        exclude_seen : bool, default=True
            Whether items of the row itself are left out.
        candidates : array-like or boolean sparse of shape (n_users, n_items), default=None
            What may be recommended: column numbers or a mask of the items for all rows (with ``ids=True`` item ids), or
            a matrix row by row.
        seen : {array-like, sparse} of shape (n_users, n_items), default=None
            Items to leave out of each list, instead of those that X contains: what was bought elsewhere, or hidden from
            the model. Requires ``exclude_seen=True``.
        ids : bool, default=False
            Whether `candidates` and the items returned are item ids (those in `item_ids_`) instead of column numbers.

        Returns
        -------
        items : ndarray of shape (n_users, k), int64 or the dtype of `item_ids_`
            Column numbers, best first; -1 where fewer than k items are allowed. With ``ids=True`` item ids; a short
            list ends with None (an object array then; dates have NaT).
        scores : ndarray of shape (n_users, k), dtype of X
            Their scores; ``-inf`` beside item -1.

        Raises
        ------
        ValueError
            If k is above `n_items`, X is not finite, X has another number of columns than at fit, or `seen` another
            shape than X; with
            ``ids=True``, if the model was fitted without item ids or does not know one of them.
        """
        self._require_fitted()
        candidates = candidates_of_ids(self, candidates) if ids else candidates
        X = self._check_X(X, reset=False)
        excluded = check_seen(seen, X.shape, exclude_seen=exclude_seen)
        excluded = X if excluded is None and exclude_seen else excluded
        items, scores = self._recommend(X, excluded, k, candidates)
        return ids_of_columns(self, items) if ids else items, scores

    @on_one_state
    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the mean nDCG@10 with binary relevance, seen items excluded.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            What the recommender may see.
        y : {array-like, sparse} of shape (n_users, n_items), default=None
            Held-out interactions of the same rows; what X already contains does not count. Without it (or with a
            one-dimensional y) a fifth of every row of at least two interactions is hidden, chosen by a hash of the
            row's items; sequential models hide the latest fifth instead.
        sample_weight : array-like of shape (n_users,), default=None
            Weights of the users in the mean; by default all are equal.

        Returns
        -------
        ndcg : float
            Mean over the rows with targets. The score of the matrix given to `fit` flatters: hidden entries were
            learned from. Hide before the fit (`holdout_split`) to measure known users.

        Raises
        ------
        ValueError
            If no row has a target, or none of positive weight, or weights are not one number >= 0 per row.
        """
        from sklearn_llmrec.interactions import hide_by_hash, hide_latest
        from sklearn_llmrec.metrics import ndcg_at_k

        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        y = check_targets(y, X.shape)
        if y is None:
            X, y = hide_latest(X) if self._tags_.needs_order else hide_by_hash(X)
        items, _ = self._recommend(X, X, min(10, X.shape[1]), None)
        values = ndcg_at_k(y, items, k=items.shape[1], seen=X, per_user=True)
        defined = ~np.isnan(values)
        if sample_weight is None:
            return float(values[defined].mean())
        weights = check_weights(sample_weight, X.shape[0])[defined]
        if not weights.any():
            raise ValueError("sample_weight is zero for every row that has a target.")
        return float(np.average(values[defined], weights=weights))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        ids = vars(self).get("item_ids_")
        # A bundle puts the array in its place later, and makes it read-only itself.
        if isinstance(ids, np.ndarray):
            ids.flags.writeable = False  # a look-up of ids is remembered for what nobody can change

    def __sklearn_tags__(self) -> Tags:
        tags = Tags.extending(super().__sklearn_tags__())
        tags.input_tags.sparse = True
        tags.target_tags.required = False
        return tags

    # -- how it works -----------------------------------------------------------------------------------------------

    def _require_fitted(self) -> None:
        """Refuse an estimator that is not fitted."""
        # scikit-learn's check makes all tags anew, which takes longer than scoring a row.
        if "n_users_fit_" not in vars(self):
            check_is_fitted(self)

    def _drop_fitted(self) -> None:
        """Remove what an earlier fit set: it may contain exact statistics of the same users."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            del self.__dict__[name]

    def _check_X(self, X: Any, *, reset: bool) -> sp.csr_array:
        """Validate X; at fit also store the tags that later calls follow."""
        if reset:
            tags = self.__sklearn_tags__()
            self._tags_ = tags.recommender_tags
            self._positive_only_ = tags.input_tags.positive_only
        return check_matrix(
            self,
            X,
            reset=reset,
            nonnegative=self._positive_only_,
            weights=not self._tags_.needs_order,
        )

    def _prepared(self, X: sp.csr_array) -> sp.csr_array:
        """Return the validated X in the form that `_score_rows` expects."""
        return canonical(X) if self._is_canonical_input() else X

    def _is_canonical_input(self) -> bool:
        return not (self._tags_.keeps_input or self._tags_.needs_order)

    def _scored(self, X: sp.csr_array) -> Scores:
        """Return the scores of prepared rows, with unknown ones filled in, and which of them were known."""
        return self._filled(self._score_rows(X), X)

    def _filled(self, given: Any, X: sp.csr_array) -> Scores:
        """Fill in what `_score_rows` does not know: items by popularity, whole rows by the fallback."""
        complete = isinstance(given, Scores)
        scores = dense(given.values if complete else given, X.dtype)
        if complete:
            known = np.array(given.known, dtype=bool)
        elif sp.issparse(given) or self._tags_.zero_is_unknown:
            known = scores != 0
        else:
            known = np.ones(scores.shape, dtype=bool)
        # Three columns distinguish most rows before whole rows are read.
        three = scores[:, [0, X.shape[1] // 2, -1]]
        flat = equal_but_for_rounding(three.min(axis=1), three.max(axis=1))
        if flat.any():
            flat[flat] = equal_but_for_rounding(scores[flat].min(axis=1), scores[flat].max(axis=1))
        empty = self._rows_without_evidence(X)
        if complete and self._passes_on_known:
            empty = empty & ~known.any(axis=1)
        if not complete and not known.all():
            fill_unknown(scores, self.item_popularity_)
        # Equal ratings are the level of the user, though they rank nothing.
        uninformed = flat | empty
        replaced = empty if self._tags_.predicts_ratings else uninformed
        if uninformed.any():
            known[uninformed] = False
            scores[replaced] = self._fallback_scores().astype(X.dtype)
        return Scores(scores, known)

    def _rows_without_evidence(self, X: sp.csr_array) -> NDArray[np.bool_]:
        """Return which prepared rows get the fallback scores: those without a history, if nothing else is known."""
        return rows_without_entries(X)

    def _best(
        self, X: sp.csr_array, seen: sp.csr_array | None, k: int, candidates: Any
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the ranking lists of a chunk from its scores."""
        scores = self._score_rows(X)
        if candidates is not None or isinstance(scores, Scores) or not sp.issparse(scores):
            filled = self._filled(scores, X).values
            return topk_dense(filled, k, seen=seen, candidates=candidates)
        items, values, done = best_of_sparse(
            scores.astype(X.dtype, copy=False),
            k,
            seen,
            self._rows_without_evidence(X),
            self.item_popularity_,
            self._fallback_scores(),
        )
        late = np.flatnonzero(~done)
        if len(late):
            block, late_seen = (
                self._filled(scores[late], X[late]).values,
                None if seen is None else seen[late],
            )
            items[late], values[late] = topk_dense(block, k, seen=late_seen)
        return items, values

    def _recommend(
        self, X: sp.csr_array, seen: sp.csr_array | None, k: int, candidates: Any
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return `recommend` of a validated X; `seen` may be another matrix than X, such as the input of a Pipeline."""
        k = check_k(k, X.shape[1])
        candidates = check_candidates(candidates, X.shape)
        same, X = seen is X, self._prepared(X)
        if seen is not None and not (
            same and type(X) is sp.csr_array and self._is_canonical_input()
        ):
            seen = canonical(X if same else seen)
        elif same:
            seen = X
        items, scores = empty_lists(X.shape[0], k, X.dtype)
        left = np.arange(X.shape[0])
        among: dict[str, Any] = {} if candidates is None else {"candidates": candidates}
        served = not among or (self._tags_.ranks_candidates and not sp.issparse(candidates))
        if served and type(self)._topk_rows is not BaseRecommender._topk_rows:
            # Two at least, so that equal scores all over a list are rare: the row may have no
            # other scores, and no evidence.
            width, equal = max(k, min(2, X.shape[1])), np.zeros(X.shape[0], dtype=bool)
            for rows in row_chunks(X.shape[0], _FAST_ROW_BYTES):
                fast = self._topk_rows(
                    rows_between(X, rows),
                    width,
                    None if seen is None else rows_between(seen, rows),
                    **among,
                )
                if fast is None:
                    break
                items[rows], scores[rows] = fast[0][:, :k], fast[1][:, :k]
                equal[rows] = equal_but_for_rounding(fast[1][:, -1], fast[1][:, 0])
            else:
                # Short lists are filled by the exact way, which knows what to put below the evidence.
                left = np.flatnonzero((items[:, -1] < 0) | equal)
        for chunk in row_chunks(len(left), X.shape[1] * X.dtype.itemsize):
            some: Any = left[chunk]
            if len(left) == X.shape[0]:  # rows one after the other, of which views are taken
                some = chunk
            items[some], scores[some] = self._best(
                _rows(X, some),
                None if seen is None else _rows(seen, some),
                k,
                candidates[some] if sp.issparse(candidates) else candidates,
            )
        return items, scores


def _rows(X: sp.csr_array, rows: slice | NDArray[np.int64]) -> sp.csr_array:
    """Return rows of X; those of a slice without a copy, where X is plain."""
    return rows_between(X, rows) if isinstance(rows, slice) else X[rows]
