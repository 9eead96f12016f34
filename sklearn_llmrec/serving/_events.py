"""Convert feedback events to a matrix, and to the input of off-policy metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.serving._settings import event_worth
from sklearn_llmrec.utils import as_ids


def id_kind(value: int | str) -> str:
    """Return the kind of an id of feedback, in the words of `kind_of_ids`."""
    return "texts" if isinstance(value, str) else "numbers"


def events_matrix(
    events: Iterable[Any],
    *,
    event_weights: Mapping[str, float] | None,
    user_kind: str | None,
    item_kind: str | None,
) -> tuple[Interactions | None, int, dict[str, int]]:
    """Return events as a matrix of users and items, how many there were, and how many were left out, by cause.

    Worths of one user and item are summed, as `Interactions.from_frame` does, and have the latest time. Left out are
    events that are worth nothing, and those whose ids are of another kind than the bundle's: a client that sends the
    number 7 for the text "7" must not stop an update.

    Parameters
    ----------
    events : iterable of Event
    event_weights : mapping of str to float or None
    user_kind, item_kind : str or None
        Kinds of the ids of the bundle, of `kind_of_ids`; None takes that of the first event.

    Returns
    -------
    X : Interactions or None
        None where no event is left.
    n_events : int
    left_out : dict of str to int
        Causes, and the number of events for each. An event counts for its first cause.
    """
    rows: dict[Any, int] = {}
    columns: dict[Any, int] = {}
    places: list[tuple[int, int]] = []
    values: list[float] = []
    times: list[float] = []
    n_events = 0
    left_out: Counter[str] = Counter()
    for event in events:
        n_events += 1
        worth = event_worth(event_weights, event.type, event.value)
        if worth <= 0:
            left_out["worth nothing"] += 1
            continue
        kinds = id_kind(event.user), id_kind(event.item)
        user_kind, item_kind = user_kind or kinds[0], item_kind or kinds[1]
        if kinds[0] != user_kind:
            left_out[f"user ids are {kinds[0]}, those of the bundle {user_kind}"] += 1
            continue
        if kinds[1] != item_kind:
            left_out[f"item ids are {kinds[1]}, those of the bundle {item_kind}"] += 1
            continue
        row = rows.setdefault(event.user, len(rows))
        places.append((row, columns.setdefault(event.item, len(columns))))
        values.append(worth)
        times.append(event.time)
    if not places:
        return None, n_events, dict(left_out)
    entries = tuple(np.array(places, dtype=np.int64).T)
    when = np.array(times)
    whole = when.astype(np.int64)
    X = Interactions(
        (np.array(values), entries),
        shape=(len(rows), len(columns)),
        timestamps=whole if (whole == when).all() else when,
        user_ids=as_ids(list(rows), "users"),
        item_ids=as_ids(list(columns), "items"),
    )
    return X, n_events, dict(left_out)


def logged_choices(
    feedback: str, *, event_weights: Mapping[str, float] | None = None
) -> dict[str, NDArray[Any]]:
    """Return what a bandit showed, with propensities and rewards, as the off-policy metrics take it.

    Parameters
    ----------
    feedback : str
        URL of the feedback database.
    event_weights : mapping of str to float, default=None
        What an event of a type is worth, multiplied with its value. By default every event counts its value.

    Returns
    -------
    log : dict of str to ndarray of shape (n_shown,)
        ``rewards`` (worth of the events that name the request and the item; 0 without any), ``propensities``,
        ``items``, ``users`` (None where the request brought a history), ``ranks`` (from 1), ``request_ids`` and
        ``versions``: one entry for every place of every list.

    Raises
    ------
    StoreUnavailable
        If the database does not answer.

    See Also
    --------
    sklearn_llmrec.metrics.snips_value : Estimate what another policy would have earned.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_llmrec.serving import logged_choices
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = logged_choices(f"{folder}/feedback.db")
    >>> sorted(log)
    ['items', 'propensities', 'ranks', 'request_ids', 'rewards', 'users', 'versions']
    """
    from sklearn_llmrec.serving._store import FeedbackStore

    store = FeedbackStore(feedback)
    try:
        earned: dict[tuple[str, Any], float] = {}
        for _, event in store.events_after(0):
            if event.request_id is not None:
                worth = event_worth(event_weights, event.type, event.value)
                key = (event.request_id, event.item)
                earned[key] = earned.get(key, 0.0) + worth
        shown = list(store.shown_rows())
    finally:
        store.close()
    rewards = [earned.get((row.request_id, row.item), 0.0) for row in shown]
    return {
        "rewards": np.array(rewards, dtype=np.float64),
        "propensities": np.array([row.propensity for row in shown], dtype=np.float64),
        "items": _objects([row.item for row in shown]),
        "users": _objects([row.user for row in shown]),
        "ranks": np.array([row.rank for row in shown], dtype=np.int64),
        "request_ids": _objects([row.request_id for row in shown]),
        "versions": _objects([row.version for row in shown]),
    }


def _objects(values: list[Any]) -> NDArray[Any]:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
