"""Weighted vote of several recommenders."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec.base import needs_order
from sklearn_llmrec.ensemble._hidden import (
    HIDING_CONSTRAINTS,
    hidden_fits,
    joined_pools,
    pool_with_targets,
)
from sklearn_llmrec.ensemble._members import BaseMembers, is_dropped, member_scores
from sklearn_llmrec.ensemble._normalize import normalizer
from sklearn_llmrec.ensemble._weights import LEAST_USERS, learn_weights
from sklearn_llmrec.utils import Interval, StrOptions, canonical, warn

# Weights are learned on the union of so many first items of each member.
_POOL = 50


class VotingRecommender(BaseMembers):
    r"""Weighted mean of the scores of several recommenders.

    The scores of every member are scaled within each user, over all items, seen or not, candidates or not. A vote
    thus does not depend on the items that are requested. Then

    .. math:: s_{ui} = \frac{\sum_m w_m \, \mathrm{norm}(s^{(m)}_u)_i}{\sum_m w_m} .

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        Recommenders, or Pipelines that end with one. Clones of them are fitted. A member set to
        ``"drop"`` by ``set_params(name="drop")`` is left out; its parameters are set as
        ``name__parameter``.
    weights : array-like, "learn" or None, default=None
        Weights >= 0 of the members, dropped ones included, of shape (n_estimators,), or (n_bins, n_estimators) with
        `activity_bins`. None weights all alike. A member of weight 0 is fitted and does not vote. "learn" hides a
        part of some rows inside `fit` (see `holdout`) and fits clones of the members on what remains. It finds the
        weights under which the hidden items are most likely. Then the members are fitted on everything: `n_hidings` +
        1 fits of each. A `y` is never read. Where fewer than 30 rows have hidden items, all weights are alike, with a
        warning.
    normalize : {"minmax", "zscore", "rank", "rrf", "borda"} or None, default="zscore"
        Scale of the votes of a member. "minmax": from 0 to 1. "zscore": mean 0 and standard deviation 1. "rank": from
        1 (best) down to 0 (worst). "rrf", reciprocal rank fusion: ``1 / (rrf_k + rank)`` with ranks from 1. "borda":
        points from 1 (best) down to 0 after the first hundred places. None adds the scores as they are. Equal scores
        share the mean of their ranks.
    rrf_k : float, default=60
        Larger values make the first ranks less special. Only for ``normalize="rrf"``.
    activity_bins : int, array-like or None, default=None
        Groups of users by the number of items in their rows: a number of groups of equal size, or increasing bounds
        between them. Each group has weights of its own, so that new users can rely on one member and active users on
        another. The weights are learned, or `weights` has one row for each group.
    learn_users : int or None, default=3000
        How many users of every hiding, drawn at random, weights are learned on; None takes all. The rows of other
        users stay whole in the fits of the clones, which are then close to the members in the end.
    holdout : {"auto", "hash", "latest", "time"}, default="auto"
        What is hidden to learn weights. "hash": any items of a row, chosen by a hash. "latest": the latest events of
        each row. "time": all events from one time on, as a service meets them. Members then know nothing of that
        time, rows that begin later do not count, X needs timestamps, and `max_hidden` does not apply.
        "auto" hides the latest where a member is a sequential model. Choose the setting of later use:
        what comes next, or what else belongs to a history.
    test_size : float, default=0.2
        Share of a row that is hidden to learn from, at least one entry. Less leaves the members closer to what
        they are in the end.
    max_hidden : int or None, default=5
        How many interactions of a row are hidden at most, whatever `test_size` says; None sets no limit. Users with
        long rows then lose no more than others, and members that know whole histories are not judged on halves of
        them. Of the latest events whole baskets are hidden, as few as contain so many.
    n_hidings : int, default=1
        How many times a part is hidden and the members are fitted on the rest: another choice each time, or, of the
        latest events, a step further back. Everything is learned on all of them together.
    exclude_seen : bool, default=True
        Whether weights are learned for lists without the items that a row contains already. False where people buy
        again; use ``recommend(..., exclude_seen=False)`` then.
    n_jobs : int or None, default=None
        Number of members fitted in parallel. None means 1, -1 all processors.
    verbose : bool, default=False
        Print how long each member took to fit.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members, without dropped ones.
    named_estimators_ : :class:`~sklearn.utils.Bunch`
        The fitted members by name; ``"drop"`` for dropped ones.
    weights_ : ndarray of shape (n_members,) or (n_bins, n_members)
        The weights in use, without those of dropped members; they sum to 1.
    activity_bounds_ : ndarray or None
        The bounds between groups of users.
    n_features_in_ : int
        Number of items.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.

    See Also
    --------
    sklearn.ensemble.VotingRegressor : The same composition for regressors.

    Notes
    -----
    Members get `X` with the times and tables that it carries. If one of them is a sequential model,
    so is the vote: `score` hides the latest interactions. Cost: that of the members, and for ranks
    O(n_items log n_items) a user.

    References
    ----------
    E. A. Fox and J. A. Shaw (1994), "Combination of multiple searches", TREC-2 (sums of normalised
    scores). G. V. Cormack, C. L. A. Clarke and S. Buettcher (2009), "Reciprocal rank fusion
    outperforms Condorcet and individual rank learning methods", SIGIR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_llmrec import ItemKNN, VotingRecommender
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.preprocessing import BM25Transformer
    >>> X = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0]])
    >>> voting = VotingRecommender(
    ...     [
    ...         ("knn", make_pipeline(BM25Transformer(), ItemKNN())),
    ...         ("popular", PopularityRecommender()),
    ...     ],
    ...     weights=[2, 1],
    ... )
    >>> items, scores = voting.fit(X).recommend(X[1:2], k=2)
    >>> items
    array([[2, 3]])
    """

    _parameter_constraints = {
        "estimators": [list],
        "weights": ["array-like", StrOptions({"learn"}), None],
        "normalize": [StrOptions({"minmax", "zscore", "rank", "rrf", "borda"}), None],
        "rrf_k": [Interval(Real, 0, None, closed="left")],
        "activity_bins": [Interval(Integral, 2, None, closed="left"), "array-like", None],
        **HIDING_CONSTRAINTS,
        "n_jobs": [int, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        weights: ArrayLike | Literal["learn"] | None = None,
        normalize: Literal["minmax", "zscore", "rank", "rrf", "borda"] | None = "zscore",
        rrf_k: float = 60,
        activity_bins: int | ArrayLike | None = None,
        learn_users: int | None = 3000,
        holdout: Literal["auto", "hash", "latest", "time"] = "auto",
        test_size: float = 0.2,
        max_hidden: int | None = 5,
        n_hidings: int = 1,
        exclude_seen: bool = True,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.normalize = normalize
        self.rrf_k = rrf_k
        self.activity_bins = activity_bins
        self.learn_users = learn_users
        self.holdout = holdout
        self.test_size = test_size
        self.max_hidden = max_hidden
        self.n_hidings = n_hidings
        self.exclude_seen = exclude_seen
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit(self, X: Any) -> None:
        self._checked_members()
        given = None if isinstance(self.weights, str) else self._checked_weights()
        self.activity_bounds_ = self._checked_bounds(X)
        if given is None:
            given = self._learned(X)
        self._fit_members(X, n_jobs=self.n_jobs, verbose=self.verbose)
        self.weights_ = given

    def _checked_bounds(self, X: Any) -> NDArray[np.float64] | None:
        """Validate and return the bounds between groups of history lengths."""
        if self.activity_bins is None:
            return None
        if isinstance(self.activity_bins, Integral):
            lengths = np.diff(canonical(X).indptr)
            steps = np.linspace(0, 1, int(self.activity_bins) + 1)[1:-1]
            return np.unique(np.quantile(lengths[lengths > 0], steps))
        bounds = np.asarray(self.activity_bins, dtype=np.float64)
        if bounds.ndim != 1 or not np.isfinite(bounds).all() or (np.diff(bounds) <= 0).any():
            raise ValueError(
                f"activity_bins must be a number of groups or increasing bounds, got "
                f"{self.activity_bins!r}."
            )
        return bounds

    def _checked_weights(self) -> NDArray[np.float64]:
        """Return the weights of the members that are not dropped, which sum to 1, one row per activity group."""
        members = self._checked_members()[1]
        weights = np.ones(len(members))
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=np.float64)
        if weights.ndim == 2 and isinstance(self.activity_bins, (list, tuple, np.ndarray)):
            shape: tuple[int, ...] = (len(self.activity_bins) + 1, len(members))
        else:
            shape = (len(members),)
        if weights.shape != shape:
            raise ValueError(
                f"weights must contain one number per member, {len(members)} (dropped ones included), "
                "or, where activity_bins gives bounds, one row of them for each group; got an "
                f"array of shape {weights.shape}."
            )
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(f"weights must be finite and >= 0, got {self.weights!r}.")
        weights = weights[..., [not is_dropped(member) for member in members]]
        if not weights.any(axis=-1).all():
            raise ValueError(
                "No member is left to vote: all are 'drop' or have weight 0. At least one must be "
                "a recommender of positive weight."
            )
        return weights / weights.sum(axis=-1, keepdims=True)

    def _learned(self, X: Any) -> NDArray[np.float64]:
        """Learn weights on hidden interactions, one row per activity group where there are groups."""
        parts = []
        for fitted, _, visible, hidden in hidden_fits(self, X):
            part = pool_with_targets(
                fitted,
                visible,
                hidden,
                normalizer(self.normalize, self.rrf_k),
                _POOL,
                self.exclude_seen,
            )
            parts.append(part)
        pool = joined_pools(parts)
        assert pool.n_targets is not None
        n_rows = int((pool.n_targets > 0).sum())
        if n_rows < LEAST_USERS:
            warn(
                f"{n_rows} rows with hidden items are too few to learn weights from: all members vote alike. "
                f"Weights are learned from {LEAST_USERS} rows on."
            )
            n_members = pool.votes.shape[2]
            common = np.full(n_members, 1 / n_members)
        else:
            common = learn_weights(pool)
        if self.activity_bounds_ is None:
            return common
        # Lengths at predict are those of whole histories: what is hidden counts here.
        groups = np.searchsorted(self.activity_bounds_, pool.lengths + pool.n_targets, side="right")
        learned = np.tile(common, (len(self.activity_bounds_) + 1, 1))
        for group in np.unique(groups):
            mine = groups == group
            if mine.sum() >= LEAST_USERS:
                learned[group] = learn_weights(pool, common, mine)
        return learned

    def _row_weights(self, X: Any) -> NDArray[np.float64]:
        """Return the weights of every member, for every row or once for all rows."""
        if self.weights_.ndim == 1:
            return self.weights_[None, :]
        assert self.activity_bounds_ is not None
        lengths = np.diff(canonical(X).indptr)
        return self.weights_[np.searchsorted(self.activity_bounds_, lengths, side="right")]

    def _score_rows(self, X: Any) -> NDArray[Any]:
        normalize = normalizer(self.normalize, self.rrf_k)
        votes = np.zeros(X.shape)
        weights = self._row_weights(X)
        for i, member in enumerate(self.estimators_):
            if weights[:, i].any():
                # A vote with a sequential member accepts times of any size; other members still check weights.
                validated = needs_order(member) or not self._tags_.needs_order
                scores = member_scores(member, X, validated=validated)
                votes += weights[:, [i]] * normalize(scores.astype(np.float64))
        return votes
