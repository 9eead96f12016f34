"""The base class of all scorers: hides interactions of the rows as given, and describes the scorer."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import needs_order
from sklearn_llmrec.metrics._inputs import checked_csr
from sklearn_llmrec.utils import (
    Interval,
    StrOptions,
    check_targets,
    rows_without_entries,
    validate_parameter_constraints,
)

_HOLDOUTS = {"hash", "random", "latest"}
_USERS = {"all", "with_history", "without_history"}


def common_holdout(holdout: str | None, estimators: Iterable[Any]) -> str:
    """Return what is hidden for all estimators: the latest events if one is sequential, as its `score` does."""
    if holdout is not None:
        return holdout
    return "latest" if any(needs_order(estimator) for estimator in estimators) else "hash"


def _hidden(X: Any, holdout: str, random_state: int, exclude_seen: bool) -> tuple[Any, Any]:
    """Return the visible and hidden entries of the rows as given."""
    from sklearn_llmrec.interactions import hide_by_hash, hide_latest, holdout_split

    if holdout == "latest":
        return hide_latest(X, exclude_seen=exclude_seen)
    if holdout == "random":
        return holdout_split(
            X, test_size=0.2, holdout="random", random_state=random_state, exclude_seen=exclude_seen
        )
    return hide_by_hash(X)


def row_matrix(X: Any) -> Any:
    """Return `X` in a type of which rows can be taken; an `Interactions` stays one."""
    return X if sp.issparse(X) and X.format == "csr" else checked_csr(X, "X")


class Scorer:
    """Base of ranking and rating scorers: hides interactions and describes itself."""

    _function: str
    _defaults: dict[str, Any]
    exclude_seen = True

    def __init__(self, metrics: Any, holdout: str | None, random_state: int, users: str) -> None:
        validate_parameter_constraints(
            {
                "holdout": [None, StrOptions(_HOLDOUTS)],
                "random_state": [Interval(Integral, 0, None, closed="left")],
                "users": [StrOptions(_USERS)],
            },
            {"holdout": holdout, "random_state": random_state, "users": users},
            caller_name=self._function,
        )
        self.metrics, self.holdout, self.random_state = metrics, holdout, random_state
        self.users = users

    def __repr__(self) -> str:
        options = [
            f", {name}={getattr(self, name)!r}"
            for name, default in self._defaults.items()
            if getattr(self, name) is not default and not _equal(getattr(self, name), default)
        ]
        return f"{self._function}({self.metrics!r}{''.join(options)})"

    def hide(self, X: Any, y: Any, estimators: Iterable[Any]) -> tuple[Any, sp.csr_array]:
        """Return what the estimators may see of `X` and must predict; without `y`, a part of `X` is hidden."""
        y = check_targets(y, X.shape)
        # The same entries are hidden for every estimator, so that figures can be compared.
        if y is None:
            holdout = common_holdout(self.holdout, estimators)
            X, y = _hidden(X, holdout, self.random_state, self.exclude_seen)
        return X, checked_csr(y, "y")

    def chosen(self, rows: NDArray[np.intp], has_history: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return those of some rows that `users` selects.

        Raises
        ------
        ValueError
            If none is left.
        """
        if self.users == "all":
            return rows
        kept = rows[has_history[rows] == (self.users == "with_history")]
        if not len(kept):
            with_history = "has" if self.users == "with_history" else "lacks"
            raise ValueError(
                f"users={self.users!r} leaves none of the {len(rows)} users to measure: no one of them "
                f"{with_history} a visible history. Pass users='all', or split the data in another way."
            )
        return kept


def has_history(visible: sp.csr_array) -> NDArray[np.bool_]:
    """Return which rows have a visible interaction; stored zeros are none."""
    return ~rows_without_entries(visible)


def _equal(value: Any, default: Any) -> bool:
    return np.isscalar(value) and np.isscalar(default) and bool(value == default)
