"""Two stages: recommenders retrieve candidates, a scikit-learn model ranks them."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_regressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils import check_random_state

from sklearn_llmrec._kernels import dense
from sklearn_llmrec.base import Scores
from sklearn_llmrec.ensemble._hidden import (
    HIDING_CONSTRAINTS,
    Pool,
    hidden_fits,
    pool_rows,
    pool_with_targets,
)
from sklearn_llmrec.ensemble._item_data import item_matrix
from sklearn_llmrec.ensemble._members import BaseMembers
from sklearn_llmrec.ensemble._normalize import normalizer
from sklearn_llmrec.ensemble._reranker import ladder, lifted
from sklearn_llmrec.interactions import table_column
from sklearn_llmrec.utils import (
    HasMethods,
    Interval,
    StrOptions,
    canonical,
    rows_without_entries,
)


def _log_share(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return log popularities on a scale that does not depend on how many interactions were counted."""
    result: NDArray[np.float64] = np.log1p(counts) - np.log1p(counts.mean())
    return result


class StackingRecommender(BaseMembers):
    r"""Recommenders retrieve candidates, and a classifier, regressor or ranker orders them.

    `fit` hides a part of some rows (see `holdout`) and fits clones of the members on what remains. The final
    estimator learns which candidates of these clones were hidden. Its features are thus out-of-fold. Then the members
    are fitted on everything. No `y` is read.

    Features of a candidate, in this order (`feature_names_`):

    - the scores of the members, normalised within the row over all items;
    - the places that the members give it among the candidates of the row;
    - the logarithm of the item's popularity, divided by the mean popularity;
    - the logarithm of the number of items in the row;
    - the columns of `item_features`;
    - the features of the user in X that `user_columns` names.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        Recommenders or Pipelines that end with one. Clones of them are fitted. A member set to
        ``"drop"`` is left out; its parameters are set as ``name__parameter``.
    final_estimator : estimator, default=None
        A classifier with `predict_proba` or `decision_function`, a regressor, or a ranker whose
        `fit` takes `group` (LightGBM and XGBoost: the number of candidates of every user). None is a
        `HistGradientBoostingClassifier` of 100 small trees.
    n_candidates : int, default=50
        How many first items of each member are candidates; their union is ranked.
    item_features : {array-like, sparse} of shape (n_items, n_features), default=None
        Numbers about items.
    user_columns : list of str, default=None
        Numeric columns of the user features that X carries.
    normalize : {"minmax", "zscore", "rank", "rrf", "borda"} or None, default="zscore"
        Scale of the members' scores; see `VotingRecommender`.
    learn_users : int or None, default=3000
        How many users of every hiding, drawn at random, the final estimator learns on; None takes all. The rows of
        other users stay whole in the fits of the clones, which are then close to the members in the end.
    holdout : {"auto", "hash", "latest", "time"}, default="auto"
        What is hidden to learn from. "hash": any items of a row, chosen by a hash. "latest": the latest events of
        each row. "time": all events from one time on, as a service meets them. Members then know nothing of that
        time, rows that begin later do not count, X needs timestamps, and `max_hidden` does not apply.
        "auto" hides the latest where a member is a sequential model.
    test_size : float, default=0.2
        Share of a row that is hidden to learn from, at least one entry. Less leaves the members closer to what
        they are in the end.
    max_hidden : int or None, default=None
        How many interactions of a row are hidden at most, whatever `test_size` says; None sets no limit. Users with
        long rows then lose no more than others, and members that know whole histories are not judged on halves of
        them. Of the latest events whole baskets are hidden, as few as contain so many.
    n_hidings : int, default=1
        How many times a part is hidden and the members are fitted on the rest: another choice each time, or, of the
        latest events, a step further back. Everything is learned on all of them together.
    exclude_seen : bool, default=True
        Whether items that a row contains already are left out of the candidates. False where people buy again; use
        ``recommend(..., exclude_seen=False)`` then.
    random_state : int, RandomState instance or None, default=None
        Seed of the draw of users; it is handed to the default final estimator too.
    n_jobs : int or None, default=None
        Number of members fitted in parallel. None means 1, -1 all processors.
    verbose : bool, default=False
        Print how long each member took to fit.

    Attributes
    ----------
    estimators_ : list of estimators
        The members, fitted on all of X.
    named_estimators_ : :class:`~sklearn.utils.Bunch`
        The fitted members by name; ``"drop"`` for dropped ones.
    final_estimator_ : estimator or None
        The fitted second stage. None where no candidate was hidden, or all were, so that nothing
        could be learned: the mean vote then decides.
    feature_names_ : list of str
        What its features are.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    VotingRecommender : Weights instead of a model; ``weights="learn"`` hides in the same way.

    Notes
    -----
    Candidates rank above all other items, which follow by the mean of the normalised scores. Cost:
    `n_hidings` + 1 fits of every member, and one of the final estimator on `n_hidings` times about `learn_users` times
    `n_candidates` times the number of members rows.

    References
    ----------
    D. H. Wolpert, "Stacked generalization", Neural Networks, 1992. P. Covington, J. Adams and
    E. Sargin, "Deep neural networks for YouTube recommendations", RecSys 2016 (two stages).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_llmrec.ensemble import StackingRecommender
    >>> from sklearn_llmrec.linear_model import EASE
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> rng = np.random.default_rng(0)
    >>> taste = np.arange(40)[:, None] % 2 == np.arange(12) % 2
    >>> X = (rng.random((40, 12)) < np.where(taste, 0.6, 0.1)).astype(float)
    >>> stack = StackingRecommender(
    ...     [("knn", ItemKNN()), ("ease", EASE())], final_estimator=LogisticRegression()
    ... )
    >>> stack.fit(X).feature_names_
    ['knn score', 'ease score', 'knn place', 'ease place', 'item popularity', 'history length']
    >>> items, scores = stack.recommend(X, k=3)
    >>> items.shape
    (40, 3)
    """

    _passes_on_known = True
    _parameter_constraints = {
        "estimators": [list],
        "final_estimator": [HasMethods(["fit"]), None],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "item_features": ["array-like", "sparse matrix", None],
        "user_columns": [list, None],
        "normalize": [StrOptions({"minmax", "zscore", "rank", "rrf", "borda"}), None],
        **HIDING_CONSTRAINTS,
        "random_state": ["random_state"],
        "n_jobs": [int, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        final_estimator: Any | None = None,
        n_candidates: int = 50,
        item_features: ArrayLike | Any | None = None,
        user_columns: list[str] | None = None,
        normalize: Literal["minmax", "zscore", "rank", "rrf", "borda"] | None = "zscore",
        learn_users: int | None = 3000,
        holdout: Literal["auto", "hash", "latest", "time"] = "auto",
        test_size: float = 0.2,
        max_hidden: int | None = None,
        n_hidings: int = 1,
        exclude_seen: bool = True,
        random_state: int | RandomState | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.n_candidates = n_candidates
        self.item_features = item_features
        self.user_columns = user_columns
        self.normalize = normalize
        self.learn_users = learn_users
        self.holdout = holdout
        self.test_size = test_size
        self.max_hidden = max_hidden
        self.n_hidings = n_hidings
        self.exclude_seen = exclude_seen
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit(self, X: Any) -> None:
        names, _ = self._kept_members()
        self._item_features_ = (
            None
            if self.item_features is None
            else item_matrix(self.item_features, "item_features", X.shape[1])
        )
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        self.feature_names_ = self._names(names)
        parts = [self._learning_part(*fits) for fits in hidden_fits(self, X, seed)]
        features, targets, sizes = (np.concatenate(arrays) for arrays in zip(*parts))
        self._fit_final(features, targets, sizes, seed)
        self._log_popularity_ = _log_share(self.item_popularity_)
        self._fit_members(X, n_jobs=self.n_jobs, verbose=self.verbose)
        self._empty_row_scores_ = self.item_popularity_
        if not self.user_columns:
            empty = sp.csr_array((1, X.shape[1]), dtype=X.dtype)
            self._empty_row_scores_ = self._score_rows(empty)[0]

    def _learning_part(
        self, fitted: list[Any], known: Any, visible: Any, hidden: sp.csr_array
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Return the features of the candidates of one hiding, which of them were hidden, and their number per row."""
        # Of what the members know: how often an item was hidden would reveal which candidates were.
        self._log_popularity_ = _log_share(
            np.bincount(canonical(known).indices, minlength=known.shape[1])
        )
        pool = pool_with_targets(
            fitted,
            visible,
            hidden,
            normalizer(self.normalize),
            self.n_candidates,
            self.exclude_seen,
        )
        assert pool.hits is not None
        features, valid = self._features(pool, visible)
        return features, pool.hits[valid].astype(np.int64), valid.sum(axis=1)

    def _fallback_scores(self) -> NDArray[Any]:
        return self._empty_row_scores_

    def _names(self, members: list[str]) -> list[str]:
        columns = 0 if self._item_features_ is None else self._item_features_.shape[1]
        return [
            *(f"{name} score" for name in members),
            *(f"{name} place" for name in members),
            "item popularity",
            "history length",
            *(f"item feature {i}" for i in range(columns)),
            *(self.user_columns or ()),
        ]

    def _user_features(self, X: Any) -> NDArray[np.float64]:
        if not self.user_columns:
            return np.zeros((X.shape[0], 0))
        table = getattr(X, "user_features", None)
        columns = {name: table_column(table, "user_features", name) for name in self.user_columns}
        texts = [name for name, column in columns.items() if column.dtype.kind not in "biuf"]
        if texts:
            raise ValueError(f"user_columns must name columns of numbers, and {texts} are not.")
        return np.column_stack(list(columns.values())).astype(float)

    def _features(self, pool: Pool, X: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the features of all candidates, row after row, and their places in the pool."""
        valid = pool.items >= 0
        rows, _ = np.nonzero(valid)
        items = pool.items[valid]
        votes = np.where(valid[:, :, None], pool.votes, -np.inf)
        places = np.argsort(np.argsort(-votes, axis=1, kind="stable"), axis=1, kind="stable")
        parts: list[Any] = [
            pool.votes[valid],
            1 / (1 + places[valid]),
            self._log_popularity_[items][:, None],
            np.log1p(pool.lengths[rows])[:, None],
        ]
        if self._item_features_ is not None:
            item_features = self._item_features_[items]
            parts.append(item_features.toarray() if sp.issparse(item_features) else item_features)
        parts.append(self._user_features(X)[rows])
        return np.hstack(parts).astype(np.float32), valid

    def _fit_final(
        self,
        features: NDArray[np.float32],
        targets: NDArray[np.int64],
        sizes: NDArray[np.int64],
        seed: int,
    ) -> None:
        """Fit the second stage on the hidden interactions."""
        final = self.final_estimator
        if final is None:
            final = HistGradientBoostingClassifier(
                max_iter=100, max_leaf_nodes=15, learning_rate=0.1, random_state=seed
            )
        final = clone(final)
        if "group" in inspect.signature(final.fit).parameters:
            self.final_estimator_ = final.fit(features, targets, group=sizes[sizes > 0])
            return
        if targets.min(initial=1) == targets.max(initial=0) or not len(targets):
            self.final_estimator_ = None
            return
        self.final_estimator_ = final.fit(features, targets)

    def _final_scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        final = self.final_estimator_
        if final is None or not len(features):
            return np.zeros(len(features))
        if not is_regressor(final) and hasattr(final, "predict_proba"):
            return np.asarray(final.predict_proba(features)[:, 1], dtype=np.float64)
        if not is_regressor(final) and hasattr(final, "decision_function"):
            return np.asarray(final.decision_function(features), dtype=np.float64)
        return np.asarray(final.predict(features), dtype=np.float64).ravel()

    def _filled(self, scores: Any, X: Any) -> Scores:
        # Members have filled rows without history; features of users rank for those too.
        known = np.broadcast_to(~rows_without_entries(X)[:, None], X.shape)
        return Scores(dense(scores, X.dtype), known)

    def _score_rows(self, X: Any) -> NDArray[Any]:
        pool, scores = pool_rows(
            self.estimators_,
            X,
            normalizer(self.normalize),
            self.n_candidates,
            self.exclude_seen,
        )
        features, valid = self._features(pool, X)
        ranked = np.full(pool.items.shape, -np.inf)
        ranked[valid] = self._final_scores(features)
        # Trees give equal scores to many: the mean vote decides among them.
        votes = pool.votes.mean(axis=2)
        order = np.lexsort((pool.items, -np.round(votes, 6), -np.round(ranked, 9)), axis=1)
        items = np.take_along_axis(pool.items, order, axis=1)
        # One scale for all rows: places between 1 and 0 by the row's own number of candidates.
        ends = np.where(np.arange(items.shape[1]) == 0, 1.0, 0.0)
        steps = ladder(np.where(items < 0, -np.inf, ends))
        return lifted(np.mean(scores, axis=0), items, steps)
