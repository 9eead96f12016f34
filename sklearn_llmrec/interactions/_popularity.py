"""Popularity in which older events count less."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions._events import as_events, entry_times, first_of_pairs
from sklearn_llmrec.utils import ages, required_times, warn

# An hour in a year of events; beyond it the unit of the half-life is probably another than that of the times.
_MOST_HALF_LIVES = 10_000


def decayed_popularity(
    X: Any,
    half_life: float,
    *,
    name: str,
    reference: Any = None,
    by_values: bool = False,
    order: str = "timestamps",
) -> tuple[NDArray[np.float64], Any]:
    r"""Count the users of every item, each weighted by :math:`2^{-a/h}`.

    Parameters
    ----------
    X : Interactions of shape (n_users, n_items)
        Events with timestamps.
    half_life : float
        The h above, in the unit of the times.
    name : str
        The estimator that is named in an error.
    reference : number, default=None
        The time that ages a are counted from, if an event of X is not later. None takes the latest event.
    by_values : bool, default=False
        Whether to sum the values of all events, each with its own weight, instead of counting a user once per item, at
        the latest event.
    order : {"timestamps", "values"}, default="timestamps"
        Where times are read from: the timestamps of X, or the values of a matrix that contains times.

    Returns
    -------
    popularity : ndarray of shape (n_items,), float64
    reference : number or None
        The time that ages were counted from; None if there is neither an event nor a reference.

    Raises
    ------
    ValueError
        If X has no times.
    """
    if order == "timestamps":
        required_times(X, name)
    M = as_events(X)
    times = entry_times(M, order)
    if len(times):
        latest = times.max()
        n_half_lives = float(latest - times.min()) / half_life
        if n_half_lives > _MOST_HALF_LIVES:
            warn(
                f"{name}: the events span {n_half_lives:.0f} half-lives, so that nearly all have no weight. half_life "
                "is in the unit of the timestamps, which is seconds for dates."
            )
        reference = latest if reference is None else max(reference, latest)
    else:
        return np.zeros(M.shape[1]), reference
    columns, values = M.indices, M.data.astype(np.float64)
    if not by_values:
        starts = np.flatnonzero(first_of_pairs(M))
        # Repeated events that cancel are no interaction.
        kept = np.add.reduceat(values, starts) != 0
        columns, values = columns[starts][kept], np.ones(int(kept.sum()))
        times = np.maximum.reduceat(times, starts)[kept]
    weights = values * np.exp2(-ages(times, reference) / half_life)
    sums = np.bincount(columns, weights, minlength=M.shape[1]).astype(np.float64, copy=False)
    return sums, reference
