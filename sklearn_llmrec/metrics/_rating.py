"""Rating metrics and their scorer: errors of predicted values over the entries that were observed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from sklearn_llmrec.metrics._hits import Floats
from sklearn_llmrec.metrics._inputs import checked_csr
from sklearn_llmrec.metrics._registry import unknown_name
from sklearn_llmrec.metrics._scoring import Scorer, has_history, row_matrix
from sklearn_llmrec.utils import validate_parameter_constraints

__all__ = ["mae", "rating_scorer", "rmse"]

RATING_METRICS: dict[str, Callable[[Floats], float]] = {
    "rmse": lambda errors: float(np.sqrt(np.mean(errors**2))),
    "mae": lambda errors: float(np.mean(np.abs(errors))),
}


def _errors(y_true: Any, y_pred: Any) -> tuple[Floats, sp.csr_array]:
    """Return the error of every observed entry, and the observed matrix."""
    y_true = checked_csr(y_true, "y_true")
    if sp.issparse(y_pred):
        raise TypeError("y_pred is sparse: pass a dense prediction for every user and item.")
    y_pred = np.asarray(y_pred)
    if y_pred.dtype.kind not in "biuf":
        raise TypeError(f"y_pred must contain numbers, got dtype {y_pred.dtype}.")
    if y_pred.shape != y_true.shape:
        raise ValueError(
            f"y_pred has shape {y_pred.shape} and y_true has shape {y_true.shape}: both must be equal."
        )
    if not y_true.nnz:
        raise ValueError(
            "y_true contains no rating (every entry is zero): there is nothing to measure."
        )
    rows = np.repeat(np.arange(y_true.shape[0]), np.diff(y_true.indptr))
    errors = y_true.data.astype(np.float64) - y_pred[rows, y_true.indices]
    if np.isnan(errors).any():
        first_nan = int(np.flatnonzero(np.isnan(errors))[0])
        raise ValueError(
            f"y_pred contains NaN at an observed entry, first in row {rows[first_nan]}, column "
            f"{y_true.indices[first_nan]}."
        )
    return errors, y_true


def _per_user(values: Floats, y_true: sp.csr_array) -> Floats:
    counts = np.diff(y_true.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    means = np.full(len(counts), np.nan)
    # Where there is no rating nothing is divided: the mean stays NaN, and numpy gives no warning.
    np.divide(np.bincount(rows, values, len(counts)), counts, out=means, where=counts > 0)
    return means


def rmse(y_true: Any, y_pred: Any, *, per_user: bool = False) -> Any:
    """Compute the root mean squared error over the observed (non-zero) entries of `y_true`.

    Parameters
    ----------
    y_true : {array-like, sparse} of shape (n_users, n_items)
        The ratings; zero is no rating.
    y_pred : array-like of shape (n_users, n_items)
        Predictions; only those at observed entries are read.
    per_user : bool, default=False
        Whether to return the error of every row (NaN without ratings) instead of the one over all entries.

    Returns
    -------
    error : float or ndarray of shape (n_users,)
        0 or more; lower is better.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import rmse
    >>> rmse(np.array([[5, 0], [0, 2]]), np.array([[4.0, 9.0], [9.0, 2.0]]), per_user=True)
    array([1., 0.])
    """
    validate_parameter_constraints(
        {"per_user": ["boolean"]}, {"per_user": per_user}, caller_name="rmse"
    )
    errors, y_true = _errors(y_true, y_pred)
    return np.sqrt(_per_user(errors**2, y_true)) if per_user else RATING_METRICS["rmse"](errors)


def mae(y_true: Any, y_pred: Any, *, per_user: bool = False) -> Any:
    """Compute the mean absolute error over the observed (non-zero) entries of `y_true`.

    Parameters
    ----------
    y_true, y_pred, per_user
        As in `rmse`.

    Returns
    -------
    error : float or ndarray of shape (n_users,)
        0 or more; lower is better.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.metrics import mae
    >>> mae(np.array([[5, 0], [0, 2]]), np.array([[4.0, 9.0], [9.0, 2.0]]))
    0.5
    """
    validate_parameter_constraints(
        {"per_user": ["boolean"]}, {"per_user": per_user}, caller_name="mae"
    )
    errors, y_true = _errors(y_true, y_pred)
    return _per_user(np.abs(errors), y_true) if per_user else RATING_METRICS["mae"](errors)


class _RatingScorer(Scorer):
    """A callable ``(estimator, X, y=None)``; see `rating_scorer`."""

    _function = "rating_scorer"
    _defaults = {"holdout": None, "random_state": 0, "users": "all"}
    greater_is_better = False

    def __init__(self, metric: str, holdout: str | None, random_state: int, users: str) -> None:
        if metric not in RATING_METRICS:
            raise unknown_name(metric, sorted(RATING_METRICS), "rating metric")
        super().__init__(metric, holdout, random_state, users)

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score a fitted estimator; the error is negated."""
        visible, targets = self.hide(row_matrix(X), y, [estimator])
        rows = np.flatnonzero(np.diff(targets.indptr))
        if not len(rows):
            raise ValueError("No row of y contains a rating: there is nothing to measure.")
        if self.users != "all":
            rows = self.chosen(rows, has_history(checked_csr(visible, "X")))
            visible, targets = visible[rows], targets[rows]
            rows = np.arange(len(rows))  # `visible` and `targets` contain only the chosen rows now
        predicted = np.empty(targets.nnz)
        # Predictions are dense: rows are predicted in blocks of about 4 million, and only the rated items are kept.
        size = max(1, 2**22 // targets.shape[1])
        for begin in range(0, len(rows), size):
            chunk = rows[begin : begin + size]
            block = np.asarray(estimator.predict(visible[chunk]))
            part = targets[chunk]
            block_rows = np.repeat(np.arange(len(chunk)), np.diff(part.indptr))
            # The rows between two chosen ones have no rating, so the entries of a block are consecutive.
            first = targets.indptr[chunk[0]]
            predicted[first : first + part.nnz] = block[block_rows, part.indices]
        return -RATING_METRICS[self.metrics](targets.data.astype(np.float64) - predicted)


def rating_scorer(
    metric: str, *, holdout: str | None = None, random_state: int = 0, users: str = "all"
) -> Any:
    """Make a scorer of rating prediction for scikit-learn's searches and validations.

    Parameters
    ----------
    metric : {"rmse", "mae"}
        The error over the observed (non-zero) entries of `y`, all users pooled.
    holdout : {"hash", "random", "latest"}, default=None
        What is hidden in the rows of `X` where no `y` is given, as in `ranking_scorer`.
    random_state : int, default=0
        Seed of ``holdout="random"``.
    users : {"all", "with_history", "without_history"}, default="all"
        Whose ratings count, as in `ranking_scorer`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None)``, the error negated so that greater is better. Picklable.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from sklearn_llmrec.metrics import rating_scorer
    >>> rating_scorer("rmse")
    rating_scorer('rmse')
    """
    return _RatingScorer(metric, holdout, random_state, users)
