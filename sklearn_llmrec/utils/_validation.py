"""Check the input of every recommender."""

import re
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.utils._ids import equal_ids
from sklearn_llmrec.utils._input_errors import SAME_COLUMNS, is_plain, validated
from sklearn_llmrec.utils._stacks import warn_of_stack
from sklearn_llmrec.utils._values import as_csr, canonical, refuse_triples

_USERS = ("user", "customer", "visitor", "session")
_EVENT_COLUMN = re.compile(
    r"(user|customer|visitor|session|item|product|movie|article)[ _]?(id|no)?$", re.IGNORECASE
)
# Largest values, of one matrix: products of larger ones overflow somewhere, in what models sum, invert or mask.
_LARGEST = {4: 1e10, 8: 1e15}
# A matrix whose largest value is smaller: its squares, and what they are divided by, vanish.
_SMALLEST = 1e-15


def rows_without_entries(X: sp.csr_array) -> NDArray[np.bool_]:
    """Return which rows have no interaction; stored zeros are none."""
    if X.nnz and not X.data.all():
        counted = np.concatenate([[0], np.cumsum(X.data != 0)])
        return np.asarray(np.diff(counted[X.indptr]) == 0)
    return np.asarray(X.indptr[1:] == X.indptr[:-1])


def check_matrix(
    estimator: Any, X: Any, *, reset: bool, nonnegative: bool = False, weights: bool = True
) -> sp.csr_array:
    """Validate the user-by-item matrix given to a recommender.

    Parameters
    ----------
    estimator : BaseRecommender
        The estimator: its name is in the messages, `n_features_in_` is set or compared.
    X : array-like or sparse of shape (n_users, n_items)
    reset : bool
        True at fit, False afterwards.
    nonnegative : bool, default=False
        Whether negative values are refused.
    weights : bool, default=True
        Whether values are computed with, and must have a size that allows it. Times, of which only the order counts,
        may be of any size.

    Returns
    -------
    X : csr_array or Interactions of shape (n_users, n_items), float32 or float64

    Raises
    ------
    ValueError
        If X is not a finite two-dimensional matrix of at least two columns, or has another number of columns, or
        other items, than at fit. If values are negative where they are refused, or too large to compute with. At fit,
        also if X has no interaction, or if all values are too small.
    TypeError
        If X is a path, or contains dates or other objects than numbers.
    """
    name = type(estimator).__name__
    ids = _item_ids(X)
    if not reset and is_plain(estimator, X) and X.nnz:
        # A request for one user: what is not finite is neither above nor below a limit.
        low, high = float(X.data.min()), float(X.data.max())
        limit = _LARGEST[X.dtype.itemsize]
        if (0 if nonnegative else -limit) <= low and high <= limit:
            _keep_item_ids(estimator, ids, reset=False)
            return X
    if reset:
        warn_of_stack(X, name)
    X = validated(estimator, X, reset=reset)
    if not sp.issparse(X) or not isinstance(X, sp.csr_array):
        X = sp.csr_array(X)
    if reset:
        _refuse_events(estimator)
        refuse_triples(X)
    if reset and X.shape[1] < 2:
        raise ValueError(
            f"X has n_features = 1: {name} ranks the columns of a user-by-item matrix, and one column leaves nothing "
            "to rank. If it is a column of ids, build the matrix with Interactions.from_frame(df, user=..., item=...)."
        )
    if nonnegative and X.nnz and X.data.min() < 0:
        raise ValueError(
            f"Negative values in data passed to X in {name}: the method needs weights >= 0. Drop or clip them, or keep "
            "the events that count as positive."
        )
    if reset and not (X.nnz and X.data.any()):
        raise ValueError(
            f"X of shape {X.shape} contains no interaction (every entry is zero): {name} has nothing to learn from."
        )
    if weights:
        _check_size(X, name, reset=reset)
    _keep_item_ids(estimator, ids, reset=reset)
    return X


def _check_size(X: sp.csr_array, name: str, *, reset: bool) -> None:
    """Refuse values whose products overflow, and a matrix to fit whose products all vanish.

    Raises
    ------
    ValueError
        If values are too large or too small.
    """
    largest = max(float(X.data.max()), -float(X.data.min())) if X.nnz else 1.0
    if largest > _LARGEST[X.dtype.itemsize]:
        raise ValueError(
            f"X contains values as large as {largest:.2g}: {name} takes at most {_LARGEST[X.dtype.itemsize]:g} in "
            f"{X.dtype}, since sums of products of larger ones overflow. Divide X by a constant, here and at fit."
        )
    if reset and largest < _SMALLEST:
        raise ValueError(
            f"No value of X is larger than {largest:.2g}: {name} needs one of at least {_SMALLEST:g}, since products "
            "of smaller ones vanish. Multiply X by a constant, here and later."
        )


def names_of_events(names: Any) -> bool:
    """Return whether columns are named like those of a table of events: one like users, another like items."""
    found = [_EVENT_COLUMN.match(str(name)) for name in names]
    return {match.group(1).lower() in _USERS for match in found if match} == {True, False}


def _refuse_events(estimator: Any) -> None:
    """Refuse a table of events, whose few columns would otherwise count as items.

    Raises
    ------
    ValueError
        If a column is called as users are, and another as items.
    """
    names = list(getattr(estimator, "feature_names_in_", ()))
    if names_of_events(names):
        raise ValueError(
            f"X has columns {names[:5]}: a table of events, it seems, and {type(estimator).__name__} takes a "
            "user-by-item matrix. Interactions.from_frame(df, user=..., item=...) builds one from events."
        )


def _item_ids(X: Any) -> NDArray[Any] | None:
    """Return the item ids of an `Interactions`, never a column of a table that has this name."""
    return getattr(X, "item_ids", None) if sp.issparse(X) else None


def _keep_item_ids(estimator: Any, ids: NDArray[Any] | None, *, reset: bool) -> None:
    """Store the item ids of the fit as `item_ids_`; later refuse columns of other items.

    Raises
    ------
    ValueError
        If X carries other item ids than at fit.
    """
    if reset:
        vars(estimator).pop("item_ids_", None)
        if ids is not None:
            # What nobody can change need not be copied, and the same array later needs no comparison.
            kept = ids.copy() if ids.flags.writeable else ids
            kept.flags.writeable = False
            estimator.item_ids_ = kept
        return
    known = getattr(estimator, "item_ids_", None)
    if ids is None or known is None or (ids is known and not ids.flags.writeable):
        return
    same = equal_ids(ids, known)
    if same.all():
        return
    column = int(np.argmin(same))
    here, there = ids[[column]].tolist()[0], known[[column]].tolist()[0]
    raise ValueError(
        f"X carries other item ids than at fit: column {column} is {here!r}, and was {there!r} when "
        f"{type(estimator).__name__} was fitted. {SAME_COLUMNS}"
    )


def check_targets(y: Any, shape: tuple[int, int]) -> Any | None:
    """Return the held-out matrix `y`, or None if there is none.

    None and one-dimensional `y` count as none, as in scikit-learn's clusterers.

    Raises
    ------
    ValueError
        If `y` is two-dimensional and not of the shape of X.
    """
    if y is None:
        return None
    y_shape = y.shape if sp.issparse(y) else np.asarray(y).shape
    if len(y_shape) < 2:
        return None
    if tuple(y_shape) != tuple(shape):
        raise ValueError(
            f"y has shape {tuple(y_shape)} and X has shape {tuple(shape)}: y contains the held-out interactions of the "
            "same users and items, so both must be equal. holdout_split(X) makes such a pair."
        )
    return y


def check_seen(seen: Any, shape: tuple[int, int], *, exclude_seen: bool) -> sp.csr_array | None:
    """Return the matrix of items to leave out of lists, or None if it was not given.

    Raises
    ------
    ValueError
        If it has another shape than X, or seen items are not to be left out at all.
    """
    if seen is None:
        return None
    if not exclude_seen:
        raise ValueError(
            "seen says what to leave out, and exclude_seen=False leaves nothing out: pass only one of them."
        )
    seen = as_csr(seen, "seen")
    if seen.shape != shape:
        raise ValueError(
            f"seen has shape {seen.shape} and X has shape {tuple(shape)}: both must be equal, one row per row of X."
        )
    return seen


def check_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64]:
    """Return weights of rows as floats.

    Raises
    ------
    ValueError
        If they are not one finite number of at least 0 per row.
    """
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must contain one weight per row, shape ({n_rows},); got shape {weights.shape}."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("sample_weight must be finite and at least 0.")
    return weights


def check_k(k: Any, n_items: int) -> int:
    """Return `k` as an int between 1 and `n_items`.

    Raises
    ------
    TypeError
        If k is not an integer.
    ValueError
        If k is out of range.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"k must be an integer, got {k!r} of type {type(k).__name__}.")
    if not 1 <= k <= n_items:
        raise ValueError(f"k must be between 1 and the number of items, {n_items}; got k={k}.")
    return int(k)


def check_candidates(candidates: Any, shape: tuple[int, int]) -> Any:
    """Return candidates as a sorted index array, a boolean csr_array of `shape`, or None.

    Raises
    ------
    ValueError
        If indices are out of range, or a mask or matrix has another shape.
    TypeError
        If they are neither integers, a mask nor a sparse matrix.
    """
    if candidates is None:
        return None
    if sp.issparse(candidates):
        if candidates.shape != shape:
            raise ValueError(
                f"candidates has shape {candidates.shape} and X has shape {shape}: both must be equal."
            )
        return canonical(sp.csr_array(candidates).astype(bool))
    candidates = np.asarray(candidates)
    if candidates.shape == (0,):
        return np.empty(0, dtype=np.int64)  # an empty list has no type
    if candidates.dtype.kind == "b" and candidates.ndim == 1:
        if len(candidates) != shape[1]:
            raise ValueError(
                f"candidates is a mask of {len(candidates)} items, and X has {shape[1]} columns."
            )
        return np.flatnonzero(candidates)
    if candidates.ndim != 1 or not np.issubdtype(candidates.dtype, np.integer):
        raise TypeError(
            "candidates must be column numbers for all rows (those of ids are X.item_columns(ids)), a boolean mask of "
            "the items, or a boolean sparse matrix of the shape of X; with ids=True they are item ids. Got an array of "
            f"dtype {candidates.dtype} and {candidates.ndim} dimensions."
        )
    if candidates.size and not (candidates.min() >= 0 and candidates.max() < shape[1]):
        raise ValueError(
            f"candidates contains column {candidates.min() if candidates.min() < 0 else candidates.max()}, and X has "
            f"columns 0 to {shape[1] - 1}. With ids=True candidates are item ids."
        )
    return np.unique(candidates).astype(np.int64)
