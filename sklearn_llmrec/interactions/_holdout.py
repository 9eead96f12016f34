"""Split that hides events of the same users, at random or the latest."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.interactions import (
    as_events,
    baskets_in_time,
    random_baskets,
    visible_and_targets,
)


def n_of(size: float, counts: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Return how many of `counts` a size selects: a number, or a rounded share, at least 1.

    Raises
    ------
    ValueError
        If the size is neither an integer from 1 nor a share between 0 and 1.
    """
    if isinstance(size, Integral) and not isinstance(size, bool) and size >= 1:
        return np.full(len(counts), int(size))
    if isinstance(size, float | np.floating) and 0 < size < 1:
        return np.maximum(1, np.rint(counts * size)).astype(np.int64)
    raise ValueError(f"{name} must be an integer from 1 or a share between 0 and 1, got {size!r}.")


def holdout_split(
    X: Any,
    *,
    test_size: float = 0.2,
    holdout: str = "random",
    order: str = "timestamps",
    keep_baskets: bool = True,
    exclude_seen: bool = True,
    random_state: Any = None,
) -> tuple[Any, Any]:
    """Hide interactions of every user, to be predicted from the others.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    test_size : float or int, default=0.2
        Share of every user's events to hide, or their number; rounded, at least one.
    holdout : {"random", "latest"}, default="random"
        Which events are hidden.
    order : {"timestamps", "values"}, default="timestamps"
        With ``holdout="latest"``, where times come from: the timestamps of an `Interactions`, or the values of X read
        as times. Ratings and weights are not times.
    keep_baskets : bool, default=True
        Events of one user with one timestamp are a basket and hidden whole, so a little more may be hidden than
        requested for. False parts them, the latest of a basket by the order of the log.
    exclude_seen : bool, default=True
        Whether targets whose item the visible row already contains leave `y`. Where people buy again, False keeps
        repeated purchases too.
    random_state : int, RandomState instance or None, default=None
        Seed of the random choice.

    Returns
    -------
    X_visible : same type as X
        What a recommender may see: the same rows, without the hidden events. At least the first event (basket) of a
        user stays.
    y : same type as X
        The hidden events. Users of one event have none.

    See Also
    --------
    interaction_folds : Several such splits, for a search.
    time_split : One cut in time for all users.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.model_selection import holdout_split
    >>> X_visible, y = holdout_split(np.ones((3, 10)), random_state=0)
    >>> X_visible.sum(axis=1), y.sum(axis=1)
    (array([8., 8., 8.]), array([2., 2., 2.]))
    """
    M = as_events(X)
    if holdout == "random":
        baskets = random_baskets(M, keep_baskets, check_random_state(random_state))
    elif holdout == "latest":
        baskets = baskets_in_time(M, order, keep_baskets)
    else:
        raise ValueError(f"holdout must be 'random' or 'latest', got {holdout!r}.")
    hidden = baskets.last(n_of(test_size, np.diff(M.indptr), "test_size"))
    return visible_and_targets(M, X, ~hidden, hidden, exclude_seen)
