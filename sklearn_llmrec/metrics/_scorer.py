"""Scorers: metrics by name for scikit-learn's searches, from one ranking each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import last_step
from sklearn_llmrec.interactions import column_names, table_column
from sklearn_llmrec.metrics._exposure import check_features, check_popularity
from sklearn_llmrec.metrics._hits import Ranking, pattern_without
from sklearn_llmrec.metrics._inputs import checked_csr
from sklearn_llmrec.metrics._registry import mean, metric_names, parse_all, unknown_name
from sklearn_llmrec.metrics._scoring import Scorer, has_history, row_matrix
from sklearn_llmrec.utils import validate_parameter_constraints

__all__ = ["get_ranking_scorer_names", "ranking_scorer"]


class _RankingScorer(Scorer):
    """A callable ``(estimator, X, y=None)``; see `ranking_scorer`."""

    _function = "ranking_scorer"
    _defaults = {
        "holdout": None,
        "exclude_seen": True,
        "random_state": 0,
        "groups": None,
        "item_features": None,
        "users": "all",
    }

    def __init__(
        self,
        metrics: Any,
        holdout: str | None,
        exclude_seen: bool,
        random_state: int,
        groups: Any,
        item_features: Any,
        users: str,
    ) -> None:
        super().__init__(metrics, holdout, random_state, users)
        self.requested = parse_all(metrics)
        validate_parameter_constraints(
            {"exclude_seen": ["boolean"]},
            {"exclude_seen": exclude_seen},
            caller_name=self._function,
        )
        if groups is not None and not isinstance(groups, str) and np.ndim(groups) != 1:
            raise ValueError(
                "groups must be 'activity', 'history', a column of X.user_features, or one label per row; got "
                f"{type(groups).__name__} of {np.ndim(groups)} dimension(s)."
            )
        self.exclude_seen, self.groups, self.item_features = exclude_seen, groups, item_features

    @property
    def greater_is_better(self) -> dict[str, bool]:
        """By name, whether a larger value of the metric is better; where not, the score is negated."""
        return {request.label: request.metric.greater_is_better for request in self.requested}

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> Any:
        """Score a fitted estimator: a float for one name, a dict for a list or groups."""
        X = row_matrix(X)
        ranking, visible, rows = self.rank(estimator, X, y)
        scores: dict[str, float] = {}
        groups = [] if self.groups is None else list(self._groups(X, visible, rows))
        for request in self.requested:
            sign = 1 if request.metric.greater_is_better else -1
            if request.metric.per_user:
                values = request.values(ranking)
                scores[request.label] = sign * mean(values)
                for label, members in groups:
                    scores[f"{request.label}[{label}]"] = sign * mean(values[members])
            else:
                scores[request.label] = sign * request.value(ranking)
                for label, members in groups:
                    # Such a metric (coverage, Gini) is no mean over users: the lists of the group are measured anew.
                    part = request.value(ranking.rows(members)) if len(members) else np.nan
                    scores[f"{request.label}[{label}]"] = sign * part
        if isinstance(self.metrics, str) and self.groups is None:
            return scores[self.metrics]
        return scores

    def per_user(self, estimator: Any, X: Any, y: Any = None) -> dict[str, NDArray[np.float64]]:
        """Return the values of every row of X, NaN where a metric is not defined; none is negated.

        Raises
        ------
        ValueError
            If a metric is one number for all users.
        """
        for request in self.requested:
            if not request.metric.per_user:
                raise ValueError(
                    f"{request.label!r} is one number for all users, without a value per user."
                )
        X = row_matrix(X)
        ranking, _, rows = self.rank(estimator, X, y)
        result = {}
        for request in self.requested:
            result[request.label] = np.full(X.shape[0], np.nan)
            result[request.label][rows] = request.values(ranking)
        return result

    def _needs(self, what: str) -> bool:
        return any(what in request.metric.needs for request in self.requested)

    def rank(self, estimator: Any, X: Any, y: Any) -> tuple[Ranking, Any, NDArray[np.intp]]:
        """Return the lists with all that the metrics read, the visible matrix, and the rows that were ranked."""
        visible, targets = self.hide(X, y, [estimator])
        profile = checked_csr(visible, "X")
        # A target that the row already shows can never be recommended: it would lower every model's figure alike.
        if self.exclude_seen:
            targets = pattern_without(targets, profile)
        if self._needs("targets") and not targets.nnz:
            raise ValueError(
                "No row has a target: with y=None a row needs two interactions or more, and a target that the row "
                "already contains does not count unless exclude_seen=False."
            )
        rows = np.arange(visible.shape[0])
        # Lists of rows without targets are needed only by metrics such as coverage.
        if all("targets" in request.metric.needs for request in self.requested):
            rows = np.flatnonzero(np.diff(targets.indptr))
        rows = self.chosen(rows, has_history(profile))
        if len(rows) < visible.shape[0]:
            visible, targets, profile = visible[rows], targets[rows], profile[rows]
        ranking = self._lists(estimator, visible, targets, profile)
        self._describe(ranking, estimator)
        return ranking, visible, rows

    def _lists(
        self, estimator: Any, visible: Any, targets: sp.csr_array, profile: sp.csr_array
    ) -> Ranking:
        from sklearn_llmrec.base import recommend

        n_items = targets.shape[1]
        k = max(request.k for request in self.requested)
        # R-precision reads as many places as the row has targets, whatever the cut-offs of the other metrics.
        if any(request.metric.name == "r_precision" for request in self.requested):
            k = max(k, int(np.diff(targets.indptr).max()))
        if k > n_items:
            worst = max(self.requested, key=lambda request: request.k)
            raise ValueError(f"{worst.label!r} ranks {worst.k} items, and X has {n_items} columns.")
        items = np.empty((targets.shape[0], 0), dtype=np.int64)
        if k:
            items, _ = recommend(estimator, visible, k, exclude_seen=self.exclude_seen)
        seen = profile if self.exclude_seen else None
        ranking = Ranking(items, n_items, targets, seen, profile)
        if self._needs("scores"):
            # Called block by block: dense scores of all users may not fit.
            ranking.scores = lambda rows: estimator.predict(visible[rows])
        return ranking

    def _describe(self, ranking: Ranking, estimator: Any) -> None:
        """Add popularity and features if a metric reads them."""
        if self._needs("popularity"):
            last = last_step(estimator)
            popularity = getattr(last, "item_popularity_", None)
            if popularity is None:
                raise ValueError(
                    f"{self.metrics!r} needs the popularity of the items, and {type(last).__name__} has no "
                    "item_popularity_: score a fitted recommender of this package, or a Pipeline or search over one."
                )
            ranking.popularity = check_popularity(popularity, ranking.n_items)
            ranking.n_users = getattr(last, "n_users_fit_", None)
        if self._needs("item_features"):
            if self.item_features is not None:
                ranking.item_features = check_features(self.item_features, ranking.n_items)
            # Without features, items are compared by their users; calibration needs real groups.
            elif not self._needs("profile"):
                assert ranking.profile is not None
                ranking.item_features = sp.csr_array(ranking.profile.T)

    def _groups(
        self, X: Any, visible: Any, rows: NDArray[np.intp]
    ) -> Iterator[tuple[Any, NDArray[np.intp]]]:
        """Yield labels and members (positions in the ranking) of every group of users."""
        if isinstance(self.groups, str) and self.groups == "history":
            known = has_history(checked_csr(visible, "X"))
            yield "with_history", np.flatnonzero(known)
            yield "without_history", np.flatnonzero(~known)
            return
        if isinstance(self.groups, str) and self.groups == "activity":
            counts = np.diff(visible.indptr)
            third, two_thirds = np.quantile(counts, [1 / 3, 2 / 3])
            yield "low", np.flatnonzero(counts <= third)
            yield "mid", np.flatnonzero((counts > third) & (counts <= two_thirds))
            yield "high", np.flatnonzero(counts > two_thirds)
            return
        labels = (
            _user_column(X, self.groups)
            if isinstance(self.groups, str)
            else np.asarray(self.groups)
        )
        if len(labels) != X.shape[0]:
            raise ValueError(
                f"groups contains {len(labels)} labels and X has {X.shape[0]} rows. Where rows are split "
                "(cross-validation), name a column of X.user_features: it is split with them."
            )
        labels = labels[rows]  # labels belong to rows of X, members to rows of the ranking
        for label in np.unique(labels):
            yield label, np.flatnonzero(labels == label)


def _user_column(X: Any, name: str) -> NDArray[Any]:
    """Return a column of the user features of `X`.

    Raises
    ------
    ValueError
        If `X` has no user features, or none of this name.
    """
    table = getattr(X, "user_features", None)
    if table is None:
        raise ValueError(
            f"groups={name!r} names a column of user features, and X has none: build it with "
            "Interactions(..., user_features=table), or use groups='activity' or 'history'."
        )
    known = column_names(table)
    if not known:
        raise ValueError(f"groups={name!r} needs X.user_features to be a table with named columns.")
    if name not in known:
        raise unknown_name(name, [*known, "activity", "history"], "group")
    return table_column(table, "user_features", name)


def ranking_scorer(
    metrics: Any,
    *,
    holdout: str | None = None,
    exclude_seen: bool = True,
    random_state: int = 0,
    groups: Any = None,
    item_features: Any = None,
    users: str = "all",
) -> Any:
    """Make a scorer of ranking metrics for scikit-learn's searches and validations.

    The scorer is a callable ``scorer(estimator, X, y=None)``. With `y`, the held-out interactions of the rows of `X`,
    it ranks `X` and measures against `y`. Without `y`, it hides a fifth of every row of at least two interactions,
    ranks the rest, and measures against what was hidden. It hides them in `X` as given, before any step of a
    Pipeline, so all candidates of a search are measured on the same interactions.

    Parameters
    ----------
    metrics : str or list of str
        Names with cut-offs, such as ``"ndcg@10"``; `get_ranking_scorer_names` lists them. Several are computed from one
        ranking and returned as a dict: pass ``refit="ndcg@10"`` to the search.
    holdout : {"hash", "random", "latest"}, default=None
        What is hidden without `y`: chosen by a hash of the row, at random, or the latest. None hides what `score` of
        the recommender hides: the latest for sequential models, else by hash. Name it where a search has candidates of
        both kinds.
    exclude_seen : bool, default=True
        Whether items of the visible row are neither recommended nor count as targets.
    random_state : int, default=0
        Seed of ``holdout="random"``; a number, so that every candidate has the same hidden.
    groups : str or array-like of shape (n_users,), default=None
        Groups of users that are also scored apart, as ``"ndcg@10[group]"`` in a dict. "history": users with and
        without a visible interaction (with_history, without_history). "activity": thirds of the users by the number
        of visible interactions (low, mid, high). Else the name of a column of ``X.user_features``, or one label per
        row. A group without a value is NaN.
    item_features : {array-like, sparse} of shape (n_items, n_features), default=None
        What diversity and calibration read. Without it, diversity compares the columns of the visible matrix.
    users : {"all", "with_history", "without_history"}, default="all"
        Which users are ranked and averaged: all, or only those with, or without, a visible interaction. Users without
        one get the same list from nearly every model, so where they are many (time splits of young data) a figure over
        all users hides the differences: tune with ``users="with_history"``, and report both.

    Returns
    -------
    scorer : callable
        Picklable. Metrics of which less is better (gini, popularity, miscalibration) are negated, so that greater is
        better for every score; ``scorer.greater_is_better`` names which. ``scorer.per_user(estimator, X, y)`` returns
        the values of every row, not negated.

    Raises
    ------
    ValueError
        If a name is unknown, or a parameter out of range.

    See Also
    --------
    rating_scorer : The same for predicted ratings.
    ranking_metrics : The same for lists or scores at hand.

    Notes
    -----
    Only rows with targets are ranked unless a metric reads all lists. Popularity (for novelty, serendipity and
    popularity) is that of the fitted recommender, found in Pipelines and searches.

    Pass the scorer itself as `scoring`. scikit-learn knows the names of its own metrics only: it refuses
    ``scoring="ndcg@10"`` with the list of them, and ``scoring=ranking_scorer("ndcg@10")`` is what was meant.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_llmrec.metrics import ranking_scorer
    >>> scorer = ranking_scorer(["ndcg@10", "item_coverage@10"], holdout="latest")
    >>> scorer
    ranking_scorer(['ndcg@10', 'item_coverage@10'], holdout='latest')
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> search = GridSearchCV(PopularityRecommender(), {}, scoring=scorer, refit="ndcg@10")
    """
    if not isinstance(metrics, str) and np.iterable(metrics):
        metrics = list(metrics)
    return _RankingScorer(
        metrics, holdout, exclude_seen, random_state, groups, item_features, users
    )


def get_ranking_scorer_names() -> list[str]:
    """Return the names that `ranking_scorer` and `ranking_metrics` accept; k is a placeholder for any cut-off.

    Returns
    -------
    names : list of str

    Examples
    --------
    >>> from sklearn_llmrec.metrics import get_ranking_scorer_names
    >>> get_ranking_scorer_names()[:4]
    ['auc', 'capped_recall@k', 'cold_items@k', 'diversity@k']
    """
    return metric_names()
