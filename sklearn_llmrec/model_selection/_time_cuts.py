"""Cuts in time: one, or a rolling backtest."""

from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np

from sklearn_llmrec.interactions import (
    as_events,
    as_times,
    cut_at,
    entry_times,
    events_of_window,
)
from sklearn_llmrec.model_selection._split import Folds, share_of, stacked
from sklearn_llmrec.utils import is_missing

__all__ = ["backtest_folds", "time_split"]


def _as_time(cut: Any) -> Any:
    """Return a cut as a number: numbers stay, dates become unix seconds.

    Raises
    ------
    TypeError
        If the cut is a bool or no time.
    ValueError
        If the cut is NaN, NaT or infinite.
    """
    if isinstance(cut, bool | np.bool_):
        raise TypeError(f"A cut must be a time (a number, a date or a text of one), got {cut!r}.")
    if isinstance(cut, Integral):
        return int(cut)  # exact, whatever its width
    if not isinstance(cut, Real) and not is_missing(cut):
        if getattr(cut, "tzinfo", None) is not None:
            return float(cut.timestamp())
        message = f"A cut must be a time (a number, a date or a text of one), got {cut!r}."
        try:
            date = np.atleast_1d(np.array(cut, dtype="datetime64[ns]"))
        except (TypeError, ValueError) as error:
            raise TypeError(message) from error
        if np.ndim(cut):
            raise TypeError(message)
        cut = np.nan if np.isnat(date[0]) else as_times(date)[0].item()
    if is_missing(cut) or not np.isfinite(cut):
        raise ValueError("A cut is missing or infinite (NaN, NaT, None): pass a time.")
    return float(cut) if isinstance(cut, np.floating) else cut


def _check_horizon(horizon: Any) -> None:
    """Refuse a horizon that is no positive length of time.

    Raises
    ------
    ValueError
        If it is a bool, no number, not finite or not above zero.
    """
    number = isinstance(horizon, Real) and not isinstance(horizon, bool | np.bool_)
    if horizon is not None and not (number and np.isfinite(horizon) and horizon > 0):
        raise ValueError(
            f"horizon must be a number above 0 in the unit of the timestamps (seconds for dates), got {horizon!r}."
        )


def time_split(
    X: Any,
    *,
    cut: Any = None,
    test_size: float = 0.2,
    horizon: float | None = None,
    order: str = "timestamps",
    exclude_seen: bool = True,
) -> tuple[Any, Any]:
    """Split the log at one time for all users.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions with timestamps. Where events repeat, build them with ``repeats="keep"``: a sum has the time of its
        latest part, so it is no longer seen before that.
    cut : number, str or datetime, default=None
        First time that is hidden, in the unit of the timestamps; dates become unix seconds (UTC). By default the time
        that hides `test_size` of the events, or a little more where many share it.
    test_size : float, default=0.2
        Share of all events at or after the cut.
    horizon : float, default=None
        How long after the cut targets are counted, in the unit of the timestamps; later events are in neither matrix.
        By default to the end.
    order : {"timestamps", "values"}, default="timestamps"
        Where times are read from: the timestamps of an `Interactions`, or the values of X read as times.
    exclude_seen : bool, default=True
        Whether targets whose item the visible row already contains leave `y`.

    Returns
    -------
    X_visible : same type as X
        All events before the cut; nothing at or after it. Rows and columns stay: those that begin later are empty.
    y : same type as X
        The events at or after the cut.

    Raises
    ------
    ValueError
        If all events are on one side of the cut, or the cut is missing (NaN, NaT).
    TypeError
        If the cut is a bool or no time.

    See Also
    --------
    backtest_folds : Several cuts, for a search.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions
    >>> from sklearn_llmrec.model_selection import time_split
    >>> X = Interactions(np.array([[1, 1, 0], [0, 1, 1]]))
    >>> X.timestamps = [10, 20, 15, 25]
    >>> X_visible, y = time_split(X, cut=20)
    >>> X_visible.timestamps, y.timestamps
    (array([10, 15]), array([20, 25]))
    """
    _check_horizon(horizon)
    M = as_events(X)
    if cut is None:
        start = cut_at(M, order, 1 - share_of(test_size, "test_size"))
    else:
        start = _as_time(cut)
        times = entry_times(M, order)
        if len(times) and not times.min() < start <= times.max():
            raise ValueError(
                f"cut={cut!r} is the time {start}, and the events of X are from {times.min()} to {times.max()}: one "
                "side of the cut is empty. Dates are unix seconds; the cut has the unit of the timestamps."
            )
    return events_of_window(
        M, X, start, None if horizon is None else start + horizon, order, exclude_seen
    )


def backtest_folds(
    X: Any,
    n_splits: int = 5,
    *,
    cuts: Any = None,
    horizon: float | None = None,
    order: str = "timestamps",
    exclude_seen: bool = True,
) -> Folds:
    """Make a rolling backtest over cuts in time for the searches of scikit-learn.

    Block k contains all events before cut k; its targets are the events from there to the next cut. Fold k trains and
    tests on block k, so nothing at or after a cut is in its fit.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions with timestamps; see `time_split`.
    n_splits : int, default=5
        Number of cuts that divide the events into n_splits + 1 parts of about equal size.
    cuts : array-like of numbers or dates, default=None
        The cuts themselves, ascending, instead of `n_splits`.
    horizon : float, default=None
        How long after its cut a fold counts targets, in the unit of the timestamps; by default to the next cut, in the
        last fold to the end.
    order : {"timestamps", "values"}, default="timestamps"
        Where times are read from: the timestamps of an `Interactions`, or the values of X read as times.
    exclude_seen : bool, default=True
        Whether targets whose item the visible row already contains leave `y`.

    Returns
    -------
    X_ : same type as X, of shape (n_splits * n_users, n_items)
        The blocks, one below the other.
    y_ : same type as X, of shape (n_splits * n_users, n_items)
        Their targets.
    cv : list of (train, test) arrays of rows
        Equal rows in both, those of a block.

    Notes
    -----
    Use such a search with ``refit=False`` and fit the best parameters on the original X; see `interaction_folds`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import Interactions
    >>> from sklearn_llmrec.model_selection import backtest_folds
    >>> X = Interactions(np.ones((2, 4)))
    >>> X.timestamps = np.arange(8)
    >>> X_, y_, cv = backtest_folds(X, cuts=[4, 6])
    >>> X_.sum(axis=1), y_.sum(axis=1)
    (array([4., 0., 4., 2.]), array([0., 2., 0., 2.]))
    """
    _check_horizon(horizon)
    M = as_events(X)
    if cuts is None:
        if not isinstance(n_splits, Integral) or n_splits < 1:
            raise ValueError(f"n_splits must be an integer from 1, got {n_splits!r}.")
        found = [cut_at(M, order, k / (n_splits + 1)) for k in range(1, n_splits + 1)]
    else:
        found = [_as_time(cut) for cut in cuts]
    if not found or any(b <= a for a, b in pairwise(found)):
        raise ValueError(f"The cuts must ascend, got {found}: give other cuts or fewer splits.")
    ends = [*found[1:], None] if horizon is None else [cut + horizon for cut in found]
    return stacked(
        [events_of_window(M, X, cut, end, order, exclude_seen) for cut, end in zip(found, ends)]
    )
