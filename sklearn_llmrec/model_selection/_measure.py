"""Measure models user by user, for tables and figures that compare several of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.base import last_step, named as named
from sklearn_llmrec.metrics import checked_csr, has_history, make_ranking, mean, parse_all
from sklearn_llmrec.utils import warn

# By name of a metric: one value per row (NaN where it is not defined), or one number for all rows.
Measured = dict[str, NDArray[np.float64] | float]


def measure_and_history(
    scorer: Any, estimator: Any, X: Any, y: Any = None
) -> tuple[Measured, NDArray[np.bool_]]:
    """Return what a `ranking_scorer` averages, and which rows of `X` were ranked from a visible history.

    The values are those of every row, none negated.
    """
    ranking, _, rows = scorer.rank(estimator, X, y)
    known = np.zeros(X.shape[0], dtype=bool)
    known[rows] = has_history(ranking.profile)
    return _values(scorer.requested, ranking, rows, X.shape[0]), known


def measure_lists(metrics: Any, y_true: Any, y_pred: Any, seen: Any = None) -> Measured:
    """Measure lists or scores with all metrics."""
    requested = parse_all(metrics)
    ranking = make_ranking(y_true, y_pred, max(request.k for request in requested) or None, seen)
    return _values(requested, ranking, np.arange(ranking.n_rows), ranking.n_rows)


def _values(requested: Any, ranking: Any, rows: NDArray[np.intp], n_rows: int) -> Measured:
    measured: Measured = {}
    for request in requested:
        if request.metric.per_user:
            values = np.full(n_rows, np.nan)
            values[rows] = request.values(ranking)
            measured[request.label] = values
        else:
            measured[request.label] = request.value(ranking)
    return measured


def figure(value: NDArray[np.float64] | float) -> float:
    """Return the one number of a metric: its mean over the users where it is defined."""
    return mean(value) if isinstance(value, np.ndarray) else value


def warn_if_fitted_on_targets(models: Mapping[str, Any], X: Any, y: Any) -> None:
    """Warn if fitted models are about to be measured on interactions that they were fitted on.

    A model that was fitted on exactly the interactions of `X` and `y` together has their popularity; without `y`, on
    those of `X`, of which a part is about to be hidden. A model fitted on more rows than these is not recognised.
    """
    visible = _pattern(X)
    whole = visible if y is None else visible + _pattern(y)
    counts = np.bincount(whole.indices, minlength=whole.shape[1])
    if y is not None and whole.nnz == visible.nnz:
        return  # all targets are repetitions of visible interactions
    flattered = [
        name
        for name, model in models.items()
        if np.array_equal(getattr(last_step(model), "item_popularity_", ()), counts)
    ]
    if flattered:
        hidden = "a part of X that is hidden now" if y is None else "the targets in y"
        warn(
            f"{', '.join(flattered)}: fitted on {hidden}, so the figure flatters. Hide before the fit: X, y = "
            "holdout_split(X), fit on X, and pass both; or measure on users that were not fitted."
        )


def _pattern(X: Any) -> sp.csr_array:
    """Return a one for every interaction."""
    M = checked_csr(X, "X")
    return sp.csr_array((np.ones(M.nnz, dtype=np.int8), M.indices, M.indptr), shape=M.shape)


def describe_users(n_users: int, n_without: int | None) -> str:
    """Return how many users count, and how many have no visible history, in words; None means unknown."""
    users = f"{n_users:,} user{'s' * (n_users != 1)}"
    if n_without is None:
        return users
    return f"{users}, {n_without:,} without history" if n_without else f"{users}, all with history"
