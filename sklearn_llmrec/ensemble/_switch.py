"""One recommender for each kind of user."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sklearn_llmrec._kernels import dense
from sklearn_llmrec.base import Scores, recommend
from sklearn_llmrec.ensemble._members import BaseMembers, is_dropped, member_scores
from sklearn_llmrec.ensemble._reranker import same_pattern
from sklearn_llmrec.interactions import table_column
from sklearn_llmrec.utils import StrOptions, canonical, rows_without_entries


class SwitchRecommender(BaseMembers):
    r"""Route every row to one recommender, by the length of its history or a column about users.

    Parameters
    ----------
    estimators : list of (str, estimator) tuples
        Recommenders or Pipelines that end with one; its parameters are set as ``name__parameter``.
    by : {"length"}, str or callable, default="length"
        What decides. "length" is the number of items in the row; another text names a column of
        the user features that X carries (`Interactions.user_features`); a callable gets X and
        returns one value per row.
    thresholds : array-like of shape (n_estimators - 1,), default=None
        Increasing bounds where `by` gives numbers: member j takes values from ``thresholds[j - 1]``
        up to below ``thresholds[j]``. None with "length" splits the fitted users into equal parts;
        otherwise values are names of members.
    default : str, default=None
        Name of the member that takes rows whose value is missing or names no member; None is the
        last one.
    fit_on : {"all", "routed"}, default="all"
        Whether members learn from all rows or only from their own.
    n_jobs : int or None, default=None
        Number of members fitted in parallel. None means 1, -1 all processors.
    verbose : bool, default=False
        Print how long each member took to fit.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members.
    named_estimators_ : :class:`~sklearn.utils.Bunch`
        The fitted members by name.
    thresholds_ : ndarray of shape (n_estimators - 1,) or None
        The bounds in use.
    item_popularity_ : ndarray of shape (n_items,), float64
        Number of users who interacted with each item at `fit`.
    n_features_in_ : int
        Number of items.

    See Also
    --------
    FallbackRecommender : Several members for one row, one after the other.

    Notes
    -----
    Scores are those of the member in charge, so they compare within a row only. Cost: fits of all
    members; a row is scored by one.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.dummy import PopularityRecommender
    >>> from sklearn_llmrec.ensemble import SwitchRecommender
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]])
    >>> switch = SwitchRecommender(
    ...     [("new", PopularityRecommender()), ("known", ItemKNN())], thresholds=[2]
    ... )
    >>> switch.fit(X).route([[1, 0, 0, 0], [0, 1, 1, 0]])
    array(['new', 'known'], dtype='<U5')
    """

    _passes_on_known = True
    _parameter_constraints = {
        "estimators": [list],
        "by": [str, callable],
        "thresholds": ["array-like", None],
        "default": [str, None],
        "fit_on": [StrOptions({"all", "routed"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimators: list[tuple[str, Any]],
        *,
        by: str | Callable[[Any], ArrayLike] = "length",
        thresholds: ArrayLike | None = None,
        default: str | None = None,
        fit_on: Literal["all", "routed"] = "all",
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.estimators = estimators
        self.by = by
        self.thresholds = thresholds
        self.default = default
        self.fit_on = fit_on
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit(self, X: Any) -> None:
        names, members = self._checked_members()
        if any(is_dropped(member) for member in members):
            raise ValueError("A member of a switch cannot be 'drop': its rows would have nobody.")
        if self.default is not None and self.default not in names:
            raise ValueError(f"default must be one of the members {names}, got {self.default!r}.")
        self._names_ = names
        self.thresholds_ = self._checked_thresholds(X, len(names))
        rows = None
        self._refuse_strange_values(X)
        routes = self._routes(X)
        if self.fit_on == "routed":
            rows = [np.flatnonzero(routes == i) for i in range(len(names))]
            for name, member_rows in zip(names, rows):
                if not len(member_rows) or not canonical(X[member_rows]).nnz:
                    raise ValueError(
                        f"No interaction is routed to member {name!r}: change thresholds, or fit on "
                        "all rows (fit_on='all')."
                    )
        self._fit_members(X, rows=rows, n_jobs=self.n_jobs, verbose=self.verbose)
        empty = sp.csr_array((1, X.shape[1]), dtype=X.dtype)
        taker = self._route_of_empty_row()
        self._empty_row_scores_ = member_scores(self.estimators_[taker], empty)[0]

    def _checked_thresholds(self, X: Any, n_members: int) -> NDArray[np.float64] | None:
        if self.thresholds is None:
            if self.by != "length":
                return None
            lengths = np.diff(canonical(X).indptr)
            return np.quantile(lengths, np.arange(1, n_members) / n_members)
        thresholds = np.asarray(self.thresholds, dtype=np.float64)
        if thresholds.shape != (n_members - 1,):
            raise ValueError(
                f"thresholds must have one number less than there are members, {n_members - 1}; "
                f"got an array of shape {thresholds.shape}."
            )
        if not (np.isfinite(thresholds).all() and (np.diff(thresholds) > 0).all()):
            raise ValueError(f"thresholds must be finite and increasing, got {self.thresholds!r}.")
        return thresholds

    def _values(self, X: Any) -> NDArray[Any]:
        if self.by == "length":
            return np.diff(canonical(X).indptr)
        if callable(self.by):
            values = np.asarray(self.by(X))
        else:
            values = table_column(getattr(X, "user_features", None), "user_features", self.by)
        if values.shape != (X.shape[0],):
            raise ValueError(
                f"by must give one value per row of X, shape ({X.shape[0]},); got {values.shape}."
            )
        return values

    def _refuse_strange_values(self, X: Any) -> None:
        """Refuse a column of which no value is the name of a member: all rows would go to one member.

        Raises
        ------
        ValueError
            If values choose by name, and none is that of a member.
        """
        if self.thresholds_ is None:
            found = [str(value) for value in self._values(X).tolist()]
            if found and not set(found) & set(self._names_):
                raise ValueError(
                    f"by gives values such as {sorted(set(found))[:3]}, and none is the name of a member, "
                    f"{self._names_}: name the members after the values, or give thresholds."
                )

    def _default_route(self) -> int:
        return len(self._names_) - 1 if self.default is None else self._names_.index(self.default)

    def _route_of_empty_row(self) -> int:
        if self.by == "length" and self.thresholds_ is not None:
            return int(np.searchsorted(self.thresholds_, 0, side="right"))
        return self._default_route()

    def _routes(self, X: Any) -> NDArray[np.int64]:
        """Return the position of the responsible member for every row."""
        values = self._values(X)
        if self.thresholds_ is None:
            where = {name: i for i, name in enumerate(self._names_)}
            fallback = self._default_route()
            return np.array([where.get(str(v), fallback) for v in values.tolist()], dtype=np.int64)
        numbers = values.astype(np.float64)
        routes = np.searchsorted(self.thresholds_, numbers, side="right")
        return np.where(np.isnan(numbers), self._default_route(), routes)

    def route(self, X: Any) -> NDArray[np.str_]:
        """Return the name of the responsible member for every row.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            Histories.

        Returns
        -------
        names : ndarray of shape (n_users,)
        """
        return np.array(self._names_)[self._routes(self._check_X(X, reset=False))]

    def _fallback_scores(self) -> NDArray[Any]:
        return self._empty_row_scores_

    def _filled(self, scores: Any, X: Any) -> Scores:
        # The member in charge has filled rows without evidence in its own way.
        known = np.broadcast_to(~rows_without_entries(X)[:, None], X.shape)
        return Scores(dense(scores, X.dtype), known)

    def _score_rows(self, X: Any) -> NDArray[Any]:
        scores = np.empty(X.shape, dtype=X.dtype)
        routes = self._routes(X)
        for i in np.unique(routes):
            rows = np.flatnonzero(routes == i)
            scores[rows] = member_scores(self.estimators_[i], X[rows])
        return scores

    def _topk_rows(
        self, X: Any, k: int, seen: sp.csr_array | None
    ) -> tuple[NDArray[np.int64], NDArray[Any]] | None:
        if seen is not None and not same_pattern(seen, canonical(X)):
            return None
        items = np.full((X.shape[0], k), -1, dtype=np.int64)
        scores = np.full((X.shape[0], k), -np.inf, dtype=X.dtype)
        routes = self._routes(X)
        for i in np.unique(routes):
            rows = np.flatnonzero(routes == i)
            items[rows], scores[rows] = recommend(
                self.estimators_[i], X[rows], k, exclude_seen=seen is not None
            )
        return items, scores
