"""Splits that hide interactions of the same users: at random, the latest, in folds."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from sklearn_llmrec.interactions import (
    as_events,
    holdout_split,
    random_baskets,
    stack,
    visible_and_targets,
)
from sklearn_llmrec.utils import mark_stack

__all__ = [
    "SameRows",
    "interaction_folds",
    "leave_last_out",
]

# Stacked blocks, their targets, and the cv that keeps the blocks apart.
Folds = tuple[Any, Any, list[tuple[NDArray[np.int64], NDArray[np.int64]]]]


class SameRows:
    """Cross-validator of one fold that trains and tests on all rows.

    For searches over known users, whose targets were hidden before the fit: ``X, y = holdout_split(X)``. Without `y` a
    scorer would hide events in rows that the model was fitted on, so `split` refuses that.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec.model_selection import SameRows
    >>> [(train, test)] = SameRows().split(np.eye(3), y=np.eye(3)[::-1])
    >>> train, test
    (array([0, 1, 2]), array([0, 1, 2]))
    """

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        """Yield the numbers of all rows twice.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            The matrix to be split.
        y : {array-like, sparse} of shape (n_users, n_items)
            What was hidden from X. Only scorers read it.
        groups : object, default=None
            Ignored.

        Yields
        ------
        train, test : ndarray of shape (n_users,)
            All rows.

        Raises
        ------
        ValueError
            If y is None.
        """
        if y is None:
            raise ValueError(
                "SameRows fits and measures on the same rows, and y is None: the scorer would hide events that the fit "
                "has learned from, and the figure would flatter. Hide them before the fit: X, y = holdout_split(X), "
                "then search.fit(X, y). To measure unseen users without y, pass cv=5."
            )
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        yield np.arange(n_rows), np.arange(n_rows)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
            1.
        """
        return 1


def share_of(size: Any, name: str) -> float:
    """Check and return a share."""
    if not isinstance(size, float | np.floating) or not 0 < size < 1:
        raise ValueError(f"{name} must be a share between 0 and 1, got {size!r}.")
    return float(size)


def leave_last_out(
    X: Any,
    n: int = 1,
    *,
    order: str = "timestamps",
    keep_baskets: bool = True,
    exclude_seen: bool = True,
) -> tuple[Any, Any]:
    """Hide the last n events of every user.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    n : int, default=1
        How many events to hide.
    order : {"timestamps", "values"}, default="timestamps"
        Where times are read from: the timestamps of an `Interactions`, or the values of X read as times.
    keep_baskets : bool, default=True
        Whether events of one user with one timestamp are hidden together; False parts them by the order of the log, as
        most published leave-one-out figures do.
    exclude_seen : bool, default=True
        Whether targets whose item the visible row already contains leave `y`.

    Returns
    -------
    X_visible : same type as X
        The same rows without the hidden events; the first event (basket) of a user always stays.
    y : same type as X
        The hidden events.

    Examples
    --------
    Test and validation targets, last and last but one:

    >>> import numpy as np
    >>> from sklearn_llmrec.model_selection import leave_last_out
    >>> X = np.array([[3, 1, 2, 4]])
    >>> X_valid, y_test = leave_last_out(X, order="values")
    >>> X_train, y_valid = leave_last_out(X_valid, order="values")
    >>> X_train, y_valid, y_test
    (array([[0, 1, 2, 0]]), array([[3, 0, 0, 0]]), array([[0, 0, 0, 4]]))
    """
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be an integer from 1, got {n!r}.")
    return holdout_split(
        X,
        test_size=n,
        holdout="latest",
        order=order,
        keep_baskets=keep_baskets,
        exclude_seen=exclude_seen,
    )


def interaction_folds(
    X: Any,
    n_splits: int = 5,
    *,
    keep_baskets: bool = True,
    exclude_seen: bool = True,
    random_state: Any = None,
) -> Folds:
    """Make K-fold cross-validation over interactions for the searches of scikit-learn.

    scikit-learn splits rows. To measure known users, X is therefore stacked, one copy (block) for each fold. In block
    k the events of fold k are hidden and are its targets, and fold k trains and tests on block k.

    Parameters
    ----------
    X : {array-like, sparse} of shape (n_users, n_items)
        Interactions.
    n_splits : int, default=5
        Number of folds. The events of every user are dealt evenly to them.
    keep_baskets : bool, default=True
        Whether events of one user with one timestamp fall into one fold.
    exclude_seen : bool, default=True
        Whether targets whose item the visible row already contains leave `y`.
    random_state : int, RandomState instance or None, default=None
        Seed of the dealing.

    Returns
    -------
    X_ : same type as X, of shape (n_splits * n_users, n_items)
        The blocks, one below the other.
    y_ : same type as X, of shape (n_splits * n_users, n_items)
        Their targets. Users of one event (or basket) have none.
    cv : list of (train, test) arrays of rows
        Equal rows in both, those of a block.

    Notes
    -----
    A search refits the best parameters on all rows it was given, here the stack, which is the wrong model: use
    ``refit=False`` and fit on the original X. A fit on the whole stack warns where `X_` is sparse, since a sparse
    matrix carries a mark; rows taken from it, copies and dense arrays do not. Halving searches with such a `cv` need an
    integer `random_state`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_llmrec.model_selection import interaction_folds
    >>> from sklearn_llmrec.neighbors import ItemKNN
    >>> rng = np.random.default_rng(0)
    >>> X = (rng.uniform(size=(60, 20)) < 0.4).astype(float)
    >>> X_, y_, cv = interaction_folds(X, n_splits=3, random_state=0)
    >>> search = GridSearchCV(ItemKNN(), {"n_neighbors": [3, 10]}, cv=cv, refit=False)
    >>> search = search.fit(X_, y_)
    >>> best = ItemKNN(**search.best_params_).fit(X)
    >>> best.n_users_fit_
    60
    """
    if not isinstance(n_splits, Integral) or n_splits < 2:
        raise ValueError(f"n_splits must be an integer from 2, got {n_splits!r}.")
    M = as_events(X)
    rng = check_random_state(random_state)
    baskets = random_baskets(M, keep_baskets, rng)
    # Every row starts to deal at another fold, so that short rows do not all fill the first.
    offset = rng.randint(n_splits, size=M.shape[0])
    fold = (baskets.rank() + offset[baskets.rows]) % n_splits
    lone = np.bincount(baskets.rows, minlength=M.shape[0]) < 2
    fold[lone[baskets.rows]] = -1  # or nothing would be left to see
    hidden = [baskets.mask(fold == k) for k in range(n_splits)]
    return stacked([visible_and_targets(M, X, ~mask, mask, exclude_seen) for mask in hidden])


def stacked(blocks: list[tuple[Any, Any]]) -> Folds:
    """Stack pairs of visible and target matrices to one pair, with the cv that separates them."""
    n_rows = blocks[0][0].shape[0]
    rows = [np.arange(k * n_rows, (k + 1) * n_rows) for k in range(len(blocks))]
    X_, y_ = (stack([block[side] for block in blocks]) for side in (0, 1))
    return mark_stack(X_, len(blocks)), y_, [(block, block.copy()) for block in rows]
