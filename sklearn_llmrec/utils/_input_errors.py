"""Name the cause and the remedy if X is not a numeric user-by-item matrix."""

from os import PathLike
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import validate_data

from sklearn_llmrec.utils._values import ready_to_sum

_BUILD = "build one from a table of events with Interactions.from_frame(df, user=..., item=...)."
SAME_COLUMNS = "Interactions.from_frame(..., items=model.item_ids_) builds a matrix with the columns of the fit."
_ROW_OF_IDS = (
    " A list of item ids is no row: a row has one value per item of the fit. Interactions.from_frame(table_of_ids, "
    "user=..., item=..., items=model.item_ids_) builds rows from ids."
)


def validated(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Run scikit-learn's `validate_data` on X; add the remedy for a user-by-item matrix to its refusals.

    Parameters
    ----------
    estimator : object
        The estimator, named in messages.
    X : object
        What was given.
    reset : bool
        True at fit, False afterwards.

    Returns
    -------
    X : ndarray, csr_array, csr_matrix or Interactions of shape (n_users, n_items)
        float32 or float64.

    Raises
    ------
    ValueError
        If X is not a finite matrix of numbers, or has another number of columns than at fit.
    TypeError
        If X is a path, a lazy table, or contains dates or other objects.
    """
    if not reset and is_plain(estimator, X) and bool(np.isfinite(X.data).all()):
        return X
    name = type(estimator).__name__
    _refuse_other_kinds(X, name)
    try:
        return validate_data(
            estimator,
            ready_to_sum(X),
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            reset=reset,
        )
    except (TypeError, ValueError) as error:
        advice = _advice(str(error), estimator, X, reset=reset)
        if not advice:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        if "NaN" in str(error):
            # Its next lines recommend classifiers and imputers, which fill a rating that nobody gave.
            raise kind(f"{str(error).splitlines()[0]} {advice}") from None
        raise kind(f"{str(error).rstrip('. ')}. {advice}") from error


def is_plain(estimator: Any, X: Any) -> bool:
    """Return whether X is a csr matrix as `validate_data` returns it, if its values are finite.

    A request for one user takes less time than the general checks, which look for tables and feature names first.
    """
    return (
        isinstance(X, sp.csr_array)
        and X.dtype.char in "df"
        and X.ndim == 2
        and X.shape[0] > 0
        and X.shape[1] == vars(estimator).get("n_features_in_")
        and not hasattr(estimator, "feature_names_in_")
    )


def _refuse_other_kinds(X: Any, name: str) -> None:
    """Refuse paths, lazy tables and dates, for which scikit-learn's message is unclear."""
    if isinstance(X, (str, bytes, PathLike)):
        raise TypeError(
            f"X is the text or path {X!r}, and {name} takes a numeric user-by-item matrix: read the file first, for "
            f"example with pandas.read_csv, and {_BUILD}"
        )
    if hasattr(X, "collect") and not hasattr(X, "to_numpy"):
        raise TypeError(f"X is a lazy table: collect it first. {name} takes a matrix; {_BUILD}")
    columns = [str(column) for column in getattr(X, "columns", ())] if not sp.issparse(X) else []
    kinds = [str(kind) for kind in np.atleast_1d(getattr(X, "dtypes", getattr(X, "dtype", "")))]
    dates = [place for place, kind in enumerate(kinds) if kind.lower().startswith(("date", "time"))]
    if dates:
        where = f"column {columns[dates[0]]!r} of X" if columns else "X"
        raise TypeError(
            f"{name} takes a numeric user-by-item matrix, and {where} contains dates ({kinds[dates[0]]}). If X is a "
            "log of events, Interactions.from_frame(df, user=..., item=..., timestamp=...) builds the matrix from it."
        )


def _advice(error: str, estimator: Any, X: Any, *, reset: bool) -> str:
    """Return the remedy for a refusal of scikit-learn; empty if its message is enough."""
    name = type(estimator).__name__
    if "NaN" in error:
        return (
            "In a pivot table NaN means a rating that nobody gave: fill it with 0, df.fillna(0), since "
            f"{name} reads 0 as no interaction. Interactions.from_frame(df, user=..., item=..., value=...) builds the "
            "matrix from the log without a pivot and drops events whose value is missing."
        )
    if "infinity" in error:
        return "Drop or clip the infinite values."
    if " features, but " in error:
        return _advice_on_width(estimator, X, reset=reset)
    if "Expected 2D" in error:
        return (
            "Rows are histories: X[[row]] is one row as a matrix, X[X.user_rows(ids)] those of user ids."
            + ("" if reset else _ROW_OF_IDS)
        )
    if "could not convert string" in error:
        return f"{name} takes a numeric user-by-item matrix; {_BUILD}" + (
            "" if reset else _ROW_OF_IDS
        )
    if "inhomogeneous" in error or "with a sequence" in error:
        return f"{name} takes a matrix with one value per user and item; {_BUILD}" + _ROW_OF_IDS
    if "must be a string or a real number" in error:
        return f"{name} takes a numeric user-by-item matrix; {_BUILD}"
    return ""


def _advice_on_width(estimator: Any, X: Any, *, reset: bool) -> str:
    """Return possible causes for an X with another number of columns than at fit."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    users = getattr(estimator, "n_users_fit_", None)
    if not reset and tuple(shape) == (estimator.n_features_in_, users):
        return (
            "X has exactly the transposed shape of the matrix given to fit: rows are users and columns are items, so "
            "pass X.T."
        )
    if (
        hasattr(estimator, "item_ids_")
        and sp.issparse(X)
        and getattr(X, "item_ids", None) is not None
    ):
        return SAME_COLUMNS
    return f"The columns of X must be the items of the fit, in its order.{_ROW_OF_IDS}"
