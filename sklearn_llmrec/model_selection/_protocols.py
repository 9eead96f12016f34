"""Published protocols: unseen users, cold users, cold items."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.interactions import (
    Baskets,
    as_events,
    baskets_in_time,
    entry_times,
    like,
    n_of,
    part,
    random_baskets,
    visible_and_targets,
)
from sklearn_llmrec.model_selection._split import Folds, share_of
from sklearn_llmrec.utils import entry_rows

__all__ = [
    "cold_item_split",
    "cold_user_split",
    "strong_generalization_split",
]


def strong_generalization_split(
    X: Any,
    *,
    n_validation: float = 0.1,
    n_test: float = 0.1,
    fold_in: float = 0.8,
    holdout: str = "random",
    known_items_only: bool = True,
    keep_baskets: bool = True,
    random_state: Any = None,
) -> tuple[Any, Any, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Split users into training, validation and test; the latter two show a part of their history [1]_.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    n_validation, n_test : float or int, default=0.1
        Share or number of users held out for validation and for the test.
    fold_in : float, default=0.8
        Share of the history that a held-out user shows; ``floor((1 - fold_in) * n)`` events are hidden, so users of few
        events have no target.
    holdout : {"random", "latest"}, default="random"
        Which events of held-out users are hidden.
    known_items_only : bool, default=True
        Whether events of held-out users with items that no training user has are dropped, as in the paper.
    keep_baskets : bool, default=True
        Whether events of one user with one timestamp are hidden together.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of users and events.

    Returns
    -------
    X_ : same type as X
        The same rows; training users whole, the others what they show.
    y_ : same type as X
        What the others hide. Training users have no targets.
    train, valid, test : ndarray of int
        Rows of the three groups.

    References
    ----------
    .. [1] D. Liang, R. G. Krishnan, M. D. Hoffman, T. Jebara, "Variational Autoencoders for Collaborative Filtering",
       WWW 2018.

    Examples
    --------
    A search over validation users, then the test:

    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_llmrec.model_selection import strong_generalization_split
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> X = (np.random.default_rng(0).uniform(size=(200, 20)) < 0.4).astype(float)
    >>> X_, y_, train, valid, test = strong_generalization_split(X, random_state=0)
    >>> search = GridSearchCV(ItemKNN(), {"n_neighbors": [3, 10]}, cv=[(train, valid)], refit=False)
    >>> search = search.fit(X_, y_)
    >>> best = ItemKNN(**search.best_params_).fit(X_[train])
    >>> bool(0 < best.score(X_[test], y_[test]) < 1)
    True
    """
    M = as_events(X)
    rng = check_random_state(random_state)
    n_users = np.array([M.shape[0]])
    sizes = [
        int(n_of(n, n_users, name)[0])
        for n, name in ((n_validation, "n_validation"), (n_test, "n_test"))
    ]
    if sum(sizes) >= M.shape[0]:
        raise ValueError(
            f"{sizes[0]} validation and {sizes[1]} test users leave none of {M.shape[0]} to train."
        )
    users = rng.permutation(M.shape[0])
    valid, test, train = (np.sort(part) for part in np.split(users, np.cumsum(sizes)))
    rows = entry_rows(M)
    trains = np.isin(np.arange(M.shape[0]), train)[rows]
    kept = np.ones(M.nnz, dtype=bool)
    if known_items_only:
        kept = trains | np.isin(M.indices, M.indices[trains])
        M = part(M, kept)
        rows, trains = rows[kept], trains[kept]
    counts = np.diff(M.indptr)
    n_hidden = np.floor(counts * (1 - share_of(fold_in, "fold_in")) + 1e-9).astype(np.int64)
    baskets = _baskets(M, holdout, keep_baskets, rng)
    hidden = baskets.last(n_hidden) & ~trains
    return (*visible_and_targets(M, X, ~hidden, hidden, True), train, valid, test)


def _baskets(M: Any, holdout: str, keep: bool, rng: np.random.RandomState) -> Baskets:
    if _is_random(holdout):
        return random_baskets(M, keep, rng)
    return baskets_in_time(M, "timestamps", keep)


def _is_random(holdout: str) -> bool:
    if holdout not in ("random", "latest"):
        raise ValueError(f"holdout must be 'random' or 'latest', got {holdout!r}.")
    return holdout == "random"


def cold_user_split(
    X: Any,
    *,
    test_size: float = 0.2,
    n_visible: int = 1,
    holdout: str = "latest",
    keep_baskets: bool = True,
    exclude_seen: bool = True,
    random_state: Any = None,
) -> Folds:
    """Make folds of users who are unseen at fit and show only a few events.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    test_size : float or int, default=0.2
        Share or number of users held out.
    n_visible : int, default=1
        How many events a held-out user shows at most; a first basket is shown whole, and 0 shows nothing.
    holdout : {"latest", "random"}, default="latest"
        Whether the latest events are hidden, so that the earliest are seen, or any.
    keep_baskets : bool, default=True
        Whether events of one user with one timestamp are hidden together.
    exclude_seen : bool, default=True
        Whether targets whose item the visible row already contains leave `y`.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of users and events.

    Returns
    -------
    X_ : same type as X
        The same rows; held-out users with what they show.
    y_ : same type as X
        What they hide. Other users have no targets.
    cv : list of one (train, test) pair of rows
        Trains on the other users and tests on the held-out ones.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.model_selection import cold_user_split
    >>> X_, y_, [(train, test)] = cold_user_split(np.ones((5, 4)), holdout="random", random_state=0)
    >>> int(X_[test].sum()), int(y_[test].sum()), int(y_[train].sum())
    (1, 3, 0)
    """
    if not isinstance(n_visible, Integral) or n_visible < 0:
        raise ValueError(f"n_visible must be an integer from 0, got {n_visible!r}.")
    M = as_events(X)
    rng = check_random_state(random_state)
    n_cold = int(n_of(test_size, np.array([M.shape[0]]), "test_size")[0])
    if n_cold >= M.shape[0]:
        raise ValueError(f"{n_cold} held-out users leave none of {M.shape[0]} to train.")
    users = rng.permutation(M.shape[0])
    test, train = np.sort(users[:n_cold]), np.sort(users[n_cold:])
    baskets = _baskets(M, holdout, keep_baskets, rng)
    n_hidden = np.maximum(np.diff(M.indptr) - n_visible, 0)
    n_hidden[train] = 0
    hidden = baskets.last(n_hidden, spare_first=n_visible > 0)
    X_, y_ = visible_and_targets(M, X, ~hidden, hidden, exclude_seen)
    return X_, y_, [(train, test)]


def cold_item_split(
    X: Any, *, test_size: float = 0.2, holdout: str = "random", random_state: Any = None
) -> tuple[Any, Any, NDArray[np.int64]]:
    """Hide all interactions of some items, so that they must be recommended without any.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    test_size : float or int, default=0.2
        Share or number of the items that have interactions.
    holdout : {"random", "latest"}, default="random"
        Any items, or those whose first interaction is the latest.
    random_state : int, RandomState instance or None, default=None
        Seed of the random choice.

    Returns
    -------
    X_visible : same type as X
        The other items' interactions; the columns of the cold items are empty.
    y : same type as X
        The interactions of the cold items.
    items : ndarray of int
        The cold columns, to be passed as `candidates` where cold items are ranked among themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.model_selection import cold_item_split
    >>> X_visible, y, items = cold_item_split(np.ones((2, 5)), random_state=0)
    >>> items, y.sum(axis=0)
    (array([2]), array([0., 0., 2., 0., 0.]))
    """
    M = as_events(X)
    known = np.unique(M.indices)
    n_cold = int(n_of(test_size, np.array([len(known)]), "test_size")[0])
    if n_cold >= len(known):
        raise ValueError(f"{n_cold} cold items leave none of {len(known)} to learn from.")
    if _is_random(holdout):
        order = check_random_state(random_state).permutation(len(known))
    else:
        times = entry_times(M, "timestamps")
        first_time = np.full(M.shape[1], times.max())
        np.minimum.at(first_time, M.indices, times)
        order = np.argsort(-first_time[known], kind="stable")
    items = np.sort(known[order[:n_cold]]).astype(np.int64)
    cold = np.isin(M.indices, items)
    return like(part(M, ~cold), X), like(part(M, cold), X), items
